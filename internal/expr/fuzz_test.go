package expr

import (
	"context"
	"errors"
	"testing"
	"time"
)

// FuzzExpression: whatever is written compiles or is an *Error, and what
// compiles has a value or cannot tell, within its bounds, with all inputs and
// with none.
func FuzzExpression(f *testing.F) {
	for _, fn := range Functions() {
		f.Add(fn.Example)
	}
	for _, s := range []string{
		"used.used_percent > inputs.limit", `processes.exists(p, p.cpu > 90)`, `hypothesis.has("x")`, "1 +", "used{}", "{1: 2}",
		"groups.map(x, groups.map(y, x + y))", "[1,2].map(x, [x, x])", "'a' + 'b'", "-9223372036854775808 / -1", "json.list[0] == 1u",
		"b'x'", "google.protobuf.Value{}", "used.`x`", "a ? b : n", "optional.none()", `"${a}"`, "1.0/0.0", "\x00", "lists.range(1000).map(x, lists.range(1000))",
	} {
		f.Add(s)
	}
	e := environment(f)
	f.Fuzz(func(t *testing.T, src string) {
		p, err := e.Compile(src, "")
		if err != nil {
			if bad, ok := errors.AsType[*Error](err); !ok || bad.Line < 1 || bad.Column < 1 || bad.Detail() == "" {
				t.Fatalf("%q: %v", src, err)
			}
			return
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for _, vars := range []map[string]any{values(), nil} {
			if _, err := p.Eval(ctx, vars); err != nil {
				if _, ok := errors.AsType[*CannotTellError](err); !ok || errors.Is(err, context.DeadlineExceeded) {
					t.Fatalf("%q: %v", src, err)
				}
			}
		}
	})
}

// FuzzTemplate: a template compiles or is an *Error, and a dollar sign that
// begins nothing is text.
func FuzzTemplate(f *testing.F) {
	for _, s := range []string{"${a}", "$${a}", "${'}'}", "${", "$", "${{}}", "${r'\\'}", "x${a}y${b}", "${'''}", "${\"\\\"}\"}"} {
		f.Add(s)
	}
	e := environment(f)
	f.Fuzz(func(t *testing.T, src string) {
		tpl, err := e.CompileTemplate(src)
		if err != nil {
			if bad, ok := errors.AsType[*Error](err); !ok || bad.Line < 1 || bad.Column < 1 {
				t.Fatalf("%q: %v", src, err)
			}
			return
		}
		if _, err := tpl.Render(t.Context(), values()); err != nil {
			if _, ok := errors.AsType[*CannotTellError](err); !ok {
				t.Fatalf("%q: %v", src, err)
			}
		}
	})
}
