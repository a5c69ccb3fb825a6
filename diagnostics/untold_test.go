package diagnostics

import (
	"slices"
	"strings"
	"testing"
)

// TestMissingReadingIsOneLineWithTheCausesItLeavesOpen: the reading is the
// survey of both causes, and what a second reading takes from it is not known
// for want of the first.
func TestMissingReadingIsOneLineWithTheCausesItLeavesOpen(t *testing.T) {
	t.Parallel()
	const follow = `
id: follow
title: The hottest room
entity: host
prior: 0.1
object: [room]
symptoms: {holds: state.heat > 50.0, say: hot}
survey:
  all: {probe: room.list}
candidates: '[{"room": "hall"}]'
needs:
  state: {probe: room.state, with: {room: "${all.rooms[0].room}"}}
evidence:
  - {id: hot, that: state.heat > 50.0, seen_if_cause: 0.9, seen_otherwise: 0.1, group: a, role: required, say: hot}
  - {id: smoke, that: state.smoke, seen_if_cause: 0.9, seen_otherwise: 0.1, group: b, role: proof, say: smoke}
`
	d, facts, _ := diagnose(t, newWorld(), host(nil), fireYAML, ashYAML, follow)
	want := []string{"room.list: failed: room.list: not scripted; leaves open: ash, fire, follow"}
	if !slices.Equal(d.NotLookedAt, want) {
		t.Errorf("not looked at %q, want %q", d.NotLookedAt, want)
	}
	if !strings.HasSuffix(d.Why, "; 1 thing could not be looked at") {
		t.Errorf("why: %s", d.Why)
	}
	if gap := facts[0].Gap(); !IsAbout(d.NotLookedAt[0], gap) || IsAbout(d.NotLookedAt[0], gap[:len(gap)-1]) {
		t.Errorf("the line does not begin with the fact's gap %q", gap)
	}
}

func TestCandidatesWithoutAMissingReadingSayWhyThereAreNone(t *testing.T) {
	t.Parallel()
	w := newWorld().set("room.list", Args{}, Value{"rooms": []any{map[string]any{"room": "", "heat": 80.0}}})
	d, _, _ := diagnose(t, w, host(nil), fireYAML)
	if want := []string{`fire: a candidate has no "room"`}; !slices.Equal(d.NotLookedAt, want) {
		t.Errorf("not looked at %q, want %q", d.NotLookedAt, want)
	}
	w.set("room.list", Args{}, Value{"rooms": []any{map[string]any{"room": "hall"}}})
	d, _, _ = diagnose(t, w, host(nil), fireYAML)
	if len(d.NotLookedAt) != 1 || !strings.HasPrefix(d.NotLookedAt[0], "fire: where to look is not known: ") {
		t.Errorf("not looked at %q", d.NotLookedAt)
	}
}

func TestEvidenceThatCannotTellIsMergedByItsReason(t *testing.T) {
	t.Parallel()
	w := newWorld().rooms(map[string]float64{"kitchen": 80}, true, 5)
	delete(w.probes["room.history"].values, factKey("room.history", Args{"room": "kitchen"}))
	d, _, _ := diagnose(t, w, host(nil), fireYAML)
	if n := len(d.Hypotheses[0].CannotTell); n != 2 {
		t.Fatalf("%d pieces of evidence cannot tell", n)
	}
	got := MergeUntold(d.Hypotheses[0].CannotTell)
	if len(got) != 1 || len(got[0].Evidence) != 2 || !slices.Equal(got[0].Facts, []string{"room.history#1"}) {
		t.Fatalf("merged %+v", got)
	}
	if text := got[0].Text(); !strings.HasPrefix(text, "history: room.history(room=kitchen): failed") || !strings.HasSuffix(text, "; leaves open: alarms, oven") {
		t.Errorf("text %q", text)
	}
	got = MergeUntold([]Evidence{{ID: "a", Why: "x"}, {ID: "b", Why: "y"}, {ID: "c", Why: "x"}})
	if len(got) != 2 || got[0].Text() != "x; leaves open: a, c" || got[1].Text() != "y; leaves open: b" {
		t.Errorf("different reasons: %+v", got)
	}
}
