package truncatelog

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/runbooks/actions/internal/kept"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// host asks programs of GNU on the target. Every path begins with a slash.
type host struct{ env *engine.Env }

// inside refuses a path with a link in it, or outside the clean-up roots, whose
// own links are resolved.
func (h host) inside(ctx context.Context, name string) error {
	real, err := h.realpath(ctx, name)
	if err != nil {
		return err
	}
	if real != name {
		return fault.New(fault.Denied, "%q is, or is reached through, a symbolic link, and is really %q", name, real).WithHint("name the file itself")
	}
	for _, root := range h.env.CleanupRoots {
		if root, err := h.realpath(ctx, root); err == nil && root != "/" && strings.HasPrefix(real, root+"/") {
			return nil
		}
	}
	return fault.New(fault.Denied, "%q is not inside a directory where this agent may delete", name).
		WithHint("the agent's cleanup roots are %q", h.env.CleanupRoots)
}

func (h host) realpath(ctx context.Context, name string) (string, error) {
	res, err := h.env.Read(ctx, "realpath", "--canonicalize-existing", "--zero", "--", name)
	if err == nil {
		err = res.Err()
	}
	if err != nil {
		return "", fmt.Errorf("resolve %q: %w", name, err)
	}
	real, ok := strings.CutSuffix(string(res.Stdout), "\x00")
	if !ok || !path.IsAbs(real) {
		return "", fault.New(fault.Internal, "realpath of %q gave %q", name, res.Stdout)
	}
	return real, nil
}

// log is what stat(1) says of the file.
type log struct {
	Inode  string `json:"inode"` // device, number, names, type and mode, owner and group: what writing does not change
	Names  int64  `json:"names"`
	Type   int64  `json:"type"` // inode(7)
	Size   int64  `json:"size"`
	Blocks int64  `json:"blocks"`
	EUID   string `json:"euid"` // of the step's user
}

// Formats of stat(1).
const (
	inodeFormat = "%d %i %h %f %u %g"
	logFormat   = inodeFormat + " %s %b"
)

// look reads what the file is. Like stat(1), it does not follow a link.
func (h host) look(ctx context.Context, name string) (log, error) {
	res, err := h.env.Read(ctx, "sh", "-c", `id -u && stat -c "$2" -- "$1"`, "look", name, logFormat)
	if err == nil {
		err = res.Err()
	}
	if err != nil {
		return log{}, fmt.Errorf("look at %q: %w", name, err)
	}
	return parseLog(res.Stdout)
}

func parseLog(out []byte) (log, error) {
	f := strings.Fields(string(out))
	if len(f) != 1+len(strings.Fields(logFormat)) {
		return log{}, fault.New(fault.Internal, "stat printed %q", out)
	}
	l := log{EUID: f[0], Inode: strings.Join(f[1:7], " "), Names: number(f[3], 10), Type: number(f[4], 16), Size: number(f[7], 10), Blocks: number(f[8], 10)}
	if l.Names < 0 || l.Type < 0 || l.Size < 0 || l.Blocks < 0 {
		return log{}, fault.New(fault.Internal, "stat printed %q", out)
	}
	return l, nil
}

func (l log) sameFile(other log) bool { return l.Inode == other.Inode }

func (l log) onDisk() int64 { return l.Blocks * 512 } // stat(2)

func (l log) admit(name string) error {
	const typeBits, regular = 0o170000, 0o100000 // inode(7)
	switch {
	case l.Type&typeBits != regular:
		return fault.New(fault.Denied, "%q is no regular file", name)
	case l.Names > 1:
		return fault.New(fault.Denied, "%q has %d names (hard links), and would be emptied under all of them", name, l.Names)
	}
	return nil
}

// writers are the processes that have the file open for writing, as far as the
// step's user may see.
type writers struct {
	Appending  int
	Elsewhere  []string // do not append: "4711 (orders)"
	Unreadable bool     // the step's user is not root, and sees only its own processes
}

func (w writers) admit(name string) error {
	if len(w.Elsewhere) == 0 {
		return nil
	}
	return fault.New(fault.Denied, "%s writes to %q without O_APPEND: it would go on at its old offset, and the file would become a sparse one of the same size",
		strings.Join(w.Elsewhere, ", "), name).WithHint("let the service reopen its log (a reload, logrotate), or restart it")
}

func (w writers) inWords() string {
	switch {
	case w.Unreadable:
		return "whether all who write to it append cannot be told without root; one that does not would make a sparse file of it"
	case w.Appending == 0:
		return "no process has it open for writing"
	}
	return "all who write to it append"
}

