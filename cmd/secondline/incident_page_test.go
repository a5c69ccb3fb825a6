package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/controller/api"
)

func shown(in api.Incident) string {
	var out bytes.Buffer
	incidentPage{Incident: in, now: time.Date(2026, 3, 1, 3, 5, 0, 0, time.UTC)}.show(&out)
	return out.String()
}

func TestIncidentPageOffersOnlyWhatMayHelp(t *testing.T) {
	t.Parallel()
	in := api.Incident{
		Summary: api.Summary{Number: 7, Title: "disk", Status: "escalated", Entity: "web1"},
		Hypotheses: []api.Hypothesis{{
			Cause: "directory-over-budget", Title: "A directory holds more than its budget", Entity: "web1", Band: "unlikely", Cures: []string{"clean-directory-over-budget"},
		}},
		Escalation: &api.Escalation{Reason: "no agent reaches this entity: web1", Named: "no_agent", Told: "a person was called by mail"},
	}
	page := shown(in)
	for _, want := range []string{
		"a person was called by mail: no agent reaches this entity: web1", "secondline agent install --ssh web1 --controller …", "secondline incident reopen 7",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is missing:\n%s", want, page)
		}
	}
	if strings.Contains(page, "clean-directory-over-budget") {
		t.Errorf("it offers the cure of a cause that was ruled out:\n%s", page)
	}
	in.Hypotheses[0].Band, in.Escalation.Named = "possible", "cause_unknown"
	page = shown(in)
	if !strings.Contains(page, "secondline run clean-directory-over-budget --on web1 --incident 7 --dry-run") || strings.Contains(page, "agent install") {
		t.Errorf("a cause that may be there:\n%s", page)
	}
}

func TestIncidentPageShowsWhatTheAlertSaid(t *testing.T) {
	t.Parallel()
	page := shown(api.Incident{
		Summary: api.Summary{Number: 8, Title: "HostOutOfDiskSpace", Status: "escalated"}, Hints: map[string]string{"mount": "/var", "alertname": "HostOutOfDiskSpace"},
		Symptoms: []api.Symptom{{
			Title: "HostOutOfDiskSpace", State: "firing", Source: "alertmanager", Summary: "/var is almost full", Resources: []api.Resource{{Value: "mail7:9100", From: "instance"}},
		}},
		Escalation: &api.Escalation{Reason: "nothing matches", Named: "entity_unknown", Told: "NOBODY WAS CALLED"},
	})
	for _, want := range []string{"on mail7:9100, which is not in the inventory", "/var is almost full", "names mail7:9100, mount /var", "add mail7:9100 to the inventory"} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is missing:\n%s", want, page)
		}
	}
	if strings.Contains(page, "on -") {
		t.Errorf("it hides the host:\n%s", page)
	}
}
