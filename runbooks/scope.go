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
)

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

// Env returns the environment in which the expressions of a scope are
// compiled, the same that Parse has checked them in.
func (rb *Runbook) Env(scope Scope, specs ProbeSpecs) (*expr.Env, error) {
	var probes []expr.Field
	for _, use := range rb.Probes {
		_, outputs, _ := specs.Fields(use.Probe)
		probes = append(probes, expr.Field{Name: use.Name, Type: expr.Object, Elem: outputs})
	}
	return newEnv(scope, rb.Inputs, probes)
}

func newEnv(scope Scope, inputs []Input, probes []expr.Field) (*expr.Env, error) {
	return expr.NewEnv(scopeFields(scope, inputs, probes))
}

// scopeFields are the names that a scope declares.
func scopeFields(scope Scope, inputs []Input, probes []expr.Field) []expr.Field {
	fields := []expr.Field{
		{Name: VarEntity, Type: expr.Object, Doc: "the entity of the hypothesis or the person's choice", Elem: entity.Fields()},
		{Name: VarTarget, Type: expr.Object, Doc: "the host that is acted on", Elem: targetFields()},
	}
	if len(inputs) > 0 { // an object without fields would be one with any
		fields = append(fields, expr.Field{Name: VarInputs, Type: expr.Object, Doc: "the runbook's inputs", Elem: inputFields(inputs)})
	}
	if scope != ScopeTemplate {
		fields = append(fields, expr.Field{Name: VarHypothesis, Type: expr.Object, Doc: "what is acted on", Elem: hypothesisFields()})
	}
	if scope == ScopeCondition || scope == ScopeOutcome {
		fields = append(fields, probes...)
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
		field := expr.Field{Name: in.Name, Type: in.Type.exprType(), Doc: in.Description}
		if in.Type == InputBytes {
			field.Unit = expr.Bytes
		}
		fields = append(fields, field)
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
