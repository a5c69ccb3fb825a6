package api_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/secondline-ops/secondline/controller/access"
	"github.com/secondline-ops/secondline/controller/api"
	"github.com/secondline-ops/secondline/controller/api/apitest"
	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/redact"
	"github.com/secondline-ops/secondline/runbooks"
)

var update = flag.Bool("update", false, "write the golden files anew")

type rig struct {
	*httptest.Server
	svc *apitest.Service
}

func newRig(t *testing.T) *rig {
	t.Helper()
	svc := apitest.New(t)
	srv := httptest.NewServer(api.New(api.Options{
		Service: svc, Keeper: access.NewKeeper(svc, rand.Reader, apitest.Start), Now: apitest.Start,
		Intake: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				api.WriteError(w, fault.New(fault.TooLarge, "too large"))
				return
			}
			w.WriteHeader(http.StatusAccepted)
			_ = json.NewEncoder(w).Encode(map[string]any{"accepted": len(body), "source": r.PathValue("source")})
		}),
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "up 1\n") }),
		Pages:   http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "a page") }),
		Logger:  slog.New(slog.NewTextHandler(t.Output(), nil)),
	}))
	t.Cleanup(srv.Close)
	return &rig{srv, svc}
}

func (r *rig) client(t *testing.T, role access.Role) *api.Client {
	t.Helper()
	return api.NewClient(r.URL, redact.Secret(r.svc.Token(t, "ann", role, nil)), r.Server.Client())
}

// call sends a request by hand and returns the status and the body.
func (r *rig) call(t *testing.T, method, path, token, body string) (answer, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, r.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := r.Server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header}, string(raw)
}

type answer struct {
	StatusCode int
	Header     http.Header
}

// The form of every answer is held by a golden file; ids that are random are
// replaced.
func TestGolden(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ctx := t.Context()
	in := r.svc.Seed(t, `Disk <b>"filling"</b>`)
	if err := r.svc.AppendBody(ctx, store.Body{ID: "body-1", Source: "alertmanager", ContentType: "application/json", Data: []byte(`{"alerts":[]}`), ReceivedAt: apitest.Start(), Status: store.BodyPending}); err != nil {
		t.Fatal(err)
	}
	if err := r.svc.SaveAgent(ctx, store.Agent{ID: "site-a", Host: "db1", Version: "1", Mode: "act", EnrolledAt: apitest.Start()}); err != nil {
		t.Fatal(err)
	}
	if err := r.svc.SaveCheck(ctx, store.CheckState{Name: "disk", Target: "db1", DueAt: apitest.Start(), Truth: "true"}); err != nil {
		t.Fatal(err)
	}
	r.svc.Books = []*runbooks.Runbook{{Name: "truncate-runaway-log", Title: "Cut", Inputs: []runbooks.Input{{Name: "path", Type: runbooks.InputPath, Required: true}}, Steps: []runbooks.Step{{ID: "cut", Action: "run", Effect: runbooks.Write}}, Autonomy: runbooks.Approve, Digest: "sha256:77aa"}}
	token := r.svc.Token(t, "ann", access.Engineer, nil) // sees all there is
	run, sig := in.Runs[0].ID, in.Symptoms[0].Signal
	check := func(name, path string) {
		t.Helper()
		resp, body := r.call(t, http.MethodGet, path, token, "")
		if resp.StatusCode/100 != 2 && !strings.HasPrefix(name, "error") {
			t.Fatalf("%s: %d %s", path, resp.StatusCode, body)
		}
		if resp.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s may be cached", path)
		}
		for id, word := range map[string]string{in.ID: "INC", run: "RUN", sig: "SIG"} {
			body = strings.ReplaceAll(body, id, word)
		}
		var out bytes.Buffer
		if err := json.Indent(&out, []byte(body), "", " "); err != nil {
			t.Fatalf("%s: %v in %s", path, err, body)
		}
		text := regexp.MustCompile(`"identity": "[A-Z2-7]{26}"`).ReplaceAllString(out.String(), `"identity": "ID"`)
		file := filepath.Join("testdata", name+".golden.json")
		if *update {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(text, string(want)); d != "" {
			t.Errorf("%s: -got +want\n%s", path, d)
		}
		if lists := regexp.MustCompile(`"(signals|symptoms|hypotheses|for|against|cannot_tell|chain|runs|steps|approvals|tickets|facts|tried|cures|locks|because|events|targets|links|resources|preconditions|notified|measured_list)": null`); lists.MatchString(text) {
			t.Errorf("%s has a null list: %s", path, lists.FindString(text))
		}
	}
	check("incidents", "/v1/incidents?status=open&limit=5")
	check("incident", "/v1/incidents/1")
	check("events", "/v1/incidents/1/events")
	check("why", "/v1/incidents/"+in.ID+"/why")
	check("signals", "/v1/signals?incident=1")
	check("signal", "/v1/signals/"+sig)
	check("runs", "/v1/runs?status=awaiting_approval")
	check("plan", "/v1/runs/"+run+"/plan")
	check("runbooks", "/v1/runbooks")
	check("runbook_stats", "/v1/runbooks/stats?runbook=truncate-runaway-log&since=2020-01-01T00:00:00Z")
	check("catalogue", "/v1/catalogue")
	check("causes", "/v1/causes")
	check("inventory", "/v1/inventory")
	check("agents", "/v1/agents")
	check("checks", "/v1/checks")
	check("error_parameter", "/v1/incidents?stauts=open")
	check("error_absent", "/v1/incidents/77")
	if err := r.svc.Approve(ctx, run, apitest.Plan().Digest, "ann", "go"); err != nil {
		t.Fatal(err)
	}
	if err := r.svc.Finish(ctx, run); err != nil {
		t.Fatal(err)
	}
	check("run", "/v1/runs/"+run)
}

