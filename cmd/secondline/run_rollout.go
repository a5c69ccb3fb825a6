package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/secondline-ops/secondline/controller/api"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/runbooks"
)

// rolledOut is how the runs on several targets stand.
type rolledOut struct {
	Rollout string         `json:"rollout"`
	Runs    []api.PlanView `json:"runs"`
}

// rollOut asks for a runbook on several targets, shows all plans, asks once for a
// yes to all of them, and follows the waves.
func (r *running) rollOut(ctx context.Context, o runOptions, inputs map[string]string) error {
	if o.incident != "" {
		return usageError{fault.New(fault.Invalid, "runs on several targets have incidents of their own").WithHint("leave out --incident")}
	}
	started, err := r.client.StartRollout(ctx, api.RolloutRequest{Runbook: o.runbook, Targets: o.targets, Inputs: inputs, DryRun: o.dryRun})
	if err != nil {
		return err
	}
	var views []api.PlanView
	for _, run := range started.Runs {
		if r.people() {
			say(r.env.stdout, "%s", r.paint.as(bold, fmt.Sprintf("wave %d: %s", run.Wave, oneLine(run.Target))))
		}
		view, err := r.about(run).waitForPlan(ctx, api.RunStarted{Incident: run.Incident, Run: run.Run}, o.planWithin)
		if err != nil {
			return err
		}
		if r.people() && view.Plan != nil {
			showPlan(r.env.stdout, r.paint, view)
		}
		views = append(views, view)
	}
	if !o.dryRun {
		if err := r.approveAll(ctx, o, views); err != nil {
			return err
		}
		if err := r.followAll(ctx, started); err != nil {
			return err
		}
	}
	return r.finishAll(ctx, started)
}

// about watches another incident.
func (r *running) about(api.RolloutRun) *running {
	c := *r
	c.seq = 0
	return &c
}

func (r *running) approveAll(ctx context.Context, o runOptions, views []api.PlanView) error {
	var waiting []api.PlanView
	for _, v := range views {
		status := runbooks.RunStatus(v.Run.Status)
		if status == runbooks.RunPlanned {
			return fault.New(fault.Denied, "the controller's policy lets nobody carry it out on %s from here", v.Run.Target).
				WithHint("see why: secondline incident why %d", v.Run.Number)
		}
		if status == runbooks.RunWaiting { // else it is over, or was allowed
			waiting = append(waiting, v)
		}
	}
	if len(waiting) == 0 {
		return nil
	}
	if !o.yes {
		if yes, err := r.askAll(ctx, waiting); !yes {
			return err
		}
	}
	for _, v := range waiting {
		if _, err := r.client.Approve(ctx, v.Run.ID, v.Plan.Digest, o.why); err != nil {
			return err
		}
	}
	return nil
}

// askAll asks the person at the terminal. Without one it says how to approve.
func (r *running) askAll(ctx context.Context, waiting []api.PlanView) (bool, error) {
	hints := func(w io.Writer) {
		say(w, "they wait for approvals:")
		for _, v := range waiting {
			say(w, "  %s", approveHint(v.Run))
		}
	}
	if !r.people() || !terminal(r.env.stdin) || !terminal(r.env.stdout) {
		if err := r.out.write(r.env.stdout, rolledOut{Runs: waiting}, hints); err != nil {
			return false, err
		}
		return false, exitCode(fault.ExitRefused)
	}
	fmt.Fprintf(r.env.stdout, "approve these %d plans? [y/N] ", len(waiting))
	if yes, err := readYes(ctx, r.env); yes || err != nil {
		return yes, err
	}
	hints(r.env.stdout)
	return false, exitCode(fault.ExitRefused)
}

func (r *running) followAll(ctx context.Context, started api.RolloutStarted) error {
	for _, run := range started.Runs {
		var event func(api.Event)
		if r.people() {
			event = func(e api.Event) { showEvent(r.env.stdout, e) }
		}
		err := r.about(run).watch(ctx, run.Incident, run.Run, event, func(now api.Run) bool { return over(runbooks.RunStatus(now.Status)) })
		if ctx.Err() != nil {
			return fault.Wrap(fault.OutcomeUnknown, ctx.Err(), "stopped watching; the runs go on").WithHint("look again: secondline run show %s", run.Run)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// gravity orders the exit codes of runs: what nobody can account for is worse
// than what failed, and that than what was refused.
func gravity(code int) int {
	return slices.Index([]int{fault.ExitDone, fault.ExitRefused, fault.ExitFailed, fault.ExitUnknown}, code)
}

// finishAll shows how all runs ended; the exit code is that of the worst.
func (r *running) finishAll(ctx context.Context, started api.RolloutStarted) error {
	result, worst := rolledOut{Rollout: started.Rollout}, fault.ExitDone
	rows := [][]string{{"TARGET", "WAVE", "RUN", "STATUS"}}
	for _, run := range started.Runs {
		view, err := r.client.Plan(ctx, run.Run)
		if err != nil {
			return err
		}
		result.Runs = append(result.Runs, view)
		rows = append(rows, []string{oneLine(run.Target), strconv.Itoa(run.Wave), run.Run, view.Run.Status})
		if code := outcomeCode(view); gravity(code) > gravity(worst) {
			worst = code
		}
	}
	if err := r.out.write(r.env.stdout, result, func(w io.Writer) { columns(w, rows) }); err != nil {
		return err
	}
	if worst != fault.ExitDone {
		return exitCode(worst)
	}
	return nil
}
