package mount

import (
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/runbooks/actions/internal/systemd"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// maxNamed bounds the processes that a refusal names.
const maxNamed = 5

// host reads mounts on the target, as the step's user.
type host struct{ env *engine.Env }

// world is what is mounted at a point, and around it.
type world struct {
	mounted *entry   // nil: nothing, or only what waits to be used
	below   []string // points inside this one
	shared  []string // other points of the same file system
}

func (h host) read(ctx context.Context, argv ...string) (remote.Result, error) {
	res, err := h.env.Read(ctx, argv...)
	if err == nil {
		err = res.Err()
	}
	if err == nil && res.Truncated {
		err = fault.New(fault.TooLarge, "the answer was cut")
	}
	return res, err
}

// look reads what is mounted now.
func (h host) look(ctx context.Context, point string) (world, error) {
	res, err := h.read(ctx, "cat", "/proc/self/mountinfo")
	if err != nil {
		return world{}, fmt.Errorf("read what is mounted: %w", err)
	}
	all, err := parseMounts(string(res.Stdout))
	if err != nil {
		return world{}, err
	}
	return around(all, point)
}

func around(all []entry, point string) (world, error) {
	var w world
	for _, e := range all {
		switch {
		case e.Point == point && e.Type == automount:
		case e.Point == point && w.mounted != nil:
			return w, fault.New(fault.Denied, "at %s more than one file system is mounted, one over the other", point)
		case e.Point == point:
			w.mounted = &e
		case strings.HasPrefix(e.Point, strings.TrimSuffix(point, "/")+"/"):
			w.below = append(w.below, e.Point)
		}
	}
	for _, e := range all {
		if w.mounted != nil && e.Device == w.mounted.Device && e.ID != w.mounted.ID {
			w.shared = append(w.shared, e.Point)
		}
	}
	return w, nil
}

// onHost refuses an agent that lives in a mount namespace of its own, where
// nobody would see what it mounts (mount_namespaces(7); systemd gives one to
// every service with ProtectSystem= or PrivateTmp=).
func (h host) onHost(ctx context.Context) error {
	res, err := h.read(ctx, "stat", "-L", "-c", "%i", "/proc/self/ns/mnt", "/proc/1/ns/mnt")
	if err != nil {
		return fmt.Errorf("tell whether this agent sees the mounts of the host: %w", err)
	}
	if ids := strings.Fields(string(res.Stdout)); len(ids) != 2 || ids[0] != ids[1] {
		return fault.New(fault.Denied, "this agent lives in a mount namespace of its own, in which nobody would see a change").
			WithHint("reach the host by SSH, or take ProtectSystem=, PrivateTmp= and their like out of the agent's unit")
	}
	return nil
}

// declared finds what is to be mounted at the point: the line of fstab, else a
// unit that somebody wrote. A unit that was generated from a line which is not
// in fstab any more declares nothing, and neither does one that systemd made up
// because something is mounted there.
func (h host) declared(ctx context.Context, point string) (declaration, error) {
	none := fault.New(fault.Denied, "%s is declared neither in /etc/fstab nor by a mount unit", point)
	res, err := h.read(ctx, "cat", "/etc/fstab")
	if e, ok := errors.AsType[*remote.Error](err); err != nil && (!ok || e.Class != remote.ExitStatus) {
		return declaration{}, fmt.Errorf("read /etc/fstab: %w", err)
	}
	switch found := parseTable(string(res.Stdout), point); len(found) {
	case 0:
	case 1:
		return found[0], nil
	default:
		return declaration{}, fault.New(fault.Denied, "%s is declared %d times in /etc/fstab", point, len(found))
	}
	unit := unitName(point)
	show, err := systemd.Show(ctx, h.env, unit, "FragmentPath")
	if e, ok := errors.AsType[*remote.Error](err); ok && (e.Class == remote.NotExist || e.Class == remote.ExitStatus) {
		return declaration{}, none // no systemd here
	}
	if err != nil {
		return declaration{}, err
	}
	file := show["FragmentPath"]
	if show["LoadState"] != "loaded" || file == "" || strings.HasPrefix(file, "/run/systemd/generator") {
		return declaration{}, none
	}
	if res, err = h.read(ctx, "systemctl", "cat", "--no-pager", "--", unit); err != nil {
		return declaration{}, fmt.Errorf("read %s: %w", unit, err)
	}
	return parseUnit(unit, string(res.Stdout)), nil
}

// isDirectory refuses a point that is not there, or that is somewhere else than
// its name says.
func (h host) isDirectory(ctx context.Context, point string) error {
	res, err := h.read(ctx, "realpath", "--canonicalize-existing", "--zero", "--", point)
	if err != nil {
		return fmt.Errorf("resolve %s: %w", point, err)
	}
	if real := strings.TrimSuffix(string(res.Stdout), "\x00"); real != point {
		return fault.New(fault.Denied, "%s is really %s", point, real).WithHint("name the real one, in fstab and in the runbook")
	}
	return nil
}

// errorsOf says which errors the file system has had, "" when none. Those of
// which this cannot be told are refused: after an error, nothing must be written
// before somebody has checked the file system (faults.md 09).
func (h host) errorsOf(ctx context.Context, e entry) (string, error) {
	for _, mark := range []string{"emergency_ro", "shutdown"} {
		if e.has(mark) {
			return "it is marked " + mark, nil
		}
	}
	switch e.Type {
	case "ext2", "ext3", "ext4":
	case "tmpfs", "nfs", "nfs4": // no medium of this host
		return "", nil
	case "xfs", "btrfs": // the kernel itself refuses, or lets nothing be read, until it is mounted anew
		return "", nil
	default:
		return "", fault.New(fault.Denied, "whether the %s at %s has had errors cannot be told", e.Type, e.Point)
	}
	res, err := h.read(ctx, "readlink", "--", "/sys/dev/block/"+e.Device)
	if err != nil {
		return "", fmt.Errorf("find the device of %s: %w", e.Point, err)
	}
	file := "/sys/fs/ext4/" + path.Base(strings.TrimSpace(string(res.Stdout))) + "/errors_count"
	if res, err = h.read(ctx, "cat", "--", file); err != nil {
		return "", fmt.Errorf("read how many errors %s has had: %w", e.Point, err)
	}
	count, err := strconv.ParseUint(strings.TrimSpace(string(res.Stdout)), 10, 64)
	if err != nil {
		return "", fmt.Errorf("read how many errors %s has had: %w", e.Point, err)
	}
	if count == 0 {
		return "", nil
	}
	return fmt.Sprintf("its superblock counts %d errors", count), nil
}

// busy refuses a point that processes use: with a working directory, a root, a
// program, an open file or a mapping inside; or, when it is to become read-only,
// with a file open for writing. It only names them. That nobody is missed is
// the kernel's business, which refuses for itself, since nothing here is lazy or
// forced.
func (h host) busy(ctx context.Context, point string, writers bool) error {
	res, err := h.env.Runner.Run(ctx, remote.Command{
		Argv: []string{
			"find", "/proc", "-maxdepth", "3", "-ignore_readdir_race", "-regex", `/proc/[0-9]+/\(cwd\|root\|exe\|fd/[0-9]+\)`,
			"-lname", "/*", "-printf", `%m\0%p\0%l\0`,
		},
		As: h.env.Step.As, Effect: remote.Read, MaxOutputBytes: remote.MaxOutputBytes,
	})
	switch { // find exits with 1 when a process ends under it
	case err != nil:
		return fmt.Errorf("list open files: %w", err)
	case res.Truncated || len(res.Stdout) == 0: // find itself has files open
		return fault.New(fault.Internal, "it cannot be told who uses %s", point)
	}
	uses := usersIn(string(res.Stdout), point, writers)
	if !writers {
		maps, err := h.read(ctx, "sh", "-c", `grep -aHsF -e "$1" /proc/[0-9]*/maps; exit 0`, "sh", point+"/")
		if err != nil {
			return fmt.Errorf("list mapped files: %w", err)
		}
		uses = append(uses, mappersIn(string(maps.Stdout), point)...)
	}
	if len(uses) == 0 {
		return nil
	}
	slices.SortStableFunc(uses, func(a, b use) int { return a.pid - b.pid })
	uses = slices.CompactFunc(uses, func(a, b use) bool { return a.pid == b.pid })
	names := []string{}
	for _, u := range uses[:min(len(uses), maxNamed)] {
		comm := "?"
		if res, err := h.read(ctx, "cat", "--", fmt.Sprintf("/proc/%d/comm", u.pid)); err == nil {
			comm = strings.TrimSpace(string(res.Stdout))
		}
		names = append(names, fmt.Sprintf("%d (%s, %s)", u.pid, strconv.Quote(comm), u.how))
	}
	if more := len(uses) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return fault.New(fault.Denied, "%s is in use by process %s", point, strings.Join(names, ", "))
}

// use is how a process uses a file system.
type use struct {
	pid int
	how string
}

func inside(name, point string) bool { return name == point || strings.HasPrefix(name, point+"/") }

// usersIn reads triples of the mode, the name and the target of links below
// /proc. The mode of one in fd is how the file was opened (proc(5)).
func usersIn(text, point string, writers bool) []use {
	var uses []use
	fields := strings.Split(text, "\x00")
	for ; len(fields) > 2; fields = fields[3:] {
		pid, err := strconv.Atoi(strings.Split(fields[1]+"//", "/")[2])
		if err != nil || !inside(fields[2], point) {
			continue
		}
		mode, err := strconv.ParseUint(fields[0], 8, 32)
		writes := err == nil && mode&0o200 != 0 && strings.Contains(fields[1], "/fd/")
		if !writers || writes {
			uses = append(uses, use{pid, fmt.Sprintf("%s %q", strings.TrimPrefix(fields[1], fmt.Sprintf("/proc/%d/", pid)), fields[2])})
		}
	}
	return uses
}

// mappersIn reads lines of /proc/PID/maps behind their file's name.
func mappersIn(text, point string) []use {
	var uses []use
	line := regexp.MustCompile(`^/proc/([0-9]+)/maps:\S+ \S+ \S+ \S+ \S+ +(/.*)$`)
	for l := range strings.Lines(text) {
		m := line.FindStringSubmatch(strings.TrimSuffix(l, "\n"))
		if m == nil || !inside(m[2], point) {
			continue
		}
		if pid, err := strconv.Atoi(m[1]); err == nil {
			uses = append(uses, use{pid, fmt.Sprintf("maps %q", m[2])})
		}
	}
	return uses
}
