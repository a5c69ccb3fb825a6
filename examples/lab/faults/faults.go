// Package faults is the list of what can be broken in the lab, one folder each:
// how it is broken and healed, how to see that it is broken, and the truth that a
// diagnosis is measured against. It breaks nothing itself.
//
// The one thing to know: the truth is written by whoever wrote the fault, before
// any tool was asked. docs/lab.md says how to add one.
package faults

import (
	"bytes"
	"cmp"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// Fault is one way to break the company.
type Fault struct {
	// ID is the name of its folder, and of its cause where Secondline's
	// catalogue has that cause.
	ID string `yaml:"-"`
	// Title is one line for people.
	Title string `yaml:"title"`
	// Group is the letter of the fault catalogue, A to J, or "healthy" when
	// nothing is broken, or "unknown" for what no catalogue has.
	Group string `yaml:"group"`
	// Host is where it is injected, unless the caller names another of Hosts.
	Host string `yaml:"host"`
	// Hosts are others that it can be injected on instead.
	Hosts []string `yaml:"hosts"`
	// Disks are small file systems that the host needs for it.
	Disks []Disk `yaml:"disks"`
	// MemoryMiB limits the memory of the whole host from outside; 0 means not.
	MemoryMiB int `yaml:"memory_mib"`
	// Tasks limits the number of processes and threads of the whole host from
	// outside; 0 means not.
	Tasks int `yaml:"tasks"`
	// Alerts are the names of the alerts that must fire. None of them means that
	// nobody's rule sees it and Complaint is what a person says.
	Alerts    []string `yaml:"alerts"`
	Complaint string   `yaml:"complaint"`
	// About is the host that the complaint names; "" means the host itself.
	About string `yaml:"about"`
	// Decoys names a set of faults that look alike: the same alert, another cause.
	Decoys string `yaml:"decoys"`
	// Together injects other faults at once, as "fault" or "fault@host"; then the
	// fault has no scripts and no truth of its own.
	Together []string `yaml:"together"`
	Truth    Truth    `yaml:"truth"`
	// Cures are runbooks that a person may start against it, each of which mends
	// it alone; "lab cures" tries them. They are no part of what the benchmark
	// asks, so that its records stay good when one is added.
	Cures []Cure `yaml:"cures" json:"-"`

	// Inject, Injected and Heal are shell texts, run by "sh -eu" as root on the
	// host. Injected ends with 0 while the fault is there: one that did not take
	// is not scored. Heal puts right what a fresh host would have, and fails
	// nowhere where somebody has mended it.
	Inject   string `yaml:"-"`
	Injected string `yaml:"-"`
	Heal     string `yaml:"-"`
}

// Disk is an ext4 file system on a loop device.
type Disk struct {
	Mount string   `yaml:"mount"`
	MiB   int64    `yaml:"mib"`
	Mkfs  []string `yaml:"mkfs"` // more arguments of mkfs.ext4
}

// Truth is what a perfect diagnosis would say.
type Truth struct {
	// Cause is a cause of Secondline's catalogue, or the id that the fault
	// catalogue gives it. "" with Unknown means that no catalogue has it, and
	// that "unknown" is the right answer. Also lists causes that are as right.
	Cause   string   `yaml:"cause"`
	Also    []string `yaml:"also"`
	Unknown bool     `yaml:"unknown"`
	// Entity is the host where the cause is; "" means where it was injected.
	Entity string `yaml:"entity"`
	// Object says which file system, unit, file ...; every entry must be in the
	// answer's object with this value.
	Object map[string]string `yaml:"object"`
	// Chain is the way from the cause to what alerted, by hosts, the cause first.
	Chain []string `yaml:"chain"`
	// Cure says whether a machine may fix it: some runbook of the kind exists
	// anywhere that is safe. False means that acting is an error.
	Cure bool `yaml:"cure"`
}

// Cure is a shipped runbook with what a person gives it.
type Cure struct {
	Runbook string `yaml:"runbook"`
	// Host is where it is started; "" means where the fault was injected.
	Host   string            `yaml:"host"`
	Inputs map[string]string `yaml:"inputs"`
}

// Case is a fault on a host, with its truth.
type Case struct {
	Fault *Fault
	Host  string
}

//go:embed all:*
var files embed.FS

// All returns the faults of the lab by id. An error names every mistake.
func All() ([]*Fault, error) { return Load(files) }

// Load reads the faults of a folder: one folder each, with fault.yaml and the
// scripts inject.sh, injected.sh and heal.sh.
func Load(root fs.FS) ([]*Fault, error) {
	entries, err := fs.ReadDir(root, ".")
	if err != nil {
		return nil, fmt.Errorf("read the faults: %w", err)
	}
	var out []*Fault
	var errs []error
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		f, err := load(root, e.Name())
		if err != nil {
			errs = append(errs, fmt.Errorf("fault %s: %w", e.Name(), err))
			continue
		}
		out = append(out, f)
	}
	errs = append(errs, checkTogether(out))
	return out, errors.Join(errs...)
}

