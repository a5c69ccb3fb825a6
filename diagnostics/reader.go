package diagnostics

import (
	"context"
	"time"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
)

// Reader reads single probes for those who know no facts: the engine of
// runbooks.
type Reader struct {
	Probes *ProbeSet
	Now    func() time.Time
}

// Read returns what the probe yields. A reading that cannot tell is an error.
func (d Reader) Read(ctx context.Context, r remote.Runner, probe string, args map[string]string) (map[string]any, error) {
	c := Collector{Probes: d.Probes, Now: d.Now}
	fact, err := c.Read(ctx, r, probe, args)
	if err != nil {
		return nil, err
	}
	if !fact.Status.Tells() {
		return nil, fault.New(fault.Transient, "probe %s: %s %s", probe, fact.Status, fact.Error)
	}
	return fact.Value, nil
}
