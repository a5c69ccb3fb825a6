package diagnostics

import (
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestWhatIsRuledOutIsNotReadOn(t *testing.T) {
	t.Parallel()
	w := newWorld().rooms(map[string]float64{"kitchen": 80}, true, 5)
	w.set("room.state", Args{"room": "kitchen"}, Value{"heat": 20, "smoke": true}) // it has cooled down since it was listed
	w.probes["room.history"].spec.CostSeconds = 1
	d, facts, _ := diagnose(t, w, host(nil), fireYAML)
	if got := ids(facts); !slices.Equal(got, []string{"room.list#1 ", "room.state#1 room=kitchen"}) {
		t.Errorf("read %q", got)
	}
	if len(d.NotLookedAt) != 0 || d.Hypotheses[0].Band != Unlikely {
		t.Errorf("what nobody needs is called missing: %q, %s", d.NotLookedAt, d.Hypotheses[0].Band)
	}
}

// TestAProofEndsTheReading, but not that of what it may follow from.
func TestAProofEndsTheReading(t *testing.T) {
	t.Parallel()
	const floodYAML = `
id: flood
title: Water in a room
entity: host
object: [room]
prior: 0.01
symptoms: {alerts: [AshHigh], holds: past.alarms > 0, say: wet}
survey:
  all: {probe: room.list}
candidates: 'all.rooms.map(r, {"room": r.room})'
needs:
  past: {probe: room.history, with: {room: "${object.room}", days: "7"}}
evidence:
  - {id: wet, that: past.alarms > 0, seen_if_cause: 0.9, seen_otherwise: 0.3, group: a, role: required, say: wet}
`
	w := newWorld().rooms(map[string]float64{"kitchen": 80}, true, 5)
	w.probes["room.history"].spec.CostSeconds = 60
	d, facts, _ := diagnose(t, w, host(map[string]string{"alertname": "AshHigh"}), floodYAML, ashYAML, fireYAML)
	if got := ids(facts); !slices.Equal(got, []string{"room.list#1 ", "room.state#1 room=kitchen", "room.history#1 room=kitchen"}) {
		t.Errorf("read %q", got)
	}
	if want := []string{"1 reading of other causes not made, because what was found explains the alert"}; !slices.Equal(d.NotLookedAt, want) {
		t.Errorf("not looked at: %q", d.NotLookedAt)
	}
	if top := d.Hypotheses[0]; top.Cause != "fire" || top.Band != Confirmed {
		t.Errorf("top is %s, %s", top.Cause, top.Band)
	}
}

func TestWhatSettlesMostForItsCostIsReadFirst(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		state, history float64 // seconds
		first          string
	}{
		"as dear":      {1, 1, "room.state"},
		"much cheaper": {100, 0, "room.history"},
	} {
		w := newWorld().rooms(map[string]float64{"kitchen": 80}, true, 5)
		w.probes["room.state"].spec.CostSeconds, w.probes["room.history"].spec.CostSeconds = c.state, c.history
		set := w.probeSet(t)
		cause := mustCause(t, set, strings.Replace(fireYAML, "  - {id: smoke, that: state.smoke,", "  - {id: smoke, that: state.smoke && state.heat > 45.0,", 1))
		run := collector(set).start(server{}, host(nil))
		run.read(t.Context(), surveyRequests([]*Cause{cause}, host(nil)))
		if got := run.bestFirst(suspects([]*Cause{cause}, host(nil), run.index())); len(got) != 2 || got[0].probe != c.first {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestExpectedGain(t *testing.T) {
	t.Parallel()
	if got := expectedGain(0.5, 0.999999, 0.000001); math.Abs(got-1) > 1e-3 {
		t.Errorf("a sure answer to an even question settles %f bits", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		p, s, f := rapid.Float64Range(0, 1).Draw(t, "p"), rapid.Float64Range(0.001, 0.999).Draw(t, "s"), rapid.Float64Range(0.001, 0.999).Draw(t, "f")
		switch got := expectedGain(p, s, f); {
		case math.IsNaN(got) || got < 0 || got > entropy(p)+1e-12:
			t.Errorf("gain %f of %f bits", got, entropy(p))
		case s == f && got > 1e-9:
			t.Errorf("an answer that depends on nothing settles %f", got)
		case got > 0 && math.Abs(expectedGain(p, 1-s, 1-f)-got) > 1e-9:
			t.Error("the same question asked the other way round settles something else")
		}
	})
}
