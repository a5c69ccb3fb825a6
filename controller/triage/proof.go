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

// way is how a symptom is measured (DESIGN promise 3): by the hypothesis, whose
// predicate an agent asks on the host; where that cannot be, or could not tell,
// by the expressions of the alerts; "" when neither can be. A way that was taken
// since the time is not left for the other again.
func (s Situation) way(hypothesis string, since time.Time) string {
	in := s.Incident
	m := in.Measured
	asked := m != nil && m.Key == incident.ByAlerts && !m.At.Before(since)
	switch {
	case !s.Askable, asked && m.Pointless:
		return hypothesis
	case asked, hypothesis == "", !s.HasAgent, in.Failures >= s.Policy.MaxFailures:
		return incident.ByAlerts
	}
	return hypothesis
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
		key = s.way(s.proofKey(run), run.EndedAt)
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
		return s.measureAgain(Verify, RunVerified, key, run.EndedAt)
	}
	switch m.Gone {
	case expr.True:
		return Decision{Action: Resolve, Reason: MeasuredGone, Detail: m.Text}
	case expr.False:
		if key == incident.ByAlerts && s.Now.Before(run.EndedAt.Add(s.Policy.AlertLag)) {
			return s.askAgain(Verify, StillThere)
		}
		return Decision{Action: GiveUpOn, Reason: StillThere, Key: key, RunID: run.ID, Detail: m.Text}
	case expr.CannotTell:
	}
	return s.measureAgain(Verify, CannotVerify, key, run.EndedAt)
}

// measureAgain asks for a measurement, unless too many since the time gave no
// answer.
func (s Situation) measureAgain(a Action, why Reason, key string, since time.Time) Decision {
	in := s.Incident
	if key == incident.ByAlerts {
		m := in.Measured
		switch {
		case m == nil || m.Key != key || m.At.Before(since):
			return Decision{Action: a, Reason: why, Key: key}
		case s.leftUntold(m):
			return Decision{Action: Escalate, Reason: CannotVerify, Key: key, Detail: m.Text}
		}
		return s.askAgain(a, why)
	}
	if in.Failures >= s.Policy.MaxFailures {
		return Decision{Action: Escalate, Reason: CannotVerify, Key: key, Detail: in.LastFailure}
	}
	if in.Failures > 0 && s.Now.Before(s.retryAt()) {
		return Decision{Action: Wait, Reason: TryAgainLater, Detail: in.LastFailure, LookAt: s.retryAt()}
	}
	return Decision{Action: a, Reason: why, Key: key}
}

// leftUntold reports whether the alerts were asked for as often as policy allows,
// without an answer.
func (s Situation) leftUntold(m *incident.Measured) bool {
	return m.Gone == expr.CannotTell && m.Times >= s.Policy.MaxFailures
}

// longestPause is between two questions for alerts that nobody can tell of: the
// incident is a person's by then, and each question leaves its trace.
const longestPause = time.Hour

// askAgain asks for the alerts once more, after a pause that doubles.
func (s Situation) askAgain(a Action, why Reason) Decision {
	m := s.Incident.Measured
	at := m.Again
	if at.IsZero() {
		pause := min(s.Policy.RetryAfter, longestPause)
		for range m.Times - 1 {
			if pause *= 2; pause >= longestPause {
				pause = longestPause
				break
			}
		}
		at = m.At.Add(pause)
	}
	if s.Now.Before(at) {
		return Decision{Action: Wait, Reason: why, Detail: m.Text, LookAt: at}
	}
	return Decision{Action: a, Reason: why, Key: incident.ByAlerts}
}

// askLater goes on asking for alerts of which the source says that they are
// over, while an incident waits for a person: a server that was down comes back,
// and an expression that still held ends later, of which no signal may tell.
func (s Situation) askLater(why Reason) (Decision, bool) {
	since, m := s.Incident.SourceResolvedAt(), s.Incident.Measured
	if since.IsZero() || m == nil || m.Key != incident.ByAlerts || m.At.Before(since) || s.way(s.symptomKey(), since) != incident.ByAlerts {
		return Decision{}, false
	}
	d := s.askAgain(Measure, why)
	if d.Action == Wait {
		d.Detail = ""
	}
	return d, true
}

// sourceResolved handles "the source says resolved" in a status in which work
// goes on. told is false when it changes nothing.
func (s Situation) sourceResolved() (d Decision, told bool) {
	in := s.Incident
	since := in.SourceResolvedAt()
	if since.IsZero() {
		return Decision{}, false
	}
	key := s.way(s.symptomKey(), since)
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
			untold := in.Failures >= s.Policy.MaxFailures
			if key == incident.ByAlerts {
				untold = s.leftUntold(m)
			}
			if untold {
				return Decision{}, false // and never resolved by a guess
			}
		}
	}
	return s.measureAgain(Measure, SourceSaysResolved, key, since), true
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
