package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/secondline-ops/secondline/controller/api"
	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/limits"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/yamlx"
	"github.com/secondline-ops/secondline/runbooks"
)

// People are the acts of people on incidents and runs. Each is one turn of the
// main loop: what a person says is one more input to the next decision.
type People struct{ *Reconciler }

func person(name string) string { return "person:" + name }

func (p People) act(ctx context.Context, ref string, do func(*turn) error) error {
	in, err := p.store.FindIncident(ctx, ref)
	if err != nil {
		return err
	}
	return p.update(ctx, in.ID, do)
}

// Acknowledge says that somebody is looking. It stops nothing.
func (p People) Acknowledge(ctx context.Context, ref, actor, note string) error {
	return p.act(ctx, ref, func(t *turn) error {
		if !t.in.Status.Open() {
			return fault.New(fault.Conflict, "incident %d is %s", t.in.Number, t.in.Status)
		}
		t.in.AckedBy = actor
		t.in.Note(t.at, person(actor), incident.EventNote, "acknowledged", "acknowledged"+suffix(note), nil)
		return nil
	})
}

// Resolve closes the incident on a person's word.
func (p People) Resolve(ctx context.Context, ref, actor, why string) error {
	return p.act(ctx, ref, func(t *turn) error {
		if err := t.refuseWhileActing(); err != nil {
			return err
		}
		if err := t.in.Become(incident.Resolved, t.at, person(actor), "person_resolved", "resolved by "+actor+suffix(why)); err != nil {
			return err
		}
		t.in.Resolution, t.in.Unverified = "resolved by "+actor+suffix(why), true
		t.dropWork("resolved by " + actor)
		for _, run := range t.in.Runs { // a person's word ends all waiting, also for what nobody can account for
			if err := limits.Release(t.ctx, t.tx, run.ID); err != nil {
				return err
			}
		}
		return nil
	})
}

// refuseWhileActing keeps people from declaring done what is being changed. An
// agent that has been silent for too long does not count: a person must be able
// to go on without it.
func (t *turn) refuseWhileActing() error {
	run := t.in.CurrentRun()
	if run == nil || run.Status != runbooks.RunRunning || t.in.Work == nil || t.in.Work.Warned {
		return nil
	}
	return fault.New(fault.Conflict, "run %s is changing %s right now", run.ID, run.Target).
		WithHint("wait for it, or cancel it first: secondline run cancel %s", run.ID)
}

// dropWork waits for no report any more, and ends the current run: as cancelled
// when it had not begun, else as unknown. What is reported later is still
// written down.
func (t *turn) dropWork(why string) {
	t.in.Work = nil
	t.judgeRuns()
	run := t.in.CurrentRun()
	if run == nil {
		return
	}
	status := runbooks.RunCancelled
	if run.Status == runbooks.RunRunning {
		status = runbooks.RunUnknown
	}
	t.end(run, status, why)
}

// Reopen has the incident diagnosed again.
func (p People) Reopen(ctx context.Context, ref, actor, why string) error {
	return p.act(ctx, ref, func(t *turn) error {
		if err := t.refuseWhileActing(); err != nil {
			return err
		}
		if err := t.in.Become(incident.Diagnosing, t.at, person(actor), "person_reopened", "reopened by "+actor+suffix(why)); err != nil {
			return err
		}
		t.dropWork("reopened by " + actor)
		t.in.Stale, t.in.Failures, t.in.Tried = true, 0, []incident.Tried{}
		return t.releaseSettled()
	})
}

// Escalate calls the third line now.
func (p People) Escalate(ctx context.Context, ref, actor, why string) error {
	return p.act(ctx, ref, func(t *turn) error {
		if err := t.in.Become(incident.Escalated, t.at, person(actor), "person_escalated", "escalated by "+actor+suffix(why)); err != nil {
			return err
		}
		return t.callPerson(person(actor), "person_escalated", "escalated by "+actor+suffix(why))
	})
}

// Note leaves a remark on the timeline.
func (p People) Note(ctx context.Context, ref, actor, text string) error {
	return p.act(ctx, ref, func(t *turn) error {
		t.in.Note(t.at, person(actor), incident.EventNote, "note", text, nil)
		return nil
	})
}

