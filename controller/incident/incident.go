// Package incident is the domain: what a signal, an incident and an event are,
// and how an incident may move. It does no I/O and has no clock; times come in
// as parameters, and every change leaves an event behind.
package incident

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/runbooks"
)

// ReopenWithin is how long after its resolution a firing signal brings an
// incident back; later it opens a new one (DESIGN section 5).
const ReopenWithin = 30 * time.Minute

// Incident is what people work on: one suspected fault, everything known about
// it, and what was done. It is changed only through its methods.
type Incident struct {
	ID         string            `json:"id"`
	Number     int64             `json:"number"` // what people say aloud
	Title      string            `json:"title"`
	Status     Status            `json:"status"`
	Severity   Severity          `json:"severity"`
	Priority   string            `json:"priority"` // P1..P5
	Entity     string            `json:"entity"`   // "" when no entity of the inventory fits
	Hints      map[string]string `json:"hints"`    // from the signals, for diagnosis: mount, unit, alertname ...
	OpenedAt   time.Time         `json:"opened_at"`
	OnsetAt    time.Time         `json:"onset_at"`
	ResolvedAt time.Time         `json:"resolved_at,omitzero"`
	UpdatedAt  time.Time         `json:"updated_at"`
	Unverified bool              `json:"unverified"` // resolved on the source's word only; never counted as fixed
	Resolution string            `json:"resolution"`

	Symptoms    []Symptom              `json:"symptoms"`
	Diagnosis   *diagnostics.Diagnosis `json:"diagnosis,omitempty"`
	DiagnosedAt time.Time              `json:"diagnosed_at,omitzero"`
	Tried       []Tried                `json:"tried"`
	Runs        []Run                  `json:"runs"`
	Measured    *Measured              `json:"measured,omitempty"`
	Work        *Work                  `json:"work,omitempty"`
	Escalation  *Escalation            `json:"escalation,omitempty"`
	AckedBy     string                 `json:"acked_by"`
	Failures    int                    `json:"failures"` // jobs in a row that ended without a finding
	LastFailure string                 `json:"last_failure"`
	FailedAt    time.Time              `json:"failed_at,omitzero"` // when the last of them ended
	Stale       bool                   `json:"stale"`              // the world changed since the diagnosis: diagnose again
	Jobs        int                    `json:"jobs"`               // how many were ordered; numbers the next one
	DueAt       time.Time              `json:"due_at,omitzero"`
	LastReason  string                 `json:"last_reason"`
	// TruncatedAlerts is how many alerts a source has left out of one delivery
	// that reached this incident, at most. Nothing is known about them.
	TruncatedAlerts int `json:"truncated_alerts,omitempty"`

	Version int64   `json:"version"` // of the stored state this was loaded from
	Seq     int64   `json:"seq"`     // of the last event
	events  []Event // not yet stored
}

// Symptom is what one stream of signals says: the last state under one identity.
type Symptom struct {
	Identity string    `json:"identity"`
	Source   string    `json:"source"`
	Title    string    `json:"title"`
	Alert    string    `json:"alert,omitempty"` // its name, as causes know it
	State    State     `json:"state"`
	Since    time.Time `json:"since"`
	StartsAt time.Time `json:"starts_at"`
	LastAt   time.Time `json:"last_at"` // when the last signal came in
	Signal   string    `json:"signal"`  // id of the last signal
	Count    int       `json:"count"`
	Link     string    `json:"link"`
}

// Tried is a hypothesis whose cure was attempted or ruled out, and how it went.
type Tried struct {
	Key     string    `json:"key"` // HypothesisKey
	Runbook string    `json:"runbook"`
	Outcome string    `json:"outcome"` // refuted, undone, refused, rejected, failed
	Why     string    `json:"why"`
	At      time.Time `json:"at"`
}

