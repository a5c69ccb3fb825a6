package ssh_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	xssh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/internal/remote/remotetest"
	"github.com/secondline-ops/secondline/internal/remote/ssh"
)

// The one that is ignored is a defect of x/crypto, see Transport.openOn.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("golang.org/x/crypto/ssh.(*mux).openChannel"))
}

// dialError returns why the dial failed; it fails the test when it did not.
func dialError(t *testing.T, s *remotetest.SSHD) *remote.Error {
	t.Helper()
	tr, err := s.Dialer(t).Dial(t.Context(), s.Target)
	if err == nil {
		t.Error(tr.Close())
		t.Fatal("the dial succeeded")
	}
	e, ok := errors.AsType[*remote.Error](err)
	if !ok {
		t.Fatalf("got %T: %v", err, err)
	}
	if e.Class.MayHaveRun() {
		t.Errorf("nothing was run, and class %s says that it may have", e.Class)
	}
	return e
}

func wantFailure(t *testing.T, e *remote.Error, class remote.Class, inText, inHint string) {
	t.Helper()
	if e.Class != class || !strings.Contains(e.Error(), inText) || !strings.Contains(e.Hint, inHint) {
		t.Errorf("got class %s: %v (hint %q), want %s with %q and hint %q", e.Class, e, e.Hint, class, inText, inHint)
	}
}

