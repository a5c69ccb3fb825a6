package runbooks

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/yamlx"
)

const whole = `apiVersion: secondline/v1
kind: Runbook
metadata: {name: free-space, title: Free space, owner: web, labels: {area: disk}}
spec:
  cures: [disk-full-logs]
  inputs:
    mount: {type: path, from: hypothesis.object.mount}
    limit: {type: percent, default: 90, max: 99, description: healthy}
    unit: {type: unit, default: orders}
  targets: {max: 1}
  limits: {locks: [host, "disk/${inputs.mount}"], deadline: 20m}
  probes:
    used: {probe: disk.usage, with: {mount: "${inputs.mount}"}}
  require:
    - {that: used.used_percent > inputs.limit, because: the symptom is gone}
  steps:
    - id: rotate
      if: hypothesis.has("too-much")
      run: [logrotate, --force, "${inputs.mount}/x"]
      as: root
      timeout: 1m
      preserve: [open-files, log-tail]
      repeat: {ask: used.used_percent < inputs.limit}
      verify: {that: used.used_percent < inputs.limit, within: 30s, hold: 5m}
      undo: {run: [logger, "back ${inputs.mount}"]}
    - id: start
      unit: {name: "${inputs.unit}", state: started}
      verify: {hold: 30s}
    - {id: look, effect: read, run: [uptime]}
  autonomy: auto
  escalate: {to: web, collect: [journal], say: it did not help}
  self_service: true
`

