package incident

import (
	"os"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/internal/fault"
)

// The drawing in the documentation is the table in the code, edge for edge.
func TestDrawingMatchesTransitions(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	var drawn, coded []string
	for _, m := range regexp.MustCompile(`(?m)^  (\w+) --> (\w+)$`).FindAllStringSubmatch(string(page), -1) {
		drawn = append(drawn, m[1]+" -> "+m[2])
	}
	for from, list := range Transitions() {
		for _, to := range list {
			coded = append(coded, string(from)+" -> "+string(to))
		}
	}
	slices.Sort(drawn)
	slices.Sort(coded)
	if !slices.Equal(drawn, coded) {
		t.Errorf("drawn:\n%v\ncoded:\n%v", drawn, coded)
	}
}

func TestEveryStatusHasARow(t *testing.T) {
	t.Parallel()
	for _, s := range Statuses() {
		if _, ok := Transitions()[s]; !ok {
			t.Errorf("%s has no row", s)
		}
	}
}

func TestBecomeRefusesWhatTheTableDoesNotAllow(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	for _, from := range Statuses() {
		for _, to := range Statuses() {
			in := &Incident{ID: "i", Status: from}
			err := in.Become(to, now, "x", "r", "t")
			switch {
			case from == to:
				if err != nil || len(in.TakeEvents()) != 0 {
					t.Errorf("%s again: %v", from, err)
				}
			case from.MayBecome(to):
				if err != nil || in.Status != to || len(in.TakeEvents()) != 1 {
					t.Errorf("%s -> %s: %v, now %s", from, to, err, in.Status)
				}
			default:
				if !fault.Is(err, fault.Conflict) || in.Status != from || len(in.TakeEvents()) != 0 {
					t.Errorf("%s -> %s was not refused: %v", from, to, err)
				}
			}
		}
	}
}

func TestAbsorb(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	sig := Signal{ID: "s1", Source: "am", Identity: "f", State: Firing, StartsAt: now, Title: "disk"}
	in := Open("i", sig, nil, now)
	if in.Absorb(sig, now.Add(time.Minute)) {
		t.Error("a repetition counts as a change")
	}
	if !in.SourceResolvedAt().IsZero() {
		t.Error("it still fires")
	}
	other := sig
	other.Identity, other.ID = "g", "s2"
	if !in.Absorb(other, now) || len(in.Symptoms) != 2 {
		t.Fatal("another identity is another symptom")
	}
	sig.State = SourceSaysOK
	in.Absorb(sig, now.Add(2*time.Minute))
	if !in.SourceResolvedAt().IsZero() {
		t.Error("one of two still fires")
	}
	other.State = SourceSaysOK
	in.Absorb(other, now.Add(3*time.Minute))
	if got := in.SourceResolvedAt(); !got.Equal(now.Add(3 * time.Minute)) {
		t.Errorf("source resolved at %s", got)
	}
	for i := range 2 * MaxSymptoms {
		sig.Identity = string(rune('A'+i%26)) + string(rune(i))
		in.Absorb(sig, now)
	}
	if len(in.Symptoms) > MaxSymptoms {
		t.Errorf("%d symptoms, more than the limit", len(in.Symptoms))
	}
}

func TestHypothesisKeyRoundTrip(t *testing.T) {
	t.Parallel()
	object := map[string]string{"mount": `/a "b" {c}`, "unit": "x@y.service"}
	cause, entity, got := SplitKey(HypothesisKey("disk-full", "db1@site", object))
	if cause != "disk-full" || entity != "db1@site" || got["mount"] != object["mount"] || got["unit"] != object["unit"] {
		t.Errorf("got %q %q %v", cause, entity, got)
	}
	if c, _, _ := SplitKey("no key"); c != "" {
		t.Errorf("made a cause of nothing: %q", c)
	}
}
