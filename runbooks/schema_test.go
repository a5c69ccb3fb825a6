package runbooks_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/internal/schematest"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/actions"
)

// compiled is the schema of the real actions, and the probes of the page.
func compiled(t *testing.T) schematest.Schema {
	t.Helper()
	return schematest.Compile(t, runbooks.Schema(runbooks.ParseOptions{Decoders: actions.Decoders(), Probes: runbooks.FakeProbes()}))
}

func TestSchemaTakesWhatTheLoaderTakes(t *testing.T) {
	t.Parallel()
	schema := compiled(t)
	for _, e := range runbooks.PageExamples(t) {
		if !e.Accept {
			continue
		}
		if err := schema.Validate(t, e.Text); err != nil {
			t.Errorf("line %d: %v", e.Line, err)
		}
	}
}

// TestSchemaRefusesWhatEditorsCanSee also says of which rules an editor shows
// all mistakes of the page; the others need the loader.
func TestSchemaRefusesWhatEditorsCanSee(t *testing.T) {
	t.Parallel()
	schema := compiled(t)
	seen := []string{runbooks.RuleTargets, runbooks.RulePrecheck, runbooks.RuleUnsupported, runbooks.RuleForm}
	for _, e := range runbooks.PageExamples(t) {
		if !e.Accept && slices.Contains(seen, e.Rule) && schema.Validate(t, e.Text) == nil {
			t.Errorf("line %d: nothing is wrong with\n%s", e.Line, e.Text)
		}
	}
}

// TestSchemaSeesOneWrongWord takes a runbook that is right, and makes one
// mistake at a time.
func TestSchemaSeesOneWrongWord(t *testing.T) {
	t.Parallel()
	const right = `apiVersion: secondline/v1
kind: Runbook
metadata: {name: example, title: An example}
spec:
  inputs:
    unit: {type: unit, from: hypothesis.object.unit}
  probes:
    used: {probe: disk.usage, with: {mount: /var}}
    process: {probe: process.match}
  steps:
    - id: restart
      unit: {name: "${inputs.unit}", state: restarted}
      timeout: 2m
      preserve: [journal]
      touches: [{file: /var/log/orders.log}]
      retry: {count: 2, delay: 10s, backoff: 1.5}
      verify: {that: used.used_percent < 85.0, hold: 0}
      undo: none
    - id: each
      foreach: {as: name, type: path, in: '["/tmp"]', max: 3}
      steps:
        - id: clean
          cleanup: {path: "${each.name}", match: ["*.tmp"], min_age: 1h}
          preserve: none
          undo: none
    - id: way
      choose:
        - if: used.used_percent > 90.0
          steps:
            - {id: say, note: it is full}
        - steps:
            - {id: after, probe: used, outputs: {left: {type: percent, from: result.used_percent}}}
  autonomy: approve
`
	schema := compiled(t)
	if err := schema.Validate(t, right); err != nil {
		t.Fatalf("the runbook itself: %v", err)
	}
	for _, c := range []struct{ word, wrong string }{
		{"secondline/v1", "secondline/v2"},
		{"title: An example", "titel: An example"},
		{"name: example", "name: An_Example"},
		{"type: unit", "type: units"},
		{"probe: disk.usage", "probe: disk.usages"},
		{"with: {mount: /var}", "with: {mont: /var}"},
		{", with: {mount: /var}", ""},
		{"{probe: process.match}", "{probe: process.match, with: {mount: /var}}"},
		{"state: restarted", "state: restart"},
		{`name: "${inputs.unit}", `, ""},
		{"timeout: 2m", "timeout: 120"},
		{"timeout: 2m", "timeout: 2 minutes"},
		{"[journal]", "[jornal]"},
		{"[journal]", "[]"},
		{"file: /var/log", "path: /var/log"},
		{"{file: /var/log/orders.log}", "{file: /a, unit: b}"},
		{"count: 2, ", ""},
		{"count: 2", "count: 21"},
		{"backoff: 1.5", "backoff: 0.5"},
		{"undo: none\n    - id: each", "undo: nothing\n    - id: each"},
		{"max: 3", "max: three"},
		{"type: path", "type: argv"},
		{"match:", "matches:"},
		{"note: it is full", "note: it is full, run: [df]"},
		{"if: used", "when: used"},
		{"from: result.used_percent", "form: result.used_percent"},
		{"autonomy: approve", "autonomy: aprove"},
		{"- id: way", "- name: way"},
	} {
		wrong := strings.Replace(right, c.word, c.wrong, 1)
		if wrong == right {
			t.Errorf("%q is not there", c.word)
		}
		if schema.Validate(t, wrong) == nil {
			t.Errorf("%q in place of %q is taken", c.wrong, c.word)
		}
	}
}
