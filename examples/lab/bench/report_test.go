package bench

import (
	"bytes"
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/secondline-ops/secondline/examples/lab/faults"
)

var update = flag.Bool("update", false, "write the golden files")

// measured are records of every sort of outcome, unsorted.
func measured() []Record {
	with := func(name string, change func(*Record)) Record {
		r := record(name)
		change(&r)
		return r
	}
	scored := func(r *Record, a Answer, cases ...faults.Case) { r.Answer, r.Result = a, Score(cases, a, false) }
	db := at("db1", faults.Truth{Cause: "disk-full-logs", Chain: []string{"db1", "lb1"}, Cure: true})
	app := at("app1", faults.Truth{Cause: "port-conflict"})
	strange := at("app2", faults.Truth{Unknown: true})
	found := hypothesis("disk-full-logs", "db1", Confirmed)
	return []Record{
		with("unknown-claimed", func(r *Record) { scored(r, Answer{Hypotheses: []Hypothesis{found}}, strange) }),
		with("disk-full-logs@db1", func(r *Record) {
			scored(r, Answer{Hypotheses: []Hypothesis{found}, Chain: []string{"db1", "lb1"}, Actions: []Action{{What: "x", Entity: "db1", Verified: true}}}, db)
			r.Fixed, r.ToAlert, r.ToCause, r.ToResolved = true, seconds(8), seconds(9.25), seconds(21)
			r.CollectCPUMillis, r.CollectBytes = 120, 65536
		}),
		with("both-at-once", func(r *Record) {
			scored(r, Answer{Hypotheses: []Hypothesis{hypothesis("oom", "db1", Likely), found}}, db, app)
			r.ToAlert, r.ToCause, r.CollectCPUMillis = seconds(10), seconds(12), 80
			r.Harm = map[string]Harm{"db1": FindHarm(host(), host(), host(noProcess(20)), Allowed{}), "app1": {Unmeasured: []string{"unit"}}}
		}),
		with("quiet", func(r *Record) { scored(r, Answer{}, healthy()) }),
		with("quiet-but-silent-by-crash", func(r *Record) {
			scored(r, Answer{}, healthy())
			r.Failure = "exit status 1; it said: \x1b[2Jboom | bang\nmore"
		}),
		with("quiet-and-claimed", func(r *Record) { scored(r, Answer{Hypotheses: []Hypothesis{found}}, healthy()) }),
		with("a-fault-with-a-name-that-is-longer-than-its-column", func(r *Record) {
			scored(r, Answer{Unknown: true, Hypotheses: []Hypothesis{hypothesis("port-conflict", "app1", Possible)}}, app)
		}),
		with("did-not-take", func(r *Record) { // with what a careless runner may leave in it
			scored(r, Answer{}, db)
			r.Void, r.ToAlert = "injected.sh ended with 1", seconds(1000)
		}),
		with("quiet-and-unknown", func(r *Record) { scored(r, Answer{Unknown: true}, healthy()) }),
		with("quiet-and-undone", func(r *Record) {
			r.Result = Score([]faults.Case{healthy()}, Answer{}, true)
			r.Acts = map[string]Harm{"app1": FindActs(host(), host(), host(noProcess(20)), Allowed{})}
		}),
		with("only-suggested", func(r *Record) {
			scored(r, Answer{Hypotheses: []Hypothesis{hypothesis("port-conflict", "app1", Possible)}}, app)
		}),
		with("given-up", func(r *Record) { scored(r, Answer{Unknown: true}, app) }),
		with("unknown", func(r *Record) { scored(r, Answer{Unknown: true}, strange) }),
		with("acted-where-none-may", func(r *Record) {
			scored(r, Answer{Hypotheses: []Hypothesis{hypothesis("port-conflict", "app1", Likely)}, Actions: []Action{{What: "x", Entity: "app1"}}}, app)
		}),
	}
}

func TestSummaryCountsEachCaseOnce(t *testing.T) {
	t.Parallel()
	got := Summarize(measured())
	want := Summary{
		Cases: 14, Void: 1, Failed: 1,
		Cause:   [3]Share{{4, 7}, {5, 7}, {5, 7}},
		Entity:  [3]Share{{5, 7}, {5, 7}, {5, 7}},
		Object:  Share{5, 7},
		Chain:   Share{1, 2},
		Unknown: Share{1, 2}, GaveUp: 2,
		Quiet: Share{1, 5}, FalseCauses: 2, WrongClaims: 1,
		Fixed: Share{1, 1}, FixedVerified: Share{1, 1}, ActedWrongly: 2,
		Harm: 1, Harmed: 1, Unmeasured: 1,
		ToAlert: Spread{2, 8, 10}, ToCause: Spread{2, 9.25, 12}, ToResolved: Spread{1, 21, 21},
		CollectCPUMillis: Spread{13, 0, 120}, CollectBytes: Spread{13, 0, 65536},
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(Summarize(nil), Summary{}); diff != "" {
		t.Error(diff)
	}
}

func TestSpreadIsOfMeasuredNumbers(t *testing.T) {
	t.Parallel()
	var hundred []float64
	for i := range 100 {
		hundred = append(hundred, float64(100-i))
	}
	if got := spread(hundred); got != (Spread{100, 50, 95}) {
		t.Errorf("%+v", got)
	}
}

func TestTablesAreGolden(t *testing.T) {
	t.Parallel()
	for file, write := range map[string]func(io.Writer, []Record) error{"table.txt": WriteTable, "table.md": WriteMarkdown} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			var got, reversed bytes.Buffer
			records := measured()
			if err := write(&got, records); err != nil {
				t.Fatal(err)
			}
			slices.Reverse(records)
			if err := write(&reversed, records); err != nil || got.String() != reversed.String() {
				t.Errorf("the order of the records matters, or %v", err)
			}
			golden := filepath.Join("testdata", file)
			if *update {
				if err := os.WriteFile(golden, got.Bytes(), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(got.String(), string(want)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTableIsAsWideAsATerminal(t *testing.T) {
	t.Parallel()
	width := len(columns()) - 1
	for _, c := range columns() {
		width += c.width
	}
	if width != 100 {
		t.Errorf("the columns are %d wide", width)
	}
	var b bytes.Buffer
	if err := WriteTable(&b, measured()); err != nil {
		t.Fatal(err)
	}
	cases, _, _ := strings.Cut(b.String(), "\n\n")
	for line := range strings.Lines(cases) {
		if utf8.RuneCountInString(strings.TrimRight(line, "\n")) > 100 || strings.ContainsRune(line, 0x1b) {
			t.Errorf("%q", line)
		}
	}
}
