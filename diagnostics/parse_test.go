package diagnostics

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/yamlx"
)

func TestMistakesInACauseAreLoadErrors(t *testing.T) {
	t.Parallel()
	set := newWorld().probeSet(t)
	for name, c := range map[string]struct{ old, new, want string }{
		"unknown field":     {"prior: 0.1", "prio: 0.1", `unknown field "prio"`},
		"undefined name":    {"that: state.smoke", "that: stat.smoke", `unknown name "stat"`},
		"wrong field":       {"that: state.smoke", "that: state.smok", `no field "smok"`},
		"wrong type":        {"that: state.smoke", "that: state.heat", "not bool"},
		"field of survey":   {"r.heat > 40.0", "r.heet > 40.0", `no field "heet"`},
		"probe":             {"probe: room.state", "probe: room.stat", `there is no probe "room.stat"`},
		"input":             {"{room: \"${object.room}\"}}\n  history", "{rom: \"${object.room}\"}}\n  history", `has no input "rom"`},
		"missing input":     {"{probe: room.state, with: {room: \"${object.room}\"}}", "{probe: room.state}", `needs "room"`},
		"empty input":       {"{room: \"${object.room}\"}}\n  history", "{room: \"\"}}\n  history", `needs "room", and it is empty`},
		"input's value":     {"{room: \"${object.room}\"}}\n  history", "{room: Kitchen}}\n  history", `"Kitchen" is not a room`},
		"input's type":      {"{room: \"${object.room}\"}}\ndetails", "{room: hall, days: many}}\ndetails", `"many" is no int`},
		"template":          {"${object.room} is hot", "${objekt.room} is hot", `unknown name "objekt"`},
		"needs in survey":   {"all: {probe: room.list}", "all: {probe: room.state, with: {room: \"${object.room}\"}}", `unknown name "object"`},
		"taken name":        {"  state: {probe", "  hints: {probe", `the name "hints" means something else`},
		"role":              {"role: proof", "role: prof", "role of"},
		"probability":       {"seen_if_cause: 0.9,", "seen_if_cause: 1.0,", "above 0 and below 1"},
		"speaks against":    {"seen_otherwise: 0.2", "seen_otherwise: 0.9", "seen more often with it"},
		"refuting for":      {"seen_if_cause: 0.01", "seen_if_cause: 0.5", "seen less often with it"},
		"no required":       {"role: required", "role: supporting", "at least one piece of required"},
		"duplicate id":      {"id: smoke", "id: hot", `"hot" is there twice`},
		"no candidates":     {"candidates: '", "title: '", ""},
		"object missing":    {"object: [room]\n", "", "candidates need an object"},
		"entity":            {"entity: host", "entity: hots", "no kind of entity"},
		"prior":             {"prior: 0.1", "prior: 1.5", "prior must be"},
		"id":                {"id: fire", "id: Fire!", "not like disk-full-logs"},
		"next":              {"next: [{probe: room.history", "next: [{probe: room.nope", "there is no probe"},
		"duration":          {"hold: 1m", "hold: 1", "duration"},
		"detail":            {"owner: \"${history.owner}\"", "room: \"${history.owner}\"", "key of the object already"},
		"candidates type":   {"candidates: 'all.rooms.filter(r, r.heat > 40.0).map(r, {\"room\": r.room})'", "candidates: 'true'", "not list"},
		"duplicate yaml":    {"cures: [extinguish]", "cures: [extinguish]\ncures: [x]", ""},
		"shell-like object": {"object: [room]", "object: [\"$(x)\"]", "not like mount"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if !strings.Contains(fireYAML, c.old) {
				t.Fatalf("the good cause has no %q", c.old)
			}
			_, err := ParseCause("fire.yaml", []byte(strings.Replace(fireYAML, c.old, c.new, 1)), set)
			all := yamlx.Errors(err)
			if len(all) == 0 || !fault.Is(err, fault.Invalid) && len(all) == 1 {
				t.Fatalf("error %v", err)
			}
			if !strings.Contains(err.Error(), c.want) || all[0].Line < 2 || all[0].File != "fire.yaml" {
				t.Errorf("error %v at line %d, want %q", err, all[0].Line, c.want)
			}
		})
	}
}

func TestPositionPointsIntoTheExpression(t *testing.T) {
	t.Parallel()
	text := strings.Replace(fireYAML, "holds: state.heat > 50.0", "holds: state.heet > 50.0", 1)
	_, err := ParseCause("fire.yaml", []byte(text), newWorld().probeSet(t))
	line := slices.IndexFunc(strings.Split(text, "\n"), func(l string) bool { return strings.Contains(l, "heet") }) + 1
	all := yamlx.Errors(err)
	if len(all) != 1 || all[0].Line != line || all[0].Column != len("  holds: state.")+1 || all[0].Hint != `did you mean "heat"?` {
		t.Errorf("%+v", all)
	}
}

func TestCatalogueReportsEveryMistakeOfEveryFile(t *testing.T) {
	t.Parallel()
	set := newWorld().probeSet(t)
	two := strings.NewReplacer("that: state.smoke", "that: stat.smoke", "prior: 0.1", "prior: 7").Replace(fireYAML)
	_, err := LoadCatalogue(fstest.MapFS{
		"a.yaml": {Data: []byte(two)}, "b.yaml": {Data: []byte(strings.Replace(ashYAML, "title:", "titel:", 1))}, "c.txt": {Data: []byte("x")},
		"d.yaml": {Data: []byte(ashYAML)}, "e.yaml": {Data: []byte(ashYAML)},
	}, set)
	text := fmt.Sprint(err)
	for _, want := range []string{"a.yaml", `unknown name "stat"`, "prior must be", "b.yaml", "titel", `e.yaml: cause "ash" is already in d.yaml`} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in %s", want, text)
		}
	}
	cat, err := LoadCatalogue(fstest.MapFS{"z.yaml": {Data: []byte(fireYAML)}, "y.yaml": {Data: []byte(ashYAML)}}, set)
	if err != nil || len(cat.All()) != 2 || cat.All()[0].ID != "ash" {
		t.Fatalf("catalogue %v, %v", cat, err)
	}
	if _, err := cat.Find("fier"); !fault.Is(err, fault.NotFound) {
		t.Errorf("find: %v", err)
	}
	if _, err := LoadCatalogue(fstest.MapFS{"big.yaml": {Data: make([]byte, maxCauseBytes+1)}}, set); !fault.Is(err, fault.TooLarge) {
		t.Errorf("a file that is too large: %v", err)
	}
}

