package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/secondline-ops/secondline/controller/api"
	"github.com/secondline-ops/secondline/controller/intake"
	"github.com/secondline-ops/secondline/controller/intake/sources"
	"github.com/secondline-ops/secondline/internal/fault"
)

func signalCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "signal",
		Short: "Hand in alerts, try how they are read, see what became of them",
	}
	conn := addConnection(env, cmd)
	return group(cmd, signalSend(env, conn), signalTest(env), signalList(env, conn), signalShow(env, conn), signalWhy(env, conn))
}

// sending is what signal send was told on the command line.
type sending struct {
	source, title, severity, state, host, description, fingerprint string
	labels                                                         []string
}

func signalSend(env *environment, conn *connection) *cobra.Command {
	var s sending
	cmd := &cobra.Command{
		Use:   "send [FILE]",
		Short: "Hand in a signal: a body as a source sends it, or one made of flags",
		Long: `Hands in the body in FILE (- is standard input) as the source would, or, with --title, a signal of our own form.
It is answered when it is stored; what becomes of it follows in a moment: secondline signal show ID.`,
		Example: `  secondline signal send --title "disk almost full" --host db1 --severity critical --label mountpoint=/var
  secondline signal send --source alertmanager alert.json
  df -h / | secondline signal send --title "look at this" --host db1 --description "$(cat)"`,
		Args: atMostOne(),
	}
	out := addOutput(cmd)
	f := cmd.Flags()
	f.StringVar(&s.source, "source", "", "where it comes from: alertmanager, generic, generic/NAME … (generic when made of flags)")
	f.StringVar(&s.title, "title", "", "what is wrong, in a few words")
	f.StringVar(&s.severity, "severity", "", "critical, high, warning or info")
	f.StringVar(&s.state, "state", "firing", "firing or resolved")
	f.StringVar(&s.host, "host", "", "where")
	f.StringVar(&s.description, "description", "", "more words")
	f.StringVar(&s.fingerprint, "fingerprint", "", "what makes two signals the same; else title, host and labels")
	f.StringArrayVar(&s.labels, "label", nil, "name=value; may be given several times")
	completeSources(cmd)
	cmd.RunE = conn.askBriefly(func(ctx context.Context, client *api.Client, args []string) error {
		source, body, err := s.body(env, args)
		if err != nil {
			return err
		}
		answer, err := client.PostSignal(ctx, source, "application/json", body)
		if err != nil {
			return err
		}
		return showAccepted(env, out, answer)
	})
	return cmd
}

// body returns what is to be sent: the file, or a signal of the flags.
func (s sending) body(env *environment, args []string) (source string, body []byte, err error) {
	source = s.source
	if source == "" {
		source = "generic"
	}
	switch {
	case len(args) == 1 && s.title != "":
		return "", nil, usageError{fault.New(fault.Invalid, "give either FILE or --title")}
	case len(args) == 1:
		body, err = readInput(env, args[0])
		return source, body, err
	case s.title == "":
		return "", nil, usageError{fault.New(fault.Invalid, "there is nothing to send").WithHint("give FILE (- for standard input) or --title")}
	}
	labels, err := pairs("label", s.labels)
	if err != nil {
		return "", nil, err
	}
	entry := map[string]any{"title": s.title, "state": s.state, "labels": labels}
	for key, value := range map[string]string{
		"severity": s.severity, "host": s.host, "description": s.description, "fingerprint": s.fingerprint,
	} {
		if value != "" {
			entry[key] = value
		}
	}
	if body, err = json.Marshal(entry); err != nil {
		return "", nil, fmt.Errorf("encode signal: %w", err)
	}
	return source, body, nil
}

// accepted is the part of intake's answer that people want to see.
type accepted struct {
	Accepted int    `json:"accepted"`
	BodyID   string `json:"body_id"`
	Unmapped bool   `json:"unmapped"`
	Signals  []struct {
		ID     string `json:"id"`
		Action string `json:"action"`
		Reason string `json:"reason"`
	} `json:"signals"`
}

