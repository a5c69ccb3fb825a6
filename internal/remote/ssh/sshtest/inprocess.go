package sshtest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/crypto/ssh"
)

// maxSessions is sshd's default (MaxSessions, sshd_config(5)).
const maxSessions = 10

var errUnknownKey = errors.New("unknown key")

// StartInProcess starts a server in this process. It runs commands with
// /bin/sh in sessions of their own, forwards TCP for jumps, and refuses the
// 11th session of a connection, as sshd does.
func StartInProcess(ctx context.Context, dir string, hosts ...string) (*Server, error) {
	s, err := prepare(dir, hosts)
	if err != nil {
		return nil, err
	}
	s.Kind = InProcess
	config := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if bytes.Equal(key.Marshal(), s.clientKey.Marshal()) {
			return &ssh.Permissions{}, nil
		}
		return nil, errUnknownKey
	}}
	config.AddHostKey(s.hostKey)
	s.serve = func(conn net.Conn) { s.serveSSH(conn, config) }
	s.accept(ctx)
	return s, nil
}

func (s *Server) serveSSH(raw net.Conn, config *ssh.ServerConfig) {
	defer raw.Close()
	defer s.onDrop(func() { _ = raw.Close() })()
	conn, channels, requests, err := ssh.NewServerConn(raw, config)
	if err != nil {
		return
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer conn.Close()
	wg.Go(func() {
		for r := range requests { // keepalives: sshd answers no to what it does not know
			if r.WantReply {
				_ = r.Reply(false, nil)
			}
		}
	})
	var sessions atomic.Int32
	for offered := range channels {
		switch offered.ChannelType() {
		case "session":
			if sessions.Add(1) > maxSessions {
				sessions.Add(-1)
				_ = offered.Reject(ssh.ConnectionFailed, "open failed")
				continue
			}
			wg.Go(func() {
				defer sessions.Add(-1)
				s.session(offered)
			})
		case "direct-tcpip":
			wg.Go(func() { s.forward(offered) })
		default:
			_ = offered.Reject(ssh.UnknownChannelType, "not served")
		}
	}
}

// session runs one command. As with sshd, a client that goes away does not end
// what it started.
func (s *Server) session(offered ssh.NewChannel) {
	ch, requests, err := offered.Accept()
	if err != nil {
		return
	}
	defer ch.Close()
	var cmd *exec.Cmd
	var running sync.WaitGroup
	defer running.Wait()
	for r := range requests {
		switch {
		case r.Type == "exec" && cmd == nil:
			var payload struct{ Command string }
			var carry func()
			if ssh.Unmarshal(r.Payload, &payload) == nil {
				cmd, carry = s.start(ch, payload.Command)
			}
			// Before the command can end: what comes after the close is not read.
			_ = r.Reply(carry != nil, nil)
			if carry != nil {
				running.Go(carry)
			}
		case r.Type == "signal" && cmd != nil:
			var payload struct{ Name string }
			if ssh.Unmarshal(r.Payload, &payload) == nil {
				if sig, known := signals()[payload.Name]; known {
					_ = syscall.Kill(-cmd.Process.Pid, sig)
				}
			}
		case r.WantReply:
			_ = r.Reply(false, nil)
		}
	}
}

// start starts the command and returns what carries its streams and its end to
// the client; nil when it could not be started.
func (s *Server) start(ch ssh.Channel, command string) (cmd *exec.Cmd, carry func()) {
	cmd = exec.Command("/bin/sh", "-c", command)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "SHELL=/bin/sh", "USER=" + s.User, "LOGNAME=" + s.User}
	if u, err := user.Current(); err == nil {
		cmd.Env = append(cmd.Env, "HOME="+u.HomeDir)
		if info, err := os.Stat(u.HomeDir); err == nil && info.IsDir() {
			cmd.Dir = u.HomeDir
		}
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, nil
	}
	outRead, outWrite, err := os.Pipe()
	if err != nil {
		return nil, nil
	}
	errRead, errWrite, err := os.Pipe()
	if err != nil {
		_, _ = outRead.Close(), outWrite.Close()
		return nil, nil
	}
	cmd.Stdout, cmd.Stderr = outWrite, errWrite
	err = cmd.Start()
	_, _ = outWrite.Close(), errWrite.Close()
	if err != nil {
		_, _ = outRead.Close(), errRead.Close()
		return nil, nil
	}
	forget := s.onStop(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_, _ = outRead.Close(), errRead.Close() // a child in another session may hold the other ends
	})
	return cmd, func() {
		defer forget()
		go func() { // ends with the channel, which is closed below
			_, _ = io.Copy(stdin, ch)
			_ = stdin.Close()
		}()
		var copies sync.WaitGroup
		copies.Go(func() { _, _ = io.Copy(ch, outRead); _ = outRead.Close() })
		copies.Go(func() { _, _ = io.Copy(ch.Stderr(), errRead); _ = errRead.Close() })
		// Not cmd.Wait: it closes stdin under the copy above only when asked to.
		_ = cmd.Wait()
		sendExit(ch, cmd.ProcessState)
		copies.Wait()
		_ = ch.Close()
	}
}

// sendExit tells how the command ended (RFC 4254, 6.10).
func sendExit(ch ssh.Channel, state *os.ProcessState) {
	status, ok := state.Sys().(syscall.WaitStatus)
	if ok && status.Signaled() {
		name := "TERM"
		for n, sig := range signals() {
			if sig == status.Signal() {
				name = n
			}
		}
		_, _ = ch.SendRequest("exit-signal", false, ssh.Marshal(struct {
			Name      string
			Core      bool
			Text, Tag string
		}{Name: name}))
		return
	}
	_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(state.ExitCode())}))
}

func signals() map[string]syscall.Signal {
	return map[string]syscall.Signal{
		"ABRT": syscall.SIGABRT, "ALRM": syscall.SIGALRM, "FPE": syscall.SIGFPE, "HUP": syscall.SIGHUP, "ILL": syscall.SIGILL, "INT": syscall.SIGINT,
		"KILL": syscall.SIGKILL, "PIPE": syscall.SIGPIPE, "QUIT": syscall.SIGQUIT, "SEGV": syscall.SIGSEGV, "TERM": syscall.SIGTERM,
		"USR1": syscall.SIGUSR1, "USR2": syscall.SIGUSR2,
	}
}

// forward connects a client to another loopback address (RFC 4254, 7.2).
func (s *Server) forward(offered ssh.NewChannel) {
	var to struct {
		Host       string
		Port       uint32
		OriginHost string
		OriginPort uint32
	}
	if err := ssh.Unmarshal(offered.ExtraData(), &to); err != nil {
		_ = offered.Reject(ssh.ConnectionFailed, "malformed")
		return
	}
	out, err := net.DialTimeout("tcp", net.JoinHostPort(to.Host, strconv.Itoa(int(to.Port))), firstLoginMax)
	if err != nil {
		_ = offered.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	defer out.Close()
	defer s.onDrop(func() { _ = out.Close() })()
	ch, requests, err := offered.Accept()
	if err != nil {
		return
	}
	defer ch.Close()
	go ssh.DiscardRequests(requests)
	var back sync.WaitGroup
	back.Go(func() { _, _ = io.Copy(ch, out); _ = ch.CloseWrite() })
	_, _ = io.Copy(out, ch)
	if tcp, ok := out.(*net.TCPConn); ok {
		_ = tcp.CloseWrite()
	}
	back.Wait()
}
