package ssh

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// keyring yields the signers for a login: key files, parsed once for each
// change of the file, and those of an agent.
type keyring struct {
	agentSocket string

	mu     sync.Mutex // guards below
	parsed map[string]parsedKey
}

type parsedKey struct {
	modified time.Time
	signers  []ssh.Signer
	problem  string
}

// signers returns the signers in the order in which they are to be tried, what
// was wrong with those that are missing, and what must be closed afterwards.
func (k *keyring) signers(files []string) (signers []ssh.Signer, problems []string, done func()) {
	for _, file := range files {
		key := k.load(file)
		signers = append(signers, key.signers...)
		if key.problem != "" {
			problems = append(problems, key.problem)
		}
	}
	done = func() {}
	if k.agentSocket == "" {
		return signers, problems, done
	}
	conn, err := net.DialTimeout("unix", k.agentSocket, defaultDialTimeout) //nolint:noctx // a local socket, bounded
	if err != nil {
		return signers, append(problems, "the ssh-agent does not answer: "+err.Error()), done
	}
	done = func() { _ = conn.Close() }
	// Bounds an agent that hangs, also while it signs.
	_ = conn.SetDeadline(time.Now().Add(2 * defaultDialTimeout))
	held, err := agent.NewClient(conn).Signers()
	if err != nil {
		return signers, append(problems, "the ssh-agent does not list its keys: "+err.Error()), done
	}
	return append(signers, held...), problems, done
}

func (k *keyring) load(file string) parsedKey {
	info, err := os.Stat(file)
	if err != nil {
		return parsedKey{problem: fmt.Sprintf("key %s: %v", file, err)}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	// The certificate is renewed without the key: its time counts, too.
	modified := info.ModTime()
	if cert, err := os.Stat(certFile(file)); err == nil && cert.ModTime().After(modified) {
		modified = cert.ModTime()
	}
	if key, ok := k.parsed[file]; ok && key.modified.Equal(modified) {
		return key
	}
	key := k.parse(file, info)
	key.modified = modified
	k.parsed[file] = key
	return key
}

func certFile(file string) string { return file + "-cert.pub" }

func (k *keyring) parse(file string, info fs.FileInfo) parsedKey {
	if info.Mode().Perm()&0o077 != 0 {
		return parsedKey{problem: fmt.Sprintf("key %s can be read by others and is not used: chmod 600 it", file)}
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return parsedKey{problem: fmt.Sprintf("key %s: %v", file, err)}
	}
	signer, err := ssh.ParsePrivateKey(pem)
	if missing, ok := errors.AsType[*ssh.PassphraseMissingError](err); ok && missing != nil {
		if k.agentSocket != "" {
			return parsedKey{problem: fmt.Sprintf("key %s is encrypted: add it to the ssh-agent with ssh-add", file)}
		}
		return parsedKey{problem: fmt.Sprintf("key %s is encrypted and no ssh-agent is configured: set the agent's socket, or use a key of its own without passphrase", file)}
	}
	if err != nil {
		return parsedKey{problem: fmt.Sprintf("key %s cannot be parsed", file)} // the error may quote the key
	}
	key := parsedKey{signers: []ssh.Signer{signer}}
	text, err := os.ReadFile(certFile(file))
	if err != nil {
		return key
	}
	public, _, _, _, err := ssh.ParseAuthorizedKey(text) //nolint:dogsled // its signature
	cert, ok := public.(*ssh.Certificate)
	if err != nil || !ok {
		key.problem = certFile(file) + " is not a certificate"
		return key
	}
	certified, err := ssh.NewCertSigner(cert, signer)
	if err != nil {
		key.problem = fmt.Sprintf("%s does not belong to its key: %v", certFile(file), err)
		return key
	}
	key.signers = []ssh.Signer{certified, signer}
	return key
}
