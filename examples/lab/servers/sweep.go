package servers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// What a lab leaves in its folder, so that another process can remove it: who
// owns it, and each process that it started.
const (
	ownerFile = "owner"
	pidsDir   = "pids"
	netnsDir  = "/run/netns"
)

func labsDir(cache string) string { return filepath.Join(cache, "labs") }

// Sweep removes the labs whose owner is not alive any more and that nobody asked
// to keep.
func Sweep(ctx context.Context, cache string) error {
	dirs, err := abandoned(labsDir(cache))
	errs := []error{err}
	for _, dir := range dirs {
		errs = append(errs, remove(ctx, dir))
	}
	return errors.Join(errs...)
}

// abandoned lists the folders of labs that nobody owns or has kept.
func abandoned(labs string) ([]string, error) {
	unlock, err := lockLabs(labs)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer unlock()
	dirs, err := filepath.Glob(filepath.Join(labs, prefix+"*"))
	return slices.DeleteFunc(dirs, func(dir string) bool {
		_, err := os.Stat(filepath.Join(dir, keptFile))
		pid, _ := recordedPID(filepath.Join(dir, ownerFile)) // none, or an unreadable one, owns nothing
		return err == nil || pid != 0
	}), err
}

// lockLabs waits for the only right to make the folder of a lab, or to say that
// it has no owner: between the two moments of its making it has none.
func lockLabs(labs string) (unlock func(), err error) {
	f, err := os.Open(labs)
	if err != nil {
		return nil, fmt.Errorf("open the folder of the labs: %w", err)
	}
	return lock(f)
}

// remove ends the recorded processes of the lab in dir and takes away what nspawn
// left, its mounts, control groups, its namespace and the folder itself, in this
// order. It depends on nothing that only the lab's own process knew.
func remove(ctx context.Context, dir string) error {
	if err := killRecorded(ctx, filepath.Join(dir, pidsDir)); err != nil {
		return err
	}
	roots, err := filepath.Glob(filepath.Join(dir, "*", "root"))
	if err != nil {
		return err
	}
	for _, root := range roots {
		if err := removeTraces(root); err != nil {
			return err
		}
	}
	if err := unmountBelow(ctx, dir); err != nil {
		return err
	}
	name := filepath.Base(dir)
	if err := removeGroups(ctx, name); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(netnsDir, name)); err == nil {
		if _, err := Output(exec.CommandContext(ctx, "ip", "netns", "delete", name)); err != nil {
			return err
		}
	}
	// Never into a mount that is still there: it may be a live file system.
	if left, err := mountsBelow(dir); err != nil || len(left) > 0 {
		return errors.Join(err, fmt.Errorf("%s stays: still mounted: %v", dir, left))
	}
	return os.RemoveAll(dir)
}

func killRecorded(ctx context.Context, dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var pids []int
	for _, e := range entries {
		pid, err := recordedPID(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		if pid != 0 {
			pids = append(pids, pid)
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended just now
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return Poll(ctx, fmt.Sprintf("the end of processes %v", pids), func() (bool, error) {
		return !slices.ContainsFunc(pids, alive), nil
	})
}

// alive reports whether the process still holds anything: a zombie does not.
func alive(pid int) bool {
	state, _, err := processStat(pid)
	return err == nil && state != "Z" && state != "X"
}

// unmountBelow takes away what is mounted below dir, the last mounted first.
// The kernel needs a moment after the last process of a host has ended.
func unmountBelow(ctx context.Context, dir string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return Poll(ctx, "unmounting "+dir, func() (bool, error) {
		mounts, err := mountsBelow(dir)
		if err != nil {
			return false, err
		}
		slices.Reverse(mounts)
		for _, m := range mounts {
			if err := unix.Unmount(m, 0); err != nil && !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.EINVAL) {
				return false, fmt.Errorf("unmount %s: %w", m, err)
			}
		}
		return len(mounts) == 0, nil
	})
}

// mountsBelow lists the mount points below dir in the order of mounting.
func mountsBelow(dir string) ([]string, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var out []string
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line) // proc_pid_mountinfo(5): the fifth is the mount point
		if len(fields) > 4 && strings.HasPrefix(fields[4], dir+"/") {
			out = append(out, fields[4])
		}
	}
	return out, nil
}

// recordPID notes a process together with its start, since numbers are used
// again.
func recordPID(dir, name string, pid int) error {
	_, start, err := processStat(pid)
	if err != nil {
		start = "ended" // it was quick; there is nothing left to end
	}
	if err := os.WriteFile(filepath.Join(dir, name), fmt.Appendf(nil, "%d %s\n", pid, start), 0o600); err != nil {
		return fmt.Errorf("record process %d: %w", pid, err)
	}
	return nil
}

// recordedPID returns the recorded process if it is the same and alive, else 0.
func recordedPID(file string) (int, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	number, start, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	pid, err := strconv.Atoi(number)
	if err != nil || pid <= 1 {
		return 0, fmt.Errorf("%s names no process: %q", file, text)
	}
	_, now, err := processStat(pid)
	if err != nil || now != start || !alive(pid) {
		return 0, nil
	}
	return pid, nil
}

// processStat returns the state and the start time of a process, fields 3 and
// 22 of proc_pid_stat(5). The name in field 2 may hold anything, also ")".
func processStat(pid int) (state, start string, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", "", err
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 20 {
		return "", "", fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	return fields[0], fields[19], nil
}
