package agent

import (
	"slices"
	"sync"

	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// progress is what a job does right now, for those who watch. Each change is
// told to the controller whole, when there is room for it; what was lost is
// told again with the leases. It is safe for concurrent use.
type progress struct {
	a *Agent
	j job.Job

	mu    sync.Mutex // guards below, and the order in which changes are told
	doing job.Activity
}

// progressOf returns the progress of the job in work.
func (a *Agent) progressOf(j job.Job) *progress {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := a.running[j.ID]
	if r == nil {
		return &progress{a: a, j: j}
	}
	if r.progress == nil {
		r.progress = &progress{a: a, j: j}
	}
	return r.progress
}

// tellProgress tells again what every job does.
func (a *Agent) tellProgress() {
	a.mu.Lock()
	var list []*progress
	for _, r := range a.running {
		if r.progress != nil {
			list = append(list, r.progress)
		}
	}
	a.mu.Unlock()
	for _, p := range list {
		p.change(job.Event{Kind: "again", At: a.Now()}, func(*job.Activity) {})
	}
}

// change changes what is done and tells it.
func (p *progress) change(e job.Event, how func(*job.Activity)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	how(&p.doing)
	doing := p.doing.Bounded()
	e.JobID, e.Doing = p.j.ID, &doing
	p.a.event(p.j.ID, p.j.Fence, e)
}

func (p *progress) probeBegan(probe, target string) {
	now := p.a.Now()
	p.change(job.Event{At: now, Kind: "probe", Text: probe + " on " + target}, func(d *job.Activity) {
		d.Probes = append(d.Probes, job.PendingProbe{Probe: probe, Target: target, Since: now})
	})
}

// probeEnded forgets one probe of the name: with which arguments each was asked
// is too much for a look.
func (p *progress) probeEnded(probe, target string) {
	p.change(job.Event{At: p.a.Now(), Kind: "probe", Text: probe + " on " + target + " ended"}, func(d *job.Activity) {
		at := slices.IndexFunc(d.Probes, func(x job.PendingProbe) bool { return x.Probe == probe && x.Target == target })
		if at >= 0 {
			d.Probes = slices.Delete(slices.Clone(d.Probes), at, at+1)
		}
	})
}

func (p *progress) engineEvent(e engine.Event) {
	// The Runner has redacted what a server said; the words of a command are ours.
	text := string(p.a.Redactor.Redact([]byte(e.Text)))
	p.change(job.Event{At: e.At, Kind: e.Kind, Step: e.Step, Text: text}, func(d *job.Activity) {
		switch e.Kind {
		case "step":
			*d = stepActivity(*d, e)
		case "command":
			d.Command = text
		case "output":
			if lines, cut := job.LastLines(e.Output); len(lines) > 0 {
				d.Output, d.Cut = lines, cut
			}
		}
	})
}

// stepActivity is the activity after a step has become something else. What the
// step wrote is of use until it has ended.
func stepActivity(before job.Activity, e engine.Event) job.Activity {
	switch e.Status {
	case runbooks.StepRunning, runbooks.StepOutcome, runbooks.StepVerifying, runbooks.StepUndoing:
		now := job.Activity{Step: e.Step, Status: e.Status, Since: e.At, Timeout: e.Timeout}
		if before.Step == e.Step {
			now.Output, now.Cut = before.Output, before.Cut
		}
		return now
	case runbooks.StepPlanned, runbooks.StepIntent, runbooks.StepVerified, runbooks.StepRefuted, runbooks.StepUndone,
		runbooks.StepStuck, runbooks.StepUnknown, runbooks.StepSkipped:
	}
	return job.Activity{}
}
