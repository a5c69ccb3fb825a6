package trial

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/controller/api"
	"github.com/secondline-ops/secondline/examples/lab/bench"
	"github.com/secondline-ops/secondline/examples/lab/company"
	"github.com/secondline-ops/secondline/examples/lab/faults"
)

// The times of watching Secondline.
const (
	// watchAtLeast is so that what follows the first incident is seen as well, and
	// a false alarm.
	watchAtLeast = 15 * time.Second
	lateLimit    = 10 * time.Second // to read what it has at its deadline
)

// Secondline measures the Secondline that the company runs: alerts reach it by
// themselves, and what it says and does is read from its API.
type Secondline struct{ Release string }

// Name implements Tool.
func (Secondline) Name() string { return "secondline" }

// Version implements Tool.
func (s Secondline) Version() string { return s.Release }

// Own implements Tool: the controller's data, the agents' journals with the
// evidence that they preserve, and its units.
func (Secondline) Own() []bench.Declared {
	return []bench.Declared{
		{Kind: bench.KindFile, Name: "/var/lib/secondline/**"},
		{Kind: bench.KindFile, Name: "/var/lib/secondline-agent/**"},
		{Kind: bench.KindUnit, Name: "secondline-controller.service"},
		{Kind: bench.KindUnit, Name: "secondline-agent.service"},
	}
}

// Prepare implements Tool: it runs already.
func (Secondline) Prepare(context.Context, *company.Company) error { return nil }

// Complain implements Tool.
func (Secondline) Complain(ctx context.Context, c *company.Company, fault faults.Case) error {
	return c.Complain(ctx, fault)
}

// Ask implements Tool: it watches until every incident has come to rest. Every
// case has an incident, since a complaint opens one, too.
func (Secondline) Ask(ctx context.Context, t Task) (Outcome, error) {
	var out Outcome
	limited, cancel := context.WithTimeout(ctx, t.Limit)
	defer cancel()
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); ; {
		incidents, err := findIncidents(limited, t)
		if err == nil {
			note(&out, incidents, t)
			if len(incidents) > 0 && time.Since(began) >= watchAtLeast && !slices.ContainsFunc(incidents, atWork) {
				out.Answer, err = answer(ctx, t, incidents)
				return out, failure(err)
			}
		}
		select {
		case <-limited.Done():
			late, cancel := context.WithTimeout(ctx, lateLimit)
			defer cancel()
			if incidents, err = findIncidents(late, t); err == nil {
				out.Answer, err = answer(late, t, incidents)
			}
			return out, failure(err)
		case <-tick.C:
		}
	}
}

// leftOpen says whether something is still wrong for Secondline, of which no
// other incident is told. Of a complaint of which it finds nothing it says that,
// too.
func leftOpen(in api.Incident) bool {
	switch in.Status {
	case "resolved", "closed", "merged", "suppressed":
		return false
	}
	return true
}

// failure is the tool's: its API is a part of it.
func failure(err error) error {
	if err == nil {
		return nil
	}
	return &ToolError{err}
}

// atWork says whether the incident may still change by itself. One that waits
// for a person has nothing more to say.
func atWork(in api.Incident) bool {
	switch in.Status {
	case "resolved", "closed", "escalated", "awaiting_approval", "merged":
		return false
	}
	return true
}

// note tells what the incidents say now, and remembers when all was resolved.
func note(out *Outcome, incidents []api.Incident, t Task) {
	var hypotheses []bench.Hypothesis
	for _, in := range incidents {
		for _, h := range in.Hypotheses {
			hypotheses = append(hypotheses, hypothesisOf(h))
		}
	}
	t.Heard(hypotheses)
	done := len(incidents) > 0 && !slices.ContainsFunc(incidents, func(in api.Incident) bool {
		return in.Status != "resolved" && in.Status != "closed" && in.Status != "merged"
	})
	switch {
	case !done:
		out.ToResolved = nil
	case out.ToResolved == nil:
		out.ToResolved = since(t.Injected)
	}
}