// writers looks who has the file open, by links in /proc/PID/fd, whose targets
// are not touched, and how, by /proc/PID/fdinfo (proc(5)). Processes in other
// mount namespaces may name the file differently and are not seen.
func (h host) writers(ctx context.Context, name string) (writers, error) {
	res, err := h.env.Runner.Run(ctx, remote.Command{
		Argv: []string{
			"find", "/proc", "-maxdepth", "3", "-ignore_readdir_race", "-regex", "/proc/[0-9]+/fd/[0-9]+", "-lname", "/*", "-printf", `%p\0%l\0`,
		},
		As: h.env.Step.As, Effect: remote.Read, MaxOutputBytes: remote.MaxOutputBytes,
	})
	switch {
	case err != nil:
		return writers{}, fmt.Errorf("list open files: %w", err)
	case res.Truncated || len(res.Stdout) == 0: // find itself has files open
		return writers{}, fault.New(fault.Internal, "it cannot be told which files are open")
	}
	argv := []string{"sh", "-c", flagsScript, "flags"}
	fields := strings.Split(string(res.Stdout), "\x00")
	for pair := range slices.Chunk(fields, 2) {
		if len(pair) == 2 && pair[1] == name && len(argv) < maxHandles {
			argv = append(argv, strings.TrimPrefix(pair[0], "/proc/"))
		}
	}
	flags, err := h.env.Read(ctx, argv...)
	if err == nil {
		err = flags.Err()
	}
	if err != nil {
		return writers{}, fmt.Errorf("read how %q is open: %w", name, err)
	}
	return parseWriters(flags.Stdout)
}

// maxHandles bounds how many open handles of one log are looked at.
const maxHandles = 2000

// flagsScript prints the step's user, and for each PID/fd/NUMBER the process, its
// name and the flags of the handle. What ended meanwhile prints nothing.
const flagsScript = `id -u
for handle; do
	pid=${handle%%/*} flags='' name=''
	while read -r key value; do
		[ "$key" != flags: ] || flags=$value
	done 2>/dev/null < "/proc/$pid/fdinfo/${handle##*/}" || continue
	read -r name 2>/dev/null < "/proc/$pid/comm" || :
	printf '%s %s %s\n' "$pid" "${flags:-?}" "$name"
done
`

// parseWriters reads what flagsScript printed. Flags are those of open(2), in
// octal, as asm-generic/fcntl.h has them on every Linux that this runs on.
func parseWriters(out []byte) (writers, error) {
	const accessMode, appends = 0o3, 0o2000
	uid, rest, ok := strings.Cut(string(out), "\n")
	if _, err := strconv.ParseUint(uid, 10, 32); !ok || err != nil {
		return writers{}, fault.New(fault.Internal, "no user in %q", out)
	}
	w := writers{Unreadable: uid != "0"}
	for line := range strings.Lines(rest) {
		pid, more, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		text, name, _ := strings.Cut(more, " ")
		flags, err := strconv.ParseUint(text, 8, 64)
		switch {
		case err != nil:
			return writers{}, fault.New(fault.Internal, "it cannot be told how process %q has the log open", pid)
		case flags&accessMode == 0:
		case flags&appends != 0:
			w.Appending++
		default:
			who := pid + " (" + strings.ToValidUTF8(name, "\uFFFD") + ")"
			if !slices.Contains(w.Elsewhere, who) {
				w.Elsewhere = append(w.Elsewhere, who)
			}
		}
	}
	return w, nil
}

// exitChanged is of the script below: the file is not the planned one.
const exitChanged = 75 // EX_TEMPFAIL (sysexits.h): no program in it has it

// truncateScript opens the file, and looks at and empties what it has opened: a
// link or another file put under the name in between is neither. Opening it for
// reading makes no file that is not there.
const truncateScript = `set -eu
export LC_ALL=C
umask 077
path=$1 was=$2 format=$3 least=$4 keep=$5 bytes=$6
exec 3< "$path"
[ "$(stat -L -c "$format" /proc/self/fd/3)" = "$was" ] || exit 75
[ "$(stat -L -c %s /proc/self/fd/3)" -ge "$least" ] || exit 75
if [ -n "$keep" ]; then
` + kept.Script + `
	tail -c "$bytes" < /proc/self/fd/3 > "$keep/tail"
	sync -- "$keep/tail" "$keep"
fi
truncate --no-create -s 0 -- /proc/self/fd/3
`

func (h host) truncate(ctx context.Context, s saved) error {
	res, err := h.env.Act(ctx, "sh", "-c", truncateScript, "truncate", s.Path, s.Before.Inode, inodeFormat,
		strconv.FormatInt(s.Before.Size, 10), s.Into, strconv.FormatInt(s.Keep, 10))
	switch {
	case err != nil:
		return fmt.Errorf("empty %s: %w", s.Path, err)
	case res.ExitCode == exitChanged:
		return changed(s.Path)
	case res.Err() != nil:
		return fmt.Errorf("empty %s: %w", s.Path, res.Err())
	}
	return nil
}
