package plugins

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Recorder makes Raws out of what a probe reads, so that every reading has its
// command, status and time. It is safe for concurrent use.
type Recorder struct {
	host Host

	mu   sync.Mutex
	raws []Raw // guarded by mu
}

// NewRecorder returns a Recorder that reads through h.
func NewRecorder(h Host) *Recorder { return &Recorder{host: h} }

// Run runs the command, keeps its standard output under the name and returns
// it. A command that ran and said no is OK with its exit code: what that means
// is for Parse. Standard error is kept as the raw's error text.
func (r *Recorder) Run(ctx context.Context, name string, cmd Command) Raw {
	raw := Raw{Name: name, Command: quoteArgv(cmd.Argv), At: time.Now().UTC()}
	res, err := r.host.Run(ctx, cmd)
	raw.Took = time.Since(raw.At)
	raw.Status = statusOf(err)
	if err != nil {
		raw.Error = err.Error()
		return r.keep(raw)
	}
	raw.Data, raw.ExitCode, raw.Truncated = res.Stdout, res.ExitCode, res.Truncated
	raw.Error = strings.TrimSpace(string(cut(res.Stderr, maxErrorBytes)))
	switch {
	case res.Signal != "":
		raw.Status, raw.Error = Failed, "ended by signal "+res.Signal
	case res.Truncated:
		raw.Status = Truncated
	}
	return r.keep(raw)
}

// ReadFile reads the file, keeps it under the name and returns it.
func (r *Recorder) ReadFile(ctx context.Context, name, path string, maxBytes int) Raw {
	raw := Raw{Name: name, Command: quoteArgv([]string{"read-file", path}), At: time.Now().UTC()}
	data, truncated, err := r.host.ReadFile(ctx, path, maxBytes)
	raw.Took = time.Since(raw.At)
	raw.Data, raw.Truncated, raw.Status = data, truncated, statusOf(err)
	switch {
	case err != nil:
		raw.Error = err.Error()
	case truncated:
		raw.Status = Truncated
	}
	return r.keep(raw)
}

// Raws returns everything kept so far, in order.
func (r *Recorder) Raws() []Raw {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Raw(nil), r.raws...)
}

func (r *Recorder) keep(raw Raw) Raw {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.raws = append(r.raws, raw)
	return raw
}

// statusOf reads the status of a reading out of its error.
func statusOf(err error) Status {
	if err == nil {
		return OK
	}
	if e, ok := errors.AsType[*HostError](err); ok {
		switch e.Class {
		case ClassNotExist:
			return Absent
		case ClassNotPermitted:
			return Denied
		case ClassTimedOut:
			return TimedOut
		}
		return Failed
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return TimedOut
	}
	return Failed
}

// quoteArgv shows an argv to people. Nothing executes the text.
func quoteArgv(argv []string) string {
	words := make([]string, len(argv))
	for i, a := range argv {
		words[i] = a
		if a == "" || strings.ContainsFunc(a, func(c rune) bool { return !plain(c) }) {
			words[i] = strconv.Quote(a)
		}
	}
	return strings.Join(words, " ")
}

func plain(c rune) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("-_./:=@%+,", c)
}

func cut(b []byte, limit int) []byte {
	if len(b) > limit {
		return b[:limit]
	}
	return b
}
