package controller

import (
	"net/http"
	"strings"
)

// refusal is why a delivery of signals was not accepted.
type refusal string

// The reasons; a closed list, because metrics use it as a label.
const (
	refusedUnauthenticated refusal = "unauthenticated" // no token, or not one for this source
	refusedTooLarge        refusal = "too_large"
	refusedOverloaded      refusal = "overloaded" // also a store that does not answer: the sender comes again
	refusedOther           refusal = "other"      // a source that does not exist, a body that ended early, a bug
)

func refusals() []refusal {
	return []refusal{refusedUnauthenticated, refusedTooLarge, refusedOverloaded, refusedOther}
}

// refusalOf is what the answer means; "" when the delivery was accepted.
func refusalOf(status int) refusal {
	switch {
	case status < http.StatusBadRequest:
		return ""
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return refusedUnauthenticated
	case status == http.StatusRequestEntityTooLarge:
		return refusedTooLarge
	case status == http.StatusServiceUnavailable:
		return refusedOverloaded
	}
	return refusedOther
}

// countRefusals counts deliveries that next refuses. It stands outside of
// everything, because tokens are looked at before intake is reached.
func countRefusals(next http.Handler, count func(refusal)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || !strings.HasPrefix(r.URL.Path, "/v1/signals/") {
			next.ServeHTTP(w, r)
			return
		}
		answer := &answerStatus{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(answer, r)
		if why := refusalOf(answer.status); why != "" {
			count(why)
		}
	})
}

// answerStatus remembers the status of an answer.
type answerStatus struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (a *answerStatus) WriteHeader(status int) {
	a.status = status
	a.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController set deadlines.
func (a *answerStatus) Unwrap() http.ResponseWriter { return a.ResponseWriter }
