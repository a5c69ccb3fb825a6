package smtp

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// strictServer speaks SMTP and fails the test on whatever is out of order. A
// reply for a verb that is in answers is given in place of the usual one.
type strictServer struct {
	t        *testing.T
	listener net.Listener
	roots    *x509.CertPool
	config   *tls.Config
	answers  map[string]string // "RCPT bad@x" or "DATA" or "." -> reply
	startTLS bool
	silent   atomic.Bool // accepts and says nothing

	mu    sync.Mutex // guards below
	mails []string
	rcpts []string
	auth  []string
}

func newServer(t *testing.T, startTLS bool, answers map[string]string) *strictServer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mail"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, _ := x509.ParseCertificate(der)
	s := &strictServer{t: t, roots: x509.NewCertPool(), answers: answers, startTLS: startTLS}
	s.roots.AddCert(cert)
	s.config = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
	if s.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	wait.Go(func() {
		for {
			conn, err := s.listener.Accept()
			if err != nil {
				return
			}
			wait.Go(func() { defer conn.Close(); s.talk(conn) })
		}
	})
	t.Cleanup(func() { s.listener.Close(); wait.Wait() })
	return s
}

func (s *strictServer) got(list *[]string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string{}, *list...)
}

func (s *strictServer) port() int { return s.listener.Addr().(*net.TCPAddr).Port }

func (s *strictServer) talk(conn net.Conn) {
	conn.SetDeadline(time.Now().Add(time.Minute))
	if s.silent.Load() {
		io.Copy(io.Discard, conn)
		return
	}
	in := bufio.NewReader(conn)
	say := func(text string) { fmt.Fprintf(conn, "%s\r\n", text) }
	say("220 mail ESMTP")
	secure, from, to := false, false, false
	for {
		line, err := in.ReadString('\n')
		if errors.Is(err, os.ErrDeadlineExceeded) {
			s.t.Error("the client is gone and left its line open")
		}
		if err != nil {
			return
		}
		line = strings.TrimSuffix(line, "\r\n")
		verb, rest, _ := strings.Cut(line, " ")
		rest = strings.Trim(strings.TrimPrefix(strings.TrimPrefix(strings.Fields(rest + " -")[0], "TO:"), "FROM:"), "<>")
		if reply, ok := s.answers[strings.TrimSpace(verb+" "+rest)]; ok {
			say(reply)
			continue
		}
		switch verb {
		case "EHLO":
			out := "250-mail\r\n250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n"
			if s.startTLS && !secure {
				out += "250-STARTTLS\r\n"
			}
			if secure {
				out += "250-AUTH PLAIN\r\n"
			}
			say(out + "250 SIZE 20000000")
		case "STARTTLS":
			say("220 go")
			upgraded := tls.Server(conn, s.config)
			conn, in, secure = upgraded, bufio.NewReader(upgraded), true
		case "AUTH":
			if !secure {
				s.t.Error("a password over an open line")
			}
			fields := strings.Fields(line)
			data, _ := base64.StdEncoding.DecodeString(fields[len(fields)-1])
			s.mu.Lock()
			s.auth = append(s.auth, string(data))
			s.mu.Unlock()
			say("235 ok")
		case "MAIL":
			from, to = true, false
			say("250 ok")
		case "RCPT":
			if !from {
				s.t.Error("RCPT before MAIL")
			}
			to = true
			s.mu.Lock()
			s.rcpts = append(s.rcpts, rest)
			s.mu.Unlock()
			say("250 ok")
		case "DATA":
			if !to {
				s.t.Error("DATA before RCPT")
			}
			say("354 go")
			s.data(in, say)
			from, to = false, false
		case "RSET", "NOOP":
			from, to = false, false
			say("250 ok")
		case "*": // RFC 4954, section 4: the client gives the login up
			say("501 cancelled")
		case "QUIT":
			say("221 bye")
			return
		default:
			s.t.Errorf("unexpected %q", line)
			say("500 what")
		}
	}
}

func (s *strictServer) data(in *bufio.Reader, say func(string)) {
	var mail strings.Builder
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		if !strings.HasSuffix(line, "\r\n") {
			s.t.Errorf("a bare line feed in %q", line)
		}
		if len(line) > 1000 {
			s.t.Errorf("a line of %d bytes", len(line))
		}
		if line == ".\r\n" {
			break
		}
		mail.WriteString(strings.TrimPrefix(line, "."))
	}
	if reply, ok := s.answers["."]; ok {
		say(reply)
		return
	}
	s.mu.Lock()
	s.mails = append(s.mails, mail.String())
	s.mu.Unlock()
	say("250 queued")
}
