package job

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/secondline-ops/secondline/agent/job/pb"
	"github.com/secondline-ops/secondline/internal/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEveryKindSurvivesTheWire(t *testing.T) {
	t.Parallel()
	for _, kind := range fault.Kinds() {
		sent := toStatus(fmt.Errorf("do it: %w", fault.Wrap(kind, errors.New("/var/lib/secret.db is locked"), "the sentence").WithHint("the hint")))
		got := fromStatus(sent, "ask")
		if !fault.Is(got, kind) {
			t.Errorf("%s became %s", kind, fault.KindOf(got))
		}
		if strings.Contains(got.Error(), "secret.db") {
			t.Errorf("%s tells the other side its cause: %v", kind, got)
		}
		if says := strings.Contains(got.Error(), "the sentence (the hint)"); says == (kind == fault.Internal) {
			t.Errorf("%s: %v", kind, got)
		}
	}
	if err := toStatus(nil); err != nil {
		t.Error(err)
	}
	if err := fromStatus(status.Error(codes.Unimplemented, "what?"), "ask"); !fault.Is(err, fault.Internal) {
		t.Error(err)
	}
	if err := fromStatus(toStatus(context.DeadlineExceeded), "ask"); !fault.Is(err, fault.Timeout) {
		t.Error(err)
	}
}

func FuzzParseJoinToken(f *testing.F) {
	token, err := NewJoinToken(strings.Repeat("ab", 20))
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{token.Text(), " " + token.Text() + "\n", "", "slj_", "slj_.", token.Text() + ".x", strings.ToUpper(token.Text())} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ParseJoinToken(text)
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatal(err)
			}
			return
		}
		if got.Text() != strings.TrimSpace(text) || got.Hash() != HashJoinToken(text) {
			t.Fatalf("%q became %q", text, got.Text())
		}
		if s := fmt.Sprint(got); strings.Contains(s, got.secret) {
			t.Fatalf("it prints its secret: %s", s)
		}
	})
}

// greedy is a controller that takes whatever token it is shown.
type greedy struct {
	pb.UnimplementedLinkServer
	tokens chan string
	ca     []byte
}

func (g greedy) Enroll(_ context.Context, r *pb.EnrollRequest) (*pb.EnrollResponse, error) {
	g.tokens <- r.GetToken()
	return &pb.EnrollResponse{Agent: r.GetAgent(), Certificate: []byte{1}, Ca: g.ca}, nil
}

func serveGreedy(t *testing.T, cert tls.Certificate, ca []byte) (dial Dial, tokens chan string) {
	t.Helper()
	tokens = make(chan string, 10)
	srv := grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}})))
	pb.RegisterLinkServer(srv, greedy{tokens: tokens, ca: ca})
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(l)
	}()
	t.Cleanup(func() {
		srv.Stop()
		<-done
	})
	return func(ctx context.Context, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", l.Addr().String())
	}, tokens
}

