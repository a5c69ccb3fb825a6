package ssh_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/internal/remote/remotetest"
	"github.com/secondline-ops/secondline/internal/remote/ssh"
	"github.com/secondline-ops/secondline/internal/remote/ssh/sshtest"
)

func servers(t *testing.T, test func(*testing.T, *remotetest.SSHD)) {
	t.Helper()
	t.Run("openssh", func(t *testing.T) { t.Parallel(); test(t, remotetest.StartSSHD(t)) })
	t.Run("in-process", func(t *testing.T) { t.Parallel(); test(t, remotetest.StartInProcess(t)) })
}

func TestBrokenConnectionIsReplacedForTheNextCommand(t *testing.T) {
	t.Parallel()
	servers(t, func(t *testing.T, s *remotetest.SSHD) {
		tr := s.Dial(t)
		for range 3 {
			r, err := tr.Run(t.Context(), remote.Command{Argv: []string{"echo", "x"}})
			if err != nil || string(r.Stdout) != "x\n" {
				t.Fatalf("got %q, %v", r.Stdout, err)
			}
			s.DropConnections()
		}
	})
}

// A command during which the connection broke may have run: it is never run again.
func TestLostCommandIsNotRepeated(t *testing.T) {
	t.Parallel()
	servers(t, func(t *testing.T, s *remotetest.SSHD) {
		dir := t.TempDir()
		runs, fifo := filepath.Join(dir, "runs"), filepath.Join(dir, "fifo")
		if err := syscall.Mkfifo(fifo, 0o600); err != nil {
			t.Fatal(err)
		}
		tr := s.Dial(t)
		got := make(chan error, 1)
		go func() {
			_, err := tr.Run(t.Context(), remote.Command{Argv: []string{"sh", "-c", `echo x >>"$1"; echo >"$2"; exec sleep 20`, "sh", runs, fifo}})
			got <- err
		}()
		if _, err := os.ReadFile(fifo); err != nil { // the command is running
			t.Fatal(err)
		}
		s.DropConnections()
		err := <-got
		if class := remotetest.ClassOf(err); class != remote.Lost || !class.MayHaveRun() {
			t.Errorf("got %v", err)
		}
		if _, err := tr.Run(t.Context(), remote.Command{Argv: []string{"true"}}); err != nil {
			t.Error(err)
		}
		if text, err := os.ReadFile(runs); err != nil || string(text) != "x\n" {
			t.Errorf("it ran %q times, %v", text, err)
		}
	})
}

// Who asked stood still, so that timeout(1) was the first to end the command.
func TestWhatTimeoutEndedHasTimedOut(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		tick time.Duration // by which the clock goes on whenever it is read
		want remote.Class
	}{"its own exit status": {0, ""}, "after its time": {time.Minute, remote.TimedOut}} {
		s := remotetest.StartInProcess(t)
		var ticks atomic.Int64
		s.Options.Now = func() time.Time { return time.Unix(0, 0).Add(time.Duration(ticks.Add(1)) * c.tick) }
		r, err := s.Dial(t).Run(t.Context(), remote.Command{Argv: []string{"sh", "-c", "exit 124"}, Timeout: 30 * time.Second})
		if remotetest.ClassOf(err) != c.want || r.ExitCode != 124 {
			t.Errorf("%s: got %+v, %v", name, r, err)
		}
	}
}

func TestClosedTransportRefuses(t *testing.T) {
	t.Parallel()
	s := remotetest.StartInProcess(t)
	tr := s.Dial(t)
	for range 2 {
		if err := tr.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := tr.Run(t.Context(), remote.Command{Argv: []string{"true"}}); err == nil {
		t.Error("a closed transport ran a command")
	}
}

// proxy forwards to the server until it is frozen; frozen, it takes and says nothing.
type proxy struct {
	frozen atomic.Bool
	port   int
}

func startProxy(t *testing.T, to string) *proxy {
	t.Helper()
	p := &proxy{}
	var mu sync.Mutex
	var conns []net.Conn
	var wg sync.WaitGroup
	copies := func(dst, src net.Conn) {
		buf := make([]byte, 32<<10)
		for {
			n, err := src.Read(buf)
			if err != nil {
				_ = dst.Close()
				return
			}
			if p.frozen.Load() {
				continue
			}
			if _, err := dst.Write(buf[:n]); err != nil {
				return
			}
		}
	}
	p.port = listener(t, func(c net.Conn) {
		out, err := net.Dial("tcp", to)
		if err != nil {
			_ = c.Close()
			return
		}
		mu.Lock()
		conns = append(conns, c, out)
		mu.Unlock()
		wg.Go(func() { copies(out, c) })
		wg.Go(func() { copies(c, out) })
	})
	t.Cleanup(func() {
		mu.Lock()
		defer mu.Unlock()
		for _, c := range conns {
			_ = c.Close()
		}
		wg.Wait()
	})
	return p
}

func TestSilentConnectionIsClosedByKeepAlive(t *testing.T) {
	t.Parallel()
	s := remotetest.StartInProcess(t)
	p := startProxy(t, s.Addresses[0])
	known, err := os.ReadFile(s.KnownHostsPath)
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(s.Addresses[0])
	s.Target.Port = p.port
	_, proxyPort, _ := net.SplitHostPort((&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: p.port}).String())
	s.Options.KnownHosts = []string{writeFile(t, filepath.Join(t.TempDir(), "k"), []byte(strings.ReplaceAll(string(known), port, proxyPort)), 0o600)}
	s.Options.KeepAlive = 500 * time.Millisecond // a busy machine must not seem silent before it is
	tr := s.Dial(t)
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	got := make(chan error, 1)
	go func() {
		_, err := tr.Run(t.Context(), remote.Command{Argv: []string{"sh", "-c", `echo >"$1"; exec sleep 60`, "sh", fifo}})
		got <- err
	}()
	if _, err := os.ReadFile(fifo); err != nil {
		t.Fatal(err)
	}
	p.frozen.Store(true)
	began := time.Now()
	if err := <-got; remotetest.ClassOf(err) != remote.Lost {
		t.Errorf("got %v", err)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("it took %s", took)
	}
	p.frozen.Store(false)
	if _, err := tr.Run(t.Context(), remote.Command{Argv: []string{"true"}}); err != nil {
		t.Errorf("after the network came back: %v", err)
	}
}

