package api

import (
	"slices"

	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/runbooks"
)

// Standing is the status for people. What was there only for a run that a
// person asked for and did not do what it was to do is no "resolved", it is
// "run_failed", "run_refused" and so on; a dry run that ended well is "dry_run".
func (s Summary) Standing() string {
	switch {
	case s.RunStatus == "" || incident.Status(s.Status).Open() || runbooks.RunStatus(s.RunStatus) == runbooks.RunVerified:
		return s.Status
	case s.DryRun && runbooks.RunStatus(s.RunStatus) == runbooks.RunPlanned:
		return "dry_run"
	}
	return "run_" + s.RunStatus
}

// NamedBy is what the symptom's signal names, and where on it the incident is.
func (in Incident) NamedBy(s Symptom) []string {
	var names []string
	for _, r := range s.Resources {
		names = append(names, r.Value)
	}
	for _, o := range incident.ObjectsOf("any", in.Hints) { // of whichever entity: only the hints are shown
		names = append(names, o.Hint+" "+o.Value)
	}
	return slices.Compact(names)
}
