package controller

import (
	"context"
	"fmt"
	"time"

	"github.com/secondline-ops/secondline/controller/api"
	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/controller/triage"
	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/runbooks"
)

// waveRetry is how soon a run looks again whether the wave before it is
// verified. There may be a thousand that wait.
const waveRetry = 15 * time.Second

// StartRollout asks for a runbook on several targets: one run with an incident of
// its own for each, in the waves that the runbook says. All of them are asked for
// or none.
func (p People) StartRollout(ctx context.Context, req api.RolloutRequest, actor string) (api.RolloutStarted, error) {
	var hosts []entity.Entity
	known := map[string]bool{}
	most := 0
	for _, target := range req.Targets {
		rb, host, err := p.askedFor(api.RunRequest{Runbook: req.Runbook, Target: target})
		if err != nil {
			return api.RolloutStarted{}, err
		}
		if err := refuseInputs(rb, req.Inputs, host); err != nil {
			return api.RolloutStarted{}, fmt.Errorf("on %s: %w", host.ID, err)
		}
		if most = rb.MaxTargets; !known[host.ID] {
			known[host.ID] = true
			hosts = append(hosts, host)
		}
	}
	switch {
	case len(hosts) == 0:
		return api.RolloutStarted{}, fault.New(fault.Invalid, "say on which targets").WithField("targets")
	case len(hosts) > most:
		return api.RolloutStarted{}, fault.New(fault.Denied, "%d targets are more than the %d that runbook %s allows at once", len(hosts), most, req.Runbook).
			WithField("targets").WithHint("targets.max in the runbook says how many")
	}
	rb, _, err := p.askedFor(api.RunRequest{Runbook: req.Runbook, Target: hosts[0].ID})
	if err != nil {
		return api.RolloutStarted{}, err
	}
	started, runs := p.layOut(rb, hosts, req, actor)
	return started, p.openRollout(ctx, started, runs, hosts, actor)
}

// layOut makes the runs, wave by wave.
func (p People) layOut(rb *runbooks.Runbook, hosts []entity.Entity, req api.RolloutRequest, actor string) (api.RolloutStarted, []incident.Run) {
	inputs := req.Inputs
	if inputs == nil {
		inputs = map[string]string{}
	}
	started := api.RolloutStarted{Rollout: "rollout-" + p.newID(), Runs: []api.RolloutRun{}}
	sizes := rb.SplitWaves(len(hosts))
	var runs []incident.Run
	before := []string{}
	for wave, size := range sizes {
		now := []string{}
		for range size {
			run := incident.Run{
				ID: "run-" + p.newID(), Runbook: req.Runbook, Target: hosts[len(runs)].ID, Inputs: inputs, RequestedBy: actor, DryRun: req.DryRun,
				Status: runbooks.RunPlanned, Decisions: []incident.Approval{},
				Rollout: &incident.Rollout{ID: started.Rollout, Wave: wave + 1, Waves: len(sizes), After: before},
			}
			runs, now = append(runs, run), append(now, run.ID)
			started.Runs = append(started.Runs, api.RolloutRun{Target: run.Target, Wave: wave + 1, Incident: "inc-" + p.newID(), Run: run.ID})
		}
		before = now
	}
	return started, runs
}

func (p People) openRollout(ctx context.Context, started api.RolloutStarted, runs []incident.Run, hosts []entity.Entity, actor string) error {
	var turns []*turn
	err := p.store.Update(ctx, func(tx store.Tx) error {
		turns = nil
		for i, run := range runs {
			title := fmt.Sprintf("%s on %s, asked for by %s (wave %d of %d)", run.Runbook, hosts[i].ID, actor, run.Rollout.Wave, run.Rollout.Waves)
			t := p.begin(ctx, tx, incident.Request(started.Runs[i].Incident, title, hosts[i].ID, p.now()))
			if err := t.addRun(run, actor); err != nil {
				return err
			}
			if err := t.finish(); err != nil {
				return err
			}
			turns = append(turns, t)
		}
		return nil
	})
	if err == nil {
		for _, t := range turns {
			t.announce()
		}
	}
	return err
}

// heldByWave holds a run back until every run of the wave before it is verified,
// and cancels it when one is not.
func (t *turn) heldByWave(run *incident.Run) (held bool, d triage.Decision, err error) {
	if run.Rollout == nil || len(run.Rollout.After) == 0 {
		return false, d, nil
	}
	rows, _, err := t.store.ListRuns(t.ctx, store.RunFilter{IDs: run.Rollout.After})
	if err != nil {
		return false, d, err
	}
	verified, before := 0, fmt.Sprintf("wave %d of %d", run.Rollout.Wave-1, run.Rollout.Waves)
	for _, row := range rows {
		switch {
		case row.Status == runbooks.RunVerified:
			verified++
		case !row.EndedAt.IsZero():
			t.rule(run, runbooks.RunCancelled, fmt.Sprintf("%s was not verified: %s on %s is %s", before, row.ID, row.Target, row.Status))
			if t.in.Status == incident.AwaitingApproval {
				err = t.in.Become(incident.Diagnosing, t.at, actorSelf, "cancelled", "the run was cancelled")
			}
			return true, triage.Decide(t.situation()), err
		}
	}
	if verified == len(run.Rollout.After) {
		return false, d, nil
	}
	return true, triage.Decision{
		Action: triage.Wait, Reason: triage.WaveBefore, RunID: run.ID, LookAt: t.at.Add(waveRetry),
		Detail: fmt.Sprintf("%d of the %d targets of %s are verified", verified, len(run.Rollout.After), before),
	}, nil
}