// Run is a runbook on its way: planned, approved, carried out.
type Run struct {
	ID          string              `json:"id"`
	Runbook     string              `json:"runbook"`
	Target      string              `json:"target"`
	Key         string              `json:"key"` // HypothesisKey; "" when a person started it
	Hypothesis  *HypothesisRef      `json:"hypothesis,omitempty"`
	Inputs      map[string]string   `json:"inputs"`
	RequestedBy string              `json:"requested_by"`
	JobID       string              `json:"job_id"` // the last job ordered for it
	DryRun      bool                `json:"dry_run"`
	Status      runbooks.RunStatus  `json:"status"`
	Plan        *runbooks.Plan      `json:"plan,omitempty"`
	Result      *runbooks.RunResult `json:"result,omitempty"`
	Decisions   []Approval          `json:"decisions"`
	StopAsked   string              `json:"stop_asked,omitempty"` // why a person wants the running run to stop at the end of its open step
	Paused      string              `json:"paused,omitempty"`     // who paused it and why; it goes on when somebody resumes it
	Judged      bool                `json:"judged,omitempty"`     // whether it helped is settled: resolved, given up on, or passed over
	Rollout     *Rollout            `json:"rollout,omitempty"`    // it is one of several runs on as many targets
	AskedAt     time.Time           `json:"asked_at,omitzero"`
	StartedAt   time.Time           `json:"started_at,omitzero"`
	EndedAt     time.Time           `json:"ended_at,omitzero"`
}

// Rollout is what ties runs of one runbook on several targets together.
type Rollout struct {
	ID    string   `json:"id"`
	Wave  int      `json:"wave"` // from 1
	Waves int      `json:"waves"`
	After []string `json:"after"` // runs of the wave before: it begins only when all of them are verified
}

// HypothesisRef is what a run remembers of the hypothesis it is to cure.
type HypothesisRef struct {
	Cause    string                `json:"cause"`
	Entity   string                `json:"entity"`
	Object   map[string]string     `json:"object"`
	Band     diagnostics.Band      `json:"band"`
	Evidence map[string]expr.Truth `json:"evidence"`
}

// ApprovedBy returns who approved exactly the plan that the run has now, each
// person once.
func (r *Run) ApprovedBy() []string {
	by := []string{}
	for _, a := range r.Decisions {
		if a.Approved && r.Plan != nil && a.PlanDigest == r.Plan.Digest && !slices.ContainsFunc(by, func(other string) bool { return runbooks.SamePerson(other, a.By) }) {
			by = append(by, a.By)
		}
	}
	return by
}

// MissingApprovals is how many people have still to say yes to the plan that the
// run has now, if it may not run without. A run without a plan misses none yet.
func (r *Run) MissingApprovals() int {
	if r.Plan == nil {
		return 0
	}
	return max(0, max(1, r.Plan.Approvals)-len(r.ApprovedBy()))
}

// Approval is a person's yes or no to the plan with the digest.
type Approval struct {
	By         string    `json:"by"`
	Approved   bool      `json:"approved"`
	PlanDigest string    `json:"plan_digest"`
	Why        string    `json:"why"`
	At         time.Time `json:"at"`
}

// ByAlerts is the key of what is measured by the expressions of the incident's
// alerts, which the Prometheus that evaluates them is asked again. It is no
// HypothesisKey.
const ByAlerts = "alerts"

// Measured is the last time the symptom was asked on the host, or ByAlerts.
type Measured struct {
	Key   string     `json:"key"`  // HypothesisKey of the cause whose symptom was asked, or ByAlerts
	Gone  expr.Truth `json:"gone"` // of "the symptom is gone and stayed gone"
	Text  string     `json:"text"`
	Facts []string   `json:"facts"`
	At    time.Time  `json:"at"`

	// The rest is of what was measured ByAlerts.

	Times     int       `json:"times,omitempty"`     // how often in a row it has come out so
	Again     time.Time `json:"again,omitzero"`      // when it can be told: what is gone must stay so until then
	Pointless bool      `json:"pointless,omitempty"` // asking again would tell no more
}

