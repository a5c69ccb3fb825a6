package runbooks

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/secondline-ops/secondline/internal/expr"
)

// Args fills in the arguments with values that env, of ScopeTemplate, reads.
// An argument that is a list input alone is given as JSON, which is how probes
// take lists. The error is a *expr.CannotTellError, wrapped.
func (u ProbeUse) Args(ctx context.Context, env *expr.Env, vars map[string]any) (map[string]string, error) {
	args := make(map[string]string, len(u.With))
	for _, name := range slices.Sorted(maps.Keys(u.With)) {
		value, err := renderArg(ctx, env, u.With[name], vars)
		if err != nil {
			return nil, fmt.Errorf("%s of probe %s: %w", name, u.Probe, err)
		}
		args[name] = value
	}
	return args, nil
}

func renderArg(ctx context.Context, env *expr.Env, text string, vars map[string]any) (string, error) {
	template, err := env.CompileTemplate(text)
	if err != nil {
		return "", err
	}
	if program, ok := template.Only(); ok {
		value, err := program.Eval(ctx, vars)
		if err != nil {
			return "", err
		}
		if list, ok := stringList(value); ok {
			if len(list) == 0 {
				return "", nil
			}
			return showValue(list), nil
		}
	}
	return template.Render(ctx, vars)
}
