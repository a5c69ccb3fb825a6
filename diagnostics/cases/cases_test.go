package cases_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/diagnostics/cases"
	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/remote"
)

// lamp is a probe that nobody reads here: its facts are recorded.
type lamp struct{ name string }

func (p lamp) Spec() diagnostics.Spec {
	return diagnostics.Spec{Name: p.name, Outputs: []expr.Field{{Name: "on", Type: expr.Bool}, {Name: "hot", Type: expr.Bool}}}
}

func (lamp) Read(context.Context, remote.Runner, diagnostics.Args) ([]diagnostics.Raw, error) {
	panic("a case reads no host")
}

func (lamp) Parse([]diagnostics.Raw, diagnostics.Args) (diagnostics.Value, diagnostics.Status, error) {
	panic("a case reads no host")
}

const burnt = `
id: burnt
title: It is burnt out
entity: host
prior: 0.1
symptoms: {alerts: [Dark], holds: "!lamp.on", say: dark}
survey: {lamp: {probe: lamp.state}, wire: {probe: wire.state}}
evidence:
  - {id: dark, that: "!lamp.on", seen_if_cause: 0.99, seen_otherwise: 0.1, group: a, role: required, say: dark}
  - {id: powered, that: wire.on, seen_if_cause: 0.99, seen_otherwise: 0.01, group: b, role: proof, say: "it has power, and is dark"}
`

func catalogue(t *testing.T) *diagnostics.Catalogue {
	t.Helper()
	set, err := diagnostics.NewProbeSet([]diagnostics.Probe{lamp{"lamp.state"}, lamp{"wire.state"}})
	if err != nil {
		t.Fatal(err)
	}
	cause, err := diagnostics.ParseCause("burnt.yaml", []byte(burnt), set)
	if err != nil {
		t.Fatal(err)
	}
	cat, err := diagnostics.NewCatalogue([]*diagnostics.Cause{cause})
	if err != nil {
		t.Fatal(err)
	}
	return cat
}

func made(on, powered bool, want cases.Truth) cases.Case {
	fact := func(probe string, on bool) diagnostics.Fact {
		return diagnostics.Fact{ID: probe + "#1", Probe: probe, Target: "box", Status: diagnostics.OK, Value: diagnostics.Value{"on": on}}
	}
	return cases.Case{
		Subject: diagnostics.Subject{Entity: entity.Entity{ID: "box", Kind: entity.Host}, Hints: map[string]string{"alertname": "Dark"}},
		Facts:   []diagnostics.Fact{fact("lamp.state", on), fact("wire.state", powered)}, Want: want,
	}
}

func TestACaseFailsWhenTheDiagnosisIsNotTheTruth(t *testing.T) {
	t.Parallel()
	cat := catalogue(t)
	found := cases.Truth{Cause: "burnt", Object: map[string]string{}, Band: diagnostics.Confirmed}
	for name, c := range map[string]struct {
		given cases.Case
		says  string
	}{
		"found":             {made(false, true, found), ""},
		"rightly nothing":   {made(true, true, cases.Truth{Unknown: true}), ""},
		"missed":            {made(true, true, found), "the first is burnt"},
		"a wrong claim":     {made(false, true, cases.Truth{}), "claims burnt"},
		"of another object": {made(false, true, cases.Truth{Cause: "burnt", Object: map[string]string{"socket": "2"}, Band: diagnostics.Confirmed}), "want burnt map[socket:2]"},
		"surer than it may": {made(false, true, cases.Truth{Cause: "burnt", Object: map[string]string{}, Band: diagnostics.Likely}), "the first is burnt"},
		"not unknown":       {made(false, true, cases.Truth{Unknown: true, Follows: []string{"burnt"}}), "unknown is false"},
	} {
		problems := strings.Join(c.given.Check(cat), "; ")
		if (problems == "") != (c.says == "") || !strings.Contains(problems, c.says) {
			t.Errorf("%s: %q, want %q", name, problems, c.says)
		}
	}
}

// TestALostFactConfirmsNothingWrong: the loss of what refutes is the one that
// matters.
func TestALostFactConfirmsNothingWrong(t *testing.T) {
	t.Parallel()
	c := made(false, true, cases.Truth{Unknown: true})
	c.Facts = append(c.Facts, diagnostics.Fact{
		ID: "lamp.state#2", Probe: "lamp.state", Target: "box", Status: diagnostics.OK, Value: diagnostics.Value{"on": true}, At: c.Facts[0].At.Add(1),
	})
	problems := c.Check(catalogue(t))
	if !slices.Equal(problems, nil) { // the newer fact, timed out, is still the newest: cannot tell
		t.Errorf("%q", problems)
	}
}

func TestACaseThatSaysWhatIsNotKnownIsRefused(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{
		"a/one.json": {Data: []byte(`{"about":"x","want":{"unknown":true},"facts":[]}`)}, "cause.yaml": {Data: []byte("id: x")},
	}
	all, err := cases.Load(files)
	if err != nil || len(all) != 1 || all["a/one.json"].About != "x" || !all["a/one.json"].Want.Unknown {
		t.Errorf("%v, %v", all, err)
	}
	files["b.json"] = &fstest.MapFile{Data: []byte(`{"abuot":"x"}`)}
	if _, err := cases.Load(files); err == nil || !strings.Contains(err.Error(), "b.json") {
		t.Errorf("got %v", err)
	}
}
