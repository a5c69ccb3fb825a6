package logs_test

import (
	"archive/tar"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/diagnostics/logs"
)

// labelled is a line of loghub-2k and the event that people said it is.
type labelled struct{ content, event string }

// loghub reads the data sets of loghub-2k: from the archive that the
// environment names, or beside the repository. They are test input that is not
// part of the project.
func loghub(t testing.TB) map[string][]labelled {
	t.Helper()
	archive := os.Getenv("SECONDLINE_LOGHUB")
	if archive == "" {
		archive = filepath.Join("..", "..", "..", "shared", "data", "loghub4.tar.gz")
	}
	file, err := os.Open(archive)
	if err != nil {
		if os.Getenv("SECONDLINE_REQUIRE_REAL") == "1" {
			t.Fatalf("SECONDLINE_LOGHUB: %v", err)
		}
		t.Skipf("needs the archive of loghub-2k (SECONDLINE_LOGHUB): %v", err)
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	sets := map[string][]labelled{}
	for files := tar.NewReader(unzipped); ; {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			return sets
		}
		if err != nil {
			t.Fatal(err)
		}
		if name, ok := strings.CutSuffix(path.Base(header.Name), "_2k.log_structured.csv"); ok {
			sets[name] = readLabelled(t, files)
		}
	}
}

func readLabelled(t testing.TB, from io.Reader) []labelled {
	t.Helper()
	rows, err := csv.NewReader(from).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	var lines []labelled
	for _, row := range rows[1:] {
		lines = append(lines, labelled{row[column["Content"]], row[column["EventId"]]})
	}
	return lines
}

// groupingAccuracy is the measure of the published table: the share of lines
// whose group is exactly that of their event.
func groupingAccuracy(g logs.Grouping, lines []labelled) float64 {
	g.MaxTemplates = len(lines)
	drain := logs.NewDrain(g)
	groups := map[*logs.Template]map[string]int{}
	events := map[string]int{}
	for _, l := range lines {
		template := drain.Learn(l.content)
		if groups[template] == nil {
			groups[template] = map[string]int{}
		}
		groups[template][l.event]++
		events[l.event]++
	}
	right := 0
	for _, found := range groups {
		for event, n := range found {
			if len(found) == 1 && n == events[event] {
				right += n
			}
		}
	}
	return float64(right) / float64(len(lines))
}

// benchmark is a row of the table that logparser publishes for its Drain: the
// settings for a data set (its depth is our prefix and 3) and the accuracy.
type benchmark struct {
	set        string
	similarity float64
	prefix     int
	masks      []string
	accuracy   float64
}

func published() []benchmark {
	return []benchmark{
		{"Linux", 0.39, 3, []string{`(\d+\.){3}\d+`, `\d{2}:\d{2}:\d{2}`}, 0.690},
		{"OpenSSH", 0.6, 2, []string{`(\d+\.){3}\d+`, `([\w-]+\.){2,}[\w-]+`}, 0.7875},
		{"Apache", 0.5, 1, []string{`(\d+\.){3}\d+`}, 1.000},
		{"Zookeeper", 0.5, 1, []string{`(/|)(\d+\.){3}\d+(:\d+)?`}, 0.9665},
	}
}

func maskBy(expressions []string) func([]byte, string) []byte {
	var masks []*regexp.Regexp
	for _, e := range expressions {
		masks = append(masks, regexp.MustCompile(e))
	}
	return func(dst []byte, line string) []byte {
		for _, m := range masks {
			line = m.ReplaceAllLiteralString(line, "<*>")
		}
		return append(dst, line...)
	}
}

// TestGroupsLoghub prints the table of docs/benchmarks.md (make bench-logs).
func TestGroupsLoghub(t *testing.T) {
	t.Parallel()
	sets := loghub(t)
	t.Logf("%-10s %9s %19s %8s %9s %15s", "set", "published", "with their settings", "default", "shuffled", "similarity .7-.9")
	for _, p := range published() {
		lines := sets[p.set]
		if len(lines) != 2000 {
			t.Fatalf("%s has %d lines", p.set, len(lines))
		}
		theirs := groupingAccuracy(logs.Grouping{Similarity: p.similarity, Prefix: p.prefix, Mask: maskBy(p.masks)}, lines)
		ours := groupingAccuracy(logs.Grouping{}, lines)
		t.Logf("%-10s %9.4f %19.4f %8.4f %9.4f %15.4f", p.set, p.accuracy, theirs, ours, worstOrder(lines), worstSimilarity(lines))
		if theirs < p.accuracy {
			t.Errorf("%s: %.4f with the published settings, want %.4f", p.set, theirs, p.accuracy)
		}
		if ours < max(p.accuracy, 0.98) {
			t.Errorf("%s: %.4f with the default, want the published %.4f and 0.98", p.set, ours, p.accuracy)
		}
	}
}

// worstOrder is the least accuracy of the default on twenty orders of the lines.
func worstOrder(lines []labelled) float64 {
	random := rand.New(rand.NewPCG(9, 10))
	worst := 1.0
	for range 20 {
		lines = slices.Clone(lines)
		random.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
		worst = min(worst, groupingAccuracy(logs.Grouping{}, lines))
	}
	return worst
}

// worstSimilarity is the least accuracy with other thresholds than the default.
func worstSimilarity(lines []labelled) float64 {
	worst := 1.0
	for percent := 70; percent <= 90; percent += 5 {
		worst = min(worst, groupingAccuracy(logs.Grouping{Similarity: float64(percent) / 100}, lines))
	}
	return worst
}

func TestMaskingLoghubTwiceIsMaskingOnce(t *testing.T) {
	t.Parallel()
	for _, lines := range loghub(t) {
		for _, l := range lines {
			checkMasked(t, l.content)
		}
	}
}

func BenchmarkLearn(b *testing.B) {
	sets := loghub(b)
	for _, p := range published() {
		var lines []string
		for _, l := range sets[p.set] {
			lines = append(lines, l.content)
		}
		b.Run(p.set, func(b *testing.B) { learn(b, lines) })
	}
}

// BenchmarkLearnHostile has lines of which none is like another, so that each
// is compared with many templates and makes one be forgotten.
func BenchmarkLearnHostile(b *testing.B) {
	random := rand.New(rand.NewPCG(11, 12))
	lines := make([]string, 20_000)
	for i := range lines {
		words := make([]string, 60)
		for w := range words {
			words[w] = strings.Repeat(string(rune('a'+random.IntN(26))), 1+random.IntN(20))
		}
		lines[i] = "of one leaf " + strings.Join(words, " ")
	}
	learn(b, lines)
}

func learn(b *testing.B, lines []string) {
	drain := logs.NewDrain(logs.Grouping{})
	n := 0
	var before, after syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &before); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		drain.Learn(lines[n%len(lines)])
		n++
	}
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &after); err != nil {
		b.Fatal(err)
	}
	cpu := time.Duration(after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano())
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "lines/s")
	b.ReportMetric(float64(n)/cpu.Seconds(), "lines/CPU-s") // whatever else the machine does
}
