package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/controller/access"
	"github.com/secondline-ops/secondline/controller/api"
	"github.com/secondline-ops/secondline/controller/api/apitest"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/redact"
	"github.com/secondline-ops/secondline/runbooks"
)

// rolledOutTo is a rollout whose runs have ended so.
func rolledOutTo(t *testing.T, statuses ...runbooks.RunStatus) (*api.Client, api.RolloutStarted) {
	t.Helper()
	svc := apitest.New(t)
	server := httptest.NewServer(api.New(api.Options{
		Service: svc, Keeper: access.NewKeeper(svc, rand.Reader, apitest.Start), Now: apitest.Start,
		Intake: http.NotFoundHandler(), Metrics: http.NotFoundHandler(), Pages: http.NotFoundHandler(), Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}))
	t.Cleanup(server.Close)
	started := api.RolloutStarted{Rollout: "rollout-1"}
	for i, status := range statuses {
		in := svc.Seed(t, fmt.Sprint("on host ", i))
		run := &in.Runs[0]
		run.Status, run.EndedAt = status, apitest.Start()
		if err := svc.Update(t.Context(), func(tx store.Tx) error { return tx.SaveIncident(t.Context(), in) }); err != nil {
			t.Fatal(err)
		}
		started.Runs = append(started.Runs, api.RolloutRun{Target: fmt.Sprint("web", i), Wave: i + 1, Incident: in.ID, Run: run.ID})
	}
	return api.NewClient(server.URL, redact.Secret(svc.Token(t, "ann", access.Operator, nil)), server.Client()), started
}

// TestTheExitCodeOfARolloutIsThatOfItsWorstRun, wherever that is among them: a
// script that goes on after 0 must not go on after one run that failed.
func TestTheExitCodeOfARolloutIsThatOfItsWorstRun(t *testing.T) {
	t.Parallel()
	const good, bad, lost, denied = runbooks.RunVerified, runbooks.RunUndone, runbooks.RunUnknown, runbooks.RunRefused
	for _, c := range []struct {
		statuses []runbooks.RunStatus
		want     int
	}{
		{[]runbooks.RunStatus{good, good, good}, fault.ExitDone},
		{[]runbooks.RunStatus{bad, good, good}, fault.ExitFailed},
		{[]runbooks.RunStatus{good, bad, good}, fault.ExitFailed},
		{[]runbooks.RunStatus{good, good, bad}, fault.ExitFailed},
		{[]runbooks.RunStatus{good, denied, good}, fault.ExitRefused},
		{[]runbooks.RunStatus{lost, good, bad}, fault.ExitUnknown},
		{[]runbooks.RunStatus{bad, lost, good}, fault.ExitUnknown},
		{[]runbooks.RunStatus{denied, good, lost}, fault.ExitUnknown},
		{[]runbooks.RunStatus{denied, bad}, fault.ExitFailed},
		{[]runbooks.RunStatus{bad, denied}, fault.ExitFailed},
	} {
		client, started := rolledOutTo(t, c.statuses...)
		var out bytes.Buffer
		env := nowhere(&out)
		r := &running{env: env, client: client, out: &format{word: "table"}}
		err := r.finishAll(t.Context(), started)
		got := fault.ExitDone
		if code, ok := errors.AsType[exitCode](err); ok {
			got = int(code)
		} else if err != nil {
			t.Fatal(err)
		}
		if got != c.want {
			t.Errorf("%v: exit code %d, want %d", c.statuses, got, c.want)
		}
		for i, status := range c.statuses {
			if line := started.Runs[i].Run; !strings.Contains(out.String(), line) || !strings.Contains(out.String(), string(status)) {
				t.Errorf("%s, %s is not shown in:\n%s", line, status, out.String())
			}
		}
	}
}

func TestARolloutIsOneDocumentForPrograms(t *testing.T) {
	t.Parallel()
	client, started := rolledOutTo(t, runbooks.RunVerified, runbooks.RunUndone)
	var out bytes.Buffer
	r := &running{env: nowhere(&out), client: client, out: &format{word: "json"}}
	if err := r.finishAll(t.Context(), started); err != exitCode(fault.ExitFailed) { //nolint:errorlint // as execute sees it
		t.Errorf("got %v", err)
	}
	var got rolledOut
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || got.Rollout != "rollout-1" || len(got.Runs) != 2 || got.Runs[1].Run.Status != string(runbooks.RunUndone) {
		t.Errorf("%v: %+v\n%s", err, got, out.String())
	}
}

// TestNobodyIsAskedWhoseInputIsNoTerminal, although the person could see the
// question: what is piped in is no answer to it.
func TestNobodyIsAskedWhoseInputIsNoTerminal(t *testing.T) {
	t.Parallel()
	_, program := openTerminal(t)
	piped := strings.NewReader("/a\nall\nOPS-1\ny\n")
	env := &environment{stdin: piped, stdout: program, stderr: io.Discard, getenv: func(string) string { return "" }}
	r := &running{env: env, client: formClient(t, someInputs()...), out: &format{word: "table"}}
	given := map[string]string{}
	if err := r.fillIn(t.Context(), "give", "db1", given); err != nil || len(given) > 0 || piped.Len() != len("/a\nall\nOPS-1\ny\n") {
		t.Errorf("given %v, %v, %d bytes were left", given, err, piped.Len())
	}
	waiting := []api.PlanView{{Run: api.Run{ID: "run-1"}}}
	if yes, err := r.askAll(t.Context(), waiting); yes || err != exitCode(fault.ExitRefused) || piped.Len() != len("/a\nall\nOPS-1\ny\n") { //nolint:errorlint // as execute sees it
		t.Errorf("a yes was read from a pipe: %t, %v", yes, err)
	}
	if yes, err := r.askApproval(t.Context(), waiting[0]); yes || err != exitCode(fault.ExitRefused) { //nolint:errorlint // as execute sees it
		t.Errorf("a yes was read from a pipe: %t, %v", yes, err)
	}
}
