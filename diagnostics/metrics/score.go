package metrics

import (
	"math"
	"slices"
)

// The formula. For a series with a baseline (its values of the normal table,
// before the onset) and a window (its values since the onset):
//
//	centre    = median(baseline)
//	noise     = max(IQR/1.349, MAD/0.6745, (q99.5 − q0.5)/5.15) of the baseline
//	scale     = max(noise, floor · |centre|)
//	deviation = by how much the window lies above (or below) both the centre
//	            and what it was just before the onset, in scales
//	rarity    = −log((values of the baseline as far out + ½) / (values + ½))
//	score     = log(1 + deviation) · min(1, rarity / fullRarity) · meaning
//
// IQR/1.349, MAD/0.6745 and the tails over 5.15 are each the standard deviation
// of what is normally distributed; the largest of them wins, so that neither
// steps (whose IQR is 0) nor heavy tails look calm. The deviation is that of
// BARO (Pham et al., FSE 2024), two-sided and with floors; the rarity is the IT
// score (Budhathoki et al., ICML 2022), which makes a rare value of a wild
// series comparable with that of a calm one. The logarithm keeps a metric that
// moved a thousand scales from drowning one that moved thirty: both moved.
const (
	// relativeFloor: a change below 1 % of the level is no trouble, however calm
	// the series is. From 1 % to 5 % no rate on the generated cases or on PetShop's
	// training part changes; with 0.5 % Avg@5 of one scene falls by 0.03.
	relativeFloor = 0.01
	// shareFloor is that of shares (availability, utilisation), where 0.1 % is the
	// difference between three nines and four. Up to 1 % nothing changes; with 5 %
	// one of PetShop's 16 training cases is lost.
	shareFloor = 0.001
	// calmDeviation is the most that a series may deviate whose noise is below the
	// floor: its scale is a guess. A constant that starts to move is evidence, but
	// as much as thirty scales and not more. 100 changes nothing, 10 costs 0.01.
	calmDeviation = 30.0
	// fullRarity is the logarithm of twice the rows of five minutes at one a
	// second: fewer values cannot be as surprising. 8 changes nothing, 5 costs 0.01.
	fullRarity = 6.5
	// outermost is the share of the window that may lie beyond what counts as its
	// level, and at least one value: a single spike moves nothing. With 0.02, 0.05
	// of Avg@5 is lost on the generated cpu faults; up to 0.3 nothing is.
	outermost = 0.1
	// goneDeviation is what a series that stopped or started is worth: it is
	// evidence, below that of a clear deviation. When the anomalous table has not
	// even a column for it, it may just not have been exported.
	goneDeviation, unexportedDeviation = 10.0, 3.0
	// saturation is where a share counts as exhausted, and its deviation then,
	// though a wild past makes its scale wide.
	saturation, saturatedDeviation = 0.95, 10.0

	minPoints  = 5  // of a baseline, and what it may do with in a short table
	fairPoints = 20 // of a baseline in a table with four times as many rows
)

// assess scores one series, or says why it cannot.
func (t timeline) assess(s series, onset int) (finding, Reason) {
	f := finding{entity: s.entity, metric: s.metric, direction: Up}
	baseline := s.normal
	if onset < t.seam {
		baseline = sorted(s.values[:onset])
	}
	window := sorted(s.values[onset:])
	rows, since := min(onset, t.seam), len(s.values)-onset
	enough := max(minPoints, min(fairPoints, rows/4))
	switch {
	case !s.inNormal:
		return f, NoBaseline
	case len(baseline) == 0 && len(window) > since/2 && t.gap(s, onset):
		f.direction = Appeared
		f.score = fuse(goneDeviation, absence(float64(len(window))/float64(since), rows)) * meaning(s.metric, Up)
		return f, ""
	case len(baseline) < enough:
		return f, TooFewPoints
	case len(window) == 0:
		deviation := goneDeviation
		if !s.inAnomalous {
			deviation = unexportedDeviation
		}
		f.direction = Vanished
		f.score = fuse(deviation, absence(float64(len(baseline))/float64(rows), since))
		return f, ""
	case baseline[0] == baseline[len(baseline)-1] && window[0] == baseline[0] && window[len(window)-1] == baseline[0]:
		return f, Constant
	case len(window) < 2:
		return f, TooFewPoints
	}
	y := newYardstick(s.metric, baseline, window)
	above, below := y.deviations(window, sorted(t.justBefore(s, onset)))
	deviation := above
	if below > above {
		deviation, f.direction = below, Down
	}
	if f.direction == Up && saturated(s.metric, baseline, window) {
		deviation = max(deviation, saturatedDeviation)
	}
	f.score = fuse(deviation, y.rarity(deviation)) * meaning(s.metric, f.direction)
	return f, ""
}

