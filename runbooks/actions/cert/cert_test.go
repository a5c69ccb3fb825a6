package cert_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/internal/remote/remotetest"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/actions/cert"
	"github.com/secondline-ops/secondline/runbooks/actions/internal/actiontest"
)

const day = 24 * time.Hour

// folder holds a certificate in use, and what the tool would put there: it is
// cp, which takes "new" for "live".
type folder struct {
	t   *testing.T
	dir string
}

func newFolder(t *testing.T) *folder {
	t.Helper()
	remotetest.Need(t, "openssl")
	return &folder{t: t, dir: t.TempDir()}
}

func (f *folder) path(name string) string { return filepath.Join(f.dir, name) }

func (f *folder) write(name string, data []byte) {
	f.t.Helper()
	if err := os.WriteFile(f.path(name), data, 0o600); err != nil {
		f.t.Fatal(err)
	}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// keyPEM is the key as openssl writes it.
func keyPEM(t *testing.T, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// issue signs a certificate of the key by itself.
func issue(t *testing.T, key *ecdsa.PrivateKey, from, until time.Duration, names ...string) []byte {
	t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<60))
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "x"}, DNSNames: names,
		NotBefore: time.Now().Add(from), NotAfter: time.Now().Add(until),
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func (f *folder) story(more ...string) *actiontest.Story {
	f.t.Helper()
	spec := fmt.Sprintf("\n  inputs: {live: {type: path, default: %q}}\n  steps:\n    - id: act\n"+
		"      cert: {path: \"${inputs.live}\", renew: [cp, --, %q, \"${inputs.live}\"], min_valid: 14d%s}\n      undo: none\n      timeout: 20s\n      verify: {within: 300ms}\n",
		f.path("live"), f.path("new"), strings.Join(more, ""))
	return actiontest.New(f.t, cert.Action{}, actiontest.Local(), spec, nil)
}

func TestACertificateThatExpiresIsRenewedOnce(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	key := newKey(t)
	f.write("key", keyPEM(t, key))
	f.write("live", issue(t, key, -80*day, 10*day, "b.example", "a.example"))
	f.write("new", append(issue(t, key, -time.Hour, 90*day, "a.example", "b.example"), keyPEM(t, key)...))
	more := fmt.Sprintf(", key: %q", f.path("key"))
	s := f.story(more)
	p := s.Plan()
	if got := p.Steps[0].Diff; !strings.HasPrefix(got, "--- "+f.path("live")+", for a.example, b.example\n-not_after: ") {
		t.Errorf("the plan shows %q", got)
	}
	if got := fmt.Sprint(p.Steps[0].Touches); got != fmt.Sprintf("[file %s file %s]", f.path("live"), f.path("key")) {
		t.Errorf("it touches %s", got)
	}
	s.Want(s.RunPlan(p), runbooks.RunVerified, "")
	for range 2 {
		again := f.story(more)
		again.Want(again.Run(), runbooks.RunVerified, "")
		if len(again.Host.Writes()) != 0 {
			t.Error("it was renewed again")
		}
	}
}

func TestWhatTheToolLeftIsMeasured(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	key, other := newKey(t), newKey(t)
	f.write("key", keyPEM(t, key))
	good := issue(t, key, -time.Hour, 90*day, "a.example")
	for name, tt := range map[string]struct {
		left []byte
		why  string
	}{
		"another name":     {issue(t, key, -time.Hour, 90*day, "c.example"), "for c.example, not a.example"},
		"a name less":      {issue(t, key, -time.Hour, 90*day), "not a.example"},
		"soon over":        {issue(t, key, -time.Hour, 13*day, "a.example"), "which is in less than 14d"},
		"not valid yet":    {issue(t, key, time.Hour, 90*day, "a.example"), "and not before"},
		"another key":      {issue(t, other, -time.Hour, 90*day, "a.example"), "and of another key"},
		"a foreign chain":  {append(append([]byte{}, good...), issue(t, other, -time.Hour, 90*day, "ca")...), "has not issued the one before it"},
		"no certificate":   {[]byte("hello\n"), "there is no certificate in it"},
		"a broken one":     {[]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), "parse certificate 1"},
		"nothing":          {nil, "there is no certificate in it"},
		"more than a file": {append(append([]byte{}, good...), make([]byte, 300<<10)...), "more than"},
	} {
		f.write("live", issue(t, key, -80*day, 10*day, "a.example"))
		f.write("new", tt.left)
		s := f.story(fmt.Sprintf(", key: %q", f.path("key")))
		res := s.Run()
		s.Want(res, runbooks.RunRefuted, "")
		if said := res.Why + fmt.Sprint(res.Steps[0].Measured); !strings.Contains(said, tt.why) {
			t.Errorf("%s: %s", name, said)
		}
	}
	f.write("live", issue(t, key, -80*day, 10*day, "a.example"))
	if err := os.Remove(f.path("new")); err != nil {
		t.Fatal(err)
	}
	s := f.story()
	s.Want(s.Run(), runbooks.RunRefuted, "exit status 1") // the tool has failed
}

