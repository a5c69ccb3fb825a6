package bench

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/secondline-ops/secondline/examples/lab/faults"
)

func at(host string, truth faults.Truth) faults.Case {
	return faults.Case{Fault: &faults.Fault{ID: "x", Group: "A", Host: host, Truth: truth}, Host: host}
}

func healthy() faults.Case {
	return faults.Case{Fault: &faults.Fault{ID: "quiet", Group: "healthy", Host: "app1"}, Host: "app1"}
}

func hypothesis(cause, entity string, band Band) Hypothesis {
	return Hypothesis{Cause: cause, Entity: entity, Band: band}
}

func TestScoresOneCause(t *testing.T) {
	t.Parallel()
	truth := at("db1", faults.Truth{
		Cause: "disk-full-logs", Also: []string{"logrotate-broken"}, Cure: true,
		Object: map[string]string{"mount": "/var"}, Chain: []string{"db1", "app1", "lb1"},
	})
	onVar := Hypothesis{Cause: "disk-full-logs", Entity: "db1", Object: map[string]string{"mount": "/var", "more": "x"}, Band: Confirmed}
	onTmp := Hypothesis{Cause: "disk-full-logs", Entity: "db1", Object: map[string]string{"mount": "/tmp"}, Band: Likely}
	also := Hypothesis{Cause: "logrotate-broken", Entity: "db1", Object: map[string]string{"mount": "/var"}, Band: Likely}
	elsewhere := hypothesis("disk-full-logs", "app1", Likely)
	other := hypothesis("oom-kill-global", "db1", Possible)
	base := TruthResult{Cause: "disk-full-logs", Entity: "db1", ChainAsked: true}
	for name, c := range map[string]struct {
		answer Answer
		want   func(*TruthResult)
		wrong  int // claims
	}{
		"right":              {Answer{Hypotheses: []Hypothesis{onVar}}, func(r *TruthResult) { r.CauseRank, r.EntityRank, r.ObjectRight, r.Claimed = 1, 1, true, true }, 0},
		"as right":           {Answer{Hypotheses: []Hypothesis{also}}, func(r *TruthResult) { r.CauseRank, r.EntityRank, r.ObjectRight, r.Claimed = 1, 1, true, true }, 0},
		"second":             {Answer{Hypotheses: []Hypothesis{other, onVar}}, func(r *TruthResult) { r.CauseRank, r.EntityRank, r.ObjectRight, r.Claimed = 2, 1, true, true }, 0},
		"another object":     {Answer{Hypotheses: []Hypothesis{onTmp}}, func(r *TruthResult) { r.EntityRank = 1 }, 1},
		"the object second":  {Answer{Hypotheses: []Hypothesis{onTmp, onVar}}, func(r *TruthResult) { r.CauseRank, r.EntityRank, r.Claimed = 2, 1, true }, 1},
		"no object":          {Answer{Hypotheses: []Hypothesis{hypothesis("disk-full-logs", "db1", Likely)}}, func(r *TruthResult) { r.EntityRank = 1 }, 1},
		"on another host":    {Answer{Hypotheses: []Hypothesis{elsewhere}}, func(*TruthResult) {}, 1},
		"entities count one": {Answer{Hypotheses: []Hypothesis{elsewhere, elsewhere, other}}, func(r *TruthResult) { r.EntityRank = 2 }, 2},
		"only suggested":     {Answer{Hypotheses: []Hypothesis{{Cause: "disk-full-logs", Entity: "db1", Object: onVar.Object, Band: Possible}}}, func(r *TruthResult) { r.CauseRank, r.EntityRank, r.ObjectRight = 1, 1, true }, 0},
		"rejected":           {Answer{Unknown: true, Hypotheses: []Hypothesis{{Cause: "disk-full-logs", Entity: "db1", Object: onVar.Object, Band: Unlikely}}}, func(*TruthResult) {}, 0},
		"rejected in front":  {Answer{Hypotheses: []Hypothesis{hypothesis("oom-kill-global", "lb1", Unlikely), onVar}}, func(r *TruthResult) { r.CauseRank, r.EntityRank, r.ObjectRight, r.Claimed = 1, 1, true, true }, 0},
		"nothing":            {Answer{}, func(*TruthResult) {}, 0},
		"the chain":          {Answer{Chain: []string{"db1", "app1", "app1", "lb1"}}, func(r *TruthResult) { r.ChainRight = true }, 0},
		"the chain reversed": {Answer{Chain: []string{"lb1", "app1", "db1"}}, func(*TruthResult) {}, 0},
		"a part of it":       {Answer{Chain: []string{"db1", "app1"}}, func(*TruthResult) {}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := base
			c.want(&want)
			got := Score([]faults.Case{truth}, c.answer, false)
			if diff := cmp.Diff(got, Result{Truths: []TruthResult{want}, WrongClaims: c.wrong, CureAsked: true, GaveUp: c.answer.Unknown}); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestScoresWhereNoCauseIsRight(t *testing.T) {
	t.Parallel()
	strange := at("app1", faults.Truth{Unknown: true})
	known := at("db1", faults.Truth{Cause: "port-conflict", Cure: true})
	claim, guess := hypothesis("a", "app1", Likely), hypothesis("a", "app1", Possible)
	right := hypothesis("port-conflict", "db1", Confirmed)
	act := []Action{{What: "x", Entity: "app1"}}
	found := []TruthResult{{Cause: "port-conflict", Entity: "db1", CauseRank: 1, EntityRank: 1, ObjectRight: true, Claimed: true}}
	for name, c := range map[string]struct {
		cases  []faults.Case
		answer Answer
		want   Result
	}{
		"healthy, quiet":       {[]faults.Case{healthy()}, Answer{}, Result{Healthy: true, Quiet: true}},
		"healthy, suggests":    {[]faults.Case{healthy()}, Answer{Hypotheses: []Hypothesis{guess}}, Result{Healthy: true, Quiet: true}},
		"healthy, unknown":     {[]faults.Case{healthy()}, Answer{Unknown: true}, Result{Healthy: true}},
		"healthy, guesses":     {[]faults.Case{healthy()}, Answer{Unknown: true, Hypotheses: []Hypothesis{guess}}, Result{Healthy: true}},
		"healthy, claims":      {[]faults.Case{healthy()}, Answer{Hypotheses: []Hypothesis{claim, guess, claim}}, Result{Healthy: true, FalseCauses: 2}},
		"healthy, acts":        {[]faults.Case{healthy()}, Answer{Actions: act}, Result{Healthy: true, ActedWrongly: true}},
		"unknown, said so":     {[]faults.Case{strange}, Answer{Unknown: true, Hypotheses: []Hypothesis{guess}}, Result{UnknownAsked: true, UnknownRight: true}},
		"unknown, silent":      {[]faults.Case{strange}, Answer{}, Result{UnknownAsked: true}},
		"unknown, and claims":  {[]faults.Case{strange}, Answer{Unknown: true, Hypotheses: []Hypothesis{claim}}, Result{UnknownAsked: true, FalseCauses: 1}},
		"known, gave up":       {[]faults.Case{known}, Answer{Unknown: true, Hypotheses: []Hypothesis{right}}, Result{Truths: found, GaveUp: true, CureAsked: true}},
		"known and unknown":    {[]faults.Case{known, strange}, Answer{Unknown: true, Hypotheses: []Hypothesis{right}}, Result{Truths: found, UnknownAsked: true, UnknownRight: true}},
		"one too many of them": {[]faults.Case{known, strange}, Answer{Unknown: true, Hypotheses: []Hypothesis{right, claim}}, Result{Truths: found, UnknownAsked: true, FalseCauses: 1}},
		"acts on the curable":  {[]faults.Case{known}, Answer{Hypotheses: []Hypothesis{right}, Actions: act}, Result{Truths: found, CureAsked: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(Score(c.cases, c.answer, false), c.want); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestWhatTheHostsShowIsAnAct: a tool that keeps silent about what it does is
// not spared for it.
func TestWhatTheHostsShowIsAnAct(t *testing.T) {
	t.Parallel()
	forPeople, curable := at("db1", faults.Truth{Cause: "a"}), at("db1", faults.Truth{Cause: "b", Cure: true})
	for name, c := range map[string]struct {
		cases        []faults.Case
		wrong, quiet bool
	}{
		"healthy":               {[]faults.Case{healthy()}, true, false},
		"for people only":       {[]faults.Case{forPeople}, true, false},
		"for machines, too":     {[]faults.Case{curable}, false, false},
		"one of two may be":     {[]faults.Case{forPeople, curable}, false, false},
		"unknown is for people": {[]faults.Case{at("db1", faults.Truth{Unknown: true})}, true, false},
	} {
		if got := Score(c.cases, Answer{}, true); got.ActedWrongly != c.wrong || got.Quiet != c.quiet {
			t.Errorf("%s: %+v", name, got)
		}
		if got := Score(c.cases, Answer{}, false); got.ActedWrongly {
			t.Errorf("%s, and nobody acted: %+v", name, got)
		}
	}
}

func TestBothCausesMustBeClaimed(t *testing.T) {
	t.Parallel()
	both := []faults.Case{at("db1", faults.Truth{Cause: "a"}), at("app1", faults.Truth{Cause: "b"})}
	a, b, wrong := hypothesis("a", "db1", Likely), hypothesis("b", "app1", Confirmed), hypothesis("a", "app1", Confirmed)
	for name, c := range map[string]struct {
		cases []faults.Case
		list  []Hypothesis
		want  bool
	}{
		"both":          {both, []Hypothesis{b, wrong, a}, true},
		"one":           {both, []Hypothesis{a, wrong}, false},
		"wrong ones":    {both[:1], []Hypothesis{wrong}, false},
		"suggested":     {both[:1], []Hypothesis{hypothesis("a", "db1", Possible)}, false},
		"none is there": {[]faults.Case{healthy()}, []Hypothesis{a}, false},
	} {
		if got := NamesAll(c.cases, c.list); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestPerfectAnswerToTwoFaultsIsFirstTwice(t *testing.T) {
	t.Parallel()
	cases := []faults.Case{at("db1", faults.Truth{Cause: "a", Chain: []string{"db1"}}), at("app1", faults.Truth{Cause: "b"})}
	a, b, no := hypothesis("a", "db1", Likely), hypothesis("b", "app1", Likely), hypothesis("c", "lb1", Possible)
	for name, c := range map[string]struct {
		list []Hypothesis
		want [4]int // rank of cause and entity of each
	}{
		"both":          {[]Hypothesis{b, a}, [4]int{1, 1, 1, 1}},
		"one between":   {[]Hypothesis{b, no, a}, [4]int{2, 2, 1, 1}},
		"one is missed": {[]Hypothesis{b, no}, [4]int{0, 0, 1, 1}},
	} {
		got := Score(cases, Answer{Hypotheses: c.list, Chain: []string{"db1"}}, false).Truths
		ranks := [4]int{got[0].CauseRank, got[0].EntityRank, got[1].CauseRank, got[1].EntityRank}
		if ranks != c.want {
			t.Errorf("%s: %v, want %v", name, ranks, c.want)
		}
		if !got[0].ChainRight || got[1].ChainAsked {
			t.Errorf("%s: the one chain belongs to the fault that has one: %+v", name, got)
		}
	}
	cases[1].Fault.Truth.Chain = []string{"app1"}
	if got := Score(cases, Answer{Chain: []string{"db1"}}, false).Truths; got[0].ChainAsked || got[1].ChainAsked {
		t.Errorf("two chains cannot be compared with one: %+v", got)
	}
}

func TestEntityOfTheTruthBeatsTheHostOfTheFault(t *testing.T) {
	t.Parallel()
	c := at("app1", faults.Truth{Cause: "a", Entity: "dns1"})
	if got := Score([]faults.Case{c}, Answer{Hypotheses: []Hypothesis{hypothesis("a", "app1", Likely), hypothesis("a", "dns1", Likely)}}, false); got.Truths[0].CauseRank != 2 {
		t.Errorf("rank %d, want 2", got.Truths[0].CauseRank)
	}
}

// better compares ranks, of which 0 is the worst.
func better(a, b int) bool { return a != 0 && (b == 0 || a < b) }

func anyHypothesis() *rapid.Generator[Hypothesis] {
	return rapid.Custom(func(t *rapid.T) Hypothesis {
		h := hypothesis(rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "cause"), rapid.SampledFrom([]string{"db1", "app1", "lb1"}).Draw(t, "entity"),
			rapid.SampledFrom([]Band{Confirmed, Likely, Possible, Unlikely}).Draw(t, "band"))
		if rapid.Bool().Draw(t, "has object") {
			h.Object = map[string]string{"mount": rapid.SampledFrom([]string{"/", "/var"}).Draw(t, "mount")}
		}
		return h
	})
}

// TestScoreIsMonotonous: a hypothesis at the end never makes a rank worse or
// another's better, a wrong one in front never improves, and the right one moved
// ahead never makes it worse.
func TestScoreIsMonotonous(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		cases := []faults.Case{
			at("db1", faults.Truth{Cause: "a", Object: map[string]string{"mount": "/var"}}),
			at("app1", faults.Truth{Cause: "b"}),
		}[:rapid.IntRange(1, 2).Draw(t, "faults")]
		list := rapid.SliceOfN(anyHypothesis(), 0, 8).Draw(t, "hypotheses")
		base := Score(cases, Answer{Hypotheses: list}, false)

		longer := Score(cases, Answer{Hypotheses: append(slices.Clone(list), anyHypothesis().Draw(t, "last"))}, false)
		pushed := Score(cases, Answer{Hypotheses: append([]Hypothesis{hypothesis("c", "dns1", Likely)}, list...)}, false)
		for i, r := range base.Truths {
			if l := longer.Truths[i]; r.CauseRank != 0 && l.CauseRank != r.CauseRank || better(r.CauseRank, l.CauseRank) || better(r.EntityRank, l.EntityRank) {
				t.Fatalf("a last hypothesis: %+v became %+v", r, l)
			}
			if p := pushed.Truths[i]; better(p.CauseRank, r.CauseRank) || better(p.EntityRank, r.EntityRank) {
				t.Fatalf("a wrong first hypothesis: %+v became %+v", r, p)
			}
			if r.CauseRank != 0 && r.EntityRank == 0 || r.ObjectRight && r.CauseRank == 0 {
				t.Fatalf("%+v contradicts itself", r)
			}
		}
		if len(list) == 0 {
			return
		}
		from := rapid.IntRange(0, len(list)-1).Draw(t, "moved")
		ahead := append([]Hypothesis{list[from]}, slices.Delete(slices.Clone(list), from, from+1)...)
		for i, r := range Score(cases, Answer{Hypotheses: ahead}, false).Truths {
			if right(cases[i], list[from]) && !list[from].Rejected() && (r.CauseRank != 1 || r.EntityRank != 1) {
				t.Fatalf("the right one first: %+v", r)
			}
		}
	})
}
