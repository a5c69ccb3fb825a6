package sshsig

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/secondline-ops/secondline/internal/fault"
)

// agentWithin bounds one signature: the agent may ask a person to confirm it
// (ssh-add -c).
const agentWithin = time.Minute

// agentSigner signs by an SSH agent, which it dials each time.
type agentSigner struct {
	public ssh.PublicKey
	socket string
}

var _ ssh.Signer = agentSigner{}

// PublicKey implements ssh.Signer.
func (a agentSigner) PublicKey() ssh.PublicKey { return a.public }

// Sign implements ssh.Signer.
func (a agentSigner) Sign(_ io.Reader, data []byte) (*ssh.Signature, error) {
	if a.socket == "" {
		return nil, fault.New(fault.Invalid, "the key is protected by a passphrase, and there is no SSH agent (SSH_AUTH_SOCK)").WithHint("eval $(ssh-agent); ssh-add")
	}
	ctx, cancel := context.WithTimeout(context.Background(), agentWithin) // ssh.Signer has none
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "unix", a.socket)
	if err != nil {
		return nil, fault.Wrap(fault.Unreachable, err, "dial the SSH agent")
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(agentWithin)); err != nil {
		return nil, fmt.Errorf("dial the SSH agent: %w", err)
	}
	sig, err := agent.NewClient(conn).Sign(a.public, data)
	if err != nil {
		return nil, fault.Wrap(fault.Denied, err, "have the SSH agent sign with %s", ssh.FingerprintSHA256(a.public)).WithHint("ssh-add -l shows whether it has the key")
	}
	return sig, nil
}
