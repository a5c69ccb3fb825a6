package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/inventory"
	"github.com/secondline-ops/secondline/controller/limits"
	"github.com/secondline-ops/secondline/controller/prometheus"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/controller/triage"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/redact"
)

// maxMoves bounds how many decisions one Step may take. An incident that needs
// more is in a loop, which is a bug; it is shown to a person instead of turning.
const maxMoves = 12

// Reconciler is the main loop: it takes one incident from where it is to where
// it should be. Everything else in the system feeds it or is ordered by it.
//
// Step is load -> decide -> act -> save in one transaction. Acting means to
// order work durably (a job for an agent, a message for people), never to do
// it, so Step may be repeated at any time: after a crash, a lost wake-up, or a
// conflict with another controller.
type Reconciler struct {
	store    store.Store
	world    func() World // what configuration says now; replaced as a whole on reload
	parse    func(store.Body) ([]incident.Signal, error)
	now      func() time.Time
	newID    func() string
	wake     func(queue string) // a hint that a queue has work; losing it costs at most a poll
	cancel   func(agent, jobID, reason string)
	recall   func(agent, jobID, reason string) // its lease is no longer good
	changed  func(incident string)
	decided  func(triage.Reason)
	unmapped func() // a body was set aside
	progress func(e job.Event)
	secrets  *redact.Redactor
	logger   *slog.Logger
}

// World is everything a decision reads besides the incident.
type World struct {
	Inventory *inventory.Inventory
	Catalogue *Catalogue
	Policy    triage.Policy
	// Enrolled reports whether an agent of the name may be given work.
	Enrolled func(agent string) bool
	Channels int // how many there are to reach people by
	// Prometheus has the rules of the configured servers; a decision only looks them up.
	Prometheus *prometheus.Servers
}

// Step moves the incident as far as it goes by itself.
func (r *Reconciler) Step(ctx context.Context, id string) error {
	return r.update(ctx, id, func(*turn) error { return nil })
}

// turn is one transaction on one incident, with what is to be woken after it.
type turn struct {
	*Reconciler
	ctx   context.Context //nolint:containedctx // a turn lives exactly as long as its transaction
	tx    store.Tx
	in    *incident.Incident
	world World
	at    time.Time

	queues []string // woken after the commit
	final  error    // change refused; trying again would refuse again
}

// tries is how often a turn is tried that lost a race for its incident.
const tries = 5

// update loads the incident, lets change do its part, moves the incident as
// far as it goes, and saves all of it together. A version conflict is tried
// again: someone else moved the incident first, and the decision is made anew.
// A refusal of change itself is final.
func (r *Reconciler) update(ctx context.Context, id string, change func(*turn) error) error {
	var err error
	for range tries {
		var t *turn
		err = r.store.Update(ctx, func(tx store.Tx) error {
			t = nil
			in, err := tx.FindIncident(ctx, id)
			if err != nil {
				return err
			}
			t = r.begin(ctx, tx, in)
			if t.final = change(t); t.final != nil {
				return t.final
			}
			return t.finish()
		})
		if err == nil {
			t.announce()
			return nil
		}
		if t != nil && t.final != nil {
			return err
		}
		if !fault.Is(err, fault.Conflict) {
			break
		}
	}
	return fmt.Errorf("reconcile incident %s: %w", id, err)
}

func (r *Reconciler) begin(ctx context.Context, tx store.Tx, in *incident.Incident) *turn {
	return &turn{Reconciler: r, ctx: ctx, tx: tx, in: in, world: r.world(), at: r.now()}
}

// finish decides and acts until there is nothing more to do, then saves.
func (t *turn) finish() error {
	for range maxMoves {
		d, err := t.decide()
		if err != nil {
			return err
		}
		t.note(d)
		if d.Action == triage.Wait {
			t.in.DueAt = d.LookAt
			return t.tx.SaveIncident(t.ctx, t.in)
		}
		if err := t.act(d); err != nil {
			return err
		}
	}
	d := triage.Decision{Action: triage.Escalate, Reason: triage.NoEnd}
	t.note(d)
	if t.in.Status.MayBecome(incident.Escalated) {
		if err := t.escalate(d); err != nil {
			return err
		}
	}
	t.in.DueAt = time.Time{} // until something new comes in
	return t.tx.SaveIncident(t.ctx, t.in)
}

// decide asks triage, and holds back a run whose target is not free.
func (t *turn) decide() (triage.Decision, error) {
	d := triage.Decide(t.situation())
	if d.Action != triage.Remediate {
		return d, nil
	}
	run := t.in.FindRun(d.RunID)
	if held, d, err := t.heldByWave(run); held || err != nil {
		return d, err
	}
	err := limits.Reserve(t.ctx, t.tx, run.Plan, run.ID, t.at)
	if fault.Is(err, fault.Conflict) {
		return triage.Decision{
			Action: triage.Wait, Reason: triage.TargetBusy, Detail: err.Error(), RunID: run.ID, LookAt: t.at.Add(busyRetry),
		}, nil
	}
	if errors.Is(err, limits.ErrRate) {
		return t.rateUsedUp(d, err), nil
	}
	return d, err
}

// rateUsedUp calls a person, and has the run wait when one is there.
func (t *turn) rateUsedUp(d triage.Decision, err error) triage.Decision {
	out := triage.Decision{Action: triage.Escalate, Reason: triage.RateUsedUp, Detail: err.Error(), RunID: d.RunID, Runbook: d.Runbook}
	if t.in.Status == incident.Escalated {
		out.Action, out.LookAt = triage.Wait, t.at.Add(busyRetry)
	}
	return out
}

func (t *turn) situation() triage.Situation {
	return triage.Situation{
		Incident: t.in, HasAgent: t.world.reaches(t.in.Entity), Askable: t.world.askable(t.in), Catalogue: t.world.Catalogue, Policy: t.world.Policy, Now: t.at,
	}
}

// reaches reports whether an enrolled agent reaches the entity's host.
func (w World) reaches(entity string) bool {
	host, ok := w.Inventory.Host(entity)
	return ok && w.Enrolled(inventory.AgentFor(host))
}

// note leaves an event for a decision that says something new.
func (t *turn) note(d triage.Decision) {
	reason := string(d.Reason)
	if reason == t.in.LastReason && d.Action == triage.Wait {
		return
	}
	t.in.LastReason = reason
	t.decided(d.Reason)
	text := d.Reason.Sentence()
	if d.Detail != "" {
		text += ": " + d.Detail
	}
	t.in.Note(t.at, actorSelf, incident.EventDecision, reason, text, map[string]string{
		"action": string(d.Action), "key": d.Key, "runbook": d.Runbook,
	})
}

// announce wakes, after the commit, whoever has new work.
func (t *turn) announce() {
	for _, q := range t.queues {
		t.wake(q)
	}
	t.changed(t.in.ID)
}
