package metrics_test

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/secondline-ops/secondline/diagnostics/metrics"
	"github.com/secondline-ops/secondline/internal/fault"
)

func TestReadTableUnderstandsWhatPeopleExport(t *testing.T) {
	t.Parallel()
	gap := math.NaN()
	for name, c := range map[string]struct {
		text string
		want metrics.Table
	}{
		"plain":             {"time,web_cpu\n1,0.5\n2,1e3\n", metrics.Table{Columns: []string{"web_cpu"}, Times: []float64{1, 2}, Values: [][]float64{{0.5, 1000}}}},
		"fractions":         {"time,a_b\n1.25,1\n", metrics.Table{Columns: []string{"a_b"}, Times: []float64{1.25}, Values: [][]float64{{1}}}},
		"RFC 3339":          {"time,a_b\n1970-01-01T00:00:10Z,1\n1970-01-01T01:00:11.5+01:00,2\n", metrics.Table{Columns: []string{"a_b"}, Times: []float64{10, 11.5}, Values: [][]float64{{1, 2}}}},
		"blank for T":       {"time,a_b\n1970-01-01 00:00:10Z,1\n", metrics.Table{Columns: []string{"a_b"}, Times: []float64{10}, Values: [][]float64{{1}}}},
		"time is not first": {"a_b,Time,c_d\n1,10,2\n", metrics.Table{Columns: []string{"a_b", "c_d"}, Times: []float64{10}, Values: [][]float64{{1}, {2}}}},
		"gaps":              {"time,a_b\n1,\n2,NaN\n3,-Inf\n4,null\n5, 5 \n", metrics.Table{Columns: []string{"a_b"}, Times: []float64{1, 2, 3, 4, 5}, Values: [][]float64{{gap, gap, gap, gap, 5}}}},
		"any order":         {"time,a_b\n3,30\n1,10\n2,20\n", metrics.Table{Columns: []string{"a_b"}, Times: []float64{1, 2, 3}, Values: [][]float64{{10, 20, 30}}}},
		"the last of twins": {"time,a_b\n1,10\n2,20\n1,11\n", metrics.Table{Columns: []string{"a_b"}, Times: []float64{1, 2}, Values: [][]float64{{11, 20}}}},
		"mark and CRLF":     {"\ufefftime,a_b\r\n1,10\r\n", metrics.Table{Columns: []string{"a_b"}, Times: []float64{1}, Values: [][]float64{{10}}}},
		"quotes":            {"time,\"a_b,c\"\n1,10\n", metrics.Table{Columns: []string{"a_b,c"}, Times: []float64{1}, Values: [][]float64{{10}}}},
		"no rows":           {"time,a_b\n", metrics.Table{Columns: []string{"a_b"}, Values: [][]float64{nil}}},
		"a number for rows": {",time,a_b\n0,1,10\n", metrics.Table{Columns: []string{"", "a_b"}, Times: []float64{1}, Values: [][]float64{{0}, {10}}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := metrics.ReadTable(iotest.OneByteReader(strings.NewReader(c.text)), "")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got, cmpopts.EquateNaNs(), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestReadTableSaysWhereAndWhatToDo(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, message, hint string }{
		"empty":         {"", "f.csv:1:1: the file is empty", "first line"},
		"blank lines":   {"\n\n", "f.csv:1:1: the file is empty", "first line"},
		"no time":       {"when,a_b\n1,2\n", `f.csv:1:1: there is no column "time"`, "epoch seconds"},
		"semicolons":    {"time;a_b\n1;2\n", "f.csv:1:1: the cells are not separated by commas", "commas"},
		"twins":         {"time,a_b,a_b\n", `f.csv:1:10: two columns are called "a_b"`, "entity_metric"},
		"two times":     {"time,time,time\n", `f.csv:1:11: two columns are called "time"`, ""},
		"milliseconds":  {"time,a_b\n1772366400000,2\n", `f.csv:2:1: the time "1772366400000" is not understood`, "not milliseconds"},
		"no zone":       {"time,a_b\n1,1\n2026-03-01T12:00:00,2\n", `f.csv:3:1: the time`, "RFC 3339"},
		"gap in time":   {"time,a_b\n,2\n", `f.csv:2:1: the time "" is not understood`, "RFC 3339"},
		"NaN in time":   {"time,a_b\nNaN,2\n", `f.csv:2:1: the time "NaN"`, "RFC 3339"},
		"not a number":  {"time,a_b,c_d\n1,2,3\n2,3,12 MB\n", `f.csv:3:5: "12 MB" is not a number`, "empty"},
		"too large":     {"time,a_b\n1,1e999\n", `f.csv:2:3: "1e999" is not a number`, "empty"},
		"short line":    {"time,a_b\n1\n", "f.csv:2:1: wrong number of fields", "as many cells"},
		"stray quote":   {"time,a_b\n1,2\"3\n", "f.csv:2:4: bare \" in non-quoted-field", "quotes"},
		"unended quote": {"time,a_b\n1,\"2\n", "f.csv:", "quotes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := metrics.ReadTable(strings.NewReader(c.text), "f.csv")
			f, ok := errors.AsType[*fault.Error](err)
			if !ok || f.Kind != fault.Invalid {
				t.Fatalf("got %v, want fault.Invalid", err)
			}
			if !strings.HasPrefix(f.Message, c.message) || !strings.Contains(f.Hint, c.hint) || f.Hint == "" {
				t.Errorf("got %q, hint %q; want %q, hint with %q", f.Message, f.Hint, c.message, c.hint)
			}
		})
	}
}

func TestReadTableIsBounded(t *testing.T) {
	t.Parallel()
	t.Run("columns", func(t *testing.T) {
		t.Parallel()
		header := strings.Builder{}
		header.WriteString("time")
		for i := range 20_001 {
			fmt.Fprintf(&header, ",a_%d", i)
		}
		if _, err := metrics.ReadTable(strings.NewReader(header.String()), "f.csv"); !fault.Is(err, fault.TooLarge) {
			t.Errorf("got %v, want fault.TooLarge", err)
		}
	})
	t.Run("rows", func(t *testing.T) {
		t.Parallel()
		rows := io.MultiReader(strings.NewReader("time,a_b\n"), &endless{line: "1,1\n"})
		if _, err := metrics.ReadTable(rows, "f.csv"); !fault.Is(err, fault.TooLarge) {
			t.Errorf("got %v, want fault.TooLarge", err)
		}
	})
	t.Run("a line without an end", func(t *testing.T) {
		t.Parallel()
		if _, err := metrics.ReadTable(&endless{line: strings.Repeat("1,", 1<<15)}, "f.csv"); !fault.Is(err, fault.TooLarge) {
			t.Errorf("got %v, want fault.TooLarge", err)
		}
	})
}

// endless repeats a line.
type endless struct {
	line string
	at   int
}

// Read implements io.Reader.
func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.line[e.at:])
	e.at = (e.at + n) % len(e.line)
	return n, nil
}

