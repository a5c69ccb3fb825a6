package servers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
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

const bootLimit = 60 * time.Second

// Host is a Debian server of the lab.
type Host struct {
	Name    string
	Address string
	// Root is its root file system, seen from outside.
	Root string

	lab    *Lab
	nspawn *Process
	leader int      // its process 1, as numbered out here
	groups []string // its control groups
	layers []string // read-only ones above the image, the newest first
}

// HostOptions say what a server is like.
type HostOptions struct {
	Name string
	// Address is its IPv4 address in the lab's network; "" means the next one.
	Address string
	// Prepare puts into its file system what makes it differ from others, before
	// it boots; may be nil.
	Prepare func(ctx context.Context, h *Host) error
}

// AddHost boots a server and returns when systemd says that it runs, all units
// are well, and sshd is there.
func (l *Lab) AddHost(ctx context.Context, o HostOptions) (*Host, error) {
	h, err := l.reserve(o)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, bootLimit)
	defer cancel()
	if err := h.furnish(ctx); err != nil {
		return nil, fmt.Errorf("prepare host %s: %w", h.Name, err)
	}
	if o.Prepare != nil {
		if err := o.Prepare(ctx, h); err != nil {
			return nil, fmt.Errorf("prepare host %s: %w", h.Name, err)
		}
	}
	if err := h.boot(ctx); err != nil {
		return nil, fmt.Errorf("boot host %s: %w", h.Name, err)
	}
	return h, nil
}

func (l *Lab) reserve(o HostOptions) (*Host, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(l.hosts) >= maxHosts {
		return nil, fmt.Errorf("the lab is closed or has %d hosts", maxHosts)
	}
	address := cmp.Or(o.Address, network+strconv.Itoa(10+len(l.hosts)))
	for _, h := range l.hosts {
		if h.Name == o.Name || h.Address == address {
			return nil, fmt.Errorf("the lab has a host %s with the address %s", h.Name, h.Address)
		}
	}
	h := &Host{Name: o.Name, Address: address, Root: filepath.Join(l.Dir, o.Name, "root"), lab: l}
	l.hosts = append(l.hosts, h)
	return h, nil
}

// furnish lays an overlay over the image and puts in it what tells one server
// from another. Its key is known before it boots, so that nobody ever has to
// trust a key on first sight.
func (h *Host) furnish(ctx context.Context) error {
	if err := h.mount(); err != nil {
		return err
	}
	hostKey := filepath.Join(h.Root, "etc/ssh/ssh_host_ed25519_key")
	if _, err := Output(exec.CommandContext(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", h.Name, "-f", hostKey)); err != nil {
		return err
	}
	if err := h.lab.trust(h.Address, hostKey+".pub"); err != nil {
		return err
	}
	login, err := os.ReadFile(h.lab.sshKey + ".pub")
	if err != nil {
		return err
	}
	for name, text := range map[string]string{
		"etc/systemd/system/lab-network.service": fmt.Sprintf(networkUnit, h.Address),
		"etc/hostname":                           h.Name + "\n", "etc/hosts": "127.0.0.1 localhost\n127.0.1.1 " + h.Name + "\n",
		"root/.ssh/authorized_keys": string(login), "home/ops/.ssh/authorized_keys": string(login),
	} {
		if err := h.WriteFile("/"+name, text, 0o644); err != nil {
			return err
		}
	}
	return h.Prepare(ctx, "systemctl --quiet enable lab-network.service")
}

// mount lays an empty writable layer over what the host begins with.
func (h *Host) mount() error {
	dir := filepath.Dir(h.Root)
	for _, sub := range []string{"root", "upper", "work"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return err
		}
	}
	lower := strings.Join(append(slices.Clone(h.layers), h.lab.image), ":")
	if err := unix.Mount("overlay", h.Root, "overlay", 0, fmt.Sprintf("lowerdir=%s,upperdir=%s/upper,workdir=%s/work", lower, dir, dir)); err != nil {
		return fmt.Errorf("mount overlay: %w", err)
	}
	return nil
}

