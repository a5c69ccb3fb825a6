package servers

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	requireReal = "SECONDLINE_REQUIRE_REAL"
	orphanCache = "SECONDLINE_LAB_ORPHAN" // for this test binary as the owner that is killed
)

// needLab skips a test on a machine that cannot run a lab; in CI it fails.
func needLab(t *testing.T, programs ...string) {
	t.Helper()
	missing := Missing()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			missing = append(missing, p)
		}
	}
	switch {
	case len(missing) == 0:
	case os.Getenv(requireReal) == "1":
		t.Fatalf("this machine has no %s, and %s=1 asks for it", strings.Join(missing, ", no "), requireReal)
	default:
		t.Skipf("this machine has no %s", strings.Join(missing, ", no "))
	}
}

// openLab makes a lab for a test. The base image may have to be built first.
func openLab(t *testing.T) *Lab {
	t.Helper()
	l, err := Open(t.Context(), DefaultCache())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// sshArgs is how OpenSSH reaches a host of the lab: nothing of this machine's
// own configuration, and only the key that was known before.
func sshArgs(l *Lab) []string {
	return []string{
		"ssh", "-F", "/dev/null", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "StrictHostKeyChecking=yes", "-o", "IdentitiesOnly=yes",
		"-o", "UserKnownHostsFile=" + l.KnownHosts(), "-i", l.SSHKey(),
	}
}

func TestHostBootsIsReachedAndLeavesNothing(t *testing.T) {
	needLab(t)
	l := openLab(t)
	began := time.Now()
	h, err := l.AddHost(t.Context(), HostOptions{Name: "db1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("booted in %s", time.Since(began).Round(time.Millisecond))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	t.Run("ssh as ops with sudo", func(t *testing.T) {
		out, err := Output(l.Command(ctx, append(sshArgs(l), "ops@"+h.Address, "hostname; id -un; sudo -n id -un; systemctl is-system-running")...))
		if want := "db1\nops\nroot\nrunning\n"; err != nil || out != want {
			t.Fatalf("got %q, %v, want %q", out, err, want)
		}
	})
	t.Run("no way out", func(t *testing.T) {
		out, err := h.Run(ctx, "ip", "-o", "route", "show", "default")
		if err != nil || out != "" {
			t.Fatalf("got %q, %v, want no default route", out, err)
		}
		out, err = Output(l.Command(ctx, "ip", "-br", "link"))
		if err != nil || strings.Contains(out, "eth0") {
			t.Fatalf("got %q, %v, want the bridge and the hosts only", out, err)
		}
	})
	t.Run("disk of its own", func(t *testing.T) {
		if err := h.AddDisk(ctx, "/var/log/orders", 64<<20); err != nil {
			t.Fatal(err)
		}
		out, err := h.Run(ctx, "stat", "-fc", "%T", "/var/log/orders")
		if err != nil || strings.TrimSpace(out) != "ext2/ext3" {
			t.Fatalf("got %q, %v", out, err)
		}
		if out, err := h.Run(ctx, "dd", "if=/dev/zero", "of=/var/log/orders/big", "bs=1M", "count=70"); err == nil {
			t.Fatalf("70 MiB went onto 64 MiB: %q", out)
		}
		if err := h.AddDisk(ctx, "/var/log/orders", 64<<20); err == nil || !strings.Contains(err.Error(), "already") {
			t.Errorf("a second disk at the same place: %v", err)
		}
	})
	t.Run("a disk that is removed", func(t *testing.T) {
		for range 2 { // and made anew
			if err := h.AddDisk(ctx, "/srv/films", 16<<20); err != nil {
				t.Fatal(err)
			}
			out, err := h.Run(ctx, "sh", "-c", "grep -c ' /srv/films ' /proc/mounts")
			if err != nil || out != "1\n" {
				t.Errorf("mounted %q times, %v", out, err)
			}
			for range 2 { // of what is not there nothing is to be removed
				if err := h.RemoveDisk(ctx, "/srv/films"); err != nil {
					t.Fatal(err)
				}
			}
			if out, err := h.Run(ctx, "mountpoint", "/srv/films"); err == nil {
				t.Errorf("still mounted: %q", out)
			}
		}
		if err := h.AddDisk(ctx, "/srv/films", 16<<20); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Run(ctx, "umount", "/srv/films"); err != nil { // somebody else did
			t.Fatal(err)
		}
		if err := h.RemoveDisk(ctx, "/srv/films"); err != nil {
			t.Error(err)
		}
		if left, err := filepath.Glob(filepath.Join(l.Dir, "db1", "disk-*films*")); err != nil || len(left) > 0 {
			t.Errorf("left: %v, %v", left, err)
		}
	})
	t.Run("a link in the host does not lead out", func(t *testing.T) {
		if _, err := h.Run(ctx, "ln", "-s", l.Dir, "/root/out"); err != nil {
			t.Fatal(err)
		}
		if err := h.WriteFile("/root/out/written", "x", 0o644); err == nil {
			t.Error("a file was written through it")
		}
	})
	t.Run("a second host of the name is refused", func(t *testing.T) {
		if _, err := l.AddHost(ctx, HostOptions{Name: "db1"}); err == nil {
			t.Error("there are two")
		}
	})
	p, err := l.Start(ctx, ProcessOptions{Name: "sleeper", Argv: []string{"sleep", "1000"}})
	if err != nil {
		t.Fatal(err)
	}
	pids := []int{p.PID(), h.leader, h.nspawn.PID()}
	rootLocks := rootLocksOf(t, l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	nothingLeft(t, l.Dir, pids)
	for _, name := range rootLocks {
		if _, err := os.Stat(name); err == nil {
			t.Errorf("%s is there", name)
		}
	}
	if _, err := l.AddHost(ctx, HostOptions{Name: "late"}); err == nil {
		t.Error("a closed lab took a host")
	}
}

// rootLocksOf returns the locks that nspawn holds now on the root folders of the
// lab's hosts.
func rootLocksOf(t *testing.T, l *Lab) []string {
	t.Helper()
	var out []string
	for _, h := range l.Hosts() {
		name, err := rootLock(h.Root)
		if err == nil {
			_, err = os.Stat(name)
		}
		if err != nil {
			t.Errorf("nspawn does not lock the root of %s as this lab thinks: %v", h.Name, err)
		}
		out = append(out, name)
	}
	return out
}

// nothingLeft looks at the machine, not at what the lab says of itself.
func nothingLeft(t *testing.T, dir string, pids []int) {
	t.Helper()
	for _, pid := range pids {
		if alive(pid) {
			t.Errorf("process %d lives", pid)
		}
	}
	mounts, err := os.ReadFile("/proc/mounts")
	if err != nil || strings.Contains(string(mounts), dir) {
		t.Errorf("still mounted (%v): %s", err, mounts)
	}
	if _, err := os.Stat(filepath.Join(netnsDir, filepath.Base(dir))); err == nil {
		t.Error("the namespace is there")
	}
	if _, err := os.Stat(dir); err == nil {
		t.Errorf("%s is there", dir)
	}
	traces, err := filepath.Glob(filepath.Join(nspawnDir, "*", "*"+machineName(filepath.Base(dir), "*")))
	if err != nil || len(traces) > 0 {
		t.Errorf("left of nspawn: %v, %v", traces, err)
	}
	hierarchies, err := groupHierarchies()
	if err != nil {
		t.Error(err)
	}
	for _, h := range hierarchies {
		if _, err := os.Stat(filepath.Join(h, filepath.Base(dir))); err == nil {
			t.Errorf("the control group in %s is there", h)
		}
	}
	loops, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		t.Error(err)
	}
	for _, l := range loops {
		if file, err := os.ReadFile(l); err == nil && strings.Contains(string(file), dir) {
			t.Errorf("%s is still attached to %s", filepath.Dir(filepath.Dir(l)), file)
		}
	}
	procs, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Error(err)
	}
	for _, name := range procs {
		if line, err := os.ReadFile(name); err == nil && strings.Contains(string(line), dir) {
			t.Errorf("%s: %q", name, strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
}

// TestRenewGoesBackToFreeze guards what a benchmark rests on: what one fault did
// is not there for the next, and what was set up before it is.
func TestRenewGoesBackToFreeze(t *testing.T) {
	needLab(t)
	l := openLab(t)
	h, err := l.AddHost(t.Context(), HostOptions{Name: "app1", Address: "10.77.0.42", Prepare: func(_ context.Context, h *Host) error {
		return h.WriteFile("/etc/role", "app\n", 0o600)
	}})
	if err != nil {
		t.Fatal(err)
	}
	say := func(text string) string {
		t.Helper()
		out, err := h.Script(t.Context(), text)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(out)
	}
	say("echo before >/root/before; systemctl mask cron.service")
	if err := h.Freeze(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := h.AddDisk(t.Context(), "/mnt", 16<<20); err != nil {
		t.Fatal(err)
	}
	unlimited, rootLocks := limitsOf(t, h), rootLocksOf(t, l)
	if err := errors.Join(h.LimitTasks(2000), h.LimitMemory(512<<20)); err != nil {
		t.Logf("without all limits: %v", err)
	} else if limitsOf(t, h) == unlimited {
		t.Error("this test does not see limits")
	}
	say("echo after >/root/after; rm /root/before /etc/role; echo x >/mnt/x; systemctl unmask cron.service")
	if err := h.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := say("cat /etc/role; ls /root; ls /mnt; systemctl is-enabled cron.service || true; ip -br addr show host0")
	if want := "app\nbefore\nmasked\n"; !strings.HasPrefix(got, want) || !strings.Contains(got, "10.77.0.42/24") {
		t.Errorf("got %q, want first %q", got, want)
	}
	left, err := filepath.Glob(filepath.Join(l.Dir, "app1", "disk*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	if now := limitsOf(t, h); now != unlimited {
		t.Errorf("limits are %q, before they were %q", now, unlimited)
	}
	rootLocks = append(rootLocks, rootLocksOf(t, l)...)
	if err := errors.Join(h.nspawn.Kill(), h.unmount(t.Context())); err != nil { // as when it would not end by itself
		t.Fatal(err)
	}
	for _, name := range rootLocks {
		if _, err := os.Stat(name); err == nil {
			t.Errorf("%s is there", name)
		}
	}
}

// limitsOf returns what the kernel holds the host to.
func limitsOf(t *testing.T, h *Host) string {
	t.Helper()
	var out []string
	for _, group := range h.groups {
		for _, name := range []string{"memory.limit_in_bytes", "memory.max", "pids.max"} {
			text, err := os.ReadFile(filepath.Join(group, name))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
			out = append(out, string(text))
		}
	}
	return strings.Join(out, "")
}

// TestKeptLabIsFoundAndClosedByAnother plays two processes: the one that made
// the lab is gone when the other comes.
func TestKeptLabIsFoundAndClosedByAnother(t *testing.T) {
	needLab(t)
	l := openLab(t)
	if _, err := l.AddHost(t.Context(), HostOptions{Name: "db1"}); err != nil {
		t.Fatal(err)
	}
	cache := DefaultCache()
	if _, err := Attach(cache, l.Name); err == nil {
		t.Error("attached to a lab that nobody kept")
	}
	if err := l.Keep(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(l.Dir, ownerFile), []byte("1 1\n"), 0o600); err != nil { // another process by now
		t.Fatal(err)
	}
	if err := Sweep(t.Context(), cache); err != nil {
		t.Fatal(err)
	}
	names, err := Kept(cache)
	if err != nil || !slices.Contains(names, l.Name) {
		t.Fatalf("got %v, %v", names, err)
	}
	again, err := Attach(cache, l.Name)
	if err != nil {
		t.Fatal(err)
	}
	h, err := again.Host("db1")
	if err != nil || !h.Running() {
		t.Fatalf("the host is not there: %v", err)
	}
	if out, err := h.Run(t.Context(), "hostname"); err != nil || out != "db1\n" {
		t.Errorf("got %q, %v", out, err)
	}
	if err := h.AddDisk(t.Context(), "/mnt", 16<<20); err != nil {
		t.Error(err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	nothingLeft(t, l.Dir, nil)
	if h.Running() {
		t.Error("the host runs")
	}
	if out, err := h.Run(t.Context(), "hostname"); err == nil || !strings.Contains(err.Error(), "does not run") {
		t.Errorf("got %q, %v from a host that ended", out, err)
	}
}

// TestLimitsHoldForTheHost: a fork that is refused, and a process that the kernel
// ends, are what the faults of the lab are made of.
func TestLimitsHoldForTheHost(t *testing.T) {
	needLab(t)
	l := openLab(t)
	h, err := l.AddHost(t.Context(), HostOptions{Name: "app1"})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.LimitMemory(256 << 20); err != nil {
		t.Skipf("not on this machine: %v", err)
	}
	// Half a GiB of memory, that is, not of page cache.
	if out, err := h.Run(t.Context(), "python3", "-c", "x = b'x' * (512 << 20)"); err == nil {
		t.Errorf("512 MiB went into 256: %q", out)
	}
	if err := h.LimitMemory(0); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Run(t.Context(), "python3", "-c", "x = b'x' * (512 << 20)"); err != nil {
		t.Errorf("the limit is still there: %v", err)
	}
	if err := h.LimitTasks(1); err != nil {
		t.Fatal(err)
	}
	if out, err := h.Run(t.Context(), "sh", "-c", "ls / | cat"); err == nil {
		t.Errorf("a fork went through: %q", out)
	}
	if err := h.LimitTasks(0); err != nil {
		t.Fatal(err)
	}
}

// TestHostsAreApart guards what systemd does by control groups: stopping a unit
// and killing what is left of it must not reach another host's.
func TestHostsAreApart(t *testing.T) {
	needLab(t)
	l := openLab(t)
	var hosts []*Host
	for _, name := range []string{"app1", "app2"} {
		h, err := l.AddHost(t.Context(), HostOptions{Name: name})
		if err != nil {
			t.Fatal(err)
		}
		hosts = append(hosts, h)
	}
	before, err := hosts[1].Run(t.Context(), "systemctl", "show", "-P", "MainPID", "ssh.service")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := hosts[0].Run(t.Context(), "systemctl", "kill", "--signal=KILL", "ssh.service"); err != nil {
		t.Fatal(err)
	}
	after, err := hosts[1].Run(t.Context(), "sh", "-c", "systemctl show -P MainPID ssh.service; kill -0 "+strings.TrimSpace(before))
	if err != nil || after != before {
		t.Errorf("sshd of app2 was %q and is %q (%v) after that of app1 was killed", before, after, err)
	}
	groups, err := hosts[1].Run(t.Context(), "systemd-cgls", "--no-pager", "--unit", "ssh.service")
	if err != nil || !strings.Contains(groups, "sshd") {
		t.Errorf("app2 does not see its sshd in the unit's group: %q, %v", groups, err)
	}
}

func TestHostThatCannotBootLeavesNothing(t *testing.T) {
	needLab(t)
	l := openLab(t)
	l.image = t.TempDir() // an image without anything in it
	if err := os.MkdirAll(filepath.Join(l.image, "etc/ssh"), 0o755); err != nil {
		t.Fatal(err)
	}
	h, err := l.AddHost(t.Context(), HostOptions{Name: "broken"})
	if err == nil {
		t.Fatalf("an empty image booted: %+v", h)
	}
	t.Log(err)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	nothingLeft(t, l.Dir, nil)
}
