package runbooks

import (
	"fmt"
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/internal/yamlx"
)

// shelved parses runbooks, each of which may call those before it by DIGEST-NAME.
func shelved(t *testing.T, o ParseOptions, texts ...string) (Shelf, ParseOptions) {
	t.Helper()
	shelf := Shelf{}
	o.Called = shelf.Find
	for _, text := range texts {
		rb, err := Parse("x.yaml", []byte(pinned(shelf, text)), o)
		if err != nil {
			t.Fatal(err)
		}
		shelf.Put(rb)
	}
	return shelf, o
}

func pinned(shelf Shelf, text string) string {
	for name, rb := range shelf {
		text = strings.ReplaceAll(text, "DIGEST-"+name, rb.Digest)
	}
	return text
}

func named(name, spec string) string {
	return "apiVersion: secondline/v1\nkind: Runbook\nmetadata: {name: " + name + ", title: A title}\nspec:\n  cures: [fragile]\n  limits: {deadline: 24h}\n  steps:\n" + spec
}

const (
	callOfWeb  = "{id: web, runbook: {name: restart-web, digest: DIGEST-restart-web, with: {unit: a.service}}}"
	callOfTidy = "{id: tidy, runbook: {name: tidy, digest: DIGEST-tidy}}"
	tidy       = "    - {id: look, note: x}\n"
)

func TestWhereACallMayStand(t *testing.T) {
	t.Parallel()
	for _, ending := range []string{"", "  always:\n    - {id: end, note: x}\n", "  on_failure:\n    - {id: end, note: x}\n"} {
		for place, c := range map[string]struct {
			spec string
			want string // "" is accepted
		}{
			"among the steps": {"    - " + callOfTidy + "\n", ""},
			"in a block":      {"    - id: way\n      choose: [{steps: [" + callOfTidy + "]}]\n", "cannot be called from inside another block"},
			"in a foreach":    {"    - id: every\n      foreach: {as: n, type: int, in: '[1]', max: 1}\n      steps: [" + callOfTidy + "]\n", "cannot be called from inside another block"},
			"in on_failure":   {"    - {id: n, note: x}\n  on_failure:\n    - " + callOfTidy + "\n", "only the steps may call a runbook, not on_failure"},
			"in always":       {"    - {id: n, note: x}\n  always:\n    - " + callOfTidy + "\n", "only the steps may call a runbook, not always"},
		} {
			shelf, o := shelved(t, testOptions(), named("tidy", tidy+ending))
			_, err := Parse("caller.yaml", []byte(pinned(shelf, named("caller", c.spec))), o)
			want := c.want
			if ending == "" && strings.HasPrefix(want, "cannot be called") {
				want = "" // nothing follows it
			}
			if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
				t.Errorf("%s, of a runbook with %q: %v, want %q", place, ending, err, want)
			}
		}
	}
}

// TestACauseForbidsWhatIsCalledByWhatIsCalled: however many calls are in between.
func TestACauseForbidsWhatIsCalledByWhatIsCalled(t *testing.T) {
	t.Parallel()
	o := testOptions()
	o.Forbidden = map[string][]string{}
	shelf, o := shelved(t, o, restartWeb, named("tidy", "    - "+callOfWeb+"\n"), named("deeper", "    - "+callOfTidy+"\n"))
	for name, text := range map[string]string{
		"called by what it calls": named("caller", "    - "+callOfTidy+"\n"),
		"one call further":        named("caller", "    - {id: deep, runbook: {name: deeper, digest: DIGEST-deeper}}\n"),
	} {
		for _, forbidden := range []string{"unit.restarted", "unit"} {
			o.Forbidden = map[string][]string{"fragile": {forbidden}}
			_, err := Parse("caller.yaml", []byte(pinned(shelf, text)), o)
			if all := yamlx.Errors(err); len(all) != 1 || all[0].Rule != RuleForbidden || !strings.Contains(all[0].Message, forbidden+" is forbidden for the cause fragile") {
				t.Errorf("%s, %s forbidden: %v", name, forbidden, err)
			}
		}
		o.Forbidden = map[string][]string{"fragile": {"unit.stopped"}}
		if _, err := Parse("caller.yaml", []byte(pinned(shelf, text)), o); err != nil {
			t.Errorf("%s, and nothing of it forbidden: %v", name, err)
		}
	}
}

func TestInputsOfACallAreAMappingOfSingleValues(t *testing.T) {
	t.Parallel()
	shelf, o := shelved(t, testOptions(), restartWeb)
	for with, want := range map[string]string{
		"{unit: a.service}":   "",
		"[a.service]":         "with is a mapping of the inputs of restart-web",
		"a.service":           "with is a mapping of the inputs of restart-web",
		"{unit: [a.service]}": "a value is expected",
		"{unit: a.service, start: [nginx, -c, x]}":   "input start is of type argv, which only the inventory gives",
		"{unit: a.service, start: '${inputs.word}'}": "input start is of type argv, which only the inventory gives",
	} {
		text := named("caller", fmt.Sprintf("    - {id: web, runbook: {name: restart-web, digest: DIGEST-restart-web, with: %s}}\n", with))
		text = strings.Replace(text, "  steps:", "  inputs: {word: {type: string}}\n  steps:", 1)
		_, err := Parse("caller.yaml", []byte(pinned(shelf, text)), o)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("with %s: %v, want %q", with, err, want)
		}
	}
}
