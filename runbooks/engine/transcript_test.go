package engine

import (
	"bytes"
	"context"
	"testing"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
)

type answering struct {
	remote.Runner
	res remote.Result
	err error
}

func (a answering) Run(context.Context, remote.Command) (remote.Result, error) { return a.res, a.err }

func TestFateOfACommand(t *testing.T) {
	t.Parallel()
	class := func(c remote.Class) error { return &remote.Error{Class: c} }
	tests := []struct {
		name          string
		err           error
		touched, open bool
	}{
		{"ran", nil, true, false},
		{"exit status", class(remote.ExitStatus), true, false},
		{"signal", class(remote.Signalled), true, false},
		{"time-out", class(remote.TimedOut), true, true},
		{"lost", class(remote.Lost), true, true},
		{"broken server", class(remote.BrokenServer), true, true},
		{"unreachable", class(remote.Unreachable), false, false},
		{"refused by the gate", class(remote.NotPermitted), false, false},
		{"refused by a fault", fault.New(fault.Denied, "no"), false, false},
		{"cancelled, nobody knows when", context.Canceled, true, true},
	}
	for _, tt := range tests {
		tr := newTranscript(answering{err: tt.err}, func(Event) {}, newRoom())
		_, _ = tr.Run(t.Context(), remote.Command{Argv: []string{"x"}})
		if _, touched, open := tr.state(); touched != tt.touched || open != tt.open {
			t.Errorf("%s: touched %t, open %t", tt.name, touched, open)
		}
		tr = newTranscript(answering{err: tt.err}, func(Event) {}, newRoom())
		_, _ = tr.Run(t.Context(), remote.Command{Argv: []string{"x"}, Effect: remote.Read})
		if _, touched, open := tr.state(); touched || open {
			t.Errorf("%s: a read counts as a change", tt.name)
		}
	}
}

func TestTranscriptsAreBounded(t *testing.T) {
	t.Parallel()
	tr := newTranscript(answering{res: remote.Result{Stdout: bytes.Repeat([]byte{0xff}, 1<<20)}}, func(Event) {}, newRoom())
	for range 3 * maxExchanges {
		_, _ = tr.Run(t.Context(), remote.Command{Argv: []string{"x"}})
	}
	got, _, _ := tr.state()
	if len(got) != maxExchanges || len(got[0].Stdout) > 3*maxExchangeBytes+20 {
		t.Errorf("%d exchanges, the first with %d bytes", len(got), len(got[0].Stdout))
	}
}
