package incident

import (
	"fmt"
	"slices"
	"time"

	"github.com/secondline-ops/secondline/internal/yamlx"
)

// MaxSymptoms bounds what one incident holds; signals beyond it are kept as
// signals and only counted on the last symptom.
const MaxSymptoms = 500

// Open makes a new incident of a firing signal. hints are what diagnosis may
// read of the signal's labels.
func Open(id string, sig Signal, hints map[string]string, now time.Time) *Incident {
	onset := sig.StartsAt
	if onset.IsZero() || onset.After(now) {
		onset = now
	}
	in := &Incident{
		ID: id, Title: sig.Title, Status: New, Severity: sig.Severity, Priority: PriorityOf(sig.Severity),
		Entity: sig.Entity, Hints: hints, OpenedAt: now, OnsetAt: onset, UpdatedAt: now,
		Symptoms: []Symptom{}, Tried: []Tried{}, Runs: []Run{}, DueAt: now,
	}
	in.Note(now, "source:"+sig.Source, EventOpened, "first_signal", sig.Title, map[string]string{"signal": sig.ID, "entity": sig.Entity})
	in.Absorb(sig, now)
	return in
}

// HeldBefore moves the onset back to when the fault began, of an incident that
// the signal has just opened: its source said so only after the symptom had held
// for a while (the "for" of a Prometheus rule).
func (in *Incident) HeldBefore(sig Signal, held time.Duration, now time.Time) {
	if held <= 0 || sig.StartsAt.IsZero() || !in.OnsetAt.Equal(sig.StartsAt) {
		return // without the source's time of firing there is nothing to count back from
	}
	in.OnsetAt = sig.StartsAt.Add(-held)
	layout := time.TimeOnly
	if in.OnsetAt.UTC().Format(time.DateOnly) != now.UTC().Format(time.DateOnly) {
		layout = time.DateTime
	}
	in.Note(now, "source:"+sig.Source, EventSignal, "onset", fmt.Sprintf("fired at %s after %s, so since %s",
		sig.StartsAt.UTC().Format(layout), yamlx.FormatDuration(held), in.OnsetAt.UTC().Format(layout)), map[string]string{"signal": sig.ID})
}

// Request makes an incident for a run that a person asks for, without a signal.
func Request(id, title, entity string, now time.Time) *Incident {
	in := &Incident{
		ID: id, Title: title, Status: New, Severity: Info, Priority: PriorityOf(Info), Entity: entity, Hints: map[string]string{},
		OpenedAt: now, OnsetAt: now, UpdatedAt: now, Symptoms: []Symptom{}, Tried: []Tried{}, Runs: []Run{}, DueAt: now,
	}
	in.Note(now, "secondline", EventOpened, "run_requested", title, nil)
	return in
}

// PriorityOf is the priority that a severity gives until impact is computed
// from what is downstream.
func PriorityOf(s Severity) string {
	switch s {
	case Critical:
		return "P1"
	case High:
		return "P2"
	case Warning:
		return "P3"
	case Info:
		return "P5"
	case SeverityUnknown:
		return "P4"
	}
	return "P4"
}

// objectHints are the hints that name what is broken, in the order in which
// they are compared. The name of the alert is none: two disks of one host can
// be full for different reasons.
func objectHints() []string { return []string{"mount", "unit", "path", "process", "url", "port"} }

// Object is a thing of an entity that can be broken: what a hint names.
type Object struct{ Entity, Hint, Value string }

// Key is the object as one text, different for different ones.
func (o Object) Key() string { return o.Entity + "\x00" + o.Hint + "\x00" + o.Value }

// ObjectsOf returns what the hints name. There is nothing without an entity.
func ObjectsOf(entity string, hints map[string]string) []Object {
	if entity == "" {
		return nil
	}
	var objects []Object
	for _, hint := range objectHints() {
		if v := hints[hint]; v != "" {
			objects = append(objects, Object{Entity: entity, Hint: hint, Value: v})
		}
	}
	return objects
}

// Objects returns what the incident is about.
func (in *Incident) Objects() []Object { return ObjectsOf(in.Entity, in.Hints) }

// MissAlerts notes that the source left so many alerts out of a delivery, when
// that is more than was known.
func (in *Incident) MissAlerts(n int, source, signal string, now time.Time) {
	if n <= in.TruncatedAlerts {
		return
	}
	in.TruncatedAlerts = n
	in.Note(now, "source:"+source, EventSignal, "truncated", fmt.Sprintf("%s left %d more alerts of the group out of its delivery: nothing is known about them", source, n),
		map[string]string{"signal": signal})
}

// Absorb takes a signal into the incident: it updates the symptom with the
// signal's identity, or adds one. It reports whether anything changed beyond
// a repetition.
func (in *Incident) Absorb(sig Signal, now time.Time) (changed bool) {
	for i := range in.Symptoms {
		s := &in.Symptoms[i]
		if s.Identity != sig.Identity || s.Source != sig.Source {
			continue
		}
		newOccurrence := sig.State == Firing && sig.StartsAt.After(s.StartsAt)
		changed = s.State != sig.State || newOccurrence
		if changed {
			s.Since = now
			in.Note(now, "source:"+sig.Source, EventSignal, "state_changed", sig.Title+": "+string(s.State)+" -> "+string(sig.State),
				map[string]string{"signal": sig.ID})
		}
		in.raise(sig, now)
		s.State, s.Signal, s.LastAt = sig.State, sig.ID, now
		if newOccurrence {
			s.StartsAt = sig.StartsAt
		}
		s.Count++
		in.DueAt = now
		return changed
	}
	in.raise(sig, now)
	if len(in.Symptoms) >= MaxSymptoms {
		in.Symptoms[len(in.Symptoms)-1].Count++
		return false
	}
	link := ""
	if len(sig.Links) > 0 {
		link = sig.Links[0]
	}
	in.Symptoms = append(in.Symptoms, Symptom{
		Identity: sig.Identity, Source: sig.Source, Title: sig.Title, State: sig.State, Since: now,
		StartsAt: sig.StartsAt, LastAt: now, Signal: sig.ID, Count: 1, Link: link, Alert: sig.Labels["alertname"],
	})
	if len(in.Symptoms) > 1 {
		in.Note(now, "source:"+sig.Source, EventSignal, "joined", sig.Title, map[string]string{"signal": sig.ID})
	}
	in.DueAt = now
	return true
}

// maxAlertNames bounds what one diagnosis is to explain.
const maxAlertNames = 50

// FiringAlerts returns the names of the alerts that fire, each once.
func (in *Incident) FiringAlerts() []string {
	names := []string{}
	for _, s := range in.Symptoms {
		if s.State == Firing && s.Alert != "" && !slices.Contains(names, s.Alert) && len(names) < maxAlertNames {
			names = append(names, s.Alert)
		}
	}
	return names
}

// raise makes the incident as urgent as the worst signal that fires. It never
// lowers: what was critical once is looked at as such until it is resolved.
func (in *Incident) raise(sig Signal, now time.Time) {
	if sig.State != Firing || PriorityOf(sig.Severity) >= in.Priority {
		return
	}
	in.Note(now, "source:"+sig.Source, EventSignal, "severity_raised", string(in.Severity)+" -> "+string(sig.Severity), map[string]string{"signal": sig.ID})
	in.Severity, in.Priority = sig.Severity, PriorityOf(sig.Severity)
}
