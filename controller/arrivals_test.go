package controller

import (
	"slices"
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/controller/triage"
	"github.com/secondline-ops/secondline/runbooks"
)

// enrol is an agent that comes to be known, as at any controller of the store.
func (d *desk) enrol(name string) {
	d.Helper()
	d.must(d.db.SaveAgent(d.Context(), store.Agent{ID: name, EnrolledAt: d.clock.now(), Targets: []string{}}))
	d.must(d.app.refreshEnrolled(d.Context()))
}

// arrived reports whether the bell rang that has unreached incidents looked at.
func (d *desk) arrived() bool {
	select {
	case <-d.app.arrivals:
		return true
	default:
		return false
	}
}

func TestAnAgentThatArrivesHasWhatNobodyReachedDiagnosed(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.post(body(d.alert("firing", "ProcessGone", "lonely", "process", "worker")))
	in := d.wantStatus(incident.Escalated, triage.WaitingForPerson)
	if in.Escalation.Named != string(triage.NoAgent) || !strings.Contains(in.Escalation.Reason, "lonely") {
		t.Fatalf("escalation %+v", in.Escalation)
	}
	d.enrol("other")
	if !d.arrived() {
		t.Error("an agent enrolled and no bell rang")
	}
	d.must(d.app.reviveUnreached(t.Context()))
	d.wantStatus(incident.Escalated, triage.WaitingForPerson)

	d.enrol("nobody")
	d.must(d.app.reviveUnreached(t.Context()))
	d.wantStatus(incident.Diagnosing, triage.JobInFlight)
	if j := d.nextOf("nobody", job.Diagnose); j.Incident != in.ID {
		t.Errorf("the job is for incident %s", j.Incident)
	}
	if story := d.story(in.ID); !strings.Contains(story, string(triage.AgentArrived)) {
		t.Errorf("nothing says why:\n%s", story)
	}
	d.arrived()
	d.must(d.app.refreshEnrolled(t.Context()))
	if d.arrived() {
		t.Error("nobody new enrolled, and the bell rang")
	}
}

// A person who was called for another reason is not interrupted by an agent.
func TestAnAgentThatArrivesLeavesOtherEscalationsAlone(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.post(body(d.alert("firing", "ProcessGone", "lonely", "process", "worker")))
	d.must(d.app.people.Escalate(t.Context(), d.the().ID, "ann", "I want help"))
	d.enrol("nobody")
	d.must(d.app.reviveUnreached(t.Context()))
	if in := d.the(); in.Status != incident.Escalated {
		t.Errorf("it is %s\n%s", in.Status, d.story(in.ID))
	}
}

func TestWithoutAChannelNobodyIsSaidToBeCalled(t *testing.T) {
	t.Parallel()
	for _, channels := range []bool{false, true} {
		d := newDesk(t)
		if !channels {
			d.change(func(s *Settings) { s.Channels = nil })
		}
		d.post(body(d.alert("firing", "ProcessGone", "lonely", "process", "worker")))
		d.settle()
		in := d.the()
		story := d.story(in.ID)
		if got, want := in.Escalation.Told(), "a person was called by mailbox"; channels && got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if nobody := strings.Contains(in.Escalation.Told(), "NOBODY WAS CALLED") && strings.Contains(story, "NOBODY WAS CALLED"); nobody == channels {
			t.Errorf("channels: %v, nobody was called: %v\n%s", channels, nobody, story)
		}
		if !channels && strings.Contains(story, "was called by") {
			t.Errorf("somebody is said to be called:\n%s", story)
		}
	}
}

func TestAFailedRunOfAPersonIsNoResolution(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	id, run, err := d.app.people.StartRun(t.Context(), request("web1", true), "ann")
	d.must(err)
	plan := d.nextOf("web1", job.Plan)
	d.report(job.Report{JobID: plan.ID, Fence: plan.Fence, Agent: "web1", Status: job.Failed, Error: &job.Problem{Kind: "invalid", Message: "no such unit"}})
	in, err := d.db.FindIncident(t.Context(), id)
	d.must(err)
	if in.FindRun(run).Status != runbooks.RunFailed || !in.Unverified || !in.AskedRun().Missed() {
		t.Errorf("run %s, unverified %v", in.FindRun(run).Status, in.Unverified)
	}
	if in.Status != incident.Resolved || !strings.HasPrefix(in.Resolution, triage.RunFailed.Sentence()) {
		t.Errorf("%s: %s", in.Status, in.Resolution)
	}
	shown, _, err := d.db.ListIncidents(t.Context(), store.IncidentFilter{OmitDryRuns: true})
	d.must(err)
	if slices.ContainsFunc(shown, func(i *incident.Incident) bool { return i.ID == id }) {
		t.Error("a dry run is in the list")
	}
	if len(d.all()) != 1 {
		t.Error("it cannot be found any more")
	}
}
