package fault

import "net/http"

// Exit codes of the command line, fixed by DESIGN section 10.
const (
	ExitDone        = 0
	ExitFailed      = 1
	ExitUsage       = 2
	ExitUnknown     = 3
	ExitRefused     = 4
	ExitNotFound    = 5
	ExitUnreachable = 6
)

// HTTPStatus returns the status that answers a request which failed with the
// kind. Overload is 503, never 429: Alertmanager gives up on 429.
func HTTPStatus(kind Kind) int {
	switch kind {
	case Invalid:
		return http.StatusBadRequest
	case NotFound:
		return http.StatusNotFound
	case Conflict:
		return http.StatusConflict
	case Unauthenticated:
		return http.StatusUnauthorized
	case Denied:
		return http.StatusForbidden
	case TooLarge:
		return http.StatusRequestEntityTooLarge
	case Overloaded, Transient:
		return http.StatusServiceUnavailable
	case Unreachable:
		return http.StatusBadGateway
	case Timeout:
		return http.StatusGatewayTimeout
	case OutcomeUnknown, Internal:
		return http.StatusInternalServerError
	}
	return http.StatusInternalServerError
}

// DeliveryStatus returns the status that answers a delivery of signals which
// failed with the kind: 503 for all that may pass by itself, since it is the one
// status on which every sender keeps what it has and comes again.
func DeliveryStatus(kind Kind) int {
	if Retryable(kind) {
		return http.StatusServiceUnavailable
	}
	return HTTPStatus(kind)
}

// ExitCode returns the process exit code for the kind.
func ExitCode(kind Kind) int {
	switch kind {
	case Invalid, TooLarge:
		return ExitUsage
	case NotFound:
		return ExitNotFound
	case Conflict, Denied, Unauthenticated:
		return ExitRefused
	case OutcomeUnknown:
		return ExitUnknown
	case Unreachable:
		return ExitUnreachable
	case Overloaded, Timeout, Transient, Internal:
		return ExitFailed
	}
	return ExitFailed
}

// Retryable reports whether the same call may succeed later without anyone
// changing anything. OutcomeUnknown is not: it must be looked at first.
func Retryable(kind Kind) bool {
	switch kind {
	case Overloaded, Unreachable, Timeout, Transient:
		return true
	case Invalid, NotFound, Conflict, Unauthenticated, Denied, TooLarge, OutcomeUnknown, Internal:
		return false
	}
	return false
}

// NeedsHuman reports whether a failure of the kind, met while working on an
// incident, is for a person and not for another try.
func NeedsHuman(kind Kind) bool {
	switch kind {
	case Unauthenticated, Denied, OutcomeUnknown, Internal, Invalid:
		return true
	case NotFound, Conflict, TooLarge, Overloaded, Unreachable, Timeout, Transient:
		return false
	}
	return true
}