// Each route is asked with each role, and with none: the table of who may what,
// written down a second time.
func TestWhoMayWhat(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	in := r.svc.Seed(t, "Disk filling")
	tokens := map[access.Role]string{}
	for _, role := range []access.Role{access.Viewer, access.Operator, access.Engineer, access.Admin, access.Webhook} {
		tokens[role] = r.svc.Token(t, string(role), role, nil)
	}
	run := in.Runs[0].ID
	for _, c := range []struct{ call, may string }{
		{"GET /v1/incidents", "VOEA"},
		{"GET /v1/incidents/1", "VOEA"},
		{"GET /v1/incidents/1/events", "VOEA"},
		{"GET /v1/incidents/1/bundle", "VOEA"},
		{"GET /v1/incidents/1/why", "VOEA"},
		{"GET /v1/signals", "VOEA"},
		{"GET /v1/signals/" + in.Symptoms[0].Signal, "VOEA"},
		{"GET /v1/signals/" + in.Symptoms[0].Signal + "/body", "EA"},
		{"GET /v1/signals/" + in.Symptoms[0].Signal + "/why", "VOEA"},
		{"GET /v1/runs", "VOEA"},
		{"GET /v1/runs/" + run, "VOEA"},
		{"GET /v1/runs/" + run + "/plan", "VOEA"},
		{"GET /v1/runbooks", "VOEA"},
		{"GET /v1/causes", "VOEA"},
		{"GET /v1/inventory", "VOEA"},
		{"GET /v1/agents", "VOEA"},
		{"GET /v1/checks", "VOEA"},
		{"POST /v1/signals/alertmanager", "AW"},
		{"POST /v1/signals/generic/backup", "AW"},
		{"POST /v1/incidents/1/ack", "OEA"},
		{"POST /v1/incidents/1/resolve", "OEA"},
		{"POST /v1/incidents/1/reopen", "OEA"},
		{"POST /v1/incidents/1/escalate", "OEA"},
		{"POST /v1/incidents/1/note", "OEA"},
		{"POST /v1/runs", "OEA"},
		{"POST /v1/runs/" + run + "/approve", "OEA"},
		{"POST /v1/runs/" + run + "/reject", "OEA"},
		{"POST /v1/runs/" + run + "/cancel", "OEA"},
		{"POST /v1/agents/enrol-token", "A"},
		{"POST /v1/agents/site-a/revoke", "A"},
	} {
		method, path, _ := strings.Cut(c.call, " ")
		if resp, body := r.call(t, method, path, "", `{}`); resp.StatusCode != http.StatusUnauthorized || !strings.Contains(body, `"kind":"unauthenticated"`) {
			t.Errorf("%s without a token: %d %s", c.call, resp.StatusCode, body)
		}
		for role, token := range tokens {
			may := strings.Contains(c.may, strings.ToUpper(string(role)[:1]))
			// A body that is no JSON object: who may is told so, and nothing happens.
			resp, body := r.call(t, method, path, token, `[]`)
			if denied := resp.StatusCode == http.StatusForbidden; denied == may {
				t.Errorf("%s as %s: %d %s", c.call, role, resp.StatusCode, body)
			}
		}
	}
	got, err := r.svc.FindIncident(t.Context(), in.ID)
	if err != nil || got.Status != incident.AwaitingApproval || got.Seq != in.Seq {
		t.Errorf("something happened: %s, %d events more", got.Status, got.Seq-in.Seq)
	}
}

