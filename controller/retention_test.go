package controller

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/controller/access"
	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/internal/fault"
)

const day = 24 * time.Hour

// keepDefaults configures the retention that a controller has by itself.
func keepDefaults(s *Settings) { s.Retention = DefaultRetention() }

// toClosed has the incident resolved by hand and closed.
func (d *desk) toClosed() {
	d.Helper()
	d.must(d.app.people.Resolve(d.Context(), "1", "ada", "it is well"))
	d.wait(incident.ReopenWithin)
	d.wantStands(incident.Closed)
}

// wantStands is that the only incident is there and has the status.
func (d *desk) wantStands(want incident.Status) {
	d.Helper()
	if in := d.the(); in.Status != want {
		d.Fatalf("incident is %s, want %s\n%s", in.Status, want, d.story(in.ID))
	}
}

func (d *desk) retire() {
	d.Helper()
	d.must(d.app.retire(d.Context()))
}

// bundles lists the bundle folder.
func (d *desk) bundles() string {
	d.Helper()
	files, err := os.ReadDir(d.app.bundleDir())
	d.must(err)
	var names []string
	for _, f := range files {
		names = append(names, f.Name())
	}
	return strings.Join(names, " ")
}

func TestClosedIncidentGoesAfterItsRetention(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.change(keepDefaults)
	raw := d.accept(body(d.alert("firing", "ProcessGone", "web1")))
	d.settle()
	d.toClosed()

	d.clock.advance(30*day - time.Hour)
	d.retire()
	_, err := d.db.FindBody(t.Context(), raw)
	d.must(err)
	d.clock.advance(time.Hour)
	d.retire()
	_, err = d.db.FindBody(t.Context(), raw)
	d.wantKind(err, fault.NotFound)
	d.wantStands(incident.Closed)

	d.clock.advance(370*day - incident.ReopenWithin)
	d.retire() // exactly 400 days after it was resolved
	d.wantStands(incident.Closed)
	id := d.the().ID
	d.clock.advance(time.Hour) // so is the diagnosis that nobody reported: its deadline was later
	d.retire()
	if n := len(d.all()); n != 0 {
		t.Fatalf("%d incidents are left", n)
	}
	if n := len(d.events(id)); n != 0 {
		t.Errorf("%d events are left", n)
	}
	d.post(body(d.alert("firing", "ProcessGone", "web1")))
	if in := d.the(); in.Number != 2 {
		t.Errorf("the next incident has number %d", in.Number)
	}
}

func TestWhatIsNotOverStays(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.change(keepDefaults)
	d.post(body(d.alert("firing", "ProcessGone", "web1")))
	d.must(d.app.people.Escalate(t.Context(), "1", "ada", "I want to see this"))
	d.settle()
	bundle := d.bundles()
	d.clock.advance(3000 * day)
	d.retire()
	d.wantStands(incident.Escalated)
	if d.bundles() != bundle || bundle == "" {
		t.Errorf("bundles were %q and are %q", bundle, d.bundles())
	}
}

func TestNothingGoesWithoutRetention(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	raw := d.accept(body(d.alert("firing", "ProcessGone", "web1")))
	d.settle()
	d.must(d.app.people.Escalate(t.Context(), "1", "ada", ""))
	d.settle()
	d.toClosed()
	bundle := d.bundles()
	d.clock.advance(3000 * day)
	d.retire()
	_, err := d.db.FindBody(t.Context(), raw)
	d.must(err)
	if len(d.all()) != 1 || d.bundles() != bundle || bundle == "" {
		t.Errorf("%d incidents and %q are left", len(d.all()), d.bundles())
	}
}