// Work is the one job in flight for an incident.
type Work struct {
	JobID    string    `json:"job_id"`
	Kind     string    `json:"kind"`  // job.Kind
	Agent    string    `json:"agent"` // "" when the controller does it itself
	RunID    string    `json:"run_id,omitempty"`
	Key      string    `json:"key,omitempty"` // HypothesisKey it is about, or ByAlerts
	Since    time.Time `json:"since"`
	Deadline time.Time `json:"deadline"`
	Warned   bool      `json:"warned,omitempty"` // people were told that it is overdue
}

// Escalation is the call for a person.
type Escalation struct {
	Reason    string    `json:"reason"`
	At        time.Time `json:"at"`
	Bundle    string    `json:"bundle"` // file name below the bundle folder; "" until written
	Notified  []string  `json:"notified"`
	BundleErr string    `json:"bundle_error,omitempty"`
	Named     string    `json:"named,omitempty"`      // the name of Reason; a person has none
	NoChannel bool      `json:"no_channel,omitempty"` // no channel to people was configured when they were to be called
	// Together is set when people were told of it in one message with others,
	// in a storm; the bundle is then written when somebody asks for it.
	Together bool `json:"together,omitempty"`
}

// Told says whether people have heard of the call.
func (e Escalation) Told() string {
	switch {
	case len(e.Notified) > 0:
		return "a person was called by " + strings.Join(e.Notified, ", ")
	case e.NoChannel:
		return "NOBODY WAS CALLED, no channel is configured (notify:)"
	case e.Together:
		return "people are told together with others, in a storm"
	}
	return "a person is being called"
}

// Event is one thing that happened. The list of events is the timeline, the
// audit and the input to replay.
type Event struct {
	Incident string          `json:"incident"`
	Seq      int64           `json:"seq"`
	At       time.Time       `json:"at"`
	Actor    string          `json:"actor"` // "secondline", "agent:NAME", "source:NAME", "person:NAME"
	Kind     EventKind       `json:"kind"`
	Reason   string          `json:"reason"`
	Text     string          `json:"text"` // a sentence for people
	Data     json.RawMessage `json:"data,omitempty"`
}

// EventKind is what sort of thing happened.
type EventKind string

// The kinds of events.
const (
	EventOpened      EventKind = "opened"
	EventSignal      EventKind = "signal"
	EventStatus      EventKind = "status"
	EventDecision    EventKind = "decision"
	EventJob         EventKind = "job"
	EventDiagnosis   EventKind = "diagnosis"
	EventPlan        EventKind = "plan"
	EventApproval    EventKind = "approval"
	EventRun         EventKind = "run"
	EventStep        EventKind = "step"
	EventMeasurement EventKind = "measurement"
	EventEscalation  EventKind = "escalation"
	EventNotified    EventKind = "notified"
	EventNote        EventKind = "note"
	EventProblem     EventKind = "problem"
)

// Note appends an event. data may be nil; it must marshal to JSON.
func (in *Incident) Note(at time.Time, actor string, kind EventKind, reason, text string, data any) {
	var raw json.RawMessage
	if data != nil {
		raw, _ = json.Marshal(data) // our own types: they marshal
	}
	in.Seq++
	in.UpdatedAt = at
	in.events = append(in.events, Event{
		Incident: in.ID, Seq: in.Seq, At: at, Actor: actor, Kind: kind, Reason: reason, Text: text, Data: raw,
	})
}

// Become moves the incident to the next status and notes why. The same status
// again is no move and leaves no event. A move that Transitions does not allow
// is a fault of kind Conflict.
func (in *Incident) Become(next Status, at time.Time, actor, reason, text string) error {
	if next == in.Status {
		return nil
	}
	if !in.Status.MayBecome(next) {
		return fault.New(fault.Conflict, "incident %s is %s and cannot become %s", in.ID, in.Status, next)
	}
	from := in.Status
	in.Status = next
	if next == Resolved {
		in.ResolvedAt = at
		for _, s := range in.Symptoms { // the clock was set back: what came in before must not look like a relapse
			if s.LastAt.After(in.ResolvedAt) {
				in.ResolvedAt = s.LastAt
			}
		}
	}
	if from == Resolved && next == Diagnosing {
		in.ResolvedAt, in.Unverified, in.Resolution = time.Time{}, false, ""
	}
	in.Note(at, actor, EventStatus, reason, text, map[string]Status{"from": from, "to": next})
	return nil
}

