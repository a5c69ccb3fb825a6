package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/secondline-ops/secondline/internal/remote"
)

var (
	errClosed = errors.New("the transport is closed")
	errBroken = errors.New("the connection is broken")
)

// handshake is what the callbacks learned: x/crypto tells failures apart by
// text only.
type handshake struct {
	hostKey  *remote.Error // why the host key was refused
	proven   bool          // the host key was accepted
	offered  int           // keys that were there to be tried
	problems []string      // keys that could not be used
}

// connect dials, proves the host, and logs in.
func (d *Dialer) connect(ctx context.Context, h Host) (*ssh.Client, error) {
	leave, err := d.enterDial(ctx, h.hostPort())
	if err != nil {
		return nil, &remote.Error{Class: remote.Unreachable, Target: h.Name, Doing: "dial", Err: err}
	}
	defer leave()
	ctx, cancel := context.WithTimeout(ctx, d.o.Timeout)
	defer cancel()
	raw, err := d.dialRaw(ctx, h)
	if err != nil {
		return nil, err
	}
	// The deadline covers the handshake of a direct connection; a forwarded
	// one knows no deadlines and is closed instead.
	if deadline, ok := ctx.Deadline(); ok {
		_ = raw.SetDeadline(deadline)
	}
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	client, err := d.logIn(raw, h)
	if !stop() && err == nil {
		_ = client.Close()
		err = ctx.Err()
	}
	if err != nil {
		_ = raw.Close()
		if _, classified := errors.AsType[*remote.Error](err); !classified {
			err = &remote.Error{Class: remote.Unreachable, Target: h.Name, Doing: "log in", Err: err}
		}
		return nil, timedOut(ctx, d.o.Timeout, err)
	}
	_ = raw.SetDeadline(time.Time{})
	return client, nil
}

// timedOut says of an error that came from our own deadline that it did.
func timedOut(ctx context.Context, limit time.Duration, err error) error {
	if ctx.Err() == nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	e, ok := errors.AsType[*remote.Error](err)
	if !ok || e.Class == remote.HostKey || e.Class == remote.AuthFailed {
		return err
	}
	why := context.Cause(ctx)
	if why == nil || errors.Is(why, context.DeadlineExceeded) { // the connection's deadline may strike first
		why = fmt.Errorf("no answer within %s: %w", limit, context.DeadlineExceeded)
	}
	return &remote.Error{Class: remote.Unreachable, Target: e.Target, Doing: e.Doing, Err: why}
}

func (d *Dialer) dialRaw(ctx context.Context, h Host) (net.Conn, error) {
	if h.Jump == nil {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", h.hostPort())
		if err != nil {
			return nil, timedOut(ctx, d.o.Timeout, dialError(h, err))
		}
		return conn, nil
	}
	via, err := d.jump(*h.Jump)
	if err != nil {
		return nil, err
	}
	c, err := via.live(ctx)
	if err != nil {
		e, ok := errors.AsType[*remote.Error](err)
		if !ok {
			e = &remote.Error{Class: remote.Unreachable, Err: err}
		}
		return nil, &remote.Error{Class: e.Class, Target: h.Name, Doing: "dial through " + h.Jump.Name, Hint: e.Hint, Err: err}
	}
	conn, err := c.client.DialContext(ctx, "tcp", h.hostPort())
	if err != nil {
		return nil, timedOut(ctx, d.o.Timeout, jumpError(h, err))
	}
	return conn, nil
}

func dialError(h Host, err error) error {
	e := &remote.Error{Class: remote.Unreachable, Target: h.Name, Doing: "dial", Err: err}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET):
		e.Class = remote.Refused
		e.Hint = "check that sshd runs there and listens on " + h.hostPort()
	default:
		if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
			e.Hint = "check the host's address in the inventory"
		}
	}
	return e
}

func jumpError(h Host, err error) error {
	e := &remote.Error{Class: remote.Unreachable, Target: h.Name, Doing: "dial through " + h.Jump.Name, Err: err}
	if refused, ok := errors.AsType[*ssh.OpenChannelError](err); ok {
		switch {
		case refused.Reason == ssh.Prohibited:
			e.Class, e.Hint = remote.Refused, "allow TCP forwarding (AllowTcpForwarding) on the jump host"
		case strings.Contains(strings.ToLower(refused.Message), "refused"):
			e.Class, e.Hint = remote.Refused, "check that sshd runs there and listens on "+h.hostPort()
		}
	}
	return e
}

func (d *Dialer) logIn(raw net.Conn, h Host) (*ssh.Client, error) {
	var report handshake
	check, algorithms, err := d.knownHosts(h.knownHosts).check(h, &report)
	if err != nil {
		return nil, err
	}
	done := func() {}
	defer func() { done() }()
	conn, channels, requests, err := ssh.NewClientConn(raw, h.hostPort(), &ssh.ClientConfig{
		User:              h.User,
		HostKeyCallback:   check,
		HostKeyAlgorithms: algorithms,
		ClientVersion:     "SSH-2.0-secondline",
		Auth: []ssh.AuthMethod{ssh.PublicKeysCallback(func() ([]ssh.Signer, error) {
			// Only now: the keys are of no concern to a host that is not proven.
			done()
			var signers []ssh.Signer
			signers, report.problems, done = d.keys.signers(h.identities)
			report.offered = len(signers)
			return signers, nil
		})},
	})
	if err != nil {
		return nil, handshakeError(h, &report, err)
	}
	return ssh.NewClient(conn, channels, requests), nil
}

func handshakeError(h Host, report *handshake, err error) error {
	if report.hostKey != nil {
		return report.hostKey
	}
	e := &remote.Error{Class: remote.Refused, Target: h.Name, Doing: "log in", Err: err}
	_, isNet := errors.AsType[net.Error](err)
	negotiation, isNegotiation := errors.AsType[*ssh.AlgorithmNegotiationError](err)
	switch {
	case isNegotiation && negotiation.What == "host key":
		e.Class = remote.HostKey
		e.Hint = "the server shows no host key of a kind that is known; if it was set up anew, compare its fingerprint on the console and add it to the known hosts"
	case isNegotiation:
		e.Hint = "the server offers only algorithms that are not safe any more; update it"
	case isNet, errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, net.ErrClosed):
		e.Hint = "the server closed the connection during the log-in: too many log-ins at once (MaxStartups), or a ban"
	case report.proven:
		e.Class = remote.AuthFailed
		e.Hint = fmt.Sprintf("add the public key to ~%s/.ssh/authorized_keys on the server", h.User)
		switch {
		case len(report.problems) > 0:
			e.Hint = strings.Join(report.problems, "; ")
		case report.offered == 0:
			e.Hint = "no key was offered: there is no private key file here, and no ssh-agent that holds one; make one with ssh-keygen, or name one"
		}
	}
	return e
}
