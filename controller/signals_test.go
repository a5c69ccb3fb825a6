package controller

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/controller/api"
	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/inventory"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/controller/triage"
	"github.com/secondline-ops/secondline/internal/fault"
)

type apiRunRequest = api.RunRequest

func request(target string, dry bool) api.RunRequest {
	return api.RunRequest{Runbook: "start-supervised-process", Target: target, DryRun: dry}
}

func emptyInventory(t testing.TB) *inventory.Inventory {
	t.Helper()
	inv, err := inventory.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return inv
}

func TestUnparseableBodyIsKeptAndVisible(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	id := d.accept(`{"alerts": "none"`)
	d.post(body(d.alert("firing", "Nonsense", "unknown-host"))) // what comes behind it is not held up
	got, err := d.db.FindBody(t.Context(), id)
	d.must(err)
	if got.Status != store.BodyUnmapped || got.Problem == "" || !strings.Contains(string(got.Data), "none") {
		t.Errorf("got %+v", got)
	}
	d.the()
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
