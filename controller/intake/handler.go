package intake

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"

	"github.com/secondline-ops/secondline/internal/fault"
)

// retryAfterSeconds is when a sender should come back after an overload, or
// when the store did not answer.
// Alertmanager has its own backoff and ignores it.
const retryAfterSeconds = 5

// Handler answers POST /v1/signals/{source}. Who may post is decided by the
// wrapper outside.
func Handler(inbox *Inbox) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/signals/{source...}", func(w http.ResponseWriter, r *http.Request) {
		body, err := readBody(w, r)
		if err != nil {
			writeError(w, err)
			return
		}
		receipt, err := inbox.Accept(r.Context(), r.PathValue("source"), r.Header.Get("Content-Type"), body)
		if err != nil {
			writeError(w, err)
			return
		}
		answer := acceptedJSON(receipt)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
		w.WriteHeader(http.StatusAccepted)
		_, _ = w.Write(answer) // the body is stored; a sender that left will send it again
	})
	return mux
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.ContentLength > MaxBodyBytes {
		return nil, tooLarge()
	}
	limited := http.MaxBytesReader(w, r.Body, MaxBodyBytes)
	var body []byte
	var err error
	if r.ContentLength >= 0 {
		body = make([]byte, r.ContentLength)
		_, err = io.ReadFull(limited, body)
	} else {
		body, err = io.ReadAll(limited)
	}
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return nil, tooLarge()
	}
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "the body ended early")
	}
	return body, nil
}

// acceptedJSON writes the answer by hand: for 500 alerts encoding/json would
// cost more than storing them.
func acceptedJSON(r Receipt) []byte {
	const perSignal = 160
	out := make([]byte, 0, 64+perSignal*len(r.Signals))
	out = append(out, `{"accepted":`...)
	out = strconv.AppendInt(out, int64(len(r.Signals)), 10)
	out = append(out, `,"body_id":"`+r.BodyID+`","unmapped":`...)
	out = strconv.AppendBool(out, r.Unmapped)
	out = append(out, `,"signals":[`...)
	for i := range r.Signals {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, `{"id":"`...)
		out = append(out, r.Signals[i].ID...) // hex, a dash and digits: nothing to escape
		out = append(out, `","incident_id":null,"action":"stored","reason":"`+reasonStored+`"}`...)
	}
	return append(out, "]}\n"...)
}

// problem is an error as the API shows it.
type problem struct {
	Kind    fault.Kind `json:"kind"`
	Message string     `json:"message"`
	Hint    string     `json:"hint"`
	Field   string     `json:"field"`
}

func writeError(w http.ResponseWriter, err error) {
	kind := fault.KindOf(err)
	p := problem{Kind: kind, Message: "the signal could not be taken in"} // an unclassified text is for the operator's log only
	if f, ok := errors.AsType[*fault.Error](err); ok && kind != fault.Internal {
		p.Message, p.Hint, p.Field = f.Message, f.Hint, f.Field
	}
	status := fault.DeliveryStatus(kind)
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", strconv.Itoa(retryAfterSeconds))
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]problem{"error": p}) // the sender left: nothing to be done
}
