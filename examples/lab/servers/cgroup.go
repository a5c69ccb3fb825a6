package servers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// joinGroups is run by sh before a host's nspawn: it enters the groups named in
// $LAB_GROUPS and becomes the rest of its arguments.
const joinGroups = `for g in $LAB_GROUPS; do echo $$ >"$g/cgroup.procs" || exit; done; exec "$@"`

// makeGroups gives the host control groups of its own and returns their folders.
// Without them all hosts would share the groups of whoever started the lab, and
// stopping ssh.service on one host would kill that of another: systemd knows the
// processes of a unit by the group's name alone.
func (h *Host) makeGroups() ([]string, error) {
	hierarchies, err := groupHierarchies()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, hierarchy := range hierarchies {
		dir := filepath.Join(hierarchy, h.lab.Name, h.Name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("make a control group: %w", err)
		}
		out = append(out, dir)
	}
	return out, nil
}

// groupHierarchies returns the mount points of the hierarchies in which a host
// gets its own group: those by which systemd tracks units (cgroup2, and
// name=systemd beside version 1), and those that limit a host's memory and
// number of processes from outside.
func groupHierarchies() ([]string, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var out []string
	for line := range strings.Lines(string(text)) {
		// proc_pid_mountinfo(5): the fifth field is the mount point, and after
		// "-" come the type, the source and the options of the super block.
		mount, super, _ := strings.Cut(line, " - ")
		at, kind := strings.Fields(mount), strings.Fields(super)
		if len(at) < 5 || len(kind) < 3 {
			continue
		}
		options := strings.Split(kind[2], ",")
		wanted := slices.ContainsFunc(options, func(o string) bool { return o == "name=systemd" || o == "memory" || o == "pids" })
		if kind[0] == "cgroup2" || kind[0] == "cgroup" && wanted {
			out = append(out, at[4])
		}
	}
	if len(out) == 0 {
		return nil, errors.New("no control groups are mounted on this machine")
	}
	return out, nil
}

// removeGroups removes the control groups of a lab or, as "lab/host", of a host,
// with those below. What ran in them has been ended, of which the kernel and who
// entered a host ("lab shell") learn a moment later.
func removeGroups(ctx context.Context, name string) error {
	hierarchies, err := groupHierarchies()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return Poll(ctx, "the end of the control groups "+name, func() (bool, error) {
		for _, hierarchy := range hierarchies {
			err := removeGroup(filepath.Join(hierarchy, name))
			if errors.Is(err, unix.EBUSY) {
				return false, nil
			}
			if err != nil {
				return false, fmt.Errorf("remove a control group: %w", err)
			}
		}
		return true, nil
	})
}

func removeGroup(top string) error {
	var dirs []string
	if err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, path)
		}
		return ignoreGone(err)
	}); err != nil {
		return err
	}
	// A group can only be removed as a folder, after those below it. The files in
	// it are the kernel's.
	for _, dir := range slices.Backward(dirs) {
		if err := ignoreGone(os.Remove(dir)); err != nil {
			return err
		}
	}
	return nil
}

func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
