// Package remotetest has transports for tests: Host is scripted and strict,
// what was not scripted fails; StartSSHD is a real OpenSSH server on loopback.
// Exercise is the conformance suite that every real transport passes. What was
// recorded of a real server is played back by internal/remote/recording.
package remotetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/secondline-ops/secondline/internal/remote"
)

// Matcher decides whether a scripted answer is the one for a command.
type Matcher func(cmd remote.Command) bool

// Argv matches exactly this argv; the element "*" matches any one argument.
func Argv(argv ...string) Matcher {
	return func(cmd remote.Command) bool {
		return len(argv) == len(cmd.Argv) && Prefix(argv...)(cmd)
	}
}

// Prefix matches every argv that begins so; the element "*" matches any one argument.
func Prefix(argv ...string) Matcher {
	return func(cmd remote.Command) bool {
		if len(cmd.Argv) < len(argv) {
			return false
		}
		for i, want := range argv {
			if want != "*" && want != cmd.Argv[i] {
				return false
			}
		}
		return true
	}
}

// Call is one thing that was asked of a Host.
type Call struct {
	Verb    string         // "run", "read-file", "stat", "statfs", "read-dir"
	Path    string         // of all but "run"
	Command remote.Command // of "run"
}

// String returns the call on one line.
func (c Call) String() string {
	if c.Verb == "run" {
		return "run " + strings.Join(c.Command.Argv, " ")
	}
	return c.Verb + " " + c.Path
}

type answer[T any] struct {
	value T
	err   error
}

type scriptedRun struct {
	match Matcher
	do    func(remote.Command) (remote.Result, error)
}

// Host is a scripted server. The script may grow while it is used; of several
// answers that match, the one scripted last is given.
type Host struct {
	t    testing.TB
	name string

	mu     sync.Mutex // guards below
	runs   []scriptedRun
	files  map[string]answer[[]byte]
	stats  map[string]answer[remote.FileInfo]
	statfs map[string]answer[remote.FSInfo]
	dirs   map[string]answer[[]remote.FileInfo]
	calls  []Call
	closed bool
}

var _ remote.Transport = (*Host)(nil)

// New returns a server called "scripted" on which nothing exists.
func New(t testing.TB) *Host {
	return &Host{
		t: t, name: "scripted", files: map[string]answer[[]byte]{}, stats: map[string]answer[remote.FileInfo]{},
		statfs: map[string]answer[remote.FSInfo]{}, dirs: map[string]answer[[]remote.FileInfo]{},
	}
}

// Named sets the target's name and returns the host.
func (h *Host) Named(name string) *Host { h.name = name; return h }

// OnRun answers the matching commands with the result.
func (h *Host) OnRun(match Matcher, result remote.Result) *Host {
	return h.OnRunDo(match, func(remote.Command) (remote.Result, error) { return result, nil })
}

// OnRunError fails the matching commands.
func (h *Host) OnRunError(match Matcher, err error) *Host {
	return h.OnRunDo(match, func(remote.Command) (remote.Result, error) { return remote.Result{}, err })
}

// OnRunDo answers the matching commands with what do returns.
func (h *Host) OnRunDo(match Matcher, do func(remote.Command) (remote.Result, error)) *Host {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.runs = append(h.runs, scriptedRun{match, do})
	return h
}

// OnFile gives the file this content.
func (h *Host) OnFile(path, content string) *Host {
	return script(h, h.files, path, answer[[]byte]{value: []byte(content)})
}

// OnFileError fails reads of the file.
func (h *Host) OnFileError(path string, err error) *Host {
	return script(h, h.files, path, answer[[]byte]{err: err})
}

// OnStat describes the path so.
func (h *Host) OnStat(path string, info remote.FileInfo) *Host {
	return script(h, h.stats, path, answer[remote.FileInfo]{value: info})
}

// OnStatError fails to describe the path.
func (h *Host) OnStatError(path string, err error) *Host {
	return script(h, h.stats, path, answer[remote.FileInfo]{err: err})
}

