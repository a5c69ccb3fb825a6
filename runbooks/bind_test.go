package runbooks

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
)

// parseInputs returns a runbook with the inputs, in YAML.
func parseInputs(t *testing.T, inputs string) *Runbook {
	t.Helper()
	text := "apiVersion: secondline/v1\nkind: Runbook\nmetadata: {name: x, title: X}\nspec:\n" +
		"  inputs:\n    " + strings.ReplaceAll(strings.TrimSpace(inputs), "\n", "\n    ") +
		"\n  steps:\n    - {id: look, effect: read, run: [uptime]}\n"
	rb, err := Parse("x.yaml", []byte(text), testOptions())
	if err != nil {
		t.Fatal(err)
	}
	return rb
}

func testVars(object map[string]any) map[string]any {
	e := entity.Entity{
		ID: "db1", Kind: entity.Host,
		Budgets: []entity.Budget{
			{Path: "/srv/a", Bytes: 1 << 30, Delete: []string{"*.gz"}, Keep: 2, MinAge: time.Hour},
			{Path: "/srv/b", Bytes: 5, Delete: []string{"*.tmp", "*.old"}, Keep: 0},
		},
		Processes: []entity.Process{{Name: "worker", Start: []string{"/bin/worker", "--name=a b"}}},
	}
	return map[string]any{
		VarEntity: e.Vars(),
		VarTarget: map[string]any{"id": "db1", "address": "10.0.0.5", "user": "ops"},
		VarHypothesis: map[string]any{
			"cause": "c", "entity": "db1", "band": "confirmed", "object": object, "evidence": map[string]any{"seen": "true"},
		},
	}
}

const budgetInputs = `
path: {type: path, from: hypothesis.object.path}
patterns: {type: patterns, from: 'entity.budgets.filter(b, b.path == inputs.path)[0].delete'}
keep: {type: int, from: 'entity.budgets.filter(b, b.path == inputs.path)[0].keep'}
age: {type: duration, from: 'duration(string(entity.budgets.filter(b, b.path == inputs.path)[0].min_age_seconds) + "s")'}
`

func TestInputsComeFromTheHypothesisAndTheInventory(t *testing.T) {
	t.Parallel()
	values, shown, err := BindInputs(parseInputs(t, budgetInputs), nil, testVars(map[string]any{"path": "/srv/a"}))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"path": "/srv/a", "patterns": []any{"*.gz"}, "keep": int64(2), "age": time.Hour}
	if diff := cmp.Diff(want, values); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"path": "/srv/a", "patterns": `["*.gz"]`, "keep": "2", "age": "1h0m0s"}, shown); diff != "" {
		t.Errorf("shown (-want +got):\n%s", diff)
	}
}

func TestAPersonsValueStandsInForFrom(t *testing.T) {
	t.Parallel()
	vars := testVars(nil)
	vars[VarHypothesis] = expr.Unknown{Why: "a person started it"}
	values, _, err := BindInputs(parseInputs(t, budgetInputs), map[string]string{"path": "/srv/b"}, vars)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]any{"*.tmp", "*.old"}, values["patterns"]); diff != "" {
		t.Errorf("patterns (-want +got):\n%s", diff)
	}
}

func TestListsComeOnlyFromTheInventory(t *testing.T) {
	t.Parallel()
	_, _, err := BindInputs(parseInputs(t, budgetInputs), map[string]string{"patterns": `["*"]`}, testVars(map[string]any{"path": "/srv/a"}))
	if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "only the inventory") {
		t.Errorf("a person gave patterns: %v", err)
	}
	for name, from := range map[string]string{
		"of the hypothesis":   `'[hypothesis.object.path]'`,
		"mixed":               `'["/bin/worker", hypothesis.object.path]'`,
		"a part of a list":    `'entity.processes[0].start.filter(s, s == "/bin/worker")'`,
		"of the runbook":      `'["rm", "-rf"]'`,
		"a list and one more": `'entity.processes[0].start + ["--root"]'`,
	} {
		rb := parseInputs(t, "start: {type: argv, from: "+from+"}")
		if values, _, err := BindInputs(rb, nil, testVars(map[string]any{"path": "/srv/a"})); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: got %v, %v", name, values, err)
		}
	}
	rb := parseInputs(t, `start: {type: argv, from: 'entity.processes.filter(p, p.name == hypothesis.object.name)[0].start'}`)
	values, _, err := BindInputs(rb, nil, testVars(map[string]any{"name": "worker"}))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]any{"/bin/worker", "--name=a b"}, values["start"]); diff != "" {
		t.Errorf("start (-want +got):\n%s", diff)
	}
}

