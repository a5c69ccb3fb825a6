package prometheus_test

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/secondline-ops/secondline/controller/prometheus"
	"github.com/secondline-ops/secondline/internal/fault"
)

func tableOptions() prometheus.TableOptions {
	return prometheus.TableOptions{
		Selectors: []string{`{instance=~"db1:9100|web_1"}`, `node_load1`},
		Normal:    prometheus.Window{From: t0.Add(-time.Hour), To: t0.Add(-time.Hour + time.Minute)},
		Anomalous: prometheus.Window{From: t0.Add(-time.Minute), To: t0},
		Step:      30 * time.Second,
	}
}

func TestTablesHaveAColumnForEachSeries(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	load := always(1.5, "__name__", "node_load1", "instance", "db1:9100", "job", "node")
	f.Yields[`{instance=~"db1:9100|web_1"}`] = []span{
		load,
		between(-24*time.Hour, -40*time.Second, "__name__", "cpu_seconds_total", "instance", "db1:9100", "cpu", "0", "mode", "idle").Of(7),
		between(-time.Minute, 0, "__name__", "up", "instance", "web_1", "job", "b"), between(-time.Minute, 0, "__name__", "up", "instance", "web_1", "job", "a"),
		always(math.Inf(1), "__name__", "limit", "instance", "web_1"),
		always(1, "instance", "db1:9100"), always(1, "__name__", "of_nobody"),
	}
	f.Yields["node_load1"] = []span{load} // which the other has, too
	normal, anomalous, err := f.client().Tables(t.Context(), tableOptions())
	if err != nil {
		t.Fatal(err)
	}
	at := func(d time.Duration) float64 { return float64(t0.Add(d).Unix()) }
	nan := math.NaN()
	if diff := cmp.Diff(prometheus.Table{
		Columns: []string{"db1_cpu_seconds[cpu=0,mode=idle]_total", "db1_node_load1", "web-1_limit"},
		Times:   []float64{at(-time.Hour), at(-time.Hour + 30*time.Second), at(-time.Hour + time.Minute)},
		Values:  [][]float64{{7, 7, 7}, {1.5, 1.5, 1.5}, {nan, nan, nan}},
	}, normal, cmpopts.EquateNaNs()); diff != "" {
		t.Errorf("normal (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(prometheus.Table{
		Columns: []string{"db1_cpu_seconds[cpu=0,mode=idle]_total", "db1_node_load1", "web-1_limit", "web-1_up", "web-1_up#2"},
		Times:   []float64{at(-time.Minute), at(-30 * time.Second), at(0)},
		Values:  [][]float64{{7, nan, nan}, {1.5, 1.5, 1.5}, {nan, nan, nan}, {93.5, 93.5, 93.5}, {93.5, 93.5, 93.5}},
	}, anomalous, cmpopts.EquateNaNs()); diff != "" {
		t.Errorf("anomalous (-want +got)\n%s", diff)
	}
}

func TestTablesNameEntitiesAsTold(t *testing.T) {
	t.Parallel()
	f, o := newFake(t), tableOptions()
	o.Selectors = o.Selectors[1:]
	f.Yields["node_load1"] = []span{always(1, "__name__", "node_load1", "instance", "10.0.0.5:9100"), always(1, "__name__", "node_load1", "instance", "x")}
	o.Entity = func(labels map[string]string) string {
		return map[string]string{"10.0.0.5:9100": "db_main"}[labels["instance"]]
	}
	_, got, err := f.client().Tables(t.Context(), o)
	if diff := cmp.Diff([]string{"db-main_node_load1"}, got.Columns); diff != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
}

func TestTablesAreWholeOrNone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*prometheus.TableOptions, *script)
		want   fault.Kind
	}{
		"warned":      {func(_ *prometheus.TableOptions, f *script) { f.Warnings = []string{"a store is away"} }, fault.Transient},
		"too long":    {func(o *prometheus.TableOptions, _ *script) { o.Step = time.Millisecond }, fault.TooLarge},
		"no step":     {func(o *prometheus.TableOptions, _ *script) { o.Step = 0 }, fault.Invalid},
		"backwards":   {func(o *prometheus.TableOptions, _ *script) { o.Anomalous.To = o.Anomalous.From }, fault.Invalid},
		"no selector": {func(o *prometheus.TableOptions, _ *script) { o.Selectors = nil }, fault.Invalid},
		"refused": {func(_ *prometheus.TableOptions, f *script) {
			f.Broken = says(422, `{"status":"error","errorType":"execution","error":"query processing would load too many samples into memory"}`)
		}, fault.Invalid},
	} {
		f, o := newFake(t), tableOptions()
		f.Yields[`{instance=~"db1:9100|web_1"}`], f.Yields["node_load1"] = nil, nil
		c.change(&o, &f.Script)
		if normal, anomalous, err := f.client().Tables(t.Context(), o); !fault.Is(err, c.want) || len(normal.Times)+len(anomalous.Times) > 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}
