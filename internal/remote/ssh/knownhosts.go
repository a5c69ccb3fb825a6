package ssh

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"sync"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	upstream "golang.org/x/crypto/ssh/knownhosts"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
)

// knownHosts holds the parsed known_hosts files, read again when one changes:
// hosts are enrolled while the program runs.
type knownHosts struct {
	files []string

	mu    sync.Mutex // guards below
	seen  string
	db    *knownhosts.HostKeyDB
	dbErr error
}

func (k *knownHosts) load() (*knownhosts.HostKeyDB, error) {
	var present []string
	var stamp strings.Builder
	for _, f := range k.files {
		info, err := os.Stat(f)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read known hosts: %w", err)
		}
		present = append(present, f)
		fmt.Fprintf(&stamp, "%s %d %d\n", f, info.Size(), info.ModTime().UnixNano())
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.seen == "" || k.seen != stamp.String() {
		k.seen = stamp.String()
		if k.db, k.dbErr = knownhosts.NewDB(present...); k.dbErr != nil {
			k.dbErr = fmt.Errorf("parse known hosts: %w", k.dbErr)
		}
	}
	return k.db, k.dbErr
}

// hostKeyError tells an unknown host from one whose key has changed.
func (k *knownHosts) hostKeyError(h Host, key ssh.PublicKey, err error) *remote.Error {
	e := &remote.Error{Class: remote.HostKey, Target: h.Name, Doing: "check the host key"}
	print := ssh.FingerprintSHA256(key)
	file := "known_hosts"
	if len(k.files) > 0 {
		file = k.files[0]
	}
	changed, _ := errors.AsType[*upstream.KeyError](err)
	revoked, isRevoked := errors.AsType[*upstream.RevokedError](err)
	switch {
	case isRevoked:
		e.Err = fault.Wrap(fault.Denied, err, "the host key %s of %s is revoked", print, h.hostPort())
		e.Hint = fmt.Sprintf("line %d of %s revokes it: give the server a new host key", revoked.Revoked.Line, revoked.Revoked.Filename)
	case changed != nil && len(changed.Want) > 0:
		want := changed.Want[0]
		e.Err = fault.Wrap(fault.Denied, err, "the host key of %s has changed: known is %s, it showed %s", h.hostPort(), ssh.FingerprintSHA256(want.Key), print)
		e.Hint = fmt.Sprintf("if the server was set up anew, compare the fingerprint on its console and replace line %d of %s; if not, somebody else may be answering", want.Line, want.Filename)
	case knownhosts.IsHostUnknown(err):
		e.Err = fault.Wrap(fault.Denied, err, "the host key %s of %s is not known", print, h.hostPort())
		e.Hint = fmt.Sprintf("compare the fingerprint on the server's console; then connect once by hand with: ssh -o UserKnownHostsFile=%s -p %d %s@%s, or add the key to that file", file, h.Port, h.User, h.Address)
	default: // a certificate that does not hold, an unreadable file
		e.Err = fault.Wrap(fault.Denied, err, "the host key %s of %s could not be proven", print, h.hostPort())
		e.Hint = "check the @cert-authority lines of " + file + " and the host's certificate"
	}
	return e
}

// check returns the callback and the host key algorithms to ask for: those of
// the known keys, so that a host with several keys is not taken for a changed one.
func (k *knownHosts) check(h Host, report *handshake) (ssh.HostKeyCallback, []string, error) {
	db, err := k.load()
	if err != nil {
		return nil, nil, &remote.Error{
			Class: remote.HostKey, Target: h.Name, Doing: "read known hosts", Err: fault.Wrap(fault.Denied, err, "the known hosts cannot be read"),
			Hint: "repair or remove the line that the error names",
		}
	}
	callback := db.HostKeyCallback()
	return func(hostname string, address net.Addr, key ssh.PublicKey) error {
		err := callback(hostname, address, key)
		if err != nil {
			report.hostKey = k.hostKeyError(h, key, err)
			return report.hostKey
		}
		report.proven = true
		return nil
	}, db.HostKeyAlgorithms(h.hostPort()), nil
}