func writeFile(t *testing.T, path string, data []byte, mode os.FileMode) string {
	t.Helper()
	if err := os.WriteFile(path, data, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func newKey(t *testing.T, passphrase string) (private []byte, public xssh.PublicKey) {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := xssh.MarshalPrivateKey(key, "")
	if passphrase != "" {
		block, err = xssh.MarshalPrivateKeyWithPassphrase(key, "", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	public, err = xssh.NewPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(block), public
}

func TestUnknownHostIsRefusedUntilItIsEnrolled(t *testing.T) {
	t.Parallel()
	s := remotetest.StartInProcess(t)
	known, err := os.ReadFile(s.KnownHostsPath)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "known_hosts")
	s.Options.KnownHosts = []string{file} // not there yet
	d := s.Dialer(t)
	_, err = d.Dial(t.Context(), s.Target)
	e, ok := errors.AsType[*remote.Error](err)
	if !ok {
		t.Fatalf("got %v", err)
	}
	wantFailure(t, e, remote.HostKey, "not known", "connect once by hand with: ssh -o UserKnownHostsFile="+file)
	writeFile(t, file, known, 0o600)
	remotetest.DialHost(t, d, s.Target)
}

func TestChangedHostKeyIsToldFromUnknown(t *testing.T) {
	t.Parallel()
	s := remotetest.StartInProcess(t)
	_, other := newKey(t, "")
	line := "[127.0.0.1]:" + strings.TrimPrefix(s.Addresses[0], "127.0.0.1:") + " " + string(xssh.MarshalAuthorizedKey(other))
	s.Options.KnownHosts = []string{writeFile(t, filepath.Join(t.TempDir(), "known_hosts"), []byte(line), 0o600)}
	wantFailure(t, dialError(t, s), remote.HostKey, "has changed", "replace line 1")
	revoked := "@revoked * " + string(xssh.MarshalAuthorizedKey(s.HostKey()))
	s.Options.KnownHosts = []string{writeFile(t, filepath.Join(t.TempDir(), "known_hosts"), []byte(revoked), 0o600), s.KnownHostsPath}
	wantFailure(t, dialError(t, s), remote.HostKey, "revoked", "")
}

// golang/go#29286: a host of which keys of several types are known.
func TestHostWithSeveralKnownKeys(t *testing.T) {
	t.Parallel()
	s := remotetest.StartInProcess(t)
	known, err := os.ReadFile(s.KnownHostsPath)
	if err != nil {
		t.Fatal(err)
	}
	// An ecdsa key that the server does not have, first.
	ecdsa := "[127.0.0.1]:" + strings.TrimPrefix(s.Addresses[0], "127.0.0.1:") +
		" ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEmKSENjQEezOmxkZMy7opKgwFB9nkt5YRrYMjNuG5N87uRgg6CLrbo5wAdT/y6v0mKV0U2w0WZ2YB/++Tpockg=\n"
	s.Options.KnownHosts = []string{writeFile(t, filepath.Join(t.TempDir(), "known_hosts"), append([]byte(ecdsa), known...), 0o600)}
	s.Dial(t)
	// Only the other type: the server cannot prove itself.
	s.Options.KnownHosts = []string{writeFile(t, filepath.Join(t.TempDir(), "known_hosts"), []byte(ecdsa), 0o600)}
	wantFailure(t, dialError(t, s), remote.HostKey, "", "")
}

func TestKeysThatAreNotAccepted(t *testing.T) {
	t.Parallel()
	s := remotetest.StartInProcess(t)
	good := s.KeyPath
	goodPEM, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	other, _ := newKey(t, "")
	locked, _ := newKey(t, "passphrase")
	dir := t.TempDir()
	for name, c := range map[string]struct {
		file string
		hint string
	}{
		"another key": {writeFile(t, filepath.Join(dir, "other"), other, 0o600), "authorized_keys"},
		"encrypted":   {writeFile(t, filepath.Join(dir, "locked"), locked, 0o600), "is encrypted and no ssh-agent"},
		"too open":    {writeFile(t, filepath.Join(dir, "open"), goodPEM, 0o644), "chmod 600"},
		"missing":     {filepath.Join(dir, "none"), "no such file"},
		"garbage":     {writeFile(t, filepath.Join(dir, "garbage"), []byte("x"), 0o600), "cannot be parsed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			own := *s
			own.Options.Identities = []string{c.file}
			e := dialError(t, &own)
			wantFailure(t, e, remote.AuthFailed, "", c.hint)
		})
	}
	t.Run("one of several", func(t *testing.T) {
		t.Parallel()
		own := *s
		own.Options.Identities = []string{filepath.Join(dir, "other"), filepath.Join(dir, "locked"), good}
		own.Dial(t)
	})
}

func TestAgentHoldsTheKey(t *testing.T) {
	t.Parallel()
	s := remotetest.StartInProcess(t)
	text, err := os.ReadFile(s.KeyPath)
	if err != nil {
		t.Fatal(err)
	}
	key, err := xssh.ParseRawPrivateKey(text)
	if err != nil {
		t.Fatal(err)
	}
	ring := agent.NewKeyring()
	if err := ring.Add(agent.AddedKey{PrivateKey: key}); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "agent") // a socket's path is short (unix(7): 108 bytes)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		_ = agent.ServeAgent(ring, conn)
		_ = conn.Close()
	}()
	s.Options.Identities, s.Options.AgentSocket = nil, l.Addr().String()
	s.Dial(t)
	<-served // the connection to the agent is not kept
	_ = l.Close()
}

func listener(t *testing.T, serve func(net.Conn)) (port int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serve(conn)
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return l.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // it listens on tcp
}