// StartRun asks for a runbook on a target: first its plan, then a yes to it.
// Without an incident to belong to, the run gets one of its own.
func (p People) StartRun(ctx context.Context, req api.RunRequest, actor string) (incidentID, runID string, err error) {
	rb, host, err := p.askedFor(req)
	if err != nil {
		return "", "", err
	}
	inputs := req.Inputs
	if inputs == nil {
		inputs = map[string]string{}
	}
	if err := refuseInputs(rb, inputs, host); err != nil {
		return "", "", err
	}
	run := incident.Run{
		ID: "run-" + p.newID(), Runbook: req.Runbook, Target: host.ID, Inputs: inputs, RequestedBy: actor,
		DryRun: req.DryRun, Status: runbooks.RunPlanned, Decisions: []incident.Approval{},
	}
	if req.Incident != "" {
		in, err := p.store.FindIncident(ctx, req.Incident)
		if err != nil {
			return "", "", err
		}
		return in.ID, run.ID, p.update(ctx, in.ID, func(t *turn) error { return t.addRun(run, actor) })
	}
	id := "inc-" + p.newID()
	return id, run.ID, p.openForRun(ctx, id, host, run, actor)
}

// PreviewRun returns the inputs of a runbook as StartRun would bind them for the
// request: with what a host lets people choose from, with the values that need
// not be given, and with what is wrong or missing. It is what forms are made of.
func (p People) PreviewRun(_ context.Context, req api.RunRequest) ([]runbooks.BoundInput, error) {
	rb, host, err := p.askedFor(req)
	if err != nil {
		return nil, err
	}
	bound, err := runbooks.PreviewInputs(rb, req.Inputs, runbooks.FromVars(nil, host, host))
	if err != nil {
		return nil, mistakes(rb, err, nil)
	}
	return bound, nil
}

// askedFor finds the runbook and the host of a request.
func (p People) askedFor(req api.RunRequest) (*runbooks.Runbook, entity.Entity, error) {
	world := p.world()
	rb, ok := world.Catalogue.Runbooks.Find(req.Runbook)
	if !ok {
		return nil, entity.Entity{}, noRunbook(req.Runbook, world.Catalogue.Runbooks)
	}
	host, ok := world.Inventory.Host(req.Target)
	if !ok {
		return nil, entity.Entity{}, fault.New(fault.NotFound, "there is no host %q in the inventory", req.Target).WithHint("secondline inventory")
	}
	return rb, host, nil
}

func noRunbook(name string, catalogue *runbooks.Catalogue) error {
	var names []string
	for _, rb := range catalogue.All() {
		names = append(names, rb.Name)
	}
	hint := "see: secondline runbook list; a file of your own counts once the controller was started with its folder (--runbooks), and has read it since (SIGHUP, or a restart)"
	if near := yamlx.Suggest(name, names); near != "" {
		hint = fmt.Sprintf("did you mean %q? else ", near) + hint
	}
	return fault.New(fault.NotFound, "there is no runbook %q", name).WithHint("%s", hint)
}

// refuseInputs says what the agent would say of the inputs, before there is a
// run: a person's wrong call is no failed run. Each mistake has its line.
func refuseInputs(rb *runbooks.Runbook, given map[string]string, host entity.Entity) error {
	bound, err := runbooks.PreviewInputs(rb, given, runbooks.FromVars(nil, host, host))
	bound = slices.DeleteFunc(bound, func(in runbooks.BoundInput) bool { return in.Problem == "" })
	if err == nil && len(bound) == 0 {
		return nil
	}
	return mistakes(rb, err, bound)
}

// mistakes lists in one error what is no input, and the inputs without a value,
// each with the flag that gives it.
func mistakes(rb *runbooks.Runbook, unknown error, missing []runbooks.BoundInput) error {
	var text strings.Builder
	list := []error{}
	if many, ok := unknown.(interface{ Unwrap() []error }); ok {
		list = many.Unwrap()
	}
	for _, m := range list {
		text.WriteString("\n  " + m.Error())
		if f, ok := errors.AsType[*fault.Error](m); ok && f.Hint != "" {
			text.WriteString("; " + f.Hint)
		}
	}
	for _, in := range missing {
		fmt.Fprintf(&text, "\n  input %s %s", in.Name, in.Problem)
		if !in.Type.List() {
			fmt.Fprintf(&text, ": --input %s=… (%s) %s", in.Name, api.DescribeInput(in.Input).Accepts(), in.Description)
		}
	}
	return fault.New(fault.Invalid, "runbook %s cannot be asked for in this way:%s", rb.Name, text.String()).
		WithField("inputs").WithHint("give each as --input NAME=VALUE; what it takes: secondline runbook show %s", rb.Name)
}

func (p People) openForRun(ctx context.Context, id string, host entity.Entity, run incident.Run, actor string) error {
	var t *turn
	err := p.store.Update(ctx, func(tx store.Tx) error {
		now := p.now()
		in := incident.Request(id, fmt.Sprintf("%s on %s, asked for by %s", run.Runbook, host.ID, actor), host.ID, now)
		t = p.begin(ctx, tx, in)
		if err := t.addRun(run, actor); err != nil {
			return err
		}
		return t.finish()
	})
	if err == nil {
		t.announce()
	}
	return err
}

