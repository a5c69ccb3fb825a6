package systemd

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// host answers one command, which it keeps.
type host struct {
	remote.Runner
	out string
	err error
	cmd remote.Command
}

func (h *host) Run(_ context.Context, cmd remote.Command) (remote.Result, error) {
	h.cmd = cmd
	return remote.Result{Stdout: []byte(h.out)}, h.err
}

func TestPropertiesAreReadAndNothingElse(t *testing.T) {
	t.Parallel()
	h := &host{out: "LoadState=loaded\nActiveState=active\nEnvironment=A=b\nDescription=\n"}
	p, err := Show(t.Context(), &engine.Env{Runner: h}, "-x.service", "Environment", "NRestarts")
	if err != nil || p["LoadState"] != "loaded" || p["Environment"] != "A=b" || len(p) != 4 {
		t.Errorf("%v, %v", p, err)
	}
	want := []string{"systemctl", "show", "--no-pager", "--property=LoadState,ActiveState,Environment,NRestarts", "--", "-x.service"}
	if !slices.Equal(h.cmd.Argv, want) || h.cmd.Effect != remote.Read {
		t.Errorf("ran %q with effect %q", h.cmd.Argv, h.cmd.Effect)
	}
}

func TestAnAnswerWithoutAStateIsNone(t *testing.T) {
	t.Parallel()
	for _, out := range []string{"", "LoadState=loaded\n", "ActiveState=active\nLoadState\n"} {
		if p, err := Show(t.Context(), &engine.Env{Runner: &host{out: out}}, "x.service"); err == nil {
			t.Errorf("%q: %v", out, p)
		}
	}
	lost := &remote.Error{Class: remote.Lost}
	if _, err := Show(t.Context(), &engine.Env{Runner: &host{err: lost}}, "x.service"); !errors.Is(err, lost) {
		t.Errorf("got %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("LoadState=loaded\nActiveState=active\nNRestarts=3\nJob=0\n"))
	f.Add([]byte("ActiveState\n=\nLoadState==\n"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, out []byte) {
		if p, err := parse("x.service", out); err == nil && (p["LoadState"] == "" || p["ActiveState"] == "") {
			t.Error("a reading without a state")
		}
	})
}
