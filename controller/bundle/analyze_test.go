package bundle

import (
	"slices"
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/diagnostics"
)

func catalogueOf(t *testing.T, texts ...string) *diagnostics.Catalogue {
	t.Helper()
	var causes []*diagnostics.Cause
	for _, text := range texts {
		cause, err := diagnostics.ParseCause("cause.yaml", []byte(text), probeSet(t))
		if err != nil {
			t.Fatal(err)
		}
		causes = append(causes, cause)
	}
	cat, err := diagnostics.NewCatalogue(causes)
	if err != nil {
		t.Fatal(err)
	}
	return cat
}

func said(changes []Change) string {
	lines := []string{}
	for _, c := range changes {
		lines = append(lines, c.String())
	}
	return strings.Join(lines, "\n")
}

func TestAnalyzeSaysWhatTodaysCausesMakeOfIt(t *testing.T) {
	t.Parallel()
	_, b := written(t, assemble(t, newWorld(t, "x")), nil)
	same, err := Analyze(b, catalogueOf(t, fullYAML), probeSet(t))
	if err != nil || len(same.Changes) != 0 || len(same.Unread) != 0 || same.Diagnosis.Hypotheses[0].Band != diagnostics.Confirmed {
		t.Errorf("the same causes: %v, %+v", err, same)
	}
	stricter := strings.ReplaceAll(fullYAML, ">= 95.0", ">= 98.0")
	other := strings.ReplaceAll(fullYAML, "id: disk-full\n", "id: disk-overfull\n")
	got, err := Analyze(b, catalogueOf(t, stricter, other), probeSet(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"diagnosis: disk-full on db1 was confirmed, is ", "evidence: disk-full on db1/brimful was true, is false",
		"diagnosis: disk-overfull on db1 is new: confirmed", "diagnosis: the most likely cause was disk-full on db1, is disk-overfull on db1",
		"the definition of the cause was sha256:",
	} {
		if !strings.Contains(said(got.Changes), want) {
			t.Errorf("does not say %q:\n%s", want, said(got.Changes))
		}
	}
	gone, err := Analyze(b, catalogueOf(t, other), probeSet(t))
	if err != nil || !strings.Contains(said(gone.Changes), "diagnosis: disk-full on db1 is gone; it was confirmed") {
		t.Errorf("%v:\n%s", err, said(gone.Changes))
	}
}

// It goes by the raw bytes: a stated value proves nothing, and what is not here
// cannot be told.
func TestAnalyzeTrustsNoStatedValue(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "x")
	w.facts[0].Value = diagnostics.Value{"percent": 12.0}
	a, err := Analyze(assemble(t, w), catalogueOf(t, fullYAML), probeSet(t))
	if err != nil || a.Diagnosis.Hypotheses[0].Band != diagnostics.Confirmed {
		t.Errorf("%v: %+v", err, a)
	}
	w = newWorld(t, "x")
	w.raws = map[string][]byte{}
	a, err = Analyze(assemble(t, w), catalogueOf(t, fullYAML), probeSet(t))
	if err != nil || !a.Diagnosis.Unknown || !slices.Contains(a.Unread, "1:disk.fill#1: its bytes are not in the bundle") {
		t.Errorf("%v: %+v", err, a)
	}
}

func TestAnalyzeAndDiffRefuseWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	b := assemble(t, newWorld(t, "x"))
	broken := forged(t, b, factsFile, []byte("{"))
	if _, err := Analyze(broken, catalogueOf(t, fullYAML), probeSet(t)); err == nil {
		t.Error("Analyze read it")
	}
	if _, err := Diff(b, broken); err == nil || !strings.Contains(err.Error(), "the second") {
		t.Errorf("Diff: %v", err)
	}
}

func TestDiffSaysWhatDiffers(t *testing.T) {
	t.Parallel()
	a := assemble(t, newWorld(t, "x"))
	if same, err := Diff(a, assemble(t, newWorld(t, "x"))); err != nil || len(same) != 0 {
		t.Errorf("the same twice: %v %v", same, err)
	}
	w := newWorld(t, "x")
	w.fact("3:disk.fill#1", "41\n", at(6))
	w.in.Runs[0].Status, w.in.Runs = "undone", w.in.Runs[:1]
	w.in.Priority, w.in.Diagnosis = "P4", nil
	w.facts = slices.DeleteFunc(w.facts, func(f diagnostics.Fact) bool { return f.Probe == "unit.status" })
	changes, err := Diff(a, assemble(t, w))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"incident: priority", "is P4", "diagnosis: the most likely cause was disk-full on db1, is unknown", "diagnosis: disk-full on db1 is gone; it was confirmed",
		"reading: disk.fill on db1: percent was 40, is 41", "reading: unit.status on db1 is gone; it was timed_out",
		"run: make-room on db1 (run-1) was verified, is undone", "run: drop-cache on db1 (run-2) is gone; it was rejected",
	} {
		if !strings.Contains(said(changes), want) {
			t.Errorf("does not say %q:\n%s", want, said(changes))
		}
	}
}
