package recording

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/secondline-ops/secondline/internal/remote"
)

// Recorder passes every question on to a server and writes down what came back.
// It is safe for concurrent use.
type Recorder struct {
	*clock
	server   remote.Runner
	redactor remote.Redactor
	real     func() time.Time

	mu   sync.Mutex // guards below
	list []Exchange
}

var _ remote.Runner = (*Recorder)(nil)

// Record returns a Recorder in front of the server, which redacts what it
// answers. The redactor is for the questions. Give whoever asks the times of
// the Recorder: Now, and a Sleep that moves it.
func Record(server *remote.Server, redactor remote.Redactor, now func() time.Time) *Recorder {
	return &Recorder{clock: newClock(now()), server: server, redactor: redactor, real: now}
}

// Sleep waits and moves the clock on, and reports whether ctx let it.
func (r *Recorder) Sleep(ctx context.Context, d time.Duration) bool {
	until := r.Now().Add(d)
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		r.reach(until)
		return true
	case <-ctx.Done():
		return false
	}
}

// Exchanges returns what was asked and answered so far, in the order of the answers.
func (r *Recorder) Exchanges() []Exchange {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.list)
}

func (r *Recorder) note(e Exchange, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e.Error = failureOf(err)
	e.After = Offset(r.reach(r.real()).Sub(r.start))
	r.list = append(r.list, e)
}

// Target implements remote.Runner.
func (r *Recorder) Target() string { return r.server.Target() }

// Run implements remote.Runner.
func (r *Recorder) Run(ctx context.Context, cmd remote.Command) (remote.Result, error) {
	res, err := r.server.Run(ctx, cmd)
	e := questionOf(cmd, r.redactor)
	e.Exit, e.Signal, e.Truncated = res.ExitCode, res.Signal, res.Truncated
	e.Stdout, e.Stderr = slices.Clone(res.Stdout), slices.Clone(res.Stderr)
	r.note(e, err)
	return res, err
}

// questionOf is the question alone. What is redacted in it is the same each time.
func questionOf(cmd remote.Command, redactor remote.Redactor) Exchange {
	e := Exchange{Do: Run, As: cmd.As, Effect: string(cmd.WithDefaults().Effect)}
	for _, arg := range remote.RedactArgv(redactor, cmd.Argv) {
		e.Argv = append(e.Argv, Text(arg))
	}
	for name, value := range cmd.Env {
		if e.Env == nil {
			e.Env = map[string]string{}
		}
		e.Env[name] = remote.RedactArgv(redactor, []string{name, value})[1]
	}
	for _, secret := range cmd.Secrets {
		e.Secrets = append(e.Secrets, strings.TrimPrefix(secret.Env+"="+secret.Name, "="))
	}
	if len(cmd.Stdin) > 0 {
		sum := sha256.Sum256(redactor.Redact(cmd.Stdin))
		e.Stdin = "sha256:" + hex.EncodeToString(sum[:])
	}
	return e
}

// ReadFile implements remote.Runner.
func (r *Recorder) ReadFile(ctx context.Context, path string, maxBytes int) (data []byte, truncated bool, err error) {
	data, truncated, err = r.server.ReadFile(ctx, path, maxBytes)
	r.note(Exchange{Do: ReadFile, Path: Text(path), Data: slices.Clone(data), Truncated: truncated}, err)
	return data, truncated, err
}

// Stat implements remote.Runner.
func (r *Recorder) Stat(ctx context.Context, path string) (remote.FileInfo, error) {
	info, err := r.server.Stat(ctx, path)
	e := Exchange{Do: Stat, Path: Text(path)}
	if err == nil {
		e.Stat = &info
	}
	r.note(e, err)
	return info, err
}

// Statfs implements remote.Runner.
func (r *Recorder) Statfs(ctx context.Context, path string) (remote.FSInfo, error) {
	info, err := r.server.Statfs(ctx, path)
	e := Exchange{Do: Statfs, Path: Text(path)}
	if err == nil {
		e.Statfs = &info
	}
	r.note(e, err)
	return info, err
}

// ReadDir implements remote.Runner.
func (r *Recorder) ReadDir(ctx context.Context, path string, maxEntries int) (entries []remote.FileInfo, truncated bool, err error) {
	entries, truncated, err = r.server.ReadDir(ctx, path, maxEntries)
	r.note(Exchange{Do: ReadDir, Path: Text(path), Entries: slices.Clone(entries), Truncated: truncated}, err)
	return entries, truncated, err
}