func (t *turn) addRun(run incident.Run, actor string) error {
	if cur := t.in.CurrentRun(); cur != nil {
		return fault.New(fault.Conflict, "incident %d already has run %s of %s, which is %s", t.in.Number, cur.ID, cur.Runbook, cur.Status).
			WithHint("approve, reject or cancel it first")
	}
	if w := t.in.Work; w != nil && w.Warned {
		t.in.Work = nil // its agent is silent, and it was not a run: that would be the current one
	}
	if t.in.Work != nil {
		return fault.New(fault.Conflict, "incident %d waits for agent %s (%s)", t.in.Number, t.in.Work.Agent, t.in.Work.Kind).WithHint("try again in a moment")
	}
	if err := t.in.Become(incident.Diagnosing, t.at, person(actor), "run_requested", actor+" asked for "+run.Runbook); err != nil {
		return err
	}
	t.in.Runs = append(t.in.Runs, run)
	return nil
}

// Approve says yes to exactly the plan that the person saw.
func (p People) Approve(ctx context.Context, runID, planDigest, actor, why string) error {
	return p.onRun(ctx, runID, func(t *turn, run *incident.Run) error {
		if run.Status != runbooks.RunWaiting {
			return fault.New(fault.Conflict, "run %s is %s and waits for no approval", run.ID, run.Status)
		}
		if run.Plan.Digest != planDigest {
			return fault.New(fault.Conflict, "the plan has changed since it was shown").WithHint("look at it again: secondline run show %s", run.ID)
		}
		before := run.ApprovedBy()
		if slices.ContainsFunc(before, func(name string) bool { return runbooks.SamePerson(name, actor) }) {
			return fault.New(fault.Conflict, "%s has approved this plan already; it asks for %d different people, and has %d", actor, run.Plan.Approvals, len(before))
		}
		run.Decisions = append(run.Decisions, incident.Approval{By: actor, Approved: true, PlanDigest: planDigest, Why: why, At: t.at})
		text := actor + " approved " + run.Runbook
		if n := run.Plan.Approvals; n > 1 {
			text += fmt.Sprintf(" (%d of %d)", len(before)+1, n)
		}
		t.in.Note(t.at, person(actor), incident.EventApproval, "approved", text+suffix(why),
			map[string]string{"run": run.ID, "plan": planDigest})
		return nil
	})
}

// Reject says no: the hypothesis is passed over, and the next one looked at.
func (p People) Reject(ctx context.Context, runID, actor, why string) error {
	return p.onRun(ctx, runID, func(t *turn, run *incident.Run) error {
		if run.Status != runbooks.RunWaiting && run.Status != runbooks.RunPlanned || !run.EndedAt.IsZero() {
			return fault.New(fault.Conflict, "run %s is %s and waits for no approval", run.ID, run.Status)
		}
		digest := ""
		if run.Plan != nil {
			digest = run.Plan.Digest
		}
		run.Decisions = append(run.Decisions, incident.Approval{By: actor, PlanDigest: digest, Why: why, At: t.at})
		t.in.Note(t.at, person(actor), incident.EventApproval, "rejected", actor+" rejected "+run.Runbook+suffix(why), map[string]string{"run": run.ID})
		t.rule(run, runbooks.RunRejected, "rejected by "+actor+suffix(why))
		if t.in.Status == incident.AwaitingApproval {
			return t.in.Become(incident.Diagnosing, t.at, person(actor), "rejected", "the plan was rejected")
		}
		return nil
	})
}

// CancelRun stops a run: at once before it has begun, and at the end of the
// open step when it is being carried out.
func (p People) CancelRun(ctx context.Context, runID, actor, why string) error {
	var ask *incident.Work
	err := p.onRun(ctx, runID, func(t *turn, run *incident.Run) error {
		ask = nil
		if run.EndedAt.IsZero() {
			switch run.Status {
			case runbooks.RunPlanned, runbooks.RunWaiting:
				t.rule(run, runbooks.RunCancelled, "cancelled by "+actor+suffix(why))
				if t.in.Status == incident.AwaitingApproval {
					return t.in.Become(incident.Diagnosing, t.at, person(actor), "cancelled", "the run was cancelled")
				}
				return nil
			case runbooks.RunRunning:
				var err error
				ask, err = t.stop(run, actor, why)
				return err
			case runbooks.RunVerified, runbooks.RunUndone, runbooks.RunRefuted, runbooks.RunUnknown,
				runbooks.RunRefused, runbooks.RunRejected, runbooks.RunCancelled, runbooks.RunFailed:
			}
		}
		return fault.New(fault.Conflict, "run %s is over: %s", run.ID, run.Status)
	})
	if err == nil && ask != nil {
		p.cancel(ask.Agent, ask.JobID, "cancelled by "+actor+suffix(why))
	}
	return err
}

