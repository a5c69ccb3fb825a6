package diagnostics

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/remote"
)

func ids(facts []Fact) []string {
	var out []string
	for _, f := range facts {
		out = append(out, f.ID+" "+objectText(f.Args))
	}
	return out
}

func TestCollectReadsEachQuestionOnce(t *testing.T) {
	t.Parallel()
	w := newWorld().rooms(map[string]float64{"kitchen": 80, "hall": 60}, false, 1)
	_, facts, _ := diagnose(t, w, host(nil), fireYAML, ashYAML)
	want := []string{
		"room.list#1 ", "room.state#1 room=hall", "room.state#2 room=kitchen", "room.history#1 room=hall", "room.history#2 room=kitchen",
	}
	if !slices.Equal(ids(facts), want) {
		t.Errorf("facts %q, want %q", ids(facts), want)
	}
	for key, n := range w.reads {
		if n != 1 {
			t.Errorf("%s was read %d times", key, n)
		}
	}
	for _, f := range facts {
		if f.Status != OK || f.Target != "web1" || len(f.Raws) != 1 || !f.At.Equal(clock()) {
			t.Errorf("fact %+v", f)
		}
	}
}

// TestCausesThatNameTheAlertComeFirst, with what they may follow from, although
// another cause would have something read that costs much less.
func TestCausesThatNameTheAlertComeFirst(t *testing.T) {
	t.Parallel()
	for alert, want := range map[string][]string{
		"HeatHigh": {"room.list#1 ", "room.state#1 room=kitchen", "room.history#1 room=kitchen", "room.state#2 room=hall"},
		"AshHigh":  {"room.list#1 ", "room.state#1 room=kitchen", "room.state#2 room=hall", "room.history#1 room=kitchen"},
	} {
		w := newWorld().rooms(map[string]float64{"kitchen": 80, "hall": 20}, false, 1)
		w.probes["room.history"].spec.CostSeconds = 60
		set := w.probeSet(t)
		var began []string
		c := collector(set)
		c.OnProbe = func(probe, target string) { began = append(began, probe+"@"+target) }
		ended := make(chan string, 100)
		c.OnProbeEnd = func(probe, target string) { ended <- probe + "@" + target }
		facts, err := c.Collect(t.Context(), server{}, []*Cause{mustCause(t, set, ashYAML), mustCause(t, set, fireYAML)}, host(map[string]string{"alertname": alert}))
		if err != nil || !slices.Equal(ids(facts), want) {
			t.Errorf("%s: facts %q, want %q, %v", alert, ids(facts), want, err)
		}
		close(ended)
		var answered []string
		for probe := range ended {
			answered = append(answered, probe)
		}
		slices.Sort(answered)
		slices.Sort(began)
		if !slices.Equal(answered, began) || len(began) != len(want) {
			t.Errorf("began %q, answered %q", began, answered)
		}
	}
}

func TestCausesOfOtherEntitiesAreNotLookedAt(t *testing.T) {
	t.Parallel()
	w := newWorld()
	set := w.probeSet(t)
	subject := host(nil)
	subject.Entity.Kind = entity.Site
	facts, err := collector(set).Collect(t.Context(), server{}, []*Cause{mustCause(t, set, fireYAML)}, subject)
	if err != nil || len(facts) != 0 {
		t.Errorf("facts %v, %v", ids(facts), err)
	}
}

func TestHangingProbeIsAbandonedAndTheRestIsStillRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld().rooms(map[string]float64{"kitchen": 80}, true, 5)
		release := make(chan struct{})
		hang := &hangingProbe{fakeProbe: w.probes["room.state"], release: release}
		set, err := NewProbeSet([]Probe{w.probes["room.list"], w.probes["room.history"], hang})
		if err != nil {
			t.Fatal(err)
		}
		c := collector(set)
		c.ProbeTimeout = 10 * time.Second
		before := time.Now()
		cause := mustCause(t, set, fireYAML)
		facts, err := c.Collect(t.Context(), server{}, []*Cause{cause}, host(nil))
		if took := time.Since(before); err != nil || took != c.ProbeTimeout+abandonAfter {
			t.Errorf("took %s, %v", took, err)
		}
		if facts[1].Status != TimedOut || facts[2].Status != OK {
			t.Errorf("facts %+v", facts)
		}
		if d := Rank(mustCatalogue(t, cause), facts, host(nil)); !d.Unknown || d.Hypotheses[0].Band != Possible {
			t.Errorf("diagnosis %+v", d)
		}
		close(release)
	})
}

// hangingProbe heeds no context until it is released.
type hangingProbe struct {
	*fakeProbe
	release chan struct{}
}

func (p *hangingProbe) Read(context.Context, remote.Runner, Args) ([]Raw, error) {
	<-p.release
	return nil, errNotScripted
}

func TestWhatTheBudgetDidNotReachIsTimedOutNotAbsent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		heat := map[string]float64{}
		for i := range 15 {
			heat[fmt.Sprintf("room%02d", i)] = 80
		}
		w := newWorld().rooms(heat, true, 5)
		slow := &slowProbe{fakeProbe: w.probes["room.state"]}
		set, err := NewProbeSet([]Probe{w.probes["room.list"], w.probes["room.history"], slow})
		if err != nil {
			t.Fatal(err)
		}
		c := collector(set)
		c.Budget = 25 * time.Second // slow takes 10 each, four at once
		facts, err := c.Collect(t.Context(), server{}, []*Cause{mustCause(t, set, fireYAML)}, host(nil))
		if err != nil {
			t.Fatal(err)
		}
		if len(facts) != 1+2*15 {
			t.Fatalf("%d facts: what was not read must not be left out", len(facts))
		}
		unread := 0
		for _, f := range facts {
			if f.Status == TimedOut {
				unread++
				if f.Error == "" {
					t.Errorf("%s does not say why", f.ID)
				}
			} else if f.Status != OK {
				t.Errorf("%s is %s", f.ID, f.Status)
			}
		}
		if unread == 0 {
			t.Error("the budget did not end")
		}
	})
}

