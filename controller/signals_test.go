package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/controller/api"
	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/inventory"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/controller/triage"
	"github.com/secondline-ops/secondline/internal/fault"
)

type apiRunRequest = api.RunRequest

func request(target string, dry bool) api.RunRequest {
	return api.RunRequest{Runbook: "start-supervised-process", Target: target, DryRun: dry, Inputs: map[string]string{"name": "worker"}}
}

func emptyInventory(t testing.TB) *inventory.Inventory {
	t.Helper()
	inv, err := inventory.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return inv
}

func TestUnreadableDeliveriesAreOneIncidentOfTheirSource(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	id := d.accept(`{"alerts": "none", "password": "hunter2-hunter2"}`)
	d.clock.advance(time.Minute)
	d.accept(`<html>`)
	d.clock.advance(time.Minute)
	_, err := d.app.inbox.Accept(t.Context(), "generic/backup", "", []byte(`{}`))
	d.must(err)
	d.clock.advance(time.Minute)
	d.post(body(d.alert("firing", "ProcessGone", "web1"))) // what comes behind them is not held up

	kept, err := d.db.FindBody(t.Context(), id)
	d.must(err)
	if kept.Status != store.BodyUnmapped || kept.Problem == "" || !strings.Contains(string(kept.Data), "none") {
		t.Errorf("kept %+v", kept)
	}
	sig, err := d.db.FindSignal(t.Context(), id)
	d.must(err)
	if sig.Source != "alertmanager" || sig.Annotations["problem"] == "" || !strings.Contains(sig.Annotations["excerpt"], `"none"`) ||
		strings.Contains(sig.Annotations["excerpt"], "hunter2") {
		t.Errorf("signal %+v", sig)
	}
	list := d.all()
	if len(list) != 3 {
		t.Fatalf("%d incidents, want one for each source and one for the alert", len(list))
	}
	in := list[2]
	if in.ID != sig.IncidentID || in.Title != "a delivery of alertmanager could not be read" || in.Status != incident.Escalated ||
		in.Jobs != 0 || len(in.Symptoms) != 1 || in.Symptoms[0].Count != 2 {
		t.Errorf("incident %s is %s with %d jobs, %+v", in.Title, in.Status, in.Jobs, in.Symptoms)
	}
	if story := d.story(in.ID); strings.Count(story, "it begins: ") != 1 || strings.Contains(story, "hunter2") {
		t.Errorf("the timeline does not say once what was wrong:\n%s", story)
	}
	if list[1].Title != "a delivery of generic/backup could not be read" {
		t.Errorf("the other source's incident is %q", list[1].Title)
	}
	if n := d.metric("secondline_bodies_unmapped_total", ""); n != 3 {
		t.Errorf("%v bodies were counted, want 3", n)
	}
	d.next(job.Diagnose) // the alert's, and nothing else

	d.must(d.app.people.Resolve(t.Context(), in.ID, "ada", "told the sender"))
	d.wait(7 * time.Minute) // longer than the echo of what was resolved
	d.post(`<html>`)        // a relapse calls a person again and looks at no host
	if in := d.all()[2]; in.Status != incident.Escalated || in.Jobs != 0 || len(d.all()) != 3 {
		t.Errorf("after a relapse it is %s with %d jobs", in.Status, in.Jobs)
	}
}

func TestStateThatNobodyKnowsCountsAsFiring(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	weird := body(d.alert("weird", "ProcessGone", "web1"))
	d.post(weird)
	d.clock.advance(time.Second) // signals of one moment have no order
	d.post(weird)
	in := d.wantStatus(incident.Diagnosing, triage.JobInFlight)
	if story := d.story(in.ID); strings.Count(story, `"weird" is not known and counts as firing`) != 1 {
		t.Errorf("the timeline does not say why it was opened:\n%s", story)
	}
	list, _, err := d.db.ListSignals(t.Context(), store.SignalFilter{})
	d.must(err)
	if len(list) != 2 || list[1].State != incident.StateUnknown || list[1].Action != incident.DeedOpened || list[0].Action != incident.DeedDuplicate {
		t.Errorf("signals %+v", list)
	}
	d.post(body(d.alert("weird", "Other", "web1"), d.alert("acknowledged", "Third", "web1"))) // known, and no reason to look
	if n := len(d.all()); n != 2 {
		t.Errorf("%d incidents, want 2", n)
	}
}

func TestTruncatedGroupIsSaidOnTheIncident(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	cut := func(n int) string {
		return strings.Replace(body(d.alert("firing", "ProcessGone", "web1")), `"version":"4"`, fmt.Sprintf(`"version":"4","truncatedAlerts":%d`, n), 1)
	}
	for _, n := range []int{7, 7, 3, 0} {
		d.post(cut(n))
	}
	in := d.the()
	if in.TruncatedAlerts != 7 || strings.Count(d.story(in.ID), "left 7 more alerts of the group out") != 1 {
		t.Errorf("%d alerts are missing\n%s", in.TruncatedAlerts, d.story(in.ID))
	}
}