func showAccepted(env *environment, out *format, answer json.RawMessage) error {
	var a accepted
	if err := json.Unmarshal(answer, &a); err != nil {
		return fault.Wrap(fault.Internal, err, "understand the answer")
	}
	var whole any = a
	if err := json.Unmarshal(answer, &whole); err != nil {
		return fault.Wrap(fault.Internal, err, "understand the answer")
	}
	return out.write(env.stdout, whole, func(w io.Writer) {
		if a.Unmapped {
			say(w, "stored, but it was not understood as a signal; try: secondline signal test --source … FILE")
			say(w, "what became of it: secondline signal show %s", a.BodyID)
			return
		}
		say(w, "accepted %d", a.Accepted)
		for _, s := range a.Signals {
			say(w, "  %s  %s: %s", s.ID, s.Action, s.Reason)
		}
	})
}

func completeSources(cmd *cobra.Command) {
	var names []string
	for _, p := range sources.All() {
		names = append(names, p.Name())
	}
	_ = cmd.RegisterFlagCompletionFunc("source", cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp))
}

func signalTest(env *environment) *cobra.Command {
	var source, contentType string
	cmd := &cobra.Command{
		Use:   "test FILE",
		Short: "Show how a body would be read; nothing is stored or sent",
		Long:  `Reads the body in FILE (- is standard input) as that source's and shows the signals in it. Exit code 1 when there are none.`,
		Example: `  secondline signal test --source alertmanager alert.json
  secondline signal test --source generic/backup - -o json < signal.json`,
		Args: exactly(1),
	}
	out := addOutput(cmd)
	cmd.Flags().StringVar(&source, "source", "", "how to read it: alertmanager, generic …")
	cmd.Flags().StringVar(&contentType, "content-type", "application/json", "what the sender would say that it is")
	_ = cmd.MarkFlagRequired("source")
	completeSources(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		parser, _, err := sources.Find(source)
		if err != nil {
			return err
		}
		body, err := readInput(env, args[0])
		if err != nil {
			return err
		}
		d := intake.Describe(parser.Parse(body, contentType, time.Now()))
		if err := out.write(env.stdout, d, func(w io.Writer) { showDescription(w, d) }); err != nil {
			return err
		}
		if d.Unmapped {
			return exitCode(fault.ExitFailed)
		}
		return nil
	}
	return cmd
}

func showDescription(w io.Writer, d intake.Description) {
	if d.Unmapped {
		say(w, "not understood: %s", d.Problem)
		return
	}
	for i, s := range d.Signals {
		say(w, "%d. %s", i+1, s.Title)
		say(w, "   %s, %s, severity %s", s.Kind, s.State, s.Severity)
		for _, r := range s.Resources {
			say(w, "   about     %s (from %s)", r.Value, r.From)
		}
		say(w, "   identity  %s (from %s)", s.Identity, s.IdentityFrom)
		if len(s.Labels) > 0 {
			say(w, "   labels    %s", pairText(s.Labels))
		}
	}
}

func signalList(env *environment, conn *connection) *cobra.Command {
	var q api.SignalQuery
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List signals, newest first",
		Example: `  secondline signal list --incident 12
  secondline signal list --source alertmanager --limit 20 -o json`,
		Args: exactly(0),
	}
	out := addOutput(cmd)
	cmd.Flags().StringVar(&q.Incident, "incident", "", "only those of the incident (number or id)")
	cmd.Flags().StringVar(&q.Source, "source", "", "only those of the source")
	cmd.Flags().IntVar(&q.Limit, "limit", 50, "at most so many")
	cmd.Flags().StringVar(&q.Cursor, "cursor", "", "go on after a page: its next_cursor")
	cmd.RunE = conn.askBriefly(func(ctx context.Context, client *api.Client, _ []string) error {
		list, err := client.ListSignals(ctx, q)
		if err != nil {
			return err
		}
		return out.write(env.stdout, list, func(w io.Writer) {
			rows := [][]string{{"ID", "SOURCE", "STATE", "SEVERITY", "ACTION", "TITLE"}}
			for _, s := range list.Signals {
				rows = append(rows, []string{s.ID, s.Source, s.State, s.Severity, s.Action, s.Title})
			}
			columns(w, rows)
			more(w, list.NextCursor)
		})
	})
	return cmd
}

