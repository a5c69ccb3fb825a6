package job

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/peer"

	"github.com/secondline-ops/secondline/agent/job/pb"
	"github.com/secondline-ops/secondline/internal/fault"
)

// Lease is how long an agent may work without renewing. It renews every third
// of it, so that two lost messages do not cost the lease.
const Lease = 30 * time.Second

// Bounds of the wire.
const (
	MaxMessageBytes   = 16 << 20
	MaxReportBytes    = 15 << 20 // of its document: the journal takes records of 16 MiB with what is around it
	maxJobBytes       = 15 << 20
	helloTimeout      = 10 * time.Second
	keepaliveEvery    = 30 * time.Second
	keepaliveTimeout  = 10 * time.Second
	handshakeTimeout  = 10 * time.Second
	sendQueue         = 128 // messages waiting for a slow agent, before its stream is ended: 64 jobs, and as many answers
	smallBufferBytes  = 4 << 10
	maxStreamsPerConn = 16
)

// Hello is what an agent says of itself when it connects.
type Hello struct {
	Version  string
	Host     string
	Targets  []string
	OpenJobs []string // begun, and their reports not yet accepted
	Mode     string
	Slots    int
}

// Session is one connected agent, as the controller sees it. Its methods are
// safe for concurrent use and never block on the network.
type Session interface {
	Agent() string
	Hello() Hello
	// SendJob hands a job to the agent. TooLarge means that this job can never
	// be sent; any other error, that the session is over.
	SendJob(j Job) error
	SendCancel(jobID, reason string) error
	SendAccepted(jobID string, fence int64) error
	SendLeaseLost(jobID string, fence int64, reason string) error
	// End closes the stream; the agent is told the error.
	End(err error)
}

// Inbound is what a session does for the messages of its agent. The methods
// are called one at a time for each session.
type Inbound interface {
	Renew(ctx context.Context, jobID string, fence int64) error
	Report(ctx context.Context, r Report) error
	Event(ctx context.Context, e Event)
	// Close is called once, when the session is over.
	Close()
}

// Backend decides what agents may do; the Server only carries it.
type Backend interface {
	// Enroll exchanges a one-time token for a certificate. name is what the agent asks to be called.
	Enroll(ctx context.Context, token, name string, csr []byte, version string) (agent string, cert []byte, err error)
	// Renew makes a new certificate for an agent that showed a valid one.
	Renew(ctx context.Context, agent string, csr []byte) (cert []byte, err error)
	// Authorize refuses an agent that was revoked.
	Authorize(ctx context.Context, agent, serial string) error
	// Connect begins a session. ctx ends with it.
	Connect(ctx context.Context, s Session) (Inbound, error)
}

// Server is the controller's end of the wire.
type Server struct {
	pb.UnimplementedLinkServer

	grpc    *grpc.Server
	ca      *CA
	backend Backend
	name    string
	lease   time.Duration
	logger  *slog.Logger
}

// ServerOptions configures a Server.
type ServerOptions struct {
	CA         *CA
	Backend    Backend
	Controller string        // this controller's id
	Lease      time.Duration // 0 means Lease
	Logger     *slog.Logger
}

// NewServer makes the server; Serve starts it.
func NewServer(o ServerOptions) (*Server, error) {
	own := &serverCertificate{ca: o.CA}
	if _, err := own.get(nil); err != nil {
		return nil, err
	}
	if o.Lease <= 0 {
		o.Lease = Lease
	}
	s := &Server{ca: o.CA, backend: o.Backend, name: o.Controller, lease: o.Lease, logger: o.Logger}
	s.grpc = grpc.NewServer(
		grpc.Creds(credentials.NewTLS(&tls.Config{
			MinVersion: tls.VersionTLS13, GetCertificate: own.get,
			// An agent that enrols has none yet; every other call asks for it.
			ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: o.CA.Pool(), Time: o.CA.now,
		})),
		grpc.MaxRecvMsgSize(MaxMessageBytes), grpc.MaxConcurrentStreams(maxStreamsPerConn), grpc.ConnectionTimeout(handshakeTimeout),
		// Small shared buffers are what makes 10,000 idle agents cheap.
		grpc.ReadBufferSize(smallBufferBytes), grpc.WriteBufferSize(smallBufferBytes),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: keepaliveEvery, Timeout: keepaliveTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: keepaliveEvery / 2, PermitWithoutStream: true}),
	)
	pb.RegisterLinkServer(s.grpc, s)
	return s, nil
}

// serverCertificate is the controller's own certificate, made anew when two
// thirds of its life are over: a controller may run for longer than that.
type serverCertificate struct {
	ca *CA

	mu      sync.Mutex // guards below
	cert    tls.Certificate
	renewAt time.Time
}

