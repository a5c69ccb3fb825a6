package runbooks

import (
	"context"
	"fmt"

	"github.com/secondline-ops/secondline/internal/expr"
)

// maxOutputBytes bounds the text of one output.
const maxOutputBytes = 16 << 10

// Value evaluates the output over the result of its step. What cannot be told,
// is too long, or is not of its type is an expr.Unknown.
func (o Output) Value(ctx context.Context, env *expr.Env, vars map[string]any) any {
	program, err := env.Compile(o.From, o.Type.exprType())
	if err != nil {
		return expr.Unknown{Why: err.Error()}
	}
	v, err := program.Eval(ctx, vars)
	if err != nil {
		return expr.Unknown{Why: err.Error()}
	}
	text, err := ElementText(o.Type, v)
	if err != nil {
		return expr.Unknown{Why: "output " + o.Name + " " + err.Error()}
	}
	value, err := ParseElement(o.Type, text)
	if err != nil {
		return expr.Unknown{Why: "output " + o.Name + " " + err.Error()}
	}
	return value
}

// ElementText writes an element of a foreach, or an output, as text that
// ParseElement reads. The error follows a name.
func ElementText(t InputType, v any) (string, error) {
	switch v.(type) {
	case []any, map[string]any, nil:
		return "", fmt.Errorf("is no %s", t)
	}
	text := textOf(v)
	if len(text) > maxOutputBytes {
		return "", fmt.Errorf("is longer than %d bytes", maxOutputBytes)
	}
	_, err := ParseElement(t, text)
	return text, err
}

// ParseElement checks a text as an input of the type is checked.
func ParseElement(t InputType, text string) (any, error) { return parseValue(t, text) }
