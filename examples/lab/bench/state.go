package bench

import (
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// StateScript is the shell text that prints the state of a host. Run it as root
// with "sh -s", give it as standard input, and hand what it prints to ParseState.
//
//go:embed state.sh
var StateScript string

// MaxStateBytes is the most that StateScript prints.
const MaxStateBytes = 32 << 20

// State is what a host is like at one time, as far as a tool could harm it.
// Contents of files are in it as digests only.
type State struct {
	Units     map[string]Unit
	Processes map[int]Process
	Files     map[string]File
	// Mounts by mount point: what is mounted and with which options.
	Mounts map[string]string
	// Others are users, sysctls of the network, listening sockets, network interfaces, routes, the
	// firewall and packages.
	Others map[Item]string
	// Unread are the parts that the script could not read, in order: what is
	// missing there is unknown.
	Unread []string
}

// Unit is a unit of systemd.
type Unit struct {
	Active, Sub string
	Restarts    int
	Invocation  string // changes with every start
	Enabled     string // systemd's UnitFileState
}

// Process is a process of user space. Those of login sessions and of connections
// by SSH are left out: they are the tool's, and those of the script itself.
type Process struct {
	Started uint64 // ticks since boot: with the process id it is one process
	Program string // path of the executable
	Command string // arguments with single spaces, cut
	Unit    string // of systemd; "" outside all of them
}

// File is a file, a folder or a symbolic link.
type File struct {
	Type     string // file, dir, link
	Size     int64
	Modified string // seconds since 1970, with a fraction
	Mode     string // octal
	UID, GID string
	SHA256   string // only of small files of configuration
	Target   string // of a link
}

const stateFormat = "2"

// ParseState reads what StateScript printed. It refuses what is cut off, and any
// record that the script does not print.
func ParseState(text []byte) (State, error) {
	if len(text) > MaxStateBytes {
		return State{}, fmt.Errorf("the state has more than %d bytes", MaxStateBytes)
	}
	p := stateParser{
		state:   State{Units: map[string]Unit{}, Files: map[string]File{}, Mounts: map[string]string{}, Others: map[Item]string{}},
		running: map[int]*reading{},
	}
	records := strings.Split(string(text), "\x00")
	if last := len(records) - 1; records[last] != "" || last < 2 || records[last-1] != "end\t" {
		return State{}, errors.New("read the state: it has no end, and was cut off")
	}
	if records[0] != "state\t"+stateFormat {
		return State{}, fmt.Errorf("read the state: it begins with %s, want state %s", brief(records[0]), stateFormat)
	}
	for i, record := range records[1 : len(records)-2] {
		if strings.HasPrefix(records[i+2], "failed\t") {
			continue // what the end of the part has cut off
		}
		if err := p.record(record); err != nil {
			return State{}, fmt.Errorf("read the state: record %d: %w", i+2, err)
		}
	}
	if p.parts != len(stateParts()) {
		return State{}, fmt.Errorf("read the state: %d parts, want %v", p.parts, stateParts())
	}
	p.state.Processes = p.processes()
	return p.state, nil
}

// stateParts are the parts of a state in the order of the script.
func stateParts() []string {
	return []string{"unit", "process", "file", "hash", "mount", "sysctl", "socket", "user", "interface", "route", "firewall", "package"}
}

// reading is what was read of one process so far.
type reading struct {
	Process
	parent    int
	arguments []string
	complete  bool // its stat was there
}

type stateParser struct {
	state   State
	running map[int]*reading
	self    int
	link    string // the path whose target comes next
	parts   int    // read or failed
}

func (p *stateParser) record(record string) error {
	kind, rest, ok := strings.Cut(record, "\t")
	if !ok {
		return fmt.Errorf("%s has no fields", brief(record))
	}
	switch kind {
	case "done", "failed":
		return p.part(kind, rest)
	case "unit":
		return p.unit(rest)
	case "dir", "file", "link", "target", "sha256":
		return p.file(kind, rest)
	case "mount":
		return p.mount(rest)
	case "self", "stat", "exe", "arg", "cgroup":
		return p.process(kind, rest)
	}
	return p.other(kind, rest)
}

func (p *stateParser) part(how, name string) error {
	if p.parts >= len(stateParts()) || stateParts()[p.parts] != name {
		return fmt.Errorf("part %s out of order", brief(name))
	}
	p.parts++
	if how == "failed" {
		p.state.Unread = append(p.state.Unread, name)
	}
	return nil
}

// fields splits into n fields; the last takes what is left.
func fields(s string, n int) ([]string, error) {
	f := strings.SplitN(s, "\t", n)
	if len(f) != n || f[n-1] == "" {
		return nil, fmt.Errorf("%s has %d fields, want %d", brief(s), len(f), n)
	}
	return f, nil
}

func (p *stateParser) unit(rest string) error {
	f, err := fields(rest, 6)
	if err != nil {
		return err
	}
	u := Unit{Active: f[0], Sub: f[1], Invocation: f[3], Enabled: f[4]}
	if f[2] != "" { // only services count it
		if u.Restarts, err = strconv.Atoi(f[2]); err != nil {
			return fmt.Errorf("restarts of %s: %w", brief(f[5]), err)
		}
	}
	p.state.Units[f[5]] = u
	return nil
}

func (p *stateParser) file(kind, rest string) error {
	switch kind {
	case "link":
		p.link = rest
		p.state.Files[rest] = File{Type: kind}
		return nil
	case "target":
		if p.link == "" {
			return errors.New("a target without a link")
		}
		p.state.Files[p.link] = File{Type: "link", Target: rest}
		p.link = ""
		return nil
	case "sha256":
		const digits = 64
		if len(rest) <= digits+2 || strings.Trim(rest[:digits], "0123456789abcdef") != "" {
			return fmt.Errorf("%s is no digest and path", brief(rest))
		}
		if f, ok := p.state.Files[rest[digits+2:]]; ok { // else it came after the list
			f.SHA256 = rest[:digits]
			p.state.Files[rest[digits+2:]] = f
		}
		return nil
	case "dir":
		f, err := fields(rest, 4)
		if err != nil {
			return err
		}
		p.state.Files[f[3]] = File{Type: kind, Mode: f[0], UID: f[1], GID: f[2]}
		return nil
	}
	f, err := fields(rest, 6)
	if err != nil {
		return err
	}
	size, err := strconv.ParseInt(f[0], 10, 64)
	if err != nil {
		return fmt.Errorf("size of %s: %w", brief(f[5]), err)
	}
	p.state.Files[f[5]] = File{Type: kind, Size: size, Modified: f[1], Mode: f[2], UID: f[3], GID: f[4]}
	return nil
}

// mount reads a line of /proc/PID/mountinfo, proc(5): id, parent, device, root,
// mount point, options, optional fields, "-", type, source, options of the file
// system.
func (p *stateParser) mount(line string) error {
	f := strings.Fields(line)
	dash := slices.Index(f, "-")
	if dash < 6 || len(f) < dash+3 {
		return fmt.Errorf("%s is no mount", brief(line))
	}
	text := strings.Join([]string{f[dash+1], f[dash+2], f[3], f[5], strings.Join(f[dash+3:], " ")}, " ")
	if below, stacked := p.state.Mounts[f[4]]; stacked {
		text = below + "; " + text
	}
	p.state.Mounts[f[4]] = text
	return nil
}

func (p *stateParser) process(kind, rest string) error {
	switch kind {
	case "self":
		pid, err := strconv.Atoi(rest)
		p.self = pid
		return err
	case "stat":
		return p.stat(rest)
	case "exe":
		where, program, _ := strings.Cut(rest, "\t")
		pid, err := pidOf(where)
		if err != nil {
			return err
		}
		// A program that was upgraded runs on as the one that it was.
		p.of(pid).Program = strings.TrimSuffix(program, " (deleted)")
		return nil
	}
	where, text, _ := strings.Cut(rest, ":")
	pid, err := pidOf(where)
	if err != nil {
		return err
	}
	if kind == "arg" {
		p.of(pid).arguments = append(p.of(pid).arguments, text)
	} else if unit := unitOf(text); unit != "" {
		p.of(pid).Unit = unit
	}
	return nil
}

func (p *stateParser) of(pid int) *reading {
	if p.running[pid] == nil {
		p.running[pid] = &reading{}
	}
	return p.running[pid]
}

// pidOf reads the process id from /proc/PID or a path below.
func pidOf(path string) (int, error) {
	parts := strings.Split(path, "/")
	if len(parts) < 3 || parts[1] != "proc" {
		return 0, fmt.Errorf("%s is no process", brief(path))
	}
	return strconv.Atoi(parts[2])
}

// stat reads /proc/PID/stat, proc(5). The name in brackets may hold anything, so
// that the fields are counted from the last bracket: the parent is field 4, the
// start field 22.
func (p *stateParser) stat(line string) error {
	id, _, _ := strings.Cut(line, " ")
	pid, err := strconv.Atoi(id)
	if err != nil {
		return fmt.Errorf("process id: %w", err)
	}
	f := strings.Fields(line[strings.LastIndexByte(line, ')')+1:])
	if len(f) < 20 {
		return fmt.Errorf("stat of process %d has %d fields", pid, len(f))
	}
	r := p.of(pid)
	r.parent, err = strconv.Atoi(f[1])
	if err != nil {
		return fmt.Errorf("parent of process %d: %w", pid, err)
	}
	if r.Started, err = strconv.ParseUint(f[19], 10, 64); err != nil {
		return fmt.Errorf("start of process %d: %w", pid, err)
	}
	r.complete = true
	return nil
}

// unitOf returns the system's unit of a line of /proc/PID/cgroup, proc(5):
// hierarchy, controllers and path with colons between.
func unitOf(line string) string {
	_, path, _ := strings.Cut(line, ":")
	_, path, _ = strings.Cut(path, ":")
	for name := range strings.SplitSeq(path, "/") {
		if strings.HasSuffix(name, ".service") || strings.HasSuffix(name, ".scope") {
			return name
		}
	}
	return ""
}

func (p *stateParser) processes() map[int]Process {
	for _, r := range p.running {
		r.Command = strings.Join(r.arguments, " ")
	}
	out := map[int]Process{}
	for pid, r := range p.running {
		if r.complete && r.Program != "" && !p.visits(pid) {
			out[pid] = r.Process
		}
	}
	return out
}

// visits says whether a process or one that it came from is the script, or of
// somebody who is logged in.
func (p *stateParser) visits(pid int) bool {
	for range len(p.running) { // a bound, since the parents come from outside
		r := p.running[pid]
		switch {
		case r == nil:
			return false
		case pid == p.self || r.inSession() || p.answers(r):
			return true
		}
		pid = r.parent
	}
	return false
}

// answers says whether the process is sshd's for one connection that has no title
// of its own yet: it still has that of the one that listens and that it came from.
func (p *stateParser) answers(r *reading) bool {
	parent := p.running[r.parent]
	return parent != nil && strings.HasSuffix(r.Program, "/sshd") && parent.Program == r.Program
}

// inSession knows sessions by the scope that logind gives them, and where there
// is no logind the processes of a connection by the title that sshd gives them.
// The one that listens has a title as well.
func (p Process) inSession() bool {
	return strings.HasPrefix(p.Unit, "session-") || strings.HasPrefix(p.Unit, "user@") ||
		strings.HasPrefix(p.Command, "sshd: ") && !strings.Contains(p.Command, "[listener]")
}

func (p *stateParser) other(kind, rest string) error {
	var name, value string
	switch Kind(kind) {
	case KindSysctl:
		name, value, _ = strings.Cut(strings.TrimPrefix(rest, "/proc/sys/"), ":")
		name = strings.ReplaceAll(name, "/", ".")
	case KindUser:
		name, value, _ = strings.Cut(rest, ":")
	case KindSocket:
		f, err := fields(rest, 2)
		if err != nil {
			return err
		}
		if name, err = listening(f[0], f[1]); err != nil || name == "" {
			return err
		}
		value = "listens"
	case KindInterface:
		f, err := fields(rest, 3)
		if err != nil {
			return err
		}
		name, value = f[2], fmt.Sprintf("mtu %s, flags %s", f[0], f[1])
	case KindRoute:
		name, value = rest, "is there"
	case KindFirewall:
		name, value = "rules", rest
	case KindPackage:
		f, err := fields(rest, 2)
		if err != nil {
			return err
		}
		name, value = f[1], f[0]
	default:
		return fmt.Errorf("%s is no kind of record", brief(kind))
	}
	item := Item{Kind: Kind(kind), Name: name}
	if first, more := p.state.Others[item]; more && item.Kind == KindSysctl { // it has several lines
		value = first + "\n" + value
	}
	p.state.Others[item] = value
	return nil
}