func TestOpenPathsAndWrongOnes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	in := r.svc.Seed(t, "x")
	r.svc.PanicOn = "boom"
	token := r.svc.Token(t, "ann", access.Admin, nil)
	for _, c := range []struct {
		call, body string
		code       int
		say        string
	}{
		{"GET /healthz", "", 200, "live"},
		{"GET /readyz", "", 200, "ready"},
		{"GET /metrics", "", 200, "up 1"},
		{"GET /", "", 200, "a page"},
		{"GET /v1/nothing", "", 404, `"kind":"not_found"`},
		{"POST /v1/incidents/1/merge", "{}", 404, `"kind":"not_found"`},
		{"DELETE /v1/incidents/1", "", 405, "possible: GET"},
		{"GET /v1/runs/x/approve", "", 405, "possible: POST"},
		{"POST /healthz", "", 405, "possible: GET"},
		{"GET /v1/incidents/boom", "", 500, "this is a bug"},
		{"GET /v1/incidents/1/bundle", "", 404, "no bundle yet"},
		{"GET /v1/incidents?limit=501", "", 400, `"field":"limit"`},
		{"GET /v1/incidents?status=opne", "", 400, `"field":"status"`},
		{"POST /v1/incidents/1/note", `{}`, 400, `"field":"text"`},
		{"POST /v1/incidents/1/note", `{"txt":"x"}`, 400, `"field":"txt"`},
		{"POST /v1/incidents/1/note", `{"text":"x"}{"text":"y"}`, 400, "more than one value"},
		{"POST /v1/incidents/1/note", `{"text":7}`, 400, `"field":"text"`},
		{"POST /v1/incidents/1/note", `{"text":"` + strings.Repeat("x", 65<<10) + `"}`, 413, "too_large"},
		{"POST /v1/runs", `{"runbook":"x"}`, 400, `"field":"target"`},
		{"POST /v1/runs", `{"runbook":"x","target":"db1","dry-run":true}`, 400, `"field":"dry-run"`},
		{"POST /v1/runs/" + in.Runs[0].ID + "/approve", `{}`, 400, `"field":"plan_digest"`},
		{"POST /v1/runs/" + in.Runs[0].ID + "/approve", `{"plan_digest":"sha256:old"}`, 409, "changed since"},
		{"POST /v1/agents/enrol-token", `{"ttl_seconds":-1}`, 400, `"field":"ttl_seconds"`},
		{"POST /v1/signals/x", strings.Repeat("x", 4<<20+1), 413, "too_large"},
	} {
		method, path, _ := strings.Cut(c.call, " ")
		resp, body := r.call(t, method, path, token, c.body)
		if resp.StatusCode != c.code || !strings.Contains(body, c.say) {
			t.Errorf("%s: %d %s", c.call, resp.StatusCode, body)
		}
		if resp.StatusCode >= 400 && !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") {
			t.Errorf("%s is not answered in JSON", c.call)
		}
	}
	r.svc.NotReady = errors.New("secret path /var/lib/x")
	if resp, body := r.call(t, http.MethodGet, "/readyz", "", ""); resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" || strings.Contains(body, "/var/lib") {
		t.Errorf("not ready: %d %s", resp.StatusCode, body)
	}
}