func TestAToolThatDoesNothingIsRefuted(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	f.write("live", issue(t, newKey(t), -80*day, 10*day, "a.example"))
	live, _ := os.ReadFile(f.path("live"))
	f.write("new", live)
	s := f.story()
	res := s.Run()
	s.Want(res, runbooks.RunRefuted, "")
	if !strings.Contains(fmt.Sprint(res.Steps[0].Measured), "is the certificate that it was") {
		t.Errorf("measured %q", res.Steps[0].Measured)
	}
}

func TestAfterACrashACertificateIsRenewedOnce(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	key := newKey(t)
	f.write("new", issue(t, key, -time.Hour, 90*day, "a.example"))
	for dieAt := 1; dieAt <= 5; dieAt++ {
		f.write("live", issue(t, key, -80*day, 10*day, "a.example"))
		s := f.story()
		res := s.Crash(dieAt)
		if n := len(s.Host.Writes()); res.Status != runbooks.RunVerified || n != 1 {
			t.Errorf("killed at %d: %s (%s), renewed %d times", dieAt, res.Status, res.Why, n)
		}
	}
	f.write("live", issue(t, key, -80*day, 10*day, "a.example"))
	s := f.story()
	s.Host.After = func(cmd remote.Command) error {
		if cmd.Effect == remote.Read {
			return nil
		}
		return &remote.Error{Class: remote.Lost}
	}
	s.Want(s.Run(), runbooks.RunVerified, "")
}

func TestAWorldThatChangedSinceIsLeftAlone(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	key := newKey(t)
	f.write("live", issue(t, key, -80*day, 10*day, "a.example"))
	f.write("new", issue(t, key, -time.Hour, 90*day, "a.example"))
	s := f.story()
	p := s.Plan()
	f.write("live", issue(t, key, -time.Hour, 60*day, "a.example"))
	s.Want(s.RunPlan(p), runbooks.RunRefused, "now has nothing to change")
	if len(s.Host.Writes()) != 0 {
		t.Error("the tool was started")
	}
}

func TestWhatCannotBeReadIsNotPlanned(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	if _, err := f.story().TryPlan(); err == nil {
		t.Error("a certificate that is not there was planned")
	}
	f.write("live", issue(t, newKey(t), -80*day, 90*day, "a.example"))
	if _, err := f.story(fmt.Sprintf(", key: %q", f.path("nokey"))).TryPlan(); err == nil || !strings.Contains(err.Error(), "cannot be told") {
		t.Errorf("a key that is not there: %v", err)
	}
	for _, part := range []string{
		`{path: live, renew: [x]}`, `{path: /a/../b, renew: [x]}`, `{path: /a}`, `{path: /a, renew: x}`, `{path: /a, renew: []}`, `{path: /a, renew: ["${inputs.live}"]}`,
		`{path: /a, renew: [-x]}`, `{path: /a, renew: [sh, -c, "echo ${inputs.live}"]}`, `{path: /a, renew: [x, [y]]}`, `{path: /a, renew: [x], min_valid: 0s}`,
		`{path: /a, renew: [x], min_valid: 400d}`, `{path: /a, renew: [x], key: k}`, `{path: "${nobody}", renew: [x]}`, `{path: /a, renew: [x], force: true}`,
	} {
		spec := "\n  inputs: {live: {type: path, default: /x}}\n  steps:\n    - id: act\n      cert: " + part + "\n      undo: none\n"
		if _, err := actiontest.Parse(cert.Action{}, spec); err == nil {
			t.Errorf("%s was accepted", part)
		}
	}
}
