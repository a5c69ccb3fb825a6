package main

import (
	"bytes"
	"crypto/rand"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/secondline-ops/secondline/controller/access"
	"github.com/secondline-ops/secondline/controller/api"
	"github.com/secondline-ops/secondline/controller/api/apitest"
	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/yamlx"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/actions"
)

func TestCommandsAreReadAsAShellWouldOrNotAtAll(t *testing.T) {
	t.Parallel()
	for line, want := range map[string][]string{
		`logrotate -f /etc/logrotate.d/orders`: {"logrotate", "-f", "/etc/logrotate.d/orders"},
		`rm -- 'a b' "c d" e\ f g""h ''`:       {"rm", "--", "a b", "c d", "e f", "gh", ""},
		`echo "it's \"so\"" 'a\b' "a\b"`:       {"echo", `it's "so"`, `a\b`, `a\b`},
		`find /var -name {} -delete`:           {"find", "/var", "-name", "{}", "-delete"},
		`kill -9 123 # the big one`:            {"kill", "-9", "123"},
		`chmod a=b x#y`:                        {"chmod", "a=b", "x#y"},
		`touch a~ '*' "[x]" '$HOME' \$x`:       {"touch", "a~", "*", "[x]", "$HOME", "$x"},
		`sudo -n -- rm x`:                      {"rm", "x"},
		`sudo -u ada rm x`:                     {"rm", "x"},
	} {
		w := readCommand(line)
		if d := cmp.Diff(want, w.argv); d != "" || w.why != "" {
			t.Errorf("%s: %s %s", line, w.why, d)
		}
	}
	if w := readCommand("sudo -u ada rm x"); w.as != "ada" {
		t.Errorf("as %q", w.as)
	}
	for _, line := range []string{
		"a | b", "a > b", "a < b", "a >> b", "a && b", "a; b", "a &", "(a)", "a $x", `a "$x"`, "a `b`", "a \"`b`\"", "a *", "a b?", "a [b]", "a {b,c}", "a ~/x",
		"a !x", "x=1 a", "cd /x", "export A=b", "if true", "a 'b", `a "b`, "a \\", "a 'b\x01'", "a \x01", "sudo -i", "sudo -E a", "sudo", "sudo A=b a",
		"vim /etc/x", "sudo vi x", "for x", "", "# only a comment", "a }",
	} {
		if w := readCommand(line); w.argv != nil || w.why == "" {
			t.Errorf("%q is taken as %q", line, w.argv)
		}
	}
}

func FuzzReadCommand(f *testing.F) {
	f.Add(`sudo -u a b 'c d' "e\"f" | g`)
	f.Fuzz(func(t *testing.T, line string) {
		w := readCommand(line)
		if (w.why == "") != (len(w.argv) > 0) {
			t.Errorf("%q and %q", w.argv, w.why)
		}
	})
}

func TestOnlyWhatIsKnownToLookOnlyLooks(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]bool{
		"df -h": true, "journalctl -u x": true, "systemctl status x": true, "find / -name x": true, "ss -lnt": true,
		"journalctl --vacuum-size=1G": false, "systemctl restart x": false, "systemctl": false, "find / -delete": false, "ss -K dst x": false,
		"find / -exec rm {} +": false, "rm x": false, "date -s x": false, "sort -o x y": false,
	} {
		if got := onlyLooks(strings.Fields(line)); got != want {
			t.Errorf("%s: %t", line, got)
		}
	}
}

// incidentOf seeds an incident with a hypothesis, notes and runs of people, and
// returns the environment of somebody who asks its controller.
func incidentOf(t *testing.T, change func(*incident.Incident)) (*environment, *bytes.Buffer) {
	t.Helper()
	svc := apitest.New(t)
	now := apitest.Start()
	in := &incident.Incident{
		ID: "inc-1", Title: "orders is down", Status: incident.Resolved, Entity: "db1", OpenedAt: now, UpdatedAt: now, ResolvedAt: now.Add(time.Hour),
		Runs: []incident.Run{}, Tried: []incident.Tried{}, Symptoms: []incident.Symptom{},
	}
	change(in)
	if err := svc.Update(t.Context(), func(tx store.Tx) error { return tx.SaveIncident(t.Context(), in) }); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(api.New(api.Options{
		Service: svc, Keeper: access.NewKeeper(svc, rand.Reader, apitest.Start), Now: apitest.Start, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}))
	t.Cleanup(server.Close)
	vars := map[string]string{"SECONDLINE_URL": server.URL, "SECONDLINE_TOKEN": svc.Token(t, "ann", access.Viewer, nil), "HOME": t.TempDir()}
	var out bytes.Buffer
	return &environment{stdin: strings.NewReader(""), stdout: &out, stderr: &out, getenv: func(name string) string { return vars[name] }}, &out
}

