package runbooks

import (
	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/expr"
)

// The names that expressions and templates of a runbook read, besides the
// local names of its probes.
const (
	VarInputs     = "inputs"
	VarHypothesis = "hypothesis"
	VarEntity     = "entity"
	VarTarget     = "target"
	VarStep       = "step"
	VarEach       = "each"
	VarOutputs    = "outputs"
	VarResult     = "result"
)

// Scope is a place in a runbook where expressions stand; it decides what they
// may read.
type Scope string

// The scopes. What a hypothesis says comes from hosts and signals, so that no
// template reads it: it goes through a typed input.
const (
	ScopeFrom      Scope = "from"      // inputs[].from: earlier inputs, hypothesis, entity, target
	ScopeTemplate  Scope = "template"  // ${...} in actions, probes and locks: inputs, entity, target
	ScopeCondition Scope = "condition" // require, if: inputs, hypothesis, entity, target, probes
	ScopeOutcome   Scope = "outcome"   // verify, repeat: the same, and step
	ScopeResult    Scope = "result"    // outputs[].from: inputs and the result of the step
)

// readable is what the expressions of a runbook may read, so far as it is read.
type readable struct {
	inputs  []Input
	anyOf   bool // of inputs, since some are not known
	probes  []expr.Field
	outputs []expr.Field // of the steps; conditions of steps read them
	each    []Each       // of the foreach blocks around
	result  []expr.Field // of the step
}

// ProbeSpecs tells what probes there are, without knowing them.
type ProbeSpecs interface {
	// Fields returns what the probe takes and yields; ok is false when there is none of the name.
	Fields(probe string) (inputs, outputs []expr.Field, ok bool)
	// Names returns the names of all probes, for suggestions.
	Names() []string
}

// ArgumentChecker is an extra ability of ProbeSpecs: it says what is wrong with
// an argument that is written out.
type ArgumentChecker interface {
	CheckArgument(probe, input, value string) error
}

// Env returns the environment in which the expressions of a scope are compiled
// inside the foreach blocks of each, the same that Parse has checked them in.
// That of ScopeResult is ResultEnv.
func (rb *Runbook) Env(scope Scope, specs ProbeSpecs, each []Each) (*expr.Env, error) {
	var probes []expr.Field
	for _, use := range rb.Probes {
		_, outputs, _ := specs.Fields(use.Probe)
		probes = append(probes, expr.Field{Name: use.Name, Type: expr.Object, Elem: outputs})
	}
	return newEnv(rb.spoken(), scope, readable{inputs: rb.Inputs, probes: probes, outputs: rb.OutputFields(), each: each})
}

// spoken is the language in which Parse has read the runbook.
func (rb *Runbook) spoken() *expr.Language {
	if rb.language == nil { // it was not read, but put together
		return new(expr.Language)
	}
	return rb.language
}

// ResultEnv returns the environment for the outputs of a step.
func (rb *Runbook) ResultEnv(s Step, specs ProbeSpecs) (*expr.Env, error) {
	return newEnv(rb.spoken(), ScopeResult, readable{inputs: rb.Inputs, each: s.Each, result: resultFields(s, rb.Probes, specs)})
}

// resultFields are what a step's outputs read: of a reading what the probe gives,
// else what the step's command printed.
func resultFields(s Step, probes []ProbeUse, specs ProbeSpecs) []expr.Field {
	if s.Action == StepProbe {
		name, _ := s.With.(string)
		for _, use := range probes {
			if use.Name == name {
				_, outputs, _ := specs.Fields(use.Probe)
				return outputs
			}
		}
	}
	return []expr.Field{
		{Name: "stdout", Type: expr.String, Doc: "what its command printed"},
		{Name: "stderr", Type: expr.String, Doc: "what its command complained"},
		{Name: "exit_code", Type: expr.Int, Doc: "exit status of its command"},
		{Name: "json", Type: expr.Object, Doc: "what its command printed, read as a JSON object"},
	}
}

