package plugins

import (
	"context"
	"io/fs"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/secondline-ops/secondline/plugins/proto"
)

// hostClient is the plugin's end of Host, for one Read.
type hostClient struct {
	session uint64
	target  string
	rpc     pb.HostClient
}

var _ Host = (*hostClient)(nil)

// Target implements Host.
func (h *hostClient) Target() string { return h.target }

// Run implements Host.
func (h *hostClient) Run(ctx context.Context, cmd Command) (Result, error) {
	resp, err := h.rpc.Run(ctx, &pb.RunRequest{
		Session: h.session, Argv: bytesOf(cmd.Argv), Env: cmd.Env, Stdin: cmd.Stdin, As: cmd.As,
		TimeoutMs: cmd.Timeout.Milliseconds(), MaxOutputBytes: int64(cmd.MaxOutputBytes),
	})
	if err = hostError(ctx, err, resp.GetError()); err != nil {
		return Result{}, err
	}
	return Result{
		Stdout: resp.GetStdout(), Stderr: resp.GetStderr(), Truncated: resp.GetTruncated(), ExitCode: int(resp.GetExitCode()),
		Signal: resp.GetSignal(), StartedAt: timeFromWire(resp.GetStartedAt()), Took: time.Duration(resp.GetTookNs()),
	}, nil
}

// ReadFile implements Host.
func (h *hostClient) ReadFile(ctx context.Context, path string, maxBytes int) (data []byte, truncated bool, err error) {
	resp, err := h.rpc.ReadFile(ctx, &pb.ReadFileRequest{Session: h.session, Path: []byte(path), MaxBytes: int64(maxBytes)})
	return resp.GetData(), resp.GetTruncated(), hostError(ctx, err, resp.GetError())
}

// Stat implements Host.
func (h *hostClient) Stat(ctx context.Context, path string) (FileInfo, error) {
	resp, err := h.rpc.Stat(ctx, &pb.StatRequest{Session: h.session, Path: []byte(path)})
	if err = hostError(ctx, err, resp.GetError()); err != nil {
		return FileInfo{}, err
	}
	return fileInfoFromWire(resp.GetInfo()), nil
}

// Statfs implements Host.
func (h *hostClient) Statfs(ctx context.Context, path string) (FSInfo, error) {
	resp, err := h.rpc.Statfs(ctx, &pb.StatfsRequest{Session: h.session, Path: []byte(path)})
	if err = hostError(ctx, err, resp.GetError()); err != nil {
		return FSInfo{}, err
	}
	return FSInfo{
		Total: resp.GetTotal(), Free: resp.GetFree(), Available: resp.GetAvailable(),
		Inodes: resp.GetInodes(), InodesFree: resp.GetInodesFree(),
	}, nil
}

// ReadDir implements Host.
func (h *hostClient) ReadDir(ctx context.Context, path string, limit int) (entries []FileInfo, truncated bool, err error) {
	resp, err := h.rpc.ReadDir(ctx, &pb.ReadDirRequest{Session: h.session, Path: []byte(path), Max: int64(limit)})
	if err = hostError(ctx, err, resp.GetError()); err != nil {
		return nil, false, err
	}
	for _, e := range resp.GetEntries() {
		entries = append(entries, fileInfoFromWire(e))
	}
	return entries, resp.GetTruncated(), nil
}

func fileInfoFromWire(i *pb.FileInfo) FileInfo {
	return FileInfo{
		Name: string(i.GetName()), Size: i.GetSize(), Blocks: i.GetBlocks(), Mode: fs.FileMode(i.GetMode()), UID: i.GetUid(), GID: i.GetGid(),
		Dev: i.GetDev(), Inode: i.GetInode(), Links: i.GetLinks(), ModifiedAt: timeFromWire(i.GetModifiedAt()), LinkTarget: string(i.GetLinkTarget()),
	}
}

// hostError turns what went wrong on either level into what Host promises.
func hostError(ctx context.Context, err error, sent *pb.HostError) error {
	switch {
	case err == nil && sent == nil:
		return nil
	case err == nil:
		return &HostError{Class: Class(sent.GetClass()), Message: sent.GetMessage()}
	case ctx.Err() != nil:
		return ctx.Err()
	}
	switch status.Code(err) {
	case codes.DeadlineExceeded:
		return context.DeadlineExceeded
	case codes.Canceled:
		return context.Canceled
	case codes.PermissionDenied:
		return &HostError{Class: ClassNotPermitted, Message: status.Convert(err).Message()}
	}
	return &HostError{Class: "unreachable", Message: status.Convert(err).Message()}
}

func bytesOf(argv []string) [][]byte {
	out := make([][]byte, len(argv))
	for i, a := range argv {
		out[i] = []byte(a)
	}
	return out
}
