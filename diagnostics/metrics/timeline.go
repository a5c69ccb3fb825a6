package metrics

import (
	"cmp"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// series is one metric of one entity over the rows of its timeline. Gaps are
// NaN.
type series struct {
	entity, metric        string
	values                []float64
	normal                []float64 // those of the normal table, in order of size, without gaps
	inNormal, inAnomalous bool      // whether the table has a column for it
}

// timeline is both tables in one: the rows of the normal one, and from the row
// seam on those of the anomalous one. The two may be of different days.
type timeline struct {
	times    []float64
	seam     int
	adjacent bool // the anomalous table goes on where the normal one ends
	series   []series
}

// Tables that lie further apart than so many samples are not one recording.
const adjacentSteps = 20

// join puts the tables together, with a series for each column of either, in
// order of their names.
func join(normal, anomalous Table) (timeline, []Skipped) {
	t := timeline{times: slices.Concat(normal.Times, anomalous.Times), seam: len(normal.Times)}
	if t.seam > 0 && len(anomalous.Times) > 0 {
		gap := anomalous.Times[0] - normal.Times[t.seam-1]
		t.adjacent = gap > 0 && gap <= adjacentSteps*max(step(normal.Times), step(anomalous.Times))
	}
	skipped := []Skipped{}
	before, after := normal.index(), anomalous.index()
	names := map[string]bool{}
	for _, name := range slices.Concat(normal.Columns, anomalous.Columns) {
		names[name] = true
	}
	for name := range names {
		entity, metric, named := strings.Cut(name, "_")
		if !named || entity == "" || metric == "" {
			skipped = append(skipped, Skipped{Entity: entity, Metric: metric, Reason: NotNamed})
			continue
		}
		s := series{entity: entity, metric: metric}
		_, s.inNormal = before[name]
		_, s.inAnomalous = after[name]
		s.values = slices.Concat(normal.column(before, name), anomalous.column(after, name))
		t.series = append(t.series, s)
	}
	slices.SortFunc(t.series, func(a, b series) int {
		return cmp.Or(cmp.Compare(a.entity, b.entity), cmp.Compare(a.metric, b.metric))
	})
	each(len(t.series), func(i int) {
		s := &t.series[i]
		if counts(s.metric, s.values[:t.seam]) {
			s.values = t.rates(s.values)
		}
		s.normal = sorted(s.values[:t.seam])
	})
	return t, skipped
}

// each calls do for every number below n, on all processors, and returns when
// all are done: series are many and know nothing of each other.
func each(n int, do func(i int)) {
	var all sync.WaitGroup
	workers := min(n, runtime.GOMAXPROCS(0))
	for first := range workers {
		all.Go(func() {
			for i := first; i < n; i += workers {
				do(i)
			}
		})
	}
	all.Wait()
}

// index says where each column is.
func (t Table) index() map[string]int {
	at := make(map[string]int, len(t.Columns))
	for i, name := range t.Columns {
		at[name] = i
	}
	return at
}

// column returns the values of a series, all gaps if the table has it not.
func (t Table) column(index map[string]int, name string) []float64 {
	if i, ok := index[name]; ok {
		return t.Values[i]
	}
	gaps := make([]float64, len(t.Times))
	for i := range gaps {
		gaps[i] = math.NaN()
	}
	return gaps
}

// step is the usual time between two rows.
func step(times []float64) float64 {
	if len(times) < 2 {
		return 0
	}
	return (times[len(times)-1] - times[0]) / float64(len(times)-1)
}

// minCounterRows is what it takes to call a series a counter without its name
// saying so: that many values which never fall are no coincidence.
const minCounterRows = 20

// counts reports whether a series is a counter: by the suffix that Prometheus
// asks for (naming practices: _total; _count and _sum of histograms), or because
// it only ever grows, most of the time. A reset (a fall to almost nothing) is no
// fall.
func counts(metric string, values []float64) bool {
	rises, same, resets := 0, 0, 0
	last := math.NaN()
	for _, v := range values {
		switch {
		case math.IsNaN(v):
			continue
		case v > last:
			rises++
		case v == last:
			same++
		case v >= 0 && v < last/10:
			resets++
		case v < last:
			return false
		}
		last = v
	}
	for _, suffix := range []string{"_total", "_count", "_sum"} {
		if strings.HasSuffix("_"+metric, suffix) {
			return rises > 0
		}
	}
	return rises+same >= minCounterRows && rises > same && rises > 20*resets
}

// rates returns the growth of a counter per second. A reset is a gap, and so is
// the seam between tables that are not adjacent.
func (t timeline) rates(counter []float64) []float64 {
	out := make([]float64, len(counter))
	last := -1
	for i, v := range counter {
		out[i] = math.NaN()
		if i == t.seam && !t.adjacent {
			last = -1
		}
		if math.IsNaN(v) {
			continue
		}
		if last >= 0 && v >= counter[last] && t.times[i] > t.times[last] {
			out[i] = (v - counter[last]) / (t.times[i] - t.times[last])
		}
		last = i
	}
	return out
}

// sorted returns the values that are none of them gaps, in order of size.
func sorted(values []float64) []float64 {
	out := make([]float64, 0, len(values))
	for _, v := range values {
		if !math.IsNaN(v) {
			out = append(out, v)
		}
	}
	slices.Sort(out)
	return out
}
