// Package systemd reads properties of units with systemctl show, which needs no
// rights, for actions that live by more than one of them. It changes nothing.
package systemd

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// Show returns the named properties of a unit (org.freedesktop.systemd1(5)).
// One that the unit's type does not have is not in the map; LoadState and
// ActiveState, which every unit has, always are. A unit that does not exist has
// the LoadState "not-found", which is no error.
func Show(ctx context.Context, env *engine.Env, unit string, properties ...string) (map[string]string, error) {
	names := strings.Join(append([]string{"LoadState", "ActiveState"}, properties...), ",")
	res, err := env.Read(ctx, "systemctl", "show", "--no-pager", "--property="+names, "--", unit)
	if err == nil {
		err = res.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("read unit %s: %w", unit, err)
	}
	return parse(unit, res.Stdout)
}

// parse reads what systemctl printed. Without the two properties that every unit
// has, nothing can be told.
func parse(unit string, out []byte) (map[string]string, error) {
	p := map[string]string{}
	for line := range bytes.Lines(out) {
		if key, value, ok := strings.Cut(strings.TrimSuffix(string(line), "\n"), "="); ok {
			p[key] = value
		}
	}
	if p["LoadState"] == "" || p["ActiveState"] == "" {
		return nil, fault.New(fault.Internal, "systemctl show of %s did not give LoadState and ActiveState", unit)
	}
	return p, nil
}
