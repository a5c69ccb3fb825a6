package webhook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/controller/notify"
	"github.com/secondline-ops/secondline/internal/fault"
)

func message() notify.Message {
	return notify.Message{ID: "job-1", Kind: notify.Escalated, Subject: "<b>&\r\nX: y", Text: "text", Link: "https://s/incidents/42", Incident: notify.Incident{ID: "i", Number: 42}}
}

func sender(t *testing.T, url string) *Sender {
	t.Helper()
	s, err := New(Options{Name: "ops", URL: url, Secret: "k3y", Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPostsSignedJSON(t *testing.T) {
	t.Parallel()
	got := make(chan error, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got <- nil
		data, _ := io.ReadAll(r.Body)
		stamp, mac, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("X-Secondline-Signature"), "t="), ",v1=")
		want := hmac.New(sha256.New, []byte("k3y"))
		want.Write([]byte(stamp + "." + string(data)))
		if mac != hex.EncodeToString(want.Sum(nil)) {
			t.Errorf("signature %q is wrong", mac)
		}
		var b map[string]any
		if err := json.Unmarshal(data, &b); err != nil || b["id"] != "job-1" || b["kind"] != "escalated" || b["schema"] != schema || b["subject"] != "<b>&\r\nX: y" {
			t.Errorf("body %s: %v", data, err)
		}
		if r.Method != http.MethodPost || r.Header.Get("Idempotency-Key") != "job-1" || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("request %s %v", r.Method, r.Header)
		}
	}))
	defer server.Close()
	if err := sender(t, server.URL).Send(t.Context(), message()); err != nil {
		t.Fatal(err)
	}
	<-got
}

func TestFaultKindDecidesAboutAnotherTry(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]fault.Kind{
		200: "", 204: "", 302: fault.Invalid, 400: fault.Invalid, 401: fault.Invalid, 404: fault.Invalid, 410: fault.Invalid,
		408: fault.Timeout, 429: fault.Overloaded, 500: fault.Transient, 503: fault.Transient,
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/other")
			w.WriteHeader(status)
		}))
		if err := sender(t, server.URL).Send(t.Context(), message()); fault.KindOf(err) != want {
			t.Errorf("%d gives %v, want %q", status, err, want)
		}
		server.Close()
	}
}

func TestUnreachableAndSlow(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	err := sender(t, gone.URL+"/T0KEN").Send(t.Context(), message())
	if !fault.Is(err, fault.Unreachable) || strings.Contains(err.Error(), "T0KEN") {
		t.Errorf("gone: %v", err)
	}
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	defer slow.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := sender(t, slow.URL).Send(ctx, message()); !fault.Is(err, fault.Timeout) {
		t.Errorf("slow: %v", err)
	}
}

func TestFollowsNoRedirectToAnotherHost(t *testing.T) {
	t.Parallel()
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("another host got the message") }))
	defer other.Close()
	moved := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/out":
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		case "/moved":
			http.Redirect(w, r, "/here", http.StatusPermanentRedirect)
		case "/here":
			moved++
		}
	}))
	defer server.Close()
	if err := sender(t, server.URL+"/out").Send(t.Context(), message()); !fault.Is(err, fault.Invalid) {
		t.Errorf("redirect out: %v", err)
	}
	if err := sender(t, server.URL+"/moved").Send(t.Context(), message()); err != nil || moved != 1 {
		t.Errorf("redirect on the same host: %v, arrived %d times", err, moved)
	}
}

func TestNamesEveryBadField(t *testing.T) {
	t.Parallel()
	_, err := New(Options{URL: "ftp://user:pa55@h/x", Timeout: -1})
	for _, want := range []string{"name", "scheme", "timeout"} {
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "pa55") {
			t.Errorf("%v does not name %s", err, want)
		}
	}
}
