// Package coreutils reads files for a Runner whose reads are commands on the
// server: by stat, head and readlink of coreutils, and find of GNU. It knows
// nothing of how a command gets to the server.
package coreutils

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/internal/remote"
)

// Files answers the questions of a Runner about files.
type Files struct {
	Target string // in errors
	// Run runs a script of a POSIX shell in which $p is the path, with English
	// messages (LC_ALL=C), and returns at most limit bytes of its output.
	Run func(ctx context.Context, doing, path, script string, limit int) (remote.Result, error)
}

const (
	// exitNotThatKind is what our scripts exit with for a path of another kind;
	// stat, head and find use 0 and 1.
	exitNotThatKind = 65
	// maxEntryBytes is more than a line of find has: ten numbers, a name
	// (NAME_MAX 255) and a link's target, rarely PATH_MAX long.
	maxEntryBytes = 1024
	smallOutput   = 64 << 10
)

// ReadFile is Runner.ReadFile. Only regular files are read.
func (f Files) ReadFile(ctx context.Context, name string, maxBytes int) (data []byte, truncated bool, err error) {
	if maxBytes <= 0 {
		maxBytes = remote.DefaultMaxOutputBytes
	}
	maxBytes = min(maxBytes, remote.MaxOutputBytes+remote.RedactionSlack)
	script := kindCheck("-f") + fmt.Sprintf(`exec head -c %d "$p"`, maxBytes+1)
	out, err := f.look(ctx, "read", name, script, maxBytes+1)
	if err != nil {
		return nil, false, err
	}
	if len(out) > maxBytes {
		return out[:maxBytes:maxBytes], true, nil
	}
	return out, false, nil
}

// kindCheck refuses a path that exists and is not of the kind; for one that
// does not exist, the reader itself says why.
func kindCheck(test string) string {
	return fmt.Sprintf(`if [ -e "$p" ] && ! [ %s "$p" ]; then exit %d; fi; `, test, exitNotThatKind)
}

// Stat is Runner.Stat.
func (f Files) Stat(ctx context.Context, name string) (remote.FileInfo, error) {
	// %y carries the fraction of a second, for which busybox has no format of its own.
	out, err := f.look(ctx, "stat", name, `TZ=UTC0 stat -c '%f %s %b %u %g %d %i %h %Y %y' "$p" || exit; if [ -L "$p" ]; then exec readlink "$p"; fi`, smallOutput)
	if err != nil {
		return remote.FileInfo{}, err
	}
	info, err := parseStat(out)
	if err != nil {
		return remote.FileInfo{}, f.broken("stat "+name, err)
	}
	info.Name = path.Base(path.Clean(name))
	return info, nil
}

// parseStat reads one line of numbers and, for a link, its target, which may
// have lines itself.
func parseStat(out []byte) (remote.FileInfo, error) {
	line, target, ok := bytes.Cut(out, []byte("\n"))
	fields := strings.Fields(string(line))
	if !ok || len(fields) < 10 {
		return remote.FileInfo{}, fmt.Errorf("stat printed %q", clip(out))
	}
	mode, err := strconv.ParseUint(fields[0], 16, 32)
	if err != nil {
		return remote.FileInfo{}, fmt.Errorf("stat printed mode %q", clip([]byte(fields[0])))
	}
	n, err := numbers(fields[1:8])
	if err != nil {
		return remote.FileInfo{}, err
	}
	seconds, err := strconv.ParseInt(fields[8], 10, 64)
	if err != nil {
		return remote.FileInfo{}, fmt.Errorf("stat printed time %q", clip([]byte(fields[8])))
	}
	info := remote.FileInfo{
		Mode: fileMode(uint32(mode)), Size: int64(n[0]), Blocks: int64(n[1]), UID: uint32(n[2]), GID: uint32(n[3]),
		Dev: n[4], Inode: n[5], Links: n[6], ModifiedAt: time.Unix(seconds, fraction(strings.Join(fields[9:], " "))),
	}
	if info.Mode&fs.ModeSymlink != 0 {
		info.LinkTarget = string(bytes.TrimSuffix(target, []byte("\n")))
	}
	return info, nil
}

