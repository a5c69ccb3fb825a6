package controller

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/secondline-ops/secondline/controller/bundle"
	"github.com/secondline-ops/secondline/controller/inventory"
	"github.com/secondline-ops/secondline/internal/entity"
)

// TestBundleHoldsAfterTheInventoryHasChanged: the causes read the entity's
// processes, which are gone, or others, when the bundle is written.
func TestBundleHoldsAfterTheInventoryHasChanged(t *testing.T) {
	t.Parallel()
	for name, changed := range map[string][]entity.Entity{
		"the processes are others": {{ID: "web1", Kind: entity.Host, Processes: []entity.Process{process("other")}}},
		"the host is gone":         {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			d.post(body(d.alert("firing", "ProcessGone", "web1:9100")))
			report := looked(d.next("diagnose"), "relay")
			for i := range report.Facts {
				report.Facts[i].Plugin = "test@sha256:00" // its values stand as stated: this is about the subject
			}
			d.report(report)
			inv, err := inventory.New(changed)
			d.must(err)
			d.change(func(s *Settings) { s.Inventory = inv })

			file, err := d.app.writeBundle(t.Context(), d.the().ID)
			d.must(err)
			f, err := os.Open(filepath.Join(d.app.bundleDir(), file))
			d.must(err)
			defer f.Close()
			b, err := bundle.Read(f)
			d.must(err)
			r := bundle.Verify(b, bundle.Check{Probes: probeSet(t), Version: b.Manifest().Version})
			if len(r.Claims) == 0 || r.Held() != len(r.Claims) || len(r.Problems) != 0 {
				t.Errorf("%s: %q %+v", r, r.Problems, r.Claims)
			}
		})
	}
}
