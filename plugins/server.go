package plugins

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/secondline-ops/secondline/plugins/proto"
)

// server is the plugin's end: it lets the author's probes answer.
type server struct {
	pb.UnimplementedPluginServer
	info   Info
	probes map[string]Probe
	specs  []Spec
	broker *plugin.GRPCBroker

	mu   sync.Mutex
	conn *grpc.ClientConn // to the agent's Host; guarded by mu
}

func newServer(info Info, probes []Probe, broker *plugin.GRPCBroker) *server {
	s := &server{info: info, probes: map[string]Probe{}, broker: broker}
	for _, p := range probes {
		spec := p.Spec()
		s.specs = append(s.specs, spec)
		s.probes[spec.Name] = p
	}
	return s
}

// Describe implements pb.PluginServer.
func (s *server) Describe(_ context.Context, req *pb.DescribeRequest) (*pb.DescribeResponse, error) {
	conn, err := s.broker.Dial(req.GetHostStream())
	if err != nil {
		return nil, status.Errorf(codes.Unavailable, "dial host: %v", err)
	}
	s.mu.Lock()
	old := s.conn
	s.conn = conn
	s.mu.Unlock()
	if old != nil {
		_ = old.Close() // reads of an earlier session end; its host is gone
	}
	out := &pb.DescribeResponse{Name: s.info.Name, Version: s.info.Version}
	for _, c := range s.info.Capabilities {
		out.Capabilities = append(out.Capabilities, string(c))
	}
	for _, p := range s.specs {
		out.Probes = append(out.Probes, &pb.Spec{
			Name: p.Name, Title: p.Title, Doc: p.Doc, CostSeconds: p.CostSeconds,
			Inputs: fieldsToWire(p.Inputs), Outputs: fieldsToWire(p.Outputs),
		})
	}
	return out, nil
}

// Read implements pb.PluginServer.
func (s *server) Read(ctx context.Context, req *pb.ReadRequest) (*pb.ReadResponse, error) {
	p, ok := s.probes[req.GetProbe()]
	s.mu.Lock()
	conn := s.conn
	s.mu.Unlock()
	if !ok || conn == nil {
		return nil, status.Errorf(codes.NotFound, "probe %q is not served, or Describe was not called", req.GetProbe())
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(req.GetTimeoutMs())*time.Millisecond)
	defer cancel()
	h := &hostClient{session: req.GetSession(), target: req.GetTarget(), rpc: pb.NewHostClient(conn)}
	raws, err := read(ctx, p, h, req.GetArgs())
	if err != nil {
		timedOut := errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil
		return &pb.ReadResponse{Raws: rawsToWire(raws), Error: clip(err.Error()), TimedOut: timedOut}, nil
	}
	return &pb.ReadResponse{Raws: rawsToWire(raws)}, nil
}

// Parse implements pb.PluginServer.
func (s *server) Parse(_ context.Context, req *pb.ParseRequest) (*pb.ParseResponse, error) {
	p, ok := s.probes[req.GetProbe()]
	if !ok {
		return nil, status.Errorf(codes.NotFound, "probe %q is not served", req.GetProbe())
	}
	value, st, err := parse(p, rawsFromWire(req.GetRaws()), req.GetArgs())
	if err != nil {
		return &pb.ParseResponse{Status: string(cmp.Or(st, Failed)), Error: clip(err.Error())}, nil
	}
	wire, err := valueToWire(value, 0)
	if err != nil {
		return &pb.ParseResponse{Status: string(Failed), Error: clip(err.Error())}, nil
	}
	return &pb.ParseResponse{Value: wire, Status: valid(string(st))}, nil
}

// read and parse run the author's code, and a panic of it is an answer.

func read(ctx context.Context, p Probe, h Host, args Args) (raws []Raw, err error) {
	defer recovered(&err)
	return p.Read(ctx, h, args)
}

func parse(p Probe, raws []Raw, args Args) (v Value, st Status, err error) {
	defer recovered(&err)
	return p.Parse(raws, args)
}

func recovered(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("panicked: %v at %s", r, debug.Stack())
	}
}
