package api

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/secondline-ops/secondline/internal/fault"
)

// retryAfterSeconds is what a caller who found no room is told to wait.
const retryAfterSeconds = 5

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the caller is gone when this goes wrong
}

// WriteError answers with the fault as DESIGN section 10 draws it. The text of
// an Internal one is not for strangers.
func WriteError(w http.ResponseWriter, err error) { writeError(w, err) }

func writeError(w http.ResponseWriter, err error) { writeErrorAs(w, err, fault.HTTPStatus) }

func writeErrorAs(w http.ResponseWriter, err error, status func(fault.Kind) int) {
	kind := fault.KindOf(err)
	info := ProblemInfo{Kind: string(kind), Message: Message(err)}
	if e, ok := errors.AsType[*fault.Error](err); ok {
		info.Hint, info.Field = e.Hint, e.Field
	}
	writeProblem(w, status(kind), info)
}

func writeProblem(w http.ResponseWriter, status int, info ProblemInfo) {
	switch status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer realm="secondline"`)
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", strconv.Itoa(retryAfterSeconds))
	}
	writeJSON(w, status, Problem{Error: info})
}

// Message is the sentence of an error for the person who caused it. Causes and
// what is not known to be for people stay inside.
func Message(err error) string {
	if e, ok := errors.AsType[*fault.Error](err); ok && e.Kind != fault.Internal {
		return e.Message
	}
	switch kind := fault.KindOf(err); kind {
	case fault.Internal:
		return internalMessage(err)
	case fault.Timeout:
		return "it took too long"
	case fault.Transient:
		return "it was interrupted"
	case fault.Invalid, fault.NotFound, fault.Conflict, fault.Unauthenticated, fault.Denied, fault.TooLarge,
		fault.Overloaded, fault.Unreachable, fault.OutcomeUnknown:
		return strings.ReplaceAll(string(kind), "_", " ")
	}
	return "something went wrong inside"
}

func internalMessage(err error) string {
	if e, ok := err.(*fault.Error); ok && e.Err == nil { //nolint:errorlint // only the outermost is known to be written for the caller
		return e.Message
	}
	return "something went wrong inside"
}

// decode reads the body of what a person says. A field that is not known is a
// mistake that must not be passed over: "dry-run" is not "dry_run". An empty
// body says nothing, which is allowed.
func decode[T any](c *call) (T, error) {
	var v T
	d := json.NewDecoder(http.MaxBytesReader(c.w, c.Body, maxActBytes))
	d.DisallowUnknownFields()
	err := d.Decode(&v)
	if errors.Is(err, io.EOF) {
		return v, nil
	}
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("more than one value")
		}
	}
	if err == nil {
		return v, nil
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return v, fault.New(fault.TooLarge, "the body is larger than %d bytes", maxActBytes)
	}
	bad := fault.New(fault.Invalid, "the body is not as expected: %s", strings.TrimPrefix(err.Error(), "json: "))
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return v, bad.WithField(e.Field)
	}
	if _, name, ok := strings.Cut(err.Error(), "unknown field "); ok {
		return v, bad.WithField(strings.Trim(name, `"`))
	}
	return v, bad
}

// known refuses query parameters that the call does not have, for the same
// reason: a misspelt filter would show everything.
func (c *call) known(names ...string) error {
	for name := range c.URL.Query() {
		found := false
		for _, n := range names {
			found = found || n == name
		}
		if !found {
			return fault.New(fault.Invalid, "there is no parameter %q", name).WithField(name).WithHint("there are: %s", strings.Join(names, ", "))
		}
	}
	return nil
}

// number reads a query parameter; without it, it is 0.
func (c *call) number(name string) (int64, error) {
	text := c.URL.Query().Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, fault.New(fault.Invalid, "%q is not a number", text).WithField(name)
	}
	return n, nil
}

// otherMethods returns the methods that the path does have; "" when there is no
// such path.
func (s *Server) otherMethods(r *http.Request) string {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		probe := r.Clone(r.Context())
		probe.Method = method
		if _, pattern := s.mux.Handler(probe); strings.HasPrefix(pattern, method+" ") {
			allowed = append(allowed, method)
		}
	}
	return strings.Join(allowed, ", ")
}
