package api_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/secondline-ops/secondline/controller/access"
	"github.com/secondline-ops/secondline/controller/api"
	"github.com/secondline-ops/secondline/controller/api/apitest"
	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/runbooks"
)

func (r *rig) ran(t *testing.T, runs ...incident.Run) {
	t.Helper()
	in := &incident.Incident{ID: "ran", Title: "ran", Status: incident.Closed, OpenedAt: apitest.Start(), UpdatedAt: apitest.Start(), Runs: runs}
	if err := r.svc.Update(t.Context(), func(tx store.Tx) error { return tx.SaveIncident(t.Context(), in) }); err != nil {
		t.Fatal(err)
	}
}

func TestRunbookStatsCountEachRunOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.svc.Books = []*runbooks.Runbook{{Name: "rotate", Title: "Rotate"}, {Name: "idle", Title: "Idle"}}
	now := apitest.Start()
	var runs []incident.Run
	add := func(status runbooks.RunStatus, target string, ago, took time.Duration) {
		run := incident.Run{ID: fmt.Sprintf("run-%02d", len(runs)), Runbook: "rotate", Target: target, Status: status, StartedAt: now.Add(-ago), RequestedBy: "ada"}
		if took > 0 {
			run.EndedAt = run.StartedAt.Add(took)
		}
		runs = append(runs, run)
	}
	add(runbooks.RunVerified, "web1", 40*time.Minute, 10*time.Second)
	add(runbooks.RunVerified, "web1", 39*time.Minute, 20*time.Second)
	add(runbooks.RunVerified, "web2", 38*time.Minute, 40*time.Second)
	add(runbooks.RunVerified, "web2", 37*time.Minute, 100*time.Second)
	for _, s := range []runbooks.RunStatus{
		runbooks.RunRefuted, runbooks.RunUndone, runbooks.RunUnknown, runbooks.RunRefused, runbooks.RunRejected, runbooks.RunCancelled, runbooks.RunFailed,
	} {
		add(s, "web1", 30*time.Minute, time.Minute)
	}
	for _, s := range []runbooks.RunStatus{runbooks.RunPlanned, runbooks.RunWaiting, runbooks.RunRunning} {
		add(s, "web3", time.Minute, 0)
	}
	add(runbooks.RunVerified, "web1", 100*24*time.Hour, time.Minute) // before the window
	runs = append(runs, incident.Run{ID: "dry", Runbook: "rotate", Target: "web1", DryRun: true, Status: runbooks.RunPlanned, EndedAt: now},
		incident.Run{ID: "gone", Runbook: "gone", Target: "web1", Status: runbooks.RunVerified, StartedAt: now.Add(-time.Minute), EndedAt: now})
	r.ran(t, runs...)

	client := r.client(t, access.Viewer)
	got, err := client.RunbookStats(t.Context(), api.StatsQuery{Runbook: "rotate"})
	if err != nil {
		t.Fatal(err)
	}
	stats := got.Runbooks[0]
	want := api.RunCounts{Verified: 4, Refuted: 1, Undone: 1, Unknown: 1, Refused: 1, Rejected: 1, Cancelled: 1, Failed: 1, InWork: 3}
	if d := cmp.Diff(want, stats.Outcomes); d != "" {
		t.Error(d)
	}
	if stats.Runs != 14 || stats.DryRuns != 1 || stats.MedianSeconds != 30 || stats.LongestSeconds != 100 || stats.Title != "Rotate" || got.Truncated {
		t.Errorf("%+v", stats)
	}
	var targets []string
	for _, x := range stats.Targets {
		targets = append(targets, fmt.Sprintf("%s %d/%d", x.Target, x.Verified, x.Runs))
	}
	if d := cmp.Diff([]string{"web1 2/9", "web3 0/3", "web2 2/2"}, targets); d != "" {
		t.Error(d)
	}
	if len(stats.Last) != 10 || stats.Last[0].Target != "web3" || stats.Last[0].PageURL != "/incidents/1" || stats.Last[0].URL != "/v1/runs/"+stats.Last[0].ID {
		t.Errorf("%+v", stats.Last)
	}
	if !got.Since.Equal(now.Add(-api.DefaultStatsWindow)) || stats.Level.InForce != "approve" {
		t.Errorf("%+v", got)
	}

	all, err := client.RunbookStats(t.Context(), api.StatsQuery{Since: now.Add(-time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range all.Runbooks {
		names = append(names, fmt.Sprintf("%s %d %q", s.Runbook, s.Runs, s.Title))
		if len(s.Last)+len(s.Targets) > 0 {
			t.Errorf("%s has its runs in the list of all", s.Runbook)
		}
	}
	if d := cmp.Diff([]string{`gone 1 ""`, `rotate 14 "Rotate"`}, names); d != "" {
		t.Error(d)
	}

	idle, err := client.RunbookStats(t.Context(), api.StatsQuery{Runbook: "idle"})
	if err != nil || idle.Runbooks[0].Runs != 0 || idle.Runbooks[0].MedianSeconds != 0 {
		t.Errorf("one that never ran: %+v %v", idle, err)
	}
	if _, err := client.RunbookStats(t.Context(), api.StatsQuery{Runbook: "nothing"}); !fault.Is(err, fault.NotFound) {
		t.Error(err)
	}
	token := r.svc.Token(t, "bob", access.Viewer, nil)
	if resp, body := r.call(t, "GET", "/v1/runbooks/stats?since=yesterday", token, ""); resp.StatusCode != 400 || !strings.Contains(body, `"since"`) {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

func TestOnlyAnAdminHasTheFilesReadAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if _, err := r.client(t, access.Engineer).Reload(t.Context()); !fault.Is(err, fault.Denied) {
		t.Errorf("an engineer: %v", err)
	}
	admin := r.client(t, access.Admin)
	if info, err := admin.Reload(t.Context()); err != nil || info.Git == nil || info.Git.Commit == "" {
		t.Errorf("%+v %v", info, err)
	}
	r.svc.NotReady = fault.New(fault.Invalid, "the settings were not changed: x.yaml:3: no")
	if _, err := admin.Reload(t.Context()); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "x.yaml:3") {
		t.Errorf("a mistake: %v", err)
	}
}
