package servers

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// nspawnDir has what systemd-nspawn keeps of each container: a folder through
// which mounts are handed in, and locks on its name and on its root folder. It
// takes them away when it ends, but not when it is killed.
const nspawnDir = "/run/systemd/nspawn"

// machineName is what systemd-nspawn calls a host. It must be unique on this
// whole machine: there are locks by it even when nothing is registered.
func machineName(lab, host string) string { return strings.TrimPrefix(lab, prefix) + "-" + host }

// removeTraces takes away what nspawn left of the host with this root folder, to
// be called after its end and before the folder is unmounted.
func removeTraces(root string) error {
	host := filepath.Dir(root)
	machine := machineName(filepath.Base(filepath.Dir(host)), filepath.Base(host))
	traces := []string{filepath.Join(nspawnDir, "propagate", machine), filepath.Join(nspawnDir, "locks", "name-"+machine)}
	locked, err := rootLock(root)
	if err != nil {
		return ignoreGone(err)
	}
	for _, name := range append(traces, locked) {
		if err := ignoreGone(os.Remove(name)); err != nil {
			return err
		}
	}
	return nil
}

// rootLock is the file by which nspawn locks a root folder: it is named after its
// device and number (image_path_lock in systemd's discover-image.c).
func rootLock(root string) (string, error) {
	info, err := os.Stat(root)
	if err != nil {
		return "", err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "", fmt.Errorf("%s: %w", root, fs.ErrInvalid)
	}
	return filepath.Join(nspawnDir, "locks", fmt.Sprintf("inode-%d:%d", st.Dev, st.Ino)), nil
}
