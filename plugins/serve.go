package plugins

import (
	"context"
	"os"
	"time"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	pb "github.com/secondline-ops/secondline/plugins/proto"
)

// ProtocolVersion is that of the wire in plugins/proto. Host and plugin must
// have the same; fields are only ever added within one.
const ProtocolVersion = 1

// setName is the name under which go-plugin dispenses the one service that a
// plugin process has.
const setName = "probes"

// parentCheck is how often a plugin looks whether its agent is still there.
const parentCheck = time.Second

// Handshake returns what agent and plugin tell each other first. The cookie is
// no secret: it only keeps people from starting a plugin by hand.
func Handshake() plugin.HandshakeConfig {
	return plugin.HandshakeConfig{
		ProtocolVersion:  ProtocolVersion,
		MagicCookieKey:   "SECONDLINE_PLUGIN",
		MagicCookieValue: "probes-read-only",
	}
}

// Serve answers the agent that started this process until the agent is done
// with it or has died; the caller's main then returns. Started by hand, it says
// so on standard error and exits.
func Serve(info Info, probes ...Probe) {
	served := make(chan struct{})
	go func() {
		defer close(served)
		plugin.Serve(&plugin.ServeConfig{
			HandshakeConfig: Handshake(),
			Plugins:         Set(info, probes...),
			GRPCServer: func(opts []grpc.ServerOption) *grpc.Server {
				return grpc.NewServer(append(opts, grpc.MaxRecvMsgSize(maxRequestBytes))...)
			},
		})
	}()
	// An agent that is killed cannot end its plugins. Where the kernel was not
	// asked to (PR_SET_PDEATHSIG is Linux only, and bound to a thread), a plugin
	// sees that it was adopted by another parent.
	parent := os.Getppid()
	tick := time.NewTicker(parentCheck)
	defer tick.Stop()
	for {
		select {
		case <-served:
			return
		case <-tick.C:
			if os.Getppid() != parent {
				return
			}
		}
	}
}

// Set returns what go-plugin wants of both ends. A host passes no probes.
func Set(info Info, probes ...Probe) plugin.PluginSet {
	return plugin.PluginSet{setName: &glue{info: info, probes: probes}}
}

// Dispense returns the Client of a plugin process that go-plugin has connected.
func Dispense(protocol plugin.ClientProtocol) (*Client, error) {
	raw, err := protocol.Dispense(setName)
	if err != nil {
		return nil, err
	}
	return raw.(*Client), nil
}

// glue ties the two ends to go-plugin.
type glue struct {
	plugin.NetRPCUnsupportedPlugin
	info   Info
	probes []Probe
}

var _ plugin.GRPCPlugin = (*glue)(nil)

// GRPCServer is called in the plugin process.
func (g *glue) GRPCServer(broker *plugin.GRPCBroker, s *grpc.Server) error {
	pb.RegisterPluginServer(s, newServer(g.info, g.probes, broker))
	return nil
}

// GRPCClient is called in the agent.
func (g *glue) GRPCClient(_ context.Context, broker *plugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return newClient(pb.NewPluginClient(conn), broker), nil
}
