package expr

import (
	"fmt"
	"slices"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
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
	maxRemembered   = 500 // programs of an environment
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

	mu       sync.Mutex            // guards below
	programs map[compiled]*Program // files say the same again and again
}

// NewEnv returns the environment in which the names are declared, in a language
// of its own. Whoever makes many takes Language.NewEnv.
func NewEnv(vars []Field, options ...Option) (*Env, error) {
	return new(Language).NewEnv(vars, options...)
}

// checkFields refuses declarations that could not be read.
func checkFields(path string, fields []Field) error {
	for i, f := range fields {
		at := join(path, f.Name)
		switch {
		case !isName(f.Name):
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

// isName reports whether cel reads s as one name: letters, digits and
// underscores, no digit first.
func isName(s string) bool {
	for i, c := range []byte(s) {
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
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
