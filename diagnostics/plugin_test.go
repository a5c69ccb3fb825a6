package diagnostics

import "testing"

type ofPlugin struct{ Probe }

func (ofPlugin) PluginRef() string { return "rooms@sha256:1" }

func TestAFactNamesThePluginThatReadIt(t *testing.T) {
	t.Parallel()
	w := newWorld().set("room.state", Args{"room": "hall"}, Value{"heat": 1.0, "smoke": false})
	state := w.probes["room.state"]
	for want, probe := range map[string]Probe{"": state, "rooms@sha256:1": ofPlugin{state}} {
		set, err := NewProbeSet([]Probe{probe})
		if err != nil {
			t.Fatal(err)
		}
		f, err := collector(set).Read(t.Context(), server{}, "room.state", Args{"room": "hall"})
		if err != nil || f.Status != OK || f.Plugin != want {
			t.Errorf("fact %+v, error %v; want plugin %q", f, err, want)
		}
	}
}
