// Package sshsig signs and checks files in the format of OpenSSH's
// "ssh-keygen -Y" (PROTOCOL.sshsig), so that what Secondline signs can be
// checked without Secondline. Keys are Ed25519; other keys are refused.
//
// The one thing to know: Verify says who signed, not whether that signer is to
// be trusted. The caller compares the key with those it trusts.
package sshsig

import (
	"bytes"
	"fmt"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"

	"github.com/secondline-ops/secondline/internal/fault"
)

// maxSignatureBytes bounds an armored signature; one of Ed25519 has about 300.
const maxSignatureBytes = 16 << 10

// PublicKey is who signed. The zero value is nobody.
type PublicKey struct{ key ssh.PublicKey }

// ParsePublicKey reads one line of an OpenSSH ".pub" or authorized_keys file.
func ParsePublicKey(line []byte) (PublicKey, error) {
	key, _, _, _, err := ssh.ParseAuthorizedKey(line)
	if err != nil {
		return PublicKey{}, fault.Wrap(fault.Invalid, err, "parse public key")
	}
	if key.Type() != ssh.KeyAlgoED25519 {
		return PublicKey{}, fault.New(fault.Invalid, "the key is of type %s, not %s", key.Type(), ssh.KeyAlgoED25519)
	}
	return PublicKey{key}, nil
}

// Equal reports whether both are the same key.
func (p PublicKey) Equal(other PublicKey) bool {
	return p.key != nil && other.key != nil && bytes.Equal(p.key.Marshal(), other.key.Marshal())
}

// Fingerprint returns the key's fingerprint as ssh-keygen -l prints it; "" for nobody.
func (p PublicKey) Fingerprint() string {
	if p.key == nil {
		return ""
	}
	return ssh.FingerprintSHA256(p.key)
}

// String returns the key as a line of authorized_keys, without a comment.
func (p PublicKey) String() string {
	if p.key == nil {
		return ""
	}
	return string(bytes.TrimSpace(ssh.MarshalAuthorizedKey(p.key)))
}

// Verify checks the armored signature over the message and returns the key that
// made it. A signature that is damaged, for another namespace or over other
// bytes is a fault of kind Denied.
func Verify(armored, message []byte, namespace string) (PublicKey, error) {
	if len(armored) > maxSignatureBytes {
		return PublicKey{}, fault.New(fault.TooLarge, "the signature has %d bytes, more than %d", len(armored), maxSignatureBytes)
	}
	sig, err := sshsig.Unarmor(armored)
	if err != nil {
		return PublicKey{}, fault.Wrap(fault.Denied, err, "read signature")
	}
	if sig.PublicKey.Type() != ssh.KeyAlgoED25519 {
		return PublicKey{}, fault.New(fault.Denied, "the signing key is of type %s, not %s", sig.PublicKey.Type(), ssh.KeyAlgoED25519)
	}
	if err := sshsig.Verify(bytes.NewReader(message), sig, sig.PublicKey, sig.HashAlgorithm, namespace); err != nil {
		return PublicKey{}, fault.Wrap(fault.Denied, err, "check signature")
	}
	return PublicKey{sig.PublicKey}, nil
}

// Sign returns the armored signature of the message for the namespace.
func (k *Key) Sign(namespace string, message []byte) ([]byte, error) {
	sig, err := sshsig.Sign(bytes.NewReader(message), k.signer, sshsig.HashSHA512, namespace)
	if err != nil {
		return nil, fmt.Errorf("sign for %s: %w", namespace, err)
	}
	return sshsig.Armor(sig), nil
}
