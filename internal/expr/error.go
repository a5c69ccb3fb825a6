package expr

import (
	"fmt"
	"strings"

	"github.com/secondline-ops/secondline/internal/fault"
)

// Error is a mistake in the text of an expression or a template. Line and
// Column start at 1 and columns count characters.
type Error struct {
	Line    int
	Column  int
	Message string
	Hint    string
	Snippet string // the source line
	Unknown string // the name that is not declared, if that is the mistake
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("%d:%d: %s", e.Line, e.Column, e.Message) }

// Fault implements fault.Classified.
func (e *Error) Fault() fault.Kind { return fault.Invalid }

// Detail returns the error as people read it: the message, the source line with
// a caret under the place, and the hint.
func (e *Error) Detail() string {
	text := e.Error()
	if e.Snippet != "" {
		text += "\n  " + e.Snippet + "\n  " + strings.Repeat(" ", max(0, e.Column-1)) + "^"
	}
	if e.Hint != "" {
		text += "\nhint: " + e.Hint
	}
	return text
}

// errorAt returns an error at the position in src.
func errorAt(src string, line, column int, message string) *Error {
	e := &Error{Line: max(1, line), Column: max(1, column), Message: message}
	if lines := strings.Split(src, "\n"); e.Line <= len(lines) {
		e.Snippet = strings.ReplaceAll(lines[e.Line-1], "\t", " ")
	}
	return e
}

// CannotTellError says that an expression has no value with what is known. Err
// is the context's error if that is why.
type CannotTellError struct {
	Why string
	Err error
}

// Error implements error.
func (e *CannotTellError) Error() string { return "cannot tell: " + e.Why }

// Unwrap returns the context's error, or nil.
func (e *CannotTellError) Unwrap() error { return e.Err }

// Unknown stands in place of a value that could not be found out. It may also
// stand inside an object; a list with an Unknown in it is unknown as a whole.
type Unknown struct {
	Why string `json:"unknown"`
}
