package job

import (
	"context"
	"encoding/json"
	"fmt"

	"google.golang.org/grpc"

	"github.com/secondline-ops/secondline/agent/job/pb"
	"github.com/secondline-ops/secondline/internal/fault"
)

// session implements Session over one stream. Sending puts a message into a
// bounded queue; an agent too slow for it loses the stream and comes back.
type session struct {
	agent string
	hello Hello
	out   chan *pb.ControllerMessage
	end   context.CancelCauseFunc
	ctx   context.Context //nolint:containedctx // the stream's own

	// unconfirmed says that a lease could not be renewed since the last ping.
	// Only the goroutine that handles the agent's messages uses it.
	unconfirmed bool
}

var _ Session = (*session)(nil)

func (s *session) Agent() string { return s.agent }
func (s *session) Hello() Hello  { return s.hello }

func (s *session) SendJob(j Job) error {
	doc, err := json.Marshal(j)
	if err != nil {
		return fmt.Errorf("encode job %s: %w", j.ID, err)
	}
	if len(doc) > maxJobBytes {
		return fault.New(fault.TooLarge, "job %s has %d bytes, and %d can be sent", j.ID, len(doc), maxJobBytes)
	}
	return s.send(&pb.ControllerMessage{Body: &pb.ControllerMessage_Job{Job: &pb.Job{Id: j.ID, Fence: j.Fence, Document: doc}}})
}

func (s *session) SendCancel(jobID, reason string) error {
	return s.send(&pb.ControllerMessage{Body: &pb.ControllerMessage_Cancel{Cancel: &pb.Cancel{JobId: jobID, Reason: reason}}})
}

func (s *session) SendAccepted(jobID string, fence int64) error {
	return s.send(&pb.ControllerMessage{Body: &pb.ControllerMessage_Accepted{Accepted: &pb.Accepted{JobId: jobID, Fence: fence}}})
}

func (s *session) SendLeaseLost(jobID string, fence int64, reason string) error {
	return s.send(&pb.ControllerMessage{Body: &pb.ControllerMessage_LeaseLost{LeaseLost: &pb.LeaseLost{JobId: jobID, Fence: fence, Reason: reason}}})
}

func (s *session) End(err error) { s.end(err) }

func (s *session) send(m *pb.ControllerMessage) error {
	select {
	case <-s.ctx.Done():
		return context.Cause(s.ctx)
	case s.out <- m:
		return nil
	default:
		err := fault.New(fault.Overloaded, "agent %s does not read its messages", s.agent)
		s.end(err)
		return err
	}
}

// pump writes the queue to the stream until the session ends.
func (s *session) pump(stream grpc.BidiStreamingServer[pb.AgentMessage, pb.ControllerMessage]) {
	for {
		select {
		case <-s.ctx.Done():
			return
		case m := <-s.out:
			if err := stream.Send(m); err != nil {
				s.end(err)
				return
			}
		}
	}
}
