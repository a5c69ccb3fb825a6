package runbooks

import (
	"strings"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/internal/yamlx"
)

// flowing is a runbook with these steps, whose step "a" costs 4m at worst: 2m to
// act, 1m to verify, 1m to hold.
func flowing(steps string) string {
	return `apiVersion: secondline/v1
kind: Runbook
metadata: {name: flow, title: A flow}
spec:
  inputs:
    mount: {type: path}
    limit: {type: percent, default: 85}
  limits: {deadline: 24h}
  probes:
    used: {probe: disk.usage, with: {mount: "${inputs.mount}"}}
  steps:
` + steps
}

const act = `{run: [x], verify: {that: used.used_percent < 1.0, hold: 1m}, undo: none, id: `

func TestTheWorstCaseOfAFlow(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		steps string
		want  time.Duration
	}{
		"a sequence":  {"    - " + act + "a}\n    - " + act + "b}\n", 8 * time.Minute},
		"a choose":    {"    - id: c\n      choose:\n        - if: used.used_percent < 1.0\n          steps: [" + act + "a}, " + act + "b}]\n        - steps: [" + act + "d}]\n", 8 * time.Minute},
		"parallel":    {"    - id: p\n      parallel:\n        - steps: [" + act + "a}, " + act + "b}]\n        - steps: [" + act + "d}]\n", 8 * time.Minute},
		"a foreach":   {"    - id: f\n      foreach: {as: n, type: int, in: '[1]', max: 10}\n      steps: [" + act + "a}]\n", 40 * time.Minute},
		"three of 10": {"    - id: f\n      foreach: {as: n, type: int, in: '[1]', max: 10, at_once: 3}\n      steps: [" + act + "a}]\n", 16 * time.Minute},
		"a wait":      {"    - id: w\n      wait: {until: used.used_percent < 1.0, within: 5m, hold: 2m}\n", 7 * time.Minute},
		"tries":       {"    - {run: [x], verify: {that: used.used_percent < 1.0}, repeat: {ask: used.used_percent < 1.0}, retry: {count: 2, delay: 1m, backoff: 2}, undo: none, id: a}\n", 12 * time.Minute},
		"undone":      {"    - id: f\n      foreach: {as: n, type: int, in: '[1]', max: 10, at_once: 10}\n      steps: [{run: [x], verify: {that: used.used_percent < 1.0}, undo: {run: [y]}, id: a}]\n", 23 * time.Minute},
		"on failure":  {"    - " + act + "a}\n  on_failure:\n    - " + act + "b}\n  always:\n    - " + act + "c}\n", 12 * time.Minute},
	} {
		rb, err := Parse("x.yaml", []byte(flowing(tt.steps)), testOptions())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := rb.WorstCase(); got != tt.want {
			t.Errorf("%s: %s at worst, want %s", name, got, tt.want)
		}
	}
}