// needsSudo skips where sudo cannot be tried: as root, to become nobody.
func needsSudo(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("sudo"); err != nil || os.Geteuid() != 0 {
		t.Skip("sudo is not installed, or the test does not run as root")
	}
}

func TestAsRunsAsTheOtherUser(t *testing.T) {
	t.Parallel()
	needsSudo(t)
	servers(t, func(t *testing.T, s *remotetest.SSHD) {
		tr := s.Dial(t)
		r, err := tr.Run(t.Context(), remote.Command{Argv: []string{"sh", "-c", `id -un; echo "$A"; exit 7`}, As: "nobody", Env: map[string]string{"A": "it's"}})
		if err != nil || string(r.Stdout) != "nobody\nit's\n" || r.ExitCode != 7 {
			t.Errorf("got %+v, %v", r, err)
		}
		_, err = tr.Run(t.Context(), remote.Command{Argv: []string{"true"}, As: "no_such_user"})
		e, ok := errors.AsType[*remote.Error](err)
		if !ok || e.Class != remote.NotPermitted || !strings.Contains(e.Hint, "NOPASSWD: /usr/bin/timeout ^-k 5s [0-9]+s true$") {
			t.Errorf("got %v", err)
		}
	})
}

func TestTreeUnderSudoIsKilled(t *testing.T) {
	t.Parallel()
	needsSudo(t)
	servers(t, func(t *testing.T, s *remotetest.SSHD) {
		bystander := exec.Command("sleep", "300")
		bystander.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}, Setpgid: true}
		if err := bystander.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := syscall.Kill(bystander.Process.Pid, syscall.SIGUSR1); err != nil {
				t.Error(err)
			}
			if err := bystander.Wait(); err == nil || bystander.ProcessState.String() != "signal: user defined signal 1" {
				t.Errorf("a process of the same user that is none of ours was ended: %v", bystander.ProcessState)
			}
		})
		tr := s.Dial(t)
		r, err := tr.Run(t.Context(), remote.Command{
			Argv: []string{"sh", "-c", `trap "" TERM; (trap "" TERM; sleep 301 & echo $!; sleep 302) & echo $!; wait; sleep 303`}, As: "nobody", Timeout: 5 * time.Second,
		})
		if remotetest.ClassOf(err) != remote.TimedOut || strings.Count(string(r.Stdout), "\n") != 2 {
			t.Fatalf("got %+v, %v", r, err)
		}
		for pid := range strings.FieldsSeq(string(r.Stdout)) {
			if state, err := os.ReadFile("/proc/" + pid + "/stat"); err == nil && !strings.Contains(string(state), ") Z ") {
				t.Errorf("it still runs: %s", state)
			}
		}
	})
}

// TestAsUnprivilegedUser runs the conformance suite once more as nobody, whose
// login shell lets no sshd in: Start falls back to the server in the process.
func TestAsUnprivilegedUser(t *testing.T) {
	if os.Getenv("SECONDLINE_TEST_AS_NOBODY") == "1" {
		s, err := sshtest.Start(t.Context(), t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Stop)
		if s.Kind == sshtest.InProcess && s.Fallback == "" {
			t.Error("Start does not say why it is not OpenSSH")
		}
		d, err := ssh.NewDialer(ssh.Options{KnownHosts: []string{s.KnownHostsPath}, Identities: []string{s.KeyPath}})
		if err != nil {
			t.Fatal(err)
		}
		remotetest.Exercise(t, func(t *testing.T) remote.Transport {
			return remotetest.DialHost(t, d, ssh.Host{Address: s.Host, Port: s.Port, User: s.User})
		})
		return
	}
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("the other tests run unprivileged already")
	}
	// The test's own program lies in a folder that nobody may not enter.
	dir, err := os.MkdirTemp("", "nobody")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	text, err := io.ReadAll(self)
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "ssh.test")
	// A child forked meanwhile would hold the file open for writing until its own
	// exec, and ours would fail with ETXTBSY (https://go.dev/issue/22315).
	syscall.ForkLock.RLock()
	err = os.WriteFile(program, text, 0o755)
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "-test.run=^TestAsUnprivilegedUser$", "-test.timeout=170s")
	cmd.Dir, cmd.Env = dir, []string{"SECONDLINE_TEST_AS_NOBODY=1", "PATH=/usr/bin:/bin", "TMPDIR=" + dir, "HOME=" + dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