func TestParseTime(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"1772366400", "1772366400.0", "2026-03-01T12:00:00Z", " 2026-03-01T13:00:00+01:00 "} {
		if at, err := metrics.ParseTime(text); err != nil || !at.Equal(shopEpoch()) {
			t.Errorf("%q: got %v, %v", text, at, err)
		}
	}
	if _, err := metrics.ParseTime("yesterday"); !fault.Is(err, fault.Invalid) {
		t.Errorf("got %v, want fault.Invalid", err)
	}
}

func FuzzReadTable(f *testing.F) {
	for _, seed := range []string{"time,a_b\n1,2\n", "a_b,time\n,2026-03-01T12:00:00Z\nNaN,3\n", "\ufefftime,\"a\"\"_b\"\n1,\n1,inf\n", "time;a_b\n", "time,a_b\n1\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		table, err := metrics.ReadTable(strings.NewReader(text), "f.csv")
		if err != nil {
			if kind := fault.KindOf(err); kind != fault.Invalid && kind != fault.TooLarge {
				t.Fatalf("%v is of kind %s", err, kind)
			}
			return
		}
		if !slices.IsSorted(table.Times) || len(slices.Compact(slices.Clone(table.Times))) != len(table.Times) {
			t.Fatalf("times are not in order, or twice: %v", table.Times)
		}
		if len(table.Values) != len(table.Columns) {
			t.Fatalf("%d columns, values for %d", len(table.Columns), len(table.Values))
		}
		for _, values := range table.Values {
			if len(values) != len(table.Times) {
				t.Fatalf("%d rows, %d values", len(table.Times), len(values))
			}
		}
		if report, err := metrics.Analyse(metrics.Input{Normal: table, Anomalous: table}); err == nil {
			for _, m := range report.Metrics {
				if math.IsNaN(m.Score) || math.IsInf(m.Score, 0) || m.Score < 0 {
					t.Fatalf("score of %s_%s is %v", m.Entity, m.Metric, m.Score)
				}
			}
		}
	})
}
