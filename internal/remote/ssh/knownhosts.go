package ssh

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	upstream "golang.org/x/crypto/ssh/knownhosts"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
)

// globalKnownHosts is the default of GlobalKnownHostsFile (ssh_config(5)), which
// counts beside the user's file.
const globalKnownHosts = "/etc/ssh/ssh_known_hosts"

// knownHostsFiles returns the files that may prove the host: those given in the
// options, else the ones that the configuration names for it, else the user's
// own; the last two together with those of the machine. A name with a token
// that is not understood is refused: a file left out could be the one that
// revokes a key.
func (d *Dialer) knownHostsFiles(h Host, named []string) ([]string, error) {
	if len(d.o.KnownHosts) > 0 {
		return d.o.KnownHosts, nil
	}
	if len(named) == 0 && d.o.Home != "" {
		named = []string{filepath.Join(d.o.Home, ".ssh", "known_hosts")}
	}
	tokens := map[string]string{"%%": "%", "%h": h.Address, "%n": h.Name, "%p": strconv.Itoa(h.Port), "%r": h.User}
	var files []string
	for _, name := range named {
		if name == noFile {
			continue
		}
		unknown := strings.Contains(name, "${") // of the environment
		name = token.ReplaceAllStringFunc(d.config.atHome(name), func(t string) string {
			text, ok := tokens[t]
			unknown = unknown || !ok
			return text
		})
		if unknown {
			return nil, fault.New(fault.Invalid, "UserKnownHostsFile %q of %s in the ssh config: only the tokens %%d, %%h, %%n, %%p, %%r and %%%% are understood", strings.Join(named, " "), h.Name).
				WithHint("name the file itself, there or with --known-hosts")
		}
		files = append(files, name)
	}
	return append(files, globalKnownHosts), nil
}

// token is what ssh_config(5) fills in in the name of a file.
var token = regexp.MustCompile(`%.?`)

// knownHosts returns the keys in the files, parsed once for all hosts that go by them.
func (d *Dialer) knownHosts(files []string) *knownHosts {
	d.mu.Lock()
	defer d.mu.Unlock()
	name := strings.Join(files, "\x00")
	k, ok := d.known[name]
	if !ok {
		k = &knownHosts{files: files}
		d.known[name] = k
	}
	return k
}

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
	file := k.files[0]
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
		if file == os.DevNull { // as people write who let ssh believe anybody
			e.Hint = "the ssh config keeps no host keys (UserKnownHostsFile " + os.DevNull + "); compare the fingerprint on the server's console, add the key to a file, and name that one"
			return e
		}
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