// fuse is the score without its meaning.
func fuse(deviation, rarity float64) float64 {
	return math.Log1p(deviation) * min(1, rarity/fullRarity)
}

// absence is the rarity of so many gaps in a row in a series that has a value
// in this share of the rows.
func absence(coverage float64, rows int) float64 {
	const most = 0.99 // a series without gaps is not proof that none can happen
	return -float64(rows) * math.Log(1-min(coverage, most))
}

// justBefore returns the values right before the onset: a series that is as far
// out before as since did not change with the fault. A row of another day says
// nothing about that.
func (t timeline) justBefore(s series, onset int) []float64 {
	from := max(0, onset-longWindow)
	if !t.adjacent && onset >= t.seam {
		from = max(from, t.seam)
	}
	return s.values[from:onset]
}

func (t timeline) gap(s series, onset int) bool {
	return !slices.ContainsFunc(t.justBefore(s, onset), func(v float64) bool { return !math.IsNaN(v) })
}

// yardstick is what a series does while all is well: where it lies, and how far
// it strays from there by itself.
type yardstick struct {
	baseline      []float64 // in order of size
	centre, scale float64
	most          float64 // the most it may deviate
}

// newYardstick makes the yardstick of a metric from its baseline and its window,
// both in order of size.
func newYardstick(metric string, baseline, window []float64) yardstick {
	y := yardstick{baseline: baseline, most: math.Inf(1)}
	y.centre, y.scale = level(baseline)
	least, most := min(baseline[0], window[0]), max(baseline[len(baseline)-1], window[len(window)-1])
	floor := relativeFloor * math.Abs(y.centre)
	if isShare(metric) {
		floor = shareFloor * math.Abs(most)
	}
	if y.scale < floor || y.scale == 0 {
		// A series that was always 0 has no level to take a share of: its way to
		// the farthest value is all that there is.
		y.most = calmDeviation
		if y.scale = floor; floor == 0 {
			y.scale = max(most-y.centre, y.centre-least) / calmDeviation
		}
	}
	return y
}

// level returns the centre and the noise of values in order of size.
func level(values []float64) (centre, noise float64) {
	centre = quantile(values, 0.5)
	iqr := quantile(values, 0.75) - quantile(values, 0.25)
	tails := quantile(values, 0.995) - quantile(values, 0.005)
	return centre, max(iqr/1.349, medianDistance(values, centre)/0.6745, tails/5.15)
}

// deviations returns how far the window lies above and below its past, in scales.
// Before is what came right before the onset, in order of size; it may be empty.
func (y yardstick) deviations(window, before []float64) (above, below float64) {
	beyond := max(1, int(outermost*float64(len(window))))
	high, low := window[len(window)-1-beyond], window[beyond]
	above, below = high-y.centre, y.centre-low
	if len(before) > 0 {
		above = min(above, high-quantile(before, 1-outermost))
		below = min(below, quantile(before, outermost)-low)
	}
	limit := func(d float64) float64 { return min(max(0, d/y.scale), y.most) }
	return limit(above), limit(below)
}

// rarity is how surprising a deviation is, by how many values of the baseline
// are as far out.
func (y yardstick) rarity(deviation float64) float64 {
	const almost = 1 - 1e-9 // what is equal stays so in other units
	distance := almost * deviation * y.scale
	n := len(y.baseline)
	below, _ := slices.BinarySearch(y.baseline, y.centre-distance)
	notAbove, _ := slices.BinarySearch(y.baseline, y.centre+distance)
	asFar := min(n, below+n-notAbove)
	return math.Log((float64(n) + 0.5) / (float64(asFar) + 0.5))
}

// saturated reports whether a share reached its end, which it did not before.
func saturated(metric string, baseline, window []float64) bool {
	if !isShare(metric) {
		return false
	}
	whole := 1.0
	if most := max(baseline[len(baseline)-1], window[len(window)-1]); most > 1 {
		whole = 100
		if most > whole {
			return false
		}
	}
	beyond := max(1, int(outermost*float64(len(window))))
	return window[len(window)-1-beyond] >= saturation*whole && quantile(baseline, 0.99) < saturation*whole
}

// quantile of values in order of size; between two of them, in proportion.
func quantile(values []float64, q float64) float64 {
	at := q * float64(len(values)-1)
	low := int(at)
	if low+1 >= len(values) {
		return values[len(values)-1]
	}
	return values[low] + (at-float64(low))*(values[low+1]-values[low])
}

// medianDistance is the median of the distances from the centre. The values are
// in order of size, so the largest distances are at the ends: half of them are
// taken off there.
func medianDistance(values []float64, centre float64) float64 {
	low, high := 0, len(values)-1
	for range (len(values) - 1) / 2 {
		if centre-values[low] > values[high]-centre {
			low++
		} else {
			high--
		}
	}
	return max(centre-values[low], values[high]-centre)
}
