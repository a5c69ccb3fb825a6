package runbooks

import (
	"strings"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/internal/expr"
)

func testPlan() Plan {
	return Plan{
		Runbook: "free-space", Title: "Free space", RunbookDigest: "sha256:aa", Target: "db1",
		Inputs:        map[string]string{"mount": "/var", "limit": "85"},
		Preconditions: []Precondition{{That: "used > 85", Because: "gone", Truth: expr.True, Why: "used 91 %"}},
		Steps: []PlannedStep{{
			ID: "rotate", Action: "run", Effect: Write, Argv: []string{"logrotate", "/etc/x"}, As: "root", Diff: "-old\n+new\n",
			Preserve: []string{"journal"}, Parts: []string{"p1", "p2"}, Verify: "used 91 % < 85 %", Undo: "none", Timeout: time.Minute, WorstCase: 2 * time.Minute,
		}},
		Locks: []string{"db1"}, Effect: Write, Autonomy: Auto, WorstCase: 2 * time.Minute,
		MadeAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
}

func TestPlanDigestIgnoresTimesAndReadings(t *testing.T) {
	t.Parallel()
	want := DigestPlan(testPlan())
	for name, change := range map[string]func(*Plan){
		"made at":     func(p *Plan) { p.MadeAt = p.MadeAt.Add(time.Hour) },
		"digest":      func(p *Plan) { p.Digest = "sha256:of-itself" },
		"reading":     func(p *Plan) { p.Preconditions[0].Why = "used 92 %" },
		"verify text": func(p *Plan) { p.Steps[0].Verify = "used 92 % < 85 %" },
		"worst case":  func(p *Plan) { p.WorstCase = time.Hour; p.Steps[0].WorstCase = time.Hour },
		"copied list": func(p *Plan) { p.Locks = append([]string{}, p.Locks...) },
	} {
		p := testPlan()
		change(&p)
		if got := DigestPlan(p); got != want {
			t.Errorf("%s changed the digest", name)
		}
	}
}

func TestPlanDigestCoversWhatWouldBeDone(t *testing.T) {
	t.Parallel()
	zeros := strings.Repeat("\x00", 8) // as long as a written length
	seen := map[string]string{DigestPlan(testPlan()): "the plan itself"}
	for name, change := range map[string]func(*Plan){
		"runbook digest":   func(p *Plan) { p.RunbookDigest = "sha256:bb" },
		"target":           func(p *Plan) { p.Target = "db2" },
		"input":            func(p *Plan) { p.Inputs["mount"] = "/" },
		"input name":       func(p *Plan) { delete(p.Inputs, "mount"); p.Inputs["mounts"] = "/var" },
		"argv":             func(p *Plan) { p.Steps[0].Argv[1] = "/etc/y" },
		"argv split":       func(p *Plan) { p.Steps[0].Argv = []string{"logrotate", "/etc", "/x"} },
		"argv joined":      func(p *Plan) { p.Steps[0].Argv = []string{"logrotate/etc/x"} },
		"argv bytes":       func(p *Plan) { p.Steps[0].Argv[1] = "\xff" },
		"argv other bytes": func(p *Plan) { p.Steps[0].Argv[1] = "\xfe" },
		"zeros in front":   func(p *Plan) { p.Steps[0].Diff, p.Steps[0].Undo = "x", zeros+"y" },
		"zeros behind":     func(p *Plan) { p.Steps[0].Diff, p.Steps[0].Undo = "x"+zeros, "y" },
		"user":             func(p *Plan) { p.Steps[0].As = "app" },
		"diff":             func(p *Plan) { p.Steps[0].Diff = "-old\n+newer\n" },
		"part":             func(p *Plan) { p.Steps[0].Parts[1] = "p3" },
		"part less":        func(p *Plan) { p.Steps[0].Parts = p.Steps[0].Parts[:1] },
		"part to evidence": func(p *Plan) { p.Steps[0].Preserve, p.Steps[0].Parts = []string{"journal", "p1"}, []string{"p2"} },
		"noop":             func(p *Plan) { p.Steps[0].Noop = true },
		"skipped":          func(p *Plan) { p.Steps[0].Skipped = "if is false" },
		"truth":            func(p *Plan) { p.Preconditions[0].Truth = expr.CannotTell },
		"step more":        func(p *Plan) { p.Steps = append(p.Steps, p.Steps[0]) },
		"step less":        func(p *Plan) { p.Steps = nil },
		"locks":            func(p *Plan) { p.Locks = nil },
		"undo":             func(p *Plan) { p.Steps[0].Undo = "logger undone" },
	} {
		p := testPlan()
		change(&p)
		got := DigestPlan(p)
		if other, ok := seen[got]; ok {
			t.Errorf("%s has the digest of %s", name, other)
		}
		seen[got] = name
	}
}