// TestAManInTheMiddleGetsNoToken lets one stand between agent and controller who
// has everything but the controller's key.
func TestAManInTheMiddleGetsNoToken(t *testing.T) {
	t.Parallel()
	real, err := OpenCA(t.TempDir(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	evil, err := OpenCA(t.TempDir(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	token, err := NewJoinToken(real.Fingerprint())
	if err != nil {
		t.Fatal(err)
	}
	own, err := evil.IssueServer()
	if err != nil {
		t.Fatal(err)
	}
	borrowed := own // its own certificate, with the real authority's beside it
	borrowed.Certificate = [][]byte{own.Certificate[0], real.Certificate()}
	alone := own
	alone.Certificate = own.Certificate[:1]
	key, csr, err := NewRequest("web1") // another agent's certificate, which the real authority did sign
	if err != nil {
		t.Fatal(err)
	}
	agent, _, err := real.IssueAgent("web1", csr)
	if err != nil {
		t.Fatal(err)
	}
	for name, cert := range map[string]tls.Certificate{
		"with another authority":           own,
		"with the real authority borrowed": borrowed,
		"with no authority":                alone,
		"with an agent's certificate":      {Certificate: [][]byte{agent, real.Certificate()}, PrivateKey: key},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dial, tokens := serveGreedy(t, cert, real.Certificate())
			_, _, err := Enroll(t.Context(), EnrollOptions{Address: "x", Token: token, Name: "db1", Dial: dial, Now: time.Now})
			if !fault.Is(err, fault.Denied) {
				t.Errorf("got %v, want denied", err)
			}
			if len(tokens) != 0 {
				t.Error("it was shown the token")
			}
		})
	}
	genuine, err := real.IssueServer()
	if err != nil {
		t.Fatal(err)
	}
	for name, ca := range map[string][]byte{"another authority in the answer": evil.Certificate(), "none": nil} {
		dial, _ := serveGreedy(t, genuine, ca)
		if _, _, err := Enroll(t.Context(), EnrollOptions{Address: "x", Token: token, Name: "db1", Dial: dial, Now: time.Now}); !fault.Is(err, fault.Denied) {
			t.Errorf("%s: got %v, want denied", name, err)
		}
	}
	dial, _ := serveGreedy(t, genuine, real.Certificate())
	if _, _, err := Enroll(t.Context(), EnrollOptions{Address: "x", Token: token, Name: "../x", Dial: dial, Now: time.Now}); !fault.Is(err, fault.Invalid) {
		t.Errorf("a hostile name: %v", err)
	}
	if _, _, err := Enroll(t.Context(), EnrollOptions{Address: "x", Token: token, Name: "db1", Dial: dial, Now: time.Now}); err != nil {
		t.Errorf("the genuine one: %v", err)
	}
}

func TestTheAuthorityIsKeptAndItsFileIsASecret(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	first, err := OpenCA(dir, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	again, err := OpenCA(dir, time.Now)
	if err != nil || again.Fingerprint() != first.Fingerprint() {
		t.Errorf("it is another one: %v", err)
	}
	for name, want := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, "agents-ca.pem"): 0o600} {
		info, err := os.Stat(name)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "agents-ca.pem"), []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenCA(dir, time.Now); err == nil {
		t.Error("a damaged authority was replaced silently")
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("left %v, %v", left, err)
	}
}

func TestTheControllersCertificateIsMadeAnewInTime(t *testing.T) {
	t.Parallel()
	now := time.Now()
	ca, err := OpenCA(t.TempDir(), func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	c := &serverCertificate{ca: ca}
	serial := func() string {
		cert, err := c.get(nil)
		if err != nil {
			t.Fatal(err)
		}
		return string(cert.Certificate[0])
	}
	first := serial()
	now = now.Add(serverCertLife / 2)
	if serial() != first {
		t.Error("it was made anew at half of its life")
	}
	now = now.Add(serverCertLife / 4)
	if serial() == first {
		t.Error("it grows old")
	}
}

// silent is a backend that never has anything to say.
type silent struct{ Backend }

func (silent) Authorize(context.Context, string, string) error { return nil }

func TestWhoSaysNoHelloIsSentAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ca, err := OpenCA(t.TempDir(), time.Now)
		if err != nil {
			t.Fatal(err)
		}
		srv, err := NewServer(ServerOptions{CA: ca, Backend: silent{}, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		dial := servePipe(t, srv.grpc)
		conn, err := connectAs(identity(t, ca), "x", dial)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		stream, err := pb.NewLinkClient(conn).Connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		_, err = stream.Recv()
		if status.Code(err) != codes.DeadlineExceeded || time.Since(began) > 2*helloTimeout {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}

// mute is a controller that takes a stream and never answers.
type mute struct{ pb.UnimplementedLinkServer }

func (mute) Connect(s grpc.BidiStreamingServer[pb.AgentMessage, pb.ControllerMessage]) error {
	<-s.Context().Done()
	return nil
}

func TestAControllerThatNeverAnswersIsLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ca, err := OpenCA(t.TempDir(), time.Now)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := ca.IssueServer()
		if err != nil {
			t.Fatal(err)
		}
		srv := grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}})))
		pb.RegisterLinkServer(srv, mute{})
		began := time.Now()
		err = Connect(t.Context(), ConnectOptions{Address: "x", Identity: identity(t, ca), Dial: servePipe(t, srv), Logger: slog.New(slog.DiscardHandler)})
		if !fault.Is(err, fault.Timeout) || time.Since(began) > 2*welcomeTimeout {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}

func identity(t *testing.T, ca *CA) Identity {
	t.Helper()
	key, csr, err := NewRequest("web1")
	if err != nil {
		t.Fatal(err)
	}
	cert, _, err := ca.IssueAgent("web1", csr)
	if err != nil {
		t.Fatal(err)
	}
	return Identity{Name: "web1", CA: ca.Certificate(), Certificate: tls.Certificate{Certificate: [][]byte{cert}, PrivateKey: key}}
}

type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

// servePipe serves without a network, so that the bubble's clock can go.
func servePipe(t *testing.T, srv *grpc.Server) Dial {
	t.Helper()
	l := pipes{conns: make(chan net.Conn), done: make(chan struct{})}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = srv.Serve(l)
	}()
	t.Cleanup(func() {
		close(l.done)
		srv.Stop()
		<-served
	})
	return func(context.Context, string) (net.Conn, error) {
		here, there := net.Pipe()
		l.conns <- there
		return here, nil
	}
}

func TestDocumentsAreCheckedAgainstTheirDigest(t *testing.T) {
	t.Parallel()
	// printf abc | sha256sum
	good := Document{Name: "x", Body: []byte("abc"), Digest: "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}
	if err := good.Verify(); err != nil {
		t.Error(err)
	}
	for _, bad := range []Document{{Name: "x", Body: []byte("abd"), Digest: good.Digest}, {Body: good.Body}, {Body: good.Body, Digest: strings.ToUpper(good.Digest)}} {
		if err := bad.Verify(); !fault.Is(err, fault.Denied) {
			t.Errorf("%q: %v", bad.Digest, err)
		}
	}
}

func TestAgentNames(t *testing.T) {
	t.Parallel()
	for name, ok := range map[string]bool{
		"web1": true, "a.b-c_d@e": true, strings.Repeat("a", 64): true,
		"": false, "..": false, ".a": false, "a/b": false, "a b": false, "a\n": false, strings.Repeat("a", 65): false, "ä": false,
	} {
		if ValidAgentName(name) != ok {
			t.Errorf("%q: %t", name, !ok)
		}
	}
}
