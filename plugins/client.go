package plugins

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	pb "github.com/secondline-ops/secondline/plugins/proto"
)

// ProbeError is an error of the author's code, as opposed to one of the
// process or the wire.
type ProbeError struct {
	Message  string
	TimedOut bool // the probe kept its deadline, and that is why
}

// Error implements error.
func (e *ProbeError) Error() string { return e.Message }

// Call names the probe that is to read, for whom, and for how long.
type Call struct {
	Probe   string
	Args    Args
	Host    Host
	Timeout time.Duration // told to the probe; the context may end later
}

// Client is the host's end of a plugin process. It starts and ends no process,
// checks nothing and is safe for concurrent use. Errors are *ProbeError, or
// those of gRPC.
type Client struct {
	rpc    pb.PluginClient
	broker *plugin.GRPCBroker
	host   *hostServer

	serving sync.WaitGroup
	mu      sync.Mutex // guards below
	grpc    *grpc.Server
	closed  bool
}

func newClient(rpc pb.PluginClient, broker *plugin.GRPCBroker) *Client {
	return &Client{rpc: rpc, broker: broker, host: newHostServer()}
}

// Describe opens the way back to the host and returns what the plugin says it
// is. It is the first call, and is made once.
func (c *Client) Describe(ctx context.Context) (Info, []Spec, error) {
	id := c.broker.NextId()
	c.serving.Go(func() { c.broker.AcceptAndServe(id, c.newServer) })
	resp, err := c.rpc.Describe(ctx, &pb.DescribeRequest{HostStream: id})
	if err != nil {
		return Info{}, nil, err
	}
	info := Info{Name: resp.GetName(), Version: resp.GetVersion()}
	for _, c := range resp.GetCapabilities() {
		info.Capabilities = append(info.Capabilities, Capability(c))
	}
	specs := make([]Spec, len(resp.GetProbes()))
	for i, p := range resp.GetProbes() {
		specs[i] = Spec{
			Name: p.GetName(), Title: p.GetTitle(), Doc: p.GetDoc(), CostSeconds: p.GetCostSeconds(),
			Inputs: fieldsFromWire(p.GetInputs(), 0), Outputs: fieldsFromWire(p.GetOutputs(), 0),
		}
	}
	return info, specs, nil
}

// Read lets the probe read. It lends call.Host to the plugin until it returns:
// no call of the plugin reaches the target after that.
func (c *Client) Read(ctx context.Context, call Call) ([]Raw, error) {
	id, end := c.host.begin(ctx, call.Host)
	defer end()
	resp, err := c.rpc.Read(ctx, &pb.ReadRequest{
		Session: id, Probe: call.Probe, Args: call.Args,
		TimeoutMs: call.Timeout.Milliseconds(), Target: valid(call.Host.Target()),
	})
	if err != nil {
		return nil, err
	}
	raws := rawsFromWire(resp.GetRaws())
	if resp.GetError() != "" {
		return raws, &ProbeError{Message: clip(resp.GetError()), TimedOut: resp.GetTimedOut()}
	}
	return raws, nil
}

// Parse lets the probe understand what it read.
func (c *Client) Parse(ctx context.Context, probe string, raws []Raw, args Args) (Value, Status, error) {
	resp, err := c.rpc.Parse(ctx, &pb.ParseRequest{Probe: probe, Args: args, Raws: rawsToWire(raws)})
	if err != nil {
		return nil, Failed, err
	}
	if resp.GetError() != "" {
		return nil, Status(resp.GetStatus()), &ProbeError{Message: clip(resp.GetError())}
	}
	value, err := valueFromWire(resp.GetValue(), 0)
	if err != nil {
		return nil, Failed, err
	}
	return value, Status(resp.GetStatus()), nil
}

// Close ends what serves the plugin and waits for it. It may be called twice.
func (c *Client) Close() {
	c.mu.Lock()
	c.closed = true
	server := c.grpc
	c.mu.Unlock()
	if server != nil {
		server.Stop()
	}
	_ = c.broker.Close() // always nil
	c.serving.Wait()
}

func (c *Client) newServer(opts []grpc.ServerOption) *grpc.Server {
	opts = append(opts, grpc.MaxRecvMsgSize(maxHostRequest), grpc.MaxConcurrentStreams(maxHostCalls))
	server := grpc.NewServer(opts...)
	pb.RegisterHostServer(server, c.host)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.grpc = server
	if c.closed {
		server.Stop()
	}
	return server
}
