package expr

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestTemplate(t *testing.T) {
	t.Parallel()
	e := environment(t)
	for _, c := range []struct {
		src, want string
		vars      []string
	}{
		{"plain $HOME $", "plain $HOME $", nil},
		{"${inputs.unit}", "orders.service", []string{"inputs"}},
		{"restart ${inputs.unit} on ${used.mount}!", "restart orders.service on /var!", []string{"inputs", "used"}},
		{"${used.bytes} ${inputs.limit} ${used.used_percent} ${a}", "2147483648 90 91.5 true", []string{"a", "inputs", "used"}},
		{"$${inputs.unit} costs $$5", "${inputs.unit} costs $5", nil},
		{`${{"a}": "}"}["a}"]}`, "}", nil},
		{`${'''it's }'''}`, "it's }", nil},
		{`${r"\"}x`, `\x`, nil},
		{"${json.list[0]}", "1", []string{"json"}},
		{"ü${inputs.unit}\nü", "üorders.service\nü", []string{"inputs"}},
	} {
		tpl, err := e.CompileTemplate(c.src)
		if err != nil {
			t.Errorf("%s: %v", c.src, err)
			continue
		}
		got, err := tpl.Render(t.Context(), values())
		if err != nil || got != c.want {
			t.Errorf("%s: %q %v, want %q", c.src, got, err, c.want)
		}
		if !slices.Equal(tpl.Vars(), c.vars) || tpl.Source() != c.src {
			t.Errorf("%s: vars %v", c.src, tpl.Vars())
		}
		_, only := tpl.Only()
		if want := strings.HasPrefix(c.src, "${") && strings.HasSuffix(c.src, "}") && strings.Count(c.src, "${") == 1; only != want {
			t.Errorf("%s: only %v", c.src, only)
		}
	}
}

func TestTemplateRefuses(t *testing.T) {
	t.Parallel()
	e := environment(t)
	for _, c := range []struct {
		src          string
		line, column int
		message      string
	}{
		{"a\n ${inputs.unti}", 2, 11, "no field"},
		{"a ${inputs.unit", 1, 3, "without its }"},
		{"a ${}", 1, 5, "empty"},
		{"a ${groups}", 1, 5, "no text"},
		{"a ${used.read_at}", 1, 5, "no text"},
		{"ü ${\n usde}", 2, 2, "unknown name"},
	} {
		_, err := e.CompileTemplate(c.src)
		got, ok := errors.AsType[*Error](err)
		if !ok || got.Line != c.line || got.Column != c.column || !strings.Contains(got.Message, c.message) {
			t.Errorf("%q: %v, want %d:%d %s", c.src, err, c.line, c.column, c.message)
		}
	}
	whole, err := e.CompileTemplate("${groups}")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := whole.Render(t.Context(), values()); err == nil {
		t.Errorf("rendered a list as %q", got)
	}
	if p, ok := whole.Only(); !ok {
		t.Error("not the only expression")
	} else if got, err := p.Eval(t.Context(), values()); err != nil || len(got.([]any)) != 2 {
		t.Errorf("got %v, %v", got, err)
	}
	tpl, err := e.CompileTemplate("x ${json.list} ${inputs.unit}")
	if err != nil {
		t.Fatal(err)
	}
	for _, vars := range []map[string]any{values(), nil, {"json": map[string]any{"list": "x"}, "inputs": Unknown{Why: "gone"}}} {
		got, err := tpl.Render(t.Context(), vars)
		if _, ok := errors.AsType[*CannotTellError](err); !ok || got != "" {
			t.Errorf("rendered %q, %v", got, err)
		}
	}
	big, err := e.CompileTemplate("${inputs.unit}${inputs.unit}")
	if err != nil {
		t.Fatal(err)
	}
	vars := map[string]any{"inputs": map[string]any{"unit": strings.Repeat("x", maxRenderedBytes/2+1)}}
	if _, err := big.Render(t.Context(), vars); err == nil {
		t.Error("rendered more than the limit")
	}
}
