package diagnostics

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/secondline-ops/secondline/internal/expr"
)

func TestBands(t *testing.T) {
	t.Parallel()
	fire := func(edit func(w *world)) *world {
		w := newWorld().rooms(map[string]float64{"kitchen": 80}, true, 5)
		edit(w)
		return w
	}
	kitchen := Args{"room": "kitchen"}
	for name, c := range map[string]struct {
		world *world
		band  Band
	}{
		"a true proof with all required confirms": {fire(func(*world) {}), Confirmed},
		"a false required rules out, whatever the proof": {fire(func(w *world) {
			w.set("room.state", kitchen, Value{"heat": 20, "smoke": true})
		}), Unlikely},
		"a true refuting rules out, whatever the proof": {fire(func(w *world) {
			w.set("room.history", kitchen, Value{"alarms": 101, "owner": "ann", "complete": true})
		}), Unlikely},
		"no proof and little else is possible": {fire(func(w *world) {
			w.set("room.state", kitchen, Value{"heat": 80, "smoke": false})
		}), Possible},
		"a proof that cannot tell does not confirm": {fire(func(w *world) {
			w.set("room.state", kitchen, Value{"heat": 80})
		}), Likely},
		"a required that cannot tell is at most possible": {fire(func(w *world) {
			w.set("room.state", kitchen, Value{"smoke": true})
		}), Possible},
		"a refuting that cannot tell is at most likely": {fire(func(w *world) {
			w.set("room.history", kitchen, Value{"owner": "ann", "complete": true})
		}), Likely},
		"a failed probe proves nothing": {fire(func(w *world) { delete(w.probes["room.state"].values, factKey("room.state", kitchen)) }), Possible},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, _, _ := diagnose(t, c.world, host(nil), fireYAML)
			if len(d.Hypotheses) != 1 {
				t.Fatalf("%d hypotheses", len(d.Hypotheses))
			}
			h := d.Hypotheses[0]
			if h.Band != c.band {
				t.Errorf("band %s (p=%.3f), want %s", h.Band, h.Probability, c.band)
			}
			if d.Unknown != (c.band != Confirmed && c.band != Likely) {
				t.Errorf("unknown is %v at band %s", d.Unknown, h.Band)
			}
			if c.band == Unlikely && h.Probability > ruledOutCap+1e-9 {
				t.Errorf("ruled out, and still p=%.3f", h.Probability)
			}
		})
	}
}

func TestHypothesisSaysWhatItRestsOn(t *testing.T) {
	t.Parallel()
	w := newWorld().rooms(map[string]float64{"kitchen": 80}, true, 1)
	d, _, cat := diagnose(t, w, host(map[string]string{"alertname": "HeatHigh"}), fireYAML)
	h := d.Hypotheses[0]
	cause, _ := cat.Find("fire")
	if h.CauseDigest != cause.Digest || !strings.HasPrefix(cause.Digest, "sha256:") || h.Entity != "web1" || !h.Explains {
		t.Errorf("hypothesis %+v", h)
	}
	if diff := cmp.Diff(map[string]string{"room": "kitchen", "owner": "ann"}, h.Object); diff != "" {
		t.Errorf("object: %s", diff)
	}
	if got := h.For[0]; got.Text != "kitchen is hot" || !slices.Equal(got.Facts, []string{"room.state#1"}) || got.Weight <= 0 {
		t.Errorf("evidence for: %+v", got)
	}
	if len(h.Against) != 1 || h.Against[0].ID != "alarms" || h.Against[0].Text != "not so: history.alarms > 2" || h.Against[0].Weight >= 0 {
		t.Errorf("evidence against: %+v", h.Against)
	}
	if got := h.For[len(h.For)-1]; got.ID != "oven" || got.Truth != expr.False {
		t.Errorf("a refuting that is false must speak for the cause: %+v", got)
	}
	if want := "fire (owner=ann, room=kitchen) is confirmed: there is smoke in kitchen"; d.Why != want {
		t.Errorf("why %q, want %q", d.Why, want)
	}
	out, err := json.Marshal(d)
	if err != nil || strings.Contains(string(out), "null") {
		t.Errorf("lists must never be null: %s, %v", out, err)
	}
}

