package controller

import (
	"context"
	"fmt"

	"github.com/secondline-ops/secondline/controller/api"
	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/triage"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/fault"
)

// maxWhyEvents bounds how much of a timeline an explanation reads.
const maxWhyEvents = 5000

// Why explains an incident from its records: how it came to be, why this cause,
// why it was or was not acted on, why it ended so.
func (s service) Why(ctx context.Context, ref string) (api.Why, error) {
	in, err := s.o.Store.FindIncident(ctx, ref)
	if err != nil {
		return api.Why{}, err
	}
	events, err := s.o.Store.ListEvents(ctx, in.ID, 0, maxWhyEvents)
	if err != nil {
		return api.Why{}, err
	}
	why := api.Why{
		Question: fmt.Sprintf("why is incident %d %s?", in.Number, in.Status),
		Answer:   triage.Reason(in.LastReason).Sentence(),
		Because: []api.Why{
			section("why was it opened, and what joined it?", events, incident.EventOpened, incident.EventSignal),
			whyCause(in, events),
			section("what was decided?", events, incident.EventDecision),
			section("who said yes or no?", events, incident.EventApproval),
			section("what was done?", events, incident.EventPlan, incident.EventRun, incident.EventStep),
			section("what was measured?", events, incident.EventMeasurement),
			section("who was called?", events, incident.EventEscalation, incident.EventNotified),
			section("what went wrong on the way?", events, incident.EventProblem),
		},
	}
	if in.Resolution != "" {
		why.Answer = in.Resolution
	}
	why.Because = withAnswers(why.Because)
	return why, nil
}

// section answers a question with the events of the kinds.
func section(question string, events []incident.Event, kinds ...incident.EventKind) api.Why {
	w := api.Why{Question: question, Because: []api.Why{}, Events: []int64{}}
	for _, e := range events {
		for _, k := range kinds {
			if e.Kind == k {
				w.Because = append(w.Because, api.Why{Answer: e.Text, Because: []api.Why{}, Events: []int64{e.Seq}})
				w.Events = append(w.Events, e.Seq)
			}
		}
	}
	if n := len(w.Because); n > 0 {
		w.Answer = w.Because[n-1].Answer
	}
	return w
}

func withAnswers(all []api.Why) []api.Why {
	out := []api.Why{}
	for _, w := range all {
		if len(w.Because) > 0 {
			out = append(out, w)
		}
	}
	return out
}

func whyCause(in *incident.Incident, events []incident.Event) api.Why {
	w := section("why this cause?", events, incident.EventDiagnosis)
	if in.Diagnosis == nil {
		return w
	}
	for _, h := range in.Diagnosis.Hypotheses {
		if h.Band == diagnostics.Unlikely {
			continue
		}
		one := api.Why{
			Question: h.Cause, Answer: fmt.Sprintf("%s: %s (%.0f %%)", h.Title, h.Band, 100*h.Probability), Because: []api.Why{}, Events: []int64{},
		}
		for _, part := range []struct {
			label string
			list  []diagnostics.Evidence
		}{{"for", h.For}, {"against", h.Against}} {
			for _, e := range part.list {
				one.Because = append(one.Because, api.Why{Question: part.label, Answer: e.Text, Because: []api.Why{}, Events: []int64{}})
			}
		}
		for _, u := range diagnostics.MergeUntold(h.CannotTell) {
			one.Because = append(one.Because, api.Why{Question: "cannot tell", Answer: u.Text(), Because: []api.Why{}, Events: []int64{}})
		}
		w.Because = append(w.Because, one)
	}
	return w
}

// SignalWhy explains what became of a signal.
func (s service) SignalWhy(ctx context.Context, id string) (api.Why, error) {
	sig, err := s.o.Store.FindSignal(ctx, id)
	if err != nil {
		return api.Why{}, err
	}
	w := api.Why{
		Question: fmt.Sprintf("what became of signal %s?", sig.ID), Answer: string(sig.Action) + ": " + sig.Reason, Because: []api.Why{}, Events: []int64{},
	}
	if sig.IncidentID == "" {
		return w, nil
	}
	in, err := s.Why(ctx, sig.IncidentID)
	if fault.Is(err, fault.NotFound) {
		return w, nil
	}
	w.Because = append(w.Because, in)
	return w, err
}
