package expr

import (
	"fmt"
	"regexp"
	"slices"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/env"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/ext"
)

// Limits of an expression.
const (
	// DefaultCostLimit is in cel's units, about one for each operation; a rule of
	// four clauses costs below 50.
	DefaultCostLimit = 10_000

	maxSourceBytes  = 16 << 10
	maxNesting      = 64
	maxNodes        = 5_000
	maxRegexProgram = 2_000
	maxRange        = 1_000
	interruptEvery  = 100 // loop steps between two looks at the context
)

// Option changes an Env from its defaults.
type Option func(*Env)

// WithCostLimit lets expressions cost more or less than DefaultCostLimit.
func WithCostLimit(limit uint64) Option { return func(e *Env) { e.costLimit = limit } }

// Env is what expressions can read: declared names and functions. It does not
// change and may be used by many goroutines.
type Env struct {
	vars      []Field
	cel       *cel.Env
	costLimit uint64
}

// NewEnv returns the environment in which the names are declared. A wrong
// declaration is a bug of the caller: the error is of kind fault.Internal.
func NewEnv(vars []Field, options ...Option) (*Env, error) {
	if err := checkFields("", vars); err != nil {
		return nil, err
	}
	e := &Env{vars: vars, costLimit: DefaultCostLimit}
	for _, o := range options {
		o(e)
	}
	declared, err := newProvider(vars)
	if err != nil {
		return nil, fmt.Errorf("declare types: %w", err)
	}
	all := []cel.EnvOption{
		standardFunctions(),
		cel.CustomTypeProvider(declared),
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
	for _, f := range vars {
		all = append(all, cel.Variable(f.Name, typeOf(objectMark, f)))
	}
	all = append(all, ownFunctions()...)
	all = append(all, evidenceFunctions(declared)...)
	if e.cel, err = cel.NewCustomEnv(all...); err != nil {
		return nil, fmt.Errorf("make expression environment: %w", err)
	}
	return e, nil
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

// checkFields refuses declarations that could not be read.
func checkFields(path string, fields []Field) error {
	name := regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)
	for i, f := range fields {
		at := join(path, f.Name)
		switch {
		case !name.MatchString(f.Name):
			return fmt.Errorf("declare %q: not a name", at)
		case slices.ContainsFunc(fields[:i], func(g Field) bool { return g.Name == f.Name }):
			return fmt.Errorf("declare %q: declared twice", at)
		case typeOf(objectMark, f) == nil:
			return fmt.Errorf("declare %q: no type %q", at, f.Type)
		case len(f.Elem) > 0 && f.Type != List && f.Type != Object:
			return fmt.Errorf("declare %q: a %s has no fields", at, f.Type)
		}
		if err := checkFields(at, f.Elem); err != nil {
			return err
		}
	}
	return nil
}

// matches reports whether an expression of type t can give what is wanted.
func (want Type) matches(t *types.Type) bool {
	kind := t.Kind()
	if kind == types.DynKind {
		return true // looked at when it is evaluated
	}
	switch want {
	case "":
		return true
	case String:
		return kind == types.StringKind
	case Int:
		return kind == types.IntKind
	case Double:
		return kind == types.DoubleKind || kind == types.IntKind
	case Bool:
		return kind == types.BoolKind
	case Timestamp:
		return kind == types.TimestampKind
	case Duration:
		return kind == types.DurationKind
	case List:
		return kind == types.ListKind
	case Map, Object:
		return kind == types.MapKind || kind == types.StructKind
	}
	return false
}
