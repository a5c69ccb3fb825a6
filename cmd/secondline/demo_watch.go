package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/controller/api"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/remote"
)

// errEnough ends following an incident that has come to its end.
var errEnough = errors.New("enough")

// watch follows an incident live, shows it, approves the plan visibly, and
// returns the incident as it ended.
func (d *demo) watch(ctx context.Context, id string) (api.Incident, error) {
	err := d.house.people.Follow(ctx, id, 0, func(e api.Event) error {
		d.show(ctx, id, e)
		switch {
		case e.Kind == "status" && strings.Contains(string(e.Data), `"to":"awaiting_approval"`):
			return d.approve(ctx, id)
		case e.Kind == "status" && (strings.Contains(string(e.Data), `"to":"resolved"`) || strings.Contains(string(e.Data), `"to":"escalated"`)):
			return errEnough
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return api.Incident{}, err
	}
	return d.house.people.FindIncident(ctx, id)
}

// show tells one event in the words of people.
func (d *demo) show(ctx context.Context, id string, e api.Event) {
	switch e.Kind {
	case "opened":
		d.say.line("incident", "%s", e.Text)
	case "diagnosis":
		d.showDiagnosis(ctx, id)
	case "job", "approval", "escalation":
		d.say.line(e.Kind, "%s", e.Text)
	case "measurement":
		d.told = e.Text
		d.say.line("measured", "%s", e.Text)
	case "step":
		d.say.line("step", "%s", e.Text)
	case "run":
		d.told = e.Text
		d.say.line("run", "%s", e.Text)
	case "status":
		d.say.status(withoutTold(e.Text, d.told))
	}
}

// withoutTold takes what was just told off the end of a sentence, which has it
// as its reason: whole, or without the name that it began with.
func withoutTold(text, told string) string {
	if told == "" {
		return text
	}
	if short, found := strings.CutSuffix(text, ": "+told); found {
		return short
	}
	if _, why, named := strings.Cut(told, ": "); named {
		return strings.TrimSuffix(text, ": "+why)
	}
	return text
}

func (d *demo) showDiagnosis(ctx context.Context, id string) {
	in, err := d.house.people.FindIncident(ctx, id)
	if err != nil || len(in.Hypotheses) == 0 {
		return
	}
	h := in.Hypotheses[0]
	d.say.line("cause", "%s: %s (%s)", h.Band, h.Title, pairText(h.Object))
	for _, e := range h.For {
		d.say.detail("+ %s", e.Text)
	}
	for _, e := range h.Against {
		d.say.detail("- %s", e.Text)
	}
	for _, u := range diagnostics.MergeUntold(h.CannotTell) {
		d.say.detail("? %s", u.Text())
	}
}

// approve shows the plan and says yes to exactly it, as a person would.
func (d *demo) approve(ctx context.Context, id string) error {
	in, err := d.house.people.FindIncident(ctx, id)
	if err != nil {
		return err
	}
	for _, run := range in.Runs {
		if run.Status != "awaiting_approval" {
			continue
		}
		plan, err := d.house.people.Plan(ctx, run.ID)
		if err != nil {
			return err
		}
		d.say.line("plan", "%s, digest %s", run.Runbook, shortDigest(run.PlanDigest))
		d.say.text(plan.Plan.Render())
		d.say.line("approve", "the demo says yes, as you would with: secondline approve %s", remote.Quote([]string{
			run.ID, "--plan", run.PlanDigest, "--url", "http://" + d.house.app.Addr(), "--token-file", d.tokenFile(),
		}))
		_, err = d.house.people.Approve(ctx, run.ID, run.PlanDigest, "this is the demo")
		return err
	}
	return nil
}

func shortDigest(d string) string {
	_, hex, ok := strings.Cut(d, ":")
	if !ok {
		hex = d
	}
	return hex[:min(12, len(hex))]
}

// teller writes the story to a terminal or a file.
type teller struct {
	w      io.Writer
	colour bool
	began  time.Time
}

func newTeller(w io.Writer) *teller {
	return &teller{w: w, colour: terminal(w) && os.Getenv("NO_COLOR") == "", began: time.Now()}
}

func (t *teller) paint(code, text string) string {
	if !t.colour {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (t *teller) title(text string) {
	fmt.Fprintf(t.w, "\n%s\n", t.paint("1", clean(text)))
}

func (t *teller) line(label, format string, args ...any) {
	text := strings.ReplaceAll(clean(fmt.Sprintf(format, args...)), "\n", " ")
	fmt.Fprintf(t.w, "%s %s %s\n", t.paint("2", fmt.Sprintf("%5.1fs", time.Since(t.began).Seconds())), t.paint("36", fmt.Sprintf("%-11s", label)), text)
}

func (t *teller) status(text string) {
	fmt.Fprintf(t.w, "%s %s %s\n", t.paint("2", fmt.Sprintf("%5.1fs", time.Since(t.began).Seconds())), t.paint("33", fmt.Sprintf("%-11s", "->")), clean(text))
}

func (t *teller) detail(format string, args ...any) {
	fmt.Fprintf(t.w, "%19s%s\n", "", clean(fmt.Sprintf(format, args...)))
}

func (t *teller) text(block string) {
	for line := range strings.SplitSeq(strings.TrimRight(clean(block), "\n"), "\n") {
		fmt.Fprintf(t.w, "%19s%s\n", "", line)
	}
}

func (t *teller) good(format string, args ...any) {
	fmt.Fprintf(t.w, "%s %s\n", t.paint("1;32", "  ok "), clean(fmt.Sprintf(format, args...)))
}

func (t *teller) done(format string, args ...any) {
	fmt.Fprintf(t.w, "\n%s\n", t.paint("1;32", clean(fmt.Sprintf(format, args...))))
}

func (t *teller) fail(format string, args ...any) {
	fmt.Fprintf(t.w, "\n%s\n", t.paint("1;31", clean(fmt.Sprintf(format, args...))))
}
