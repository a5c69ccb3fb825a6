package cert

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"slices"
	"time"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// Bounds of a file of certificates.
const (
	maxFileBytes = 256 << 10
	maxChain     = 20
)

// reading is what is known of the first certificate in a file.
type reading struct {
	Digest    string    `json:"digest"` // SHA-256 of the certificate
	Key       string    `json:"key"`    // SHA-256 of its public key
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
	Names     []string  `json:"names"`            // sorted: DNS names and addresses, else the common name
	Broken    string    `json:"broken,omitempty"` // what is wrong with the chain behind it
}

func read(ctx context.Context, env *engine.Env, path string) (reading, error) {
	data, truncated, err := env.Runner.ReadFile(ctx, path, maxFileBytes)
	if err == nil && truncated {
		err = fault.New(fault.TooLarge, "it has more than %d bytes", maxFileBytes)
	}
	var r reading
	if err == nil {
		r, err = parse(data)
	}
	if err != nil {
		return r, fmt.Errorf("read certificate %s: %w", path, err)
	}
	return r, nil
}

// parse reads a leaf and the chain behind it; other blocks, such as a key that
// the Runner has redacted, are passed over.
func parse(data []byte) (reading, error) {
	var chain []*x509.Certificate
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return reading{}, fault.Wrap(fault.Invalid, err, "parse certificate %d", len(chain)+1)
		}
		if chain = append(chain, c); len(chain) > maxChain {
			return reading{}, fault.New(fault.TooLarge, "there are more than %d certificates", maxChain)
		}
	}
	if len(chain) == 0 {
		return reading{}, fault.New(fault.Invalid, "there is no certificate in it")
	}
	leaf := chain[0]
	r := reading{Digest: digest(leaf.Raw), Key: digest(leaf.RawSubjectPublicKeyInfo), NotBefore: leaf.NotBefore.UTC(), NotAfter: leaf.NotAfter.UTC()}
	r.Names = append([]string{}, leaf.DNSNames...)
	for _, ip := range leaf.IPAddresses {
		r.Names = append(r.Names, ip.String())
	}
	if len(r.Names) == 0 {
		r.Names = []string{leaf.Subject.CommonName}
	}
	slices.Sort(r.Names)
	for i, c := range chain[1:] {
		if err := chain[i].CheckSignatureFrom(c); err != nil {
			r.Broken = fmt.Sprintf("certificate %d of the file has not issued the one before it", i+2)
			break
		}
	}
	return r, nil
}

func digest(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

// readKey returns the digest of the public half of a private key. The key itself
// never leaves its host; one with a passphrase is not asked for it.
func readKey(ctx context.Context, env *engine.Env, path string) (string, error) {
	res, err := env.Read(ctx, "openssl", "pkey", "-in", path, "-passin", "pass:", "-pubout", "-outform", "PEM")
	if err == nil {
		err = res.Err()
	}
	if err != nil {
		return "", fmt.Errorf("read the public half of %s: %w", path, err)
	}
	block, _ := pem.Decode(res.Stdout)
	if block == nil || block.Type != "PUBLIC KEY" {
		return "", fault.New(fault.Internal, "openssl gave no public key for %s", path)
	}
	return digest(block.Bytes), nil
}
