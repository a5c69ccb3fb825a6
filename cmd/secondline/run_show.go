package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/secondline-ops/secondline/controller/api"
	"github.com/secondline-ops/secondline/runbooks"
)

func runList(env *environment, conn *connection) *cobra.Command {
	var q api.RunQuery
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List runs, newest incident first",
		Example: `  secondline run list --status awaiting_approval
  secondline run list --incident 12 -o json`,
		Args: exactly(0),
	}
	out := addOutput(cmd)
	cmd.Flags().StringVar(&q.Incident, "incident", "", "only those of the incident (number or id)")
	cmd.Flags().StringVar(&q.Status, "status", "", "only with this status")
	cmd.Flags().IntVar(&q.Limit, "limit", 50, "about so many")
	cmd.Flags().StringVar(&q.Cursor, "cursor", "", "go on after a page: its next_cursor")
	cmd.RunE = conn.askBriefly(func(ctx context.Context, client *api.Client, _ []string) error {
		list, err := client.ListRuns(ctx, q)
		if err != nil {
			return err
		}
		return out.write(env.stdout, list, func(w io.Writer) {
			rows := [][]string{{"RUN", "INCIDENT", "RUNBOOK", "TARGET", "STATUS", "ASKED BY", "WHY"}}
			for _, r := range list.Runs {
				status := r.Status
				if r.Paused != "" {
					status = "paused"
				}
				rows = append(rows, []string{r.ID, fmt.Sprint(r.Number), r.Runbook, r.Target, status, r.RequestedBy, cmp.Or(r.Paused, r.Why)})
			}
			columns(w, rows)
			more(w, list.NextCursor)
		})
	})
	return cmd
}

func runShow(env *environment, conn *connection) *cobra.Command {
	var transcript bool
	cmd := &cobra.Command{
		Use:     "show RUN",
		Short:   "Show a run: its plan, who decided, how each step went",
		Example: `  secondline run show run-… --transcript`,
		Args:    exactly(1), ValidArgsFunction: conn.completeRuns(""),
	}
	out := addOutput(cmd)
	cmd.Flags().BoolVar(&transcript, "transcript", false, "also the commands with what they wrote")
	cmd.RunE = conn.askBriefly(func(ctx context.Context, client *api.Client, args []string) error {
		view, err := client.Plan(ctx, args[0])
		if err != nil {
			return err
		}
		if view.Run, err = client.FindRun(ctx, args[0]); err != nil {
			return err
		}
		return out.write(env.stdout, view, func(w io.Writer) { showRun(w, env.paints(w), view, transcript) })
	})
	return cmd
}

func showRun(w io.Writer, p paint, view api.PlanView, transcript bool) {
	run := view.Run
	fmt.Fprintln(w, p.as(bold, oneLine(fmt.Sprintf("run %s of incident %d: %s", run.ID, run.Number, standing(run)))))
	if view.Plan == nil {
		say(w, "  %s on %s; there is no plan yet", run.Runbook, run.Target)
	} else {
		showPlan(w, p, view)
	}
	for _, d := range view.Decisions {
		verb := "rejected"
		if d.Approved {
			verb = "approved"
		}
		say(w, "  %s by %s at %s %s", verb, d.By, clock(d.At), d.Why)
	}
	showSteps(w, p, run)
	if run.Missing > 0 {
		say(w, "to approve it: %s", approveHint(run))
	}
	if run.Paused != "" {
		say(w, "to let it go on: secondline run resume %s", run.ID)
	}
	if !transcript {
		return
	}
	for _, s := range run.Steps {
		for _, e := range s.Transcript {
			say(w, "%s  %s $ %s  (exit %d, %s)", clock(e.At), s.ID, e.Command, e.ExitCode, e.Took.Round(time.Millisecond))
			for _, text := range []string{e.Stdout, e.Stderr, e.Error} {
				for line := range strings.Lines(text) {
					say(w, "    | %s", strings.TrimSuffix(line, "\n"))
				}
			}
		}
	}
}

// runTurn is a command that turns a run in work.
func runTurn(env *environment, conn *connection, use, short, example string, do func(*api.Client, context.Context, string, string) (api.Run, error)) *cobra.Command {
	var why string
	cmd := &cobra.Command{
		Use: use + " RUN", Short: short, Example: "  secondline run " + use + " run-… --why \"" + example + "\"",
		Args: exactly(1), ValidArgsFunction: conn.completeRuns(""),
	}
	out := addOutput(cmd)
	cmd.Flags().StringVar(&why, "why", "", "for the timeline")
	cmd.RunE = conn.askBriefly(func(ctx context.Context, client *api.Client, args []string) error {
		run, err := do(client, ctx, args[0], why)
		if err != nil {
			return err
		}
		return out.write(env.stdout, run, func(w io.Writer) { say(w, "run %s: %s", run.ID, standing(run)) })
	})
	return cmd
}

// standing is the status of a run, and that it is paused.
func standing(run api.Run) string {
	text := strings.ReplaceAll(run.Status, "_", " ")
	if runbooks.RunStatus(run.Status) == runbooks.RunWaiting && run.Missing == 0 {
		text = "approved, and waits for its turn: secondline incident why " + fmt.Sprint(run.Number)
	}
	if run.Paused != "" {
		text += ", " + run.Paused
	}
	return text
}
