package diagnostics

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/internal/expr"
)

// bundle is a diagnosis with its facts, through JSON as in an archive.
func bundle(t *testing.T) (*Catalogue, *ProbeSet, []Fact, Diagnosis) {
	t.Helper()
	w := newWorld().rooms(map[string]float64{"kitchen": 80, "hall": 60}, true, 5)
	d, facts, cat := diagnose(t, w, host(nil), fireYAML, ashYAML)
	var out struct {
		Facts     []Fact
		Diagnosis Diagnosis
	}
	data, err := json.Marshal(map[string]any{"Facts": facts, "Diagnosis": d})
	if err == nil {
		err = json.Unmarshal(data, &out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return cat, w.probeSet(t), out.Facts, out.Diagnosis
}

func broken(claims []Claim) []string {
	var out []string
	for _, c := range claims {
		if !c.Holds {
			out = append(out, c.Cause+"/"+c.Evidence+": "+c.Why)
		}
	}
	return out
}

func TestEveryClaimOfAnHonestBundleHolds(t *testing.T) {
	t.Parallel()
	cat, probes, facts, d := bundle(t)
	claims := Recheck(cat, probes, facts, host(nil), d)
	if got := broken(claims); len(got) != 0 {
		t.Errorf("broken: %q", got)
	}
	if want := 2*(4+1) + 2*(2+1); len(claims) != want {
		t.Errorf("%d claims, want %d: one for each evidence and each band", len(claims), want)
	}
}

func TestRecheckFindsWhatWasTamperedWith(t *testing.T) {
	t.Parallel()
	at := func(facts []Fact, id string) *Fact {
		return &facts[slices.IndexFunc(facts, func(f Fact) bool { return f.ID == id })]
	}
	for name, c := range map[string]struct {
		edit func(facts []Fact, d *Diagnosis)
		want string // a part of a broken claim; "" when none may break
	}{
		"a stated truth": {func(_ []Fact, d *Diagnosis) { d.Hypotheses[0].For[0].Truth = expr.False }, "the raw bytes say otherwise"},
		"a stated band":  {func(_ []Fact, d *Diagnosis) { d.Hypotheses[0].Band = Possible }, "the evidence gives another band"},
		"a predicate":    {func(_ []Fact, d *Diagnosis) { d.Hypotheses[0].For[0].That = "true" }, "the cause asks something else"},
		"a citation":     {func(_ []Fact, d *Diagnosis) { d.Hypotheses[0].For[0].Facts = []string{"room.list#1"} }, "other facts than it cites"},
		"the cause":      {func(_ []Fact, d *Diagnosis) { d.Hypotheses[0].CauseDigest = "sha256:0" }, "another version"},
		"the object":     {func(_ []Fact, d *Diagnosis) { d.Hypotheses[0].Object["room"] = "moon" }, "do not give this hypothesis"},
		"a value, which nobody reads": {func(facts []Fact, _ *Diagnosis) {
			at(facts, "room.state#1").Value = Value{"heat": 1.0, "smoke": false}
		}, ""},
		"raw bytes": {func(facts []Fact, _ *Diagnosis) {
			raw := &at(facts, "room.state#1").Raws[0]
			raw.Data = []byte(strings.Replace(string(raw.Data), "true", "false", 1))
		}, "do not match their digest"},
		"raw bytes with their digest": {func(facts []Fact, _ *Diagnosis) {
			raw := &at(facts, "room.state#1").Raws[0]
			raw.Data = []byte(strings.Replace(string(raw.Data), "true", "false", 1))
			raw.Seal()
		}, "the raw bytes say otherwise"},
		"raws left out":   {func(facts []Fact, _ *Diagnosis) { at(facts, "room.state#1").Raws = nil }, "no raw bytes"},
		"a fact left out": {func(facts []Fact, _ *Diagnosis) { at(facts, "room.state#1").Target = "web2" }, "was not read"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cat, probes, facts, d := bundle(t)
			c.edit(facts, &d)
			got := broken(Recheck(cat, probes, facts, host(nil), d))
			found := slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, c.want) })
			if (c.want == "" && len(got) != 0) || (c.want != "" && !found) {
				t.Errorf("broken: %q, want %q", got, c.want)
			}
		})
	}
}

func TestValueOfAPluginStandsAsStated(t *testing.T) {
	t.Parallel()
	cat, probes, facts, d := bundle(t)
	for i := range facts {
		facts[i].Plugin, facts[i].Raws = "rooms@sha256:1", nil
	}
	if got := broken(Recheck(cat, probes, facts, host(nil), d)); len(got) != 0 {
		t.Errorf("broken: %q", got)
	}
}
