package logs_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/diagnostics/logs"
)

// window is n times each text, of one unit.
func window(length time.Duration, unit string, texts map[string]int) logs.Window {
	w := logs.Window{Length: length}
	for text, n := range texts {
		for range n {
			w.Lines = append(w.Lines, logs.Line{Unit: unit, Text: text})
		}
	}
	return w
}

func TestComparesWindows(t *testing.T) {
	t.Parallel()
	const (
		beat    = "heartbeat sent"
		refused = "connect to db: Connection refused"
		failed  = "reading the cache failed"
		plain   = "reloading the configuration"
	)
	for name, c := range map[string]struct {
		before, after map[string]int
		want          []string
	}{
		"as always":                {map[string]int{beat: 60}, map[string]int{beat: 10}, nil},
		"a new fault, once":        {map[string]int{beat: 60}, map[string]int{beat: 10, refused: 1}, []string{"new fault 1: " + refused}},
		"a new complaint, once":    {map[string]int{beat: 60}, map[string]int{beat: 10, failed: 1}, []string{"new error 1: " + failed}},
		"a new plain line, seldom": {map[string]int{beat: 60}, map[string]int{beat: 10, plain: 5}, nil},
		"a new plain line, often":  {map[string]int{beat: 60}, map[string]int{beat: 10, plain: 6}, []string{"new plain 6: " + plain}},
		"a burst":                  {map[string]int{beat: 60, refused: 6}, map[string]int{beat: 10, refused: 9}, []string{"burst fault 9: " + refused}},
		"a burst of few":           {map[string]int{beat: 60, refused: 1}, map[string]int{beat: 10, refused: 5}, nil},
		"twice is no burst":        {map[string]int{beat: 60, refused: 600}, map[string]int{beat: 10, refused: 200}, nil},
		"within chance":            {map[string]int{beat: 60, refused: 16}, map[string]int{beat: 10, refused: 6}, nil},
		"silence":                  {map[string]int{beat: 60}, map[string]int{plain: 1}, []string{"gone plain 0: " + beat}},
		"silence of the irregular": {map[string]int{beat: 60, plain: 35}, map[string]int{beat: 10}, nil},
		// By shares of lines, the heartbeat would be gone here.
		"a flood does not drown the rest": {map[string]int{beat: 60, plain: 6}, map[string]int{beat: 10, refused: 100_000}, []string{"new fault 100000: " + refused}},
		"the fault before the complaint before the crowd": {
			map[string]int{beat: 60},
			map[string]int{beat: 10, plain: 7, failed: 2, refused: 1},
			[]string{"new fault 1: " + refused, "new error 2: " + failed, "new plain 7: " + plain},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			report := logs.Compare(window(time.Hour, "app.service", c.before), window(10*time.Minute, "app.service", c.after), logs.Options{})
			var got []string
			for _, f := range report.Findings {
				got = append(got, fmt.Sprintf("%s %s %d: %s", f.Kind, f.Severity, f.After, f.Example))
				if f.Unsure || f.Unit != "app.service" {
					t.Errorf("%+v", f)
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

func TestNumbersOfAFinding(t *testing.T) {
	t.Parallel()
	report := logs.Compare(
		window(time.Hour, "a", map[string]int{"write failed: No space left on device": 24, "ticking, no error": 3600}),
		window(15*time.Minute, "a", map[string]int{"write failed: No space left on device": 30, "done with it": 8}), logs.Options{})
	if len(report.Findings) != 3 {
		t.Fatalf("findings: %v", report.Findings)
	}
	near := func(name string, got, want float64) {
		if math.Abs(got-want) > 1e-9 {
			t.Errorf("%s %g, want %g", name, got, want)
		}
	}
	burst := report.Findings[1]
	near("expected", burst.Expected, 6)
	near("deviations", burst.Deviations, 24/math.Sqrt(6))
	near("score", burst.Score, 3*(math.Log(30.5/0.25)-math.Log(24.5)))
	gone := report.Findings[0]
	near("expected", gone.Expected, 900)
	near("score", gone.Score, math.Log(3600.5)-math.Log(0.5/0.25))
	added := report.Findings[2]
	near("score", added.Score, math.Log(8.5/0.25)-math.Log(0.5))
	for i, want := range []string{
		"gone: 0 seen, 900 expected from 3600 in the baseline; score 7.50",
		"burst: 30 seen, 6 expected from 24 in the baseline; score 4.82 = 1.61 × 3 (fault)",
		"new: 8 seen, 0 expected from 0 in the baseline; score 4.22",
	} {
		if got := report.Findings[i].String(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// A line that was not in a minute is not new in an hour.
func TestAShortBaselineProvesLittle(t *testing.T) {
	t.Parallel()
	texts := map[string]int{"write failed: No space left on device": 1}
	other := map[string]int{"tick": 1}
	short := logs.Compare(window(time.Minute, "a", other), window(time.Hour, "a", texts), logs.Options{})
	long := logs.Compare(window(time.Hour, "a", other), window(time.Minute, "a", texts), logs.Options{})
	if len(short.Findings) != 1 || short.Findings[0].Score != 0 || long.Findings[0].Score < 10 {
		t.Errorf("after a short baseline %v, after a long one %v", short.Findings, long.Findings)
	}
}

func TestSeverities(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]logs.Severity{
		"app: reloading the configuration for the third time":                     logs.Plain,
		"app: job finished with exit status 0":                                    logs.Plain,
		"app: received signal 15, stopping":                                       logs.Plain,
		"app: GET /x status=200":                                                  logs.Plain,
		"app: EXPLAIN took longer":                                                logs.Plain,
		"app: the terror of defaulting":                                           logs.Plain,
		"app: java.lang.OutOfMemoryError":                                         logs.Error,
		"app: couldn't open it":                                                   logs.Error,
		"app: WARNING: low on entropy":                                            logs.Error,
		"app: GET /x status=503":                                                  logs.Fault,
		"app: open /x: permission denied":                                         logs.Fault,
		"app: write: ENOSPC":                                                      logs.Fault,
		"app: killed by signal 9":                                                 logs.Fault,
		"systemd: x.service: Main process exited, code=exited, status=203/EXEC":   logs.Fault,
		"systemd: x.service: Main process exited, code=exited, status=15/TERM":    logs.Plain,
		"kernel: usb 1-1: new high-speed USB device number 2":                     logs.Error,
		"kernel: EXT4-fs error (device sda1): ext4_find_entry":                    logs.Fault,
		"rsyslogd: kernel: blk_update_request: critical medium error, dev sda":    logs.Fault,
		"app: says kernel: is not at the start of a line and so it is no message": logs.Plain,
	} {
		unit, text, _ := strings.Cut(line, ": ")
		after := window(time.Minute, unit, map[string]int{text: 6})
		report := logs.Compare(window(time.Minute, unit, map[string]int{"something else altogether": 1}), after, logs.Options{})
		if len(report.Findings) != 1 || report.Findings[0].Severity != want {
			t.Errorf("%q: %v, want %s", line, report.Findings, want)
		}
	}
}

func TestUnitsDoNotMeet(t *testing.T) {
	t.Parallel()
	before := window(time.Hour, "a", map[string]int{"open it: Permission denied": 60})
	after := window(time.Hour, "a", map[string]int{"open it: Permission denied": 60})
	after.Lines = append(after.Lines, logs.Line{Unit: "b", Text: "open it: Permission denied"})
	report := logs.Compare(before, after, logs.Options{})
	if len(report.Findings) != 1 || report.Findings[0].Unit != "b" || report.Findings[0].Kind != logs.New || report.Findings[0].Unsure {
		t.Errorf("findings: %v", report.Findings)
	}
}

func TestSaysWhenItIsUnsure(t *testing.T) {
	t.Parallel()
	some := map[string]int{"write: Input/output error": 10}
	other := window(time.Minute, "a", map[string]int{"nothing of interest": 1})
	for name, c := range map[string]struct {
		before, after logs.Window
		unsure        bool
	}{
		"no baseline":  {logs.Window{}, window(time.Minute, "a", some), true},
		"no incident":  {window(time.Minute, "a", some), logs.Window{}, true},
		"both are new": {other, window(time.Minute, "a", some), false},
		"both, gone":   {window(time.Minute, "a", some), other, false},
	} {
		report := logs.Compare(c.before, c.after, logs.Options{})
		if len(report.Findings) != 1 || report.Findings[0].Unsure != c.unsure {
			t.Errorf("%s: %+v", name, report.Findings)
		}
	}
	// The baseline had the fault, but other lines took its place.
	var before logs.Window
	before.Lines = append(before.Lines, logs.Line{Unit: "a", Text: "write: Input/output error"}, logs.Line{Unit: "b", Text: "quiet"})
	for _, w := range []string{"one", "two", "three"} {
		before.Lines = append(before.Lines, logs.Line{Unit: "a", Text: w})
	}
	after := window(0, "a", map[string]int{"write: Input/output error": 1})
	after.Lines = append(after.Lines, logs.Line{Unit: "b", Text: "write: Input/output error"})
	report := logs.Compare(before, after, logs.Options{Grouping: logs.Grouping{MaxTemplates: 2}})
	if len(report.Findings) != 2 || !report.Findings[0].Unsure || report.Findings[1].Unsure {
		t.Errorf("findings: %+v", report.Findings)
	}
	if want := (logs.Lost{Templates: 3, Lines: 3}); report.Lost != want {
		t.Errorf("lost %+v, want %+v", report.Lost, want)
	}
}

func TestFindingsAreInOneOrder(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(7, 8))
	var before, after logs.Window
	before.Lines = []logs.Line{{Unit: "z", Text: "quiet"}}
	for _, unit := range []string{"c", "a", "b"} {
		for _, text := range []string{"x failed", "y failed", "a b c failed"} {
			after.Lines = append(after.Lines, logs.Line{Unit: unit, Text: text})
		}
	}
	want := "a: a b c failed, a: x failed, a: y failed, b: a b c failed, b: x failed"
	for range 20 {
		random.Shuffle(len(after.Lines), func(i, j int) { after.Lines[i], after.Lines[j] = after.Lines[j], after.Lines[i] })
		report := logs.Compare(before, after, logs.Options{MaxFindings: 5})
		var got []string
		for _, f := range report.Findings {
			got = append(got, f.Unit+": "+f.Template)
		}
		if strings.Join(got, ", ") != want || report.LeftOff != 4 {
			t.Fatalf("%d left off, got %q", report.LeftOff, got)
		}
	}
}

// The lines are those of diagnostics/linux/testdata/debian12/unit.journal-port.txt.
func TestFindsWhyNginxDoesNotStart(t *testing.T) {
	t.Parallel()
	before := window(time.Hour, "nginx2.service", map[string]int{
		"Starting nginx2.service...": 12, "Started nginx2.service.": 12, "Stopping nginx2.service...": 12, "Stopped nginx2.service.": 12,
		"nginx2.service: Deactivated successfully.": 12,
	})
	after := window(time.Minute, "nginx2.service", map[string]int{
		"Started nginx2.service.": 1,
		"2026/11/22 00:39:07 [emerg] 501#501: bind() to 0.0.0.0:80 failed (98: Address already in use)": 5,
		"2026/11/22 00:39:07 [emerg] 501#501: still could not bind()":                                   1,
		"nginx2.service: Main process exited, code=exited, status=1/FAILURE":                            1,
		"nginx2.service: Failed with result 'exit-code'.":                                               1,
	})
	report := logs.Compare(before, after, logs.Options{})
	if len(report.Findings) != 4 {
		t.Fatalf("findings: %v", report.Findings)
	}
	want := "<time> <time> [emerg] <num>#<num>: bind() to <ip> failed (<num>: Address already in use)"
	if first := report.Findings[0]; first.Template != want || first.Kind != logs.New || first.After != 5 {
		t.Errorf("first: %+v", first)
	}
}

func FuzzCompare(f *testing.F) {
	f.Add("tick 1\ntick 2\nwrite failed", 2, int64(3600), int64(600))
	f.Add("\xff\n\n<*> <*>\n<*> a\nstatus 5\nstatus=/", 3, int64(0), int64(-1))
	f.Add("=5\nstatus\n5\ncode= 5\ncode=- 5", 1, int64(1), int64(math.MaxInt64))
	f.Fuzz(func(t *testing.T, text string, split int, beforeLength, afterLength int64) {
		var lines []logs.Line
		for i, line := range strings.Split(text, "\n") {
			lines = append(lines, logs.Line{Unit: string(rune('a' + i%2)), Text: line})
		}
		if split < 0 || split > len(lines) {
			t.Skip()
		}
		before := logs.Window{Lines: lines[:split], Length: time.Duration(beforeLength)}
		after := logs.Window{Lines: lines[split:], Length: time.Duration(afterLength)}
		o := logs.Options{MaxFindings: 3, Grouping: logs.Grouping{MaxTemplates: 4, MaxChildren: 2, MaxTokens: 5, MaxLineBytes: 30}}
		report := logs.Compare(before, after, o)
		seen := report.Lost.Lines
		for i, finding := range report.Findings {
			if math.IsNaN(finding.Score) || math.IsInf(finding.Score, 0) || finding.Before < 0 || finding.After < 0 {
				t.Errorf("%+v", finding)
			}
			if i > 0 && finding.Score > report.Findings[i-1].Score {
				t.Errorf("not in order: %v", report.Findings)
			}
			seen += finding.Before + finding.After
		}
		if seen > len(lines) || report.Templates > 8 || len(report.Findings) > 3 {
			t.Errorf("%d of %d lines in %d templates", seen, len(lines), report.Templates)
		}
	})
}
