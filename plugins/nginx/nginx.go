// Package nginx is the bundled plugin that asks an nginx how it stands: the
// configuration in force in its files (nginx -T), its counters (stub_status),
// and what its error log said of late. It judges no configuration beyond what
// nginx itself says of it, and sends nothing but GET to the target itself.
package nginx

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/plugins"
)

const (
	rawConfig = "config"
	rawStatus = "status"
	rawLog    = "log"
	rawClock  = "clock"

	commandTimeout = 10 * time.Second
	maxConfigBytes = 2 << 20
	maxLogBytes    = 1 << 20
	maxItems       = 200
)

// Plugin returns what plugins.Serve wants.
func Plugin() (plugins.Info, []plugins.Probe) {
	info := plugins.Info{Name: "nginx", Version: "1", Capabilities: plugins.Capabilities{
		plugins.CapabilityRead, plugins.MayRun("nginx"), plugins.MayRun("curl"), plugins.MayRun("tail"), plugins.MayRun("date"),
	}}
	return info, []plugins.Probe{
		probe{spec: configSpec(), read: readConfig, parse: parseConfig},
		probe{spec: statusSpec(), read: readStatus, parse: parseStatus},
		probe{spec: errorsSpec(), read: readErrors, parse: parseErrors},
	}
}

// probe is a spec with its two functions.
type probe struct {
	spec  plugins.Spec
	read  func(context.Context, *plugins.Recorder, plugins.Args) error
	parse func([]plugins.Raw) (plugins.Value, plugins.Status, error)
}

var _ plugins.Probe = probe{}

// Spec implements plugins.Probe.
func (p probe) Spec() plugins.Spec { return p.spec }

// Read implements plugins.Probe.
func (p probe) Read(ctx context.Context, h plugins.Host, args plugins.Args) ([]plugins.Raw, error) {
	rec := plugins.NewRecorder(h)
	if err := p.read(ctx, rec, args); err != nil {
		return nil, err
	}
	return rec.Raws(), nil
}

// Parse implements plugins.Probe.
func (p probe) Parse(raws []plugins.Raw, _ plugins.Args) (plugins.Value, plugins.Status, error) {
	value, status, err := p.parse(raws)
	if err != nil || status != plugins.OK {
		return nil, status, err
	}
	return value, plugins.OK, nil
}

// readable returns the raw of the name, or why there is nothing to understand. A
// program that is missing is no statement about nginx.
func readable(raws []plugins.Raw, name, program string) (plugins.Raw, plugins.Status, error) {
	raw, ok := plugins.Find(raws, name)
	switch {
	case !ok:
		return raw, plugins.Failed, errors.New("nothing was read")
	case raw.Status == plugins.Absent:
		return raw, plugins.Failed, errors.New(program + " is not installed: " + raw.Error)
	case raw.Status == plugins.Truncated:
		return raw, plugins.Truncated, nil
	case raw.Status != plugins.OK:
		return raw, raw.Status, nil
	}
	return raw, plugins.OK, nil
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return strings.ToValidUTF8(line, "\uFFFD")
}