func TestParseWhole(t *testing.T) {
	t.Parallel()
	got, err := Parse("free.yaml", []byte(whole), testOptions())
	if err != nil {
		t.Fatal(err)
	}
	want := &Runbook{
		Name: "free-space", Title: "Free space", Owner: "web", Labels: map[string]string{"area": "disk"},
		Cures: []string{"disk-full-logs"}, SelfService: true,
		Inputs: []Input{
			{Name: "mount", Type: InputPath, From: "hypothesis.object.mount", Required: true},
			{Name: "limit", Type: InputPercent, Default: "90", Max: "99", Description: "healthy"},
			{Name: "unit", Type: InputUnit, Default: "orders"},
		},
		MaxTargets: 1, Locks: []string{"host", "disk/${inputs.mount}"}, Deadline: 20 * time.Minute,
		Probes:  []ProbeUse{{Name: "used", Probe: "disk.usage", With: map[string]string{"mount": "${inputs.mount}"}}},
		Require: []Requirement{{That: "used.used_percent > inputs.limit", Because: "the symptom is gone"}},
		Steps: []Step{
			{
				ID: "rotate", If: `hypothesis.has("too-much")`, Action: "run", With: []string{"logrotate", "--force", "${inputs.mount}/x"},
				Effect: Write, As: "root", Timeout: time.Minute, Preserve: []string{"open-files", "log-tail"},
				Verify: Verify{That: "used.used_percent < inputs.limit", Within: 30 * time.Second, Hold: 5 * time.Minute},
				Undo:   Undo{Run: []string{"logger", "back ${inputs.mount}"}},
				Repeat: Repeat{Ask: "used.used_percent < inputs.limit"}, Line: 17,
			},
			{
				ID: "start", Action: "unit", Effect: Write, Timeout: DefaultStepTimeout,
				With: struct {
					Name  string `yaml:"name,required"`
					State string `yaml:"state,required"`
				}{"${inputs.unit}", "started"},
				Verify: Verify{Within: DefaultVerifyWithin, Hold: 30 * time.Second},
				Undo:   Undo{Own: true}, Repeat: Repeat{Always: true}, Line: 26,
			},
			{ID: "look", Action: "run", With: []string{"uptime"}, Effect: Read, Timeout: DefaultStepTimeout, Repeat: Repeat{Always: true}, Line: 29},
		},
		Flow:     []Block{{ID: "rotate", Line: 17}, {ID: "start", Line: 26, Step: 1}, {ID: "look", Line: 29, Step: 2}},
		Autonomy: Auto, Escalate: Escalate{To: "web", Collect: []string{"journal"}, Say: "it did not help"},
		Digest: got.Digest, Source: []byte(whole), File: "free.yaml",
		Deeds: []string{"run.logrotate", "run.logger", "unit.started", "run.uptime"},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Runbook{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// 2 × 30s evidence, 1m, 30s, 5m; 2m, 1m, 30s; 2m; undo 1m and 2m.
	if worst := 60*time.Second + 6*time.Minute + 30*time.Second + 3*time.Minute + 30*time.Second + 2*time.Minute + 3*time.Minute; got.WorstCase() != worst {
		t.Errorf("worst case is %s, want %s", got.WorstCase(), worst)
	}
	if !strings.HasPrefix(got.Digest, "sha256:") || len(got.Digest) != len("sha256:")+64 {
		t.Errorf("digest is %q", got.Digest)
	}
}

func TestMistakesAreReportedAllAtOnceWithTheirPlace(t *testing.T) {
	t.Parallel()
	text := strings.NewReplacer(
		"type: percent, default: 90", "type: precent, default: 90",
		"probe: disk.usage", "probe: disk.usge",
		"state: started", "stat: started",
		"as: root", "as: Root!",
		"undo: {run", "undoo: {run",
		"collect: [journal]", "collect: [jurnal]",
		"self_service: true", "self_service: true\n  windows: [1]",
	).Replace(whole)
	_, err := Parse("free.yaml", []byte(text), testOptions())
	if !fault.Is(err, fault.Invalid) {
		t.Fatalf("got %v", err)
	}
	var got []string
	for _, e := range yamlx.Errors(err) {
		got = append(got, e.Error()+" / "+e.Hint+" / "+e.Rule)
	}
	for _, want := range []string{
		`free.yaml:8:19: input type "precent" is not known / did you mean "percent"? / SL015`,
		`free.yaml:13:19: probe "disk.usge" is not known / did you mean "disk.usage"? / SL014`,
		`free.yaml:25:7: unknown field "undoo" / did you mean "undo"? / yaml-unknown-field`,
		`free.yaml:27:38: unknown field "stat" / did you mean "state"? / yaml-unknown-field`,
		`free.yaml:31:33: evidence "jurnal" is not known / did you mean "journal"? / SL011`,
		`free.yaml:33:3: "windows" is not supported by this version / it is refused because leaving it out would run a different runbook / SL012`,
	} {
		found := false
		for _, g := range got {
			found = found || g == want
		}
		if !found {
			t.Errorf("missing: %s\nin:\n%s", want, strings.Join(got, "\n"))
		}
	}
}

func TestExpressionErrorsPointIntoTheExpression(t *testing.T) {
	t.Parallel()
	text := strings.Replace(whole, "that: used.used_percent > inputs.limit,", "that: used.used_percent > inputs.limt,", 1)
	_, err := Parse("free.yaml", []byte(text), testOptions())
	errs := yamlx.Errors(err)
	if len(errs) != 1 || errs[0].Line != 15 || errs[0].Column < 14 || errs[0].Rule != RuleExpression || !strings.Contains(errs[0].Message+errs[0].Hint, "limit") {
		t.Errorf("got %v", err)
		for _, e := range errs {
			t.Log(e.Detail())
		}
	}
}

func TestUnsupportedWordsAreNeverIgnored(t *testing.T) {
	t.Parallel()
	for _, word := range laterStepWords() {
		text := strings.Replace(whole, "      as: root\n", "      "+word+": {x: 1}\n", 1)
		_, err := Parse("x.yaml", []byte(text), testOptions())
		errs := yamlx.Errors(err)
		if len(errs) == 0 || errs[0].Rule != RuleUnsupported || errs[0].Line != 20 {
			t.Errorf("step word %s: %v", word, err)
		}
	}
	for _, word := range []string{"windows"} {
		_, err := Parse("x.yaml", []byte(whole+"  "+word+": 3m\n"), testOptions())
		if errs := yamlx.Errors(err); len(errs) != 1 || errs[0].Rule != RuleUnsupported {
			t.Errorf("spec word %s: %v", word, err)
		}
	}
	for _, word := range []string{"keep_healthy", "breaker"} {
		_, err := Parse("x.yaml", []byte(strings.Replace(whole, "limits: {", "limits: {"+word+": 1, ", 1)), testOptions())
		if errs := yamlx.Errors(err); len(errs) == 0 || errs[0].Rule != RuleUnsupported {
			t.Errorf("limit %s: %v", word, err)
		}
	}
}

func TestMoreMistakes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ old, new, rule, message string }{
		{"secondline/v1", "secondline/v2", RuleForm, "apiVersion"},
		{"kind: Runbook", "kind: Book", RuleForm, "kind"},
		{"name: free-space", "name: Free", RuleForm, "name"},
		{"id: start", "id: rotate", RuleForm, "already in line 17"},
		{"mount: {type", "Mount: {type", RuleForm, "input name"},
		{"used: {probe", "inputs: {probe", RuleForm, "taken"},
		{", with: {mount: \"${inputs.mount}\"}", "", RuleExpression, "needs \"mount\""},
		{"timeout: 1m", "timeout: 0s", RuleBounded, "timeout"},
		{"within: 30s", "within: 0s", RuleBounded, "within"},
		{"hold: 5m", "hold: -5m", RuleBounded, "hold"},
		{"deadline: 20m", "deadline: 48h", RuleBounded, "deadline"},
		{"deadline: 20m", "deadline: 10m", RuleBounded, "worst case"},
		{"autonomy: auto", "autonomy: full", RuleForm, "autonomy"},
		{"cures: [disk-full-logs]", "cures: [a, a]", RuleForm, "twice"},
		{"undo: {run: [logger,", "undo: {run: [sh, -c,", RuleNoShell, "code"},
		{"undo: {run: [logger, \"back ${inputs.mount}\"]}", "undo: later", RuleVerified, "undo is none"},
		{"undo: {run: [logger, \"back ${inputs.mount}\"]}", "undo: {run: []}", RuleNoShell, "list of arguments"},
		{"[open-files, log-tail]", "[]", RulePreserve, "preserves nothing"},
		{"[open-files, log-tail]", "[journal, journal]", RulePreserve, "twice"},
		{"repeat: {ask: used.used_percent < inputs.limit}", "repeat: often", RuleRepeat, "often"},
		{"{id: look, effect: read, run: [uptime]}", "{id: look, effect: read, run: [touch, /tmp/x]}", RulePerson, "effect is read, but run is of effect write; it only reads with one of df, "},
		{"{id: look, effect: read, run: [uptime]}", "{id: look, effect: read, run: [/tmp/uptime]}", RulePerson, "only reads with one of"},
		{"{id: look, effect: read, run: [uptime]}", "{id: look, effect: read, run: [sudo, uptime]}", RulePerson, "effect is read"},
		{"{id: look, effect: read, run: [uptime]}", "{id: look, effect: read, run: [uptime], verify: {hold: 1s}}", RuleVerified, "needs that"},
		{"\"disk/${inputs.mount}\"", "\"disk/${inputs.nothing}\"", RuleExpression, "nothing"},
		{"default: 90, max: 99", "default: 90, max: much", RuleInputs, "max"},
		{"- {that: used.used_percent > inputs.limit, because: the symptom is gone}", "-", RuleForm, "nothing stands here"},
		{"- {id: look, effect: read, run: [uptime]}", "-", RuleForm, "nothing stands here"},
		{"verify: {hold: 30s}", "verify:", RuleForm, "nothing stands here"},
		{"{type: path, from: hypothesis.object.mount}", "", RuleForm, "nothing stands here"},
		{"unit: {name: \"${inputs.unit}\", state: started}", "unit:", RuleForm, "does not say what to unit"},
		{whole, "", RuleForm, "empty"},
		{"unit: {type: unit, default: orders}", "unit: {type: unit, default: orders, max: 3}", RuleInputs, "max"},
	} {
		if !strings.Contains(whole, c.old) {
			t.Fatalf("%q is not in the runbook", c.old)
		}
		_, err := Parse("x.yaml", []byte(strings.Replace(whole, c.old, c.new, 1)), testOptions())
		found := false
		for _, e := range yamlx.Errors(err) {
			found = found || e.Rule == c.rule && strings.Contains(e.Message, c.message)
		}
		if !found {
			t.Errorf("%s: want %s %q, got %v", c.new, c.rule, c.message, err)
		}
	}
}