type slowProbe struct{ *fakeProbe }

func (p *slowProbe) Read(ctx context.Context, r remote.Runner, args Args) ([]Raw, error) {
	select {
	case <-time.After(10 * time.Second):
		return p.fakeProbe.Read(ctx, r, args)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func TestManyHangingProbesLeaveTheHostAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		heat := map[string]float64{}
		for i := range 12 {
			heat[fmt.Sprintf("room%02d", i)] = 80
		}
		w := newWorld().rooms(heat, true, 5)
		release := make(chan struct{})
		set, err := NewProbeSet([]Probe{
			w.probes["room.list"], &hangingProbe{w.probes["room.history"], release}, &hangingProbe{w.probes["room.state"], release},
		})
		if err != nil {
			t.Fatal(err)
		}
		started := 0
		c := collector(set)
		c.OnProbe = func(string, string) { started++ }
		facts, err := c.Collect(t.Context(), server{}, []*Cause{mustCause(t, set, fireYAML)}, host(nil))
		if err != nil || len(facts) != 25 {
			t.Errorf("%d facts, %v", len(facts), err)
		}
		if most := 1 + maxAbandoned + parallelProbes; started > most {
			t.Errorf("%d probes were started on a host on which they hang, at most %d", started, most)
		}
		close(release)
	})
}

func TestPanicOfAProbeIsAFailedFact(t *testing.T) {
	t.Parallel()
	w := newWorld().rooms(map[string]float64{"kitchen": 80}, true, 5)
	w.probes["room.state"].crash = true
	_, facts, _ := diagnose(t, w, host(nil), fireYAML)
	if facts[1].Status != Failed || !strings.Contains(facts[1].Error, "bug in a probe") {
		t.Errorf("fact %+v", facts[1])
	}
	if facts[2].Status != OK {
		t.Errorf("another probe suffered: %+v", facts[2])
	}
}

func TestCandidatesAreBounded(t *testing.T) {
	t.Parallel()
	heat := map[string]float64{}
	for i := range maxObjects + 5 {
		heat[fmt.Sprintf("room%02d", i)] = 80
	}
	d, _, _ := diagnose(t, newWorld().rooms(heat, false, 1), host(nil), fireYAML)
	if len(d.Hypotheses) != maxObjects || !slices.Contains(d.NotLookedAt, "fire: 25 candidates, of which 20 were looked at") {
		t.Errorf("%d hypotheses, %q", len(d.Hypotheses), d.NotLookedAt)
	}
}

func TestCancelledCollectSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld().rooms(map[string]float64{"kitchen": 80}, true, 5)
	set := w.probeSet(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	facts, err := collector(set).Collect(ctx, server{}, []*Cause{mustCause(t, set, fireYAML)}, host(nil))
	if err == nil || len(facts) != 1 || facts[0].Status != TimedOut {
		t.Errorf("facts %+v, %v", facts, err)
	}
}

func TestMeasureReadsOnlyWhatTheSymptomNeeds(t *testing.T) {
	t.Parallel()
	kitchen := map[string]string{"room": "kitchen", "owner": "ann"}
	for name, c := range map[string]struct {
		state Value
		want  expr.Truth
		text  string
	}{
		"gone":        {Value{"heat": 20.5, "smoke": true}, expr.True, "kitchen has 20.5 degrees"},
		"still there": {Value{"heat": 80, "smoke": false}, expr.False, "kitchen has 80 degrees"},
		"unread":      {nil, expr.CannotTell, "cannot tell: "},
	} {
		w := newWorld()
		if c.state != nil {
			w.set("room.state", Args{"room": "kitchen"}, c.state)
		}
		set := w.probeSet(t)
		m, err := collector(set).Measure(t.Context(), server{}, mustCause(t, set, fireYAML), kitchen, host(nil))
		if err != nil || m.Truth != c.want || !strings.HasPrefix(m.Text, c.text) || m.That != "!(state.heat > 50.0)" {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
		if len(m.Facts) != 1 || len(w.reads) != 1 {
			t.Errorf("%s: read %v", name, w.reads)
		}
	}
}

const checkYAML = `
name: rooms-cool
title: No room is hot
schedule: "*/5 * * * *"
targets: {group: web}
probes:
  all: {probe: room.list}
expect: all.rooms.all(r, r.heat < 50.0)
because: "${all.rooms.filter(r, r.heat >= 50.0)[0].room} is hot"
severity: warning
`

func TestCheckHasThreeOutcomes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		world *world
		want  expr.Truth
		text  string
	}{
		"holds":        {newWorld().rooms(map[string]float64{"hall": 20}, false, 0), expr.True, "all.rooms.all(r, r.heat < 50.0)"},
		"does not":     {newWorld().rooms(map[string]float64{"hall": 60}, false, 0), expr.False, "hall is hot"},
		"cannot tell":  {newWorld(), expr.CannotTell, "cannot tell: "},
		"nothing here": {newWorld().set("room.list", Args{}, Value{}), expr.CannotTell, "cannot tell: "},
	} {
		set := c.world.probeSet(t)
		check, err := ParseCheck("check.yaml", []byte(checkYAML), set)
		if err != nil {
			t.Fatal(err)
		}
		m, err := collector(set).RunCheck(t.Context(), server{}, check, host(nil))
		if err != nil || m.Truth != c.want || !strings.HasPrefix(m.Text, c.text) {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
}
