package tls

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	cryptotls "crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/plugins"
	"github.com/secondline-ops/secondline/plugins/plugintest"
)

// made is a certificate of the test's own.
type made struct {
	der []byte
	key *ecdsa.PrivateKey
}

func (m made) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: m.der}))
}

func makeCertificate(tb testing.TB, from, to time.Time) made {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "orders.example"},
		NotBefore: from, NotAfter: to, DNSNames: []string{"orders.example", "*.orders.example"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		tb.Fatal(err)
	}
	return made{der, key}
}

func TestCertificateKeepsTheContract(t *testing.T) {
	t.Parallel()
	now := time.Now().UTC().Truncate(time.Second)
	good := makeCertificate(t, now.Add(-time.Hour), now.Add(240*time.Hour))
	old := makeCertificate(t, now.Add(-48*time.Hour), now.Add(-24*time.Hour))
	far := makeCertificate(t, now.Add(-time.Hour), time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC))
	host := plugintest.NewHost(t).
		File("/etc/ssl/good.pem", "# a comment\n"+good.pem(), nil).
		File("/etc/ssl/old.pem", old.pem()+good.pem(), nil).
		File("/etc/ssl/far.pem", far.pem(), nil).
		File("/etc/ssl/key.pem", "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n", nil).
		File("/etc/ssl/none.pem", "", &plugins.HostError{Class: plugins.ClassNotExist, Message: "no such file"}).
		File("/etc/ssl/secret.pem", "", &plugins.HostError{Class: plugins.ClassNotPermitted, Message: "permission denied"}).
		Command(plugins.Result{Stdout: []byte("CONNECTED(00000003)\nServer certificate\n" + good.pem())}, nil,
			"openssl", "s_client", "-connect", "lb1:443", "-servername", "shop.example").
		Command(plugins.Result{Stdout: []byte(good.pem())}, nil, "openssl", "s_client", "-connect", "[::1]:443", "-noservername").
		Command(plugins.Result{ExitCode: 1, Stderr: []byte("connect:errno=111\n")}, nil,
			"openssl", "s_client", "-connect", "127.0.0.1:1", "-noservername").
		Command(plugins.Result{}, &plugins.HostError{Class: plugins.ClassNotExist, Message: "openssl: not found"},
			"openssl", "s_client", "-connect", "bare:443", "-servername", "bare")
	at := func(path string) plugins.Args { return plugins.Args{"path": path} }
	_, probes := Plugin()
	plugintest.Exercise(t, probes[0], []plugintest.Case{
		{Name: "file", Host: host, Args: at("/etc/ssl/good.pem"), Status: plugins.OK, Value: plugins.Value{
			"subject": "CN=orders.example", "issuer": "CN=orders.example", "valid_now": true, "name_matches": nil,
			"not_after": now.Add(240 * time.Hour), "names": []any{"orders.example", "*.orders.example", "127.0.0.1"},
		}},
		{Name: "leaf comes first", Host: host, Args: at("/etc/ssl/old.pem"), Status: plugins.OK, Value: plugins.Value{"valid_now": false, "not_after": now.Add(-24 * time.Hour)}},
		{Name: "no expiry", Host: host, Args: at("/etc/ssl/far.pem"), Status: plugins.OK, Value: plugins.Value{"valid_now": true}},
		{Name: "only a key", Host: host, Args: at("/etc/ssl/key.pem"), Status: plugins.Failed},
		{Name: "no file", Host: host, Args: at("/etc/ssl/none.pem"), Status: plugins.Absent},
		{Name: "may not look", Host: host, Args: at("/etc/ssl/secret.pem"), Status: plugins.Denied},
		{
			Name: "server with a name that does not match", Host: host, Status: plugins.OK,
			Args: plugins.Args{"address": "lb1:443", "server_name": "shop.example"}, Value: plugins.Value{"name_matches": false},
		},
		{Name: "server by address", Host: host, Args: plugins.Args{"address": "[::1]:443"}, Status: plugins.OK, Value: plugins.Value{"name_matches": false}},
		{Name: "nobody listens", Host: host, Args: plugins.Args{"address": "127.0.0.1:1"}, Status: plugins.Failed},
		{Name: "no openssl is not no certificate", Host: host, Args: plugins.Args{"address": "bare:443"}, Status: plugins.Failed},
		{Name: "nothing asked", Host: host, Args: plugins.Args{}, Fails: true},
		{Name: "both asked", Host: host, Args: plugins.Args{"address": "a:1", "path": "/x"}, Fails: true},
		{Name: "relative path", Host: host, Args: at("x.pem"), Fails: true},
		{Name: "no port", Host: host, Args: plugins.Args{"address": "lb1"}, Fails: true},
		{Name: "option for openssl as address", Host: host, Args: plugins.Args{"address": "-proxy:443"}, Fails: true},
		{Name: "option for openssl as name", Host: host, Args: plugins.Args{"address": "lb1:443", "server_name": "-CAfile"}, Fails: true},
		{Name: "shell in a name", Host: host, Args: plugins.Args{"address": "lb1:443", "server_name": "$(id)"}, Fails: true},
	}...)
}