func TestAStepMayRaiseItsEffect(t *testing.T) {
	t.Parallel()
	text := strings.NewReplacer("      unit: {name", "      effect: irreversible\n      unit: {name", "autonomy: auto", "autonomy: approve").Replace(whole)
	rb, err := Parse("x.yaml", []byte(text), testOptions())
	if err != nil {
		t.Fatal(err)
	}
	if rb.Steps[1].Effect != Irreversible {
		t.Errorf("effect is %s", rb.Steps[1].Effect)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(whole))
	f.Add([]byte("{}"))
	f.Add([]byte("spec: {steps: [{id: a, run: [sh, -c, \"${inputs.x}\"]}], inputs: {x: {type: argv}}, probes: 1}"))
	f.Add([]byte("spec: &a [*a]"))
	files, _ := filepath.Glob(filepath.Join("library", "*.yaml"))
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		rb, err := Parse("fuzz.yaml", data, testOptions())
		if err != nil {
			if len(yamlx.Errors(err)) == 0 {
				t.Fatalf("an error without a position: %v", err)
			}
			return
		}
		// What the loader promises of every runbook that it lets through.
		if rb.Name == "" || len(rb.Steps) == 0 || rb.WorstCase() > rb.Deadline || rb.MaxTargets != 1 {
			t.Fatalf("not what the loader promises: %+v", rb)
		}
		for _, s := range rb.Steps {
			own := s.Action == "unit"
			if s.Effect != Read && (s.Verify.That == "" && !own || s.Verify.Within <= 0 || !s.Undo.None && !s.Undoes()) {
				t.Fatalf("step %+v changes something without verify or undo", s)
			}
			if s.Effect == Irreversible && rb.Autonomy == Auto {
				t.Fatal("irreversible and auto")
			}
		}
	})
}

