package host

import (
	"context"
	"errors"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/plugins"
)

// lent is a Runner in the hands of a plugin: every command is a read, and
// nothing but reading can be asked for.
type lent struct {
	runner remote.Runner
}

var _ plugins.Host = lent{}

// Target implements plugins.Host.
func (l lent) Target() string { return l.runner.Target() }

// Run implements plugins.Host.
func (l lent) Run(ctx context.Context, cmd plugins.Command) (plugins.Result, error) {
	if len(cmd.Argv) == 0 || cmd.Timeout < 0 || cmd.MaxOutputBytes < 0 {
		return plugins.Result{}, &plugins.HostError{Class: plugins.Class(remote.InvalidCall), Message: "the command is empty, or has a negative limit"}
	}
	res, err := l.runner.Run(ctx, remote.Command{
		Argv: cmd.Argv, Env: cmd.Env, Stdin: cmd.Stdin, As: cmd.As, Effect: remote.Read,
		Timeout: min(cmd.Timeout, remote.MaxTimeout), MaxOutputBytes: min(cmd.MaxOutputBytes, remote.MaxOutputBytes),
	})
	return plugins.Result(res), hostError(err)
}

// ReadFile implements plugins.Host.
func (l lent) ReadFile(ctx context.Context, path string, maxBytes int) (data []byte, truncated bool, err error) {
	if maxBytes <= 0 || maxBytes > remote.MaxOutputBytes {
		maxBytes = remote.MaxOutputBytes
	}
	data, truncated, err = l.runner.ReadFile(ctx, path, maxBytes)
	return data, truncated, hostError(err)
}

// Stat implements plugins.Host.
func (l lent) Stat(ctx context.Context, path string) (plugins.FileInfo, error) {
	info, err := l.runner.Stat(ctx, path)
	return plugins.FileInfo(info), hostError(err)
}

// Statfs implements plugins.Host.
func (l lent) Statfs(ctx context.Context, path string) (plugins.FSInfo, error) {
	info, err := l.runner.Statfs(ctx, path)
	return plugins.FSInfo(info), hostError(err)
}

// ReadDir implements plugins.Host.
func (l lent) ReadDir(ctx context.Context, path string, limit int) (entries []plugins.FileInfo, truncated bool, err error) {
	got, truncated, err := l.runner.ReadDir(ctx, path, limit)
	for _, e := range got {
		entries = append(entries, plugins.FileInfo(e))
	}
	return entries, truncated, hostError(err)
}

// hostError keeps of a failure its class and its text.
func hostError(err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	class := plugins.Class("failed")
	if e, ok := errors.AsType[*remote.Error](err); ok {
		class = plugins.Class(e.Class)
	} else if fault.Is(err, fault.Denied) {
		class = plugins.ClassNotPermitted
	} else if errors.Is(err, context.DeadlineExceeded) {
		class = plugins.ClassTimedOut
	}
	return &plugins.HostError{Class: class, Message: err.Error()}
}