// fraction returns the nanoseconds of "… 12:30:00.123456789 +0000".
func fraction(text string) int64 {
	_, digits, ok := strings.Cut(text, ".")
	if !ok {
		return 0
	}
	digits, _, _ = strings.Cut(digits, " ")
	n, err := strconv.ParseUint((digits + "000000000")[:9], 10, 32)
	if err != nil {
		return 0
	}
	return int64(n)
}

func numbers(fields []string) ([]uint64, error) {
	out := make([]uint64, len(fields))
	for i, f := range fields {
		n, err := strconv.ParseUint(f, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%q stands where a number should be", clip([]byte(f)))
		}
		out[i] = n
	}
	return out, nil
}

// Statfs is Runner.Statfs.
func (f Files) Statfs(ctx context.Context, name string) (remote.FSInfo, error) {
	out, err := f.look(ctx, "statfs", name, `exec stat -f -c '%S %b %f %a %c %d' "$p"`, smallOutput)
	if err != nil {
		return remote.FSInfo{}, err
	}
	info, err := parseStatfs(out)
	if err != nil {
		return remote.FSInfo{}, f.broken("statfs "+name, err)
	}
	return info, nil
}

func parseStatfs(out []byte) (remote.FSInfo, error) {
	fields := strings.Fields(string(out))
	if len(fields) != 6 {
		return remote.FSInfo{}, fmt.Errorf("stat -f printed %q", clip(out))
	}
	n, err := numbers(fields)
	if err != nil {
		return remote.FSInfo{}, err
	}
	return remote.FSInfo{Total: n[1] * n[0], Free: n[2] * n[0], Available: n[3] * n[0], Inodes: n[4], InodesFree: n[5]}, nil
}

// findFormat is one entry of ReadDir. %y %m stand for the mode, NUL ends what
// may hold any byte.
const findFormat = `%y %m %s %b %U %G %D %i %n %T@\0%f\0%l\0`

// ReadDir is Runner.ReadDir. The entries are sorted by name.
func (f Files) ReadDir(ctx context.Context, name string, maxEntries int) (entries []remote.FileInfo, truncated bool, err error) {
	maxEntries = remote.DirLimit(maxEntries)
	limit := min(smallOutput+maxEntries*maxEntryBytes, remote.MaxOutputBytes)
	script := kindCheck("-d") + fmt.Sprintf(`find -H "$p" -mindepth 1 -maxdepth 1 -printf '%s' | head -c %d`, findFormat, limit)
	out, err := f.look(ctx, "list", name, script, limit)
	if err != nil {
		return nil, false, err
	}
	entries, rest, err := parseFind(out, maxEntries)
	if err != nil {
		return nil, false, f.broken("list "+name, err)
	}
	slices.SortFunc(entries, func(a, b remote.FileInfo) int { return strings.Compare(a.Name, b.Name) })
	return entries, rest || len(out) == limit, nil
}

// parseFind reads at most maxEntries entries; an entry that was cut off does
// not count. more says that something follows.
func parseFind(out []byte, maxEntries int) (entries []remote.FileInfo, more bool, err error) {
	for len(out) > 0 {
		if len(entries) == maxEntries {
			return entries, true, nil
		}
		parts := bytes.SplitN(out, []byte{0}, 4)
		if len(parts) < 4 {
			return entries, true, nil
		}
		info, err := parseEntry(string(parts[0]))
		if err != nil {
			return nil, false, err
		}
		info.Name, info.LinkTarget = string(parts[1]), string(parts[2])
		entries = append(entries, info)
		out = parts[3]
	}
	return entries, false, nil
}

