package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/secondline-ops/secondline/controller/prometheus"
	"github.com/secondline-ops/secondline/diagnostics/metrics"
	"github.com/secondline-ops/secondline/internal/fault"
)

// rcaFiles is what rca was told on the command line.
type rcaFiles struct {
	normal, anomalous, graph, kinds, onset string

	prometheus, tokenFile  string
	match                  []string
	baseline, window, step time.Duration
}

func rcaCommand(env *environment) *cobra.Command {
	var files rcaFiles
	cmd := &cobra.Command{
		Use:   "rca --normal FILE --anomalous FILE | --prometheus URL --match SELECTOR",
		Short: "Rank entities and metrics by how likely the trouble began there",
		Long: `Compares metrics of the time of trouble with those of a time when all was well, and ranks where to look first. It says
where, not what is wrong there: for that, secondline diagnose HOST. It needs no controller.

--prometheus reads the series that --match selects: the --window around the --onset (without one, the last) is the time of
trouble, the --baseline before it the time when all was well. An entity is what instance names, without its port.

The two tables are CSV: a column "time" (epoch seconds or RFC 3339), then a column for each series, called ENTITY_METRIC
(the entity ends at the first underscore). Empty cells, NaN, inf and null are gaps. Rows may be in any order, the tables
may have different columns, and any unit will do. The anomalous table may begin before the trouble; some minutes of that help.
Counters (_total, or what only grows) become rates.

--graph says what depends on what, as a list with the header from,to (from, the caller, depends on to), or as an adjacency
matrix: entities as the header after an empty first cell and as the first cell of each line; not 0 where the entity of the
line depends on that of the column. A dependency that is as sick explains its callers.

--kinds has the header entity,kind. Observers (observer, load_balancer, lb, proxy, exporter, client, probe, monitor) show
the trouble of what stands behind them, and weigh little; other kinds change nothing.

--onset helps when it is right, to about two minutes; without it, and when it is wrong, the onset is found from the series.

- instead of a file is standard input. What was not looked at is said with the reason (skipped). Scores compare within one
report only; equal scores share a rank.`,
		Example: `  secondline rca --normal yesterday.csv --anomalous today.csv
  secondline rca --normal normal.csv --anomalous anomalous.csv --graph edges.csv --kinds kinds.csv -o json
  secondline rca --normal normal.csv --anomalous anomalous.csv --onset 2026-03-01T12:00:00Z
  secondline rca --prometheus http://prom:9090 --match '{job="node"}' --onset 2026-03-01T12:00:00Z`,
		Args: exactly(0),
	}
	out := addOutput(cmd)
	f := cmd.Flags()
	f.StringVar(&files.normal, "normal", "", "CSV of a time when all was well")
	f.StringVar(&files.anomalous, "anomalous", "", "CSV of the time of trouble")
	f.StringVar(&files.graph, "graph", "", "CSV of what depends on what: from,to or an adjacency matrix")
	f.StringVar(&files.kinds, "kinds", "", "CSV of entity,kind")
	f.StringVar(&files.onset, "onset", "", "when it began, as far as known: epoch seconds or RFC 3339; found when not given")
	f.StringVar(&files.prometheus, "prometheus", "", "in place of the tables: a Prometheus, as its address")
	f.StringVar(&files.tokenFile, "prometheus-token-file", "", "file with the bearer token that it asks for")
	f.StringArrayVar(&files.match, "match", nil, "selector of series to read from it, as {job=\"node\"}; may be given several times")
	f.DurationVar(&files.baseline, "baseline", time.Hour, "how long before the trouble all was well")
	f.DurationVar(&files.window, "window", 30*time.Minute, "how long the time of trouble is, a third of it before the onset")
	f.DurationVar(&files.step, "step", 15*time.Second, "between two values, as it scrapes")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		in, err := files.read(cmd.Context(), env)
		if err != nil {
			return err
		}
		report, err := metrics.Analyse(in)
		if err != nil {
			return err
		}
		if !within(in.Onset, in.Normal, in.Anomalous) {
			fmt.Fprintln(env.stderr, "the given onset lies in neither table, and says nothing about them; is its time zone right?")
		}
		return out.write(env.stdout, report, func(w io.Writer) { showRCA(w, report) })
	}
	return cmd
}

