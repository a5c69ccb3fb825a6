package servers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const suite = "bookworm"

// buildLimit bounds the making of the base image: two minutes where the mirror
// is near.
const buildLimit = 20 * time.Minute

// packages are those of every server; which of their services run is the role of
// a server and not of the image.
func packages() []string {
	return []string{
		"systemd", "systemd-sysv", "dbus", "openssh-server", "sudo", "cron", "logrotate",
		"iproute2", "nftables", "procps", "psmisc", "curl", "ca-certificates", "openssl", "python3-minimal",
		"nginx-light", "postgresql-15", "redis-server", "dnsmasq-base",
		"prometheus", "prometheus-alertmanager", "prometheus-blackbox-exporter", "prometheus-node-exporter",
		"prometheus-postgres-exporter", "prometheus-redis-exporter",
	}
}

// finish is what is done to a fresh image, by sh inside it. Nothing runs on a
// server that nobody asked for, and no timer reaches for the network or wakes up
// in the middle of a story. The login ops may become anyone, as on many real
// servers. Redis's unit asks for name spaces of its own, which there are none of
// inside a container.
func finish() string {
	return `set -e
systemctl mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer \
	systemd-networkd-wait-online.service getty.target console-getty.service
systemctl disable nginx.service logrotate.timer postgresql.service redis-server.service cron.service \
	prometheus.service prometheus-alertmanager.service prometheus-blackbox-exporter.service prometheus-node-exporter.service \
	prometheus-postgres-exporter.service prometheus-redis-exporter.service
find /etc/systemd/system -name 'prometheus-node-exporter-*.timer' -delete
mkdir -p /etc/systemd/system/redis-server.service.d
printf '[Service]\nPrivateUsers=no\nPrivateDevices=no\n' >/etc/systemd/system/redis-server.service.d/container.conf
useradd --create-home --shell /bin/bash ops
echo 'ops ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/ops
chmod 440 /etc/sudoers.d/ops
rm -f /etc/fstab /etc/ssh/ssh_host_* /etc/machine-id
: >/etc/machine-id
apt-get clean
`
}

// buildImage returns the folder of the base image, made once for each list of
// packages. Hosts lay an overlay over it; nothing ever writes to it again. Those of other
// lists of packages go when a new one is made.
func buildImage(ctx context.Context, cache string) (string, error) {
	sum := sha256.Sum256([]byte(suite + strings.Join(packages(), ",") + finish()))
	image := filepath.Join(cache, suite+"-"+hex.EncodeToString(sum[:4]))
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", fmt.Errorf("make the cache: %w", err)
	}
	unlock, err := lockFile(filepath.Join(cache, "lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(image); err == nil {
		return image, nil
	}
	ctx, cancel := context.WithTimeout(ctx, buildLimit)
	defer cancel()
	building := image + ".building" // alone under the lock; what is there was cut short
	if err := os.RemoveAll(building); err != nil {
		return "", fmt.Errorf("remove a half-made image: %w", err)
	}
	argv := []string{"--variant=minbase", "--include=" + strings.Join(packages(), ","), suite, building}
	if m := mirror(ctx); m != "" {
		argv = append(argv, m)
	}
	if _, err := Output(exec.CommandContext(ctx, "debootstrap", argv...)); err != nil {
		return "", fmt.Errorf("make the base image: %w", err)
	}
	if _, err := Output(exec.CommandContext(ctx, "chroot", building, "sh", "-c", finish())); err != nil {
		return "", fmt.Errorf("finish the base image: %w", err)
	}
	// Whatever exists under the final name is complete.
	if err := os.Rename(building, image); err != nil {
		return "", err
	}
	return image, removeOthers(cache, image)
}

// removeOthers removes the images of other lists of packages, of which each has
// about 500 MB, but for those that hosts stand on now.
func removeOthers(cache, image string) error {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("look which images are in use: %w", err)
	}
	all, err := filepath.Glob(filepath.Join(cache, suite+"-*"))
	if err != nil {
		return err
	}
	for _, other := range all {
		if other != image && !strings.Contains(string(mounts), other+",") {
			if err := os.RemoveAll(other); err != nil {
				return fmt.Errorf("remove an old image: %w", err)
			}
		}
	}
	return nil
}

// mirror returns where this machine gets its own Debian packages from, "" when
// it gets those of another release.
func mirror(ctx context.Context) string {
	text, err := Output(exec.CommandContext(ctx, "apt-get", "indextargets", "--format", "$(CODENAME) $(SITE)", "Created-By: Packages", "Component: main"))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(text) {
		if codename, site, ok := strings.Cut(strings.TrimSpace(line), " "); ok && codename == suite {
			return site
		}
	}
	return ""
}

// lockFile waits for the only right to build images in this cache. The kernel
// lets go of it when the process ends, however that happens.
func lockFile(name string) (unlock func(), err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock of the cache: %w", err)
	}
	return lock(f)
}

// lock waits until nobody else has locked the file. Closing it unlocks.
func lock(f *os.File) (unlock func(), err error) {
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", f.Name(), err), f.Close())
	}
	return func() { _ = f.Close() }, nil
}
