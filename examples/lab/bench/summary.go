package bench

import (
	"math"
	"slices"
)

// Share is how many of how many.
type Share struct {
	Right int `json:"right"`
	Of    int `json:"of"`
}

func (s *Share) count(right bool) {
	s.Of++
	if right {
		s.Right++
	}
}

// Spread is the middle and the slow end of some numbers. It is of none when N is
// 0.
type Spread struct {
	N      int     `json:"n"`
	Median float64 `json:"median"`
	P95    float64 `json:"p95"`
}

// Summary is what the records of one tool say together. Shares of causes count
// each fault of faults that come together; all else counts cases. Void cases are
// in Cases and Void and nowhere else.
type Summary struct {
	Cases  int `json:"cases"`
	Void   int `json:"void"`
	Failed int `json:"failed"` // without an answer
	// Cause and Entity are AC@1, AC@3 and AC@5.
	Cause  [3]Share `json:"cause"`
	Entity [3]Share `json:"entity"`
	Object Share    `json:"object"`
	Chain  Share    `json:"chain"`
	// Unknown are the faults of no catalogue; GaveUp counts "unknown" elsewhere.
	Unknown Share `json:"unknown"`
	GaveUp  int   `json:"gave_up"`
	// Quiet are the healthy hosts on which nothing was claimed, called unknown or
	// changed. FalseCauses are the claims on healthy hosts, and the false ones on
	// unknown faults.
	Quiet       Share `json:"quiet"`
	FalseCauses int   `json:"false_causes"`
	WrongClaims int   `json:"wrong_claims"`
	// Fixed are the cases that a machine may fix, and FixedVerified those that
	// the tool had measured as well. ActedWrongly counts acting where none may.
	Fixed         Share `json:"fixed"`
	FixedVerified Share `json:"fixed_verified"`
	ActedWrongly  int   `json:"acted_wrongly"`
	// Harm counts harmful changes, Harmed the cases with any, and Unmeasured the
	// cases in which not everything could be compared.
	Harm       int `json:"harm"`
	Harmed     int `json:"harmed"`
	Unmeasured int `json:"unmeasured"`

	ToAlert    Spread `json:"to_alert_seconds"`
	ToCause    Spread `json:"to_cause_seconds"`
	ToResolved Spread `json:"to_resolved_seconds"`

	CollectCPUMillis Spread `json:"collect_cpu_millis"`
	CollectBytes     Spread `json:"collect_bytes"`
}

// ranks are the k of AC@k.
func ranks() [3]int { return [3]int{1, 3, 5} }

// Summarize counts the records of one tool. Their order does not matter.
func Summarize(records []Record) Summary {
	var s Summary
	var alert, cause, resolved, cpu, size []float64
	for _, r := range records {
		s.Cases++
		if r.Void != "" {
			s.Void++
			continue
		}
		s.add(r)
		alert, cause, resolved = appendTime(alert, r.ToAlert), appendTime(cause, r.ToCause), appendTime(resolved, r.ToResolved)
		cpu, size = append(cpu, float64(r.CollectCPUMillis)), append(size, float64(r.CollectBytes))
	}
	s.ToAlert, s.ToCause, s.ToResolved = spread(alert), spread(cause), spread(resolved)
	s.CollectCPUMillis, s.CollectBytes = spread(cpu), spread(size)
	return s
}

func (s *Summary) add(r Record) {
	for _, t := range r.Result.Truths {
		for i, k := range ranks() {
			s.Cause[i].count(0 < t.CauseRank && t.CauseRank <= k)
			s.Entity[i].count(0 < t.EntityRank && t.EntityRank <= k)
		}
		s.Object.count(t.ObjectRight)
		if t.ChainAsked {
			s.Chain.count(t.ChainRight)
		}
	}
	if r.Failure != "" {
		s.Failed++
	}
	if r.Result.UnknownAsked {
		s.Unknown.count(r.Result.UnknownRight)
	}
	if r.Result.Healthy {
		s.Quiet.count(r.Failure == "" && r.Result.Quiet)
	}
	if r.Result.CureAsked {
		s.Fixed.count(r.Fixed)
		s.FixedVerified.count(r.Fixed && r.Answer.Verified())
	}
	s.GaveUp += one(r.Result.GaveUp)
	s.FalseCauses += r.Result.FalseCauses
	s.WrongClaims += r.Result.WrongClaims
	s.ActedWrongly += one(r.Result.ActedWrongly)
	s.Harm += r.HarmTotal()
	s.Harmed += one(r.HarmTotal() > 0)
	for _, h := range r.Harm {
		if len(h.Unmeasured) > 0 {
			s.Unmeasured++
			break
		}
	}
}

func one(is bool) int {
	if is {
		return 1
	}
	return 0
}

func appendTime(all []float64, t *Seconds) []float64 {
	if t == nil {
		return all
	}
	return append(all, float64(*t))
}

// spread uses the nearest rank, so that every number was measured.
func spread(all []float64) Spread {
	if len(all) == 0 {
		return Spread{}
	}
	slices.Sort(all)
	at := func(share float64) float64 { return all[int(math.Ceil(share*float64(len(all))))-1] }
	return Spread{N: len(all), Median: at(0.5), P95: at(0.95)}
}
