package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/controller/inventory"
	"github.com/secondline-ops/secondline/controller/schedule"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
)

// checkWithin is how long an agent may take for a health check.
const checkWithin = 2 * time.Minute

// runChecks sends the health checks that are due. Due times are rows: a check
// that was missed while no controller ran is due at once, and once.
func (a *App) runChecks(ctx context.Context) error {
	s := a.settings.Load()
	if len(s.Checks) == 0 {
		return nil
	}
	states, err := a.o.Store.ListChecks(ctx)
	if err != nil {
		return fmt.Errorf("list checks: %w", err)
	}
	known := map[string]store.CheckState{}
	for _, st := range states {
		known[st.Name+"\x00"+st.Target] = st
	}
	var errs []error
	for _, check := range s.Checks {
		for _, host := range checkTargets(s.Inventory, check) {
			st, ok := known[check.Name+"\x00"+host.ID]
			if !ok {
				st = store.CheckState{Name: check.Name, Target: host.ID}
			}
			errs = append(errs, a.sendCheck(ctx, s.Inventory, check, host, st))
		}
	}
	return errors.Join(errs...)
}

func checkTargets(inv *inventory.Inventory, check *diagnostics.Check) []entity.Entity {
	var hosts []entity.Entity
	for _, e := range inv.List() {
		if e.Kind == entity.Host && check.Targets.Matches(e) {
			hosts = append(hosts, e)
		}
	}
	return hosts
}

func (a *App) sendCheck(ctx context.Context, inv *inventory.Inventory, check *diagnostics.Check, host entity.Entity, st store.CheckState) error {
	cron, err := schedule.Parse(check.Schedule)
	if err != nil {
		return err // refused at load; kept for a schedule that the zone data no longer knows
	}
	now := a.o.Now()
	next := cron.Next(now)
	if next.IsZero() {
		return nil // a day that never comes
	}
	if st.DueAt.IsZero() || st.DueAt.After(next) { // new, or more often than before, or the clock was set back
		st.DueAt = next
		return a.o.Store.SaveCheck(ctx, st)
	}
	agent := inventory.AgentFor(host)
	if now.Before(st.DueAt) || !a.isEnrolled(agent) {
		return nil
	}
	if open, err := a.checkInFlight(ctx, st.JobID); err != nil || open {
		return err // one at a time: an agent that is away must not come back to a thousand
	}
	// The id is the due time, so that two controllers send the same check once.
	id := fmt.Sprintf("check-%s-%s-%d", check.Name, host.ID, st.DueAt.Unix())
	j := job.Job{
		ID: id, Kind: job.Check, Target: targetOf(inv, host), Deadline: now.Add(checkWithin),
		Check: &job.CheckSpec{Name: check.Name, Source: job.Document{Name: check.File, Digest: check.Digest, Body: check.Source}},
	}
	payload, err := json.Marshal(j)
	if err != nil {
		return fmt.Errorf("encode check %s: %w", id, err)
	}
	added := false
	err = a.o.Store.Update(ctx, func(tx store.Tx) error {
		added, err = tx.Enqueue(ctx, store.Job{
			ID: id, Queue: agentQueue(agent), Kind: string(job.Check), Key: id, Payload: payload,
			State: store.JobQueued, RunAt: now, Deadline: j.Deadline, CreatedAt: now,
		})
		return err
	})
	if err != nil {
		return err
	}
	if !added { // another controller was faster, or this one ended before it could note it
		due := st.DueAt
		if st, err = a.checkState(ctx, check.Name, host.ID); err != nil || !st.DueAt.Equal(due) {
			return err
		}
	}
	st.DueAt, st.JobID = next, id
	a.agents.Wake(agent)
	return a.o.Store.SaveCheck(ctx, st)
}

// checkInFlight reports whether the check that was sent last is still awaited.
func (a *App) checkInFlight(ctx context.Context, jobID string) (bool, error) {
	if jobID == "" {
		return false, nil
	}
	row, err := a.o.Store.FindJob(ctx, jobID)
	if fault.Is(err, fault.NotFound) {
		return false, nil
	}
	return !ended(row.State), err
}