func TestBundleGoesWhenItsIncidentIsClosed(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.change(func(s *Settings) { s.Retention = Retention{Bundles: 10 * day} })
	d.post(body(d.alert("firing", "ProcessGone", "web1")))
	d.must(d.app.people.Escalate(t.Context(), "1", "ada", ""))
	d.settle()
	bundle := d.bundles()
	foreign := []string{
		"incident-1.tar.gz", "incident-1-20200101T000000Z.tar.gz.bak", "incident-x-20200101T000000Z.tar.gz", "notes.txt", "incident-1-20201301T000000Z.tar.gz",
	}
	for _, name := range foreign {
		d.must(os.WriteFile(filepath.Join(d.app.bundleDir(), name), []byte("mine"), 0o600))
	}
	orphan := filepath.Join(d.app.bundleDir(), "incident-77-20200101T000000Z.tar.gz") // its incident went before
	d.must(os.WriteFile(orphan, nil, 0o600))
	for name, age := range map[string]time.Duration{".new-old": 11 * day, ".new-just-now": 0} {
		file := filepath.Join(d.app.bundleDir(), name)
		d.must(os.WriteFile(file, nil, 0o600))
		d.must(os.Chtimes(file, time.Time{}, t0.Add(10*day-age)))
	}
	d.clock.advance(9 * day)
	d.must(d.app.people.Resolve(t.Context(), "1", "ada", "it is well"))
	d.clock.advance(day + time.Minute) // old enough, and resolved: a signal may bring it back
	d.retire()
	left := d.bundles()
	if !strings.Contains(left, bundle) || strings.Contains(left, "incident-77") || strings.Contains(left, ".new-old") || !strings.Contains(left, ".new-just-now") {
		t.Errorf("left are %s", left)
	}
	d.settle()
	d.wantStands(incident.Closed)
	if path, err := (service{d.app, d.app.people}).BundlePath(t.Context(), "1"); err != nil || filepath.Base(path) != bundle {
		t.Errorf("bundle at %s, %v", path, err)
	}
	d.retire()
	left = d.bundles()
	if strings.Contains(left, bundle) {
		t.Errorf("left are %s", left)
	}
	for _, name := range foreign {
		if !strings.Contains(left, name) {
			t.Errorf("the foreign file %s is gone", name)
		}
	}
	_, err := (service{d.app, d.app.people}).BundlePath(t.Context(), "1")
	d.wantKind(err, fault.NotFound)
	if !strings.Contains(err.Error(), "written on 2026-03-01, is gone: retention removes bundles after 10d") {
		t.Errorf("got %v", err)
	}
}

func TestMissingBundleIsNotBlamedOnRetention(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.change(keepDefaults)
	s.must(s.db.Update(t.Context(), func(tx store.Tx) error {
		in := &incident.Incident{ID: "i", Status: incident.Escalated, Escalation: &incident.Escalation{Bundle: bundleName(1, s.clock.now())}}
		return tx.SaveIncident(t.Context(), in)
	}))
	code, text := s.get("/v1/incidents/1/bundle")
	if code != http.StatusNotFound || !strings.Contains(text, "is missing") || strings.Contains(text, "retention removes") {
		t.Errorf("%d %s", code, text)
	}
}

func TestOldRowsOfNoIncidentGo(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.change(keepDefaults)
	ctx := t.Context()
	d.must(d.db.Update(ctx, func(tx store.Tx) error {
		if _, err := tx.Enqueue(ctx, store.Job{ID: "check", Queue: "agent:web1", Key: "check", RunAt: t0}); err != nil {
			return err
		}
		if _, err := tx.FinishJob(ctx, "check", 0, store.JobDone, nil, t0); err != nil {
			return err
		}
		return tx.SaveSignals(ctx, []incident.Signal{{ID: "strayed", ReceivedAt: t0}})
	}))
	d.must(d.db.SaveToken(ctx, store.Token{Hash: "session", Parent: "p", ExpiresAt: t0.Add(access.SessionFor)}))
	d.clock.advance(keepExpiredTokens + access.SessionFor)
	d.retire()
	_, err := d.db.FindToken(ctx, "session")
	d.must(err)
	d.clock.advance(time.Second)
	d.retire()
	_, err = d.db.FindToken(ctx, "session")
	d.wantKind(err, fault.NotFound)
	_, err = d.db.FindJob(ctx, "check")
	d.must(err)
	d.clock.advance(30 * day)
	d.retire()
	_, err = d.db.FindJob(ctx, "check")
	d.wantKind(err, fault.NotFound)
	_, err = d.db.FindSignal(ctx, "strayed")
	d.wantKind(err, fault.NotFound)
}

func TestRetentionProblems(t *testing.T) {
	t.Parallel()
	if p := DefaultRetention().Problems(); len(p) != 0 {
		t.Errorf("the defaults: %v", p)
	}
	hour := Retention{Bodies: time.Hour, Incidents: time.Hour, Bundles: time.Hour}
	if p := hour.Problems(); len(p) != 0 {
		t.Errorf("an hour: %v", p)
	}
	for _, c := range []struct {
		name string
		r    Retention
		want string
	}{
		{"bodies", Retention{0, time.Hour, time.Hour}, "0s is too short to keep anything; at least 1h is needed"},
		{"incidents", Retention{time.Hour, 59 * time.Minute, time.Hour}, "59m is too short"},
		{"incidents", Retention{time.Hour, 10 * time.Minute, time.Hour}, "10m is shorter than the 30m after which a resolved incident can no longer come back; at least 1h"},
		{"bundles", Retention{time.Hour, time.Hour, -30 * day}, "-720h is too short"},
	} {
		p := c.r.Problems()
		if len(p) != 1 || !strings.Contains(p[c.name], c.want) {
			t.Errorf("%+v: %v, want %s", c.r, p, c.want)
		}
	}
}

func TestBundleNameIsReadBack(t *testing.T) {
	t.Parallel()
	number, written, ok := parseBundleName(bundleName(123, t0.In(time.FixedZone("x", 3600))))
	if !ok || number != 123 || !written.Equal(t0) {
		t.Errorf("%d %v %t", number, written, ok)
	}
}
