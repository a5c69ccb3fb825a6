package sshtest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
)

const (
	sshdPath = "/usr/sbin/sshd"
	// privsepDir is compiled into Debian's sshd; run by root it must exist.
	privsepDir    = "/run/sshd"
	firstLoginMax = time.Minute
)

// StartOpenSSH starts a private OpenSSH server: one sshd -i for each
// connection, so that no port is guessed and no daemon is left behind. Its
// error is ErrNoOpenSSH when sshd is missing or refuses to run as this user.
func StartOpenSSH(ctx context.Context, dir string, hosts ...string) (*Server, error) {
	if _, err := os.Stat(sshdPath); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoOpenSSH, err)
	}
	s, err := prepare(dir, hosts)
	if err != nil {
		return nil, err
	}
	s.Kind = OpenSSH
	config := filepath.Join(dir, "sshd_config")
	if err := os.WriteFile(config, []byte(s.config()), 0o600); err != nil {
		s.Stop()
		return nil, err
	}
	s.serve = func(conn net.Conn) { s.spawn(conn, config) }
	s.accept(ctx)
	if err := s.tryLogin(ctx); err != nil {
		s.Stop()
		return nil, fmt.Errorf("%w: %w", ErrNoOpenSSH, err)
	}
	return s, nil
}

// SHLVL keeps bash from reading the account's .bashrc for each command, as it
// does when sshd starts it as a first shell (bash(1), INVOCATION): a private
// server must not run what this user set up for another purpose.
func (s *Server) config() string {
	return fmt.Sprintf(`HostKey %s
AuthorizedKeysFile %s
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
PrintMotd no
PrintLastLog no
PidFile none
MaxSessions 10
LogLevel ERROR
SetEnv SHLVL=1
`, filepath.Join(s.dir, "host_ed25519"), filepath.Join(s.dir, "authorized_keys"))
}

// spawn hands the connection to an sshd of its own and waits for it.
func (s *Server) spawn(conn net.Conn, config string) {
	defer conn.Close()
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return
	}
	file, err := tcp.File()
	if err != nil {
		return
	}
	cmd := exec.Command(sshdPath, "-i", "-e", "-f", config)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if _, err := os.Stat(privsepDir); errors.Is(err, fs.ErrNotExist) && os.Geteuid() == 0 {
		// The folder is made where only this sshd sees it, in a mount namespace.
		cmd = exec.Command("/bin/sh", "-c", `mount -t tmpfs -o mode=755 none /run && mkdir -m 755 /run/sshd && exec "$0" "$@"`,
			sshdPath, "-i", "-e", "-f", config)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Unshareflags: syscall.CLONE_NEWNS}
	}
	cmd.Stdin, cmd.Stdout = file, file
	err = cmd.Start()
	_ = file.Close()
	if err != nil {
		return
	}
	_ = conn.Close()
	// TERM lets the monitor end its unprivileged half; what a client started
	// has a session of its own and is the client's to end.
	forget := s.onDrop(func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) })
	_ = cmd.Wait()
	forget()
}

// tryLogin proves that a command can be run: an account without a shell, or a
// container without the needed rights, shows only here.
func (s *Server) tryLogin(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, firstLoginMax)
	defer cancel()
	pem, err := os.ReadFile(s.KeyPath)
	if err != nil {
		return err
	}
	key, err := ssh.ParsePrivateKey(pem)
	if err != nil {
		return err
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.Addresses[0])
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	c, chans, reqs, err := ssh.NewClientConn(conn, s.Addresses[0], &ssh.ClientConfig{
		User: s.User, Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}, HostKeyCallback: ssh.FixedHostKey(s.hostKey.PublicKey()),
	})
	if err != nil {
		_ = conn.Close()
		return fmt.Errorf("log in: %w", err)
	}
	client := ssh.NewClient(c, chans, reqs)
	defer client.Close()
	session, err := client.NewSession()
	if err != nil {
		return fmt.Errorf("open a session: %w", err)
	}
	if out, err := session.Output("echo ready"); err != nil || string(out) != "ready\n" {
		return fmt.Errorf("run echo: %q, %w", out, err)
	}
	return nil
}
