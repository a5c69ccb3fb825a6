package runbooks

import (
	"path"
	"slices"

	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/yamlx"
)

// testOptions are small actions and probes that behave as the real ones do
// towards the loader.
func testOptions() ParseOptions {
	o := ParseOptions{
		Decoders: []Decoder{runDecoder{}, unitDecoder{}, cleanupDecoder{}, scriptDecoder{}}, Probes: testProbes{},
		Forbidden: map[string][]string{"disk-full-logs": {"unit.stopped", "run.rm"}},
	}
	o.Called = func(name string) (*Runbook, bool) {
		rb, err := Parse("restart-web.yaml", []byte(restartWeb), ParseOptions{Decoders: o.Decoders, Probes: o.Probes})
		return rb, err == nil && name == rb.Name
	}
	return o
}

// restartWeb is a runbook that others call.
const restartWeb = `apiVersion: secondline/v1
kind: Runbook
metadata: {name: restart-web, title: Restart the web server}
spec:
  inputs:
    unit: {type: unit}
    limit: {type: percent, default: 85, max: 99}
    start: {type: argv, from: 'entity.processes[0].start'}
  steps:
    - {id: restart, unit: {name: "${inputs.unit}", state: restarted}, preserve: none, undo: none}
`

type runDecoder struct{}

func (runDecoder) Name() string { return "run" }

func (runDecoder) Decode(n *yamlx.Node, c *StepContext) (Decoded, error) {
	var argv []string
	if err := n.Decode(&argv); err != nil {
		return Decoded{}, err
	}
	for _, item := range n.Items() {
		if _, err := c.Env.CompileTemplate(text(item)); err != nil {
			return Decoded{}, err
		}
	}
	return Decoded{With: argv, Deed: path.Base(argv[0]), MayOnlyRead: OnlyReads(argv)}, nil
}

type unitDecoder struct{}

func (unitDecoder) Name() string { return "unit" }

func (unitDecoder) Decode(n *yamlx.Node, c *StepContext) (Decoded, error) {
	var raw struct {
		Name  string `yaml:"name,required"`
		State string `yaml:"state,required"`
	}
	if err := n.Decode(&raw); err != nil {
		return Decoded{}, err
	}
	if name, ok := n.Get("name"); ok {
		if _, err := c.Env.CompileTemplate(text(name)); err != nil {
			return Decoded{}, err
		}
	}
	return Decoded{
		With: raw, Deed: raw.State, Effect: Write, OwnVerify: true, OwnUndo: raw.State == "started",
		DestroysEvidence: slices.Contains([]string{"restarted", "stopped"}, raw.State), Repeat: Repeat{Always: true},
	}, nil
}

type cleanupDecoder struct{}

func (cleanupDecoder) Name() string { return "cleanup" }

func (cleanupDecoder) Decode(n *yamlx.Node, _ *StepContext) (Decoded, error) {
	var raw map[string]any
	err := n.Decode(&raw)
	return Decoded{With: raw, Effect: Write, DestroysEvidence: true}, err
}

type scriptDecoder struct{}

func (scriptDecoder) Name() string { return "script" }

func (scriptDecoder) SecretPlaces() []string { return []string{"env.*"} }

func (scriptDecoder) Decode(n *yamlx.Node, c *StepContext) (Decoded, error) {
	env, _ := n.Get("env")
	for _, name := range env.Keys() {
		value, _ := env.Get(name)
		c.Secret(value)
	}
	return Decoded{Effect: Write}, nil
}

type testProbes struct{}

func (testProbes) Names() []string { return []string{"disk.usage", "process.match", "unit.status"} }

func (testProbes) Fields(probe string) (inputs, outputs []expr.Field, ok bool) {
	switch probe {
	case "disk.usage":
		return []expr.Field{{Name: "mount", Type: expr.String, Required: true, Doc: "mount point"}}, []expr.Field{
			{Name: "used_percent", Type: expr.Double}, {Name: "inodes_used_percent", Type: expr.Double},
		}, true
	case "unit.status":
		return []expr.Field{{Name: "unit", Type: expr.String, Required: true}}, []expr.Field{{Name: "active_state", Type: expr.String}}, true
	case "process.match":
		return []expr.Field{{Name: "pid_file", Type: expr.String}, {Name: "match", Type: expr.String}},
			[]expr.Field{{Name: "running", Type: expr.Bool}, {Name: "since", Type: expr.Timestamp}}, true
	}
	return nil, nil, false
}

func text(n *yamlx.Node) string {
	s, _ := n.Scalar()
	return s
}
