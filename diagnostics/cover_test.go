package diagnostics

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const leakYAML = `
id: leak
title: Gas leaks
entity: host
prior: 0.05
symptoms: {alerts: [GasHigh, AirBad], holds: past.alarms > 0, say: gas}
survey:
  past: {probe: room.history, with: {room: cellar}}
evidence:
  - {id: gas, that: past.alarms > 0, seen_if_cause: 0.9, seen_otherwise: 0.1, group: a, role: required, say: gas}
  - {id: hiss, that: past.alarms > 9, seen_if_cause: 0.9, seen_otherwise: 0.01, group: b, role: proof, say: it hisses}
`

// TestTheFewestCausesThatExplainAllAlerts: fire explains the alert of ash, which
// follows from it, so ash is not needed; the leak is another fault.
func TestTheFewestCausesThatExplainAllAlerts(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		alerts      []string
		alarms      int
		covers      []Cover
		unexplained []string
		why         string
	}{
		"one cause": {
			[]string{"AshHigh", "HeatHigh"},
			0,
			[]Cover{{"fire", map[string]string{"room": "kitchen", "owner": "ann"}, []string{"HeatHigh", "AshHigh"}}},
			[]string{},
			"is confirmed: there is smoke in kitchen",
		},
		"two faults": {
			[]string{"GasHigh", "AshHigh"},
			10,
			[]Cover{{"fire", map[string]string{"room": "kitchen", "owner": "ann"}, []string{"HeatHigh", "AshHigh"}}, {"leak", map[string]string{}, []string{"GasHigh"}}},
			[]string{},
			"smoke in kitchen; leak explains GasHigh",
		},
		"what nothing explains": {
			[]string{"GasHigh", "Lonely"},
			0,
			[]Cover{{"fire", map[string]string{"room": "kitchen", "owner": "ann"}, []string{"HeatHigh"}}},
			[]string{"GasHigh", "Lonely"},
			"nothing found explains GasHigh, Lonely",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld().rooms(map[string]float64{"kitchen": 80}, true, 5)
			w.set("room.history", Args{"room": "cellar"}, Value{"alarms": c.alarms, "owner": "bob", "complete": true})
			subject := host(map[string]string{"alertname": "HeatHigh"})
			subject.Alerts = c.alerts
			d, _, _ := diagnose(t, w, subject, ashYAML, leakYAML, fireYAML)
			if diff := cmp.Diff(c.covers, d.Covers); diff != "" {
				t.Error(diff)
			}
			if !slices.Equal(d.Unexplained, c.unexplained) || d.Unexplained == nil || !strings.HasSuffix(d.Why, c.why) {
				t.Errorf("unexplained %q, why %q", d.Unexplained, d.Why)
			}
		})
	}
}

// TestAProofOfOneFaultDoesNotHideTheOther: what the alerts name is read until
// they are explained.
func TestAProofOfOneFaultDoesNotHideTheOther(t *testing.T) {
	t.Parallel()
	for _, second := range []string{"", "GasHigh"} {
		w := newWorld().rooms(map[string]float64{"kitchen": 80}, true, 5)
		w.set("room.history", Args{"room": "cellar"}, Value{"alarms": 10, "owner": "bob", "complete": true})
		subject := host(map[string]string{"alertname": "HeatHigh"})
		subject.Alerts = []string{second}
		_, facts, _ := diagnose(t, w, subject, leakYAML, fireYAML)
		if read := slices.Contains(ids(facts), "room.history#1 room=cellar"); read != (second != "") {
			t.Errorf("with %q the cellar was read: %v, of %q", second, read, ids(facts))
		}
	}
}

func TestCausesThatExplainEachOtherEnd(t *testing.T) {
	t.Parallel()
	a, b := &Cause{ID: "a", Explains: []string{"b"}}, &Cause{ID: "b", Explains: []string{"a"}, Symptoms: Symptoms{Alerts: []string{"X"}}}
	if got := indexCauses([]*Cause{a, b}).explained(a, []string{"X", "Y"}); !slices.Equal(got, []string{"X"}) {
		t.Errorf("explained %q", got)
	}
}