func TestSecretsOfAnAlertAreNotKeptInSignals(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	const password, bearer = "hunter2-hunter2", "abcdef0123456789ABCDEF"
	id := d.accept(`{"alerts":[{"status":"firing","fingerprint":"f","generatorURL":"http://u:` + password + `@prometheus/graph",
		"labels":{"alertname":"db_password=` + password + `","instance":"web1","db_password":"` + password + `","severity":"token=` + bearer + `"},
		"annotations":{"summary":"curl -H 'Authorization: Bearer ` + bearer + `'","token":"` + bearer + `","pass_rate":"99"}}]}`)
	d.settle()
	in := d.the()
	events := d.events(in.ID)
	signals, _, err := d.db.ListSignals(t.Context(), store.SignalFilter{})
	d.must(err)
	text, err := json.Marshal([]any{in, events, signals})
	d.must(err)
	if strings.Contains(string(text), password) || strings.Contains(string(text), bearer) {
		t.Errorf("a secret was kept: %s", text)
	}
	if s := signals[0]; in.Entity != "web1" || s.Labels["instance"] != "web1" || s.Annotations["pass_rate"] != "99" || !strings.Contains(s.Annotations["summary"], "curl -H") {
		t.Errorf("too much was taken out: %+v", s)
	}
	kept, err := d.db.FindBody(t.Context(), id)
	d.must(err)
	if !strings.Contains(string(kept.Data), password) {
		t.Error("the raw body was changed")
	}
}

func TestSameAlertAHundredTimesIsOneIncident(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	one := d.alert("firing", "ProcessGone", "web1")
	for range 50 {
		d.accept(body(one, one)) // twice in one body, too
	}
	d.settle()
	in := d.the()
	if len(in.Symptoms) != 1 || in.Symptoms[0].Count != 100 {
		t.Errorf("symptoms %+v", in.Symptoms)
	}
	if n := len(d.events(in.ID)); n > 10 {
		t.Errorf("%d events", n)
	}
}

func TestOneBodyMayTouchOneIncidentOften(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	a := d.alert("firing", "UnitFailed", "web1", "name", "nginx.service")
	b := d.alert("firing", "UnitFlapping", "web1:9100", "name", "nginx.service", "severity", "critical")
	other := d.alert("firing", "UnitFailed", "web2", "name", "nginx.service")
	d.post(body(a, b, d.alert("resolved", "UnitFailed", "web1", "name", "nginx.service"), other))
	list := d.all()
	if len(list) != 2 {
		t.Fatalf("%d incidents, want one for each host", len(list))
	}
	in := list[1]
	if in.Entity != "web1" || len(in.Symptoms) != 2 || in.Severity != incident.Critical || in.Priority != "P1" {
		t.Errorf("got %s %s %s %+v", in.Entity, in.Severity, in.Priority, in.Symptoms)
	}
	d.post(body(a, a, b))
	if len(d.all()) != 2 {
		t.Error("a repetition opened an incident")
	}
}

func TestResolvedBeforeFiringOpensNothing(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.post(body(d.alert("resolved", "ProcessGone", "web1")))
	if n := len(d.all()); n != 0 {
		t.Errorf("%d incidents", n)
	}
	list, _, err := d.db.ListSignals(t.Context(), store.SignalFilter{})
	d.must(err)
	if len(list) != 1 || list[0].Action != incident.DeedStored || list[0].Reason == "" {
		t.Errorf("signals %+v", list)
	}
}

func TestHostileLabelsStayData(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	evil := "$(reboot)'\"<script>\x1b[2J\u202e{{.}}"
	d.post(body(d.alert("firing", evil, "web1", "name", "x.service; reboot", "mountpoint", "/a\n/b", "../../etc", "x")))
	in := d.the()
	if in.Hints["unit"] != "" || in.Hints["mount"] != "" || strings.ContainsAny(in.Title, "\x1b\n") {
		t.Errorf("title %q, hints %v", in.Title, in.Hints)
	}
	if in.Status != incident.Diagnosing {
		t.Errorf("status %s", in.Status)
	}
}

func TestCrashBetweenStoringAndDecidingLosesNothing(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.accept(body(d.alert("firing", "ProcessGone", "web1"))) // stored, and the controller is gone
	d.app = d.newApp(Options{})
	d.settle()
	d.wantStatus(incident.Diagnosing, triage.JobInFlight)
}

// failing is a store whose updates fail as long as refuse is set.
type failing struct {
	store.Store
	refuse error
}

func (f *failing) Update(ctx context.Context, fn func(store.Tx) error) error {
	if f.refuse != nil {
		return f.refuse
	}
	return f.Store.Update(ctx, fn)
}

func TestFullDiskPutsDecidingOffAndLosesNothing(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.accept(body(d.alert("firing", "ProcessGone", "web1")))
	full := &failing{Store: d.db, refuse: fault.New(fault.Overloaded, "the disk is full")}
	d.app.loop.store = full
	for range 3 {
		if _, err := d.app.loop.Digest(t.Context()); !fault.Is(err, fault.Overloaded) {
			t.Fatalf("got %v", err)
		}
	}
	full.refuse = nil
	d.settle()
	d.wantStatus(incident.Diagnosing, triage.JobInFlight)
}

