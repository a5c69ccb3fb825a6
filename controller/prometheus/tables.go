package prometheus

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/internal/fault"
)

// maxPointsOfSeries is what Prometheus itself allows in one answer (web/api/v1:
// "exceeded maximum resolution of 11,000 points per timeseries").
const maxPointsOfSeries = 11_000

// Window is a span of time of the server's clock, both ends included.
type Window struct{ From, To time.Time }

// TableOptions say what the tables are of.
type TableOptions struct {
	// Selectors are what is read, such as {instance=~"db1:9100|web1:9100"}.
	Selectors         []string
	Normal, Anomalous Window
	Step              time.Duration
	// Entity names the entity of a series by its labels; "" leaves the series
	// out. nil takes the label instance, without its port.
	Entity func(labels map[string]string) string
}

// Table is what the metric root-cause tool compares: a column for each series,
// called ENTITY_METRIC, and a row for each step.
type Table struct {
	Columns []string    // sorted
	Times   []float64   // epoch seconds
	Values  [][]float64 // by column, then by row; NaN is a gap
}

// Tables reads the tables of a time when all was well and of the time of
// trouble. A name of an entity ends at the first underscore, so that its own are
// written as "-"; labels that tell series of one metric apart stand in its name,
// before the _total of a counter: db1_node_cpu_seconds[cpu=0,mode=idle]_total. An answer that may
// lack something is an error, since what is missing would look like trouble.
func (c *Client) Tables(ctx context.Context, o TableOptions) (normal, anomalous Table, err error) {
	if normal, err = c.table(ctx, o, o.Normal); err != nil {
		return Table{}, Table{}, err
	}
	if anomalous, err = c.table(ctx, o, o.Anomalous); err != nil {
		return Table{}, Table{}, err
	}
	return normal, anomalous, nil
}

func (c *Client) table(ctx context.Context, o TableOptions, w Window) (Table, error) {
	rows, err := rowsOf(w, o.Step)
	if err != nil {
		return Table{}, err
	}
	if len(o.Selectors) == 0 {
		return Table{}, fault.New(fault.Invalid, "nothing is selected").WithHint(`such as {instance=~"db1:9100|web1:9100"}`)
	}
	t := Table{Columns: []string{}, Times: make([]float64, rows), Values: [][]float64{}}
	for i := range t.Times {
		t.Times[i] = float64(w.From.Add(time.Duration(i)*o.Step).UnixMilli()) / 1000
	}
	columns, seen := map[string][]float64{}, map[string]bool{}
	for _, sel := range o.Selectors {
		answer, err := c.QueryRange(ctx, sel, w.From, w.To, o.Step)
		if err != nil {
			return Table{}, err
		}
		if len(answer.Warnings) > 0 {
			return Table{}, c.wrap(fault.Transient, nil, "the answer may lack something: %s", answer.Warnings[0])
		}
		slices.SortFunc(answer.Series, func(a, b Series) int { return cmp.Compare(identity(a.Labels), identity(b.Labels)) })
		for _, s := range answer.Series {
			name, ok := columnOf(s.Labels, o.Entity)
			if id := identity(s.Labels); !ok || seen[id] { // two selectors may read the same series
				continue
			} else {
				seen[id] = true
			}
			for base, n := name, 2; columns[name] != nil; n++ { // only what is left out of the name tells them apart
				name = fmt.Sprintf("%s#%d", base, n)
			}
			if (len(columns)+1)*rows > maxPoints {
				return Table{}, fault.New(fault.TooLarge, "the series have more than %d points", maxPoints).WithHint("select fewer, or take a longer step")
			}
			columns[name] = valuesOf(s, w.From, o.Step, rows)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(columns)) {
		t.Columns, t.Values = append(t.Columns, name), append(t.Values, columns[name])
	}
	return t, nil
}

func rowsOf(w Window, step time.Duration) (int, error) {
	if step < time.Millisecond || !w.From.Before(w.To) {
		return 0, fault.New(fault.Invalid, "from %s to %s in steps of %s there is nothing to read", w.From, w.To, step)
	}
	rows := w.To.Sub(w.From)/step + 1
	if rows > maxPointsOfSeries {
		return 0, fault.New(fault.TooLarge, "from %s to %s in steps of %s are more than %d rows", w.From, w.To, step, maxPointsOfSeries).WithHint("take a longer step")
	}
	return int(rows), nil
}

// columnOf names a series ENTITY_METRIC.
func columnOf(labels map[string]string, entityOf func(map[string]string) string) (string, bool) {
	if entityOf == nil {
		entityOf = instanceOf
	}
	entity := strings.ReplaceAll(entityOf(labels), "_", "-")
	metric, ok := labels["__name__"]
	if entity == "" || !ok {
		return "", false
	}
	var apart []string
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		if name != "__name__" && name != "instance" && name != "job" {
			apart = append(apart, name+"="+labels[name])
		}
	}
	if len(apart) > 0 {
		suffix := "" // by it a counter is known, so it stays the end
		for _, s := range []string{"_total", "_count", "_sum"} {
			if strings.HasSuffix(metric, s) {
				suffix = s
			}
		}
		metric = strings.TrimSuffix(metric, suffix) + "[" + strings.Join(apart, ",") + "]" + suffix
	}
	return entity + "_" + metric, true
}

func instanceOf(labels map[string]string) string {
	if host, _, err := net.SplitHostPort(labels["instance"]); err == nil {
		return host
	}
	return labels["instance"]
}

func identity(labels map[string]string) string {
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		text.WriteString(name + "\x00" + labels[name] + "\x00")
	}
	return text.String()
}

// valuesOf puts the points of a series into the rows that they belong to.
func valuesOf(s Series, from time.Time, step time.Duration, rows int) []float64 {
	values := make([]float64, rows)
	for i := range values {
		values[i] = math.NaN()
	}
	for _, p := range s.Points {
		row := (p.At.Sub(from) + step/2) / step
		if row >= 0 && int(row) < rows && !p.At.Before(from.Add(-step/2)) && !math.IsInf(p.Value, 0) {
			values[row] = p.Value
		}
	}
	return values
}