// OutputFields returns the outputs of all steps as conditions read them.
func (rb *Runbook) OutputFields() []expr.Field {
	var fields []expr.Field
	for _, s := range rb.Steps {
		for _, o := range s.Outputs {
			fields = append(fields, inputField(o.Name, o.Type, "output of step "+s.ID))
		}
	}
	return fields
}

func newEnv(language *expr.Language, scope Scope, n readable) (*expr.Env, error) {
	return language.NewEnv(n.fields(scope))
}

// fields are the names that a scope declares. An object without fields would be
// one with any, and is left out.
func (n readable) fields(scope Scope) []expr.Field {
	fields := []expr.Field{
		{Name: VarEntity, Type: expr.Object, Doc: "the entity of the hypothesis or the person's choice", Elem: entity.Fields()},
		{Name: VarTarget, Type: expr.Object, Doc: "the host that is acted on", Elem: targetFields()},
	}
	switch {
	case n.anyOf:
		fields = append(fields, expr.Field{Name: VarInputs, Type: expr.Object})
	case len(n.inputs) > 0:
		fields = append(fields, expr.Field{Name: VarInputs, Type: expr.Object, Doc: "the runbook's inputs", Elem: inputFields(n.inputs)})
	}
	if len(n.each) > 0 {
		fields = append(fields, expr.Field{Name: VarEach, Type: expr.Object, Doc: "the elements of the foreach blocks around", Elem: eachFields(n.each)})
	}
	if scope == ScopeResult {
		return append(fields, expr.Field{Name: VarResult, Type: expr.Object, Doc: "what the step gave", Elem: n.result})
	}
	if scope != ScopeTemplate {
		fields = append(fields, expr.Field{Name: VarHypothesis, Type: expr.Object, Doc: "what is acted on", Elem: hypothesisFields()})
	}
	if scope == ScopeCondition || scope == ScopeOutcome {
		fields = append(fields, n.probes...)
		if len(n.outputs) > 0 {
			fields = append(fields, expr.Field{Name: VarOutputs, Type: expr.Object, Doc: "what the steps before found out", Elem: n.outputs})
		}
	}
	if scope == ScopeOutcome {
		fields = append(fields, expr.Field{Name: VarStep, Type: expr.Object, Doc: "the step itself", Elem: []expr.Field{
			{Name: "started_at", Type: expr.Timestamp, Doc: "when it was started"},
		}})
	}
	return fields
}

// InputFields returns the inputs as expressions read them.
func (rb *Runbook) InputFields() []expr.Field { return inputFields(rb.Inputs) }

func inputFields(inputs []Input) []expr.Field {
	fields := make([]expr.Field, 0, len(inputs))
	for _, in := range inputs {
		fields = append(fields, inputField(in.Name, in.Type, in.Description))
	}
	return fields
}

func inputField(name string, t InputType, doc string) expr.Field {
	field := expr.Field{Name: name, Type: t.exprType(), Doc: doc}
	if t == InputBytes {
		field.Unit = expr.Bytes
	}
	return field
}

func eachFields(each []Each) []expr.Field {
	fields := make([]expr.Field, 0, len(each))
	for _, e := range each {
		fields = append(fields, inputField(e.As, e.Type, "the element"))
	}
	return fields
}

func hypothesisFields() []expr.Field {
	return []expr.Field{
		{Name: "cause", Type: expr.String, Doc: "id of the cause"},
		{Name: "entity", Type: expr.String, Doc: "id of the entity"},
		{Name: "band", Type: expr.String, Doc: "confirmed, likely, possible or unlikely"},
		{Name: "object", Type: expr.Map, Doc: "what on the entity: mount, unit, path, ..."},
		{Name: "evidence", Type: expr.Map, Doc: "truth of each evidence by its id; ask hypothesis.has(\"id\")"},
	}
}

func targetFields() []expr.Field {
	return []expr.Field{
		{Name: "id", Type: expr.String, Doc: "inventory id"},
		{Name: "address", Type: expr.String, Doc: "host name or IP"},
		{Name: "user", Type: expr.String, Doc: "login user"},
	}
}
