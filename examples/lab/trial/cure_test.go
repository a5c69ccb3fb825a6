package trial

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/controller/api"
	"github.com/secondline-ops/secondline/examples/lab/faults"
)

func TestTheTableSaysWhichCuresAreGoodAndWhyNot(t *testing.T) {
	t.Parallel()
	fault := faults.Case{Fault: &faults.Fault{ID: "disk-full"}, Host: "app1"}
	var out strings.Builder
	if err := WriteCures(&out, []Cured{
		{Case: fault, Cure: faults.Cure{Runbook: "rotate"}, Status: "verified", Gone: true, Took: 12.4},
		{Case: fault, Cure: faults.Cure{Runbook: "truncate", Host: "mon"}, Status: "verified", Why: "the fault is still there"},
		{Case: fault, Cure: faults.Cure{Runbook: "clean"}, Gone: true, Why: "there is no runbook clean"},
	}); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(out.String()) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	want := []string{
		"FAULT RUNBOOK ON RUN SYMPTOM SECONDS",
		"disk-full@app1 rotate app1 verified gone 12",
		"disk-full@app1 truncate mon verified still there 0 the fault is still there",
		"disk-full@app1 clean app1 none gone 0 there is no runbook clean",
		"",
		"1 of 3 cures are good",
	}
	if got := strings.Join(lines, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

func TestARefusedPlanSaysWhy(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"run": {"why": "cancelled by somebody"}, "plan": null}`:                        "cancelled by somebody",
		`{"run": {"why": "refused"}, "plan": {"refused": "the symptom is gone"}}`:        "the symptom is gone",
		`{"run": {"why": "the check says no"}, "plan": {"refused": "", "digest": "ab"}}`: "the check says no",
	} {
		var view api.PlanView
		if err := json.Unmarshal([]byte(text), &view); err != nil {
			t.Fatal(err)
		}
		if got := whyNot(view); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}