func TestDaysLeftAreCountedFromTheReading(t *testing.T) {
	t.Parallel()
	end := time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC) // a duration in nanoseconds ends after 292 years
	cert := makeCertificate(t, time.Unix(0, 0), end)
	raw := plugins.Raw{Name: "certificate", Status: plugins.OK, Data: []byte(cert.pem()), At: end.AddDate(0, 0, -3000)}
	v, _, err := newCertificate().Parse([]plugins.Raw{raw}, plugins.Args{"path": "/x"})
	if err != nil || v["days_left"] != 3000.0 {
		t.Errorf("days left: %v, %v", v["days_left"], err)
	}
	raw.At = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	v, _, err = newCertificate().Parse([]plugins.Raw{raw}, plugins.Args{"path": "/x"})
	if days, ok := v["days_left"].(float64); err != nil || !ok || days < 2_900_000 {
		t.Errorf("days left: %v, %v", v["days_left"], err)
	}
}

// thisHost runs openssl here, and nothing else.
type thisHost struct{ plugins.Host }

func (thisHost) Target() string { return "here" }

func (thisHost) Run(ctx context.Context, cmd plugins.Command) (plugins.Result, error) {
	if cmd.Argv[0] != "openssl" {
		return plugins.Result{}, fmt.Errorf("not scripted: %q", cmd.Argv)
	}
	c := exec.CommandContext(ctx, cmd.Argv[0], cmd.Argv[1:]...)
	var stderr strings.Builder
	c.Stderr = &stderr
	out, err := c.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return plugins.Result{Stdout: out, Stderr: []byte(stderr.String()), ExitCode: exit.ExitCode()}, nil
	}
	return plugins.Result{Stdout: out, Stderr: []byte(stderr.String())}, err
}

func TestReadsTheCertificateOfARealServer(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("openssl"); err != nil {
		if os.Getenv("SECONDLINE_REQUIRE_REAL") == "1" {
			t.Fatal(err)
		}
		t.Skip("openssl is not installed")
	}
	cert := makeCertificate(t, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	ln, err := cryptotls.Listen("tcp", "127.0.0.1:0", &cryptotls.Config{
		MinVersion:   cryptotls.VersionTLS12,
		Certificates: []cryptotls.Certificate{{Certificate: [][]byte{cert.der}, PrivateKey: cert.key}},
	})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	t.Cleanup(func() {
		_ = ln.Close()
		<-served
	})
	go func() {
		defer close(served)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			_ = conn.(*cryptotls.Conn).HandshakeContext(t.Context()) // the client may not like the certificate
			_ = conn.Close()
		}
	}()
	_, probes := Plugin()
	args := plugins.Args{"address": ln.Addr().String()}
	raws, err := probes[0].Read(t.Context(), thisHost{}, args)
	if err != nil {
		t.Fatal(err)
	}
	v, status, err := probes[0].Parse(raws, args)
	if err != nil || status != plugins.OK || v["name_matches"] != true || v["valid_now"] != true {
		t.Errorf("%v, %s, %v (raws %+v)", v, status, err, raws)
	}
}

func FuzzParse(f *testing.F) {
	cert := makeCertificate(f, time.Unix(0, 0), time.Unix(1<<31, 0))
	f.Add([]byte(cert.pem()), "ok")
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"), "ok")
	f.Add([]byte("-----BEGIN"), "truncated")
	f.Add([]byte{}, "absent")
	p := newCertificate()
	f.Fuzz(func(t *testing.T, data []byte, status string) {
		raw := plugins.Raw{Name: "certificate", Status: plugins.Status(status), Data: data, At: time.Unix(1e9, 0)}
		v, st, err := p.Parse([]plugins.Raw{raw}, plugins.Args{"path": "/x"})
		if st == plugins.OK && (err != nil || v == nil) {
			t.Errorf("ok without a value: %v", err)
		}
		if st != plugins.OK && v != nil {
			t.Errorf("status %s with value %v", st, v)
		}
		if raw.Status != plugins.Absent && st == plugins.Absent {
			t.Errorf("absent out of %q", status)
		}
	})
}
