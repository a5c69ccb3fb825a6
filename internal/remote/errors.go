package remote

import (
	"fmt"
	"strings"

	"github.com/secondline-ops/secondline/internal/fault"
)

// Class says how reaching a server, or running something on it, failed.
type Class string

// The classes of failure. The list is closed.
const (
	Unreachable  Class = "unreachable"   // no route, no name, connection refused by the network, jump host down
	Refused      Class = "refused"       // the port answered with a reset, or the server refused the session
	AuthFailed   Class = "auth"          // every offered key was refused; may pass when authorized_keys is written late
	HostKey      Class = "host_key"      // the host key is unknown or has changed
	TimedOut     Class = "timed_out"     // no answer in time; the process tree was ended as far as it could be reached
	Lost         Class = "lost"          // the connection broke after the command was sent
	ExitStatus   Class = "exit_status"   // the command ran and said no
	Signalled    Class = "signal"        // the command was ended by a signal
	NotPermitted Class = "not_permitted" // the gate, sudo -n or the file mode refused
	NotExist     Class = "not_exist"     // the file or program is not there
	InvalidCall  Class = "invalid"       // the command itself is malformed
	BrokenServer Class = "broken_server" // the server's answer could not be understood
)

// MayHaveRun reports whether, after a failure of the class, the command may
// have had its effect. Such an outcome is unknown until somebody looks.
func (c Class) MayHaveRun() bool {
	switch c {
	case TimedOut, Lost, Signalled, ExitStatus, BrokenServer:
		return true
	case Unreachable, Refused, AuthFailed, HostKey, NotPermitted, NotExist, InvalidCall:
		return false
	}
	return true
}

// Error is a classified failure to reach a server or to run something on it.
type Error struct {
	Class  Class
	Target string
	Doing  string  // "dial", "run logrotate", "read /etc/x"
	Hint   string  // what to do next, where that is known
	Result *Result // for ExitStatus and Signalled
	Err    error
}

// Error implements error.
func (e *Error) Error() string {
	text := e.Doing
	if e.Target != "" {
		text += " on " + e.Target
	}
	if text != "" {
		text += ": "
	}
	switch {
	case e.Result != nil && e.Class == Signalled:
		text += "ended by signal " + e.Result.Signal
	case e.Result != nil && e.Class == ExitStatus:
		text += fmt.Sprintf("exit status %d", e.Result.ExitCode) + e.Result.complaint()
	case e.Err != nil:
		text += e.Err.Error()
	default:
		text += string(e.Class)
	}
	return text
}

// maxComplaintBytes bounds what an error repeats of a command's words: a line of
// a terminal or two.
const maxComplaintBytes = 300

// complaint is the first line of what the command wrote to its standard error,
// after a colon; "" when it wrote nothing.
func (r Result) complaint() string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(r.Stderr)), "\n")
	if line == "" {
		return ""
	}
	if len(line) > maxComplaintBytes {
		line = line[:maxComplaintBytes] + "…"
	}
	return ": " + strings.ToValidUTF8(line, "\uFFFD")
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Fault returns the kind of failure for the rest of the system.
func (e *Error) Fault() fault.Kind {
	switch e.Class {
	case Unreachable, Refused:
		return fault.Unreachable
	case AuthFailed:
		return fault.Unauthenticated
	case HostKey, NotPermitted:
		return fault.Denied
	case TimedOut:
		return fault.Timeout
	case Lost:
		return fault.OutcomeUnknown
	case NotExist:
		return fault.NotFound
	case InvalidCall:
		return fault.Invalid
	case ExitStatus, Signalled, BrokenServer:
		return fault.Internal
	}
	return fault.Internal
}
