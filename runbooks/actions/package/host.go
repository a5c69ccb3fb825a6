package pkg

import (
	"context"
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// Words of dpkg-query(1).
const (
	notInstalled = "not-installed"
	installed    = "installed"
)

// maxAlso bounds what may come along with a package.
const maxAlso = 50

// reading is what dpkg says of a package.
type reading struct {
	Want    string `json:"want,omitempty"` // install, hold, ...
	Error   string `json:"error"`          // ok, or reinst-required
	Status  string `json:"status"`
	Version string `json:"version,omitempty"`
	Arch    string `json:"arch,omitempty"`
}

func (r reading) inWords() string {
	text := r.Status
	if r.Version != "" {
		text += " at " + r.Version
	}
	if r.Want == "hold" {
		text += ", held"
	}
	return text
}

// change is one line of what apt would do.
type change struct {
	Name string `json:"name"`
	From string `json:"from,omitempty"` // "" is new
	To   string `json:"to"`
}

func read(ctx context.Context, env *engine.Env, name string) (reading, error) {
	res, err := env.Read(ctx, "dpkg-query", "--show",
		"--showformat=${db:Status-Want}\t${db:Status-Eflag}\t${db:Status-Status}\t${Version}\t${Architecture}\n", "--", name)
	if err != nil {
		return reading{}, fmt.Errorf("read package %s: %w", name, err)
	}
	if res.ExitCode == 1 && len(res.Stdout) == 0 && strings.Contains(string(res.Stderr), "no packages found") {
		return reading{Error: "ok", Status: notInstalled}, nil
	}
	if err := res.Err(); err != nil {
		return reading{}, fmt.Errorf("read package %s: %w", name, err)
	}
	r, err := parse(string(res.Stdout))
	if err != nil {
		return r, fmt.Errorf("read package %s: %w", name, err)
	}
	return r, nil
}

func parse(out string) (reading, error) {
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	if len(lines) != 1 {
		return reading{}, fault.New(fault.Invalid, "it is there for several architectures; name one, as in name:amd64")
	}
	fields := strings.Split(lines[0], "\t")
	if len(fields) != 5 || fields[1] == "" || fields[2] == "" {
		return reading{}, fault.New(fault.Internal, "dpkg-query gave %q", lines[0])
	}
	r := reading{Want: fields[0], Error: fields[1], Status: fields[2], Version: fields[3], Arch: fields[4]}
	if r.Status == notInstalled || r.Status == "config-files" {
		r.Version, r.Arch = "", "" // of what was there once
	}
	return r, nil
}

// simulate asks apt what would happen, and refuses all that nobody asked for.
func (s *saved) simulate(ctx context.Context, env *engine.Env) error {
	wanted := s.Name
	if s.Version != "" {
		wanted += "=" + s.Version
	}
	argv := append([]string{"apt-get", "-s", "-q", "-o", "Debug::NoLocking=true"}, s.options()...)
	res, err := env.Read(ctx, append(argv, "install", "--", wanted)...)
	if err == nil {
		err = res.Err()
	}
	if err == nil && res.Truncated {
		err = fault.New(fault.TooLarge, "it changes too much to be shown")
	}
	if err != nil {
		return fmt.Errorf("ask apt about %s: %w", wanted, err)
	}
	all, err := parseSimulation(string(res.Stdout))
	if err != nil {
		return err
	}
	bare, _, _ := strings.Cut(s.Name, ":")
	version := ""
	for _, c := range all {
		switch {
		case c.Name == s.Name || c.Name == bare:
			version = c.To
		case c.From != "":
			return fault.New(fault.Denied, "%s would also bring %s from %s to %s, which nobody asked for", wanted, c.Name, c.From, c.To)
		default:
			s.Also = append(s.Also, c)
		}
	}
	switch {
	case version == "" || s.Version != "" && version != s.Version:
		return fault.New(fault.Denied, "apt would not install %s", wanted)
	case len(s.Also) > maxAlso:
		return fault.New(fault.TooLarge, "with %s would come %d packages, more than %d", wanted, len(s.Also), maxAlso)
	}
	s.Version = version
	return s.findOld(ctx, env)
}

// parseSimulation reads the lines of apt-get -s: "Inst name [from] (to origin)".
func parseSimulation(out string) ([]change, error) {
	inst := regexp.MustCompile(`^Inst (\S+) (?:\[([^\] ]+)\] )?\((\S+)[ )]`)
	var all []change
	for line := range strings.Lines(out) {
		verb, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		switch verb {
		case "Remv", "Purg":
			return nil, fault.New(fault.Denied, "it would remove %s", rest)
		case "Inst":
			m := inst.FindStringSubmatch(line)
			if m == nil {
				return nil, fault.New(fault.Internal, "apt-get -s gave %q", line)
			}
			all = append(all, change{Name: m[1], From: m[2], To: m[3]})
		}
	}
	return all, nil
}

// findOld looks for the file of the version that is there now.
func (s *saved) findOld(ctx context.Context, env *engine.Env) error {
	if s.Before.Version == "" {
		return nil
	}
	res, err := env.Read(ctx, "apt-config", "shell", "dir", "Dir::Cache::Archives/d")
	if err == nil {
		err = res.Err()
	}
	if err != nil {
		return fmt.Errorf("ask apt for its cache: %w", err)
	}
	dir := regexp.MustCompile(`^dir='(/[^'\n]*)'\n$`).FindStringSubmatch(string(res.Stdout))
	if dir == nil {
		return nil // then there is no way back, which the plan says
	}
	bare, _, _ := strings.Cut(s.Name, ":")
	// A colon is written so in names of files (apt-pkg/acquire-item.cc, QuoteString).
	file := path.Join(dir[1], fmt.Sprintf("%s_%s_%s.deb", bare, strings.ReplaceAll(s.Before.Version, ":", "%3a"), s.Before.Arch))
	if info, err := env.Runner.Stat(ctx, file); err == nil && info.Mode.IsRegular() {
		s.OldFile = file
	}
	return nil
}

// options of every apt-get of this action: it removes nothing, takes nothing
// along that is not needed, and waits for its locks a minute at most.
func (s saved) options() []string {
	options := []string{
		"-o", "DPkg::Lock::Timeout=60", "-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold",
		"--no-install-recommends", "--no-remove",
	}
	if s.Before.Version != "" {
		options = append(options, "--allow-downgrades") // to the version that was asked for, and no other
	}
	return options
}

// argv brings the state about.
func (s saved) argv() []string {
	switch s.State {
	case Configured:
		return []string{"dpkg", "--force-confdef", "--force-confold", "--configure", "--", s.Name}
	case Installed:
		return append(append([]string{"apt-get", "-y", "-q"}, s.options()...), "install", "--", s.Name+"="+s.Version)
	case Held:
		return []string{"apt-mark", "hold", s.Name}
	case Unheld:
		return []string{"apt-mark", "unhold", s.Name}
	}
	panic("pkg: no state " + string(s.State))
}

func (s saved) undoArgv() []string {
	switch s.State {
	case Installed:
		return append(append([]string{"apt-get", "-y", "-q"}, s.options()...), "install", "--", s.OldFile)
	case Held:
		return []string{"apt-mark", "unhold", s.Name}
	case Unheld:
		return []string{"apt-mark", "hold", s.Name}
	case Configured:
	}
	return nil
}

func (s saved) diff() string {
	var b strings.Builder
	fmt.Fprintf(&b, "--- package %s\n", s.Name)
	switch s.State {
	case Installed:
		fmt.Fprintf(&b, "-%s\n+%s at %s\n", s.Before.inWords(), installed, s.Version)
	case Configured:
		fmt.Fprintf(&b, "-%s\n+%s at %s\n", s.Before.inWords(), installed, s.Before.Version)
	case Held:
		b.WriteString("+held\n")
	case Unheld:
		b.WriteString("-held\n")
	}
	for _, also := range s.Also {
		fmt.Fprintf(&b, "--- package %s\n+%s at %s\n", also.Name, installed, also.To)
	}
	return b.String()
}

func (s saved) inWords() string {
	switch s.State {
	case Installed:
		if s.Version != "" {
			return s.Name + " is installed at " + s.Version
		}
		return s.Name + " is installed"
	case Configured:
		return s.Name + " is installed and configured"
	case Held:
		return s.Name + " is held"
	case Unheld:
		return s.Name + " is not held"
	}
	return ""
}
