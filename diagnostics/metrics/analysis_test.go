package metrics_test

import (
	"encoding/json"
	"flag"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/secondline-ops/secondline/diagnostics/metrics"
	"github.com/secondline-ops/secondline/internal/fault"
)

var update = flag.Bool("update", false, "write the golden files anew")

// A story has so many rows before and after its onset, one a second.
const storyRows = 120

// story makes an input whose series are functions of the row, 0 being the
// onset, at which the tables are cut.
func story(series map[string]func(row int) float64) metrics.Input {
	columns := slices.Sorted(maps.Keys(series))
	in := metrics.Input{Normal: metrics.Table{Name: "normal.csv", Columns: columns}, Anomalous: metrics.Table{Name: "anomalous.csv", Columns: columns}}
	fill := func(t *metrics.Table, from, to int) {
		for row := from; row < to; row++ {
			t.Times = append(t.Times, float64(shopEpoch().Unix()+int64(row)))
		}
		for _, name := range columns {
			var values []float64
			for row := from; row < to; row++ {
				values = append(values, series[name](row))
			}
			t.Values = append(t.Values, values)
		}
	}
	fill(&in.Normal, -storyRows, 0)
	fill(&in.Anomalous, 0, storyRows)
	return in
}

// noisy is a level with a hundredth of noise; other seeds make other noise.
func noisy(seed uint64, level float64) func(int) float64 {
	r := rand.New(rand.NewPCG(seed, 7))
	var values [2 * storyRows]float64
	for i := range values {
		values[i] = level * (1 + 0.02*r.NormFloat64())
	}
	return func(row int) float64 { return values[row+storyRows] }
}

// since changes a series from a row on.
func since(begin int, before, after func(int) float64) func(int) float64 {
	return func(row int) float64 {
		if row >= begin {
			return after(row)
		}
		return before(row)
	}
}

func always(v float64) func(int) float64 { return func(int) float64 { return v } }

func gap(int) float64 { return math.NaN() }

func names(r metrics.Report) (out []string) {
	for _, m := range r.Metrics {
		out = append(out, m.Entity+"_"+m.Metric)
	}
	return out
}

func find(t *testing.T, r metrics.Report, name string) metrics.Metric {
	t.Helper()
	i := slices.Index(names(r), name)
	if i < 0 {
		t.Fatalf("%s was not looked at: %v", name, r.Skipped)
	}
	return r.Metrics[i]
}

func TestDirections(t *testing.T) {
	t.Parallel()
	r := analysed(t, story(map[string]func(int) float64{
		"up_cpu":       since(0, noisy(1, 1), noisy(2, 9)),
		"down_cpu":     since(0, noisy(3, 9), noisy(4, 1)),
		"gone_cpu":     since(0, noisy(5, 1), gap),
		"new_cpu":      since(0, gap, noisy(6, 1)),
		"calm_cpu":     noisy(7, 1),
		"minus_offset": since(0, noisy(8, -1), noisy(9, -9)),
	}))
	for name, want := range map[string]metrics.Direction{
		"up_cpu": metrics.Up, "down_cpu": metrics.Down, "gone_cpu": metrics.Vanished, "new_cpu": metrics.Appeared, "minus_offset": metrics.Down,
	} {
		if got := find(t, r, name); got.Direction != want || got.Score <= find(t, r, "calm_cpu").Score {
			t.Errorf("%s: got %s, score %v; want %s, above %v", name, got.Direction, got.Score, want, find(t, r, "calm_cpu").Score)
		}
	}
	if d := r.Onset.Sub(shopEpoch()); d != 0 {
		t.Errorf("onset is %s off", d)
	}
}