func findIncidents(ctx context.Context, t Task) ([]api.Incident, error) {
	var list api.IncidentList
	if err := t.Company.Get(ctx, "/v1/incidents?limit=100", &list); err != nil {
		return nil, err
	}
	var out []api.Incident
	for _, summary := range list.Incidents {
		if summary.OpenedAt.Before(t.Injected.Add(-time.Second)) {
			continue // before the snapshot
		}
		var in api.Incident
		if err := t.Company.Get(ctx, "/v1/incidents/"+url.PathEscape(summary.ID), &in); err != nil {
			return nil, err
		}
		out = append(out, in)
	}
	return out, nil
}

// answer says in the words of the benchmark what the incidents say: the
// hypotheses of all of them, the surest first.
func answer(ctx context.Context, t Task, incidents []api.Incident) (bench.Answer, error) {
	var out bench.Answer
	seen := map[string]bool{}
	for _, in := range incidents {
		claims := false
		for _, h := range in.Hypotheses {
			hypothesis := hypothesisOf(h)
			claims = claims || hypothesis.Claims()
			if key := fmt.Sprint(h.Cause, hypothesis.Entity, h.Object); !seen[key] {
				seen[key] = true
				out.Hypotheses = append(out.Hypotheses, hypothesis)
			}
		}
		out.Unknown = out.Unknown || !claims && leftOpen(in)
		if claims && len(out.Chain) == 0 {
			for _, link := range in.Chain {
				out.Chain = append(out.Chain, host(link.Entity))
			}
			out.Chain = slices.Compact(out.Chain)
		}
		for _, run := range in.Runs {
			action, err := actionOf(ctx, t, run)
			if err != nil {
				return out, err
			}
			if action != nil {
				out.Actions = append(out.Actions, *action)
			}
		}
	}
	slices.SortStableFunc(out.Hypotheses, sureness)
	return out, nil
}

func hypothesisOf(h api.Hypothesis) bench.Hypothesis {
	return bench.Hypothesis{Cause: h.Cause, Entity: host(h.Entity), Object: h.Object, Band: bench.Band(h.Band), Probability: &h.Probability}
}

// sureness orders hypotheses: by band, and then by probability.
func sureness(a, b bench.Hypothesis) int {
	bands := []bench.Band{bench.Confirmed, bench.Likely, bench.Possible, bench.Unlikely}
	return cmp.Or(slices.Index(bands, a.Band)-slices.Index(bands, b.Band), cmp.Compare(*b.Probability, *a.Probability))
}

// host is the host of an entity such as postgres@db1.
func host(entity string) string {
	if _, at, ok := strings.Cut(entity, "@"); ok {
		return at
	}
	return entity
}

// actionOf is what a run changed, with all that its plan said it would touch;
// nil for one that changed nothing.
func actionOf(ctx context.Context, t Task, run api.Run) (*bench.Action, error) {
	if run.StartedAt.IsZero() {
		return nil, nil //nolint:nilnil // it was planned and never carried out
	}
	var view api.PlanView
	if err := t.Company.Get(ctx, "/v1/runs/"+url.PathEscape(run.ID)+"/plan", &view); err != nil {
		return nil, err
	}
	action := &bench.Action{What: run.Runbook, Entity: run.Target, Verified: run.Status == "verified"}
	if view.Plan == nil {
		return action, nil
	}
	declare := func(kind, name string) {
		action.Declares = append(action.Declares, bench.Declared{Kind: bench.Kind(kind), Name: name})
	}
	for _, step := range view.Plan.Steps {
		for _, touch := range step.Touches {
			declare(string(touch.Kind), touch.Name)
		}
		for _, word := range step.Argv { // a process that a step starts goes by the path in its command
			if path.IsAbs(word) {
				declare(string(bench.KindProcess), word)
			}
		}
	}
	return action, nil
}
