package metrics_test

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/secondline-ops/secondline/diagnostics/metrics"
)

// The two formulas that the published tables know as BARO's scorer and NSigma,
// as plain as they are: the largest value since the onset, less the median (the
// mean), in interquartile ranges (standard deviations). A scale of 0 becomes 1,
// as in scikit-learn, gaps are filled forward. They are told the onset, or take
// the anomalous table as it is.

func baro(values []float64) (centre, scale float64) {
	sorted := slices.Sorted(slices.Values(values))
	at := func(q float64) float64 {
		i := q * float64(len(sorted)-1)
		low := int(i)
		return sorted[low] + (i-float64(low))*(sorted[min(low+1, len(sorted)-1)]-sorted[low])
	}
	return at(0.5), at(0.75) - at(0.25)
}

func nsigma(values []float64) (centre, scale float64) {
	for _, v := range values {
		centre += v / float64(len(values))
	}
	for _, v := range values {
		scale += (v - centre) * (v - centre) / float64(len(values))
	}
	return centre, math.Sqrt(scale)
}

// peerRanking ranks entities by their best metric.
func peerRanking(in metrics.Input, measure func([]float64) (centre, scale float64)) metrics.Report {
	best := map[string]float64{}
	for i, column := range in.Normal.Columns {
		centre, scale := measure(filled(in.Normal.Values[i]))
		if scale == 0 {
			scale = 1
		}
		score := (slices.Max(filled(in.Anomalous.Values[i])) - centre) / scale
		entity, _, _ := strings.Cut(column, "_")
		if known, ok := best[entity]; !ok || score > known {
			best[entity] = score
		}
	}
	var r metrics.Report
	for entity, score := range best {
		r.Entities = append(r.Entities, metrics.Entity{Entity: entity, Score: score})
	}
	slices.SortFunc(r.Entities, func(a, b metrics.Entity) int { return cmp.Compare(b.Score, a.Score) })
	return r
}

func filled(values []float64) []float64 {
	out := slices.Clone(values)
	last := 0.0
	for i, v := range out {
		if math.IsNaN(v) {
			out[i] = last
		}
		last = out[i]
	}
	return out
}
