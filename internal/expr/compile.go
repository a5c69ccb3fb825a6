package expr

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"

	"github.com/secondline-ops/secondline/internal/yamlx"
)

// Compile checks src against the declarations. want is the type that it must
// give, "" for any; an expression for a Double may give an int, which Eval
// converts. Errors are of type *Error.
func (e *Env) Compile(src string, want Type) (*Program, error) {
	key := compiled{src, want}
	if p, ok := e.recall(key); ok {
		return p, nil
	}
	p, err := e.compile(src, want)
	if err == nil {
		e.remember(key, p)
	}
	return p, err
}

// compiled is what one compilation is about.
type compiled struct {
	src  string
	want Type
}

func (e *Env) recall(key compiled) (*Program, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	p, ok := e.programs[key]
	return p, ok
}

func (e *Env) remember(key compiled, p *Program) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.programs == nil {
		e.programs = map[compiled]*Program{}
	}
	if len(e.programs) < maxRemembered {
		e.programs[key] = p
	}
}

func (e *Env) compile(src string, want Type) (*Program, error) {
	if len(src) > maxSourceBytes {
		return nil, errorAt("", 1, 1, fmt.Sprintf("expression has %d bytes, more than %d", len(src), maxSourceBytes))
	}
	if strings.TrimSpace(src) == "" {
		return nil, errorAt(src, 1, 1, "expression is empty")
	}
	checked, issues := e.cel.Compile(src)
	if issues.Err() != nil {
		return nil, e.explain(src, issues)
	}
	tree := checked.NativeRep()
	if err := checkLiterals(src, tree); err != nil {
		return nil, err
	}
	if !want.matches(checked.OutputType()) {
		return nil, errorAt(src, 1, 1, fmt.Sprintf("expression gives %s, not %s", typeName(checked.OutputType()), want))
	}
	plan := planner(e.cel, checked, e.costLimit)
	if planMayFail(tree) {
		if _, err := plan(); err != nil {
			return nil, errorAt(src, 1, 1, err.Error())
		}
	}
	read := map[string]bool{}
	freeNames(tree.Expr(), nil, read)
	p := &Program{source: src, want: want, plan: plan, output: checked.OutputType()}
	for _, f := range e.vars {
		if read[f.Name] {
			p.reads = append(p.reads, f)
		}
	}
	return p, nil
}

// planner returns what makes the expression ready to be evaluated, once. That
// costs as much as the check, and who only checks a file never evaluates.
func planner(env *cel.Env, checked *cel.Ast, costLimit uint64) func() (cel.Program, error) {
	return sync.OnceValues(func() (cel.Program, error) {
		return env.Program(checked,
			cel.EvalOptions(cel.OptOptimize, cel.OptPartialEval),
			cel.CostLimit(costLimit),
			cel.CostTrackerOptions(costOfOwn()...),
			cel.InterruptCheckFrequency(interruptEvery),
		)
	})
}

// planMayFail reports whether a mistake in a checked expression may come to
// light only when it is planned: cel then converts constants, compiles constant
// regular expressions, takes constant indexes and looks up types.
func planMayFail(tree *ast.AST) bool {
	found := false
	ast.PostOrderVisit(tree.Expr(), ast.NewExprVisitor(func(x ast.Expr) {
		switch {
		case x.Kind() == ast.StructKind, tree.GetType(x.ID()).Kind() == types.TypeKind:
			found = true
		case x.Kind() == ast.CallKind:
			name := x.AsCall().FunctionName()
			found = found || name == overloads.Matches || name == operators.Index || overloads.IsTypeConversionFunction(name)
		}
	}))
	return found
}

// freeNames gathers the names that x reads and no macro binds.
func freeNames(x ast.Expr, bound []string, into map[string]bool) {
	visit := func(bound []string, all ...ast.Expr) {
		for _, y := range all {
			freeNames(y, bound, into)
		}
	}
	switch x.Kind() {
	case ast.IdentKind:
		if name := strings.TrimPrefix(x.AsIdent(), "."); !slices.Contains(bound, name) {
			into[name] = true
		}
	case ast.SelectKind:
		visit(bound, x.AsSelect().Operand())
	case ast.CallKind:
		if x.AsCall().IsMemberFunction() {
			visit(bound, x.AsCall().Target())
		}
		visit(bound, x.AsCall().Args()...)
	case ast.ListKind:
		visit(bound, x.AsList().Elements()...)
	case ast.MapKind:
		for _, entry := range x.AsMap().Entries() {
			visit(bound, entry.AsMapEntry().Key(), entry.AsMapEntry().Value())
		}
	case ast.StructKind:
		for _, entry := range x.AsStruct().Fields() {
			visit(bound, entry.AsStructField().Value())
		}
	case ast.ComprehensionKind:
		loop := x.AsComprehension()
		visit(bound, loop.IterRange(), loop.AccuInit())
		inner := append(slices.Clone(bound), loop.IterVar(), loop.IterVar2(), loop.AccuVar())
		visit(inner, loop.LoopCondition(), loop.LoopStep(), loop.Result())
	case ast.LiteralKind, ast.UnspecifiedExprKind:
	}
}

