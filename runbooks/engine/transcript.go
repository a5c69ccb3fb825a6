package engine

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/runbooks"
)

// Bounds of a step's transcript. The Runner has redacted what is in it.
const (
	maxExchanges     = 64
	maxExchangeBytes = 16 << 10 // of each stream
	maxRunBytes      = 8 << 20  // of all steps of a run; it travels in one report
)

// room is what is left for the transcripts of a run. It is safe for concurrent
// use.
type room struct{ left atomic.Int64 }

func newRoom() *room {
	r := &room{}
	r.left.Store(maxRunBytes)
	return r
}

// take returns text while there is room for it.
func (r *room) take(text string) string {
	if text == "" || r.left.Add(-int64(len(text))) >= 0 {
		return text
	}
	return "[left out: this run has printed more than is kept]"
}

// transcript is a Runner that writes down what it was asked while a step acts,
// and whether anything may have been changed.
type transcript struct {
	remote.Runner
	tell func(Event) // of each command, for those who watch
	room *room

	mu        sync.Mutex // guards below, and the order of what is told
	exchanges []runbooks.Exchange
	touched   bool // a command that may write may have run
	open      bool // one of them has no known end
}

func newTranscript(r remote.Runner, tell func(Event), room *room) *transcript {
	return &transcript{Runner: r, tell: tell, room: room, exchanges: []runbooks.Exchange{}}
}

// Run implements remote.Runner.
func (t *transcript) Run(ctx context.Context, cmd remote.Command) (remote.Result, error) {
	t.mu.Lock()
	t.tell(Event{Kind: "command", Text: strings.Join(cmd.Argv, " ")})
	t.mu.Unlock()
	cmd.Watch = &remote.Watch{Show: t.show}
	res, err := t.Runner.Run(ctx, cmd)
	t.show(end(res.Stdout, res.Stderr))
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tell(Event{Kind: "command"})
	if cmd.Effect != remote.Read {
		ran, ended := fate(err)
		t.touched = t.touched || ran
		t.open = t.open || ran && !ended
	}
	if len(t.exchanges) < maxExchanges {
		x := exchange(cmd, res, err)
		x.Command, x.Stdout, x.Stderr = t.room.take(x.Command), t.room.take(x.Stdout), t.room.take(x.Stderr)
		t.exchanges = append(t.exchanges, x)
	}
	return res, err
}

// show tells what a command has written.
func (t *transcript) show(output []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tell(Event{Kind: "output", Output: output})
}

// end is the last of what a command wrote, on both streams.
func end(stdout, stderr []byte) []byte {
	out := append([]byte{}, stdout[max(0, len(stdout)-maxExchangeBytes):]...)
	if len(out) > 0 && out[len(out)-1] != '\n' && len(stderr) > 0 {
		out = append(out, '\n')
	}
	return append(out, stderr[max(0, len(stderr)-maxExchangeBytes):]...)
}

// fate says of a command whether it may have run, and whether it is known to
// have ended. A command that ended with a failure has a known outcome: it
// failed. One that was cut off has not.
func fate(err error) (mayHaveRun, ended bool) {
	if err == nil {
		return true, true
	}
	e, ok := errors.AsType[*remote.Error](err)
	if !ok && fault.Is(err, fault.Denied) {
		return false, true // a gate said no
	}
	if !ok {
		return true, false // a context's error, or one nobody knows: the careful reading
	}
	ended = e.Class == remote.ExitStatus || e.Class == remote.Signalled
	return e.Class.MayHaveRun(), ended
}

func exchange(cmd remote.Command, res remote.Result, err error) runbooks.Exchange {
	x := runbooks.Exchange{
		At: res.StartedAt, Command: strings.Join(cmd.Argv, " "), As: cmd.As, ExitCode: res.ExitCode,
		Stdout: clip(res.Stdout), Stderr: clip(res.Stderr), Took: res.Took,
	}
	if err != nil {
		x.Error = err.Error()
	}
	return x
}

func clip(b []byte) string {
	if len(b) > maxExchangeBytes {
		return strings.ToValidUTF8(string(b[:maxExchangeBytes]), "\uFFFD") + "\n[cut here]"
	}
	return strings.ToValidUTF8(string(b), "\uFFFD")
}

// state returns what was written down so far.
func (t *transcript) state() (exchanges []runbooks.Exchange, touched, open bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]runbooks.Exchange{}, t.exchanges...), t.touched, t.open
}
