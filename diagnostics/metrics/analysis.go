package metrics

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/secondline-ops/secondline/internal/fault"
)

// Analyse ranks the entities and metrics of the two tables. It returns
// fault.Invalid when a table has no rows or there is nothing to look at.
func Analyse(in Input) (Report, error) {
	for _, table := range []Table{in.Normal, in.Anomalous} {
		if len(table.Times) == 0 {
			return Report{}, fault.New(fault.Invalid, "%s has no rows", table.Name).WithHint("both tables need values: some hours when all was well, and those of the trouble")
		}
	}
	t, skipped := join(in.Normal, in.Anomalous)
	if len(t.series) == 0 {
		return Report{}, fault.New(fault.Invalid, "no column of %s is called entity_metric", in.Normal.Name).
			WithHint("call each column by its entity and its metric, as web1_cpu; the entity ends at the first underscore")
	}
	paths := t.paths()
	onset := t.findOnset(paths, in.Onset)

	assessed, reasons := make([]finding, len(t.series)), make([]Reason, len(t.series))
	each(len(t.series), func(i int) {
		f, reason := t.assess(t.series[i], onset)
		f.onset = unknownRow
		if p := paths[i]; p != nil && f.score > 0 {
			if row, _, ok := p.begin(max(p.first, onset-p.window), len(t.times)); ok {
				f.onset = row
			}
		}
		assessed[i], reasons[i] = f, reason
	})
	var found []finding
	for i, f := range assessed {
		if reasons[i] != "" {
			skipped = append(skipped, Skipped{f.entity, f.metric, reasons[i]})
			continue
		}
		found = append(found, f)
	}
	entities, strangers := rankEntities(found, in.Graph, in.Kinds)
	skipped = append(skipped, strangers...)
	slices.SortFunc(skipped, func(a, b Skipped) int {
		return cmp.Or(cmp.Compare(a.Entity, b.Entity), cmp.Compare(a.Metric, b.Metric))
	})
	return t.report(onset, entities, found, skipped), nil
}

// unknownRow is the onset of what does not jump.
const unknownRow = -1

// finding is what was found out about one series.
type finding struct {
	entity, metric string
	score          float64
	direction      Direction
	onset          int // a row, or unknownRow
}

func (t timeline) report(onset int, entities []suspect, found []finding, skipped []Skipped) Report {
	r := Report{Onset: moment(t.times[onset]), Entities: []Entity{}, Metrics: []Metric{}, Skipped: skipped}
	for _, e := range entities {
		r.Entities = append(r.Entities, Entity{
			Entity: e.name, Score: rounded(e.own), Onset: t.moment(e.loudest.onset), Metric: e.loudest.metric, ExplainedBy: e.explainedBy,
		})
	}
	for _, f := range found {
		m := Metric{Entity: f.entity, Metric: f.metric, Score: rounded(f.score), Onset: t.moment(f.onset), Direction: f.direction}
		if m.Score == 0 {
			m.Direction, m.Onset = Steady, nil
		}
		r.Metrics = append(r.Metrics, m)
	}
	slices.SortFunc(r.Entities, func(a, b Entity) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.Entity, b.Entity))
	})
	slices.SortFunc(r.Metrics, func(a, b Metric) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.Entity, b.Entity), cmp.Compare(a.Metric, b.Metric))
	})
	for i := range r.Entities {
		r.Entities[i].Rank = i + 1
		if i > 0 && r.Entities[i].Score == r.Entities[i-1].Score {
			r.Entities[i].Rank = r.Entities[i-1].Rank
		}
	}
	for i := range r.Metrics {
		r.Metrics[i].Rank = i + 1
		if i > 0 && r.Metrics[i].Score == r.Metrics[i-1].Score {
			r.Metrics[i].Rank = r.Metrics[i-1].Rank
		}
	}
	return r
}

// rounded cuts what is only the noise of floating point, so that equal
// evidence has an equal score.
func rounded(score float64) float64 { return math.Round(score*1e6) / 1e6 }

func (t timeline) moment(row int) *time.Time {
	if row == unknownRow {
		return nil
	}
	at := moment(t.times[row])
	return &at
}

func moment(seconds float64) time.Time {
	return time.UnixMilli(int64(math.Round(seconds * 1e3))).UTC()
}
