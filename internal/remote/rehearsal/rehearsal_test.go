package rehearsal_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/redact"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/internal/remote/local"
	"github.com/secondline-ops/secondline/internal/remote/rehearsal"
	"github.com/secondline-ops/secondline/internal/remote/remotetest"
)

// server is this machine, behind the gate of a session that only rehearses.
func server(t testing.TB) *remote.Server {
	t.Helper()
	return remote.Open(local.New(), remote.Options{Gate: rehearsal.Gate(remote.ReadOnly()), Redactor: redact.New()})
}

// open opens a rehearsal, or skips the test where this machine cannot have one.
func open(t testing.TB, s remote.Runner) *rehearsal.Rehearsal {
	t.Helper()
	r, err := rehearsal.Open(t.Context(), s)
	if err != nil {
		if os.Getenv("SECONDLINE_REQUIRE_REAL") == "1" {
			t.Fatal(err)
		}
		t.Skipf("no rehearsal here: %v", err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// sh runs a script that is meant to write, and returns what it printed.
func sh(t testing.TB, r remote.Runner, script string, args ...string) (out string, code int) {
	t.Helper()
	res, err := r.Run(t.Context(), remote.Command{Argv: append([]string{"sh", "-c", script, "sh"}, args...)})
	if err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	return string(res.Stdout) + string(res.Stderr), res.ExitCode
}

// snapshot describes everything below a folder.
func snapshot(t testing.TB, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		out[name] = fmt.Sprintf("%v %d:%d %d %d.%d", info.Mode(), st.Uid, st.Gid, st.Ino, st.Ctim.Sec, st.Ctim.Nsec)
		if d.Type().IsRegular() {
			data, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			out[name] += fmt.Sprintf(" %x", sha256.Sum256(data))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// house is a folder with some files.
func house(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"a.conf": "one\ntwo\n", "gone": "x", "sub/deep/b": "b", "cache/1": "1", "cache/2": "2", "touched": "same"} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestNothingIsKeptAndEverythingIsSeen(t *testing.T) {
	t.Parallel()
	r, dir := open(t, server(t)), house(t)
	before := snapshot(t, dir)
	out, code := sh(t, r, `cd "$1"; echo three >>a.conf; rm gone; chmod 600 sub/deep/b; rm -rf cache; mkdir cache; echo 3 >cache/3; ln -s a.conf link
		: >>touched; echo run >/run/x.pid; mkdir -p new/er; echo n >new/er/n; exit 7`, dir)
	if code != 7 {
		t.Fatalf("exit status %d, want 7: %s", code, out)
	}
	if diff := cmp.Diff(before, snapshot(t, dir)); diff != "" {
		t.Errorf("the server was changed:\n%s", diff)
	}
	changes, err := r.Changes(t.Context())
	if err != nil || changes.Left != "" {
		t.Fatalf("%+v, %v", changes, err)
	}
	got := map[string]string{}
	for _, c := range changes.List {
		got[strings.TrimPrefix(c.Path, dir+"/")] = string(c.Kind)
	}
	want := map[string]string{
		"a.conf": "changed", "gone": "removed", "sub/deep/b": "altered", "cache/1": "removed", "cache/2": "removed", "cache/3": "created",
		"link": "created", "/run/x.pid": "created", "new": "created", "new/er": "created", "new/er/n": "created",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	for _, c := range changes.List {
		if name := filepath.Base(c.Path); name == "a.conf" && !strings.Contains(c.Diff, "\n one\n two\n+three\n") {
			t.Errorf("the difference is %q", c.Diff)
		} else if name == "b" && (c.Was != "file, mode 0644, owner 0:0, 1 bytes" || c.Is != "file, mode 0600, owner 0:0, 1 bytes") {
			t.Errorf("%+v", c)
		}
	}

	// The next step sees what this one wrote, and only its own change is told.
	if out, code := sh(t, r, `cd "$1"; set -e; grep -q three a.conf; [ ! -e gone ]; rm link; echo four >>a.conf`, dir); code != 0 {
		t.Fatalf("exit status %d: %s", code, out)
	}
	changes, err = r.Changes(t.Context())
	if err != nil || len(changes.List) != 2 || !strings.Contains(changes.List[0].Diff, "\n three\n+four\n") || changes.List[1].Kind != rehearsal.Removed {
		t.Errorf("the second step: %+v, %v", changes, err)
	}
	if changes, err = r.Changes(t.Context()); err != nil || len(changes.List) != 0 {
		t.Errorf("nobody has done anything since: %+v, %v", changes, err)
	}
}

// What the server itself does meanwhile in the same folder is not a step's doing.
func TestOthersChangesAreNotTold(t *testing.T) {
	t.Parallel()
	r, dir := open(t, server(t)), house(t)
	ctx, stop := context.WithCancel(t.Context())
	var busy sync.WaitGroup
	defer busy.Wait()
	defer stop()
	busy.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			file := filepath.Join(dir, fmt.Sprintf("busy%d", i%20))
			_ = os.WriteFile(file, []byte("x"), 0o600)
			if i%3 > 0 {
				_ = os.Remove(file)
			}
		}
	})
	for i := range 5 {
		name := filepath.Join(dir, fmt.Sprintf("mine%d", i))
		sh(t, r, `touch "$1"`, name)
		changes, err := r.Changes(t.Context())
		if err != nil || len(changes.List) != 1 || changes.List[0].Path != name {
			t.Errorf("%+v, %v", changes, err)
		}
	}
}

func TestReadsSeeWhatWasWritten(t *testing.T) {
	t.Parallel()
	r, dir := open(t, server(t)), house(t)
	sh(t, r, `cd "$1"; printf new >a.conf; chmod 640 a.conf; rm gone; mkdir e; ln -s /nowhere e/l`, dir)
	data, cut, err := r.ReadFile(t.Context(), dir+"/a.conf", 100)
	if err != nil || cut || string(data) != "new" {
		t.Errorf("read %q, %v, %v", data, cut, err)
	}
	info, err := r.Stat(t.Context(), dir+"/a.conf")
	if err != nil || info.Mode != 0o640 || info.Size != 3 || info.Name != "a.conf" {
		t.Errorf("stat %+v, %v", info, err)
	}
	if _, err := r.Stat(t.Context(), dir+"/gone"); !isClass(err, remote.NotExist) {
		t.Errorf("what is gone: %v", err)
	}
	list, more, err := r.ReadDir(t.Context(), dir+"/e", 10)
	if err != nil || more || len(list) != 1 || list[0].LinkTarget != "/nowhere" {
		t.Errorf("list %+v, %v, %v", list, more, err)
	}
	res, err := r.Run(t.Context(), remote.Command{Argv: []string{"cat", dir + "/a.conf"}, Effect: remote.Read})
	if err != nil || string(res.Stdout) != "new" {
		t.Errorf("cat %+v, %v", res, err)
	}
}

func isClass(err error, class remote.Class) bool {
	e, ok := errors.AsType[*remote.Error](err)
	return ok && e.Class == class
}

// What a rehearsal does not have must not pass for what is not there.
func TestWhatIsNotRehearsedSaysSo(t *testing.T) {
	t.Parallel()
	r := open(t, server(t))
	_, err := r.Statfs(t.Context(), "/")
	asked := map[string]error{"room": err}
	for name, argv := range map[string][]string{"services": {"systemctl", "show", "x"}, "room by df": {"df", "/"}, "processes": {"ps", "-ef"}} {
		_, asked[name] = r.Run(t.Context(), remote.Command{Argv: argv, Effect: remote.Read})
	}
	_, asked["run"] = r.Stat(t.Context(), "/run/no-such-thing.pid")
	_, _, asked["all of run"] = r.ReadDir(t.Context(), "/run", 10)
	probes := rehearsal.ForProbes(r)
	_, _, asked["a probe of the kernel"] = probes.ReadFile(t.Context(), "/proc/loadavg", 100)
	_, asked["a probe of the kernel's files"] = probes.Stat(t.Context(), "/proc/1")
	_, _, asked["a probe of its folders"] = probes.ReadDir(t.Context(), "/sys", 1)
	_, asked["a probe's script"] = probes.Run(t.Context(), remote.Command{Argv: []string{"sh", "-c", "true"}, Effect: remote.Read})
	for name, err := range asked {
		if !errors.Is(err, rehearsal.ErrNotRehearsed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The kernel says of the server's processes what it says without a rehearsal.
	res, err := r.Run(t.Context(), remote.Command{Argv: []string{"find", "/proc", "-maxdepth", "1", "-name", strconv.Itoa(os.Getpid())}, Effect: remote.Read})
	if err != nil || len(res.Stdout) == 0 {
		t.Errorf("this process was not found: %+v, %v", res, err)
	}
}

// TestNothingGetsOut tries what must have no effect outside. Each attempt is
// harmless where it would succeed.
func TestNothingGetsOut(t *testing.T) {
	t.Parallel()
	remotetest.Need(t, "perl", "bash", "mount", "nsenter", "unshare", "dmesg", "mknod")
	r, dir := open(t, server(t)), house(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	socket := filepath.Join(dir, "s")
	unix, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close()
	abstract, err := net.Listen("unix", "@secondline-"+filepath.Base(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer abstract.Close()
	var got sync.Map
	for name, l := range map[string]net.Listener{"tcp": listener, "unix": unix, "abstract": abstract} {
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				got.Store(name, true)
				_ = c.Close()
			}
		}()
	}
	victim := exec.Command("sleep", "600")
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = victim.Process.Kill(); _ = victim.Wait() }()
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	swappiness := read(t, "/proc/sys/vm/swappiness")
	hostname := read(t, "/proc/sys/kernel/hostname")
	before := snapshot(t, dir)
	nullBefore, err := os.Stat("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	pid, port := strconv.Itoa(victim.Process.Pid), strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)
	for name, script := range map[string]string{
		"a setting":               `echo "$(cat /proc/sys/vm/swappiness)" >/proc/sys/vm/swappiness`,
		"sysrq":                   `echo h >/proc/sysrq-trigger`,
		"sysfs":                   `for f in /sys/kernel/rcu_expedited /sys/module/printk/parameters/time; do [ ! -e "$f" ] || { v=$(cat "$f"); echo "$v" >"$f" && exit 0; }; done; exit 1`,
		"a process":               `kill -s KILL ` + pid,
		"a process's files":       `ls /proc/` + pid + `/root`,
		"a hang-up for everybody": `[ "$$" != 1 ] || exit 1; kill -s HUP ` + strconv.Itoa(os.Getpid()),
		"the network":             `bash -c 'echo x >/dev/tcp/127.0.0.1/` + port + `'`,
		"a socket":                `perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Peer => "` + socket + `") or die $!'`,
		"an abstract socket":      `perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Peer => "\0secondline-` + filepath.Base(dir) + `") or die $!'`,
		"a service manager":       `systemctl daemon-reload`,
		"a disk":                  `mknod "` + dir + `/disk" b 8 0`,
		"memory":                  `mknod "` + dir + `/mem" c 1 1`,
		"a mount":                 `mount -t tmpfs x "` + dir + `/sub"`,
		"a remount":               `mount -o remount,rw /proc`,
		"an unmount":              `umount -l /proc`,
		"the other namespaces":    `nsenter -t 1 -m -p true && [ -e "/proc/` + pid + `" ]`,
		"new namespaces":          `unshare -m true`,
		"the hostname":            `hostname "$(hostname)"`,
		"the clock":               `date -s "$(date)"`,
		"the kernel's log":        `dmesg -C`,
		"tracing":                 `[ -e /sys/kernel/tracing/trace ] || [ -e /sys/kernel/debug/tracing ]`,
		"a terminal":              `: </dev/tty`,
		"the session":             `[ "$(cut -d " " -f 6 /proc/$$/stat)" = 0 ]`, // one whose leader is outside (proc_pid_stat(5))
		"the device of null":      `chmod 600 /dev/null`,
	} {
		t.Run(name, func(t *testing.T) {
			if out, code := sh(t, r, script); code == 0 {
				t.Errorf("it succeeded: %s", out)
			}
		})
	}
	if !alive(t, victim.Process.Pid) {
		t.Error("the process was ended")
	}
	select {
	case <-hup:
		t.Error("this process got a signal")
	default:
	}
	got.Range(func(name, _ any) bool { t.Errorf("%s was reached", name); return true })
	if read(t, "/proc/sys/vm/swappiness") != swappiness || read(t, "/proc/sys/kernel/hostname") != hostname {
		t.Error("a setting was changed")
	}
	if now, err := os.Stat("/dev/null"); err != nil || now.Mode() != nullBefore.Mode() {
		t.Errorf("/dev/null is %v, %v", now, err)
	}
	if diff := cmp.Diff(before, snapshot(t, dir)); diff != "" {
		t.Errorf("the server was changed:\n%s", diff)
	}
}

// alive reports whether the process runs; one that was ended and not waited for does not.
func alive(t testing.TB, pid int) bool {
	t.Helper()
	stat := read(t, fmt.Sprintf("/proc/%d/stat", pid))
	return !strings.Contains(stat[strings.LastIndexByte(stat, ')'):], ") Z ")
}

// escapeScript leaves a chroot as root can: it makes a folder its root while it
// is outside of it, climbs up, and writes there.
const escapeScript = `perl -e '
	mkdir "/tmp/.jail"; chroot("/tmp/.jail") or die "chroot: $!";
	chdir("..") or die for 1..40; chroot(".") or die "chroot: $!";
	open(my $f, ">", $ARGV[0]) or die "write: $!"; print $f "out\n"; close $f' "$1"`

func TestWhoLeavesTheTreeIsInOneThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	r, dir := open(t, server(t)), house(t)
	before := snapshot(t, dir)
	remotetest.Need(t, "perl")
	out, code := sh(t, r, escapeScript, dir+"/escaped")
	if code == 0 || !strings.Contains(out, "write: Read-only file system") {
		t.Errorf("exit status %d: %s", code, out)
	}
	if diff := cmp.Diff(before, snapshot(t, dir)); diff != "" {
		t.Errorf("the server was changed (%s):\n%s", out, diff)
	}
	// Nor is anything of the server mounted where it is: only overlays, tmpfs and the kernel's own.
	var mounts string
	mounts, code = sh(t, r, `perl -e 'mkdir "/tmp/.jail"; chroot("/tmp/.jail"); chdir("..") for 1..40; chroot("."); open(my $f, "<", "/proc/self/mountinfo") or die $!; print <$f>'`)
	if code != 0 || mounts == "" {
		t.Fatalf("exit status %d: %s", code, mounts)
	}
	for line := range strings.Lines(mounts) {
		_, of, _ := strings.Cut(line, " - ")
		kind, _, _ := strings.Cut(of, " ")
		bound := strings.HasPrefix(strings.Fields(line)[5], "ro") // a file that the server has bound somewhere
		if !slices.Contains([]string{"overlay", "tmpfs", "proc", "sysfs"}, kind) && !bound {
			t.Errorf("there is %s", line)
		}
	}
}

// A step that changes the programs of the server changes none that work with root's power.
func TestChangedProgramsGetNoPower(t *testing.T) {
	t.Parallel()
	r, dir := open(t, server(t)), house(t)
	before := snapshot(t, dir)
	sh(t, r, `for p in setpriv chroot setsid unshare mount nsenter stat find diff; do
		f=$(command -v $p); rm "$f"; printf '#!/bin/sh\ngrep CapEff /proc/self/status >>"%s/caps"; exit 0\n' "$1" >"$f"; chmod 755 "$f"; done`, dir)
	out, code := sh(t, r, `grep CapEff /proc/self/status; cat "$1/caps" 2>/dev/null; exit 5`, dir)
	if code != 5 || strings.Count(out, "CapEff") != 1 || !strings.Contains(out, "00000000800405fb") {
		t.Errorf("exit status %d: %s", code, out)
	}
	if changes, err := r.Changes(t.Context()); err != nil || len(changes.List) < 9 {
		t.Errorf("%+v, %v", changes, err)
	}
	if diff := cmp.Diff(before, snapshot(t, dir)); diff != "" {
		t.Errorf("the server was changed:\n%s", diff)
	}
}

func read(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestAsAnotherUser(t *testing.T) {
	t.Parallel()
	r := open(t, server(t))
	res, err := r.Run(t.Context(), remote.Command{
		Argv: []string{"sh", "-c", `id -un; id -G; echo "$HOME $A"; cat; touch /etc/x`}, As: "nobody", Env: map[string]string{"A": "b c"}, Stdin: []byte("in\n"),
	})
	want, oops := exec.Command("id", "-G", "nobody").Output()
	if err != nil || oops != nil || string(res.Stdout) != "nobody\n"+string(want)+"/nonexistent b c\nin\n" || !strings.Contains(string(res.Stderr), "Permission denied") {
		t.Errorf("%+v, %v, %v", res, err, oops)
	}
	if _, err := r.Run(t.Context(), remote.Command{Argv: []string{"true"}, As: "no-such-user"}); err == nil || !strings.Contains(err.Error(), "no such user") {
		t.Errorf("got %v", err)
	}
}

// namespaces returns the mount namespaces that have a process, with one of them.
func namespaces(t testing.TB) map[string]string {
	t.Helper()
	out := map[string]string{}
	links, err := filepath.Glob("/proc/[0-9]*/ns/mnt")
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		if ns, err := os.Readlink(link); err == nil {
			out[ns] = link
		}
	}
	return out
}

// inside returns the mount namespace of a process.
func inside(t testing.TB, pid string) string {
	t.Helper()
	ns, err := os.Readlink("/proc/" + pid + "/ns/mnt")
	if err != nil {
		t.Fatal(err)
	}
	return ns
}

// watched remembers the process that keeps the rehearsal, from the commands that enter it.
type watched struct {
	remote.Runner
	mu     sync.Mutex // guards below
	holder string
	cut    error
}

func (w *watched) Run(ctx context.Context, cmd remote.Command) (remote.Result, error) {
	w.mu.Lock()
	if len(cmd.Argv) > 2 && cmd.Argv[0] == "nsenter" {
		w.holder = cmd.Argv[2]
	}
	cut := w.cut
	w.mu.Unlock()
	if cut != nil {
		return remote.Result{}, cut
	}
	return w.Runner.Run(ctx, cmd)
}

// gone waits until no process is in the namespace.
func gone(t testing.TB, ns string) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		if _, there := namespaces(t)[ns]; !there {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("there is still a process in %s: %s", ns, namespaces(t)[ns])
		}
	}
}

func TestNothingIsLeftBehind(t *testing.T) {
	t.Parallel()
	mountsBefore := read(t, "/proc/self/mountinfo")
	w := &watched{Runner: server(t)}
	r := open(t, w)
	ns := inside(t, w.holder)
	// What a step leaves running ends with the step.
	out, _ := sh(t, r, `setsid sleep 613 >/dev/null 2>&1 & nohup sleep 613 >/dev/null 2>&1 & readlink /proc/self/ns/mnt`)
	gone(t, strings.TrimSpace(out))
	// A step that takes too long ends with all that it has started.
	_, err := r.Run(t.Context(), remote.Command{Argv: []string{"sh", "-c", "trap '' TERM; setsid sleep 617 & sleep 617; sleep 617"}, Timeout: time.Second})
	if !isClass(err, remote.TimedOut) {
		t.Errorf("got %v", err)
	}
	if pids := running("sleep 617", "sleep 613"); len(pids) > 0 {
		t.Errorf("still running: %v", pids)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	gone(t, ns)
	if _, err := r.Run(t.Context(), remote.Command{Argv: []string{"touch", filepath.Join(t.TempDir(), "x")}}); !isClass(err, remote.NotPermitted) || !strings.Contains(err.Error(), "over") {
		t.Errorf("behind its end: %v", err)
	}
	if now := read(t, "/proc/self/mountinfo"); strings.Contains(now, "rehearsal") || strings.Contains(mountsBefore, "rehearsal") {
		t.Errorf("mounts: %s", now)
	}
}

// running returns the processes with one of the command lines.
func running(lines ...string) []string {
	var out []string
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		data, _ := os.ReadFile(file)
		if slices.Contains(lines, strings.TrimSpace(strings.ReplaceAll(string(data), "\x00", " "))) {
			out = append(out, file)
		}
	}
	return out
}

// The number of the process that kept it may be that of another by then.
func TestANumberThatWasGivenAnewIsNotEntered(t *testing.T) {
	t.Parallel()
	other := exec.Command("sleep", "600")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Process.Kill(); _ = other.Wait() }()
	number := strconv.Itoa(other.Process.Pid)
	s := &renumbered{Runner: server(t)}
	r := open(t, s)
	file := filepath.Join(t.TempDir(), "x")
	s.set(number)
	if _, err := r.Run(t.Context(), remote.Command{Argv: []string{"touch", file}}); !isClass(err, remote.NotPermitted) {
		t.Errorf("got %v", err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("it was carried out for real")
	}
	if !alive(t, other.Process.Pid) {
		t.Error("another process was ended")
	}
	s.end(t)
}

// renumbered puts another process in the place of the one that keeps a rehearsal.
type renumbered struct {
	remote.Runner
	mu        sync.Mutex // guards below
	now, real string
}

func (s *renumbered) set(now string) { s.mu.Lock(); s.now = now; s.mu.Unlock() }

func (s *renumbered) Run(ctx context.Context, cmd remote.Command) (remote.Result, error) {
	s.mu.Lock()
	for i, arg := range cmd.Argv {
		switch {
		case i == 2 && cmd.Argv[0] == "nsenter" && s.now == "":
			s.real = arg
		case s.now != "" && arg == s.real:
			cmd.Argv[i] = s.now
		}
	}
	s.mu.Unlock()
	return s.Runner.Run(ctx, cmd)
}

// end ends the rehearsal that nobody could close.
func (s *renumbered) end(t testing.TB) {
	pid, err := strconv.Atoi(s.real)
	if err != nil || pid < 2 {
		t.Fatalf("no process %q", s.real)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Error(err)
	}
}

func TestGateLetsOnlyRehearsalsPass(t *testing.T) {
	t.Parallel()
	for _, argv := range [][]string{
		{"touch", "/x"},
		{"sh", "-c", "touch /x"},
		{"nsenter", "--target", "77", "--mount", "--", "sh", "-c", "touch /x", "rehearse"},
		{"nsenter", "--target", "1", "--mount", "--", "touch", "/x"},
		{"unshare", "--mount", "--propagation", "private", "--", "sh", "-c", "touch /x"},
		{"unshare", "--mount"},
	} {
		if err := rehearsal.Gate(remote.ReadOnly()).Allow(t.Context(), "x", remote.Command{Argv: argv, Effect: remote.Write}); !fault.Is(err, fault.Denied) {
			t.Errorf("%q: %v", argv, err)
		}
	}
	if err := rehearsal.Gate(remote.ReadOnly()).Allow(t.Context(), "x", remote.Command{Argv: []string{"ls"}, Effect: remote.Read}); err != nil {
		t.Error(err)
	}
}

func TestOverSSH(t *testing.T) {
	t.Parallel()
	sshd := remotetest.StartSSHD(t)
	w := &watched{Runner: remote.Open(sshd.Dial(t), remote.Options{Gate: rehearsal.Gate(remote.ReadOnly()), Redactor: redact.New()})}
	r, dir := open(t, w), house(t)
	ns := inside(t, w.holder)
	before := snapshot(t, dir)
	if out, code := sh(t, r, `cd "$1" && echo "it's" >>a.conf && cat a.conf; exit 3`, dir); code != 3 || out != "one\ntwo\nit's\n" {
		t.Errorf("exit status %d: %s", code, out)
	}
	changes, err := r.Changes(t.Context())
	if err != nil || len(changes.List) != 1 || !strings.Contains(changes.List[0].Diff, "+it's") {
		t.Errorf("%+v, %v", changes, err)
	}
	if info, err := r.Stat(t.Context(), dir+"/a.conf"); err != nil || info.Size != 13 {
		t.Errorf("%+v, %v", info, err)
	}
	if diff := cmp.Diff(before, snapshot(t, dir)); diff != "" {
		t.Errorf("the server was changed:\n%s", diff)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	gone(t, ns)
}