// gone is a store of tokens that does not answer.
type gone struct{ access.Tokens }

func (gone) FindToken(context.Context, string) (store.Token, error) {
	return store.Token{}, fault.New(fault.Unreachable, "the PostgreSQL store does not answer")
}

// TestDeliveryIsToBeSentAgainWhenTheStoreIsGone: the token of the sender is
// looked up first, so that the delivery fails there already.
func TestDeliveryIsToBeSentAgainWhenTheStoreIsGone(t *testing.T) {
	t.Parallel()
	svc := apitest.New(t)
	never := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("intake was reached") })
	srv := httptest.NewServer(api.New(api.Options{
		Service: svc, Keeper: access.NewKeeper(gone{svc}, rand.Reader, apitest.Start), Now: apitest.Start, Intake: never, Logger: slog.New(slog.DiscardHandler),
	}))
	t.Cleanup(srv.Close)
	r := &rig{srv, svc}
	resp, body := r.call(t, http.MethodPost, "/v1/signals/alertmanager", "slt_x", "{}")
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" || !strings.Contains(body, `"kind":"unreachable"`) {
		t.Errorf("a delivery: %d %s", resp.StatusCode, body)
	}
	if resp, body := r.call(t, http.MethodGet, "/v1/incidents", "slt_x", ""); resp.StatusCode != http.StatusBadGateway {
		t.Errorf("a person: %d %s", resp.StatusCode, body)
	}
}

func TestClientStory(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	in := r.svc.Seed(t, "Disk filling")
	ctx, c := t.Context(), r.client(t, access.Operator)
	if got, err := c.Acknowledge(ctx, "1", "on it"); err != nil || got.AckedBy != "ann" {
		t.Errorf("ack: %v %q", err, got.AckedBy)
	}
	plan, err := c.Plan(ctx, in.Runs[0].ID)
	if err != nil || plan.Plan == nil || plan.Needs != "operator" || plan.Worst != "1m35s" {
		t.Fatalf("plan: %v %+v", err, plan)
	}
	if _, err := c.Approve(ctx, in.Runs[0].ID, "sha256:other", ""); !fault.Is(err, fault.Conflict) {
		t.Errorf("another digest: %v", err)
	}
	if run, err := c.Approve(ctx, in.Runs[0].ID, plan.Plan.Digest, "go"); err != nil || run.Status != "running" {
		t.Errorf("approve: %v %s", err, run.Status)
	}
	if _, err := c.EnrolToken(ctx, api.EnrolRequest{}); !fault.Is(err, fault.Denied) {
		t.Errorf("an operator enrols: %v", err)
	}
	started, err := c.StartRun(ctx, api.RunRequest{Runbook: "x", Target: "db1", Inputs: map[string]string{"a": "b"}, DryRun: true, Incident: "1"})
	if err != nil || started.Run != "run-new" {
		t.Errorf("start: %v %+v", err, started)
	}
	want := []api.RunRequest{{Runbook: "x", Target: "db1", Inputs: map[string]string{"a": "b"}, DryRun: true, Incident: "1"}}
	if d := cmp.Diff(r.svc.Requested, want); d != "" {
		t.Error(d)
	}
	for _, ref := range []string{"..", "1/ack", "%2e%2e", "a?b", ""} {
		if _, err := c.FindIncident(ctx, ref); ref != "" && !fault.Is(err, fault.NotFound) {
			t.Errorf("%q: %v", ref, err)
		}
	}
	r.svc.Bundle = filepath.Join(t.TempDir(), "b.tar.gz")
	if err := os.WriteFile(r.svc.Bundle, []byte("bytes"), 0o600); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := c.Bundle(ctx, "1", &b); err != nil || b.String() != "bytes" {
		t.Errorf("bundle: %v %q", err, b.String())
	}
	admin := r.client(t, access.Admin)
	if tok, err := admin.EnrolToken(ctx, api.EnrolRequest{Agent: "a"}); err != nil || tok.Token != "once-a" || !tok.ExpiresAt.Equal(apitest.Start().Add(time.Hour)) {
		t.Errorf("enrol: %v %+v", err, tok)
	}
	if raw, err := admin.PostSignal(ctx, "generic/a b", "text/plain", []byte("xyz")); err != nil || !strings.Contains(string(raw), `"source":"generic/a b"`) {
		t.Errorf("signal: %v %s", err, raw)
	}
}

