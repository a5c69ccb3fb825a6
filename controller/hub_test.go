package controller

import (
	"fmt"
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/controller/api"
)

func doing(jobID, step string) job.Event {
	return job.Event{JobID: jobID, Doing: &job.Activity{Step: step, Output: []string{"a"}}}
}

func TestActivityRingsOnlyForItsIncidentAndNeverWaits(t *testing.T) {
	t.Parallel()
	h := newHub()
	mine, other := h.watchActivity(t.Context(), "inc-1"), h.watchActivity(t.Context(), "inc-2")
	for range 1000 { // nobody listens
		h.progress(doing("inc-1.3", "cut"))
	}
	select {
	case <-other:
		t.Error("another incident's bell rang")
	default:
	}
	<-mine
	select {
	case <-mine:
		t.Error("rings were kept")
	default:
	}
	if got := h.activity("inc-1.3"); got.Step != "cut" {
		t.Errorf("last said: %+v", got)
	}
	h.progress(job.Event{JobID: "inc-1.3", Text: "of an agent that does not tell"})
	if got := h.activity("inc-1.3"); got.Step != "cut" {
		t.Errorf("an event without an activity wiped it out: %+v", got)
	}
	h.ended("inc-1.3")
	<-mine
	if got := h.activity("inc-1.3"); got.Step != "" || len(h.doing) != 0 {
		t.Errorf("after the report: %+v, %d kept", got, len(h.doing))
	}
}

func TestActivitiesAreBounded(t *testing.T) {
	t.Parallel()
	h := newHub()
	for i := range maxActivities + 10 {
		h.progress(doing(fmt.Sprintf("inc-%d.1", i), "s"))
		h.progress(doing("inc-busy.1", strings.Repeat("x", 1<<20)))
	}
	if len(h.doing) != maxActivities {
		t.Errorf("%d are kept", len(h.doing))
	}
	if h.activity("inc-0.1").Step != "" || h.activity(fmt.Sprintf("inc-%d.1", maxActivities+9)).Step == "" {
		t.Error("the oldest is to make room, and the newest to be there")
	}
	if n := len(h.activity("inc-busy.1").Step); n == 0 || n > 1000 {
		t.Errorf("the busy one holds %d bytes", n)
	}
}

// What an agent says is shown while the incident waits for the job, and not a
// moment longer than that; nothing of it is stored.
func TestWhatIsBeingDoneIsShownUntilTheReport(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.post(body(d.alert("firing", "ProcessGone", "web1:9100")))
	j := d.next(job.Diagnose)
	svc := service{App: d.app, People: d.app.people}
	bell := svc.WatchActivity(t.Context(), d.the().ID)
	before := len(d.events(d.the().ID))
	receiver{d.app}.Progress(t.Context(), "web1", job.Event{JobID: j.ID, Doing: &job.Activity{Probes: []job.PendingProbe{{Probe: "mem.usage", Target: "web1"}}}})
	<-bell
	got := api.ProgressOf(d.the(), svc)
	if len(got.Jobs) != 1 || got.Jobs[0].Kind != "diagnose" || len(got.Jobs[0].Probes) != 1 || got.Jobs[0].Probes[0].Probe != "mem.usage" {
		t.Errorf("shown: %+v", got)
	}
	if after := len(d.events(d.the().ID)); after != before {
		t.Errorf("%d events became %d", before, after)
	}
	err := receiver{d.app}.Receive(t.Context(), "web1", job.Report{JobID: j.ID, Fence: j.Fence, Kind: j.Kind, Agent: "web1", Status: job.Failed, Started: t0, Ended: t0})
	if err != nil {
		t.Fatal(err)
	}
	<-bell
	if a := svc.Activity(j.ID); len(a.Probes) != 0 {
		t.Errorf("after the report: %+v", a)
	}
	for _, left := range api.ProgressOf(d.the(), svc).Jobs {
		if left.ID == j.ID {
			t.Errorf("the job is still shown: %+v", left)
		}
	}
}
