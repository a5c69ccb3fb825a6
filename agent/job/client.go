package job

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"github.com/secondline-ops/secondline/agent/job/pb"
	"github.com/secondline-ops/secondline/internal/fault"
)

// Identity is what an agent shows to controllers, and what it expects of them.
type Identity struct {
	Name        string
	Certificate tls.Certificate
	CA          []byte // DER of the authority pinned at enrolment
}

// Dial opens the network connection; tests put partitions in here. The zero
// value of the options uses net.Dialer.
type Dial func(ctx context.Context, address string) (net.Conn, error)

const dialTimeout = 10 * time.Second

// EnrollOptions says where and as whom to enrol.
type EnrollOptions struct {
	Address string
	Token   JoinToken
	Name    string
	Version string
	Dial    Dial
	Now     func() time.Time
}

// Enroll makes a key, shows the token to the controller that the token pins,
// and returns the agent's identity. The key is made here and never leaves.
func Enroll(ctx context.Context, o EnrollOptions) (Identity, *ecdsa.PrivateKey, error) {
	key, csr, err := NewRequest(o.Name)
	if err != nil {
		return Identity{}, nil, err
	}
	mismatch := make(chan error, 1) // the handshake runs on a goroutine of gRPC's
	conf := &tls.Config{
		MinVersion: tls.VersionTLS13,
		// The chain cannot be verified against a pool yet: the token's
		// fingerprint is the trust, checked below against the whole chain.
		InsecureSkipVerify: true, //nolint:gosec // see VerifyConnection
		VerifyConnection: func(cs tls.ConnectionState) error {
			err := verifyPinned(cs, o.Token, o.Now())
			select {
			case mismatch <- err:
			default:
			}
			return err
		},
	}
	conn, err := connect(o.Address, conf, o.Dial)
	if err != nil {
		return Identity{}, nil, err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	resp, err := pb.NewLinkClient(conn).Enroll(ctx, &pb.EnrollRequest{Token: o.Token.Text(), Csr: csr, Agent: o.Name, Version: o.Version})
	if err != nil {
		select {
		case why := <-mismatch:
			if why != nil {
				return Identity{}, nil, why
			}
		default:
		}
		return Identity{}, nil, fromStatus(err, "enrol at "+o.Address)
	}
	if !o.Token.Pins(resp.GetCa()) {
		return Identity{}, nil, fault.New(fault.Denied, "the controller gave another authority than the token's")
	}
	if !ValidAgentName(resp.GetAgent()) {
		return Identity{}, nil, fault.New(fault.Invalid, "the controller calls this agent %q", resp.GetAgent())
	}
	id := Identity{Name: resp.GetAgent(), CA: resp.GetCa(), Certificate: tls.Certificate{Certificate: [][]byte{resp.GetCertificate()}, PrivateKey: key}}
	return id, key, nil
}

// verifyPinned checks that the server's certificate comes from the authority
// that the join token names.
func verifyPinned(cs tls.ConnectionState, token JoinToken, now time.Time) error {
	for _, ca := range cs.PeerCertificates[1:] {
		if !token.Pins(ca.Raw) {
			continue
		}
		pool := x509.NewCertPool()
		pool.AddCert(ca)
		_, err := cs.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: pool, DNSName: ServerName, CurrentTime: now})
		if err != nil {
			return fault.Wrap(fault.Denied, err, "verify the controller")
		}
		return nil
	}
	return fault.New(fault.Denied, "this is not the controller that the join token was made on").
		WithHint("check the address, or make a new token on this controller")
}

// NewRequest makes a key and the certificate request for it.
func NewRequest(name string) (*ecdsa.PrivateKey, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make agent key: %w", err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}}, key)
	if err != nil {
		return nil, nil, fmt.Errorf("make certificate request: %w", err)
	}
	return key, csr, nil
}

func connect(address string, conf *tls.Config, dial Dial) (*grpc.ClientConn, error) {
	opts := []grpc.DialOption{
		grpc.WithTransportCredentials(credentials.NewTLS(conf)),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(MaxMessageBytes), grpc.MaxCallSendMsgSize(MaxMessageBytes)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepaliveEvery, Timeout: keepaliveTimeout, PermitWithoutStream: true}),
		grpc.WithReadBufferSize(smallBufferBytes), grpc.WithWriteBufferSize(smallBufferBytes),
		grpc.WithNoProxy(),
	}
	if dial != nil {
		opts = append(opts, grpc.WithContextDialer(dial))
	}
	conn, err := grpc.NewClient("passthrough:///"+address, opts...)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "controller address %q", address)
	}
	return conn, nil
}

