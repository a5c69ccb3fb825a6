package intake_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/controller/intake"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/internal/fault"
)

// answer is what the contract promises; unknown fields are refused, so that
// they are added on purpose.
type answer struct {
	Accepted int    `json:"accepted"`
	BodyID   string `json:"body_id"`
	Unmapped bool   `json:"unmapped"`
	Signals  []struct {
		ID         string  `json:"id"`
		IncidentID *string `json:"incident_id"`
		Action     string  `json:"action"`
		Reason     string  `json:"reason"`
	} `json:"signals"`
	Error *struct {
		Kind, Message, Hint, Field *string
	} `json:"error"`
}

func post(t *testing.T, url string, body io.Reader) (int, http.Header, answer) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, body)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	d := json.NewDecoder(response.Body)
	d.DisallowUnknownFields()
	var a answer
	if err := d.Decode(&a); err != nil {
		t.Fatalf("%s: %v", response.Status, err)
	}
	return response.StatusCode, response.Header, a
}

func TestHandler(t *testing.T) {
	t.Parallel()
	db := openStore(t)
	server := httptest.NewServer(intake.Handler(newInbox(db)))
	t.Cleanup(server.Close)
	full := httptest.NewServer(intake.Handler(newInbox(refusing{})))
	t.Cleanup(full.Close)

	t.Run("accepted", func(t *testing.T) {
		t.Parallel()
		status, _, a := post(t, server.URL+"/v1/signals/alertmanager", strings.NewReader(twoAlerts))
		if status != http.StatusAccepted || a.Accepted != 2 || len(a.Signals) != 2 || a.Signals[1].IncidentID != nil ||
			a.Signals[1].Action != "stored" || a.Signals[1].Reason == "" || a.Unmapped {
			t.Fatalf("%d %+v", status, a)
		}
		if _, err := db.FindBody(t.Context(), a.BodyID); err != nil || !strings.HasPrefix(a.Signals[0].ID, a.BodyID) {
			t.Fatalf("body %s of %s: %v", a.BodyID, a.Signals[0].ID, err)
		}
	})
	t.Run("in pieces of unknown length", func(t *testing.T) {
		t.Parallel()
		status, _, a := post(t, server.URL+"/v1/signals/generic/backup.1", io.MultiReader(strings.NewReader(`{"title"`), strings.NewReader(`:"x"}`)))
		if status != http.StatusAccepted || a.Accepted != 1 {
			t.Fatalf("%d %+v", status, a)
		}
	})
	t.Run("not understood", func(t *testing.T) {
		t.Parallel()
		status, _, a := post(t, server.URL+"/v1/signals/alertmanager", strings.NewReader("<html>"))
		if status != http.StatusAccepted || a.Accepted != 0 || !a.Unmapped || a.Signals == nil {
			t.Fatalf("%d %+v", status, a)
		}
	})
	t.Run("overload is 503, never 429", func(t *testing.T) {
		t.Parallel()
		status, header, a := post(t, full.URL+"/v1/signals/alertmanager", strings.NewReader(twoAlerts))
		if status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" || *a.Error.Kind != "overloaded" || *a.Error.Hint == "" {
			t.Fatalf("%d %v %+v", status, header, a)
		}
	})
	t.Run("too large", func(t *testing.T) {
		t.Parallel()
		for name, body := range map[string]io.Reader{
			"as announced":       bytes.NewReader(make([]byte, intake.MaxBodyBytes+1)),
			"without announcing": io.MultiReader(bytes.NewReader(make([]byte, intake.MaxBodyBytes+1))),
		} {
			status, _, a := post(t, server.URL+"/v1/signals/alertmanager", body)
			if status != http.StatusRequestEntityTooLarge || *a.Error.Kind != "too_large" {
				t.Errorf("%s: %d %+v", name, status, a)
			}
		}
	})
	t.Run("no such source", func(t *testing.T) {
		t.Parallel()
		status, _, a := post(t, server.URL+"/v1/signals/alertmanagr", strings.NewReader(twoAlerts))
		if status != http.StatusNotFound || *a.Error.Field != "source" || !strings.Contains(*a.Error.Hint, "alertmanager") {
			t.Fatalf("%d %+v", status, a)
		}
	})
	t.Run("only posted", func(t *testing.T) {
		t.Parallel()
		response, err := http.Get(server.URL + "/v1/signals/alertmanager")
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusMethodNotAllowed {
			t.Fatal(response.Status)
		}
	})
}

// TestStoreThatDoesNotAnswerIsToBeAskedAgain: Retry-After and 503, whatever the
// store suffers from, as long as it may pass; nothing was accepted.
func TestStoreThatDoesNotAnswerIsToBeAskedAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err  error
		kind fault.Kind
	}{
		"gone":         {fault.Wrap(fault.Unreachable, errors.New("dial tcp 10.0.0.7:5432: refused"), "append: the PostgreSQL store does not answer"), fault.Unreachable},
		"slow":         {fmt.Errorf("append: %w", context.DeadlineExceeded), fault.Timeout},
		"disk full":    {fault.New(fault.Overloaded, "append: the store has no room"), fault.Overloaded},
		"interrupted":  {fault.New(fault.Transient, "the store is closed"), fault.Transient},
		"the own text": {fmt.Errorf("append: %w", fault.New(fault.Unreachable, "no answer")), fault.Unreachable},
	} {
		server := httptest.NewServer(intake.Handler(newInbox(failing{c.err})))
		t.Cleanup(server.Close)
		status, header, a := post(t, server.URL+"/v1/signals/alertmanager", strings.NewReader(twoAlerts))
		if status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" || *a.Error.Kind != string(c.kind) || a.Accepted != 0 {
			t.Errorf("%s: %d %v %+v", name, status, header, a)
		}
		if strings.Contains(*a.Error.Message, "10.0.0.7") {
			t.Errorf("%s: a stranger is told %q", name, *a.Error.Message)
		}
	}
}

type failing struct{ err error }

func (f failing) AppendBody(context.Context, store.Body) error { return f.err }

// TestErrorsKeepInternalsInside: an unclassified error's text may hold paths
// and SQL.
func TestErrorsKeepInternalsInside(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(intake.Handler(newInbox(leaking{})))
	t.Cleanup(server.Close)
	status, _, a := post(t, server.URL+"/v1/signals/alertmanager", strings.NewReader(twoAlerts))
	if status != http.StatusInternalServerError || strings.Contains(*a.Error.Message, "secret") {
		t.Fatalf("%d %q", status, *a.Error.Message)
	}
}
