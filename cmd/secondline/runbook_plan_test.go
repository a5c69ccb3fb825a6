package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/runbooks"
)

// rehearsable is a runbook whose second step fails when BODY does.
const rehearsable = `apiVersion: secondline/v1
kind: Runbook
metadata: {name: edit, title: Edit a file}
spec:
  inputs: {dir: {type: path}}
  probes: {conf: {probe: file.stat, with: {path: "${inputs.dir}/app.ini"}}}
  steps:
    - id: level
      file: {path: "${inputs.dir}/app.ini", set: {key: http.level, value: info}}
    - id: act
      script: {interpreter: [sh, -eu], env: {DIR: "${inputs.dir}"}, body: "BODY"}
      verify: {that: conf.exists}
      undo: none
`

func TestRehearsalUnderThePlan(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	conf := filepath.Join(dir, "app.ini")
	if err := os.WriteFile(conf, []byte("[http]\nlevel = debug\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		body   string
		format string
		code   int
		says   []string
	}{
		"passes": {`grep -q info $DIR/app.ini; echo >$DIR/more`, "table", fault.ExitDone, []string{
			"rehearsal: nothing of it was kept", "level (file): passed", "| +level = info", "act (script): passed", "WARNING", "/more was created, which the step does not name",
		}},
		"fails":   {`echo no; exit 9`, "table", fault.ExitFailed, []string{"act (script): failed, exit status 9", "> no", "ended     exit status 9"}},
		"guard":   {`rm -rf /var/x`, "table", fault.ExitFailed, []string{"act (script): failed", "rm never runs recursively"}},
		"as JSON": {`true`, "json", fault.ExitDone, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			book := filepath.Join(t.TempDir(), "edit.yaml")
			if err := os.WriteFile(book, []byte(strings.Replace(rehearsable, "BODY", c.body, 1)), 0o600); err != nil {
				t.Fatal(err)
			}
			var out, errOut bytes.Buffer
			env := &environment{stdin: strings.NewReader(""), stdout: &out, stderr: &errOut, getenv: func(string) string { return "" }}
			code := execute(t.Context(), env, []string{"runbook", "plan", book, "--on", "local", "--input", "dir=" + dir, "--rehearse", "--plugin", "", "-o", c.format})
			if strings.Contains(out.String(), "open a rehearsal") && os.Getenv("SECONDLINE_REQUIRE_REAL") != "1" {
				t.Skip(out.String())
			}
			if code != c.code {
				t.Fatalf("exit code %d, want %d:\n%s%s", code, c.code, out.String(), errOut.String())
			}
			for _, want := range c.says {
				if !strings.Contains(out.String(), want) {
					t.Errorf("%q is not in\n%s", want, out.String())
				}
			}
			if c.format == "json" {
				var all []plannedHost
				if err := json.Unmarshal(out.Bytes(), &all); err != nil || len(all) != 1 || all[0].Rehearsal.Steps[0].Status != runbooks.RehearsalPassed || len(all[0].Rehearsal.Steps[0].Files) == 0 {
					t.Errorf("%v\n%s", err, out.String())
				}
			}
		})
	}
	t.Cleanup(func() {
		if text, err := os.ReadFile(conf); err != nil || string(text) != "[http]\nlevel = debug\n" {
			t.Errorf("the file is %q, %v", text, err)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
			t.Errorf("something was kept: %v, %v", entries, err)
		}
	})
}
