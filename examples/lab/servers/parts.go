package servers

import (
	"os"
	"os/exec"
	"path/filepath"
)

// Missing names what this machine lacks to run a lab; none when it can.
func Missing() []string {
	var out []string
	if os.Geteuid() != 0 {
		out = append(out, "root")
	}
	if _, err := os.Stat("/etc/debian_version"); err != nil {
		out = append(out, "Debian")
	}
	for _, program := range []string{"systemd-nspawn", "debootstrap", "nsenter", "ip", "losetup", "mkfs.ext4", "ssh", "ssh-keygen"} {
		if _, err := exec.LookPath(program); err != nil {
			out = append(out, program)
		}
	}
	return out
}

// DefaultCache returns where the base image and the folders of labs are kept:
// $XDG_CACHE_HOME/secondline-lab, else /var/cache/secondline-lab. The file
// system must be one that overlayfs can write to.
func DefaultCache() string {
	if dir := os.Getenv("XDG_CACHE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "secondline-lab")
	}
	return "/var/cache/secondline-lab"
}
