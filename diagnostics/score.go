package diagnostics

import (
	"math"

	"github.com/secondline-ops/secondline/internal/expr"
)

// The numbers of the ranking. Log-odds per evidence group follow the usual
// treatment of dependent symptoms in diagnosis by Bayes: the strongest piece
// counts in full, the others of its group with a discount, because one
// mechanism brings them about together.
const (
	groupDiscount  = 0.2  // weight of all but the strongest piece of a group
	unknownLogOdds = 0.0  // the cause that is not in the catalogue weighs as much as one at even odds
	ruledOutCap    = 0.05 // the most that a cause may reach that required or refuting evidence rules out
	likelyFrom     = 0.5  // a cause is likely when it is at least as probable as all else together
	possibleFrom   = 0.05
)

func logit(p float64) float64 { return math.Log(p / (1 - p)) }

// logOdds is what the outcome of a piece of evidence says by itself. What
// could not be told says nothing.
func logOdds(truth expr.Truth, seenIfCause, seenOtherwise float64) float64 {
	switch truth {
	case expr.True:
		return math.Log(seenIfCause / seenOtherwise)
	case expr.False:
		return math.Log((1 - seenIfCause) / (1 - seenOtherwise))
	case expr.CannotTell:
		return 0
	}
	return 0
}

// groupWeights returns what each piece of one group contributes: the largest
// in full, the others at the discount. What could not be told takes part with
// its 0; without that, one more piece that speaks against a cause could become
// the "largest" and raise it.
func groupWeights(own []float64) []float64 {
	top := 0
	for i, w := range own {
		if w > own[top] {
			top = i
		}
	}
	out := make([]float64, len(own))
	for i, w := range own {
		out[i] = w * groupDiscount
		if i == top {
			out[i] = w
		}
	}
	return out
}

// probabilities shares certainty among the causes and the unknown one, given
// the log-odds of each. It subtracts the largest first, so that no exponent
// overflows.
func probabilities(odds []float64) []float64 {
	peak := unknownLogOdds
	for _, l := range odds {
		peak = max(peak, l)
	}
	sum := math.Exp(unknownLogOdds - peak)
	for _, l := range odds {
		sum += math.Exp(l - peak)
	}
	out := make([]float64, len(odds))
	for i, l := range odds {
		out[i] = math.Exp(l-peak) / sum
	}
	return out
}
