package remotetest

import (
	"errors"
	"log/slog"
	"os"
	"testing"

	"github.com/secondline-ops/secondline/internal/remote/ssh"
	"github.com/secondline-ops/secondline/internal/remote/ssh/sshtest"
)

// SSHD is a private SSH server with what is needed to reach it.
type SSHD struct {
	*sshtest.Server
	Options ssh.Options
	Target  ssh.Host
}

// StartSSHD starts a real OpenSSH server for the test, on each of the loopback
// addresses (127.0.0.1 when none is given). Where sshd cannot run, the test is
// skipped, or fails under SECONDLINE_REQUIRE_REAL=1.
func StartSSHD(t testing.TB, hosts ...string) *SSHD {
	t.Helper()
	s, err := sshtest.StartOpenSSH(t.Context(), t.TempDir(), hosts...)
	if errors.Is(err, sshtest.ErrNoOpenSSH) && os.Getenv("SECONDLINE_REQUIRE_REAL") != "1" {
		t.Skipf("OpenSSH server: %v", err)
	}
	return ready(t, s, err)
}

// StartInProcess starts an SSH server inside the test's process.
func StartInProcess(t testing.TB, hosts ...string) *SSHD {
	t.Helper()
	s, err := sshtest.StartInProcess(t.Context(), t.TempDir(), hosts...)
	return ready(t, s, err)
}

func ready(t testing.TB, s *sshtest.Server, err error) *SSHD {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return &SSHD{
		Server: s,
		Options: ssh.Options{
			KnownHosts: []string{s.KnownHostsPath}, Identities: []string{s.KeyPath}, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
			Timeout: patience,
		},
		Target: ssh.Host{Name: "sshd", Address: s.Host, Port: s.Port, User: s.User},
	}
}

// Dialer returns a dialer that is closed with the test.
func (s *SSHD) Dialer(t testing.TB) *ssh.Dialer {
	t.Helper()
	d, err := ssh.NewDialer(s.Options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// Dial returns a transport to the server that is closed with the test.
func (s *SSHD) Dial(t testing.TB) *ssh.Transport {
	t.Helper()
	return DialHost(t, s.Dialer(t), s.Target)
}

// DialHost returns a transport to the host that is closed with the test.
func DialHost(t testing.TB, d *ssh.Dialer, h ssh.Host) *ssh.Transport {
	t.Helper()
	tr, err := d.Dial(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tr.Close(); err != nil {
			t.Error(err)
		}
	})
	return tr
}