func (l *Lab) trust(address, publicKey string) error {
	key, err := os.ReadFile(publicKey)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	f, err := os.OpenFile(l.KnownHosts(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(f, "%s %s", address, key); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}

// networkUnit gives a host its address before anything in it needs the network:
// it has no DHCP. nspawn moves the device in a moment after process 1 has begun.
const networkUnit = `[Unit]
Description=Address of this host in the lab
DefaultDependencies=no
Wants=network-pre.target
Before=network-pre.target network.target network-online.target
Conflicts=shutdown.target
Before=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
TimeoutStartSec=20
ExecStart=/bin/sh -ec 'until ip link show host0 >/dev/null 2>&1; do sleep 0.02; done; ip addr add %s/24 dev host0; ip link set lo up; ip link set host0 up'

[Install]
WantedBy=sysinit.target
`

// boot starts the container and waits until all is well in it.
func (h *Host) boot(ctx context.Context) (err error) {
	if h.groups, err = h.makeGroups(); err != nil {
		return err
	}
	h.nspawn, err = h.lab.Start(ctx, ProcessOptions{Name: h.Name, Env: []string{"LAB_GROUPS=" + strings.Join(h.groups, " ")}, Argv: []string{
		"sh", "-c", joinGroups, "sh",
		"systemd-nspawn", "--register=no", "--keep-unit", "-q", "-b", "-M", machineName(h.lab.Name, h.Name), "--hostname=" + h.Name, "-D", h.Root,
		"--network-bridge=br0", "--capability=all", "--link-journal=no", "--resolv-conf=off",
	}})
	if err != nil {
		return err
	}
	if err := Poll(ctx, "process 1", h.findLeader); err != nil {
		return err
	}
	if err := recordPID(h.lab.Dir, filepath.Join(pidsDir, strconv.Itoa(h.leader)), h.leader); err != nil {
		return err
	}
	var state string
	err = Poll(ctx, "systemd", func() (bool, error) {
		// Its exit code says the same as the word, and fails while there is no
		// one to ask yet.
		state, _ = h.Run(ctx, "systemctl", "is-system-running", "--wait")
		state = strings.TrimSpace(state)
		return state == "running" || state == "degraded", h.died()
	})
	if err != nil {
		return fmt.Errorf("%w (systemd says %q, see %s)", err, state, h.nspawn.Log)
	}
	if state != "running" {
		failed, _ := h.Run(ctx, "systemctl", "status", "--failed", "--full", "--no-pager", "--lines=20")
		return fmt.Errorf("systemd says %s: %s", state, failed)
	}
	return Poll(ctx, "sshd", func() (bool, error) { // asked inside: a firewall may shut the way from out here
		out, err := h.Run(ctx, "ss", "-H", "-ltn", "sport = :22")
		return err == nil && out != "", h.died()
	})
}

func (h *Host) died() error {
	select {
	case <-h.nspawn.Done():
		text, _ := os.ReadFile(h.nspawn.Log)
		return fmt.Errorf("systemd-nspawn ended: %s", text[max(0, len(text)-2000):])
	default:
		return nil
	}
}

// findLeader looks for the child of nspawn that is number 1 in a pid namespace
// of its own.
func (h *Host) findLeader() (bool, error) {
	pid := h.nspawn.PID()
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return false, h.died()
	}
	for child := range strings.FieldsSeq(string(children)) {
		status, err := os.ReadFile("/proc/" + child + "/status")
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(status)) {
			if name, numbers, _ := strings.Cut(line, ":"); name == "NSpid" {
				if f := strings.Fields(numbers); len(f) == 2 && f[1] == "1" {
					h.leader, err = strconv.Atoi(child)
					return true, err
				}
			}
		}
	}
	return false, h.died()
}

// Command returns a command that runs on the host as root, and counts against
// its limits. It fails to start when the host does not run.
func (h *Host) Command(ctx context.Context, argv ...string) *exec.Cmd {
	// --all changes the root folder with the mount namespace. A clean
	// environment: what this process was given is not the host's.
	enter := []string{"-c", joinGroups, "sh", "nsenter", "-t", strconv.Itoa(h.leader), "--all", "env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "HOME=/root"}
	cmd := exec.CommandContext(ctx, "sh", append(enter, argv...)...)
	cmd.Env = append(os.Environ(), "LAB_GROUPS="+strings.Join(h.groups, " "))
	if !h.Running() { // the number of its process 1 may be that of any process by now
		cmd.Err = fmt.Errorf("host %s does not run", h.Name)
	}
	return cmd
}

// Run runs a program on the host as root and returns what it printed.
func (h *Host) Run(ctx context.Context, argv ...string) (string, error) {
	return outputOf(h.Command(ctx, argv...), h.Name+": "+strings.Join(argv, " "))
}

// Script runs shell text on the host as root, stopping at the first failure.
func (h *Host) Script(ctx context.Context, text string) (string, error) {
	return outputOf(h.Command(ctx, "sh", "-euc", text), h.Name+": script")
}

// WriteFile writes a file of the host's own file system from outside; not below
// what is mounted inside. Folders that are made belong to who owns the folder
// above.
func (h *Host) WriteFile(name, text string, mode os.FileMode) error {
	root, err := os.OpenRoot(h.Root) // a link in the host must not lead out here
	if err != nil {
		return err
	}
	defer root.Close()
	name = strings.TrimPrefix(filepath.Clean(name), "/")
	owner, err := h.makeFolders(root, filepath.Dir(name))
	if err != nil {
		return err
	}
	if err := root.WriteFile(name, []byte(text), mode); err != nil {
		return err
	}
	if err := root.Chown(name, int(owner.Uid), int(owner.Gid)); err != nil {
		return err
	}
	return root.Chmod(name, mode)
}

// CopyFile copies a file from outside, as WriteFile writes one.
func (h *Host) CopyFile(name, from string, mode os.FileMode) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return h.WriteFile(name, string(data), mode)
}