// stop takes a run back that no agent has been sent yet, and else returns the
// work that the agent is to be asked to end.
func (t *turn) stop(run *incident.Run, actor, why string) (ask *incident.Work, err error) {
	t.in.Note(t.at, person(actor), incident.EventRun, "cancel_asked", actor+" asked to stop "+run.Runbook+suffix(why), map[string]string{"run": run.ID})
	w := t.in.Work
	if w == nil || w.RunID != run.ID {
		return nil, nil //nolint:nilnil // nobody works on it
	}
	// The first lease makes the fence 1: a job that still has 0 was never sent.
	taken, err := t.tx.FinishJob(t.ctx, w.JobID, 0, store.JobCancelled, nil, t.at)
	if fault.Is(err, fault.Conflict) || err == nil && !taken {
		run.StopAsked = "cancelled by " + actor + suffix(why) // the agent may be away now
		if run.Paused != "" {                                 // its agent has let it go, and takes it again to end it
			run.Paused = ""
			t.queues = append(t.queues, agentQueue(w.Agent))
			return nil, t.tx.ResumeJob(t.ctx, w.JobID, t.at)
		}
		return w, nil
	}
	if err != nil {
		return nil, err
	}
	t.in.Work = nil
	text := "cancelled by " + actor + " before it began" + suffix(why)
	run.Result = &runbooks.RunResult{PlanDigest: run.Plan.Digest, Status: runbooks.RunCancelled, Why: text, Steps: []runbooks.StepResult{}, EndedAt: t.at}
	t.end(run, runbooks.RunCancelled, text)
	if t.in.Status == incident.Escalated {
		return nil, limits.Release(t.ctx, t.tx, run.ID)
	}
	return nil, nil //nolint:nilnil // there is nothing to ask for
}

// PauseRun stops a run at the end of its open step, until somebody resumes it.
// Its time goes on: a run that is resumed after its deadline is taken back.
func (p People) PauseRun(ctx context.Context, runID, actor, why string) error {
	var w *incident.Work
	err := p.onRun(ctx, runID, func(t *turn, run *incident.Run) error {
		w = t.in.Work
		switch {
		case run.Status != runbooks.RunRunning || w == nil || w.RunID != run.ID:
			return fault.New(fault.Conflict, "run %s is %s, and nobody works on it", run.ID, run.Status)
		case run.Paused != "":
			return fault.New(fault.Conflict, "run %s is paused already: %s", run.ID, run.Paused).WithHint("secondline run resume %s", run.ID)
		}
		run.Paused = "paused by " + actor + suffix(why)
		t.in.Note(t.at, person(actor), incident.EventRun, "paused", run.Runbook+": "+run.Paused, map[string]string{"run": run.ID})
		return t.tx.PauseJob(t.ctx, w.JobID)
	})
	if err == nil {
		p.recall(w.Agent, w.JobID, "paused by "+actor+suffix(why))
	}
	return err
}

// ResumeRun lets a paused run go on, when what it held is still free.
func (p People) ResumeRun(ctx context.Context, runID, actor, why string) error {
	return p.onRun(ctx, runID, func(t *turn, run *incident.Run) error {
		w := t.in.Work
		if run.Paused == "" || w == nil || w.RunID != run.ID {
			return fault.New(fault.Conflict, "run %s is %s, and not paused", run.ID, run.Status)
		}
		if err := limits.Extend(t.ctx, t.tx, run.Plan, run.ID, t.at); err != nil {
			return err
		}
		run.Paused, w.Deadline = "", t.at.Add(run.Plan.WorstCase+runSlack)
		t.in.Note(t.at, person(actor), incident.EventRun, "resumed", actor+" resumed "+run.Runbook+suffix(why), map[string]string{"run": run.ID})
		t.queues = append(t.queues, agentQueue(w.Agent))
		return t.tx.ResumeJob(t.ctx, w.JobID, t.at)
	})
}

func (p People) onRun(ctx context.Context, runID string, do func(*turn, *incident.Run) error) error {
	in, _, err := p.FindRun(ctx, runID)
	if err != nil {
		return err
	}
	return p.update(ctx, in.ID, func(t *turn) error {
		run := t.in.FindRun(runID)
		if run == nil {
			return fault.New(fault.NotFound, "there is no run %s", runID)
		}
		return do(t, run)
	})
}

// FindRun returns a run with its incident.
func (p People) FindRun(ctx context.Context, runID string) (*incident.Incident, *incident.Run, error) {
	in, err := p.store.FindIncidentByRun(ctx, runID)
	if err != nil {
		return nil, nil, err
	}
	run := in.FindRun(runID)
	if run == nil {
		return nil, nil, fault.New(fault.NotFound, "there is no run %s", runID)
	}
	return in, run, nil
}

func suffix(note string) string {
	if note == "" {
		return ""
	}
	return ": " + note
}
