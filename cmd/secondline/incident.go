package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/secondline-ops/secondline/controller/api"
	"github.com/secondline-ops/secondline/controller/incident"
)

func incidentCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "incident",
		Short: "See and work on incidents",
		Long:  `An incident is named by its number, as people say it aloud, or by its id.`,
	}
	conn := addConnection(env, cmd)
	group(cmd, incidentList(env, conn), incidentShow(env, conn), incidentWhy(env, conn))
	for _, act := range personActs() {
		cmd.AddCommand(incidentAct(env, conn, act))
	}
	return cmd
}

func incidentList(env *environment, conn *connection) *cobra.Command {
	var q api.IncidentQuery
	var all bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List incidents, open ones unless told otherwise",
		Example: `  secondline incident list
  secondline incident list --all --entity db1
  secondline incident list --status awaiting_approval -o json`,
		Args: exactly(0),
	}
	out := addOutput(cmd)
	f := cmd.Flags()
	f.StringSliceVar(&q.Status, "status", nil, "only with these statuses (open stands for all open ones)")
	f.BoolVar(&all, "all", false, "also those that are over")
	f.StringVar(&q.Entity, "entity", "", "only about the entity")
	f.StringVar(&q.Text, "query", "", "only with this in the title")
	f.BoolVar(&q.DryRuns, "dry-runs", false, "also what is there for dry runs only")
	f.IntVar(&q.Limit, "limit", 50, "at most so many")
	f.StringVar(&q.Cursor, "cursor", "", "go on after a page: its next_cursor")
	words := []string{"open"}
	for _, s := range incident.Statuses() {
		words = append(words, string(s))
	}
	_ = cmd.RegisterFlagCompletionFunc("status", cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("entity", conn.completeHosts())
	cmd.RunE = conn.askBriefly(func(ctx context.Context, client *api.Client, _ []string) error {
		if len(q.Status) == 0 && !all {
			q.Status = []string{"open"}
		}
		list, err := client.ListIncidents(ctx, q)
		if err != nil {
			return err
		}
		return out.write(env.stdout, list, func(w io.Writer) { showIncidents(w, list, all, time.Now()) })
	})
	return cmd
}

func showIncidents(w io.Writer, list api.IncidentList, all bool, now time.Time) {
	if len(list.Incidents) == 0 {
		if all {
			say(w, "no incidents")
			return
		}
		say(w, "no open incidents")
		return
	}
	rows := [][]string{{"NUMBER", "STATUS", "PRIORITY", "AGE", "ENTITY", "CAUSE", "TITLE"}}
	for _, in := range list.Incidents {
		cause := in.Cause
		if cause != "" {
			cause += " (" + in.Band + ")"
		}
		rows = append(rows, []string{
			fmt.Sprint(in.Number), statusWords(in), in.Priority, ago(in.OpenedAt, now), orDash(in.Entity), orDash(cause), in.Title,
		})
	}
	columns(w, rows)
	more(w, list.NextCursor)
}

// statusWords never shows a resolution that nobody measured as one that was,
// nor a run that failed as a resolution.
func statusWords(in api.Summary) string {
	standing := in.Standing()
	if standing != in.Status {
		return strings.ReplaceAll(standing, "_", " ")
	}
	if in.Unverified && !incident.Status(in.Status).Open() {
		standing += " (unverified)"
	}
	return standing
}

func incidentShow(env *environment, conn *connection) *cobra.Command {
	var follow bool
	cmd := &cobra.Command{
		Use:   "show N",
		Short: "Show an incident: what is broken, why, what would be done, what to do now",
		Example: `  secondline incident show 12
  secondline incident show 12 --follow
  secondline incident show 12 -o json`,
		Args: exactly(1), ValidArgsFunction: conn.completeIncidents(),
	}
	out := addOutput(cmd)
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what happens, and on a terminal what is being done, until interrupted")
	cmd.RunE = conn.ask(func(ctx context.Context, client *api.Client, args []string) error {
		in, err := client.FindIncident(ctx, args[0])
		if err != nil {
			return err
		}
		page := incidentPage{Incident: in, now: time.Now(), paint: env.paints(env.stdout)}
		if run := page.waiting(); run != nil {
			if page.plan, err = client.Plan(ctx, run.ID); err != nil {
				return err
			}
		}
		if err := out.write(env.stdout, in, page.show); err != nil || !follow {
			return err
		}
		return followIncident(ctx, env, client, in)
	})
	return cmd
}

// followIncident shows events as they come in, and on a terminal what is being
// done, until the person has seen enough.
func followIncident(ctx context.Context, env *environment, client *api.Client, in api.Incident) error {
	live := newLiveView(env)
	defer live.end()
	err := client.FollowLive(ctx, in.ID, in.Seq, api.Follower{Progress: live.show, Event: func(e api.Event) error {
		live.above(func() { showEvent(env.stdout, e) })
		return nil
	}})
	if ctx.Err() != nil {
		return nil // told to stop watching
	}
	return err
}

func showEvent(w io.Writer, e api.Event) {
	text := e.Text
	if text == "" {
		text = e.Reason
	}
	say(w, "%s  %-11s  %s", e.At.UTC().Format("15:04:05"), e.Kind, text)
}

func incidentWhy(env *environment, conn *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "why N",
		Short:   "Explain an incident from its records",
		Example: `  secondline incident why 12`,
		Args:    exactly(1), ValidArgsFunction: conn.completeIncidents(),
	}
	out := addOutput(cmd)
	cmd.RunE = conn.askBriefly(func(ctx context.Context, client *api.Client, args []string) error {
		why, err := client.Why(ctx, args[0])
		if err != nil {
			return err
		}
		return out.write(env.stdout, why, func(w io.Writer) { showWhy(w, why, "") })
	})
	return cmd
}

// personAct is something that a person says about an incident.
type personAct struct {
	name, short, flag, done string
	do                      func(*api.Client, context.Context, string, string) (api.Incident, error)
}

func personActs() []personAct {
	return []personAct{
		{"ack", "Say that you are looking", "note", "acknowledged", (*api.Client).Acknowledge},
		{"resolve", "Say that it is over; counted as unverified, since nobody measured it", "why", "resolved", (*api.Client).Resolve},
		{"reopen", "Have it diagnosed again", "why", "reopened", (*api.Client).Reopen},
		{"escalate", "Call the third line now, with the bundle", "why", "escalated", (*api.Client).Escalate},
		{"note", "Leave a remark on the timeline", "text", "noted", (*api.Client).Note},
	}
}

func incidentAct(env *environment, conn *connection, act personAct) *cobra.Command {
	var text string
	cmd := &cobra.Command{
		Use:     act.name + " N",
		Short:   act.short,
		Example: fmt.Sprintf("  secondline incident %s 12 --%s \"…\"", act.name, act.flag),
		Args:    exactly(1), ValidArgsFunction: conn.completeIncidents(),
	}
	out := addOutput(cmd)
	cmd.Flags().StringVar(&text, act.flag, "", "what to write beside it on the timeline")
	if act.name == "note" {
		_ = cmd.MarkFlagRequired(act.flag)
	}
	cmd.RunE = conn.askBriefly(func(ctx context.Context, client *api.Client, args []string) error {
		in, err := act.do(client, ctx, args[0], text)
		if err != nil {
			return err
		}
		return out.write(env.stdout, in, func(w io.Writer) {
			say(w, "%s incident %d (%s): %s", act.done, in.Number, statusWords(in.Summary), in.Title)
		})
	})
	return cmd
}
