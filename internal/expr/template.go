package expr

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"cel.dev/cel-go/common/types"
)

// Limits of a template.
const (
	maxTemplateBytes = 256 << 10
	maxRenderedBytes = 1 << 20
)

// Template is text with expressions in it: "${inputs.unit}". Two dollar signs
// before a brace stand for one that begins no expression: "$${HOME}".
type Template struct {
	source string
	parts  []part
}

// part is literal text or an expression.
type part struct {
	literal string
	program *Program
}

// CompileTemplate compiles each ${…} of src. The expressions must give a
// string, a number or a bool; only one that is the whole template may give any
// type, for the caller who takes it by Only. Errors are of type *Error, with the position in
// the whole template.
func (e *Env) CompileTemplate(src string) (*Template, error) {
	if len(src) > maxTemplateBytes {
		return nil, errorAt("", 1, 1, fmt.Sprintf("template has %d bytes, more than %d", len(src), maxTemplateBytes))
	}
	t := &Template{source: src}
	var literal strings.Builder
	for at := 0; at < len(src); {
		switch rest := src[at:]; {
		case strings.HasPrefix(rest, "$$"):
			literal.WriteByte('$')
			at += 2
		case strings.HasPrefix(rest, "${"):
			length, ok := expressionEnd(rest[2:])
			line, column := position(src, at)
			if !ok {
				return nil, errorAt(src, line, column, "${ without its }")
			}
			p, err := e.compilePart(src, at+2, rest[2:2+length])
			if err == nil && length+3 < len(src) {
				err = mustBeText(p, src, at+2)
			}
			if err != nil {
				return nil, err
			}
			if literal.Len() > 0 {
				t.parts = append(t.parts, part{literal: literal.String()})
				literal.Reset()
			}
			t.parts = append(t.parts, part{program: p})
			at += length + 3
		default:
			literal.WriteByte(src[at])
			at++
		}
	}
	if literal.Len() > 0 {
		t.parts = append(t.parts, part{literal: literal.String()})
	}
	return t, nil
}

// compilePart compiles the expression that begins at the offset of src.
func (e *Env) compilePart(src string, at int, text string) (*Program, error) {
	line, column := position(src, at)
	p, err := e.Compile(text, "")
	if inner, ok := err.(*Error); ok { //nolint:errorlint // Compile returns nothing else
		if inner.Line == 1 {
			column += inner.Column - 1
		} else {
			column = inner.Column
		}
		out := errorAt(src, line+inner.Line-1, column, inner.Message)
		out.Hint, out.Unknown = inner.Hint, inner.Unknown
		return nil, out
	}
	return p, err
}

// mustBeText refuses a part of a text that gives no scalar.
func mustBeText(p *Program, src string, at int) error {
	hint := `of a list of strings, write list.join(" ")`
	switch p.output.Kind() {
	case types.StringKind, types.IntKind, types.DoubleKind, types.BoolKind, types.UintKind, types.DynKind:
		return nil
	case types.TimestampKind, types.DurationKind:
		hint = "use string(…)"
	default:
	}
	line, column := position(src, at)
	out := errorAt(src, line, column, fmt.Sprintf("expression gives %s, which is no text", typeName(p.output)))
	out.Hint = hint
	return out
}

// position returns line and column, from 1, of a byte offset.
func position(src string, at int) (line, column int) {
	before := src[:at]
	start := strings.LastIndexByte(before, '\n') + 1
	return strings.Count(before, "\n") + 1, len([]rune(before[start:])) + 1
}

// expressionEnd finds the } that ends an expression: not one of a map, nor one
// inside quotes.
func expressionEnd(s string) (int, bool) {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '{':
			depth++
		case '}':
			if depth == 0 {
				return i, true
			}
			depth--
		case '"', '\'':
			raw := i > 0 && (s[i-1] == 'r' || s[i-1] == 'R')
			i = quoteEnd(s, i, raw)
		}
	}
	return 0, false
}

// quoteEnd returns the offset of the last quote of the string that begins at i,
// or the end of s.
func quoteEnd(s string, i int, raw bool) int {
	quote := s[i : i+1]
	if strings.HasPrefix(s[i:], strings.Repeat(quote, 3)) {
		quote = s[i : i+3]
	}
	for j := i + len(quote); j < len(s); j++ {
		switch {
		case s[j] == '\\' && !raw:
			j++
		case strings.HasPrefix(s[j:], quote):
			return j + len(quote) - 1
		}
	}
	return len(s)
}

// Source returns the text that was compiled.
func (t *Template) Source() string { return t.source }

// Only returns the expression if the template is nothing else, so that its
// value can be used with its type.
func (t *Template) Only() (*Program, bool) {
	if len(t.parts) == 1 && t.parts[0].program != nil {
		return t.parts[0].program, true
	}
	return nil, false
}

// Constant returns the text when the template has no expression in it.
func (t *Template) Constant() (text string, ok bool) {
	for _, p := range t.parts {
		if p.program != nil {
			return "", false
		}
		text += p.literal
	}
	return text, true
}

// Vars returns the declared names that the template reads, sorted.
func (t *Template) Vars() []string {
	all := []string{}
	for _, p := range t.parts {
		if p.program != nil {
			all = append(all, p.program.Vars()...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Render returns the text with the values in place. The error is a
// *CannotTellError, always.
func (t *Template) Render(ctx context.Context, vars map[string]any) (string, error) {
	var b strings.Builder
	for _, p := range t.parts {
		piece := p.literal
		if p.program != nil {
			v, err := p.program.Eval(ctx, vars)
			if err != nil {
				return "", err
			}
			var ok bool
			if piece, ok = text(v); !ok {
				return "", &CannotTellError{Why: fmt.Sprintf("${%s} is a %T, which is no text", p.program.source, v)}
			}
		}
		if b.Len()+len(piece) > maxRenderedBytes {
			return "", &CannotTellError{Why: fmt.Sprintf("text is longer than %d bytes", maxRenderedBytes)}
		}
		b.WriteString(piece)
	}
	return b.String(), nil
}

func formatDouble(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
