package engine_test

import (
	"testing"
	"time"

	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/internal/remote/remotetest"
	"github.com/secondline-ops/secondline/runbooks"
)

// TestTheLongestStepGetsItsWholeTime: what the loader lets a step have, its
// command has on the server, too.
func TestTheLongestStepGetsItsWholeTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, `
  probes: {goal: {probe: file.lines, with: {path: DIR/goal}}}
  limits: {deadline: 4h}
  steps: [{id: act, run: [long], timeout: 1h, verify: {that: goal.n == 0, within: 1s}, undo: none}]
`)
	var got []time.Duration
	host := remotetest.New(t).OnRunDo(remotetest.Argv("long"), func(cmd remote.Command) (remote.Result, error) {
		got = append(got, cmd.Timeout)
		return remote.Result{}, nil
	})
	w.machine.Runner = remote.Open(host, remote.Options{Gate: remote.AllowAll(), Redactor: nothingSecret{}})
	w.status(w.run(t.Context()), runbooks.RunVerified, runbooks.StepVerified)
	if len(got) != 1 || got[0] != time.Hour {
		t.Errorf("its command got %v", got)
	}
}
