package controller

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/controller/triage"
	"github.com/secondline-ops/secondline/internal/fault"
)

// worn is a store that takes so many updates more.
type worn struct {
	store.Store
	left int
}

func (w *worn) Update(ctx context.Context, fn func(store.Tx) error) error {
	if w.left--; w.left < 0 {
		return fault.New(fault.Overloaded, "the disk is full")
	}
	return w.Store.Update(ctx, fn)
}

func TestLargeDeliveryIsDecidedInPartsAndGoesOnAfterARestart(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	const alerts = 2*signalsAtOnce + 7
	id := d.accept(storm(d, alerts, "web1"))
	whole, err := d.db.FindBody(t.Context(), id)
	d.must(err)
	d.app.loop.store = &worn{Store: d.db, left: 1}
	if _, err := d.app.loop.Digest(t.Context()); !fault.Is(err, fault.Overloaded) {
		t.Fatalf("got %v", err)
	}
	half, err := d.db.FindBody(t.Context(), id)
	d.must(err)
	if half.Status != store.BodyPending || half.Taken != signalsAtOnce || len(d.all()) != signalsAtOnce {
		t.Fatalf("after one part the body is %s at %d, with %d incidents", half.Status, half.Taken, len(d.all()))
	}

	d.app = d.newApp(Options{})
	d.must(d.app.loop.digestBody(t.Context(), whole)) // what was decided since it was read is not decided again
	d.must(d.app.digestAll(t.Context()))
	d.must(d.app.loop.digestBody(t.Context(), half))
	list := d.all()
	if len(list) != alerts {
		t.Fatalf("%d incidents, want %d", len(list), alerts)
	}
	for _, in := range list {
		if in.Symptoms[0].Count != 1 {
			t.Errorf("%s was counted %d times", in.Title, in.Symptoms[0].Count)
		}
	}
	signals, _, err := d.db.ListSignals(t.Context(), store.SignalFilter{Limit: 500})
	d.must(err)
	done, err := d.db.FindBody(t.Context(), id)
	d.must(err)
	if len(signals) != alerts || done.Status != store.BodySettled {
		t.Errorf("%d signals, the body is %s", len(signals), done.Status)
	}
}

func TestIncidentIsFoundAmongManyOfItsHost(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	const alerts = 250
	d.accept(storm(d, alerts, "web1"))
	d.must(d.app.digestAll(t.Context()))
	d.clock.advance(time.Minute)
	d.accept(storm(d, 1, "web1"))
	d.must(d.app.digestAll(t.Context()))
	if n := len(d.all()); n != alerts {
		t.Errorf("%d incidents: the oldest was not found any more", n)
	}
}

// In a storm people get a few messages and one about the rest, and the disk
// gets no bundle that nobody asked for.
func TestStormIsToldTogether(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	const alerts = 3 * singlyAtMost
	d.post(storm(d, alerts, "nowhere"))
	files, err := os.ReadDir(d.app.bundleDir())
	d.must(err)
	if len(files) != singlyAtMost || len(d.box.of(kindEscalated)) != singlyAtMost || len(d.box.of(kindStorm)) != 0 {
		t.Fatalf("%d bundles, %d messages", len(files), len(d.box.of(kindEscalated)))
	}
	d.wait(stormEvery)
	d.wait(stormEvery - time.Second)
	told := d.box.of(kindStorm)
	if len(told) != 1 || told[0].Subject != "Storm: 60 incidents need you" || strings.Count(told[0].Text, "Alert") != stormNamed {
		t.Fatalf("%d messages about the storm: %+v", len(told), told)
	}

	list := d.all()
	last := list[slices.IndexFunc(list, func(in *incident.Incident) bool { return in.Escalation.Together })]
	if last.Status != incident.Escalated || last.Escalation.Bundle != "" || !strings.Contains(d.story(last.ID), "in one message with others at 03:05:00") {
		t.Errorf("the last is %s with bundle %q\n%s", last.Status, last.Escalation.Bundle, d.story(last.ID))
	}
	s := service{App: d.app, People: d.app.people}
	path, err := s.BundlePath(t.Context(), last.ID)
	d.must(err)
	again, err := s.BundlePath(t.Context(), last.ID)
	d.must(err)
	if _, err := os.Stat(path); err != nil || again != path {
		t.Errorf("on demand there is %s, then %s: %v", path, again, err)
	}

	d.wait(singlyWithin) // it is over: the next one is told alone
	d.post(body(d.alert("firing", "Later", "nowhere")))
	if n := len(d.box.of(kindEscalated)); n != singlyAtMost+1 || len(d.box.of(kindStorm)) != 1 {
		t.Errorf("%d messages after the storm", n)
	}
}

func TestEndOfAStormIsToldTogether(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.post(storm(d, singlyAtMost+5, "nowhere"))
	d.wait(stormEvery)
	d.post(strings.ReplaceAll(storm(d, singlyAtMost+5, "nowhere"), `"firing"`, `"resolved"`))
	d.wait(triage.DefaultPolicy().UnverifiedHold)
	d.wait(stormEvery)
	told := d.box.of(kindStorm)
	if len(d.box.of(kindResolved)) != singlyAtMost || len(told) != 2 || told[1].Subject != "Storm: nothing waits for a person any more" {
		t.Errorf("%d messages of an end, %+v", len(d.box.of(kindResolved)), told)
	}
}

func TestQuota(t *testing.T) {
	t.Parallel()
	q := quota{most: 2, within: time.Minute}
	for i, step := range []struct {
		at   time.Duration
		want bool
	}{
		{0, true},
		{30 * time.Second, true},
		{59 * time.Second, false},
		{time.Minute, true},
		{89 * time.Second, false},
		{90 * time.Second, true},
		{-time.Hour, true}, // the clock was set back: it does not fall silent
	} {
		if got := q.admit(t0.Add(step.at)); got != step.want {
			t.Errorf("step %d: got %v", i, got)
		}
	}
}
