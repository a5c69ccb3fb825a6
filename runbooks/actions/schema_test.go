package actions_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/internal/schematest"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/actions"
	"github.com/secondline-ops/secondline/runbooks/actions/internal/actiontest"
)

// TestEditorsKnowTheLanguage compares the schema with what the loader reads; the
// part of each action is compared in its own package.
func TestEditorsKnowTheLanguage(t *testing.T) {
	t.Parallel()
	var words []string
	for _, word := range runbooks.Actions(nil) {
		words = append(words, word.Name)
	}
	for _, kind := range runbooks.TouchKinds() {
		words = append(words, string(kind))
	}
	actiontest.SameKeys(t, "..", runbooks.Schema(runbooks.ParseOptions{Probes: actiontest.Probes{}}), words...)
}

func TestEveryActionTellsEditorsItsPart(t *testing.T) {
	t.Parallel()
	for _, d := range actions.Decoders() {
		if s, ok := d.(runbooks.Schemer); !ok || s.Schema().Doc == "" {
			t.Errorf("%s does not say what its part looks like, or what it does", d.Name())
		}
	}
}

// TestSchemaTakesThePageOfActions reads the examples that load, of docs/actions.md.
func TestSchemaTakesThePageOfActions(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "actions.md"))
	if err != nil {
		t.Fatal(err)
	}
	schema := schematest.Compile(t, runbooks.Schema(runbooks.ParseOptions{Decoders: actions.Decoders(), Probes: usage{}}))
	examples := regexp.MustCompile("(?s)```yaml accept\n(.*?)\n```").FindAllStringSubmatch(string(page), -1)
	if len(examples) < len(actions.Decoders()) {
		t.Fatalf("%d examples, fewer than actions", len(examples))
	}
	for _, e := range examples {
		if err := schema.Validate(t, around+"    "+strings.ReplaceAll(e[1], "\n", "\n    ")+"\n"); err != nil {
			t.Errorf("%s\n%v", e[1], err)
		}
	}
}
