package agent

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/internal/redact"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

func newProgress() *progress {
	a := &Agent{Options: Options{Redactor: redact.New("s3cret-of-ours"), Now: time.Now}}
	return a.progressOf(job.Job{ID: "inc.1"})
}

func TestProgressTellsTheStepUntilItEnds(t *testing.T) {
	t.Parallel()
	p, at := newProgress(), time.Date(2026, 3, 1, 3, 0, 0, 0, time.UTC)
	p.engineEvent(engine.Event{At: at, Kind: "step", Step: "cut", Status: runbooks.StepRunning, Timeout: time.Minute})
	p.engineEvent(engine.Event{At: at, Kind: "command", Step: "cut", Text: "curl -u ops:s3cret-of-ours http://x"})
	if d := p.doing; d.Step != "cut" || d.Status != runbooks.StepRunning || !d.Since.Equal(at) || d.Timeout != time.Minute {
		t.Errorf("running: %+v", d)
	}
	if c := p.doing.Command; !strings.HasPrefix(c, "curl") || strings.Contains(c, "s3cret") {
		t.Errorf("command %q", c)
	}
	p.engineEvent(engine.Event{At: at, Kind: "output", Step: "cut", Output: []byte("one\ntwo\n")})
	if c := p.doing.Command; c == "" {
		t.Error("an output is taken for the end of its command")
	}
	p.engineEvent(engine.Event{At: at, Kind: "command", Step: "cut"})
	p.engineEvent(engine.Event{At: at, Kind: "output", Step: "cut"}) // wrote nothing: what was seen stays
	p.engineEvent(engine.Event{At: at.Add(time.Second), Kind: "step", Step: "cut", Status: runbooks.StepVerifying, Timeout: time.Hour})
	if d := p.doing; !slices.Equal(d.Output, []string{"one", "two"}) || d.Command != "" || d.Status != runbooks.StepVerifying || !d.Since.Equal(at.Add(time.Second)) {
		t.Errorf("verifying: %+v", d)
	}
	p.engineEvent(engine.Event{At: at, Kind: "step", Step: "cut", Status: runbooks.StepVerified})
	if d := p.doing; d.Step != "" || d.Output != nil || d.Timeout != 0 {
		t.Errorf("after its end: %+v", d)
	}
	p.engineEvent(engine.Event{At: at, Kind: "step", Step: "next", Status: runbooks.StepRunning})
	if d := p.doing; d.Step != "next" || d.Output != nil {
		t.Errorf("the next: %+v", d)
	}
}

func TestProgressTellsWhichProbesWait(t *testing.T) {
	t.Parallel()
	p := newProgress()
	p.probeBegan("disk.usage", "db1")
	p.probeBegan("disk.usage", "db1")
	p.probeBegan("mem", "db1")
	p.probeEnded("disk.usage", "db1")
	p.probeEnded("never.asked", "db1")
	if w := p.doing.Probes; len(w) != 2 || w[0].Probe != "disk.usage" || w[1].Probe != "mem" {
		t.Errorf("waiting: %+v", w)
	}
	p.probeEnded("disk.usage", "db1")
	p.probeEnded("mem", "db1")
	if w := p.doing.Probes; len(w) != 0 {
		t.Errorf("at the end: %+v", w)
	}
}

func TestProgressIsOnePerJobInWork(t *testing.T) {
	t.Parallel()
	a := &Agent{Options: Options{Now: time.Now}, running: map[string]*running{"inc.1": {}}}
	if one, two := a.progressOf(job.Job{ID: "inc.1"}), a.progressOf(job.Job{ID: "inc.1"}); one != two || a.running["inc.1"].progress != one {
		t.Error("a job in work has two")
	}
	a.tellProgress() // not connected: nobody to tell
}