func TestFalseCountsOnlyWhenAllWasLookedAt(t *testing.T) {
	t.Parallel()
	w := newWorld().rooms(map[string]float64{"kitchen": 80}, true, 0)
	w.set("room.history", Args{"room": "kitchen"}, Value{"alarms": 0, "owner": "ann", "complete": false})
	d, _, _ := diagnose(t, w, host(nil), fireYAML)
	h := d.Hypotheses[0]
	if len(h.Against) != 0 || len(h.CannotTell) != 1 || h.CannotTell[0].ID != "alarms" {
		t.Errorf("against %+v, cannot tell %+v", h.Against, h.CannotTell)
	}
	if !strings.HasPrefix(h.CannotTell[0].Text, "cannot tell: ") || h.CannotTell[0].Why == "" || h.CannotTell[0].Weight != 0 {
		t.Errorf("cannot tell: %+v", h.CannotTell[0])
	}
}

func TestHealthyHostHasNoCause(t *testing.T) {
	t.Parallel()
	d, _, _ := diagnose(t, newWorld().rooms(map[string]float64{"kitchen": 20, "hall": 18}, false, 0),
		host(map[string]string{"alertname": "HeatHigh"}), fireYAML, ashYAML)
	if !d.Unknown {
		t.Errorf("a cause on a healthy host: %+v", d.Hypotheses[0])
	}
	for _, h := range d.Hypotheses {
		if h.Band != Unlikely {
			t.Errorf("%s is %s on a healthy host", h.Cause, h.Band)
		}
	}
}

func TestNothingReadIsUnknownAndSaysSo(t *testing.T) {
	t.Parallel()
	set := newWorld().probeSet(t)
	cat := mustCatalogue(t, mustCause(t, set, fireYAML))
	d := Rank(cat, nil, host(nil))
	if !d.Unknown || len(d.Hypotheses) != 0 || !slices.Contains(d.NotLookedAt, "room.list was not read; leaves open: fire") {
		t.Errorf("diagnosis %+v", d)
	}
	foreign := []Fact{{ID: "room.list#1", Probe: "room.list", Args: Args{}, Target: "web2", Status: OK, Value: Value{
		"rooms": []any{map[string]any{"room": "kitchen", "heat": 99.0}},
	}}}
	if d := Rank(cat, foreign, host(nil)); len(d.Hypotheses) != 0 {
		t.Errorf("facts of another host gave %+v", d.Hypotheses)
	}
}

func TestRootComesBeforeItsConsequence(t *testing.T) {
	t.Parallel()
	w := newWorld().rooms(map[string]float64{"kitchen": 80}, true, 5)
	d, _, _ := diagnose(t, w, host(map[string]string{"alertname": "AshHigh"}), fireYAML, ashYAML)
	if d.Hypotheses[0].Cause != "fire" || d.Hypotheses[1].Cause != "ash" || d.Hypotheses[1].Band != Confirmed {
		t.Errorf("order %s, %s", d.Hypotheses[0].Cause, d.Hypotheses[1].Cause)
	}
}

func TestCutListStillSaysWhereToLook(t *testing.T) {
	t.Parallel()
	_, facts, cat := diagnose(t, newWorld().rooms(map[string]float64{"kitchen": 80}, true, 5), host(nil), fireYAML)
	for i := range facts {
		if facts[i].Probe == "room.list" {
			facts[i].Status, facts[i].Error = Truncated, "no answer from attic"
		}
	}
	d := Rank(cat, facts, host(nil))
	if len(d.Hypotheses) != 1 || d.Hypotheses[0].Band != Confirmed {
		t.Errorf("hypotheses %+v", d.Hypotheses)
	}
	if want := []string{"room.list: truncated: no answer from attic; leaves open: fire"}; !slices.Equal(d.NotLookedAt, want) {
		t.Errorf("not looked at %q, want %q", d.NotLookedAt, want)
	}
}

// TestOrderOfFactsDoesNotMatter also sends the facts through JSON, as a report
// and a bundle do.
func TestOrderOfFactsDoesNotMatter(t *testing.T) {
	t.Parallel()
	w := newWorld().rooms(map[string]float64{"kitchen": 80, "hall": 60, "attic": 60}, false, 5)
	want, facts, cat := diagnose(t, w, host(nil), fireYAML, ashYAML)
	older := facts[1]
	older.ID, older.At, older.Value = "room.state#0", older.At.Add(-1), Value{"heat": 1.0, "smoke": true}
	facts = append(facts, older)
	for seed := range uint64(20) {
		rand.New(rand.NewPCG(seed, 1)).Shuffle(len(facts), func(i, j int) { facts[i], facts[j] = facts[j], facts[i] })
		data, err := json.Marshal(facts)
		if err != nil {
			t.Fatal(err)
		}
		var again []Fact
		if err := json.Unmarshal(data, &again); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, Rank(cat, again, host(nil))); diff != "" {
			t.Fatalf("seed %d: %s", seed, diff)
		}
	}
	var objects []string
	for _, h := range want.Hypotheses {
		if h.Cause == "fire" {
			objects = append(objects, h.Object["room"])
		}
	}
	if !slices.Equal(objects, []string{"attic", "hall", "kitchen"}) {
		t.Errorf("ties must stand in the order of the objects: %v", objects)
	}
}

