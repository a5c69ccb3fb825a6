// Package sshtest starts a private SSH server on loopback, for tests and for
// the demo: a real OpenSSH sshd with keys of its own below one folder, or,
// where there is none or it cannot run as this user, a server in this process
// that runs commands with /bin/sh.
//
// It is no server for the network: it listens on loopback only, and whoever
// holds the client key in its folder can do what this process can.
package sshtest

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// Kind says which program answers.
type Kind string

// The kinds of server.
const (
	OpenSSH   Kind = "openssh"
	InProcess Kind = "in-process"
)

// Server is a running private SSH server.
type Server struct {
	Kind           Kind
	Fallback       string   // why it is not OpenSSH, where Start wanted it to be
	Addresses      []string // host:port, one port for all hosts
	Host           string   // of the first address
	Port           int
	User           string
	KeyPath        string // of the client's private key
	KnownHostsPath string

	dir       string
	hostKey   ssh.Signer
	clientKey ssh.PublicKey
	listeners []net.Listener
	serve     func(net.Conn)
	stopCtx   func() bool

	mu    sync.Mutex // guards below
	stops map[int]ender
	next  int
	done  bool

	wg sync.WaitGroup
}

// ender ends a connection, or a command, which outlives its connection.
type ender struct {
	end          func()
	isConnection bool
}

// ErrNoOpenSSH says that no sshd can be run here.
var ErrNoOpenSSH = errors.New("no usable sshd")

// Start starts OpenSSH, or else the server in this process. Files go to dir.
// It listens on each of the loopback addresses, 127.0.0.1 when none is given,
// until Stop is called or ctx ends.
func Start(ctx context.Context, dir string, hosts ...string) (*Server, error) {
	s, err := StartOpenSSH(ctx, dir, hosts...)
	if !errors.Is(err, ErrNoOpenSSH) {
		return s, err
	}
	s, inProcessErr := StartInProcess(ctx, dir, hosts...)
	if inProcessErr != nil {
		return nil, inProcessErr
	}
	s.Fallback = err.Error()
	return s, nil
}

// prepare writes the keys and starts to listen.
func prepare(dir string, hosts []string) (*Server, error) {
	if len(hosts) == 0 {
		hosts = []string{"127.0.0.1"}
	}
	login, err := user.Current()
	if err != nil {
		return nil, fmt.Errorf("look up the current user: %w", err)
	}
	s := &Server{
		User: login.Username, Host: hosts[0], dir: dir, stops: map[int]ender{},
		KeyPath: filepath.Join(dir, "client_ed25519"), KnownHostsPath: filepath.Join(dir, "known_hosts"),
	}
	if s.hostKey, err = writeKey(filepath.Join(dir, "host_ed25519")); err != nil {
		return nil, err
	}
	client, err := writeKey(s.KeyPath)
	if err != nil {
		return nil, err
	}
	s.clientKey = client.PublicKey()
	if err := os.WriteFile(filepath.Join(dir, "authorized_keys"), ssh.MarshalAuthorizedKey(s.clientKey), 0o600); err != nil {
		return nil, err
	}
	if err := s.listen(hosts); err != nil {
		return nil, err
	}
	var known bytes.Buffer
	for _, address := range s.Addresses {
		known.WriteString(knownhosts.Line([]string{address}, s.hostKey.PublicKey()) + "\n")
	}
	if err := os.WriteFile(s.KnownHostsPath, known.Bytes(), 0o600); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

func writeKey(path string) (ssh.Signer, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	block, err := ssh.MarshalPrivateKey(private, "secondline test")
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
		return nil, err
	}
	return ssh.NewSignerFromKey(private)
}

// listen finds a port that is free on all hosts.
func (s *Server) listen(hosts []string) error {
	var err error
	for range 10 {
		s.listeners, s.Addresses, s.Port = nil, nil, 0
		for _, host := range hosts {
			ip := net.ParseIP(host)
			if ip == nil || !ip.IsLoopback() {
				return fmt.Errorf("listen on %s: not a loopback address", host)
			}
			var l net.Listener
			if l, err = net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(s.Port))); err != nil {
				break
			}
			address, isTCP := l.Addr().(*net.TCPAddr)
			if !isTCP {
				return fmt.Errorf("listen on %s: got a %T", host, l.Addr())
			}
			s.Port = address.Port
			s.listeners = append(s.listeners, l)
			s.Addresses = append(s.Addresses, l.Addr().String())
		}
		if err == nil {
			return nil
		}
		for _, l := range s.listeners {
			_ = l.Close()
		}
	}
	return fmt.Errorf("listen on one port of %d addresses: %w", len(hosts), err)
}

// accept serves every connection of every listener with s.serve.
func (s *Server) accept(ctx context.Context) {
	for _, l := range s.listeners {
		s.wg.Go(func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				s.wg.Go(func() { s.serve(conn) })
			}
		})
	}
	s.stopCtx = context.AfterFunc(ctx, s.Stop)
}

// onStop registers what ends a command, and returns how to forget it. It runs
// at once when the server is stopped already.
func (s *Server) onStop(end func()) (forget func()) { return s.register(ender{end: end}) }

// onDrop is onStop for a connection, which may be dropped before.
func (s *Server) onDrop(end func()) (forget func()) {
	return s.register(ender{end: end, isConnection: true})
}

func (s *Server) register(e ender) (forget func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done {
		e.end()
		return func() {}
	}
	s.next++
	id := s.next
	s.stops[id] = e
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.stops, id)
	}
}

// Stop ends the server, its connections and the processes it started, and
// waits for them. It may be called twice.
func (s *Server) Stop() {
	for _, l := range s.listeners {
		_ = l.Close()
	}
	s.mu.Lock()
	s.done = true
	stops := s.stops
	s.stops = map[int]ender{}
	s.mu.Unlock()
	for _, e := range stops {
		e.end()
	}
	s.wg.Wait()
	if s.stopCtx != nil {
		s.stopCtx()
	}
}

// HostKey returns the server's public host key.
func (s *Server) HostKey() ssh.PublicKey { return s.hostKey.PublicKey() }

// DropConnections closes every open connection, as a broken network would. What
// was started over them goes on, as with any sshd.
func (s *Server) DropConnections() {
	var dropped []ender
	s.mu.Lock()
	maps.DeleteFunc(s.stops, func(_ int, e ender) bool {
		if e.isConnection {
			dropped = append(dropped, e)
		}
		return e.isConnection
	})
	s.mu.Unlock()
	for _, e := range dropped {
		e.end()
	}
}
