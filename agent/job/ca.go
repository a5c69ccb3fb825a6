package job

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/secondline-ops/secondline/internal/fault"
)

// Lifetimes of certificates. Agents renew at two thirds, so an agent may be
// cut off for ten days before it has to enrol again.
const (
	agentCertLife  = 30 * 24 * time.Hour
	serverCertLife = 397 * 24 * time.Hour
	caLife         = 10 * 365 * 24 * time.Hour
	clockSlack     = 10 * time.Minute // certificates begin this much earlier: clocks differ
)

const uriScheme = "secondline"

// CA is the controller's own authority for agents. Its key never leaves the
// controller's data folder. Safe for concurrent use.
type CA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	now  func() time.Time
}

// OpenCA loads the authority from the folder, or makes it on first use.
func OpenCA(dir string, now func() time.Time) (*CA, error) {
	path := filepath.Join(dir, "agents-ca.pem")
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return makeCA(path, now)
	}
	if err != nil {
		return nil, fmt.Errorf("read agent authority: %w", err)
	}
	pair, err := tls.X509KeyPair(data, data)
	if err != nil {
		return nil, fmt.Errorf("parse agent authority %s: %w", path, err)
	}
	cert, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return nil, fmt.Errorf("parse agent authority %s: %w", path, err)
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("agent authority %s: not an ECDSA key", path)
	}
	return &CA{cert: cert, key: key, now: now}, nil
}

func makeCA(path string, now func() time.Time) (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make agent authority: %w", err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "Secondline agents"},
		NotBefore: now().Add(-clockSlack), NotAfter: now().Add(caLife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("make agent authority: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("make agent authority: %w", err)
	}
	text, err := EncodePair(der, key)
	if err != nil {
		return nil, err
	}
	if err := WriteSecret(path, text); err != nil {
		return nil, fmt.Errorf("keep agent authority: %w", err)
	}
	return &CA{cert: cert, key: key, now: now}, nil
}

// newSerial is 127 random bits: RFC 5280 4.1.2.2 wants positive and at most 20 octets.
func newSerial() (*big.Int, error) {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("make serial number: %w", err)
	}
	return n, nil
}

// Certificate returns the authority's certificate, DER.
func (ca *CA) Certificate() []byte { return ca.cert.Raw }

// Fingerprint is the first 160 bits of the SHA-256 of the certificate, hex: what
// a join token carries so that an agent knows the controller before it trusts it.
func (ca *CA) Fingerprint() string { return fingerprint(ca.cert.Raw) }

func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:20])
}

// agentName is what an agent may be called: it becomes part of queue names,
// certificates and file names.
var agentName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}$`)

// ValidAgentName reports whether an agent may have the name.
func ValidAgentName(name string) bool { return agentName.MatchString(name) }

// IssueAgent makes a certificate for the public key of the request. The names
// in the request are ignored; the certificate says secondline://agent/NAME.
func (ca *CA) IssueAgent(name string, csr []byte) (der []byte, serial string, err error) {
	if !ValidAgentName(name) {
		return nil, "", fault.New(fault.Invalid, "agent name %q: letters, digits and _ . @ - only, at most 64", name)
	}
	req, err := x509.ParseCertificateRequest(csr)
	if err != nil {
		return nil, "", fault.Wrap(fault.Invalid, err, "read certificate request")
	}
	if err := req.CheckSignature(); err != nil {
		return nil, "", fault.Wrap(fault.Invalid, err, "check certificate request")
	}
	t := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, URIs: []*url.URL{{Scheme: uriScheme, Host: "agent", Path: "/" + name}},
		NotAfter: ca.now().Add(agentCertLife), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	return ca.issue(t, req.PublicKey)
}

// IssueServer makes the certificate with which a controller shows itself to
// agents: for ServerName, and for no address, since they check none.
func (ca *CA) IssueServer() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make server key: %w", err)
	}
	t := &x509.Certificate{
		Subject: pkix.Name{CommonName: ServerName}, DNSNames: []string{ServerName}, NotAfter: ca.now().Add(serverCertLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, _, err := ca.issue(t, &key.PublicKey)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der, ca.cert.Raw}, PrivateKey: key}, nil
}

func (ca *CA) issue(t *x509.Certificate, pub any) (der []byte, serial string, err error) {
	if t.SerialNumber, err = newSerial(); err != nil {
		return nil, "", err
	}
	t.NotBefore = ca.now().Add(-clockSlack)
	t.BasicConstraintsValid = true
	der, err = x509.CreateCertificate(rand.Reader, t, ca.cert, pub, ca.key)
	if err != nil {
		return nil, "", fmt.Errorf("issue certificate for %s: %w", t.Subject.CommonName, err)
	}
	return der, t.SerialNumber.Text(16), nil
}

// Pool is what verifies certificates of this authority.
func (ca *CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	return pool
}

// EncodePair writes a certificate and its key as PEM.
func EncodePair(der []byte, key *ecdsa.PrivateKey) ([]byte, error) {
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode key: %w", err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return append(text, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})...), nil
}

// WriteSecret replaces a file that only its owner may read, whole or not at all.
func WriteSecret(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".new-*") // created 0600
	if err != nil {
		return err
	}
	_, werr := tmp.Write(data)
	err = errors.Join(werr, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return syncDir(filepath.Dir(path)) // the name, too, must survive a power cut: a join token works only once
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