func TestInputsAreRefusedByName(t *testing.T) {
	t.Parallel()
	rb := parseInputs(t, "mount: {type: path}\nlimit: {type: percent, default: 85, max: 99}\nunit: {type: unit, from: hypothesis.object.unit}\n"+
		"other: {type: string, from: inputs.unit}")
	_, _, err := BindInputs(rb, map[string]string{"limit": "99.5", "mnt": "/"}, testVars(map[string]any{}))
	for _, want := range []string{
		`has no input "mnt"`, "input mount is missing", "input limit is 99.5, above its max of 99",
		"input unit cannot be told from hypothesis.object.unit", "input other cannot be told from inputs.unit",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
}

func TestValuesAreCheckedByType(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		t    InputType
		text string
		want any // nil: refused
	}{
		{InputString, "a b;$(c)", "a b;$(c)"},
		{InputString, "-rf", nil},
		{InputString, "a\x00b", nil},
		{InputString, "a\nb", nil},
		{InputString, "\xff", nil},
		{InputString, "", ""},
		{InputString, strings.Repeat("x", maxValueBytes+1), nil},
		{InputPath, "/var/log", "/var/log"},
		{InputPath, "/", "/"},
		{InputPath, "/a b", "/a b"},
		{InputPath, "var", nil},
		{InputPath, "", nil},
		{InputPath, "/var/../etc", nil},
		{InputPath, "/var/", nil},
		{InputPath, "//var", nil},
		{InputPath, "/a\x1b[2J", nil},
		{InputPath, "/" + strings.Repeat("x", 4095), nil},
		{InputUnit, "nginx.service", "nginx.service"},
		{InputUnit, "postgresql@15-main", "postgresql@15-main.service"},
		{InputUnit, "a.timer", "a.timer"},
		{InputUnit, "foo.bar", "foo.bar.service"},
		{InputUnit, `dev-disk\x2d.device`, `dev-disk\x2d.device`},
		{InputUnit, "--all", nil},
		{InputUnit, "*", nil},
		{InputUnit, "a b", nil},
		{InputUnit, "", nil},
		{InputUnit, "ä", nil},
		{InputUnit, "a/b", nil},
		{InputUnit, strings.Repeat("x", 250), nil},
		{InputPercent, "85", 85.0},
		{InputPercent, "85.5%", 85.5},
		{InputPercent, "101", nil},
		{InputPercent, "-1", nil},
		{InputPercent, "NaN", nil},
		{InputPercent, "Inf", nil},
		{InputInt, "-7", int64(-7)},
		{InputInt, "7.0", nil},
		{InputInt, "99999999999999999999", nil},
		{InputBool, "true", true},
		{InputBool, "yes", nil},
		{InputDuration, "5m", 5 * time.Minute},
		{InputDuration, "5", nil},
		{InputDuration, "-5m", nil},
		{InputBytes, "1500", int64(1500)},
		{InputBytes, "2GiB", int64(2 << 30)},
		{InputBytes, "1.5 KB", int64(1500)},
		{InputBytes, "-1", nil},
		{InputBytes, "-1KiB", nil},
		{InputBytes, "9999999TiB", nil},
		{InputBytes, "NaNB", nil},
		{InputBytes, "GiB", nil},
		{InputArgv, "x", nil},
		{InputPatterns, "x", nil},
		{InputType("other"), "x", nil},
	} {
		got, err := parseValue(c.t, c.text)
		if c.want == nil && err == nil {
			t.Errorf("%s %.40q is taken as %v", c.t, c.text, got)
		}
		if c.want != nil && (err != nil || got != c.want) {
			t.Errorf("%s %.40q is %v, %v; want %v", c.t, c.text, got, err, c.want)
		}
	}
}

func TestEveryInputTypeHasAnExpressionType(t *testing.T) {
	t.Parallel()
	for _, it := range InputTypes() {
		if it.exprType() == "" {
			t.Errorf("%s has none", it)
		}
	}
}

func FuzzParseValue(f *testing.F) {
	for i := range InputTypes() {
		for _, text := range []string{"/var/log", "nginx@1.service", "85%", "1.5GiB", "5m", "-rf", "true", "a\x00b", "\xff"} {
			f.Add(i, text)
		}
	}
	f.Fuzz(func(t *testing.T, i int, text string) {
		types := InputTypes()
		it := types[(i%len(types)+len(types))%len(types)]
		v, err := parseValue(it, text)
		if err != nil {
			return
		}
		if it.List() {
			t.Fatalf("a list was read from text: %q", text)
		}
		shown := showValue(v)
		if it != InputInt && strings.HasPrefix(shown, "-") {
			t.Fatalf("%s %q would be read as an option", it, text)
		}
		if strings.ContainsAny(shown, "\x00\n\x1b") {
			t.Fatalf("%s %q holds control characters", it, text)
		}
		if it == InputPath && (!strings.HasPrefix(shown, "/") || strings.Contains(shown+"/", "/../")) {
			t.Fatalf("%q is no safe path", text)
		}
		again, err := parseValue(it, shown)
		if err != nil || again != v {
			t.Fatalf("%s %q shows as %q, which reads as %v, %v", it, text, shown, again, err)
		}
	})
}

func TestProbeArgumentsAreFilledIn(t *testing.T) {
	t.Parallel()
	rb := parseInputs(t, `start: {type: argv, from: 'entity.processes[0].start'}
none: {type: argv, from: 'entity.processes[0].match'}
name: {type: string, default: 'x"y'}`)
	values, _, err := BindInputs(rb, nil, testVars(nil))
	if err != nil {
		t.Fatal(err)
	}
	env, err := rb.Env(ScopeTemplate, testProbes{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	use := ProbeUse{Probe: "process.match", With: map[string]string{
		"match": "${inputs.start}", "pid_file": "/run/${inputs.name}.pid", "other": "${inputs.none}",
	}}
	got, err := use.Args(t.Context(), env, map[string]any{VarInputs: values})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"match": `["/bin/worker","--name=a b"]`, "pid_file": `/run/x"y.pid`, "other": ""}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := use.Args(t.Context(), env, map[string]any{VarInputs: expr.Unknown{Why: "gone"}}); err == nil {
		t.Error("an unknown value was filled in")
	}
}