func TestMistakesInACheckAreLoadErrors(t *testing.T) {
	t.Parallel()
	set := newWorld().probeSet(t)
	for _, c := range []struct{ old, new, want string }{
		{"expect: all.", "expect: al.", `unknown name "al"`},
		{"r.heat < 50.0)", "r.room)", "bool"},
		{"severity: warning", "severity: bad", "severity must be"},
		{"{group: web}", "{}", "neither an entity nor a group"},
		{"{group: web}", "{gruop: web}", "unknown field"},
		{"probe: room.list", "probe: room.lst", "there is no probe"},
		{"because: \"${all.", "because: \"${hints.x}${all.", `unknown name "hints"`},
		{"schedule: \"*/5 * * * *\"\n", "", `field "schedule" is missing`},
	} {
		_, err := ParseCheck("check.yaml", []byte(strings.Replace(checkYAML, c.old, c.new, 1)), set)
		if err == nil || !strings.Contains(err.Error(), c.want) || len(yamlx.Errors(err)) == 0 {
			t.Errorf("%s: %v, want %q", c.new, err, c.want)
		}
	}
}

func TestProbeSetSuggests(t *testing.T) {
	t.Parallel()
	w := newWorld()
	set := w.probeSet(t)
	_, err := set.Fields("room.sate")
	if f, ok := err.(*fault.Error); !ok || f.Kind != fault.NotFound || f.Hint != `did you mean "room.state"?` { //nolint:errorlint // not wrapped
		t.Errorf("error %v", err)
	}
	if fields, err := set.Fields("room.list"); err != nil || len(fields) != 1 {
		t.Errorf("fields %v, %v", fields, err)
	}
	if len(set.All()) != 3 || set.All()[0].Spec().Name != "room.history" {
		t.Error("all, by name")
	}
	if _, err := NewProbeSet([]Probe{w.probes["room.list"], w.probes["room.list"]}); err == nil {
		t.Error("two of one name")
	}
}

func FuzzParseCause(f *testing.F) {
	w := newWorld()
	var all []Probe
	for _, p := range w.probes {
		all = append(all, p)
	}
	set, err := NewProbeSet(all)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(fireYAML))
	f.Add([]byte(ashYAML))
	f.Add([]byte("evidence: [{}]\nneeds: {a: {probe: room.state, with: {room: \"${\"}}}\n"))
	f.Add([]byte("survey: [1]\nobject: {a: b}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		cause, err := ParseCause("x.yaml", data, set)
		if err != nil {
			return
		}
		// What loads can be ranked, whatever it says.
		cat := mustCatalogue(t, cause)
		subject := host(nil)
		subject.Entity.Kind = cause.Entity
		Rank(cat, nil, subject)
	})
}

func FuzzParseCheck(f *testing.F) {
	set, err := NewProbeSet([]Probe{newWorld().probes["room.list"]})
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(checkYAML))
	f.Add([]byte("probes: {x: {probe: room.list}}\nexpect: 1"))
	f.Fuzz(func(_ *testing.T, data []byte) {
		if check, err := ParseCheck("x.yaml", data, set); err == nil {
			check.claim.ask(newBinding(host(nil)).read(check.readings, factIndex{}))
		}
	})
}

// TestCauseThatIsOnlyKnownByName: it is for its cures and what it forbids, and
// a diagnosis neither reads for it nor names it.
func TestCauseThatIsOnlyKnownByName(t *testing.T) {
	t.Parallel()
	w := newWorld()
	named := `{id: mould, title: Mould in the walls, entity: host, object: [room], cures: [air], never: [paint it over], forbids: [unit.stopped, run.rm]}`
	mould, err := ParseCause("mould.yaml", []byte(named), w.probeSet(t))
	if err != nil || mould.Diagnosed() {
		t.Fatalf("%v, diagnosed %v", err, err == nil && mould.Diagnosed())
	}
	cat, err := NewCatalogue([]*Cause{mould})
	if err != nil || !cmp.Equal(cat.Forbidden(), map[string][]string{"mould": {"unit.stopped", "run.rm"}}) {
		t.Errorf("%v, forbids %v", err, cat.Forbidden())
	}
	subject := Subject{Entity: entity.Entity{ID: "house", Kind: entity.Host}, Hints: map[string]string{}}
	if got := Rank(cat, nil, subject); len(got.Hypotheses) != 0 {
		t.Errorf("ranked: %+v", got.Hypotheses)
	}
	if n := len(slices.Concat(waves([]*Cause{mould}, subject)...)); n != 0 {
		t.Errorf("%d causes are read for", n)
	}
	for _, half := range []string{"prior: 0.1", "survey: {all: {probe: room.list}}", "candidates: 'all.rooms'", "forbids: [unit., unit.]"} {
		if _, err := ParseCause("half.yaml", []byte("id: mould\ntitle: t\nentity: host\n"+half+"\n"), w.probeSet(t)); err == nil {
			t.Errorf("half a diagnosis is accepted: %s", half)
		}
	}
}
