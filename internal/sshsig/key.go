package sshsig

import (
	"crypto/ed25519"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/crypto/ssh"

	"github.com/secondline-ops/secondline/internal/fault"
)

// keyComment is what ssh-keygen -l shows beside the key.
const keyComment = "secondline"

// Key is a private signing key. It is safe for concurrent use, and none of its
// methods shows the key itself.
type Key struct{ signer ssh.Signer }

// OpenKey reads the private key at path, or makes one: an OpenSSH private key of
// mode 0600, with its public half beside it in path.pub. Of several processes
// that make it at once, one wins and all read its key. A key that others may
// read is refused with Denied.
func OpenKey(path string) (*Key, error) {
	key, err := readKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err = makeKey(path); err == nil {
			key, err = readKey(path)
		}
	}
	if err != nil {
		return nil, err
	}
	line := []byte(key.Public().String() + " " + keyComment + "\n")
	if _, err := os.Stat(path + ".pub"); errors.Is(err, fs.ErrNotExist) {
		if err := os.WriteFile(path+".pub", line, 0o644); err != nil { //nolint:gosec // a public key is for everybody
			return nil, fmt.Errorf("write public key: %w", err)
		}
	}
	return key, nil
}

// Public returns the public half.
func (k *Key) Public() PublicKey { return PublicKey{k.signer.PublicKey()} }

// ReadKey reads the Ed25519 private key of a person at path. One that is
// protected by a passphrase, and one of which only path.pub is there, signs by
// the SSH agent at the socket. It makes no key. A key that others may read is
// refused with Denied.
func ReadKey(path, socket string) (*Key, error) {
	key, err := readKey(path)
	_, locked := errors.AsType[*ssh.PassphraseMissingError](err)
	if err == nil || !locked && !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	line, pubErr := os.ReadFile(path + ".pub")
	if pubErr != nil {
		return nil, fault.Wrap(fault.NotFound, err, "open the key")
	}
	public, pubErr := ParsePublicKey(line)
	if pubErr != nil {
		return nil, fmt.Errorf("%s.pub: %w", path, pubErr)
	}
	return &Key{agentSigner{public.key, socket}}, nil
}

func readKey(path string) (*Key, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read signing key: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fault.New(fault.Denied, "signing key %s has mode %04o: others may read it", path, info.Mode().Perm()).
			WithHint("chmod 600 %s, and make a new one if somebody may have read it", path)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read signing key: %w", err)
	}
	signer, err := ssh.ParsePrivateKey(data)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "parse signing key %s", path)
	}
	if t := signer.PublicKey().Type(); t != ssh.KeyAlgoED25519 {
		return nil, fault.New(fault.Invalid, "signing key %s is of type %s, not %s", path, t, ssh.KeyAlgoED25519)
	}
	return &Key{signer}, nil
}

// makeKey writes a new key whole or not at all, and never over another.
func makeKey(path string) (err error) {
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return fmt.Errorf("make signing key: %w", err)
	}
	block, err := ssh.MarshalPrivateKey(private, keyComment)
	if err != nil {
		return fmt.Errorf("encode signing key: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".key-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write signing key: %w", err)
	}
	defer func() { err = errors.Join(err, os.Remove(tmp.Name())) }()
	_, werr := tmp.Write(pem.EncodeToMemory(block))
	if err := errors.Join(werr, tmp.Sync(), tmp.Close()); err != nil {
		return fmt.Errorf("write signing key: %w", err)
	}
	if err := os.Link(tmp.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("write signing key: %w", err)
	}
	return nil
}