func load(root fs.FS, id string) (*Fault, error) {
	text, err := fs.ReadFile(root, path.Join(id, "fault.yaml"))
	if err != nil {
		return nil, err
	}
	f := &Fault{ID: id}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(f); err != nil {
		return nil, fmt.Errorf("fault.yaml: %w", err)
	}
	var errs []error
	for name, into := range map[string]*string{"inject.sh": &f.Inject, "injected.sh": &f.Injected, "heal.sh": &f.Heal} {
		script, err := fs.ReadFile(root, path.Join(id, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
		*into = string(script)
	}
	return f, errors.Join(append(errs, f.validate())...)
}

var names = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

func groups() []string {
	return []string{"A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "healthy", "unknown"}
}

func (f *Fault) validate() error {
	var errs []error
	refuse := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !names.MatchString(f.ID) {
		refuse("%q: a name has small letters, digits and single dashes", f.ID)
	}
	if f.Title == "" {
		refuse("it has no title")
	}
	if !slices.Contains(groups(), f.Group) {
		refuse("group %q: A to J, healthy, or unknown", f.Group)
	}
	if len(f.Together) > 0 {
		if f.Inject+f.Injected+f.Heal != "" || f.Truth.Cause != "" || f.Host != "" || len(f.Cures) > 0 {
			refuse("it is made of others, and has no host, scripts, truth and cures of its own")
		}
		return errors.Join(errs...)
	}
	if f.Host == "" {
		refuse("it has no host")
	}
	if f.Inject == "" || f.Injected == "" || f.Heal == "" {
		refuse("it needs inject.sh, injected.sh and heal.sh")
	}
	for _, d := range f.Disks {
		if !path.IsAbs(d.Mount) || d.MiB < 8 || d.MiB > 512 {
			refuse("disk %q of %d MiB: an absolute path and 8 to 512 MiB", d.Mount, d.MiB)
		}
	}
	for _, c := range f.Cures {
		if !names.MatchString(c.Runbook) || c.Host != "" && !names.MatchString(c.Host) {
			refuse("cure %q on %q: a runbook and a host by their names", c.Runbook, c.Host)
		}
	}
	errs = append(errs, f.validateTruth())
	return errors.Join(errs...)
}

func (f *Fault) validateTruth() error {
	t := f.Truth
	switch {
	case f.Healthy() && (t.Cause != "" || t.Unknown || t.Cure || len(f.Alerts)+len(f.Cures) > 0):
		return errors.New("nothing is broken, so that there is no cause, no cure and no alert")
	case f.Healthy():
		return nil
	case t.Unknown == (t.Cause != ""):
		return errors.New("the truth is either a cause or unknown")
	case len(f.Alerts) == 0 && f.Complaint == "":
		return errors.New("nothing says that it is there: alerts or a complaint")
	case len(t.Chain) > 0 && t.Chain[0] != cmp.Or(t.Entity, f.Host):
		return fmt.Errorf("the chain begins with %s, and the cause is on %s", t.Chain[0], cmp.Or(t.Entity, f.Host))
	}
	return nil
}

// Area is the group in words.
func (f *Fault) Area() string {
	words := map[string]string{
		"A": "A space", "B": "B memory", "C": "C processes", "D": "D services", "E": "E time, trust", "F": "F network", "G": "G databases",
		"H": "H web", "I": "I kernel", "J": "J blind spots",
	}
	return cmp.Or(words[f.Group], f.Group)
}

// Healthy says that nothing is broken: a tool that names a cause is wrong.
func (f *Fault) Healthy() bool { return f.Group == "healthy" }

func checkTogether(all []*Fault) error {
	var errs []error
	for _, f := range all {
		if len(f.Together) > 0 {
			_, err := Cases(all, f.ID)
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Cases resolves "fault" or "fault@host" to what is to be injected: one case,
// or several for faults that come together.
func Cases(all []*Fault, ref string) ([]Case, error) {
	id, host, named := strings.Cut(ref, "@")
	at := slices.IndexFunc(all, func(f *Fault) bool { return f.ID == id })
	if at < 0 {
		return nil, fmt.Errorf("there is no fault %q; \"go run ./examples/lab fault\" lists them", id)
	}
	f := all[at]
	if len(f.Together) == 0 {
		if !named {
			host = f.Host
		}
		if host != f.Host && !slices.Contains(f.Hosts, host) {
			return nil, fmt.Errorf("fault %s is for %s, not for %q", id, strings.Join(append([]string{f.Host}, f.Hosts...), ", "), host)
		}
		return []Case{{Fault: f, Host: host}}, nil
	}
	if named {
		return nil, fmt.Errorf("fault %s is made of others and takes no host", id)
	}
	var out []Case
	for _, part := range f.Together {
		if p, _, _ := strings.Cut(part, "@"); p == id {
			return nil, fmt.Errorf("fault %s is a part of itself", id)
		}
		cases, err := Cases(all, part)
		if err != nil {
			return nil, fmt.Errorf("fault %s: %w", id, err)
		}
		if len(cases) > 1 {
			return nil, fmt.Errorf("fault %s: %s is itself made of others", id, part)
		}
		out = append(out, cases...)
	}
	return out, nil
}

// Entity returns the host where the cause is.
func (c Case) Entity() string { return cmp.Or(c.Fault.Truth.Entity, c.Host) }
