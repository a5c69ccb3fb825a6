package triage

import (
	"time"

	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
)

// proofKey is the hypothesis whose symptom proves that a run helped: the one
// that it was to cure, or, for a run that a person started, the best one that
// may be acted on. "" when nothing can be measured.
func (s Situation) proofKey(run *incident.Run) string {
	if s.measurable(run.Key) {
		return run.Key
	}
	if run.Key != "" || s.Incident.Diagnosis == nil {
		return ""
	}
	for _, h := range s.Incident.Diagnosis.Hypotheses {
		sure := h.Band == diagnostics.Confirmed || h.Band == diagnostics.Likely
		if sure && h.Explains && s.Catalogue.Measurable(h.Cause) {
			return incident.HypothesisKey(h.Cause, h.Entity, h.Object)
		}
	}
	return ""
}

// fromVerifying waits for proof. Without a way to measure, the source's word
// that it is over, held for a while, closes it as unverified.
func (s Situation) fromVerifying() Decision {
	in := s.Incident
	run := lastRun(in)
	if run != nil && len(in.Symptoms) == 0 { // a person's run: its own verification is the proof
		return runEnded(in)
	}
	key := ""
	if run != nil {
		key = s.proofKey(run)
	}
	if key == "" {
		if d, told := s.sourceResolved(); told {
			return d
		}
		if run != nil && s.Now.Before(run.EndedAt.Add(s.Policy.UnverifiedHold)) {
			return Decision{Action: Wait, Reason: RunVerified, LookAt: run.EndedAt.Add(s.Policy.UnverifiedHold)}
		}
		return Decision{Action: Escalate, Reason: CannotVerify, Detail: "nothing says how this symptom is measured"}
	}
	m := in.Measured
	if m == nil || m.Key != key || m.At.Before(run.EndedAt) {
		return s.measureAgain(Verify, RunVerified, key)
	}
	switch m.Gone {
	case expr.True:
		return Decision{Action: Resolve, Reason: MeasuredGone, Detail: m.Text}
	case expr.False:
		return Decision{Action: GiveUpOn, Reason: StillThere, Key: key, RunID: run.ID, Detail: m.Text}
	case expr.CannotTell:
	}
	return s.measureAgain(Verify, CannotVerify, key)
}

// measureAgain asks for a measurement, unless too many gave no answer.
func (s Situation) measureAgain(a Action, why Reason, key string) Decision {
	in := s.Incident
	if in.Failures >= s.Policy.MaxFailures {
		return Decision{Action: Escalate, Reason: CannotVerify, Key: key, Detail: in.LastFailure}
	}
	if in.Failures > 0 && s.Now.Before(s.retryAt()) {
		return Decision{Action: Wait, Reason: TryAgainLater, Detail: in.LastFailure, LookAt: s.retryAt()}
	}
	return Decision{Action: a, Reason: why, Key: key}
}

// sourceResolved handles "the source says resolved" in a status in which work
// goes on. told is false when it changes nothing.
func (s Situation) sourceResolved() (d Decision, told bool) {
	in := s.Incident
	since := in.SourceResolvedAt()
	if since.IsZero() {
		return Decision{}, false
	}
	key := s.symptomKey()
	if key == "" {
		if until := since.Add(s.Policy.UnverifiedHold); s.Now.Before(until) {
			return Decision{Action: Wait, Reason: SourceSaysResolved, LookAt: until}, true
		}
		return Decision{Action: Resolve, Reason: HeldUnverified, Unverified: true}, true
	}
	if m := in.Measured; m != nil && m.Key == key && !m.At.Before(since) {
		switch m.Gone {
		case expr.True:
			return Decision{Action: Resolve, Reason: GoneByItself, Detail: m.Text}, true
		case expr.False:
			return Decision{}, false // the source is wrong: go on
		case expr.CannotTell:
			if in.Failures >= s.Policy.MaxFailures {
				return Decision{}, false // and never resolved by a guess
			}
		}
	}
	return s.measureAgain(Measure, SourceSaysResolved, key), true
}

// symptomKey is the hypothesis by whose predicate the symptom of this incident
// can be measured: the last one acted on, else the best one that explains it.
func (s Situation) symptomKey() string {
	in := s.Incident
	if run := lastRun(in); run != nil && s.measurable(run.Key) {
		return run.Key
	}
	if in.Diagnosis == nil {
		return ""
	}
	for _, h := range in.Diagnosis.Hypotheses {
		if h.Explains && h.Band != diagnostics.Unlikely && s.Catalogue.Measurable(h.Cause) {
			return incident.HypothesisKey(h.Cause, h.Entity, h.Object)
		}
	}
	return ""
}

func (s Situation) measurable(key string) bool {
	cause, _, _ := incident.SplitKey(key)
	return cause != "" && s.Catalogue.Measurable(cause)
}

// sourceIsWrong reports whether the source says resolved and the host says no.
func (s Situation) sourceIsWrong() bool {
	since, m := s.Incident.SourceResolvedAt(), s.Incident.Measured
	return !since.IsZero() && m != nil && m.Gone == expr.False && !m.At.Before(since)
}

func (s Situation) fromResolved() Decision {
	in := s.Incident
	if firedAgain(in) {
		return Decision{Action: Diagnose, Reason: SymptomIsBack}
	}
	if until := in.ResolvedAt.Add(incident.ReopenWithin); s.Now.Before(until) {
		return Decision{Action: Wait, Reason: ResolvedRecently, LookAt: until}
	}
	return Decision{Action: Close, Reason: ResolvedLongEnough}
}

// echoOfFault is how long after a measured cure a source may go on saying
// "firing" for the same occurrence: Alertmanager repeats a group at its
// group_interval (5 min by default) until Prometheus has re-evaluated.
const echoOfFault = 6 * time.Minute

// firedAgain reports whether a signal came after the resolution that is not
// just the echo of the fault that was cured. Only our own clock counts: what a
// source says of its times may be wrong by hours.
func firedAgain(in *incident.Incident) bool {
	for _, s := range in.Symptoms {
		if s.State != incident.Firing || !s.LastAt.After(in.ResolvedAt) {
			continue
		}
		if s.Since.After(in.ResolvedAt) || s.LastAt.After(in.ResolvedAt.Add(echoOfFault)) {
			return true
		}
	}
	return false
}
