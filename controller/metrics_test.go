package controller

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/controller/access"
	"github.com/secondline-ops/secondline/controller/intake"
)

// metric is the value of a metric now; label is that of its only label, or "".
func (d *desk) metric(name, label string) float64 {
	d.Helper()
	families, err := d.app.metrics.registry.Gather()
	d.must(err)
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			if label == "" || m.GetLabel()[0].GetValue() == label {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	d.Fatalf("there is no metric %s %s", name, label)
	return 0
}

func TestBacklogOfDeliveriesIsMeasured(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	want := func(accepted, pending, oldest float64) {
		t.Helper()
		for name, value := range map[string]float64{
			"secondline_signals_accepted_total": accepted, "secondline_bodies_pending": pending, "secondline_bodies_pending_oldest_seconds": oldest,
		} {
			if got := d.metric(name, ""); got != value {
				t.Errorf("%s is %v, want %v", name, got, value)
			}
		}
	}
	want(0, 0, 0)
	d.accept(storm(d, 3, "nowhere"))
	d.clock.advance(20 * time.Second)
	d.accept(storm(d, 2, "nowhere"))
	d.accept("<html>")
	d.clock.advance(10 * time.Second)
	want(5, 3, 30)
	d.settle()
	want(5, 0, 0)
}

func TestRefusedDeliveriesAreCounted(t *testing.T) {
	t.Parallel()
	s := serve(t)
	post := func(role access.Role, source, text string) {
		t.Helper()
		_, _ = s.client(role).PostSignal(t.Context(), source, "application/json", []byte(text)) // refused, or not: that is what is counted
	}
	post(access.Webhook, "alertmanager", body())
	post(access.Viewer, "alertmanager", body())
	post(access.Webhook, "alertmanager", strings.Repeat(" ", intake.MaxBodyBytes+1))
	post(access.Webhook, "no-such-source", body())
	if code, _ := s.get("/v1/signals/no-such-signal"); code != http.StatusNotFound { // refused, and no delivery
		t.Errorf("got %d", code)
	}
	for why, want := range map[refusal]float64{refusedUnauthenticated: 1, refusedTooLarge: 1, refusedOther: 1, refusedOverloaded: 0} {
		if got := s.metric("secondline_deliveries_refused_total", string(why)); got != want {
			t.Errorf("%v are counted as %s, want %v", got, why, want)
		}
	}
}

func TestRefusalByStatus(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]refusal{
		200: "", 202: "", 400: refusedOther, 401: refusedUnauthenticated, 403: refusedUnauthenticated, 404: refusedOther,
		413: refusedTooLarge, 500: refusedOther, 503: refusedOverloaded,
	} {
		if got := refusalOf(status); got != want {
			t.Errorf("%d is %q, want %q", status, got, want)
		}
	}
}