// TestOrder says what must come before what.
func TestOrder(t *testing.T) {
	t.Parallel()
	fault := since(0, noisy(1, 1), noisy(2, 1.6))
	for name, c := range map[string]struct {
		series map[string]func(int) float64
		want   []string // these first, in this order
	}{
		"a single spike moves nothing": {map[string]func(int) float64{
			"a_cpu": fault, "b_cpu": func(row int) float64 { return noisy(3, 1)(row) + 1000*one(row == 50) },
		}, []string{"a_cpu", "b_cpu"}},
		"what was as bad before did not change": {map[string]func(int) float64{
			"a_cpu": fault, "b_cpu": since(-storyRows/2, noisy(3, 1), noisy(4, 5)),
		}, []string{"a_cpu", "b_cpu"}},
		"drift goes on": {map[string]func(int) float64{
			"a_cpu": fault, "b_mem": func(row int) float64 { return noisy(3, 1000)(row) * (1 + float64(row+storyRows)/100) },
		}, []string{"a_cpu", "b_mem"}},
		"a constant that moves a little is no evidence": {map[string]func(int) float64{
			"a_cpu": fault, "b_mem": since(0, always(5e8), func(row int) float64 { return 5e8 + 4096*float64(row%3) }),
		}, []string{"a_cpu", "b_mem"}},
		"a constant that moves a lot is, but swamps nothing": {map[string]func(int) float64{
			"a_cpu": since(0, noisy(1, 1), noisy(2, 9)), "b_mem": since(0, always(0), noisy(3, 1e12)), "c_cpu": noisy(4, 1),
		}, []string{"a_cpu", "b_mem", "c_cpu"}},
		"what stopped counts more than what is not exported": {map[string]func(int) float64{
			"a_cpu": since(0, noisy(1, 1), gap), "b_cpu": noisy(2, 1),
		}, []string{"a_cpu", "b_cpu"}},
		"a share that reached its end": {map[string]func(int) float64{
			"b_disk_percent": since(0, wave(50, 30), always(100)), "a_disk": since(0, wave(50, 30), always(100)),
		}, []string{"b_disk_percent", "a_disk"}},
		"availability in parts of a percent": {map[string]func(int) float64{
			"a_availability": since(0, always(100), noisy(1, 97)), "b_speed": since(0, always(100), always(97)),
		}, []string{"a_availability", "b_speed"}},
		"what got better is not the cause": {map[string]func(int) float64{
			"a_cpu": since(0, noisy(1, 1), noisy(2, 1.3)), "b_latency_p99": since(0, noisy(3, 9), noisy(4, 1)), "c_availability": since(0, noisy(5, 50), noisy(6, 100)),
		}, []string{"a_cpu"}},
		"latency travels, memory stays": {map[string]func(int) float64{
			"a_mem": since(0, noisy(1, 1), noisy(2, 3)), "b_lat_90": since(0, noisy(1, 1), noisy(2, 3)), "c_requests": since(0, noisy(1, 1), noisy(2, 3)),
		}, []string{"a_mem", "b_lat_90", "c_requests"}},
		"a counter by name": {map[string]func(int) float64{
			"a_errors_total": counter(always(1), always(9)), "b_bytes_total": counter(always(5), always(5)), "c_cpu": noisy(3, 1),
		}, []string{"a_errors_total"}},
		"a counter by what it does, which falls when it begins anew": {map[string]func(int) float64{
			"a_cpu": fault, "b_sent": func(row int) float64 { return float64((row+storyRows)%200) + noisy(3, 0.01)(row) },
		}, []string{"a_cpu"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := analysed(t, story(c.series))
			got := names(r)
			if diff := cmp.Diff(c.want, got[:min(len(got), len(c.want))]); diff != "" {
				t.Errorf("(-want +got)\n%s%+v", diff, r.Metrics)
			}
		})
	}
}

func onlyAt(at int) func(int) float64 {
	return func(row int) float64 {
		if row == at {
			return 1
		}
		return math.NaN()
	}
}