// explain turns cel's first issue into an Error. The library has only texts for
// them; an unknown text passes through unchanged.
func (e *Env) explain(src string, issues *cel.Issues) *Error {
	all := issues.Errors()
	if len(all) == 0 {
		return errorAt(src, 1, 1, issues.Err().Error())
	}
	slices.SortStableFunc(all, func(a, b *cel.Error) int {
		return (a.Location.Line()-b.Location.Line())<<16 + a.Location.Column() - b.Location.Column()
	})
	first := all[0]
	message, unreadable := strings.CutPrefix(first.Message, "Syntax error: ")
	out := errorAt(src, first.Location.Line(), first.Location.Column()+1, readable(message))
	quoted := func(pattern string) (string, bool) {
		m := regexp.MustCompile(pattern).FindStringSubmatch(message)
		if m == nil {
			return "", false
		}
		return m[1], true
	}
	if unreadable {
		out.Message, out.Hint = readableSyntax(message)
	} else if field, ok := quoted(`^undefined field '(.*)'`); ok {
		out.Message = fmt.Sprintf("no field %q", field)
		out.Hint = hint(field, e.fieldsNear(src, first.ExprID))
		if rest := runesFrom(out.Snippet, out.Column-1); strings.HasPrefix(rest, ".") {
			out.Column += strings.Index(rest, field) // cel points at the dot
		}
	} else if name, ok := quoted(`^undeclared reference to '([^']*)'`); ok {
		out.Message, out.Unknown = fmt.Sprintf("unknown name %q", name), name
		known := slices.Concat(names(e.vars), slices.Collect(maps.Keys(e.cel.Functions())))
		slices.Sort(known)
		out.Hint = hint(name, known)
		if out.Hint == "" && len(e.vars) > 0 {
			out.Hint = "known: " + strings.Join(names(e.vars), ", ")
		}
	} else if strings.Contains(message, "(double, int)") || strings.Contains(message, "(int, double)") {
		out.Hint = "calculate with numbers of one kind: write 2.0 for 2, or use double(x) or int(x)"
	} else if regexp.MustCompile(`\((double|int), string\)|\(string, (double|int)\)`).MatchString(message) {
		out.Hint = `one side is a number and the other a text; numbers stand without quotes: 85.0, percent(85), bytesize("2GiB")`
	}
	return out
}

// readableSyntax says in words what the parser (ANTLR) could not read.
func readableSyntax(message string) (text, hint string) {
	if strings.HasPrefix(message, "token recognition error at: '=") {
		return `"=" alone is no operator`, "write == to compare"
	}
	unexpected := regexp.MustCompile(`^(?:mismatched|extraneous) input '(.*)' expecting`).FindStringSubmatch(message)
	if unexpected == nil {
		return readable(message), ""
	}
	switch word := unexpected[1]; strings.ToLower(word) {
	case "<eof>":
		return "the expression ends too early", ""
	case "and", "or":
		return fmt.Sprintf("%q is no operator", word), "write && for and, || for or"
	default:
		return fmt.Sprintf("%q is not expected here", word), ""
	}
}

func runesFrom(s string, n int) string {
	runes := []rune(s)
	return string(runes[min(n, len(runes)):])
}

func hint(word string, known []string) string {
	if near := yamlx.Suggest(word, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return ""
}

// readable takes the marks of our type names and operators out of a message.
func readable(message string) string {
	message = regexp.MustCompile(`'_?([^\w\s'(]{1,2})_?'`).ReplaceAllString(message, "'$1'")
	return strings.ReplaceAll(strings.ReplaceAll(message, " (in container '')", ""), objectMark, "")
}

func typeName(t *types.Type) string { return readable(t.String()) }

// fieldsNear returns the fields of what stands before the dot of the selection
// with the id, or all field names if that is not a plain path.
func (e *Env) fieldsNear(src string, id int64) []string {
	var found []string
	if parsed, issues := e.cel.Parse(src); issues.Err() == nil {
		ast.PostOrderVisit(parsed.NativeRep().Expr(), ast.NewExprVisitor(func(x ast.Expr) {
			if x.ID() == id && x.Kind() == ast.SelectKind {
				found = names(pathFields(e.vars, x.AsSelect().Operand()))
			}
		}))
	}
	if len(found) == 0 {
		found = allNames(e.vars)
	}
	return found
}

// pathFields returns the fields of the object at a path such as a.b.c.
func pathFields(vars []Field, x ast.Expr) []Field {
	var level []Field
	var name string
	switch x.Kind() {
	case ast.IdentKind:
		level, name = vars, x.AsIdent()
	case ast.SelectKind:
		level, name = pathFields(vars, x.AsSelect().Operand()), x.AsSelect().FieldName()
	case ast.CallKind:
		if len(x.AsCall().Args()) == 2 { // an index: list[0]
			return pathFields(vars, x.AsCall().Args()[0])
		}
	default:
	}
	if i := slices.IndexFunc(level, func(f Field) bool { return f.Name == name }); i >= 0 {
		return level[i].Elem
	}
	return nil
}

func allNames(fields []Field) []string {
	var all []string
	for _, f := range fields {
		all = append(append(all, f.Name), allNames(f.Elem)...)
	}
	return all
}
