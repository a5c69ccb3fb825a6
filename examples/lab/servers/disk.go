package servers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// AddDisk makes an ext4 file system of its own for the host, a file behind a
// loop device, and mounts it there. The device goes with the mount. A second one
// at the same place is refused.
func (h *Host) AddDisk(ctx context.Context, mount string, bytes int64, mkfs ...string) error {
	image := h.diskImage(mount)
	file, err := os.OpenFile(image, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s has a disk at %s already", h.Name, mount)
	}
	if err != nil {
		return err
	}
	if err := errors.Join(file.Truncate(bytes), file.Close()); err != nil {
		return err
	}
	if _, err := Output(exec.CommandContext(ctx, "mkfs.ext4", append(append([]string{"-q", "-F"}, mkfs...), image)...)); err != nil {
		return err
	}
	device, err := Output(exec.CommandContext(ctx, "losetup", "--find", "--show", image))
	if err != nil {
		return err
	}
	device = strings.TrimSpace(device)
	// Detached while in use, it is only marked to go with its last user, the
	// mount; if mounting went wrong it goes at once.
	defer func() { _, _ = Output(exec.CommandContext(ctx, "losetup", "--detach", device)) }()
	var st unix.Stat_t
	if err := unix.Stat(device, &st); err != nil {
		return fmt.Errorf("stat %s: %w", device, err)
	}
	major, minor := strconv.Itoa(int(unix.Major(st.Rdev))), strconv.Itoa(int(unix.Minor(st.Rdev)))
	for _, argv := range [][]string{
		{"mkdir", "-p", mount}, {"rm", "-f", device}, {"mknod", device, "b", major, minor}, {"mount", "-t", "ext4", device, mount},
	} {
		if _, err := h.Run(ctx, argv...); err != nil {
			return err
		}
	}
	return nil
}

// diskImage is the file behind the disk that is mounted there.
func (h *Host) diskImage(mount string) string {
	return filepath.Join(filepath.Dir(h.Root), "disk-"+url.PathEscape(mount)+".img")
}

// RemoveDisk unmounts what AddDisk has mounted and deletes it; nothing when it
// is not there. What is still open on it is an error, after a while in which a
// program may end that was told to.
func (h *Host) RemoveDisk(ctx context.Context, mount string) error {
	image := h.diskImage(mount)
	if _, err := os.Stat(image); err != nil {
		return ignoreGone(err)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var busy error
	err := Poll(ctx, "unmounting "+mount, func() (bool, error) {
		// Somebody may have unmounted it.
		_, busy = h.Run(ctx, "sh", "-c", `! mountpoint -q "$1" || umount "$1"`, "sh", mount)
		return busy == nil, nil
	})
	if err != nil {
		return errors.Join(err, busy)
	}
	return os.Remove(image)
}
