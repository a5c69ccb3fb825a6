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
)

// Secondline measures the Secondline that the company runs: alerts reach it by
// themselves, and what it says and does is read from its API.
type Secondline struct{ Release string }

// Name implements Tool.
func (Secondline) Name() string { return "secondline" }

// Version implements Tool.
func (s Secondline) Version() string { return s.Release }

// Own implements Tool: the controller's data, and the agents' journals with the
// evidence that they preserve.
func (Secondline) Own() []bench.Declared {
	return []bench.Declared{{Kind: bench.KindFile, Name: "/var/lib/secondline/**"}, {Kind: bench.KindFile, Name: "/var/lib/secondline-agent/**"}}
}

// Ask implements Tool: it watches until every incident has come to rest.
func (Secondline) Ask(ctx context.Context, t Task) (Outcome, error) {
	var out Outcome
	if !t.Healthy {
		if _, err := t.Alerted(ctx); err != nil {
			return out, err
		}
	}
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for {
		incidents, err := findIncidents(ctx, t)
		if err == nil {
			note(&out, incidents, t.Injected)
			if !t.Healthy && len(incidents) > 0 && !slices.ContainsFunc(incidents, atWork) {
				out.Answer, err = answer(ctx, t, incidents)
				return out, err
			}
		}
		select {
		case <-ctx.Done():
			late, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			if incidents, err = findIncidents(late, t); err == nil {
				out.Answer, err = answer(late, t, incidents)
			}
			return out, err
		case <-tick.C:
		}
	}
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

// note remembers when the first claim was made, and when all was resolved.
func note(out *Outcome, incidents []api.Incident, injected time.Time) {
	claimed := slices.ContainsFunc(incidents, func(in api.Incident) bool { return in.Band == "confirmed" || in.Band == "likely" })
	if claimed && out.ToCause == nil {
		out.ToCause = since(injected)
	}
	done := len(incidents) > 0 && !slices.ContainsFunc(incidents, func(in api.Incident) bool {
		return in.Status != "resolved" && in.Status != "closed" && in.Status != "merged"
	})
	switch {
	case !done:
		out.ToResolved = nil
	case out.ToResolved == nil:
		out.ToResolved = since(injected)
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
			p := h.Probability
			hypothesis := bench.Hypothesis{Cause: h.Cause, Entity: host(h.Entity), Object: h.Object, Band: bench.Band(h.Band), Probability: &p}
			claims = claims || hypothesis.Claims()
			if key := fmt.Sprint(h.Cause, hypothesis.Entity, h.Object); !seen[key] {
				seen[key] = true
				out.Hypotheses = append(out.Hypotheses, hypothesis)
			}
		}
		out.Unknown = out.Unknown || !claims && in.Status != "resolved"
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