func TestARefusedEffectSaysWhere(t *testing.T) {
	t.Parallel()
	_, err := Parse("x.yaml", []byte(strings.Replace(whole, "run: [uptime]", "run: [touch, /tmp/x]", 1)), testOptions())
	if err == nil || !strings.Contains(err.Error(), "x.yaml:29:26: effect is read") {
		t.Errorf("got %v", err)
	}
}

func TestAListInputStandsAloneOrNotAtAll(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		argv string
		good bool
	}{
		{`["${inputs.start}"]`, true},
		{`[nice, "${inputs.start}", --more]`, true},
		{`[echo, "${ inputs.start }"]`, true},
		{`[echo, "x${inputs.start}"]`, false},
		{`[echo, " ${inputs.start}"]`, false},
		{`[" ${inputs.start}"]`, false},
		{`[echo, "${inputs.start}${inputs.start}"]`, false},
		{`[echo, '${inputs.start.join(" ")}']`, true}, // text, and one element
		{`[echo, "${inputs.stat}"]`, false},
		{`[echo, "${entity.groups}"]`, false},
		{`["${entity.id}"]`, false},
	} {
		text := "apiVersion: secondline/v1\nkind: Runbook\nmetadata: {name: x, title: X}\nspec:\n" +
			"  inputs: {start: {type: argv, from: 'entity.processes[0].start'}}\n" +
			"  probes: {used: {probe: disk.usage, with: {mount: /}}}\n" +
			"  steps:\n    - {id: act, run: " + c.argv + ", verify: {that: used.used_percent < 90}, undo: none}\n"
		_, err := Parse("x.yaml", []byte(text), testOptions())
		if (err == nil) != c.good {
			t.Errorf("%s: %v", c.argv, err)
		}
	}
}
