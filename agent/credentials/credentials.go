// Package credentials is where an agent's secrets live: its own key and
// certificate, and the SSH keys with which it reaches servers. They never leave
// this package unwrapped: what goes out are ready connections and identities.
package credentials

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/internal/fault"
)

// The files of an agent's state folder.
const (
	identityFile = "identity.pem"      // certificate and key, 0600
	authority    = "controller-ca.pem" // the pinned authority
)

// Save keeps an identity in the state folder, whole or not at all.
func Save(dir string, id job.Identity, key *ecdsa.PrivateKey) error {
	pair, err := job.EncodePair(id.Certificate.Certificate[0], key)
	if err != nil {
		return err
	}
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: id.CA})
	// The identity comes last: with it the agent counts as enrolled.
	for _, f := range []struct {
		name string
		data []byte
	}{{authority, ca}, {identityFile, pair}} {
		if err := job.WriteSecret(filepath.Join(dir, f.name), f.data); err != nil {
			return fmt.Errorf("keep the agent's identity: %w", err)
		}
	}
	return nil
}

// Load returns the identity of the state folder. NotFound means that this agent
// has not been enrolled.
func Load(dir string) (job.Identity, error) {
	text, err := os.ReadFile(filepath.Join(dir, identityFile))
	if errors.Is(err, fs.ErrNotExist) {
		return job.Identity{}, fault.New(fault.NotFound, "there is no identity in %s", dir).
			WithHint("enrol this agent first: secondline agent enroll --help")
	}
	if err != nil {
		return job.Identity{}, fmt.Errorf("read the agent's identity: %w", err)
	}
	pair, err := tls.X509KeyPair(text, text)
	if err != nil {
		return job.Identity{}, fmt.Errorf("parse the agent's identity: %w", err)
	}
	ca, err := os.ReadFile(filepath.Join(dir, authority))
	if err != nil {
		return job.Identity{}, fmt.Errorf("read the pinned authority: %w", err)
	}
	block, _ := pem.Decode(ca)
	if block == nil {
		return job.Identity{}, fault.New(fault.Invalid, "%s holds no certificate", filepath.Join(dir, authority))
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return job.Identity{}, fmt.Errorf("read the agent's certificate: %w", err)
	}
	return job.Identity{Name: leaf.Subject.CommonName, Certificate: pair, CA: block.Bytes}, nil
}

// RenewDue reports whether two thirds of the certificate's life are over.
func RenewDue(id job.Identity, now time.Time) bool {
	leaf, err := x509.ParseCertificate(id.Certificate.Certificate[0])
	if err != nil {
		return true
	}
	life := leaf.NotAfter.Sub(leaf.NotBefore)
	return now.After(leaf.NotBefore.Add(life * 2 / 3))
}

// Renewer renews the certificate in a state folder.
type Renewer struct {
	Dir  string
	Dial job.Dial // may be nil
	Now  func() time.Time
}

// Due reports whether two thirds of the certificate's life are over.
func (r Renewer) Due(id job.Identity) bool { return RenewDue(id, r.Now()) }

// Renew gets a certificate for a new key and keeps it before it returns it.
func (r Renewer) Renew(ctx context.Context, address string, id job.Identity) (job.Identity, error) {
	next, key, err := job.RenewCertificate(ctx, address, id, r.Dial)
	if err != nil {
		return job.Identity{}, err
	}
	if err := Save(r.Dir, next, key); err != nil {
		return job.Identity{}, err
	}
	return next, nil
}