// TakeEvents returns the events not yet stored and forgets them.
func (in *Incident) TakeEvents() []Event {
	out := in.events
	in.events = nil
	return out
}

// PutBackEvents undoes TakeEvents: the store calls it when the transaction that
// took them was rolled back.
func (in *Incident) PutBackEvents(events []Event) {
	in.events = append(slices.Clip(events), in.events...)
}

// Firing reports whether any of the signals still says that it fires.
func (in *Incident) Firing() bool {
	for _, s := range in.Symptoms {
		if s.State == Firing {
			return true
		}
	}
	return false
}

// SourceResolvedAt returns when the last of the signals said "resolved"; zero
// while any of them says otherwise. It is a message, not a measurement.
func (in *Incident) SourceResolvedAt() time.Time {
	var last time.Time
	for _, s := range in.Symptoms {
		if s.State != SourceSaysOK {
			return time.Time{}
		}
		if s.Since.After(last) {
			last = s.Since
		}
	}
	return last
}

// HypothesisKey identifies a hypothesis across diagnoses of one incident.
func HypothesisKey(cause, entity string, object map[string]string) string {
	if object == nil {
		object = map[string]string{}
	}
	raw, _ := json.Marshal(object) // map keys are sorted by encoding/json
	return cause + "@" + entity + string(raw)
}

// SplitKey takes a HypothesisKey apart again. Cause is "" when it is none.
func SplitKey(key string) (cause, entity string, object map[string]string) {
	head, raw, ok := strings.Cut(key, "{")
	if !ok {
		return "", "", nil
	}
	if json.Unmarshal([]byte("{"+raw), &object) != nil {
		return "", "", nil
	}
	cause, entity, _ = strings.Cut(head, "@")
	return cause, entity, object
}

// FindTried returns how the hypothesis with the key fared, if it was tried.
func (in *Incident) FindTried(key string) (Tried, bool) {
	for _, t := range in.Tried {
		if t.Key == key {
			return t, true
		}
	}
	return Tried{}, false
}

// AskedRun returns the last run of an incident that is there only because a
// person asked for a run; nil when a signal opened it, too.
func (in *Incident) AskedRun() *Run {
	if len(in.Symptoms) > 0 || len(in.Runs) == 0 {
		return nil
	}
	return &in.Runs[len(in.Runs)-1]
}

// OnlyDryRuns reports whether the incident is there for nothing but plans that
// a person wanted to see.
func (in *Incident) OnlyDryRuns() bool {
	return in.AskedRun() != nil && !slices.ContainsFunc(in.Runs, func(r Run) bool { return !r.DryRun })
}

// Missed reports whether the run is over and did not do what it was to do. What
// a dry run is to do is a plan.
func (r *Run) Missed() bool {
	if r.EndedAt.IsZero() || r.Status == runbooks.RunVerified {
		return false
	}
	return !r.DryRun || r.Status != runbooks.RunPlanned
}

// CurrentRun returns the run that is not over yet, if there is one. A dry run
// is over when its plan is there: it ends as planned.
func (in *Incident) CurrentRun() *Run {
	for i := range in.Runs {
		if !in.Runs[i].EndedAt.IsZero() {
			continue
		}
		switch in.Runs[i].Status {
		case runbooks.RunPlanned, runbooks.RunWaiting, runbooks.RunRunning:
			return &in.Runs[i]
		case runbooks.RunVerified, runbooks.RunUndone, runbooks.RunRefuted, runbooks.RunUnknown,
			runbooks.RunRefused, runbooks.RunRejected, runbooks.RunCancelled, runbooks.RunFailed:
		}
	}
	return nil
}

// FindRun returns the run with the id, or nil.
func (in *Incident) FindRun(id string) *Run {
	for i := range in.Runs {
		if in.Runs[i].ID == id {
			return &in.Runs[i]
		}
	}
	return nil
}