func TestBodyThatCannotBeDecidedDoesNotHoldUpTheNext(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.accept(body(d.alert("firing", "ProcessGone", "web1")))
	d.clock.advance(time.Second) // bodies of one moment have no order
	d.accept(body(d.alert("firing", "ProcessGone", "web2")))
	broken := &brokenQueue{Store: d.db, queue: agentQueue("web1")}
	d.app.loop.store = broken
	d.must(d.app.digestAll(t.Context()))
	list := d.all()
	if len(list) != 2 || list[0].Status != incident.Diagnosing || list[1].Status != incident.New || list[1].DueAt.IsZero() {
		t.Fatalf("incidents %+v", list)
	}
	broken.queue = ""
	d.clock.advance(claimFor)
	d.settle()
	if in := d.all()[1]; in.Status != incident.Diagnosing {
		t.Errorf("the one that failed was forgotten: %s", in.Status)
	}
}

func TestBodyThatCanNeverBeDecidedIsSetAside(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	bad := d.accept(body(d.alert("firing", "ProcessGone", "web1")))
	d.clock.advance(time.Second)
	d.accept(body(d.alert("firing", "ProcessGone", "web2")))
	d.app.loop.store = &unsaveable{Store: d.db, entity: "web1", problem: fault.New(fault.Unreachable, "away")}
	for range 2 {
		if _, err := d.app.loop.Digest(t.Context()); !fault.Is(err, fault.Unreachable) {
			t.Fatalf("got %v", err)
		}
	}
	if kept, err := d.db.FindBody(t.Context(), bad); err != nil || kept.Status != store.BodyPending || len(d.all()) != 0 {
		t.Fatalf("a store that is away set the body aside: %s, %d incidents, %v", kept.Status, len(d.all()), err)
	}
	d.app.loop.store = &unsaveable{Store: d.db, entity: "web1", problem: errors.New("a bug")}
	d.must(d.app.digestAll(t.Context()))
	kept, err := d.db.FindBody(t.Context(), bad)
	d.must(err)
	list := d.all()
	if kept.Status != store.BodyUnmapped || !strings.Contains(kept.Problem, "1 of its 1 signals could not be decided: update the store: a bug") || len(list) != 2 {
		t.Fatalf("the body is %s (%s), %d incidents", kept.Status, kept.Problem, len(list))
	}
	if list[0].Entity != "web2" || list[1].Status != incident.Escalated || list[1].Title != "a delivery of alertmanager could not be read" {
		t.Errorf("incidents %+v", list)
	}
}

// unsaveable is a store that refuses incidents of one entity.
type unsaveable struct {
	store.Store
	entity  string
	problem error
}

type unsaveableTx struct {
	store.Tx
	*unsaveable
}

func (u *unsaveable) Update(ctx context.Context, fn func(store.Tx) error) error {
	return u.Store.Update(ctx, func(tx store.Tx) error { return fn(unsaveableTx{tx, u}) })
}

func (u unsaveableTx) SaveIncident(ctx context.Context, in *incident.Incident) error {
	if in.Entity == u.entity {
		return u.problem
	}
	return u.Tx.SaveIncident(ctx, in)
}

// brokenQueue refuses jobs for one queue, as a bug would: for ever.
type brokenQueue struct {
	store.Store
	queue string
}

type brokenTx struct {
	store.Tx
	queue string
}

func (b *brokenQueue) Update(ctx context.Context, fn func(store.Tx) error) error {
	return b.Store.Update(ctx, func(tx store.Tx) error { return fn(brokenTx{tx, b.queue}) })
}

func (b brokenTx) Enqueue(ctx context.Context, j store.Job) (bool, error) {
	if j.Queue == b.queue {
		return false, errors.New("a bug")
	}
	return b.Tx.Enqueue(ctx, j)
}

func TestTwoControllersOnOneStore(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	second := d.newApp(Options{})
	const alerts = 20
	for i := range alerts {
		d.accept(body(d.alert("firing", fmt.Sprintf("A%d", i), "unknown"), d.alert("firing", "Same", "web1")))
	}
	var wg sync.WaitGroup
	for _, app := range []*App{d.app, second} {
		for range 2 {
			wg.Go(func() {
				if err := app.digestAll(t.Context()); err != nil {
					t.Error(err)
				}
				if err := app.reconcileDue(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	list := d.all()
	if len(list) != alerts+1 {
		t.Fatalf("%d incidents, want %d", len(list), alerts+1)
	}
	for _, in := range list {
		if in.Title == "Same" && in.Symptoms[0].Count != alerts {
			t.Errorf("%d signals were counted, want %d", in.Symptoms[0].Count, alerts)
		}
	}
	for range 2 { // both act on one incident at once: each act is in the timeline, once
		wg.Go(func() {
			for _, app := range []*App{d.app, second} {
				if err := app.people.Note(t.Context(), list[0].ID, "ada", "hello"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := strings.Count(d.story(list[0].ID), "hello"); n != 4 {
		t.Errorf("%d notes, want 4", n)
	}
}
