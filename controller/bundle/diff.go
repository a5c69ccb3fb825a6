package bundle

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/fault"
)

// Diff says what differs between two bundles: of one incident at two times, or of
// two hosts of which one is well. Readings are compared by probe, arguments and
// target, the newest of each; their times are not. It is pure. A bundle whose
// records cannot be read is an error of kind Invalid.
func Diff(a, b *Bundle) ([]Change, error) {
	was, err := recordsOf(a)
	if err != nil {
		return nil, fmt.Errorf("the first: %w", err)
	}
	is, err := recordsOf(b)
	if err != nil {
		return nil, fmt.Errorf("the second: %w", err)
	}
	changes := mapChanges("incident", "", incidentFields(was), incidentFields(is))
	changes = append(changes, diagnosisChanges(diagnosisOf(was), diagnosisOf(is))...)
	changes = append(changes, mapChanges("reading", "", readings(was.Facts), readings(is.Facts))...)
	return append(changes, mapChanges("run", "", runStates(&was.Incident), runStates(&is.Incident))...), nil
}

func recordsOf(b *Bundle) (Input, error) {
	v := verifier{b: b}
	s, ok := v.sources()
	if !ok {
		return Input{}, fault.New(fault.Invalid, "the bundle cannot be read: %q", v.result.Problems)
	}
	return s.input, nil
}

func diagnosisOf(in Input) diagnostics.Diagnosis {
	if in.Incident.Diagnosis == nil {
		return diagnostics.Diagnosis{Unknown: true}
	}
	return *in.Incident.Diagnosis
}

func incidentFields(in Input) map[string]string {
	h := headline(&in.Incident)
	return map[string]string{
		"number": strconv.FormatInt(h.Number, 10), "title": h.Title, "status": h.Status, "severity": h.Severity, "priority": h.Priority,
		"entity": h.Entity, "fixed": h.Fixed, "signals": strconv.Itoa(len(in.Signals)), "events": strconv.Itoa(len(in.Events)),
	}
}

// readings are the fields of the newest fact of each kind, by what was read.
func readings(facts []diagnostics.Fact) map[string]string {
	found := map[string]string{}
	fields := map[string][]string{} // of a reading, so that an older one leaves nothing behind
	for _, f := range facts {
		key := f.Probe
		if args := argText(f.Args); args != "" {
			key += " " + args
		}
		key += " on " + f.Target
		for _, field := range fields[key] {
			delete(found, field)
		}
		fields[key] = []string{key}
		found[key] = string(f.Status)
		for name, value := range f.Value {
			field := key + ": " + name
			text, err := json.Marshal(value)
			if err != nil {
				text = fmt.Append(nil, value)
			}
			const most = 200
			found[field] = string(text[:min(len(text), most)])
			fields[key] = append(fields[key], field)
		}
	}
	return found
}

func runStates(in *incident.Incident) map[string]string {
	found := map[string]string{}
	for i := range in.Runs {
		run := &in.Runs[i]
		found[run.Runbook+" on "+run.Target+" ("+run.ID+")"] = string(run.Status)
	}
	return found
}