// more says how to see the next page.
func more(w io.Writer, cursor string) {
	if cursor != "" {
		say(w, "there is more: --cursor %s", cursor)
	}
}

func signalShow(env *environment, conn *connection) *cobra.Command {
	var raw bool
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show a signal in normal form, and what became of it",
		Example: `  secondline signal show 4f9c…
  secondline signal show 4f9c… --raw | jq`,
		Args: exactly(1),
	}
	out := addOutput(cmd)
	cmd.Flags().BoolVar(&raw, "raw", false, "only the body that it came in, byte for byte (but without control bytes on a terminal); for engineers")
	cmd.RunE = conn.askBriefly(func(ctx context.Context, client *api.Client, args []string) error {
		s, err := client.FindSignal(ctx, args[0])
		if err != nil {
			return err
		}
		if raw {
			return writeBody(env, s)
		}
		return out.write(env.stdout, s, func(w io.Writer) { showSignal(w, s) })
	})
	return cmd
}

func writeBody(env *environment, s api.Signal) error {
	if s.Body == nil {
		return fault.New(fault.NotFound, "the body of signal %s is not kept any more", s.ID)
	}
	if s.Body.Withheld {
		return fault.New(fault.Denied, "raw bodies are for engineers, since they may hold secrets").
			WithHint("without --raw you see everything but the secrets")
	}
	data := s.Body.Data
	if terminal(env.stdout) {
		data = []byte(clean(string(data)))
	}
	_, err := env.stdout.Write(data)
	return err
}

func showSignal(w io.Writer, s api.Signal) {
	say(w, "%s", s.Title)
	rows := [][]string{
		{"  source", s.Source},
		{"  state", s.State + " (said: " + orDash(s.StateRaw) + ")"},
		{"  severity", s.Severity + " (said: " + orDash(s.SeverityRaw) + ")"},
		{"  entity", orDash(s.Entity)},
		{"  received", clock(s.ReceivedAt)},
		{"  starts", clock(s.StartsAt)},
		{"  identity", s.Identity + " (from " + s.IdentityFrom + ")"},
		{"  labels", pairText(s.Labels)},
		{"  annotations", pairText(s.Annotations)},
	}
	for _, l := range s.Links {
		rows = append(rows, []string{"  link", l})
	}
	in := "none yet"
	if s.IncidentID != nil {
		in = *s.IncidentID
	}
	columns(w, append(rows, []string{"  incident", in}, []string{"  became", s.Action + ": " + s.Reason}))
}

func signalWhy(env *environment, conn *connection) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "why ID",
		Short:   "Explain what became of a signal, from records",
		Example: `  secondline signal why 4f9c…`,
		Args:    exactly(1),
	}
	out := addOutput(cmd)
	cmd.RunE = conn.askBriefly(func(ctx context.Context, client *api.Client, args []string) error {
		why, err := client.SignalWhy(ctx, args[0])
		if err != nil {
			return err
		}
		return out.write(env.stdout, why, func(w io.Writer) { showWhy(w, why, "") })
	})
	return cmd
}

// showWhy shows a tree of reasons.
func showWhy(w io.Writer, why api.Why, indent string) {
	if why.Question != "" {
		say(w, "%s%s", indent, why.Question)
	}
	if why.Answer != "" {
		say(w, "%s  %s", indent, why.Answer)
	}
	for _, b := range why.Because {
		showWhy(w, b, indent+"  ")
	}
}
