package runbooks

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/secondline-ops/secondline/internal/yamlx"
)

func TestACallIsCheckedAgainstWhatItCalls(t *testing.T) {
	t.Parallel()
	called, _ := testOptions().Called("restart-web")
	digest := called.Digest
	for name, c := range map[string]struct{ spec, rule, want string }{
		"unknown":         {`runbook: {name: restart-wep, digest: "` + digest + `"}`, RuleTargets, `there is no runbook "restart-wep"`},
		"not pinned":      {`runbook: {name: restart-web, with: {unit: a.service}}`, RuleTargets, "write digest: " + digest},
		"changed":         {`runbook: {name: restart-web, digest: "sha256:00", with: {unit: a.service}}`, RuleTargets, "has changed since it was pinned"},
		"input missing":   {`runbook: {name: restart-web, digest: "` + digest + `"}`, RuleInputs, "needs its input unit"},
		"input unknown":   {`runbook: {name: restart-web, digest: "` + digest + `", with: {unit: a.service, limmit: 5}}`, RuleInputs, `did you mean "limit"?`},
		"input wrong":     {`runbook: {name: restart-web, digest: "` + digest + `", with: {unit: a.service, limit: 120}}`, RuleInputs, "input limit"},
		"input is a list": {`runbook: {name: restart-web, digest: "` + digest + `", with: {unit: a.service, start: "x"}}`, RuleInputs, "only the inventory gives"},
		"hypothesis":      {`runbook: {name: restart-web, digest: "` + digest + `", with: {unit: "${hypothesis.object.unit}"}}`, RuleExpression, "hypothesis"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := strings.Replace(string(minimal("caller", "some-cause").Data), "    - {id: look, effect: read, run: [uptime]}", "    - id: web\n      "+c.spec, 1)
			_, err := Parse("caller.yaml", []byte(text), testOptions())
			all := yamlx.Errors(err)
			if len(all) != 1 || all[0].Rule != c.rule || !strings.Contains(all[0].Detail(), c.want) {
				t.Errorf("got %v, want one mistake of %s with %q", err, c.rule, c.want)
			}
		})
	}
}

func TestACallerMayDoNoMoreThanWhatItCalls(t *testing.T) {
	t.Parallel()
	called, _ := testOptions().Called("restart-web")
	text := func(cause, more string) string {
		return strings.Replace(string(minimal("caller", cause).Data), "    - {id: look, effect: read, run: [uptime]}",
			"    - {id: web, runbook: {name: restart-web, digest: "+called.Digest+", with: {unit: a.service}}}\n"+more, 1)
	}
	o := testOptions()
	o.Forbidden = map[string][]string{"fragile": {"unit.restarted"}}
	if _, err := Parse("a.yaml", []byte(text("fragile", "")), o); err == nil || yamlx.Errors(err)[0].Rule != RuleForbidden {
		t.Errorf("what a cause forbids is called: %v", err)
	}
	if _, err := Parse("a.yaml", []byte(text("other", "  autonomy: auto\n")), o); err == nil || yamlx.Errors(err)[0].Rule != RulePerson {
		t.Errorf("the caller goes further by itself: %v", err)
	}
	careful := testOptions()
	inner := *called
	inner.Autonomy = Observe
	careful.Called = func(string) (*Runbook, bool) { return &inner, true }
	if rb, err := Parse("a.yaml", []byte(text("other", "")), careful); err != nil || rb.Autonomy != Observe {
		t.Errorf("a caller that says nothing goes as far as %v, %v", rb, err)
	}
	rb, err := Parse("a.yaml", []byte(text("other", "  autonomy: approve\n")), o)
	if err != nil {
		t.Fatal(err)
	}
	if least := called.WorstCase(); rb.WorstCase() < least || len(rb.Called()) != 1 {
		t.Errorf("worst case %s, below %s of what is called; calls %v", rb.WorstCase(), least, rb.Called())
	}
}

// TestACatalogueIsReadInTheOrderOfItsCalls: whatever the names of the files.
func TestACatalogueIsReadInTheOrderOfItsCalls(t *testing.T) {
	t.Parallel()
	o := testOptions()
	o.Called = nil
	bottom := minimal("bottom", "some-cause")
	call := func(name, of string, data []byte) *fstest.MapFile {
		rb, err := Parse("x.yaml", data, ParseOptions{Decoders: o.Decoders, Probes: o.Probes, Called: func(string) (*Runbook, bool) {
			below, err := Parse("x.yaml", bottom.Data, o)
			return below, err == nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		return &fstest.MapFile{Data: []byte(strings.Replace(string(minimal(name, "some-cause").Data), "    - {id: look, effect: read, run: [uptime]}",
			"    - {id: below, runbook: {name: "+of+", digest: "+rb.Digest+"}}", 1))}
	}
	middle := call("middle", "bottom", bottom.Data)
	files := fstest.MapFS{"z.yaml": bottom, "m.yaml": middle, "a.yaml": call("top", "middle", middle.Data)}
	c, err := LoadCatalogue(files, o)
	if err != nil {
		t.Fatal(err)
	}
	top, _ := c.Find("top")
	if got := fmt.Sprint(top.Called()[0].Name, " ", top.Called()[1].Name); got != "bottom middle" {
		t.Errorf("calls %s", got)
	}
	delete(files, "z.yaml")
	if _, err := LoadCatalogue(files, o); err == nil || !strings.Contains(err.Error(), `no runbook "bottom"`) || !strings.Contains(err.Error(), `no runbook "middle"`) {
		t.Errorf("a call of nothing: %v", err)
	}
	files = fstest.MapFS{"self.yaml": &fstest.MapFile{Data: []byte(strings.Replace(string(files["m.yaml"].Data), "name: bottom", "name: middle", 1))}}
	if _, err := LoadCatalogue(files, o); err == nil {
		t.Error("a runbook calls itself")
	}
}

// TestCallsOfCallsAreBounded: each of a chain calls the one before twice.
func TestCallsOfCallsAreBounded(t *testing.T) {
	t.Parallel()
	o, shelf := testOptions(), Shelf{}
	o.Called = shelf.Find
	step := "    - {id: look, effect: read, run: [uptime], timeout: 1ms}\n"
	text := strings.Replace(string(minimal("link", "some-cause").Data), "    - {id: look, effect: read, run: [uptime]}\n", step, 1)
	first := text
	for i := range 64 {
		rb, err := Parse("link.yaml", []byte(text), o)
		if err != nil {
			all := yamlx.Errors(err)
			if all[0].Rule != RuleBounded || i != 13 { // 2^14 - 1 steps are the first above the bound
				t.Fatalf("link %d: %v", i, err)
			}
			return
		}
		if got := len(rb.Called()); got != i {
			t.Fatalf("link %d calls %d runbooks", i, got)
		}
		rb.Name = fmt.Sprint("link-", i)
		shelf.Put(rb)
		call := fmt.Sprintf("runbook: {name: %s, digest: %q}}\n", rb.Name, rb.Digest)
		text = strings.Replace(first, step, step+"    - {id: a, "+call+"    - {id: b, "+call, 1)
	}
	t.Error("any number of calls is taken")
}
