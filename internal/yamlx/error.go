package yamlx

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/secondline-ops/secondline/internal/fault"
)

// The ids of the rules that this package enforces, as in Error.Rule.
const (
	RuleSyntax       = "yaml-syntax"
	RuleEncoding     = "yaml-encoding"
	RuleLimit        = "yaml-limit"
	RuleTab          = "yaml-tab"
	RuleTag          = "yaml-tag"
	RuleMergeKey     = "yaml-merge-key"
	RuleDuplicateKey = "yaml-duplicate-key"
	RuleDocuments    = "yaml-documents"
	RuleUnknownField = "yaml-unknown-field"
	RuleMissingField = "yaml-missing-field"
	RuleBoolean      = "yaml-boolean"
	RuleNumber       = "yaml-number"
	RuleType         = "yaml-type"
)

// maxSnippetRunes bounds the source line that an error carries.
const maxSnippetRunes = 160

// Error is one mistake in a YAML document, at its position. Line and Column
// start at 1 and columns count characters, not bytes.
type Error struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
	Snippet string `json:"snippet,omitempty"` // the source line, without control characters
	Rule    string `json:"rule,omitempty"`
}

// Error implements error.
func (e *Error) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Message)
}

// Fault implements fault.Classified.
func (e *Error) Fault() fault.Kind { return fault.Invalid }

// WithHint returns a copy of e that says what to do next.
func (e *Error) WithHint(format string, args ...any) *Error {
	c := *e
	c.Hint = fmt.Sprintf(format, args...)
	return &c
}

// WithRule returns a copy of e that names the rule which was broken.
func (e *Error) WithRule(rule string) *Error {
	c := *e
	c.Rule = rule
	return &c
}

// Detail returns the error as people read it: the message, the source line with
// a caret under the place, and the hint.
func (e *Error) Detail() string {
	var b strings.Builder
	b.WriteString(e.Error())
	if e.Snippet != "" {
		number := fmt.Sprintf("%5d", e.Line)
		fmt.Fprintf(&b, "\n%s | %s", number, e.Snippet)
		if e.Column >= 1 && e.Column <= len([]rune(e.Snippet))+1 {
			fmt.Fprintf(&b, "\n%s | %s^", strings.Repeat(" ", len(number)), strings.Repeat(" ", e.Column-1))
		}
	}
	if e.Hint != "" {
		b.WriteString("\nhint: " + e.Hint)
	}
	return b.String()
}

// Errors returns every Error inside err, in the order of their positions.
func Errors(err error) []*Error {
	var found []*Error
	collect(err, &found)
	slices.SortStableFunc(found, func(a, b *Error) int {
		if c := strings.Compare(a.File, b.File); c != 0 {
			return c
		}
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return found
}

func collect(err error, into *[]*Error) {
	if e, ok := err.(*Error); ok { //nolint:errorlint // the tree is walked by hand: every branch counts, not the first
		*into = append(*into, e)
		return
	}
	switch wrapped := err.(type) { //nolint:errorlint // as above
	case interface{ Unwrap() []error }:
		for _, one := range wrapped.Unwrap() {
			collect(one, into)
		}
	case interface{ Unwrap() error }:
		collect(wrapped.Unwrap(), into)
	}
}

// join returns nil, the only error, or all of them in the order of position.
func join(errs []*Error) error {
	switch len(errs) {
	case 0:
		return nil
	case 1:
		return errs[0]
	}
	all := make([]error, len(errs))
	for i, e := range errs {
		all[i] = e
	}
	sorted := Errors(errors.Join(all...))
	for i, e := range sorted {
		all[i] = e
	}
	return errors.Join(all...)
}

// printable replaces what could move a terminal's cursor, keeping one rune for
// one so that columns still count.
func printable(line string) string {
	runes := []rune(line)
	if len(runes) > maxSnippetRunes {
		runes = runes[:maxSnippetRunes]
	}
	for i, r := range runes {
		switch {
		case r == '\t':
			runes[i] = ' '
		case !unicode.IsPrint(r):
			runes[i] = '\uFFFD'
		}
	}
	return string(runes)
}