func (f rcaFiles) read(ctx context.Context, env *environment) (in metrics.Input, err error) {
	if tables, server := f.normal != "" && f.anomalous != "", f.prometheus != "" && len(f.match) > 0; tables == server {
		return in, usageError{fault.New(fault.Invalid, "say what to compare: --normal and --anomalous, or --prometheus and --match").WithHint("secondline rca --help")}
	}
	if f.onset != "" {
		at, err := metrics.ParseTime(f.onset)
		if err != nil {
			return in, usageError{err}
		}
		in.Onset = &at
	}
	if f.prometheus != "" {
		err = f.ask(ctx, &in)
	} else if in.Normal, err = readCSV(env, f.normal, metrics.ReadTable); err == nil {
		in.Anomalous, err = readCSV(env, f.anomalous, metrics.ReadTable)
	}
	if err != nil {
		return in, err
	}
	if f.graph != "" {
		if in.Graph, err = readCSV(env, f.graph, metrics.ReadGraph); err != nil {
			return in, err
		}
	}
	if f.kinds != "" {
		in.Kinds, err = readCSV(env, f.kinds, metrics.ReadKinds)
	}
	return in, err
}

// ask reads the tables from Prometheus.
func (f rcaFiles) ask(ctx context.Context, in *metrics.Input) error {
	for _, d := range []time.Duration{f.baseline, f.window, f.step} {
		if d <= 0 {
			return usageError{fault.New(fault.Invalid, "--baseline, --window and --step are longer than nothing")}
		}
	}
	client, err := prometheus.New(prometheus.Options{URL: f.prometheus, TokenFile: f.tokenFile})
	if err != nil {
		return usageError{err}
	}
	now := time.Now()
	from := now.Add(-f.window)
	if in.Onset != nil {
		from = in.Onset.Add(-f.window / 3)
	}
	to := from.Add(f.window)
	if to.After(now) {
		to = now
	}
	normal, anomalous, err := client.Tables(ctx, prometheus.TableOptions{
		Selectors: f.match, Step: f.step,
		Normal: prometheus.Window{From: from.Add(-f.baseline), To: from.Add(-f.step)}, Anomalous: prometheus.Window{From: from, To: to},
	})
	if err != nil {
		return err
	}
	in.Normal = metrics.Table{Name: f.prometheus + ", before", Columns: normal.Columns, Times: normal.Times, Values: normal.Values}
	in.Anomalous = metrics.Table{Name: f.prometheus + ", since", Columns: anomalous.Columns, Times: anomalous.Times, Values: anomalous.Values}
	return nil
}

func readCSV[T any](env *environment, path string, read func(io.Reader, string) (T, error)) (T, error) {
	if path == "-" {
		return read(env.stdin, "standard input")
	}
	file, err := os.Open(path)
	if err != nil {
		var none T
		return none, fault.Wrap(fault.NotFound, err, "read input")
	}
	defer file.Close()
	return read(file, path)
}

// within reports whether the time, if there is one, is in one of the tables.
func within(at *time.Time, tables ...metrics.Table) bool {
	return at == nil || slices.ContainsFunc(tables, func(t metrics.Table) bool {
		seconds := float64(at.UnixNano()) / 1e9
		return t.Times[0] <= seconds && seconds <= t.Times[len(t.Times)-1]
	})
}

// rcaRows is how many lines of a ranking people get; programs get all.
const rcaRows = 10

func showRCA(w io.Writer, r metrics.Report) {
	say(w, "onset about %s", clock(r.Onset))
	rows := [][]string{{"RANK", "ENTITY", "SCORE", "ONSET", "LOUDEST", "EXPLAINED BY"}}
	for _, e := range r.Entities[:min(rcaRows, len(r.Entities))] {
		rows = append(rows, []string{strconv.Itoa(e.Rank), e.Entity, score(e.Score), clockOf(e.Onset), e.Metric, orDash(e.ExplainedBy)})
	}
	columns(w, rows)
	andMore(w, len(r.Entities))
	say(w, "")
	rows = [][]string{{"RANK", "ENTITY", "METRIC", "SCORE", "ONSET", "DIRECTION"}}
	for _, m := range r.Metrics[:min(rcaRows, len(r.Metrics))] {
		rows = append(rows, []string{strconv.Itoa(m.Rank), m.Entity, m.Metric, score(m.Score), clockOf(m.Onset), string(m.Direction)})
	}
	columns(w, rows)
	andMore(w, len(r.Metrics))
	if len(r.Skipped) == 0 {
		return
	}
	reasons := map[metrics.Reason]int{}
	for _, s := range r.Skipped {
		reasons[s.Reason]++
	}
	var words []string
	for _, reason := range slices.Sorted(maps.Keys(reasons)) {
		words = append(words, fmt.Sprintf("%s %d", reason, reasons[reason]))
	}
	say(w, "")
	say(w, "not looked at: %s (-o json names them)", strings.Join(words, ", "))
}

func andMore(w io.Writer, all int) {
	if all > rcaRows {
		say(w, "and %d more: -o json", all-rcaRows)
	}
}

func score(s float64) string { return strconv.FormatFloat(s, 'f', 2, 64) }

func clockOf(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return clock(*t)
}
