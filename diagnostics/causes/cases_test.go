package causes_test

import (
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/diagnostics/cases"
)

// recorded is a case, and wanted its truth, as cause test tries them.
type (
	recorded = cases.Case
	wanted   = cases.Truth
)

func loadCases(t testing.TB) map[string]recorded {
	t.Helper()
	all, err := cases.Load(os.DirFS("testdata"))
	if err != nil || len(all) == 0 {
		t.Fatalf("%d cases, %v", len(all), err)
	}
	return all
}

func check(t *testing.T, cat *diagnostics.Catalogue, c recorded) {
	t.Helper()
	for _, problem := range c.Check(cat) {
		t.Error(problem)
	}
}

func TestRecordedCases(t *testing.T) {
	t.Parallel()
	cat, _ := catalogue(t)
	covered := map[string]bool{}
	for file, c := range loadCases(t) {
		covered[c.Want.Cause] = true
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			check(t, cat, c)
		})
	}
	for _, cause := range cat.All() {
		if cause.Diagnosed() && !covered[cause.ID] {
			t.Errorf("%s has no case", cause.ID)
		}
	}
}

// BenchmarkRankFiftyEntities ranks every cause for fifty hosts: the recorded
// ones, healthy and not.
func BenchmarkRankFiftyEntities(b *testing.B) {
	cat, _ := catalogue(b)
	all := loadCases(b)
	hosts := make([]recorded, 0, 50)
	for _, file := range slices.Sorted(maps.Keys(all)) {
		if hosts = append(hosts, all[file]); len(hosts) == cap(hosts) {
			break
		}
	}
	b.ResetTimer()
	for b.Loop() {
		for _, host := range hosts {
			diagnostics.Rank(cat, host.Facts, host.Subject)
		}
	}
	b.ReportMetric(float64(len(cat.All())), "causes")
}
