package expr

import (
	"fmt"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/env"
	"cel.dev/cel-go/ext"
)

// maxKept bounds the bases that a Language keeps. Two are usual: without has,
// and with that of the hypothesis. Who names objects with evidence differently
// each time gets a new base each time.
const maxKept = 8

// Language holds what all environments have in common, the functions and the
// limits. They take most of the time that an environment takes to make, so who
// makes many shares one. The zero value is ready; it is safe for concurrent use.
type Language struct {
	mu    sync.Mutex          // guards below
	bases map[string]*cel.Env // by the objects that have evidence
}

// NewEnv returns the environment in which the names are declared. A wrong
// declaration is a bug of the caller: the error is of kind fault.Internal.
func (l *Language) NewEnv(vars []Field, options ...Option) (*Env, error) {
	if err := checkFields("", vars); err != nil {
		return nil, err
	}
	e := &Env{vars: vars, costLimit: DefaultCostLimit}
	for _, o := range options {
		o(e)
	}
	objects := objectsOf(vars)
	base, err := l.base(withEvidence(objects))
	if err != nil {
		return nil, fmt.Errorf("make the expression language: %w", err)
	}
	declared := []cel.EnvOption{cel.CustomTypeProvider(&provider{Provider: base.CELTypeProvider(), objects: objects})}
	for _, f := range vars {
		declared = append(declared, cel.Variable(f.Name, typeOf(objectMark, f)))
	}
	if e.cel, err = base.Extend(declared...); err != nil {
		return nil, fmt.Errorf("make expression environment: %w", err)
	}
	return e, nil
}

// base returns the environment without names. Its functions must be all: cel
// would index them anew for an extension that adds one.
func (l *Language) base(evidence []string) (*cel.Env, error) {
	key := strings.Join(evidence, " ")
	l.mu.Lock()
	defer l.mu.Unlock()
	if base, ok := l.bases[key]; ok {
		return base, nil
	}
	base, err := newBase(evidence)
	if err != nil {
		return nil, err
	}
	if l.bases == nil {
		l.bases = map[string]*cel.Env{}
	}
	if len(l.bases) < maxKept {
		l.bases[key] = base
	}
	return base, nil
}

func newBase(evidence []string) (*cel.Env, error) {
	all := []cel.EnvOption{
		standardFunctions(),
		cel.CrossTypeNumericComparisons(true), // used_percent > 90
		cel.DefaultUTCTimeZone(true),
		cel.ParserExpressionSizeLimit(maxSourceBytes),
		cel.ParserRecursionLimit(maxNesting),
		cel.ExpressionNodeLimit(maxNodes),
		cel.RegexProgramSizeLimit(maxRegexProgram),
		cel.EnableErrorOnBadPresenceTest(true), // has() of something that is no object
		cel.ASTValidators(cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals(), cel.ValidateRegexLiterals()),
		ext.Strings(),
		ext.Lists(ext.ListsMaxRangeSize(maxRange)),
		ext.Math(),
	}
	all = append(all, ownFunctions()...)
	all = append(all, evidenceFunctions(evidence)...)
	return cel.NewCustomEnv(all...)
}

// standardFunctions is cel's library without what would take types away (dyn,
// type) and without types that no field has (bytes, uint).
func standardFunctions() cel.EnvOption {
	var without []*env.Function
	for _, name := range []string{"dyn", "type", "bytes", "uint"} {
		without = append(without, env.NewFunction(name))
	}
	return cel.StdLib(cel.StdLibSubset(env.NewLibrarySubset().AddExcludedFunctions(without...)))
}