func TestUnreachableAndRefused(t *testing.T) {
	t.Parallel()
	s := remotetest.StartInProcess(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := l.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // it listens on tcp
	_ = l.Close()
	s.Target.Port = closed
	wantFailure(t, dialError(t, s), remote.Refused, "refused", "sshd runs there")
	s.Target.Port = listener(t, func(c net.Conn) { _ = c.Close() })
	wantFailure(t, dialError(t, s), remote.Refused, "", "MaxStartups")
	s.Options.Timeout = 300 * time.Millisecond
	held := make(chan net.Conn, 1)
	s.Target.Port = listener(t, func(c net.Conn) { held <- c })
	wantFailure(t, dialError(t, s), remote.Unreachable, "no answer within 300ms", "")
	s.Target.Port, s.Target.Address = 22, "no-such-host.invalid" // RFC 6761
	wantFailure(t, dialError(t, s), remote.Unreachable, "", "")
	_ = (<-held).Close()
}

func TestJumpHostFailuresNameTheJump(t *testing.T) {
	t.Parallel()
	jump, s := remotetest.StartInProcess(t), remotetest.StartInProcess(t)
	s.Options.KnownHosts = append(s.Options.KnownHosts, jump.KnownHostsPath)
	s.Target.Jump = &ssh.Host{Name: "bastion", Address: jump.Target.Address, Port: jump.Target.Port, User: jump.User}
	wantFailure(t, dialError(t, s), remote.AuthFailed, "bastion", "authorized_keys")
	s.Options.Identities = append(s.Options.Identities, jump.KeyPath)
	good := s.Target.Port
	s.Target.Port = 1
	wantFailure(t, dialError(t, s), remote.Refused, "bastion", "sshd runs there")
	s.Target.Port = good
	s.Dial(t)
	jump.Stop()
	wantFailure(t, dialError(t, s), remote.Refused, "bastion", "")
}

func TestDialWithCancelledContext(t *testing.T) {
	t.Parallel()
	s := remotetest.StartInProcess(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Dialer(t).Dial(ctx, s.Target); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestConfigFileReachesThroughJump(t *testing.T) {
	t.Parallel()
	jump, s := remotetest.StartInProcess(t), remotetest.StartInProcess(t)
	home := t.TempDir()
	text, err := os.ReadFile(jump.KeyPath)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(home, "jumpkey"), text, 0o600)
	_, port, err := net.SplitHostPort(s.Addresses[0])
	if err != nil {
		t.Fatal(err)
	}
	_, jumpPort, err := net.SplitHostPort(jump.Addresses[0])
	if err != nil {
		t.Fatal(err)
	}
	s.Options.ConfigFile = writeFile(t, filepath.Join(home, "config"), []byte(`
Host bastion
  HostName 127.0.0.1
  Port `+jumpPort+`
  IdentityFile ~/jumpkey
  ForwardAgent yes
Match exec "touch /tmp/never"
  User mallory
Host db?
  HostName 127.0.0.1
  Port `+port+`
  ProxyJump bastion
Host *
  User `+s.User+`
`), 0o600)
	s.Options.Home = home
	s.Options.KnownHosts = append(s.Options.KnownHosts, jump.KnownHostsPath)
	d := s.Dialer(t)
	if got := strings.Join(d.Ignored(), "\n"); !strings.Contains(got, ":6: ForwardAgent") || !strings.Contains(got, ":7: Match exec") || strings.Count(got, "\n") != 1 {
		t.Errorf("ignored: %s", got)
	}
	tr := remotetest.DialHost(t, d, ssh.Host{Name: "db1"})
	r, err := tr.Run(t.Context(), remote.Command{Argv: []string{"echo", "hello"}})
	if err != nil || string(r.Stdout) != "hello\n" {
		t.Errorf("got %q, %v", r.Stdout, err)
	}
}

// inConfig makes the server "web1" of an ssh_config(5), whose other lines are given.
func inConfig(t *testing.T, s *remotetest.SSHD, lines ...string) {
	t.Helper()
	_, port, err := net.SplitHostPort(s.Addresses[0])
	if err != nil {
		t.Fatal(err)
	}
	text := "Host web1\n  HostName 127.0.0.1\n  Port " + port + "\n  User " + s.User + "\n  " + strings.Join(lines, "\n  ") + "\n"
	s.Options.Home = t.TempDir()
	s.Options.ConfigFile = writeFile(t, filepath.Join(s.Options.Home, "config"), []byte(text), 0o600)
	s.Options.KnownHosts = nil
	s.Target = ssh.Host{Name: "web1"}
}

func TestConfigFileNamesTheKnownHosts(t *testing.T) {
	t.Parallel()
	for kind, start := range map[string]func(*testing.T) *remotetest.SSHD{
		"OpenSSH":         func(t *testing.T) *remotetest.SSHD { t.Helper(); return remotetest.StartSSHD(t) },
		"in this process": func(t *testing.T) *remotetest.SSHD { t.Helper(); return remotetest.StartInProcess(t) },
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			known, err := os.ReadFile(s.KnownHostsPath)
			if err != nil {
				t.Fatal(err)
			}
			inConfig(t, s, `UserKnownHostsFile /nowhere "~/keys of %h/%n-%p"`)
			dir := filepath.Join(s.Options.Home, "keys of 127.0.0.1")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			writeFile(t, filepath.Join(dir, "web1-"+strings.TrimPrefix(s.Addresses[0], "127.0.0.1:")), known, 0o600)
			d := s.Dialer(t)
			if got := d.Ignored(); len(got) > 0 {
				t.Errorf("ignored: %q", got)
			}
			remotetest.DialHost(t, d, s.Target)

			// It stands in for the user's own file, and does not add to it.
			inConfig(t, s, "UserKnownHostsFile ~/other")
			if err := os.Mkdir(filepath.Join(s.Options.Home, ".ssh"), 0o700); err != nil {
				t.Fatal(err)
			}
			writeFile(t, filepath.Join(s.Options.Home, ".ssh", "known_hosts"), known, 0o600)
			wantFailure(t, dialError(t, s), remote.HostKey, "not known", "UserKnownHostsFile="+filepath.Join(s.Options.Home, "other"))

			// What is given wins over what the file says.
			s.Options.KnownHosts = []string{filepath.Join(s.Options.Home, ".ssh", "known_hosts")}
			s.Dial(t)
		})
	}
}

