package actions_test

import (
	"testing"

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
