package job

import (
	"errors"
	"io"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/secondline-ops/secondline/internal/fault"
)

// toStatus says a failure in gRPC's words, so that it keeps its kind on the way.
func toStatus(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return nil
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	return status.Error(codeOf(fault.KindOf(err)), publicText(err))
}

// publicText is what the other side may read of an error: its sentence and its
// hint, never the cause, and nothing at all of what is only for the operator.
func publicText(err error) string {
	e, ok := errors.AsType[*fault.Error](err)
	switch {
	case fault.Is(err, fault.Internal):
		return "an internal error; the controller's log says more"
	case !ok:
		return err.Error()
	case e.Hint != "":
		return e.Message + " (" + e.Hint + ")"
	}
	return e.Message
}

// kindCodes pairs each kind with a code of its own, so that nothing is lost on the
// way. gRPC itself says Unavailable, DeadlineExceeded, Canceled and
// ResourceExhausted in the sense that they have here.
func kindCodes() map[fault.Kind]codes.Code {
	return map[fault.Kind]codes.Code{
		fault.Invalid:         codes.InvalidArgument,
		fault.NotFound:        codes.NotFound,
		fault.Conflict:        codes.Aborted,
		fault.Unauthenticated: codes.Unauthenticated,
		fault.Denied:          codes.PermissionDenied,
		fault.TooLarge:        codes.OutOfRange,
		fault.Overloaded:      codes.ResourceExhausted,
		fault.Unreachable:     codes.Unavailable,
		fault.Timeout:         codes.DeadlineExceeded,
		fault.OutcomeUnknown:  codes.DataLoss,
		fault.Transient:       codes.Canceled,
		fault.Internal:        codes.Internal,
	}
}

func codeOf(k fault.Kind) codes.Code {
	if c, ok := kindCodes()[k]; ok {
		return c
	}
	return codes.Internal
}

// fromStatus is the way back.
func fromStatus(err error, doing string) error {
	if err == nil {
		return nil
	}
	st, ok := status.FromError(err)
	if !ok {
		return fault.Wrap(fault.KindOf(err), err, "%s", doing)
	}
	for kind, code := range kindCodes() {
		if code == st.Code() {
			return fault.New(kind, "%s: %s", doing, st.Message())
		}
	}
	return fault.New(fault.Internal, "%s: %s", doing, st.Message())
}