func ended(s store.JobState) bool {
	switch s {
	case store.JobDone, store.JobFailed, store.JobCancelled:
		return true
	case store.JobQueued, store.JobLeased, store.JobPaused:
		return false
	}
	return false
}

// checkSignal is the body of the signal that a check's result becomes: the same
// as anyone may post to /v1/signals/generic.
type checkSignal struct {
	Title       string            `json:"title"`
	State       string            `json:"state"`
	Severity    string            `json:"severity"`
	Host        string            `json:"host"`
	Fingerprint string            `json:"fingerprint"`
	Description string            `json:"description"`
	Labels      map[string]string `json:"labels"`
}

// receiveCheck turns a check's result into a signal when it says something new:
// a failed one fires, a held one after a failed one is a "resolved". One that
// cannot tell changes nothing but its own state.
func (a *App) receiveCheck(ctx context.Context, agent string, row store.Job, report job.Report) error {
	switch {
	case row.Queue != agentQueue(agent):
		return fault.New(fault.Denied, "job %s does not belong to agent %s", row.ID, agent)
	case ended(row.State):
		return nil // told before
	case report.Fence < row.Fence:
		return fault.New(fault.Conflict, "job %s was leased again since: fence %d is below %d", row.ID, report.Fence, row.Fence)
	}
	var sent job.Job
	if err := json.Unmarshal(row.Payload, &sent); err != nil {
		return fmt.Errorf("decode check %s: %w", row.ID, err)
	}
	truth, text := expr.CannotTell, problemText(report)
	if m := report.Measurement; m != nil && report.Status == job.Done {
		truth, text = m.Truth, m.Text
	}
	st, err := a.checkState(ctx, sent.Check.Name, sent.Target.Entity.ID)
	if err != nil {
		return err
	}
	if truth == expr.False || (truth == expr.True && st.Truth == string(expr.False)) {
		if err := a.signalCheck(ctx, sent, truth, text); err != nil {
			return err
		}
	}
	st.LastAt, st.LastText, st.JobID = a.o.Now(), text, ""
	if truth != expr.CannotTell {
		st.Truth = string(truth)
	}
	if err := a.o.Store.SaveCheck(ctx, st); err != nil {
		return err
	}
	return a.o.Store.Update(ctx, func(tx store.Tx) error {
		_, err := tx.FinishJob(ctx, row.ID, report.Fence, store.JobDone, nil, a.o.Now())
		return err
	})
}

func (a *App) checkState(ctx context.Context, name, target string) (store.CheckState, error) {
	all, err := a.o.Store.ListChecks(ctx)
	if err != nil {
		return store.CheckState{}, fmt.Errorf("list checks: %w", err)
	}
	for _, st := range all {
		if st.Name == name && st.Target == target {
			return st, nil
		}
	}
	return store.CheckState{Name: name, Target: target}, nil
}

func (a *App) signalCheck(ctx context.Context, sent job.Job, truth expr.Truth, text string) error {
	title, severity := sent.Check.Name, "warning"
	labels := map[string]string{"alertname": sent.Check.Name, "check": sent.Check.Name}
	for _, c := range a.settings.Load().Checks {
		if c.Name == sent.Check.Name {
			title, severity = c.Title, c.Severity
		}
	}
	state := "firing"
	if truth == expr.True {
		state = "resolved"
	}
	body, err := json.Marshal(checkSignal{
		Title: title + " on " + sent.Target.Entity.ID, State: state, Severity: severity, Host: sent.Target.Entity.ID,
		Fingerprint: "check/" + sent.Check.Name + "/" + sent.Target.Entity.ID, Description: text, Labels: labels,
	})
	if err != nil {
		return fmt.Errorf("encode check signal: %w", err)
	}
	_, err = a.inbox.Accept(ctx, "generic/check", "application/json", body)
	return err
}
