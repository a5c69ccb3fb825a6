package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/secondline-ops/secondline/controller/api"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/runbooks"
)

// minPlanDigits is how much of a digest may stand for all of it.
const minPlanDigits = 12

func approveCommand(env *environment) *cobra.Command {
	var plan, why string
	var yes, wait bool
	cmd := &cobra.Command{
		Use:   "approve RUN|INCIDENT",
		Short: "Say yes to exactly the plan that you saw",
		Long: `Shows the plan of the run (or of the one that an incident waits with) and asks. An approval is for one plan: when the world
has changed since, it is void. --plan names the plan that was seen before; without a terminal, --plan or --yes is needed.`,
		Example: `  secondline approve 12
  secondline approve run-… --plan sha256:… --why "checked with the owner"
  secondline approve 12 --yes --follow`,
		Args: exactly(1),
	}
	conn := addConnection(env, cmd)
	out := addOutput(cmd)
	cmd.ValidArgsFunction = conn.completeRuns(string(runbooks.RunWaiting))
	cmd.Flags().StringVar(&plan, "plan", "", "digest of the plan that you saw (or its first digits)")
	cmd.Flags().StringVar(&why, "why", "", "for the timeline")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "approve what is shown now, without asking")
	cmd.Flags().BoolVarP(&wait, "follow", "f", false, "watch it until it is over; the exit code then says how it ended")
	cmd.RunE = conn.ask(func(ctx context.Context, client *api.Client, args []string) error {
		view, err := findWaiting(ctx, client, args[0])
		if err != nil {
			return err
		}
		r := &running{env: env, client: client, out: out, paint: env.paints(env.stdout)}
		if plan != "" {
			if err := samePlan(plan, view); err != nil {
				return err
			}
		} else if ok, err := r.decide(ctx, view, yes); !ok {
			return err
		}
		if err := r.mark(ctx, view.Run.Incident); err != nil {
			return err
		}
		run, err := client.Approve(ctx, view.Run.ID, view.Plan.Digest, why)
		if err != nil {
			return err
		}
		if wait && run.Missing > 0 {
			return r.waitsForOthers(run)
		}
		if wait {
			return r.follow(ctx, run.Incident, run.ID)
		}
		return out.write(env.stdout, run, func(w io.Writer) {
			if run.Missing > 0 {
				say(w, "approved %s on %s; %d more must say yes", run.Runbook, run.Target, run.Missing)
				return
			}
			say(w, "approved %s on %s; watch it: secondline incident show %d --follow", run.Runbook, run.Target, run.Number)
		})
	})
	return cmd
}

// decide shows the plan and asks for a yes, unless it was given before.
func (r *running) decide(ctx context.Context, view api.PlanView, yes bool) (bool, error) {
	if r.people() {
		showPlan(r.env.stdout, r.paint, view)
	}
	if yes {
		return true, nil
	}
	return r.askApproval(ctx, view)
}

// samePlan refuses when the plan that was seen is not the one that waits.
func samePlan(seen string, view api.PlanView) error {
	digest := view.Plan.Digest
	prefix, _, _ := strings.Cut(digest, ":")
	if seen == digest {
		return nil
	}
	digits := strings.TrimPrefix(seen, prefix+":")
	if len(digits) < minPlanDigits {
		return usageError{fault.New(fault.Invalid, "%q is too short to stand for a plan", seen).WithHint("give at least %d digits of its digest", minPlanDigits)}
	}
	if strings.HasPrefix(strings.TrimPrefix(digest, prefix+":"), digits) {
		return nil
	}
	return fault.New(fault.Conflict, "the plan of %s is %s, not the one that you saw", view.Run.ID, digest).
		WithHint("look at it again: secondline run show %s", view.Run.ID)
}

// findWaiting returns the plan that waits for a decision: of the run, or of the
// incident with the number or id.
func findWaiting(ctx context.Context, client *api.Client, ref string) (api.PlanView, error) {
	id := ref
	in, err := client.FindIncident(ctx, ref)
	switch {
	case err == nil:
		if id, err = waitingRun(in); err != nil {
			return api.PlanView{}, err
		}
	case !fault.Is(err, fault.NotFound):
		return api.PlanView{}, err
	}
	view, err := client.Plan(ctx, id)
	if f, ok := errors.AsType[*fault.Error](err); ok && f.Kind == fault.NotFound {
		return view, fault.New(fault.NotFound, "there is no run and no incident %q", ref).WithHint("secondline run list --status %s", runbooks.RunWaiting)
	}
	if err != nil {
		return view, err
	}
	if view.Plan == nil || view.Run.Missing == 0 {
		return view, fault.New(fault.Conflict, "run %s waits for no approval: it is %s", view.Run.ID, standing(view.Run))
	}
	return view, nil
}

func waitingRun(in api.Incident) (string, error) {
	for _, run := range in.Runs {
		if run.Missing > 0 {
			return run.ID, nil
		}
	}
	return "", fault.New(fault.Conflict, "incident %d is %s and waits for no approval", in.Number, in.Status).
		WithHint("secondline incident show %d", in.Number)
}

func rejectCommand(env *environment) *cobra.Command {
	var why string
	cmd := &cobra.Command{
		Use:   "reject RUN|INCIDENT --why TEXT",
		Short: "Say no to a plan; the next cause is looked at instead",
		Example: `  secondline reject 12 --why "the owner is working on it"
  secondline reject run-… --why "not before the release"`,
		Args: exactly(1),
	}
	conn := addConnection(env, cmd)
	out := addOutput(cmd)
	cmd.ValidArgsFunction = conn.completeRuns(string(runbooks.RunWaiting))
	cmd.Flags().StringVar(&why, "why", "", "for the timeline, and for those who come after you")
	cmd.RunE = conn.askBriefly(func(ctx context.Context, client *api.Client, args []string) error {
		if strings.TrimSpace(why) == "" {
			return usageError{fault.New(fault.Invalid, "say why").WithHint(`--why "…"`)}
		}
		view, err := findWaiting(ctx, client, args[0])
		if err != nil {
			return err
		}
		run, err := client.Reject(ctx, view.Run.ID, why)
		if err != nil {
			return err
		}
		return out.write(env.stdout, run, func(w io.Writer) { say(w, "%s", fmt.Sprintf("rejected %s on %s", run.Runbook, run.Target)) })
	})
	return cmd
}
