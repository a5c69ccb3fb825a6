package recording

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/secondline-ops/secondline/internal/remote"
)

// maxMissing bounds how many questions without an answer are remembered: who
// has lost the way asks on and on.
const maxMissing = 20

// Replay answers from a recording. The n-th time that something is asked gets
// its n-th answer. It is safe for concurrent use.
type Replay struct {
	*clock
	o       Options
	answers map[string][]Exchange // by key, in order
	all     []Exchange

	mu      sync.Mutex // guards below
	asked   map[string]int
	missing []string
}

var _ remote.Runner = (*Replay)(nil)

// Options say how a recording is played back.
type Options struct {
	Target   string          // the name of the server
	Start    time.Time       // when the recording begins
	Redactor remote.Redactor // the one that it was recorded with
	// MayRepeat reports whether what only reads may be asked once more than was
	// recorded, now, and gets its last answer again. nil: never. It may be called
	// by several at once.
	MayRepeat func() bool
}

// Play returns the Runner that answers from the exchanges.
func Play(list []Exchange, o Options) *Replay {
	r := &Replay{clock: newClock(o.Start), o: o, answers: map[string][]Exchange{}, all: list, asked: map[string]int{}}
	for _, e := range list {
		r.answers[e.key()] = append(r.answers[e.key()], e)
	}
	return r
}

// Sleep moves the clock on at once, and reports whether ctx lets it. Those who
// sleep at the same time do it one after the other here.
func (r *Replay) Sleep(ctx context.Context, d time.Duration) bool {
	if ctx.Err() != nil {
		return false
	}
	r.reach(r.Now().Add(d + resolution - 1))
	return true
}

// Missing returns the questions that had no answer, each with the nearest one
// that has, in the order in which they were asked.
func (r *Replay) Missing() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.missing)
}

// Unasked returns the recorded changes that nobody asked for.
func (r *Replay) Unasked() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out, seen := []string{}, map[string]int{}
	for _, e := range r.all {
		key := e.key()
		seen[key]++
		if e.writes() && seen[key] > r.asked[key] {
			out = append(out, e.String())
		}
	}
	return out
}

// answer finds the answer to a question.
func (r *Replay) answer(question Exchange) (Exchange, error) {
	key := question.key()
	r.mu.Lock()
	defer r.mu.Unlock()
	n, recorded := r.asked[key], r.answers[key]
	repeat := n >= len(recorded) && len(recorded) > 0 && !question.writes() && r.o.MayRepeat != nil && r.o.MayRepeat()
	switch {
	case n < len(recorded):
		r.asked[key]++
		e := recorded[n]
		r.reach(r.start.Add(time.Duration(e.After)))
		return e, e.Error.err(r.o.Target)
	case repeat:
		e := recorded[len(recorded)-1]
		return e, e.Error.err(r.o.Target)
	}
	if len(r.missing) < maxMissing {
		r.missing = append(r.missing, r.describe(question, len(recorded)))
	}
	return Exchange{}, &remote.Error{
		Class: remote.InvalidCall, Target: r.o.Target, Doing: string(question.Do), Err: errors.New("it is not in the recording"),
	}
}

func (r *Replay) describe(question Exchange, times int) string {
	text := question.String()
	if times > 0 {
		return fmt.Sprintf("%s (asked more often than the %d times that are recorded)", text, times)
	}
	near, best := "", 0
	for _, e := range r.all {
		if e.Do != question.Do {
			continue
		}
		if have := e.String(); alike(have, text) > best {
			near, best = have, alike(have, text)
		}
	}
	if near == "" {
		return text + " (nothing like it is recorded)"
	}
	return text + " (the nearest that is recorded: " + near + ")"
}

// alike is how many bytes two texts have in common at their ends.
func alike(a, b string) int {
	short := min(len(a), len(b))
	front := 0
	for front < short && a[front] == b[front] {
		front++
	}
	back := 0
	for back < short-front && a[len(a)-1-back] == b[len(b)-1-back] {
		back++
	}
	return front + back
}

// Target implements remote.Runner.
func (r *Replay) Target() string { return r.o.Target }

// Run implements remote.Runner.
func (r *Replay) Run(_ context.Context, cmd remote.Command) (remote.Result, error) {
	began := r.Now()
	e, err := r.answer(questionOf(cmd, r.o.Redactor))
	limit := cmd.WithDefaults().MaxOutputBytes
	out, cutOut := cut(e.Stdout, limit)
	errOut, cutErr := cut(e.Stderr, limit)
	return remote.Result{
		Stdout: out, Stderr: errOut, Truncated: e.Truncated || cutOut || cutErr, ExitCode: e.Exit, Signal: e.Signal,
		StartedAt: began, Took: r.Now().Sub(began),
	}, err
}

func cut(data []byte, limit int) ([]byte, bool) {
	return slices.Clone(data[:min(len(data), limit)]), len(data) > limit
}

// ReadFile implements remote.Runner.
func (r *Replay) ReadFile(_ context.Context, path string, maxBytes int) (data []byte, truncated bool, err error) {
	e, err := r.answer(Exchange{Do: ReadFile, Path: Text(path)})
	if maxBytes <= 0 || maxBytes > remote.MaxReadBytes {
		maxBytes = remote.MaxReadBytes
	}
	data, more := cut(e.Data, maxBytes)
	return data, more || e.Truncated, err
}

// Stat implements remote.Runner.
func (r *Replay) Stat(_ context.Context, path string) (remote.FileInfo, error) {
	e, err := r.answer(Exchange{Do: Stat, Path: Text(path)})
	if e.Stat == nil {
		return remote.FileInfo{}, err
	}
	return *e.Stat, err
}

// Statfs implements remote.Runner.
func (r *Replay) Statfs(_ context.Context, path string) (remote.FSInfo, error) {
	e, err := r.answer(Exchange{Do: Statfs, Path: Text(path)})
	if e.Statfs == nil {
		return remote.FSInfo{}, err
	}
	return *e.Statfs, err
}

// ReadDir implements remote.Runner.
func (r *Replay) ReadDir(_ context.Context, path string, maxEntries int) (entries []remote.FileInfo, truncated bool, err error) {
	e, err := r.answer(Exchange{Do: ReadDir, Path: Text(path)})
	limit := remote.DirLimit(maxEntries)
	return slices.Clone(e.Entries[:min(len(e.Entries), limit)]), e.Truncated || len(e.Entries) > limit, err
}