// OnStatfs describes the file system of the path so.
func (h *Host) OnStatfs(path string, info remote.FSInfo) *Host {
	return script(h, h.statfs, path, answer[remote.FSInfo]{value: info})
}

// OnReadDir lists the folder so.
func (h *Host) OnReadDir(path string, entries ...remote.FileInfo) *Host {
	return script(h, h.dirs, path, answer[[]remote.FileInfo]{value: entries})
}

// OnReadDirError fails to list the folder.
func (h *Host) OnReadDirError(path string, err error) *Host {
	return script(h, h.dirs, path, answer[[]remote.FileInfo]{err: err})
}

func script[T any](h *Host, answers map[string]answer[T], path string, a answer[T]) *Host {
	h.mu.Lock()
	defer h.mu.Unlock()
	answers[path] = a
	return h
}

// Missing is the error for a file that is not there.
func Missing(path string) error {
	return &remote.Error{Class: remote.NotExist, Doing: "read " + path}
}

// Calls returns what was asked so far, in order.
func (h *Host) Calls() []Call {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.calls)
}

// Closed reports whether Close was called.
func (h *Host) Closed() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.closed
}

// Target implements remote.Runner.
func (h *Host) Target() string { return h.name }

// Close implements remote.Transport.
func (h *Host) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	return nil
}

// Run implements remote.Runner.
func (h *Host) Run(ctx context.Context, cmd remote.Command) (remote.Result, error) {
	h.mu.Lock()
	h.calls = append(h.calls, Call{Verb: "run", Command: cmd})
	runs := slices.Clone(h.runs)
	h.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return remote.Result{}, err
	}
	for _, r := range slices.Backward(runs) {
		if r.match(cmd) {
			result, err := r.do(cmd)
			limit := cmd.WithDefaults().MaxOutputBytes
			if len(result.Stdout) > limit || len(result.Stderr) > limit {
				result.Truncated = true
			}
			result.Stdout, result.Stderr = slices.Clone(result.Stdout[:min(len(result.Stdout), limit)]), slices.Clone(result.Stderr[:min(len(result.Stderr), limit)])
			return result, err
		}
	}
	return remote.Result{}, h.unscripted("run " + strings.Join(cmd.Argv, " "))
}

// ReadFile implements remote.Runner.
func (h *Host) ReadFile(ctx context.Context, path string, maxBytes int) (data []byte, truncated bool, err error) {
	data, err = ask(ctx, h, "read-file", path, h.files)
	if maxBytes > 0 && len(data) > maxBytes {
		return slices.Clone(data[:maxBytes]), true, err
	}
	return slices.Clone(data), false, err
}

// Stat implements remote.Runner.
func (h *Host) Stat(ctx context.Context, path string) (remote.FileInfo, error) {
	return ask(ctx, h, "stat", path, h.stats)
}

// Statfs implements remote.Runner.
func (h *Host) Statfs(ctx context.Context, path string) (remote.FSInfo, error) {
	return ask(ctx, h, "statfs", path, h.statfs)
}

// ReadDir implements remote.Runner.
func (h *Host) ReadDir(ctx context.Context, path string, maxEntries int) (entries []remote.FileInfo, truncated bool, err error) {
	entries, err = ask(ctx, h, "read-dir", path, h.dirs)
	if limit := remote.DirLimit(maxEntries); len(entries) > limit {
		return slices.Clone(entries[:limit]), true, err
	}
	return slices.Clone(entries), false, err
}

func ask[T any](ctx context.Context, h *Host, verb, path string, answers map[string]answer[T]) (T, error) {
	h.mu.Lock()
	h.calls = append(h.calls, Call{Verb: verb, Path: path})
	a, ok := answers[path]
	h.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return a.value, ctx.Err()
	case !ok:
		return a.value, h.unscripted(verb + " " + path)
	}
	return a.value, a.err
}

func (h *Host) unscripted(doing string) error {
	h.t.Helper()
	h.t.Errorf("%s: not scripted: %s", h.name, doing)
	return &remote.Error{Class: remote.InvalidCall, Target: h.name, Doing: doing, Err: fmt.Errorf("not scripted")}
}