func TestWithoutAWordTheUsersKnownHostsCount(t *testing.T) {
	t.Parallel()
	s := remotetest.StartInProcess(t)
	known, err := os.ReadFile(s.KnownHostsPath)
	if err != nil {
		t.Fatal(err)
	}
	inConfig(t, s)
	wantFailure(t, dialError(t, s), remote.HostKey, "not known", filepath.Join(s.Options.Home, ".ssh", "known_hosts"))
	if err := os.Mkdir(filepath.Join(s.Options.Home, ".ssh"), 0o700); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(s.Options.Home, ".ssh", "known_hosts"), known, 0o600)
	s.Dial(t)
}

func TestKnownHostsFilesThatProveNothing(t *testing.T) {
	t.Parallel()
	s := remotetest.StartInProcess(t)
	for line, want := range map[string]struct {
		class remote.Class
		hint  string
	}{
		"UserKnownHostsFile /dev/null":     {remote.HostKey, "keeps no host keys"},
		"UserKnownHostsFile none":          {remote.HostKey, "/etc/ssh/ssh_known_hosts"},
		"UserKnownHostsFile ~/%C":          {remote.InvalidCall, "--known-hosts"},
		"UserKnownHostsFile ${KEYS}/known": {remote.InvalidCall, "--known-hosts"},
	} {
		inConfig(t, s, line, "StrictHostKeyChecking no")
		e := dialError(t, s)
		hint := e.Hint
		if inner, ok := errors.AsType[*fault.Error](e.Err); hint == "" && ok {
			hint = inner.Hint
		}
		if e.Class != want.class || !strings.Contains(hint, want.hint) {
			t.Errorf("%s: got %s, %v (hint %q)", line, e.Class, e, hint)
		}
	}
}

func TestConfigFileTellsWhichFilesItNames(t *testing.T) {
	t.Parallel()
	s := remotetest.StartInProcess(t)
	inConfig(t, s, "IdentityFile ~/.ssh/work", "UserKnownHostsFile ~/a /b ~/%h", "Match all", "IdentityFile ~/.ssh/work", "IdentityFile none")
	identities, known := s.Dialer(t).Files()
	home := s.Options.Home
	if got, want := strings.Join(append(identities, known...), " "), home+"/.ssh/work "+home+"/a /b"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestWithoutAnyKeyTheServerIsNotBlamed(t *testing.T) {
	t.Parallel()
	s := remotetest.StartInProcess(t)
	s.Options.Identities, s.Options.AgentSocket = nil, ""
	e := dialError(t, s)
	wantFailure(t, e, remote.AuthFailed, "", "no key was offered")
	if strings.Contains(e.Hint, "authorized_keys") {
		t.Errorf("got hint %q", e.Hint)
	}
}
