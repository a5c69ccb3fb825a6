package diagnostics

import (
	"slices"
	"strings"

	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/yamlx"
)

// ProbeSet is the probes that are at hand, by name. It does not change and is
// safe for concurrent use.
type ProbeSet struct {
	names  []string // sorted
	byName map[string]Probe
}

// NewProbeSet returns the set of the probes. Two of one name are an error.
func NewProbeSet(probes []Probe) (*ProbeSet, error) {
	set := &ProbeSet{byName: make(map[string]Probe, len(probes))}
	for _, p := range probes {
		name := p.Spec().Name
		if _, twice := set.byName[name]; twice {
			return nil, fault.New(fault.Invalid, "two probes are named %q", name)
		}
		set.byName[name] = p
		set.names = append(set.names, name)
	}
	slices.Sort(set.names)
	return set, nil
}

// Find returns the probe of the name, or an error of kind NotFound whose hint
// names the one that was probably meant.
func (s *ProbeSet) Find(name string) (Probe, error) {
	if p, ok := s.byName[name]; ok {
		return p, nil
	}
	err := fault.New(fault.NotFound, "there is no probe %q", name)
	if near := yamlx.Suggest(name, s.names); near != "" {
		err = err.WithHint("did you mean %q?", near)
	}
	return nil, err
}

// OfPlugin reports whether there are probes of the plugin, "<plugin>.<probe>".
func (s *ProbeSet) OfPlugin(plugin string) bool {
	return slices.ContainsFunc(s.names, func(name string) bool { return strings.HasPrefix(name, plugin+".") })
}

// Fields returns what the probe of the name yields.
func (s *ProbeSet) Fields(name string) ([]expr.Field, error) {
	p, err := s.Find(name)
	if err != nil {
		return nil, err
	}
	return p.Spec().Outputs, nil
}

// All returns the probes in the order of their names.
func (s *ProbeSet) All() []Probe {
	all := make([]Probe, 0, len(s.names))
	for _, name := range s.names {
		all = append(all, s.byName[name])
	}
	return all
}

// Specs shows the probes to who reads expressions over them and does not know
// what a probe is: the runbook loader.
type Specs struct{ set *ProbeSet }

// SpecsOf returns the specs of the set.
func SpecsOf(set *ProbeSet) Specs { return Specs{set} }

// Fields returns what the probe takes and yields; ok is false when there is none of the name.
func (s Specs) Fields(probe string) (inputs, outputs []expr.Field, ok bool) {
	p, ok := s.set.byName[probe]
	if !ok {
		return nil, nil, false
	}
	spec := p.Spec()
	return spec.Inputs, spec.Outputs, true
}

// CheckArgument says what is wrong with an argument that is written out, of an
// input that the probe has.
func (s Specs) CheckArgument(probe, input, value string) error {
	p, ok := s.set.byName[probe]
	if !ok {
		return fault.New(fault.NotFound, "there is no probe %q", probe)
	}
	for _, in := range p.Spec().Inputs {
		if in.Name == input {
			return checkArgument(p, in, value)
		}
	}
	return fault.New(fault.NotFound, "probe %s has no input %q", probe, input)
}

// Names returns the names of all probes, sorted.
func (s Specs) Names() []string { return slices.Clone(s.set.names) }
