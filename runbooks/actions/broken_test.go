package actions_test

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/secondline-ops/secondline/internal/yamlx"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/actions"
)

var update = flag.Bool("update", false, "write the golden files")

// TestBrokenRunbooks reads runbooks with one mistake each, which their first
// line tells. Each has exactly one message, of the rule that its name begins
// with; the golden file holds them as `runbook lint` shows them. "called" has
// none: others call it.
func TestBrokenRunbooks(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("..", "testdata", "broken", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	shelf := runbooks.Shelf{}
	o := runbooks.ParseOptions{
		Decoders: actions.Decoders(), Probes: usage{}, Called: shelf.Find, Forbidden: map[string][]string{"disk-full-logs": {"run.rm"}},
	}
	missing := runbooks.Rules()
	var got strings.Builder
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(path), ".yaml")
		rb, err := runbooks.Parse(name, text, o)
		if name == "called" {
			if err != nil {
				t.Fatal(err)
			}
			shelf.Put(rb)
			continue
		}
		about, _, _ := strings.Cut(strings.TrimPrefix(string(text), "# "), "\n")
		got.WriteString(about + ":\n")
		mistakes := yamlx.Errors(err)
		for _, e := range mistakes {
			got.WriteString(e.Detail() + "\nrule: " + e.Rule + "\n\n")
		}
		if len(mistakes) != 1 {
			t.Errorf("%s has %d messages, want 1: %v", name, len(mistakes), err)
			continue
		}
		rule := mistakes[0].Rule
		if strings.HasPrefix(rule, "yaml-") {
			rule = runbooks.RuleYAML
		}
		if !strings.HasPrefix(name, strings.ToLower(rule)+"-") {
			t.Errorf("%s is refused by %s: %v", name, rule, err)
		}
		missing = slices.DeleteFunc(missing, func(id string) bool { return id == rule })
	}
	if len(missing) > 0 {
		t.Errorf("no file is refused by %v", missing)
	}
	golden := filepath.Join("testdata", "broken.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
