package sysctl

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/runbooks/actions/internal/kept"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

const (
	folder = "/etc/sysctl.d"
	prefix = "90-secondline-"
	header = "# Written by secondline for one key; a runbook may rewrite it.\n"
)

// file is the one that a value is kept in over a boot.
type file struct {
	Path    string `json:"path"`
	Existed bool   `json:"existed"`
	Before  string `json:"before,omitempty"`
	Text    string `json:"text"`
}

// fileName is different for different keys: a key holds no plus.
func fileName(key string) string {
	return folder + "/" + prefix + strings.ReplaceAll(key, "/", "+") + ".conf"
}

func (f file) isAsPlanned(text string, exists bool) bool { return exists && text == f.Text }

func (f file) isAsBefore(text string, exists bool) bool {
	return exists == f.Existed && text == f.Before
}

// readFile reads the file, which is small.
func readFile(ctx context.Context, env *engine.Env, name string) (text string, exists bool, err error) {
	res, err := env.Read(ctx, "sh", "-c", `[ -e "$1" ] || [ -L "$1" ] || exit 3; [ -f "$1" ] && [ ! -L "$1" ] || exit 4; cat -- "$1"`, "sh", name)
	switch {
	case err != nil:
		return "", false, fmt.Errorf("read %s: %w", name, err)
	case res.ExitCode == 3:
		return "", false, nil
	case res.ExitCode == 4:
		return "", false, fault.New(fault.Denied, "%s is not a regular file", name)
	case res.Truncated || strings.Contains(string(res.Stdout), "[redacted"):
		return "", false, fault.New(fault.Denied, "%s holds what no such file holds", name)
	}
	return string(res.Stdout), true, res.Err()
}

// planFile says what the file is to hold, and refuses one of somebody else.
func planFile(ctx context.Context, env *engine.Env, key, value string) (*file, error) {
	f := &file{Path: fileName(key), Text: header + key + " = " + value + "\n"}
	for _, pattern := range env.ManagedFiles {
		if ok, err := path.Match(pattern, f.Path); ok && err == nil {
			return nil, fault.New(fault.Denied, "%s is kept by configuration management (%s)", f.Path, pattern)
		}
	}
	var err error
	if f.Before, f.Existed, err = readFile(ctx, env, f.Path); err != nil {
		return nil, err
	}
	if f.Existed && !strings.HasPrefix(f.Before, header) {
		return nil, fault.New(fault.Denied, "%s was not written by a runbook", f.Path)
	}
	return f, overridden(ctx, env, f.Path, key, value)
}

// othersScript prints every line of all files that are read when a host boots,
// behind the name of its file and a NUL.
const othersScript = `grep -aHsZ '' /etc/sysctl.d/*.conf /run/sysctl.d/*.conf /usr/local/lib/sysctl.d/*.conf \
	/usr/lib/sysctl.d/*.conf /lib/sysctl.d/*.conf /etc/sysctl.conf
exit 0`

// overridden refuses a value that would not outlive a boot, because a file that
// is read later sets another.
func overridden(ctx context.Context, env *engine.Env, name, key, value string) error {
	res, err := env.Read(ctx, "sh", "-c", othersScript)
	if err == nil {
		err = res.Err()
	}
	if err == nil && res.Truncated {
		err = fault.New(fault.TooLarge, "they are more than can be read")
	}
	if err != nil {
		return fmt.Errorf("read which files set %s: %w", key, err)
	}
	for _, s := range settings(string(res.Stdout), key) {
		if s.isReadAfter(name) && normal(s.value) != normal(value) {
			return fault.New(fault.Denied, "%s is read later and sets %s to %q", s.file, key, s.value).
				WithHint("change it there, or leave out persist")
		}
	}
	return nil
}

// setting is a line of a file that sets a key.
type setting struct{ file, value string }

// isReadAfter compares as sysctl.d(5) says: by the names of the files, whatever
// folders they are in. procps reads /etc/sysctl.conf after all of them.
func (s setting) isReadAfter(name string) bool {
	return s.file == "/etc/sysctl.conf" || path.Base(s.file) > path.Base(name)
}

// settings finds the lines of othersScript that set the key. A pattern counts,
// though systemd lets a key that is written out win over it, and procps does not.
func settings(text, key string) []setting {
	var found []setting
	for line := range strings.Lines(text) {
		name, rest, _ := strings.Cut(line, "\x00")
		left, value, ok := strings.Cut(strings.TrimSpace(rest), "=")
		left = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(left), "-"))
		if !ok || left == "" || strings.ContainsAny(left[:1], "#;") {
			continue
		}
		if i := strings.IndexAny(left, "./"); i >= 0 && left[i] == '.' { // the first separator tells what they all mean
			left = keyPath(left)
		}
		if matches(strings.TrimSuffix(left, "/"), keyPath(key)) {
			found = append(found, setting{name, strings.TrimSpace(value)})
		}
	}
	return found
}

// writeScript replaces a file at once. What is left of one that was cut off
// does not end with .conf, and so is read by nobody.
const writeScript = `set -eu
umask 022
new=$(mktemp -- "$1.XXXXXXXX")
cat >"$new"
chmod 0644 -- "$new"
mv -f -T -- "$new" "$1"
`

// asideScript takes the file away: into the folder in which actions keep what
// they have changed, since an agent deletes nothing in /etc.
const asideScript = `set -eu
umask 077
keep=$2
` + kept.Script + `mv -f -T -- "$1" "$keep/undone"
`

func (f file) write(ctx context.Context, env *engine.Env, text string) error {
	res, err := env.ActWith(ctx, remote.Command{Argv: []string{"sh", "-c", writeScript, "sh", f.Path}, Stdin: []byte(text)})
	if err == nil {
		err = res.Err()
	}
	return err
}

// restore puts the file back as it was, unless somebody else has changed it.
func (f file) restore(ctx context.Context, env *engine.Env) error {
	text, exists, err := readFile(ctx, env, f.Path)
	switch {
	case err != nil:
		return err
	case f.isAsBefore(text, exists):
		return nil
	case !f.isAsPlanned(text, exists):
		return fault.New(fault.Conflict, "%s was changed by somebody else, and is left as it is", f.Path)
	case f.Existed:
		err = f.write(ctx, env, f.Before)
	default:
		var res remote.Result
		res, err = env.Act(ctx, "sh", "-c", asideScript, "sh", f.Path, path.Join(kept.Root("0"), kept.Name(env.Now(), f.Path)))
		if err == nil {
			err = res.Err()
		}
	}
	if err != nil {
		return err
	}
	if text, exists, err = readFile(ctx, env, f.Path); err == nil && !f.isAsBefore(text, exists) {
		err = fault.New(fault.Internal, "%s was to be as it was before, and is not", f.Path)
	}
	return err
}

func (f file) diff() string {
	var b strings.Builder
	fmt.Fprintf(&b, "--- %s\n", f.Path)
	for line := range strings.Lines(f.Before) {
		if !slices.Contains(strings.SplitAfter(f.Text, "\n"), line) {
			b.WriteString("-" + strings.TrimSuffix(line, "\n") + "\n")
		}
	}
	for line := range strings.Lines(f.Text) {
		if !slices.Contains(strings.SplitAfter(f.Before, "\n"), line) {
			b.WriteString("+" + line)
		}
	}
	return b.String()
}
