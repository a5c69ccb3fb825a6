package cleanup

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// host asks find(1) and realpath(1) of GNU on the target, local or over SSH.
// Every path goes in as one argument behind nothing that could read it as an
// option: it begins with a slash.
type host struct{ env *engine.Env }

// resolveInside returns the directory with its links resolved, and refuses one
// outside the allow-list, whose own links are resolved too.
func (h host) resolveInside(ctx context.Context, dir string) (string, error) {
	real, err := h.realpath(ctx, dir)
	if err != nil {
		return "", err
	}
	for _, root := range h.env.CleanupRoots {
		root, err := h.realpath(ctx, root)
		if err != nil {
			continue // a root that is not there allows nothing
		}
		if root != "/" && (real == root || strings.HasPrefix(real, root+"/")) {
			return real, nil
		}
	}
	return "", fault.New(fault.Denied, "%q (really %q) is not inside a directory where this agent may delete", dir, real).
		WithHint("the agent's cleanup roots are %q", h.env.CleanupRoots)
}

func (h host) realpath(ctx context.Context, dir string) (string, error) {
	if !path.IsAbs(dir) {
		return "", fault.New(fault.Invalid, "%q is not an absolute path", dir)
	}
	res, err := h.env.Read(ctx, "realpath", "--canonicalize-existing", "--zero", "--", dir)
	if err == nil {
		err = res.Err()
	}
	if err != nil {
		return "", fmt.Errorf("resolve %q: %w", dir, err)
	}
	real, ok := strings.CutSuffix(string(res.Stdout), "\x00")
	if !ok || !path.IsAbs(real) || strings.Contains(real, "\x00") {
		return "", fault.New(fault.Internal, "realpath of %q gave %q", dir, res.Stdout)
	}
	return real, nil
}

// list returns every regular file below the directory, on its file system. A
// directory with more than can be listed is refused: among what was not seen
// may be the newest, which must stay.
func (h host) list(ctx context.Context, dir string) ([]file, error) {
	res, err := h.env.Runner.Run(ctx, remote.Command{
		Argv: []string{
			"find", "-P", dir, "-xdev", "-maxdepth", strconv.Itoa(maxDepth), "-ignore_readdir_race", "-type", "f", "-printf", listFormat,
		},
		As: h.env.Step.As, Effect: remote.Read, MaxOutputBytes: remote.MaxOutputBytes,
	})
	if err == nil {
		err = res.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("list %q: %w", dir, err)
	}
	if res.Truncated {
		return nil, fault.New(fault.TooLarge, "%q holds more files than can be listed", dir)
	}
	return parseList(res.Stdout)
}

// openFiles returns the paths that processes hold open, as far as the step's
// user may see: links in /proc/PID/fd (proc(5)), whose targets are not touched.
// find exits with 1 when a process ends under it.
func (h host) openFiles(ctx context.Context) (map[string]bool, error) {
	res, err := h.env.Runner.Run(ctx, remote.Command{
		Argv: []string{
			"find", "/proc", "-maxdepth", "3", "-ignore_readdir_race", "-regex", "/proc/[0-9]+/fd/[0-9]+",
			"-lname", "/*", "-printf", `%l\0`,
		},
		As: h.env.Step.As, Effect: remote.Read, MaxOutputBytes: remote.MaxOutputBytes,
	})
	switch {
	case err != nil:
		return nil, fmt.Errorf("list open files: %w", err)
	case res.Truncated || len(res.Stdout) == 0: // find itself has files open
		return nil, fault.New(fault.Internal, "it cannot be told which files are open")
	}
	open := map[string]bool{}
	for name := range strings.SplitSeq(string(res.Stdout), "\x00") {
		open[name] = true
	}
	return open, nil
}

// delete deletes those of the files that are still what was planned, and
// returns them. One find looks and unlinks, file by file, so that nothing fits
// between: the inode must be the planned one, and not changed since. The
// device is looked at in the command before, since find has no test for it.
func (h host) delete(ctx context.Context, files []file) ([]file, error) {
	same, err := h.unchanged(ctx, files)
	if err != nil || len(same) == 0 {
		return nil, err
	}
	argv := []string{"find", "-P"}
	for _, f := range same {
		argv = append(argv, string(f.Path))
	}
	argv = append(argv, "-maxdepth", "0", "-type", "f", "(")
	for i, f := range same {
		if i > 0 {
			argv = append(argv, "-o")
		}
		argv = append(argv, "-inum", f.Inode, "!", "-newerct", "@"+f.CTime)
	}
	argv = append(argv, ")", "-delete", "-printf", `%i\0`)
	res, err := h.env.Act(ctx, argv...)
	if err != nil {
		return nil, fmt.Errorf("delete %d files: %w", len(same), err)
	}
	printed := map[string]bool{}
	for inode := range strings.SplitSeq(string(res.Stdout), "\x00") {
		printed[inode] = true
	}
	gone := []file{}
	for _, f := range same {
		if printed[f.Inode] {
			gone = append(gone, f)
		}
	}
	if len(gone) == 0 {
		return gone, res.Err()
	}
	return gone, nil // one that could not be deleted is seen by the verification
}

// unchanged returns those of the files that are still there as planned.
func (h host) unchanged(ctx context.Context, files []file) ([]file, error) {
	if len(files) == 0 {
		return nil, nil
	}
	argv := []string{"find", "-P"}
	for _, f := range files {
		argv = append(argv, string(f.Path))
	}
	argv = append(argv, "-maxdepth", "0", "-type", "f", "-printf", listFormat)
	res, err := h.env.Read(ctx, argv...)
	if err == nil {
		err = res.Err()
	}
	// A file that is gone makes find exit with 1; the others are listed all the same.
	if e, ok := errors.AsType[*remote.Error](err); err != nil && (!ok || e.Class != remote.ExitStatus) {
		return nil, fmt.Errorf("look at %d files again: %w", len(files), err)
	}
	if res.Truncated {
		return nil, fault.New(fault.TooLarge, "the list of %d files was cut", len(files))
	}
	now, err := parseList(res.Stdout)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, f := range now {
		seen[f.identity()] = true
	}
	same := []file{}
	for _, f := range files {
		if seen[f.identity()] {
			same = append(same, f)
		}
	}
	return same, nil
}

// remaining counts the planned files that are still below the directory, under
// whatever name: a name that the Runner had to redact cannot be asked for.
func (h host) remaining(ctx context.Context, s saved) (int, error) {
	now, err := h.list(ctx, s.Dir)
	if err != nil {
		return 0, err
	}
	planned := map[string]bool{}
	for _, f := range s.Files {
		planned[f.inode()] = true
	}
	left := 0
	for _, f := range now {
		if planned[f.inode()] {
			left++
		}
	}
	return left, nil
}