// connectAs connects with the certificate of the identity, to a controller of
// its authority.
func connectAs(id Identity, address string, dial Dial) (*grpc.ClientConn, error) {
	ca, err := x509.ParseCertificate(id.CA)
	if err != nil {
		return nil, fmt.Errorf("parse pinned authority: %w", err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	return connect(address, &tls.Config{
		MinVersion: tls.VersionTLS13, RootCAs: pool, ServerName: ServerName, Certificates: []tls.Certificate{id.Certificate},
	}, dial)
}

// Handler is what the agent does with the messages of a controller. The
// methods are called one at a time and must not block.
type Handler interface {
	Job(j Job)
	Cancel(jobID, reason string)
	Accepted(jobID string, fence int64)
	LeaseLost(jobID string, fence int64, reason string)
}

// Link is one open stream to a controller. Its methods are safe for concurrent
// use.
type Link struct {
	controller string
	opened     time.Time
	renewEvery time.Duration
	out        chan *pb.AgentMessage
	ctx        context.Context //nolint:containedctx // the stream's own
	end        context.CancelCauseFunc
}

// ConnectOptions says where to connect and as whom.
type ConnectOptions struct {
	Address  string
	Identity Identity
	Hello    Hello
	Handler  Handler
	Dial     Dial
	Logger   *slog.Logger
	// Ready is called with the link when the controller has answered. It must not block.
	Ready func(*Link)
	// Confirmed is called when the controller has handled all that was sent
	// before the time, which is that of a Link.Confirm; may be nil.
	Confirmed func(at time.Time)
}

// welcomeTimeout bounds the controller's first answer. Later silence is found
// by gRPC's keepalive.
const welcomeTimeout = 30 * time.Second

// Connect keeps one stream open until it breaks or ctx ends. The error says
// why; a fault of kind Unauthenticated or Denied will not pass by itself.
func Connect(ctx context.Context, o ConnectOptions) error {
	conn, err := connectAs(o.Identity, o.Address, o.Dial)
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silent := time.AfterFunc(welcomeTimeout, func() {
		cancel(fault.New(fault.Timeout, "%s did not answer within %s", o.Address, welcomeTimeout))
	})
	defer silent.Stop()
	stream, err := pb.NewLinkClient(conn).Connect(ctx)
	if err != nil {
		return ended(ctx, err, "connect to "+o.Address)
	}
	hello := &pb.Hello{
		Version: o.Hello.Version, Host: o.Hello.Host, Targets: o.Hello.Targets, OpenJobs: o.Hello.OpenJobs,
		Mode: o.Hello.Mode, Slots: int32(min(o.Hello.Slots, 64)),
	}
	if err := stream.Send(&pb.AgentMessage{Body: &pb.AgentMessage_Hello{Hello: hello}}); err != nil && !errors.Is(err, io.EOF) {
		return ended(ctx, err, "connect to "+o.Address)
	}
	first, err := stream.Recv() // after io.EOF from Send, the reason is here
	if err != nil {
		return ended(ctx, err, "connect to "+o.Address)
	}
	silent.Stop()
	link := &Link{
		controller: first.GetWelcome().GetController(), renewEvery: max(time.Second, time.Duration(first.GetWelcome().GetLeaseSeconds())*time.Second/3),
		opened: time.Now(), out: make(chan *pb.AgentMessage, sendQueue), ctx: ctx, end: cancel,
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		link.pump(stream)
	}()
	o.Ready(link)
	err = ended(ctx, link.receive(stream, o), "stream to "+o.Address)
	cancel(err)
	<-done
	return err
}

// ended says why a stream ended: by our own doing, which the context knows, or
// by what the other side said.
func ended(ctx context.Context, err error, doing string) error {
	if cause := context.Cause(ctx); cause != nil {
		return fault.Wrap(fault.KindOf(cause), cause, "%s", doing)
	}
	if errors.Is(err, io.EOF) {
		return fault.New(fault.Transient, "%s: the controller closed it", doing)
	}
	return fromStatus(err, doing)
}

func (l *Link) receive(stream grpc.BidiStreamingClient[pb.AgentMessage, pb.ControllerMessage], o ConnectOptions) error {
	h, logger := o.Handler, o.Logger
	for {
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		switch body := m.GetBody().(type) {
		case *pb.ControllerMessage_Job:
			var j Job
			if err := json.Unmarshal(body.Job.GetDocument(), &j); err != nil {
				logger.Error("job could not be read", slog.String("job", body.Job.GetId()), slog.Any("reason", err))
				continue
			}
			j.ID, j.Fence = body.Job.GetId(), body.Job.GetFence()
			h.Job(j)
		case *pb.ControllerMessage_Cancel:
			h.Cancel(body.Cancel.GetJobId(), body.Cancel.GetReason())
		case *pb.ControllerMessage_Accepted:
			h.Accepted(body.Accepted.GetJobId(), body.Accepted.GetFence())
		case *pb.ControllerMessage_LeaseLost:
			h.LeaseLost(body.LeaseLost.GetJobId(), body.LeaseLost.GetFence(), body.LeaseLost.GetReason())
		case *pb.ControllerMessage_Pong:
			if at := l.opened.Add(time.Duration(body.Pong.GetNanos())); o.Confirmed != nil && !at.After(time.Now()) {
				o.Confirmed(at)
			}
		case *pb.ControllerMessage_Welcome:
		}
	}
}

// Controller names the controller at the other end.
func (l *Link) Controller() string { return l.controller }

// RenewEvery is how often the leases of jobs in work are to be renewed.
func (l *Link) RenewEvery() time.Duration { return l.renewEvery }

// Done is closed when the link is over.
func (l *Link) Done() <-chan struct{} { return l.ctx.Done() }

// End closes the link; Connect returns the reason.
func (l *Link) End(why error) { l.end(why) }

// SendReport sends a report. It counts only when Handler.Accepted names it.
func (l *Link) SendReport(ctx context.Context, r Report) error {
	doc, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode report %s: %w", r.JobID, err)
	}
	if len(doc) > MaxReportBytes {
		return fault.New(fault.TooLarge, "report %s has %d bytes, and %d can be sent", r.JobID, len(doc), MaxReportBytes)
	}
	return l.send(ctx, &pb.AgentMessage{Body: &pb.AgentMessage_Report{Report: &pb.Report{JobId: r.JobID, Fence: r.Fence, Document: doc}}})
}

// RenewLease says that the job is still being worked on.
func (l *Link) RenewLease(ctx context.Context, jobID string, fence int64) error {
	return l.send(ctx, &pb.AgentMessage{Body: &pb.AgentMessage_Renew{Renew: &pb.LeaseRenewal{JobId: jobID, Fence: fence}}})
}

// Confirm asks the controller to say when it has handled all that was sent so
// far, the renewals of leases above all. It answers through
// ConnectOptions.Confirmed, or not at all when it could not store one of them.
func (l *Link) Confirm(ctx context.Context) error {
	return l.send(ctx, &pb.AgentMessage{Body: &pb.AgentMessage_Ping{Ping: &pb.Ping{Nanos: int64(time.Since(l.opened))}}})
}

// SendEvent sends progress if there is room; it drops it otherwise.
func (l *Link) SendEvent(jobID string, fence int64, e Event) {
	doc, err := json.Marshal(e)
	if err != nil {
		return
	}
	select {
	case l.out <- &pb.AgentMessage{Body: &pb.AgentMessage_Event{Event: &pb.Event{JobId: jobID, Fence: fence, Document: doc}}}:
	default:
	}
}

func (l *Link) send(ctx context.Context, m *pb.AgentMessage) error {
	select {
	case l.out <- m:
		return nil
	case <-l.ctx.Done():
		return context.Cause(l.ctx)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *Link) pump(stream grpc.BidiStreamingClient[pb.AgentMessage, pb.ControllerMessage]) {
	for {
		select {
		case <-l.ctx.Done():
			return
		case m := <-l.out:
			if err := stream.Send(m); err != nil {
				if !errors.Is(err, io.EOF) { // io.EOF: the stream is over, and receive learns why
					l.end(err)
				}
				return
			}
		}
	}
}

// RenewCertificate asks for a new certificate for a new key, over the old one.
func RenewCertificate(ctx context.Context, address string, id Identity, dial Dial) (Identity, *ecdsa.PrivateKey, error) {
	key, csr, err := NewRequest(id.Name)
	if err != nil {
		return Identity{}, nil, err
	}
	conn, err := connectAs(id, address, dial)
	if err != nil {
		return Identity{}, nil, err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	resp, err := pb.NewLinkClient(conn).Renew(ctx, &pb.RenewRequest{Csr: csr})
	if err != nil {
		return Identity{}, nil, fromStatus(err, "renew certificate at "+address)
	}
	next := id
	next.Certificate = tls.Certificate{Certificate: [][]byte{resp.GetCertificate()}, PrivateKey: key}
	return next, key, nil
}
