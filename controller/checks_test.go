package controller

import (
	"strings"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/triage"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
)

const checkFile = `name: relay-runs
title: The relay runs
schedule: "*/10 * * * *"
targets: {group: web}
probes:
  p: {probe: process.match, with: {pid_file: /run/relay.pid}}
expect: p.running
because: without the relay no order leaves the house
severity: high
`

func withCheck(t *testing.T, schedule string) *desk {
	t.Helper()
	d := newDesk(t)
	check, err := diagnostics.ParseCheck("relay.yaml", []byte(strings.Replace(checkFile, "*/10 * * * *", schedule, 1)), probeSet(t))
	d.must(err)
	d.change(func(s *Settings) { s.Checks = []*diagnostics.Check{check} })
	d.settle()
	return d
}

func checked(j job.Job, holds expr.Truth) job.Report {
	r := answer(j)
	r.Measurement = &job.Measurement{That: "p.running", Truth: holds, Text: "the relay runs: " + string(holds), Facts: []string{}}
	return r
}

func TestFailedCheckOpensAnIncidentAndAHeldOneEndsIt(t *testing.T) {
	t.Parallel()
	d := withCheck(t, "*/10 * * * *")
	d.idle() // not due yet
	d.wait(10 * time.Minute)
	d.report(checked(d.next(job.Check), expr.True))
	if n := len(d.all()); n != 0 {
		t.Fatalf("%d incidents of a check that holds", n)
	}
	d.wait(10 * time.Minute)
	d.report(checked(d.next(job.Check), expr.CannotTell))
	if n := len(d.all()); n != 0 {
		t.Fatalf("%d incidents of a check that cannot tell", n)
	}
	d.wait(10 * time.Minute)
	j := d.next(job.Check)
	first := checked(j, expr.False)
	d.report(first)
	d.report(first) // replayed
	in := d.wantStatus(incident.Diagnosing, triage.JobInFlight)
	if in.Entity != "web1" || in.Severity != incident.High || in.Symptoms[0].Count != 1 {
		t.Errorf("got %s %s %+v", in.Entity, in.Severity, in.Symptoms)
	}
	d.report(looked(d.next(job.Diagnose), "relay"))
	d.report(planned(d.next(job.Plan)))
	d.must(d.app.people.Reject(t.Context(), d.the().CurrentRun().ID, "ada", ""))
	d.wait(10 * time.Minute)
	d.report(checked(d.next(job.Check), expr.True))
	d.clock.advance(time.Second)
	d.report(measured(d.next(job.Measure), expr.True))
	d.wantStatus(incident.Resolved, triage.ResolvedRecently)
	other := first
	other.Agent = "web2"
	d.wantKind(d.receive(other), fault.Denied)
}

func TestCheckMissedWhileNobodyRanIsSentOnce(t *testing.T) {
	t.Parallel()
	d := withCheck(t, "*/10 * * * *")
	d.clock.advance(24 * time.Hour)
	second := d.newApp(Options{})
	for range 3 {
		d.must(d.app.runChecks(t.Context()))
		d.must(second.runChecks(t.Context()))
	}
	j := d.next(job.Check)
	d.wait(24 * time.Hour) // the agent does not answer
	if again := d.claim("web1"); len(again) != 1 || again[0].ID != j.ID {
		t.Fatalf("jobs pile up for an agent that is away: %d", len(again))
	} else {
		j = again[0]
	}
	d.report(checked(j, expr.True))
	d.next(job.Check)
	d.idle()
}

func TestCheckFollowsANewSchedule(t *testing.T) {
	t.Parallel()
	d := withCheck(t, "0 0 1 1 *") // once a year
	check, err := diagnostics.ParseCheck("relay.yaml", []byte(checkFile), probeSet(t))
	d.must(err)
	d.change(func(s *Settings) { s.Checks = []*diagnostics.Check{check} })
	d.settle()
	d.wait(10 * time.Minute)
	d.next(job.Check)
	d.idle()
	list, err := d.db.ListChecks(t.Context())
	d.must(err)
	if len(list) != 1 || list[0].Target != "web1" || list[0].JobID == "" {
		t.Errorf("states %+v", list)
	}
	if _, err := d.db.FindJob(t.Context(), list[0].JobID); err != nil {
		t.Error(err)
	}
}
