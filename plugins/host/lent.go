package host

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/plugins"
)

// lent is a Runner in the hands of a plugin: every command is a read, nothing
// but reading can be asked for, and of that only what the plugin has declared.
// What is not covered: a program that it may run reads what it likes, and a
// link is followed to wherever it leads.
type lent struct {
	runner remote.Runner
	to     plugins.Info
}

var _ plugins.Host = lent{}

// Target implements plugins.Host.
func (l lent) Target() string { return l.runner.Target() }

// Run implements plugins.Host.
func (l lent) Run(ctx context.Context, cmd plugins.Command) (plugins.Result, error) {
	if len(cmd.Argv) == 0 || cmd.Timeout < 0 || cmd.MaxOutputBytes < 0 {
		return plugins.Result{}, &plugins.HostError{Class: plugins.Class(remote.InvalidCall), Message: "the command is empty, or has a negative limit"}
	}
	if err := l.mayRun(cmd); err != nil {
		return plugins.Result{}, err
	}
	res, err := l.runner.Run(ctx, remote.Command{
		Argv: cmd.Argv, Env: cmd.Env, Stdin: cmd.Stdin, As: cmd.As, Effect: remote.Read,
		Timeout: min(cmd.Timeout, remote.MaxTimeout), MaxOutputBytes: min(cmd.MaxOutputBytes, remote.MaxOutputBytes),
	})
	return plugins.Result(res), hostError(err)
}

// mayRun refuses what the plugin has not declared, and variables that make
// another program of a declared one.
func (l lent) mayRun(cmd plugins.Command) error {
	if !l.to.Capabilities.MayRun(cmd.Argv[0]) {
		return l.undeclared(plugins.MayRun(cmd.Argv[0]))
	}
	if !l.to.Capabilities.MayBe(cmd.As) {
		return l.undeclared(plugins.MayBe(cmd.As))
	}
	for name := range cmd.Env {
		if strings.HasPrefix(name, "LD_") || name == "PATH" || name == "BASH_ENV" || name == "ENV" {
			return &plugins.HostError{Class: plugins.ClassNotPermitted, Message: "a plugin may not set " + name}
		}
	}
	return nil
}

func (l lent) mayRead(path string) error {
	if !l.to.Capabilities.MayRead(path) {
		return l.undeclared(plugins.MayRead(path))
	}
	return nil
}

func (l lent) undeclared(c plugins.Capability) error {
	return &plugins.HostError{Class: plugins.ClassNotPermitted, Message: fmt.Sprintf("plugin %s has not declared %q", l.to.Name, c)}
}

// ReadFile implements plugins.Host.
func (l lent) ReadFile(ctx context.Context, path string, maxBytes int) (data []byte, truncated bool, err error) {
	if err := l.mayRead(path); err != nil {
		return nil, false, err
	}
	if maxBytes <= 0 || maxBytes > remote.MaxOutputBytes {
		maxBytes = remote.MaxOutputBytes
	}
	data, truncated, err = l.runner.ReadFile(ctx, path, maxBytes)
	return data, truncated, hostError(err)
}

// Stat implements plugins.Host.
func (l lent) Stat(ctx context.Context, path string) (plugins.FileInfo, error) {
	if err := l.mayRead(path); err != nil {
		return plugins.FileInfo{}, err
	}
	info, err := l.runner.Stat(ctx, path)
	return plugins.FileInfo(info), hostError(err)
}

// Statfs implements plugins.Host.
func (l lent) Statfs(ctx context.Context, path string) (plugins.FSInfo, error) {
	if err := l.mayRead(path); err != nil {
		return plugins.FSInfo{}, err
	}
	info, err := l.runner.Statfs(ctx, path)
	return plugins.FSInfo(info), hostError(err)
}

// ReadDir implements plugins.Host.
func (l lent) ReadDir(ctx context.Context, path string, limit int) (entries []plugins.FileInfo, truncated bool, err error) {
	if err := l.mayRead(path); err != nil {
		return nil, false, err
	}
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
