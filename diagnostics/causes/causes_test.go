package causes_test

import (
	"testing"
	"time"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/diagnostics/causes"
	"github.com/secondline-ops/secondline/diagnostics/linux"
	"github.com/secondline-ops/secondline/plugins/bundled"
)

func catalogue(t testing.TB) (*diagnostics.Catalogue, *diagnostics.ProbeSet) {
	t.Helper()
	ofPlugins, err := bundled.Declared(bundled.Names()...)
	if err != nil {
		t.Fatal(err)
	}
	probes, err := diagnostics.NewProbeSet(append(linux.Probes(time.Now), ofPlugins...))
	if err != nil {
		t.Fatal(err)
	}
	cat, err := diagnostics.LoadCatalogue(causes.FS(), probes)
	if err != nil {
		t.Fatal(err)
	}
	return cat, probes
}

func TestEveryCauseCompilesAgainstTheBuiltInProbes(t *testing.T) {
	t.Parallel()
	cat, probes := catalogue(t)
	diagnosed := 0
	for _, c := range cat.All() {
		if c.Diagnosed() {
			diagnosed++
		}
		if c.File != c.ID+".yaml" {
			t.Errorf("cause %s is in %s", c.ID, c.File)
		}
		if len(c.Never) == 0 || len(c.Sources) == 0 || c.Diagnosed() && c.Symptoms.Hold == 0 {
			t.Errorf("%s lacks a never-list, sources or a hold", c.ID)
		}
		if !c.Diagnosed() && len(c.Cures) == 0 {
			t.Errorf("%s is neither found out nor cured", c.ID)
		}
		for _, n := range c.Next {
			if _, err := probes.Find(n.Probe); err != nil {
				t.Errorf("%s: next: %v", c.ID, err)
			}
		}
	}
	if diagnosed < 80 {
		t.Errorf("%d causes that are found out, want 80 and more", diagnosed)
	}
}
