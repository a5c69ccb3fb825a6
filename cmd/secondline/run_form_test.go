package main

import (
	"crypto/rand"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/secondline-ops/secondline/controller/access"
	"github.com/secondline-ops/secondline/controller/api"
	"github.com/secondline-ops/secondline/controller/api/apitest"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/redact"
	"github.com/secondline-ops/secondline/runbooks"
)

// atTerminal answers the questions of a runbook's form by what is typed, and
// returns what was given and shown. The controller's API and the terminal are real.
func atTerminal(t *testing.T, typed string, given map[string]string, inputs ...runbooks.Input) (shown string, err error) {
	t.Helper()
	client := formClient(t, inputs...)
	person, program := openTerminal(t)
	if _, err := person.WriteString(typed); err != nil {
		t.Fatal(err)
	}
	seen := make(chan string)
	go func() { seen <- readUntil(person, "\x00") }()
	env := &environment{stdin: program, stdout: program, stderr: io.Discard, getenv: func(string) string { return "" }}
	r := &running{env: env, client: client, out: &format{word: "table"}, paint: paint{on: true}}
	err = r.fillIn(t.Context(), "give", "db1", given)
	if _, err := program.WriteString("\x00"); err != nil {
		t.Fatal(err)
	}
	shown = strings.ReplaceAll(<-seen, "\r", "")
	if strings.Contains(shown, "\uFFFD") || strings.Contains(shown, "= ") && !strings.Contains(shown, "\x1b[") {
		t.Errorf("the colours are broken or missing: %q", shown)
	}
	return regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(shown, ""), err
}

func readUntil(f *os.File, end string) string {
	var all strings.Builder
	part := make([]byte, 1000)
	for !strings.Contains(all.String(), end) {
		n, err := f.Read(part)
		all.Write(part[:n])
		if err != nil {
			break
		}
	}
	return all.String()
}

func formClient(t *testing.T, inputs ...runbooks.Input) *api.Client {
	t.Helper()
	svc := apitest.New(t)
	svc.Books = []*runbooks.Runbook{{Name: "give", Inputs: inputs}}
	server := httptest.NewServer(api.New(api.Options{
		Service: svc, Keeper: access.NewKeeper(svc, rand.Reader, apitest.Start), Now: apitest.Start,
		Intake: http.NotFoundHandler(), Metrics: http.NotFoundHandler(), Pages: http.NotFoundHandler(), Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}))
	t.Cleanup(server.Close)
	return api.NewClient(server.URL, redact.Secret(svc.Token(t, "ann", access.Operator, nil)), server.Client())
}

func someInputs() []runbooks.Input {
	return []runbooks.Input{
		{Name: "path", Type: runbooks.InputPath, Description: "the file to make", Required: true},
		{Name: "limit", Type: runbooks.InputPercent, Default: "85", Max: "99"},
		{Name: "scope", Type: runbooks.InputString, Choices: []string{"security", "all"}, Required: true},
		{Name: "ticket", Type: runbooks.InputString, Pattern: "[A-Z]+-[0-9]+", Required: true},
	}
}

func TestAPersonIsAskedForWhatIsMissing(t *testing.T) {
	t.Parallel()
	given := map[string]string{"ticket": "OPS-1"}
	shown, err := atTerminal(t, "var/log\n\n/var/log\neverything\nall\n", given, someInputs()...)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"path": "/var/log", "scope": "all", "ticket": "OPS-1"}, given); diff != "" {
		t.Errorf("given (-want +got):\n%s", diff)
	}
	for _, want := range []string{
		"path: the file to make\n  path\n", `path is "var/log", not an absolute path`, "path is missing",
		"  string, one of: security, all\n", `scope is "everything"; one of: security, all`,
	} {
		if !strings.Contains(shown, want) {
			t.Errorf("%q is not in:\n%s", want, shown)
		}
	}
	if strings.Contains(shown, "limit") || strings.Contains(shown, "ticket") {
		t.Errorf("it asked for what it has:\n%s", shown)
	}
}

func TestAWrongFlagIsAskedForAgain(t *testing.T) {
	t.Parallel()
	given := map[string]string{"path": "/a", "scope": "all", "ticket": "ops1"}
	shown, err := atTerminal(t, "OPS-7\n", given, someInputs()...)
	if err != nil || given["ticket"] != "OPS-7" || !strings.Contains(shown, `ticket is "ops1", which does not match [A-Z]+-[0-9]+`) {
		t.Errorf("given %v, %v:\n%s", given, err, shown)
	}
}

func TestWhoGivesNothingStartsNothing(t *testing.T) {
	t.Parallel()
	if _, err := atTerminal(t, "/a\n\x04", map[string]string{}, someInputs()...); !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), "input scope was not given") {
		t.Errorf("got %v", err)
	}
}

func TestWhatOnlyTheInventoryGivesIsNotAskedFor(t *testing.T) {
	t.Parallel()
	for name, in := range map[string]runbooks.Input{
		"input start cannot be told": {Name: "start", Type: runbooks.InputArgv, From: "entity.processes[0].start", Required: true},
		"input unit has nothing to choose from: entity.self_service.units is empty": {
			Name: "unit", Type: runbooks.InputUnit, ChoicesFrom: "entity.self_service.units", Required: true,
		},
	} {
		shown, err := atTerminal(t, "x\n", map[string]string{}, in)
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), name) || strings.Contains(shown, "= ") {
			t.Errorf("got %v:\n%s", err, shown)
		}
	}
}

func TestNobodyIsAskedWithoutATerminal(t *testing.T) {
	t.Parallel()
	env := nowhere(io.Discard)
	env.stdin = strings.NewReader("/a\nall\nOPS-1\n")
	given := map[string]string{}
	r := &running{env: env, client: formClient(t, someInputs()...), out: &format{word: "table"}}
	if err := r.fillIn(t.Context(), "give", "db1", given); err != nil || len(given) > 0 {
		t.Errorf("given %v, %v", given, err)
	}
}
