package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/secondline-ops/secondline/controller/api"
)

func runbookStats(env *environment, conn *connection) *cobra.Command {
	window := lengthOfTime(api.DefaultStatsWindow)
	cmd := &cobra.Command{
		Use: "stats [NAME]", Short: "Show how runbooks fared: verified outcomes, time, targets, autonomy and why", Args: atMostOne(),
		Long: `Asks the controller for the runs of a window, by how they ended. The time is that from the start of a run to its verified end.
With NAME also by target, the last ten runs, and how far the runbook may go by itself now, with the arithmetic.

At most the newest 20,000 runs are counted, and it says so when there are more. Runs go with their incidents
(retention.incidents), so a window beyond that finds no older ones. Dry runs count apart.`,
		Example: `  secondline runbook stats
  secondline runbook stats restart-crashed-unit --since 30d
  secondline runbook stats -o json`,
		ValidArgsFunction: conn.completeRunbooks(),
	}
	out := addOutput(cmd)
	cmd.Flags().Var(&window, "since", "length of the window, such as 90d or 12h")
	cmd.RunE = conn.askBriefly(func(ctx context.Context, client *api.Client, args []string) error {
		q := api.StatsQuery{Since: time.Now().Add(-time.Duration(window))}
		if len(args) > 0 {
			q.Runbook = args[0]
		}
		list, err := client.RunbookStats(ctx, q)
		if err != nil {
			return err
		}
		return out.write(env.stdout, list, func(w io.Writer) {
			if q.Runbook != "" && len(list.Runbooks) == 1 {
				showStats(w, env.paints(w), list.Runbooks[0], conn.address())
			} else {
				showAllStats(w, list)
			}
			if list.Truncated {
				say(w, "there are more runs in the window than are counted: these are the newest 20,000")
			}
		})
	})
	return cmd
}

func showAllStats(w io.Writer, list api.RunbookStatsList) {
	if len(list.Runbooks) == 0 {
		say(w, "no runbook has run since %s", clock(list.Since))
		return
	}
	rows := [][]string{{"RUNBOOK", "RUNS", "VERIFIED", "NOT", "UNKNOWN", "IN WORK", "MEDIAN", "LONGEST", "MAY", "TITLE"}}
	for _, s := range list.Runbooks {
		o := s.Outcomes
		rows = append(rows, []string{
			s.Runbook, fmt.Sprint(s.Runs), fmt.Sprint(o.Verified), fmt.Sprint(s.Runs - o.Verified - o.Unknown - o.InWork), fmt.Sprint(o.Unknown),
			fmt.Sprint(o.InWork), tookText(s.MedianSeconds), tookText(s.LongestSeconds), orDash(s.Level.InForce), orDash(s.Title),
		})
	}
	columns(w, rows)
}

// tookText shows seconds; no run is no time.
func tookText(seconds float64) string {
	if seconds == 0 {
		return "-"
	}
	if seconds < 10 {
		return fmt.Sprintf("%.1fs", seconds)
	}
	return span(time.Duration(seconds * float64(time.Second)))
}

func showStats(w io.Writer, p paint, s api.RunbookStats, base string) {
	fmt.Fprintln(w, p.as(bold, oneLine(s.Runbook+": "+orDash(s.Title))))
	say(w, "  runs      %d, and %d dry runs", s.Runs, s.DryRuns)
	o := s.Outcomes
	var words []string
	for _, c := range []struct {
		n    int
		what string
	}{
		{o.Verified, "verified"},
		{o.Refuted, "refuted"},
		{o.Undone, "undone"},
		{o.Unknown, "unknown"},
		{o.Refused, "refused"},
		{o.Rejected, "rejected"},
		{o.Cancelled, "cancelled"},
		{o.Failed, "failed"},
		{o.InWork, "in work"},
	} {
		if c.n > 0 {
			words = append(words, fmt.Sprintf("%d %s", c.n, c.what))
		}
	}
	say(w, "  ended     %s", orDash(strings.Join(words, ", ")))
	say(w, "  took      %s in the middle, %s at most, until verified", tookText(s.MedianSeconds), tookText(s.LongestSeconds))
	say(w, "  may       %s by itself, at most %s by its file", orDash(s.Level.InForce), orDash(s.Level.Ceiling))
	for _, because := range s.Level.Because {
		say(w, "            %s", because)
	}
	if len(s.Targets) > 0 {
		rows := [][]string{{"TARGET", "RUNS", "VERIFIED", "LAST"}}
		for _, t := range s.Targets {
			rows = append(rows, []string{t.Target, fmt.Sprint(t.Runs), fmt.Sprint(t.Verified), clock(t.LastAt)})
		}
		columns(w, rows)
	}
	if len(s.Last) > 0 {
		rows := [][]string{{"AT", "TARGET", "STATUS", "ASKED BY", "RUN", "PAGE"}}
		for _, r := range s.Last {
			rows = append(rows, []string{clock(r.At), r.Target, strings.ReplaceAll(r.Status, "_", " "), orDash(r.RequestedBy), r.ID, strings.TrimSuffix(base, "/") + r.PageURL})
		}
		columns(w, rows)
	}
}