func (c *serverCertificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.ca.now(); !now.Before(c.renewAt) {
		cert, err := c.ca.IssueServer()
		if err != nil {
			return nil, err
		}
		c.cert, c.renewAt = cert, now.Add(serverCertLife*2/3)
	}
	cert := c.cert
	return &cert, nil
}

// Serve accepts agents until Stop; it returns nil after Stop.
func (s *Server) Serve(l net.Listener) error {
	if err := s.grpc.Serve(l); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serve agents: %w", err)
	}
	return nil
}

// Stop ends all sessions. Agents come back to whoever listens next.
func (s *Server) Stop() { s.grpc.Stop() }

// Enroll implements the service.
func (s *Server) Enroll(ctx context.Context, req *pb.EnrollRequest) (*pb.EnrollResponse, error) {
	agent, cert, err := s.backend.Enroll(ctx, req.GetToken(), req.GetAgent(), req.GetCsr(), req.GetVersion())
	if err != nil {
		return nil, s.refuse(ctx, "enrolment was refused", req.GetAgent(), err)
	}
	return &pb.EnrollResponse{Agent: agent, Certificate: cert, Ca: s.ca.Certificate()}, nil
}

// Renew implements the service.
func (s *Server) Renew(ctx context.Context, req *pb.RenewRequest) (*pb.RenewResponse, error) {
	agent, err := s.caller(ctx)
	if err != nil {
		return nil, s.refuse(ctx, "renewal was refused", agent, err)
	}
	cert, err := s.backend.Renew(ctx, agent, req.GetCsr())
	if err != nil {
		return nil, s.refuse(ctx, "renewal was refused", agent, err)
	}
	return &pb.RenewResponse{Certificate: cert}, nil
}

// refuse logs an error, whose cause stays here, and says it as a status.
func (s *Server) refuse(ctx context.Context, what, agent string, err error) error {
	s.logger.WarnContext(ctx, "an agent was refused", slog.String("what", what), slog.String("agent", agent), slog.Any("reason", err))
	return toStatus(err)
}

// caller returns the agent whose certificate the connection showed.
func (s *Server) caller(ctx context.Context) (string, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return "", fault.New(fault.Unauthenticated, "no peer")
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.VerifiedChains) == 0 {
		return "", fault.New(fault.Unauthenticated, "no valid agent certificate was shown").WithHint("enrol the agent: secondline agent enroll")
	}
	cert := info.State.VerifiedChains[0][0]
	if s.ca.now().After(cert.NotAfter) { // a stream may outlive the handshake's check
		return "", fault.New(fault.Unauthenticated, "the agent's certificate expired at %s", cert.NotAfter.UTC().Format(time.RFC3339))
	}
	name, ok := nameOf(cert)
	if !ok {
		return "", fault.New(fault.Unauthenticated, "the certificate is not an agent's")
	}
	return name, s.backend.Authorize(ctx, name, cert.SerialNumber.Text(16))
}

func nameOf(cert *x509.Certificate) (string, bool) {
	for _, u := range cert.URIs {
		if u.Scheme == uriScheme && u.Host == "agent" {
			name := strings.TrimPrefix(u.Path, "/")
			return name, ValidAgentName(name)
		}
	}
	return "", false
}

// Connect implements the service: one agent's long stream.
func (s *Server) Connect(stream grpc.BidiStreamingServer[pb.AgentMessage, pb.ControllerMessage]) error {
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	agent, err := s.caller(ctx)
	if err != nil {
		return s.refuse(ctx, "agent was refused", agent, err)
	}
	in := read(ctx, stream)
	hello, err := in.hello(ctx)
	if err != nil {
		return toStatus(err)
	}
	sess := &session{agent: agent, hello: hello, out: make(chan *pb.ControllerMessage, sendQueue), end: cancel, ctx: ctx}
	welcome := &pb.ControllerMessage{Body: &pb.ControllerMessage_Welcome{Welcome: &pb.Welcome{Controller: s.name, LeaseSeconds: int64(s.lease / time.Second)}}}
	if err := stream.Send(welcome); err != nil {
		return err
	}
	inbound, err := s.backend.Connect(ctx, sess)
	if err != nil {
		return s.refuse(ctx, "agent was refused", agent, err)
	}
	defer inbound.Close()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		sess.pump(stream)
	}()
	err = s.receive(ctx, in, sess, inbound)
	cancel(err)
	<-sent
	return toStatus(err)
}