func TestAFlowThatCannotBeBoundedIsRefused(t *testing.T) {
	t.Parallel()
	each := func(foreach string) string {
		return "    - id: f\n      foreach: " + foreach + "\n      steps: [{id: n, note: x}]\n"
	}
	deep := "{id: n, note: x}"
	for i := range MaxNesting + 1 {
		deep = "{id: c" + strings.Repeat("x", i) + ", choose: [{steps: [" + deep + "]}]}"
	}
	for name, tt := range map[string]struct{ steps, rule, says string }{
		"no max":            {each("{as: n, type: int, in: '[1]'}"), yamlx.RuleMissingField, "max"},
		"max too large":     {each("{as: n, type: int, in: '[1]', max: 10001}"), RuleBounded, "max is 10001"},
		"too many at once":  {each("{as: n, type: int, in: '[1]', max: 2, at_once: 17}"), RuleBounded, "at_once is 17"},
		"not a list":        {each("{as: n, type: int, in: '1', max: 2}"), RuleExpression, "list"},
		"a list of lists":   {each("{as: n, type: argv, in: '[1]', max: 2}"), RuleInputs, "argv"},
		"an unknown type":   {each("{as: n, type: unti, in: '[1]', max: 2}"), RuleInputs, "unti"},
		"outside":           {"    - {id: n, note: \"${each.n}\"}\n", RuleExpression, "each"},
		"too deep":          {"    - " + deep + "\n", RuleBounded, "deep"},
		"if in the middle":  {"    - id: c\n      choose:\n        - steps: [{id: a, note: a}]\n        - steps: [{id: b, note: b}]\n", RuleForm, "only the last branch"},
		"if in parallel":    {"    - id: p\n      parallel:\n        - {if: 'true', steps: [{id: a, note: a}]}\n        - steps: [{id: b, note: b}]\n", RuleForm, "no condition"},
		"one beside none":   {"    - id: p\n      parallel:\n        - steps: [{id: a, note: a}]\n", RuleForm, "1 branches"},
		"two words":         {"    - id: p\n      parallel: [{steps: [{id: a, note: a}]}, {steps: [{id: b, note: b}]}]\n      choose: [{steps: [{id: d, note: d}]}]\n", RuleForm, "at once"},
		"the same id":       {"    - id: p\n      choose: [{steps: [{id: p, note: a}]}]\n", RuleForm, "already"},
		"a later output":    {"    - {id: a, if: outputs.n > 1, note: a}\n    - {id: b, probe: used, outputs: {n: {type: percent, from: result.used_percent}}}\n", RuleExpression, "outputs"},
		"in a template":     {"    - {id: b, probe: used, outputs: {n: {type: percent, from: result.used_percent}}}\n    - {id: a, note: \"${outputs.n}\"}\n", RuleExpression, "outputs"},
		"another branch's":  {"    - id: p\n      parallel:\n        - steps: [{id: b, probe: used, outputs: {n: {type: percent, from: result.used_percent}}}]\n        - steps: [{id: a, if: outputs.n > 1, note: a}]\n", RuleExpression, "outputs"},
		"an output of many": {"    - id: f\n      foreach: {as: n, type: int, in: '[1]', max: 2}\n      steps: [{id: b, probe: used, outputs: {o: {type: percent, from: result.used_percent}}}]\n", RuleForm, "one for each element"},
		"a list of outputs": {"    - {id: b, probe: used, outputs: {n: {type: percent, from: result.used_percent}}}\n    - id: f\n      foreach: {as: n, type: int, in: '[outputs.n]', max: 2}\n      steps: [{id: a, note: a}]\n", RuleExpression, "unrolled"},
		"two of a name":     {"    - id: p\n      choose:\n        - {if: used.used_percent > 1.0, steps: [{id: a, probe: used, outputs: {n: {type: percent, from: result.used_percent}}}]}\n        - {steps: [{id: b, probe: used, outputs: {n: {type: percent, from: result.used_percent}}}]}\n", RuleForm, "taken"},
		"no field":          {"    - {id: b, probe: used, outputs: {n: {type: percent, from: result.used}}}\n", RuleExpression, "used"},
		"no probe":          {"    - {id: b, probe: usde}\n", RuleExpression, "usde"},
		"wait for nothing":  {"    - {id: b, wait: {until: 'inputs.limit > 1.0', within: 1m}}\n", RuleBounded, "no probe"},
		"wait for ever":     {"    - {id: b, wait: {until: used.used_percent < 1.0}}\n", yamlx.RuleMissingField, "within"},
		"wait and verify":   {"    - {id: b, wait: {until: used.used_percent < 1.0, within: 1m}, verify: {that: used.used_percent < 1.0}}\n", RuleForm, "under until"},
		"too many tries":    {"    - {id: b, wait: {until: used.used_percent < 1.0, within: 1m}, retry: {count: 21}}\n", RuleBounded, "count is 21"},
		"touching nothing":  {"    - {id: b, note: x, touches: [{file: /x}]}\n", RuleForm, "only reads"},
	} {
		_, err := Parse("x.yaml", []byte(flowing(tt.steps)), testOptions())
		found := false
		for _, e := range yamlx.Errors(err) {
			found = found || e.Rule == tt.rule && strings.Contains(e.Message+e.Hint, tt.says) && e.Line > 10 && e.Snippet != ""
		}
		if !found {
			t.Errorf("%s: got %v, want %s with %q", name, err, tt.rule, tt.says)
		}
	}
}

func TestDelaysBetweenTries(t *testing.T) {
	t.Parallel()
	r := Retry{Count: 3, Delay: 10 * time.Second, Backoff: 2}
	for n, want := range map[int]time.Duration{2: 10 * time.Second, 3: 20 * time.Second, 4: 40 * time.Second} {
		if got := r.After(n); got != want {
			t.Errorf("before try %d: %s, want %s", n, got, want)
		}
	}
	if got := r.longest(); got != 70*time.Second {
		t.Errorf("in all %s", got)
	}
}

// TestConditionsReadTheOutputsBeforeThem: also where other conditions stood
// before the output was there, and not in the next branch.
func TestConditionsReadTheOutputsBeforeThem(t *testing.T) {
	t.Parallel()
	const text = `apiVersion: secondline/v1
kind: Runbook
metadata: {name: reads, title: Reads}
spec:
  steps:
    - {id: first, if: target.id == "a", effect: read, run: [uptime], outputs: {load: {type: string, from: result.stdout}}}
    - {id: second, if: outputs.load == "1", effect: read, run: [uptime]}
    - id: either
      choose:
        - if: outputs.load == "2"
          steps: [{id: third, effect: read, run: [uptime], outputs: {users: {type: string, from: result.stdout}}}]
        - steps: [{id: fourth, if: outputs.load == "3", effect: read, run: [uptime]}]
    - {id: fifth, if: outputs.users == "4", effect: read, run: [uptime]}
`
	if _, err := Parse("t.yaml", []byte(text), testOptions()); err != nil {
		t.Error(err)
	}
	wrong := strings.Replace(text, `if: outputs.load == "3"`, `if: outputs.users == "3"`, 1)
	if _, err := Parse("t.yaml", []byte(wrong), testOptions()); err == nil || !strings.Contains(err.Error(), `no field "users"`) {
		t.Errorf("a branch reads the output of another: %v", err)
	}
}