func parseEntry(text string) (remote.FileInfo, error) {
	fields := strings.Fields(text)
	if len(fields) != 10 || len(fields[0]) != 1 {
		return remote.FileInfo{}, fmt.Errorf("find printed %q", clip([]byte(text)))
	}
	types := map[string]uint32{"f": 0o100000, "d": 0o040000, "l": 0o120000, "p": 0o010000, "s": 0o140000, "c": 0o020000, "b": 0o060000}
	kind, known := types[fields[0]]
	perm, err := strconv.ParseUint(fields[1], 8, 16)
	if err != nil || !known {
		return remote.FileInfo{}, fmt.Errorf("find printed type and mode %q", clip([]byte(text)))
	}
	n, err := numbers(fields[2:9])
	if err != nil {
		return remote.FileInfo{}, err
	}
	whole, _, _ := strings.Cut(fields[9], ".")
	seconds, err := strconv.ParseInt(whole, 10, 64)
	if err != nil {
		return remote.FileInfo{}, fmt.Errorf("find printed time %q", clip([]byte(fields[9])))
	}
	return remote.FileInfo{
		Mode: fileMode(kind | uint32(perm)), Size: int64(n[0]), Blocks: int64(n[1]), UID: uint32(n[2]), GID: uint32(n[3]),
		Dev: n[4], Inode: n[5], Links: n[6], ModifiedAt: time.Unix(seconds, fraction(fields[9])),
	}, nil
}

// fileMode translates st_mode of inode(7).
func fileMode(mode uint32) fs.FileMode {
	out := fs.FileMode(mode & 0o777)
	switch mode & 0o170000 {
	case 0o040000:
		out |= fs.ModeDir
	case 0o120000:
		out |= fs.ModeSymlink
	case 0o010000:
		out |= fs.ModeNamedPipe
	case 0o140000:
		out |= fs.ModeSocket
	case 0o020000:
		out |= fs.ModeDevice | fs.ModeCharDevice
	case 0o060000:
		out |= fs.ModeDevice
	}
	for bit, flag := range map[uint32]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if mode&bit != 0 {
			out |= flag
		}
	}
	return out
}

// look runs one of the scripts above on a path, and reads its failure: the
// tools end their message with strerror(3).
func (f Files) look(ctx context.Context, verb, name, script string, limit int) ([]byte, error) {
	doing := verb + " " + name
	if err := remote.ValidatePath(doing, name); err != nil {
		return nil, err
	}
	result, err := f.Run(ctx, doing, name, script, limit)
	if err != nil {
		return nil, err
	}
	complaint := strings.TrimRight(string(result.Stderr), "\n")
	switch {
	case strings.HasSuffix(complaint, ": Permission denied"):
		return nil, f.failed(doing, remote.NotPermitted, fs.ErrPermission)
	case result.ExitCode == exitNotThatKind:
		return nil, f.failed(doing, remote.InvalidCall, errors.New("it is not a regular file, or not a folder, as asked"))
	case strings.HasSuffix(complaint, ": No such file or directory") && len(result.Stdout) == 0, strings.HasSuffix(complaint, ": Not a directory"):
		return nil, f.failed(doing, remote.NotExist, fs.ErrNotExist)
	case result.ExitCode != 0 || result.Signal != "":
		return nil, f.broken(doing, fmt.Errorf("exit status %d: %s", result.ExitCode, clip(result.Stderr)))
	case complaint != "" && len(result.Stdout) == 0:
		return nil, f.broken(doing, errors.New(clip(result.Stderr)))
	}
	return result.Stdout, nil
}

func (f Files) failed(doing string, class remote.Class, err error) *remote.Error {
	return &remote.Error{Class: class, Target: f.Target, Doing: doing, Err: err}
}

func (f Files) broken(doing string, err error) error {
	return &remote.Error{Class: remote.BrokenServer, Target: f.Target, Doing: doing, Err: err, Hint: "file reads need stat, head and GNU find on the server"}
}

// clip bounds what of a server's answer is quoted in an error.
func clip(text []byte) string { return string(text[:min(len(text), 200)]) }