// reader is an agent's stream of messages as channels: Recv heeds no context,
// and ends when Connect has returned.
type reader struct {
	messages chan *pb.AgentMessage
	failed   chan error
}

func read(ctx context.Context, stream grpc.BidiStreamingServer[pb.AgentMessage, pb.ControllerMessage]) reader {
	r := reader{messages: make(chan *pb.AgentMessage), failed: make(chan error, 1)}
	go func() {
		for {
			m, err := stream.Recv()
			if err != nil {
				r.failed <- err
				return
			}
			select {
			case r.messages <- m:
			case <-ctx.Done():
				return
			}
		}
	}()
	return r
}

// next returns the next message, or why there is none.
func (r reader) next(ctx context.Context) (*pb.AgentMessage, error) {
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case err := <-r.failed:
		return nil, err
	case m := <-r.messages:
		return m, nil
	}
}

// hello waits for the agent's first message.
func (r reader) hello(ctx context.Context) (Hello, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, helloTimeout, fault.New(fault.Timeout, "no hello within %s", helloTimeout))
	defer cancel()
	first, err := r.next(ctx)
	if err != nil {
		return Hello{}, err
	}
	if first.GetHello() == nil {
		return Hello{}, fault.New(fault.Invalid, "the first message is no hello")
	}
	return helloOf(first.GetHello()), nil
}

// receive hands on the agent's messages until the stream or the session ends.
func (s *Server) receive(ctx context.Context, in reader, sess *session, inbound Inbound) error {
	for {
		m, err := in.next(ctx)
		if err != nil {
			return err
		}
		if err := s.handle(ctx, sess, inbound, m); err != nil {
			return err
		}
	}
}

func (s *Server) handle(ctx context.Context, sess *session, in Inbound, m *pb.AgentMessage) error {
	switch body := m.GetBody().(type) {
	case *pb.AgentMessage_Renew:
		id, fence := body.Renew.GetJobId(), body.Renew.GetFence()
		if err := in.Renew(ctx, id, fence); err != nil {
			if fault.Is(err, fault.Conflict) || fault.Is(err, fault.Denied) || fault.Is(err, fault.NotFound) {
				return sess.SendLeaseLost(id, fence, publicText(err))
			}
			sess.unconfirmed = true
			s.logger.WarnContext(ctx, "lease was not renewed", slog.String("agent", sess.agent), slog.String("job", id), slog.Any("reason", err))
		}
	case *pb.AgentMessage_Report:
		return s.report(ctx, sess, in, body.Report)
	case *pb.AgentMessage_Event:
		var e Event
		if json.Unmarshal(body.Event.GetDocument(), &e) == nil {
			e.JobID = body.Event.GetJobId()
			in.Event(ctx, e)
		}
	case *pb.AgentMessage_Ping:
		if sess.unconfirmed { // the agent must not take the lease for renewed
			sess.unconfirmed = false
			return nil
		}
		return sess.send(&pb.ControllerMessage{Body: &pb.ControllerMessage_Pong{Pong: &pb.Pong{Nanos: body.Ping.GetNanos()}}})
	case *pb.AgentMessage_Hello:
		return fault.New(fault.Invalid, "a second hello")
	}
	return nil // a message of a newer agent is skipped
}

// report answers "accepted" only when the report is stored. A report that can
// never be stored (not this agent's job, not understood) is answered with a
// lost lease, so that the agent may let go of it; one that cannot be stored now
// is not answered, and comes again.
func (s *Server) report(ctx context.Context, sess *session, in Inbound, m *pb.Report) error {
	var r Report
	err := json.Unmarshal(m.GetDocument(), &r)
	if err != nil {
		err = fault.Wrap(fault.Invalid, err, "read report")
	} else {
		r.JobID, r.Fence, r.Agent = m.GetJobId(), m.GetFence(), sess.agent
		err = in.Report(ctx, r)
	}
	if err == nil {
		return sess.SendAccepted(m.GetJobId(), m.GetFence())
	}
	s.logger.WarnContext(ctx, "report was not accepted", slog.String("agent", sess.agent), slog.String("job", m.GetJobId()), slog.Any("reason", err))
	if fault.Retryable(fault.KindOf(err)) || fault.Is(err, fault.Internal) {
		return nil
	}
	return sess.SendLeaseLost(m.GetJobId(), m.GetFence(), publicText(err))
}

func helloOf(h *pb.Hello) Hello {
	return Hello{
		Version: h.GetVersion(), Host: h.GetHost(), Targets: h.GetTargets(), OpenJobs: h.GetOpenJobs(), Mode: h.GetMode(),
		Slots: max(1, min(int(h.GetSlots()), 64)),
	}
}