func drafted(t *testing.T, env *environment, out *bytes.Buffer, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	if code := execute(t.Context(), env, append([]string{"runbook", "draft", "--dir", dir}, args...)); code != fault.ExitDone {
		t.Fatalf("exit code %d: %s", code, out)
	}
	files, err := filepath.Glob(dir + "/*.yaml")
	if err != nil || len(files) != 1 {
		t.Fatalf("%q %v", files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := yamlx.Parse(files[0], text); err != nil {
		t.Fatalf("it is no YAML: %v\n%s", err, text)
	}
	return string(text)
}

func wantLines(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("there is no line %q in\n%s", line, text)
		}
	}
}

func crashed(in *incident.Incident) {
	in.Diagnosis = &diagnostics.Diagnosis{Hypotheses: []diagnostics.Hypothesis{{
		Cause: "crash-loop-and-start-limit", Title: "It crashes", Entity: "db1", Object: map[string]string{"unit": "orders.service"}, Band: diagnostics.Confirmed,
	}}}
}

func TestDraftOfNotesMeasuresTheSymptomAfterTheLastStep(t *testing.T) {
	t.Parallel()
	env, out := incidentOf(t, func(in *incident.Incident) {
		crashed(in)
		at := apitest.Start().Add(time.Minute)
		in.Note(at, "person:ada", incident.EventNote, "note", "I looked and did\n$ systemctl status orders\n  $ sudo systemctl reset-failed orders\nthen\n$ tail x | grep y", nil)
		in.Note(at.Add(time.Minute), "person:bob", incident.EventNote, "note", "$ sudo systemctl start orders", nil)
		in.Note(at.Add(time.Minute), "agent:a", incident.EventRun, "x", "$ rm -rf /", nil)
	})
	text := drafted(t, env, out, "--from", "1")
	wantLines(t, text,
		"  name: incident-1", "  cures: ['crash-loop-and-start-limit']", "    unit: {type: unit, from: hypothesis.object.unit}",
		"    # looked: systemctl status orders",
		`      unit: {"name":"${inputs.unit}","state":"reset-failed"}`, `      unit: {"name":"${inputs.unit}","state":"started"}`,
		"    # CHANGE: this needs a pipe, so it is no step yet. As it was written:", `    #     body: "tail x | grep y"`,
		"      as: root", "      verify: # an exit status is no proof: the symptom is measured again",
		"      undo: none # CHANGE if it can be taken back: {run: [...]}",
	)
	if strings.Contains(text, "rm -rf") {
		t.Error("what an agent said is a command")
	}
	if strings.Count(text, "      verify:") != 1 || strings.Index(text, `"started"`) > strings.Index(text, "      verify:") {
		t.Errorf("the symptom is not measured after the last step:\n%s", text)
	}
	if !strings.Contains(out.String(), "lint takes it as it is") {
		t.Errorf("lint: %s", out)
	}
}

