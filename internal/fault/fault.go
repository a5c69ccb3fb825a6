// Package fault is the closed list of ways in which work can go wrong. A kind
// decides what happens next (retry, HTTP status, exit code, a person); the
// text is for people only. It knows no other package of the project.
package fault

import (
	"context"
	"errors"
	"fmt"
)

// Kind is the class of a failure. The list is closed: every table in this
// package covers it, and a test proves that.
type Kind string

// The kinds, in the order in which the documentation lists them.
const (
	Invalid         Kind = "invalid"         // the input is wrong; the same call fails again
	NotFound        Kind = "not_found"       // the thing named does not exist
	Conflict        Kind = "conflict"        // someone else changed it first, or it is in the wrong state
	Unauthenticated Kind = "unauthenticated" // who calls is not known
	Denied          Kind = "denied"          // who calls is known and may not, or a limit refuses
	TooLarge        Kind = "too_large"       // the input exceeds a written limit
	Overloaded      Kind = "overloaded"      // no room now; the same call later will do
	Unreachable     Kind = "unreachable"     // the other side could not be reached at all
	Timeout         Kind = "timeout"         // the other side did not answer in time
	OutcomeUnknown  Kind = "outcome_unknown" // it may or may not have happened
	Transient       Kind = "transient"       // it failed in a way that passes by itself
	Internal        Kind = "internal"        // a bug or a broken environment; text is for the operator's log
)

// Kinds returns the closed list.
func Kinds() []Kind {
	return []Kind{
		Invalid, NotFound, Conflict, Unauthenticated, Denied, TooLarge,
		Overloaded, Unreachable, Timeout, OutcomeUnknown, Transient, Internal,
	}
}

// Error is a failure with its kind, a sentence for the person who caused it,
// and, where there is one, the hint what to do next and the field at fault.
type Error struct {
	Kind    Kind
	Message string
	Hint    string
	Field   string
	Err     error // the cause, for errors.Is and the operator's log; never shown to strangers
}

// Error implements error.
func (e *Error) Error() string {
	if e.Err != nil {
		return e.Message + ": " + e.Err.Error()
	}
	return e.Message
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// WithHint returns a copy of e that says what to do next.
func (e *Error) WithHint(format string, args ...any) *Error {
	c := *e
	c.Hint = fmt.Sprintf(format, args...)
	return &c
}

// WithField returns a copy of e that names the field at fault.
func (e *Error) WithField(field string) *Error {
	c := *e
	c.Field = field
	return &c
}

// New returns an Error of the kind with the formatted sentence. To keep a
// cause, use Wrap.
func New(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// Wrap returns an Error of the kind that says what was being done when err
// happened.
func Wrap(kind Kind, err error, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...), Err: err}
}

// Classified is an error of another package that knows its own kind.
type Classified interface {
	error
	Fault() Kind
}

// KindOf returns the kind of err: that of the outermost Error in its chain,
// that of a Classified error, Timeout for an expired deadline, Transient for a cancelled context, and
// Internal for everything this package does not know. It is "" for nil.
func KindOf(err error) Kind {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	if e, ok := errors.AsType[Classified](err); ok {
		return e.Fault()
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return Timeout
	case errors.Is(err, context.Canceled):
		return Transient
	}
	return Internal
}

// Is reports whether err is of the kind.
func Is(err error, kind Kind) bool { return err != nil && KindOf(err) == kind }
