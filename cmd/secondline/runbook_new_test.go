package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/schematest"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/actions"
	"github.com/secondline-ops/secondline/runbooks/library"
)

// printedSchema is what an editor would be given.
func printedSchema(t *testing.T) schematest.Schema {
	t.Helper()
	var out bytes.Buffer
	if code := execute(context.Background(), nowhere(&out), []string{"runbook", "schema"}); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	return schematest.Compile(t, json.RawMessage(out.Bytes()))
}

func TestEveryShippedRunbookFitsThePrintedSchema(t *testing.T) {
	t.Parallel()
	schema := printedSchema(t)
	files, err := runbooks.ListFiles(library.FS())
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		f, err := library.FS().Open(file)
		if err != nil {
			t.Fatal(err)
		}
		var text bytes.Buffer
		if _, err := text.ReadFrom(f); err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(t, text.String()); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func TestNewRunbooksAreRightForEveryCause(t *testing.T) {
	t.Parallel()
	probes, err := builtinProbes()
	if err != nil {
		t.Fatal(err)
	}
	shipped, err := localCatalogue(nil, nil, probes)
	if err != nil {
		t.Fatal(err)
	}
	o := runbooks.ParseOptions{Decoders: actions.Decoders(), Probes: diagnostics.SpecsOf(probes)}
	schema := printedSchema(t)
	symptoms := map[string][2]string{ // asked as the cause asks, with inputs in place of its object
		"disk-full-logs": {"fs.used_percent >= percent(90)", "!(fs.used_percent >= percent(90))"},
		"directory-over-budget": {
			"dir.exists && entity.budgets.exists(b, b.path == inputs.path && dir.bytes > b.bytes)",
			"!(dir.exists && entity.budgets.exists(b, b.path == inputs.path && dir.bytes > b.bytes))",
		},
		"process-gone": {notActive, active}, // its own probe takes a list, which here only an input gives
	}
	for _, c := range append(shipped.Causes.All(), &diagnostics.Cause{}) {
		text, err := firstRunbook("mine", c.ID, shipped, o)
		if err != nil {
			t.Errorf("%s: %v", c.ID, err)
			continue
		}
		if err := schema.Validate(t, text); err != nil {
			t.Errorf("%s: %v", c.ID, err)
		}
		rb, err := runbooks.Parse("mine.yaml", []byte(text), o)
		if err != nil {
			t.Errorf("%s: %v", c.ID, err)
			continue
		}
		if c.ID == "" {
			if len(rb.Cures) != 0 || rb.Autonomy != runbooks.Approve {
				t.Errorf("of no cause: cures %v, autonomy %s", rb.Cures, rb.Autonomy)
			}
			continue
		}
		if len(rb.Cures) != 1 || rb.Cures[0] != c.ID || len(rb.Inputs) != len(c.Object) {
			t.Errorf("%s: cures %v, inputs %v", c.ID, rb.Cures, rb.Inputs)
		}
		if want, ok := symptoms[c.ID]; ok && (rb.Require[0].That != want[0] || rb.Steps[0].Verify.That != want[1]) {
			t.Errorf("%s: requires %q, verifies %q", c.ID, rb.Require[0].That, rb.Steps[0].Verify.That)
		}
	}
}

func TestNewRunbookForACauseThatRunbooksCannotMeasure(t *testing.T) {
	t.Parallel()
	probes, err := builtinProbes()
	if err != nil {
		t.Fatal(err)
	}
	o := runbooks.ParseOptions{Decoders: actions.Decoders(), Probes: diagnostics.SpecsOf(probes)}
	odd := &diagnostics.Cause{ID: "odd", Title: "It's: {odd}\nand two lines", Object: []string{"name"}, Symptoms: diagnostics.Symptoms{Holds: "hints.x == 1"}, Never: []string{"do\nthis"}}
	if _, err := loadable("mine", curing("mine", odd, symptomOf(odd)), o); err == nil {
		t.Error("a symptom that reads hints is taken")
	}
	text, err := loadable("mine", curing("mine", odd, someSymptom()), o)
	if err != nil || !strings.Contains(text, "CHANGE: how the symptom is measured") {
		t.Errorf("%v\n%s", err, text)
	}
}

func TestNewWritesOverNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	there := filepath.Join(dir, "there.yaml")
	if err := os.WriteFile(there, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "elsewhere"), filepath.Join(dir, "link.yaml")); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for _, args := range [][]string{
		{"there"}, {"link"}, {"restart-crashed-unit"}, {"Not_a_name"}, {"../up"}, {"a\nb"}, {"fine", "--cause", "nothing"},
	} {
		if code := execute(context.Background(), nowhere(&out), append([]string{"runbook", "new", "--dir", dir}, args...)); code == 0 {
			t.Errorf("%q was written", args)
		}
	}
	if text, err := os.ReadFile(there); err != nil || string(text) != "mine" {
		t.Errorf("the file that was there is now %q, %v", text, err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 2 {
		t.Errorf("%d files, want the two that were there", len(files))
	}
}
