// Package bundled lists the plugins that are part of the program. Their probes
// are known without a process; to read, one is started, which serves them as
// any other plugin is served.
package bundled

import (
	"slices"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/plugins"
	"github.com/secondline-ops/secondline/plugins/dns"
	"github.com/secondline-ops/secondline/plugins/host"
	"github.com/secondline-ops/secondline/plugins/nginx"
	"github.com/secondline-ops/secondline/plugins/postgres"
	"github.com/secondline-ops/secondline/plugins/redis"
	"github.com/secondline-ops/secondline/plugins/tls"
)

// Plugin is a plugin that is part of the program.
type Plugin struct {
	Info   plugins.Info
	Probes []plugins.Probe
}

// All returns the plugins, in the order of their names.
func All() []Plugin {
	var all []Plugin
	for _, of := range []func() (plugins.Info, []plugins.Probe){dns.Plugin, nginx.Plugin, postgres.Plugin, redis.Plugin, tls.Plugin} {
		info, probes := of()
		all = append(all, Plugin{info, probes})
	}
	return all
}

// Names returns the names of all plugins.
func Names() []string {
	var names []string
	for _, p := range All() {
		names = append(names, p.Info.Name)
	}
	return names
}

// Find returns the plugin of the name, or an error of kind NotFound.
func Find(name string) (Plugin, error) {
	all := All()
	i := slices.IndexFunc(all, func(p Plugin) bool { return p.Info.Name == name })
	if i < 0 {
		return Plugin{}, fault.New(fault.NotFound, "there is no bundled plugin %q", name).WithHint("there are: %q", Names())
	}
	return all[i], nil
}

// Declared returns the probes of the plugins of the names as they declare them,
// without a process: to load what is written against them, and to understand
// again what they have read.
func Declared(names ...string) ([]diagnostics.Probe, error) {
	var probes []diagnostics.Probe
	for _, name := range names {
		p, err := Find(name)
		if err != nil {
			return nil, err
		}
		probes = append(probes, host.Local(p.Info, p.Probes)...)
	}
	return probes, nil
}

// Entries returns what a host needs to serve the plugins of the names out of
// the running program.
func Entries(names ...string) ([]host.Entry, error) {
	entries, err := host.Bundled(names...)
	if err != nil {
		return nil, err
	}
	for i, name := range names {
		p, err := Find(name)
		if err != nil {
			return nil, err
		}
		entries[i].Allow = p.Info.Capabilities
		for _, probe := range p.Probes {
			entries[i].Probes = append(entries[i].Probes, probe.Spec())
		}
	}
	return entries, nil
}