func TestDraftOfRunsTakesTheirVerifiedSteps(t *testing.T) {
	t.Parallel()
	probes, err := builtinProbes()
	if err != nil {
		t.Fatal(err)
	}
	shipped, err := localCatalogue(nil, nil, probes)
	if err != nil {
		t.Fatal(err)
	}
	restart, _ := shipped.Runbooks.Find("restart-crashed-unit")
	run := func(id, digest string, steps []runbooks.PlannedStep, became ...runbooks.StepStatus) incident.Run {
		r := incident.Run{
			ID: id, Runbook: "restart-crashed-unit", Target: "db1", RequestedBy: "ada", Status: runbooks.RunVerified, StartedAt: apitest.Start(),
			Inputs: map[string]string{"unit": "orders.service"}, Result: &runbooks.RunResult{Status: runbooks.RunVerified},
			Plan: &runbooks.Plan{Runbook: "restart-crashed-unit", RunbookDigest: digest, Inputs: map[string]string{"unit": "orders.service"}, Steps: steps},
		}
		for i, s := range became {
			r.Result.Steps = append(r.Result.Steps, runbooks.StepResult{ID: steps[i].ID, Status: s})
		}
		return r
	}
	both := []runbooks.PlannedStep{{ID: "reset", Action: "unit", Effect: runbooks.Write}, {ID: "start", Action: "unit", Effect: runbooks.Write}}
	env, out := incidentOf(t, func(in *incident.Incident) {
		crashed(in)
		own := run("run-2", "sha256:other", []runbooks.PlannedStep{
			{ID: "cut", Action: "run", Effect: runbooks.Write, As: "root", Argv: []string{"fix", "--unit=orders", "${x}"}},
			{ID: "edit", Action: "file", Effect: runbooks.Write, Diff: "--- a\n+++ b\n"},
			{ID: "noop", Action: "run", Noop: true, Argv: []string{"never"}},
		}, runbooks.StepVerified, runbooks.StepVerified, runbooks.StepSkipped)
		byMachine := run("run-3", restart.Digest, both, runbooks.StepVerified, runbooks.StepVerified)
		byMachine.RequestedBy, byMachine.Hypothesis = "secondline", &incident.HypothesisRef{Cause: "x"}
		dry := run("run-4", restart.Digest, both)
		dry.DryRun = true
		in.Runs = append(in.Runs, run("run-1", restart.Digest, both, runbooks.StepVerified, runbooks.StepRefuted), own, byMachine, dry)
	})
	text := drafted(t, env, out, "--from", "1", "--name", "mine")
	wantLines(t, text,
		"    # step reset of restart-crashed-unit, run by ada", `      unit: {"name":"${inputs.unit}","state":"reset-failed"}`, `      preserve: ["journal","processes"]`,
		"    # step start of restart-crashed-unit, run by ada: refuted, so it is left out",
		`      run: ["fix","--unit=${inputs.unit}","$${x}"]`, "      as: root",
		"    # CHANGE: it is a step of file, whose file is not at hand (--runbooks names the folder); its plan was:", "    #   +++ b",
	)
	if strings.Count(text, "- id: step-") != 2 || strings.Contains(text, "never") {
		t.Errorf("other steps:\n%s", text)
	}
}

func TestDraftSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "typed")
	if err := os.WriteFile(file, []byte("# mine\n\nfix /var\n$ fix --at=/var\nmysql -psecret123 x\nfix /var/log\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env, out := incidentOf(t, func(in *incident.Incident) {
		in.Diagnosis = &diagnostics.Diagnosis{Hypotheses: []diagnostics.Hypothesis{{
			Cause: "my-own-cause", Entity: "db1", Object: map[string]string{"mount": "/var", "other": "x"}, Band: diagnostics.Likely,
		}}}
	})
	text := drafted(t, env, out, "--from", "1", "--commands", file)
	wantLines(t, text, "    mount: {type: path, from: hypothesis.object.mount}", `      run: ["fix","${inputs.mount}"]`, `      run: ["fix","--at=${inputs.mount}"]`,
		`      run: ["fix","/var/log"]`, "  # CHANGE: the file of cause my-own-cause is not at hand.")
	if strings.Contains(text+out.String(), "secret123") || strings.Contains(text, "other:") {
		t.Errorf("a secret, or an input that nothing reads:\n%s", text)
	}
	probes, err := builtinProbes()
	if err != nil {
		t.Fatal(err)
	}
	known, err := localCatalogue(nil, nil, probes)
	if err != nil {
		t.Fatal(err)
	}
	_, err = runbooks.Parse("x.yaml", []byte(text), runbooks.ParseOptions{
		Decoders: actions.Decoders(), Probes: diagnostics.SpecsOf(probes), Forbidden: known.Causes.Forbidden(),
	})
	var rules []string
	for _, e := range yamlx.Errors(err) {
		rules = append(rules, e.Rule)
	}
	if !slices.Equal(rules, []string{runbooks.RuleVerified, runbooks.RuleVerified, runbooks.RuleVerified}) {
		t.Errorf("lint says %q: %v", rules, err)
	}
}

func TestDraftRefusesWhatItCannotWrite(t *testing.T) {
	t.Parallel()
	env, out := incidentOf(t, func(*incident.Incident) {})
	dir := t.TempDir()
	typed := filepath.Join(dir, "typed.txt")
	if err := os.WriteFile(typed, []byte("systemctl restart orders.service\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		code int
		says string
		args []string
	}{
		{2, "say from what", nil},
		{5, "no incident", []string{"--from", "99"}},
		{2, "not the name of a runbook", []string{"--from", "1", "--name", "../x"}},
		{4, "already", []string{"--from", "1", "--name", "restart-crashed-unit"}},
		{5, "nothing was done", []string{"--from", "1"}},
		{0, "incident-1.yaml is written", []string{"--from", "1", "--commands", typed}},
		{4, "is there already", []string{"--from", "1", "--commands", typed}},
	} {
		out.Reset()
		if code := execute(t.Context(), env, append([]string{"runbook", "draft", "--dir", dir}, c.args...)); code != c.code || !strings.Contains(out.String(), c.says) {
			t.Errorf("%q: exit code %d, %s", c.args, code, out)
		}
	}
}