func TestClientSaysWhetherItMayHaveHappened(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	c := api.NewClient(gone.URL, "t", nil)
	if _, err := c.Resolve(t.Context(), "1", ""); !fault.Is(err, fault.Unreachable) {
		t.Errorf("nobody listens: %v", err)
	}
	cut := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer cut.Close()
	c = api.NewClient(cut.URL, "t", nil)
	if _, err := c.Resolve(t.Context(), "1", ""); !fault.Is(err, fault.OutcomeUnknown) {
		t.Errorf("an act without an answer: %v", err)
	}
	if _, err := c.FindIncident(t.Context(), "1"); !fault.Is(err, fault.Unreachable) {
		t.Errorf("a look without an answer: %v", err)
	}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>", http.StatusBadGateway) }))
	defer proxy.Close()
	if _, err := api.NewClient(proxy.URL, "t", nil).FindIncident(t.Context(), "1"); !fault.Is(err, fault.Unreachable) {
		t.Errorf("a proxy's answer: %v", err)
	}
}

// A follower sees each event once and in order, over connections that break in
// the middle.
func TestFollowSeesEachEventOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	in := r.svc.Seed(t, "Disk filling")
	token := r.svc.Token(t, "ann", access.Viewer, nil)
	calls := 0
	// Every connection ends after a 400 bytes, within its second event.
	flaky := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		calls++
		out, _ := http.NewRequestWithContext(req.Context(), req.Method, r.URL+req.URL.Path, nil)
		out.Header = req.Header
		resp, err := r.Server.Client().Do(out)
		if err != nil {
			return
		}
		defer resp.Body.Close()
		w.WriteHeader(resp.StatusCode)
		buf := make([]byte, 1)
		for range 400 {
			if _, err := resp.Body.Read(buf); err != nil {
				return
			}
			_, _ = w.Write(buf)
			_ = http.NewResponseController(w).Flush()
		}
	}))
	defer flaky.Close()
	if err := r.svc.Note(t.Context(), in.ID, "ann", "one more\nwith a line"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	done := errors.New("enough")
	var seen []int64
	err := api.NewClient(flaky.URL, redact.Secret(token), nil).Follow(ctx, "1", 1, func(e api.Event) error {
		seen = append(seen, e.Seq)
		switch {
		case e.Kind == "note" && e.Text == "last":
			return done
		case e.Kind == "note":
			return r.svc.Note(ctx, in.ID, "ann", "last")
		}
		return nil
	})
	if !errors.Is(err, done) || calls < 2 {
		t.Errorf("ended with %v after %d connections", err, calls)
	}
	want := []int64{}
	for i := int64(2); i <= in.Seq+2; i++ {
		want = append(want, i)
	}
	if d := cmp.Diff(seen, want); d != "" {
		t.Error(d)
	}
}

func TestFollowGivesUpWhereItIsNoUse(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	never := func(api.Event) error { return errors.New("an event") }
	if err := r.client(t, access.Viewer).Follow(t.Context(), "99", 0, never); !fault.Is(err, fault.NotFound) {
		t.Errorf("no such incident: %v", err)
	}
	if err := api.NewClient(r.URL, "slt_wrong", nil).Follow(t.Context(), "1", 0, never); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("wrong token: %v", err)
	}
}