// TestFailedProbeNeitherRaisesNorRulesOut: losing a reading never raises a cause above what
// its best outcome gives, and never lowers it below its worst.
func TestFailedProbeNeitherRaisesNorRulesOut(t *testing.T) {
	t.Parallel()
	base := newWorld().rooms(map[string]float64{"kitchen": 80}, false, 0)
	odds := func(alarms any) (float64, Band) {
		_, facts, cat := diagnose(t, base, host(nil), fireYAML)
		for i := range facts {
			if facts[i].Probe != "room.history" {
				continue
			}
			if alarms == nil {
				facts[i].Status, facts[i].Value = Failed, nil
				continue
			}
			facts[i].Value["alarms"] = alarms
		}
		h := Rank(cat, facts, host(nil)).Hypotheses[0]
		return logit(h.Probability), h.Band
	}
	high, _ := odds(5)
	low, _ := odds(0)
	lost, band := odds(nil)
	if !(low < lost && lost < high) {
		t.Errorf("log-odds %0.2f with false, %0.2f lost, %0.2f with true", low, lost, high)
	}
	if band == Unlikely {
		t.Error("a failed probe ruled the cause out")
	}
}

func TestGroupWeightsAreMonotone(t *testing.T) {
	t.Parallel()
	sum := func(own []float64) float64 {
		total := 0.0
		for _, w := range groupWeights(own) {
			total += w
		}
		return total
	}
	rapid.Check(t, func(t *rapid.T) {
		own := rapid.SliceOfN(rapid.Float64Range(-5, 5), 1, 6).Draw(t, "own")
		i := rapid.IntRange(0, len(own)-1).Draw(t, "i")
		drop := rapid.Float64Range(0.01, 5).Draw(t, "drop")
		lower := slices.Clone(own)
		lower[i] -= drop
		if sum(lower) >= sum(own) {
			t.Fatalf("%v weighs %v, and %v weighs %v", lower, sum(lower), own, sum(own))
		}
	})
}

func TestProbabilitiesLeaveRoomForTheUnknown(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		odds := rapid.SliceOfN(rapid.Float64Range(-2000, 2000), 0, 8).Draw(t, "odds")
		total := 0.0
		for _, p := range probabilities(odds) {
			if !(p >= 0 && p <= 1) {
				t.Fatalf("p = %v of %v", p, odds)
			}
			total += p
		}
		if total > 1+1e-9 {
			t.Fatalf("all together %v", total)
		}
	})
	if p := probabilities([]float64{0})[0]; p != 0.5 {
		t.Errorf("even odds against the unknown give %v", p)
	}
}

func TestSymptomThatIsGoneRulesOut(t *testing.T) {
	t.Parallel()
	w := newWorld().rooms(map[string]float64{"kitchen": 80}, true, 5)
	text := strings.Replace(fireYAML, "holds: state.heat > 50.0", "holds: state.heat > 90.0", 1)
	d, _, _ := diagnose(t, w, host(nil), text)
	if h := d.Hypotheses[0]; h.Band != Unlikely || h.Explains || !d.Unknown {
		t.Errorf("the symptom is gone, and it is %s, explains %v", h.Band, h.Explains)
	}
	d, _, _ = diagnose(t, w, host(nil), strings.Replace(text, "holds: state.heat > 90.0", "holds: state.opened_at > onset", 1))
	if h := d.Hypotheses[0]; h.Band != Possible || h.Explains {
		t.Errorf("whether the symptom holds cannot be told, and it is %s, explains %v", h.Band, h.Explains)
	}
}

func TestStrongestOfAGroupCountsInFull(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ own, want []float64 }{
		{[]float64{1, 3, -2}, []float64{0.2, 3, -0.4}},
		{[]float64{-1, -4}, []float64{-1, -0.8}},
		{[]float64{0, -4}, []float64{0, -0.8}},
		{[]float64{2}, []float64{2}},
	} {
		if got := groupWeights(c.own); !cmp.Equal(got, c.want, cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) < 1e-9 })) {
			t.Errorf("%v weighs %v, want %v", c.own, got, c.want)
		}
	}
}
