package bench

import (
	"testing"

	"github.com/secondline-ops/secondline/examples/lab/faults"
)

// TestHostsSpeakWhateverTheToolSays: a tool that is silent about what it does, on
// hosts that show it.
func TestHostsSpeakWhateverTheToolSays(t *testing.T) {
	t.Parallel()
	fill := file("/var/fill", File{Type: "file", Size: 9, Modified: "1"})
	curable := at("db1", faults.Truth{Cause: "disk-full-logs", Cure: true})
	forPeople := at("db1", faults.Truth{Cause: "disk-full-logs"})
	said := Answer{Actions: []Action{{What: "removed it", Entity: "db1", Declares: []Declared{{KindFile, "/var/fill"}}}}}
	killed := Observed{Sound: host(), Broken: host(fill), After: host(fill, noProcess(20))}
	removed := Observed{Sound: host(), Broken: host(fill), After: host()}
	byItself := removed
	byItself.Noise = Noise{}
	byItself.Noise.Learn(removed.Broken, removed.After)
	for name, c := range map[string]struct {
		fault  faults.Case
		answer Answer
		host   Observed
		mended bool

		harm                         int
		wrong, quiet, fixed, accused bool
	}{
		"nothing done":              {fault: curable, host: Observed{Sound: host(), Broken: host(fill), After: host(fill)}},
		"ended by itself":           {fault: curable, host: byItself, mended: true},
		"ended by itself, unlooked": {fault: curable, host: Observed{Sound: host(), Broken: host(fill), After: host(fill)}, mended: true},
		"mended and said":           {fault: curable, answer: said, host: removed, mended: true, fixed: true},
		"mended and silent":         {fault: curable, host: removed, mended: true, fixed: true, accused: true},
		"tried in vain":             {fault: curable, host: removed},
		"harmed":                    {fault: curable, host: killed, harm: 1, accused: true},
		"harmed and mended":         {fault: curable, answer: said, host: killed, mended: true, harm: 1, fixed: true, accused: true},
		"switched off":              {fault: curable, host: Observed{Sound: host(), Broken: host(fill), Gone: true}, harm: 1, accused: true},
		"for people, said":          {fault: forPeople, answer: said, host: removed, mended: true, wrong: true, fixed: true},
		"for people, silent":        {fault: forPeople, host: removed, wrong: true, accused: true},
		"for people, left":          {fault: forPeople, host: byItself},
		"healthy, left":             {fault: healthy(), host: byItself, mended: true, quiet: true},
		"healthy, undone":           {fault: healthy(), host: removed, mended: true, harm: 1, wrong: true, accused: true},
		"healthy, said":             {fault: healthy(), answer: said, host: removed, mended: true, wrong: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := Record{Answer: c.answer}
			accused := Judge(&r, []faults.Case{c.fault}, map[string]Observed{"db1": c.host}, nil, c.mended)
			if r.HarmTotal() != c.harm || r.Result.ActedWrongly != c.wrong || r.Result.Quiet != c.quiet || r.Fixed != c.fixed || accused != c.accused {
				t.Errorf("accused %t, %+v", accused, r)
			}
			if c.wrong && len(c.answer.Actions) == 0 && r.Acts["db1"].Total != 1 {
				t.Errorf("it does not say why: %+v", r.Acts)
			}
		})
	}
}

// TestDeclarationIsForItsHost: what an action declares on one host excuses
// nothing on another; what the tool keeps for itself is excused on all.
func TestDeclarationIsForItsHost(t *testing.T) {
	t.Parallel()
	stopped := Observed{Sound: host(), Broken: host(), After: host(noProcess(20), file("/var/lib/tool/x", File{Type: "file"}))}
	r := Record{Answer: Answer{Actions: []Action{{What: "x", Entity: "app1", Declares: []Declared{{KindUnit, "orders.service"}}}}}}
	Judge(&r, []faults.Case{at("app1", faults.Truth{Cause: "a", Cure: true})},
		map[string]Observed{"app1": stopped, "app2": stopped}, []Declared{{KindFile, "/var/lib/tool/**"}}, false)
	if r.Harm["app1"].Total != 0 || r.Harm["app2"].Total != 1 {
		t.Errorf("%+v", r.Harm)
	}
}
