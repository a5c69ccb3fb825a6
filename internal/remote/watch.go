package remote

import (
	"bytes"
	"sync"
	"time"
)

// Bounds of watching a command.
const (
	// watchEvery is how often somebody is shown what is new: a person reads no faster.
	watchEvery = time.Second
	// maxWatched is what is kept of the end of each stream. What is longer has
	// lost its beginning, and maxCutToken after it is dropped as well.
	maxWatched = 64 << 10
)

// Watch shows the end of what a command has written while it still runs.
// Nothing may be decided on it: it is what people look at.
type Watch struct {
	// Show gets the last whole lines of both streams, redacted. It must not
	// block; it is called by one at a time, and never after Run has returned.
	Show func(end []byte)

	stdout, stderr window
}

// Stdout takes what the command writes to its standard output; a transport
// copies it here. A nil Watch takes nothing.
func (w *Watch) Stdout(p []byte) {
	if w != nil {
		w.stdout.write(p)
	}
}

// Stderr is Stdout for the standard error.
func (w *Watch) Stderr(p []byte) {
	if w != nil {
		w.stderr.write(p)
	}
}

// window keeps the end of a stream.
type window struct {
	mu   sync.Mutex // guards below
	raw  []byte
	came int // bytes, kept or not
}

func (w *window) write(p []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.came += len(p)
	p = p[max(0, len(p)-maxWatched):]
	w.raw = append(w.raw, p...)
	if extra := len(w.raw) - maxWatched; extra > 0 {
		w.raw = append(w.raw[:0], w.raw[extra:]...)
	}
}

// lines returns the last whole lines, redacted. The line that is being written
// is left out, and of a stream whose beginning is lost, as much as a secret can
// be long that was cut there: of neither could be told what it is.
func (w *window) lines(r Redactor) (text []byte, came int) {
	w.mu.Lock()
	raw, came := bytes.Clone(w.raw), w.came
	w.mu.Unlock()
	whole := bytes.LastIndexByte(raw, '\n') + 1
	text = r.Redact(raw[:whole])
	if came > len(raw) {
		text = text[min(len(text), maxCutToken):]
		text = text[bytes.IndexByte(text, '\n')+1:]
	}
	return text, came
}

// watch shows what comes until the returned function is called, which waits.
func (s *Server) watch(w *Watch) (stop func()) {
	if w == nil {
		return func() {}
	}
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(watchEvery)
		defer tick.Stop()
		for seen := 0; ; {
			select {
			case <-end:
				return
			case <-tick.C:
			}
			out, cameOut := w.stdout.lines(s.o.Redactor)
			errOut, cameErr := w.stderr.lines(s.o.Redactor)
			if cameOut+cameErr != seen {
				seen = cameOut + cameErr
				w.Show(append(bytes.Clone(out), errOut...))
			}
		}
	}()
	return func() { close(end); <-ended }
}