// Prepare runs shell text as root in the file system of a host that has not
// booted yet, stopping at the first failure.
func (h *Host) Prepare(ctx context.Context, text string) error {
	_, err := Output(exec.CommandContext(ctx, "chroot", h.Root, "sh", "-euc", text))
	return err
}

func (h *Host) makeFolders(root *os.Root, dir string) (*syscall.Stat_t, error) {
	if info, err := root.Stat(dir); err == nil {
		return info.Sys().(*syscall.Stat_t), nil //nolint:forcetypeassert // what os returns on Linux
	}
	owner, err := h.makeFolders(root, filepath.Dir(dir))
	if err != nil {
		return nil, err
	}
	if err := root.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	return owner, root.Chown(dir, int(owner.Uid), int(owner.Gid))
}

// Freeze shuts the host down in order and boots it again over what it has
// become: from now on Renew goes back to this moment.
func (h *Host) Freeze(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, bootLimit)
	defer cancel()
	if _, err := h.Run(ctx, "systemctl", "poweroff"); err != nil {
		return err
	}
	select {
	case <-h.nspawn.Done():
	case <-ctx.Done():
		return fmt.Errorf("shut down %s: %w", h.Name, ctx.Err())
	}
	if err := h.stop(); err != nil {
		return err
	}
	if err := h.unmount(ctx); err != nil {
		return err
	}
	dir := filepath.Dir(h.Root)
	layer := filepath.Join(dir, fmt.Sprintf("layer%d", len(h.layers)))
	if err := os.Rename(filepath.Join(dir, "upper"), layer); err != nil {
		return err
	}
	h.layers = append([]string{layer}, h.layers...)
	if err := h.mount(); err != nil {
		return err
	}
	return h.boot(ctx)
}

// Renew ends the host at once, as a power cut does, throws away all that has
// happened since Freeze (or since it was made), disks and limits too, and boots
// it again.
func (h *Host) Renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, bootLimit)
	defer cancel()
	if err := h.stop(); err != nil {
		return err
	}
	if err := h.unmount(ctx); err != nil {
		return err
	}
	if err := removeGroups(ctx, filepath.Join(h.lab.Name, h.Name)); err != nil {
		return err
	}
	disks, err := filepath.Glob(filepath.Join(filepath.Dir(h.Root), "disk-*.img"))
	if err != nil {
		return err
	}
	for _, old := range append(disks, filepath.Join(filepath.Dir(h.Root), "upper")) {
		if err := os.RemoveAll(old); err != nil {
			return err
		}
	}
	if err := h.mount(); err != nil {
		return err
	}
	return h.boot(ctx)
}

func (h *Host) unmount(ctx context.Context) error {
	if err := removeTraces(h.Root); err != nil {
		return err
	}
	// What was mounted below by the host went with its mount name space.
	return Poll(ctx, "unmounting "+h.Root, func() (bool, error) {
		err := unix.Unmount(h.Root, 0)
		if errors.Is(err, unix.EBUSY) {
			return false, nil
		}
		return true, err
	})
}

// stop ends the host at once. Killing process 1 of a pid namespace takes all
// its processes with it, and nspawn follows.
func (h *Host) stop() error {
	if h.nspawn == nil {
		return nil
	}
	if h.leader > 1 {
		select {
		case <-h.nspawn.Done(): // the number may be another's by now
		default:
			_ = syscall.Kill(h.leader, syscall.SIGKILL)
			select {
			case <-h.nspawn.Done():
			case <-time.After(10 * time.Second):
			}
		}
	}
	return h.nspawn.Kill()
}
