package plugins

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/secondline-ops/secondline/plugins/proto"
)

const (
	maxHostCalls    = 16     // at once, of one plugin process
	maxSessionCalls = 1000   // of one Read
	maxDirEntries   = 10_000 // of one ReadDir
)

// hostServer is the agent's end of Host: it lends each running Read its target
// and nothing else.
type hostServer struct {
	pb.UnimplementedHostServer

	mu       sync.Mutex // guards below
	last     uint64
	sessions map[uint64]*session
}

type session struct {
	host  Host
	ctx   context.Context //nolint:containedctx // of the Read: a Host call comes on a stream of its own and must end with it
	calls sync.WaitGroup
	made  int // guarded by hostServer.mu
}

func newHostServer() *hostServer { return &hostServer{sessions: map[uint64]*session{}} }

// begin opens a session. Its end refuses new calls, cancels those under way and
// waits for them.
func (s *hostServer) begin(ctx context.Context, h Host) (id uint64, end func()) {
	ctx, cancel := context.WithCancel(ctx)
	ses := &session{host: h, ctx: ctx}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	id = s.last
	s.sessions[id] = ses
	return id, func() {
		s.mu.Lock()
		delete(s.sessions, id)
		s.mu.Unlock()
		cancel()
		ses.calls.Wait()
	}
}

// lend calls do with the target of the session, if it is still open. The context
// ends with the call and with the session, whichever is first.
func (s *hostServer) lend(ctx context.Context, id uint64, do func(ctx context.Context, h Host)) error {
	s.mu.Lock()
	ses, ok := s.sessions[id]
	if !ok {
		s.mu.Unlock()
		return status.Error(codes.PermissionDenied, "the read that this call belongs to has ended")
	}
	if ses.made++; ses.made > maxSessionCalls {
		s.mu.Unlock()
		return status.Errorf(codes.PermissionDenied, "more than %d calls in one read", maxSessionCalls)
	}
	ses.calls.Add(1)
	s.mu.Unlock()
	defer ses.calls.Done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ses.ctx, cancel)()
	do(ctx, ses.host)
	return nil
}

// Run implements pb.HostServer.
func (s *hostServer) Run(ctx context.Context, req *pb.RunRequest) (*pb.RunResponse, error) {
	argv := make([]string, len(req.GetArgv()))
	for i, a := range req.GetArgv() {
		argv[i] = string(a)
	}
	out := &pb.RunResponse{}
	err := s.lend(ctx, req.GetSession(), func(ctx context.Context, h Host) {
		res, err := h.Run(ctx, Command{
			Argv: argv, Env: req.GetEnv(), Stdin: req.GetStdin(), As: req.GetAs(),
			Timeout: time.Duration(req.GetTimeoutMs()) * time.Millisecond, MaxOutputBytes: int(req.GetMaxOutputBytes()),
		})
		out = &pb.RunResponse{
			Stdout: res.Stdout, Stderr: res.Stderr, Truncated: res.Truncated, ExitCode: int32(res.ExitCode), Signal: valid(res.Signal),
			StartedAt: timeToWire(res.StartedAt), TookNs: int64(res.Took), Error: hostErrorToWire(err),
		}
	})
	return out, err
}

// ReadFile implements pb.HostServer.
func (s *hostServer) ReadFile(ctx context.Context, req *pb.ReadFileRequest) (*pb.ReadFileResponse, error) {
	out := &pb.ReadFileResponse{}
	err := s.lend(ctx, req.GetSession(), func(ctx context.Context, h Host) {
		data, truncated, err := h.ReadFile(ctx, string(req.GetPath()), int(req.GetMaxBytes()))
		out = &pb.ReadFileResponse{Data: data, Truncated: truncated, Error: hostErrorToWire(err)}
	})
	return out, err
}

// Stat implements pb.HostServer.
func (s *hostServer) Stat(ctx context.Context, req *pb.StatRequest) (*pb.StatResponse, error) {
	out := &pb.StatResponse{}
	err := s.lend(ctx, req.GetSession(), func(ctx context.Context, h Host) {
		info, err := h.Stat(ctx, string(req.GetPath()))
		out = &pb.StatResponse{Info: fileInfoToWire(info), Error: hostErrorToWire(err)}
	})
	return out, err
}

// Statfs implements pb.HostServer.
func (s *hostServer) Statfs(ctx context.Context, req *pb.StatfsRequest) (*pb.StatfsResponse, error) {
	out := &pb.StatfsResponse{}
	err := s.lend(ctx, req.GetSession(), func(ctx context.Context, h Host) {
		f, err := h.Statfs(ctx, string(req.GetPath()))
		out = &pb.StatfsResponse{
			Total: f.Total, Free: f.Free, Available: f.Available,
			Inodes: f.Inodes, InodesFree: f.InodesFree, Error: hostErrorToWire(err),
		}
	})
	return out, err
}

// ReadDir implements pb.HostServer.
func (s *hostServer) ReadDir(ctx context.Context, req *pb.ReadDirRequest) (*pb.ReadDirResponse, error) {
	out := &pb.ReadDirResponse{}
	err := s.lend(ctx, req.GetSession(), func(ctx context.Context, h Host) {
		entries, truncated, err := h.ReadDir(ctx, string(req.GetPath()), int(min(max(req.GetMax(), 1), maxDirEntries)))
		out.Truncated, out.Error = truncated, hostErrorToWire(err)
		for _, e := range entries {
			out.Entries = append(out.Entries, fileInfoToWire(e))
		}
	})
	return out, err
}

func hostErrorToWire(err error) *pb.HostError {
	if err == nil {
		return nil
	}
	out := &pb.HostError{Class: "failed", Message: clip(err.Error())}
	if e, ok := errors.AsType[*HostError](err); ok {
		out.Class = strings.ToValidUTF8(string(e.Class), "\uFFFD")
	} else if errors.Is(err, context.DeadlineExceeded) {
		out.Class = string(ClassTimedOut)
	}
	return out
}