func one(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

func wave(level, swing float64) func(int) float64 {
	return func(row int) float64 { return level + swing*math.Sin(float64(row)) }
}

// counter grows by one rate until the onset and by another after it, with noise.
func counter(before, after func(int) float64) func(int) float64 {
	noise := noisy(99, 1)
	return func(row int) float64 {
		sum := 0.0
		for i := -storyRows; i <= row; i++ {
			sum += since(0, before, after)(i) * noise(i)
		}
		return sum
	}
}

func TestASingleValueOfAShortTableMovesNothing(t *testing.T) {
	t.Parallel()
	in := story(map[string]func(int) float64{
		"a_cpu": since(2, noisy(1, 1), noisy(2, 1.2)), "b_cpu": func(row int) float64 { return noisy(3, 1)(row) + 1000*one(row == 3) },
	})
	in.Anomalous.Times = in.Anomalous.Times[:5]
	for i, values := range in.Anomalous.Values {
		in.Anomalous.Values[i] = values[:5]
	}
	if r := analysed(t, in); r.Entities[0].Entity != "a" {
		t.Errorf("got %+v", r.Metrics)
	}
}

func TestAColumnThatIsMissingSaysLessThanOneThatIsEmpty(t *testing.T) {
	t.Parallel()
	in := story(map[string]func(int) float64{"a_cpu": noisy(1, 1), "b_cpu": since(0, noisy(2, 1), gap), "c_cpu": noisy(3, 1)})
	in.Anomalous.Columns, in.Anomalous.Values = in.Anomalous.Columns[1:], in.Anomalous.Values[1:]
	r := analysed(t, in)
	if diff := cmp.Diff([]string{"b_cpu", "a_cpu", "c_cpu"}, names(r)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestSaysWhatItDidNotLookAt(t *testing.T) {
	t.Parallel()
	in := story(map[string]func(int) float64{
		"a_cpu": since(0, noisy(1, 1), noisy(2, 9)), "b_flag": always(1), "c_rare": since(-3, gap, always(1)),
		"d_once": since(0, noisy(1, 1), onlyAt(3)), "plain": noisy(3, 1), "e_old": noisy(4, 1), "f_new": noisy(5, 1),
	})
	newcomer := slices.Index(in.Normal.Columns, "f_new")
	in.Normal.Columns = slices.Delete(slices.Clone(in.Normal.Columns), newcomer, newcomer+1)
	in.Normal.Values = slices.Delete(in.Normal.Values, newcomer, newcomer+1)
	in.Graph, in.Kinds = metrics.Graph{"a": {"ghost"}}, metrics.Kinds{"lb": "lb"}
	r := analysed(t, in)
	want := []metrics.Skipped{
		{Entity: "b", Metric: "flag", Reason: metrics.Constant},
		{Entity: "c", Metric: "rare", Reason: metrics.TooFewPoints},
		{Entity: "d", Metric: "once", Reason: metrics.TooFewPoints},
		{Entity: "f", Metric: "new", Reason: metrics.NoBaseline},
		{Entity: "ghost", Reason: metrics.NoSeries},
		{Entity: "lb", Reason: metrics.NoSeries},
		{Entity: "plain", Reason: metrics.NotNamed},
	}
	if diff := cmp.Diff(want, r.Skipped); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestNothingToLookAt(t *testing.T) {
	t.Parallel()
	good := story(map[string]func(int) float64{"a_cpu": noisy(1, 1)})
	for name, in := range map[string]metrics.Input{
		"no rows in normal":    {Normal: metrics.Table{Columns: []string{"a_cpu"}, Values: [][]float64{nil}}, Anomalous: good.Anomalous},
		"no rows in anomalous": {Normal: good.Normal, Anomalous: metrics.Table{Columns: []string{"a_cpu"}, Values: [][]float64{nil}}},
		"no series":            story(map[string]func(int) float64{"cpu": noisy(1, 1)}),
	} {
		if _, err := metrics.Analyse(in); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: got %v, want fault.Invalid", name, err)
		}
	}
	r := analysed(t, story(map[string]func(int) float64{"a_flag": always(1)}))
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"onset":"2026-03-01T12:00:00Z","entities":[],"metrics":[],"skipped":[{"entity":"a","metric":"flag","reason":"constant"}]}`; string(text) != want {
		t.Errorf("got %s\nwant %s", text, want)
	}
}

// ill is a service whose latency rises by a factor after some seconds.
func ill(seed uint64, factor float64, after int) func(int) float64 {
	return since(after, noisy(seed, 1), noisy(seed+100, factor))
}

func TestEntities(t *testing.T) {
	t.Parallel()
	series := map[string]func(int) float64{
		"web_latency": ill(1, 3, 0), "app_latency": ill(2, 3.2, 0), "db_latency": ill(3, 3.6, 0), "mail_latency": noisy(4, 1),
	}
	chain := metrics.Graph{"web": {"app"}, "app": {"db", "mail"}}
	for name, c := range map[string]struct {
		change map[string]func(int) float64
		graph  metrics.Graph
		kinds  metrics.Kinds
		want   []string // entities, each with what explains it
	}{
		"without a graph the loudest":          {nil, nil, nil, []string{"db", "app", "web", "mail"}},
		"callers are explained":                {map[string]func(int) float64{"web_latency": ill(1, 9, 0)}, chain, nil, []string{"db", "web", "app<db", "mail"}},
		"an observer weighs little":            {map[string]func(int) float64{"web_latency": ill(1, 9, 0)}, nil, metrics.Kinds{"web": "load_balancer"}, []string{"db", "app", "web", "mail"}},
		"an observer explains nothing":         {nil, metrics.Graph{"app": {"db"}}, metrics.Kinds{"db": "probe"}, []string{"app", "web", "db", "mail"}},
		"an unknown kind changes nothing":      {nil, nil, metrics.Kinds{"db": "database"}, []string{"db", "app", "web", "mail"}},
		"through an entity without series":     {nil, metrics.Graph{"web": {"x"}, "x": {"db", "x", "web"}}, nil, []string{"db", "app", "web<db", "mail"}},
		"what began later explains nothing":    {map[string]func(int) float64{"db_latency": ill(3, 3.6, 40)}, metrics.Graph{"web": {"db"}, "app": {"db"}}, nil, []string{"db", "app", "web", "mail"}},
		"what is well explains nothing":        {nil, metrics.Graph{"db": {"mail"}}, nil, []string{"db", "app", "web", "mail"}},
		"a circle of callers is still ranked":  {nil, metrics.Graph{"web": {"app"}, "app": {"db"}, "db": {"web"}}, nil, []string{"db<web", "app<db", "web<app", "mail"}},
		"the graph names nobody who is looked": {nil, metrics.Graph{"x": {"y"}}, nil, []string{"db", "app", "web", "mail"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := maps.Clone(series)
			maps.Copy(all, c.change)
			in := story(all)
			in.Graph, in.Kinds = c.graph, c.kinds
			r := analysed(t, in)
			var got []string
			for _, e := range r.Entities {
				word := e.Entity
				if e.ExplainedBy != "" {
					word += "<" + e.ExplainedBy
				}
				got = append(got, word)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s%+v", diff, r.Entities)
			}
		})
	}
}

func TestEqualScoresShareARank(t *testing.T) {
	t.Parallel()
	fault := since(0, noisy(1, 1), noisy(2, 9))
	r := analysed(t, story(map[string]func(int) float64{"c_cpu": fault, "a_cpu": fault, "b_cpu": noisy(3, 1), "b_mem": noisy(3, 1)}))
	var got []int
	for _, e := range r.Entities {
		got = append(got, e.Rank)
	}
	if diff := cmp.Diff([]int{1, 1, 3}, got); diff != "" || r.Entities[0].Entity != "a" || r.Entities[1].Entity != "c" {
		t.Errorf("(-want +got)\n%s%+v", diff, r.Entities)
	}
	got = nil
	for _, m := range r.Metrics {
		got = append(got, m.Rank)
	}
	if diff := cmp.Diff([]int{1, 1, 3, 3}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestFindsTheOnset(t *testing.T) {
	t.Parallel()
	for _, s := range scenes() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			tolerance := 5 * time.Second
			if s.name == "60 s late" { // a sixth of the normal table is the fault
				tolerance = 15 * time.Second
			}
			var off []time.Duration
			for seed := uint64(shopTrainFrom); seed < shopTrainFrom+30; seed++ {
				if d := analysed(t, s.input(generateShop(seed), seed)).Onset.Sub(shopEpoch()); d.Abs() > tolerance {
					off = append(off, d)
				}
			}
			if len(off) > 3 {
				t.Errorf("%d of 30 onsets are off by more than %s: %s", len(off), tolerance, off)
			}
		})
	}
}

func TestTheRecoveryIsNotTheOnset(t *testing.T) {
	t.Parallel()
	well := noisy(1, 1)
	r := analysed(t, story(map[string]func(int) float64{
		"a_cpu": since(20, well, since(70, noisy(2, 6), well)), // ends with a second jump, beside that of b
		"b_cpu": since(70, noisy(3, 1), noisy(4, 1.05)),
	}))
	if want := shopEpoch().Add(20 * time.Second); !r.Onset.Equal(want) || r.Entities[0].Entity != "a" {
		t.Errorf("got %s and %s, want %s and a", r.Onset, r.Entities[0].Entity, want)
	}
}

func TestAGivenOnsetIsTakenWhenNothingJumps(t *testing.T) {
	t.Parallel()
	in := story(map[string]func(int) float64{"a_cpu": noisy(1, 1)})
	given := shopEpoch().Add(30 * time.Second)
	in.Onset = &given
	if r := analysed(t, in); !r.Onset.Equal(given) {
		t.Errorf("got %s, want %s", r.Onset, given)
	}
	far := shopEpoch().Add(-time.Hour)
	in.Onset = &far
	if r := analysed(t, in); !r.Onset.Equal(shopEpoch()) {
		t.Errorf("got %s, want the start of the anomalous table", r.Onset)
	}
}

func TestAGivenOnsetDecidesBetweenTwo(t *testing.T) {
	t.Parallel()
	const step = 5 // seconds between rows
	in := story(map[string]func(int) float64{"a_cpu": since(10, noisy(1, 1), noisy(2, 9)), "b_cpu": since(80, noisy(1, 1), noisy(2, 9)), "c_cpu": noisy(5, 1)})
	for _, times := range [][]float64{in.Normal.Times, in.Anomalous.Times} {
		for i := range times {
			times[i] = float64(shopEpoch().Unix()) + step*(times[i]-float64(shopEpoch().Unix()))
		}
	}
	first, second := shopEpoch().Add(10*step*time.Second), shopEpoch().Add(80*step*time.Second)
	if r := analysed(t, in); !r.Onset.Equal(first) {
		t.Errorf("got %s, want the first", r.Onset)
	}
	for _, late := range []time.Duration{0, time.Minute} {
		given := second.Add(late)
		in.Onset = &given
		if r := analysed(t, in); !r.Onset.Equal(second) || r.Entities[0].Entity != "b" {
			t.Errorf("told %s late: got %s and %s, want %s and b", late, r.Onset, r.Entities[0].Entity, second)
		}
	}
}

func TestGolden(t *testing.T) {
	t.Parallel()
	in := story(map[string]func(int) float64{
		"web_latency_p99": ill(1, 3, 2), "db_cpu": ill(2, 8, 0), "db_disk_percent": always(40), "lb_latency": ill(3, 4, 3), "app_requests": ill(4, 0.3, 5),
	})
	in.Graph, in.Kinds = metrics.Graph{"lb": {"web"}, "web": {"db"}}, metrics.Kinds{"lb": "lb"}
	text, err := json.MarshalIndent(analysed(t, in), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", "report.json")
	if *update {
		if err := os.WriteFile(path, append(text, '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.TrimSpace(string(want)), string(text)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
