package controller

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/controller/access"
	"github.com/secondline-ops/secondline/controller/api"
	"github.com/secondline-ops/secondline/controller/catalogue"
	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/controller/triage"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/redact"
	"github.com/secondline-ops/secondline/runbooks"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// served is a controller that runs, reached over HTTP.
type served struct {
	*desk
	base    string
	changes <-chan string
}

// serve starts the controller with the real clock.
func serve(t *testing.T) *served {
	t.Helper()
	d := newDesk(t)
	d.must(d.app.Stop(t.Context()))
	d.clock.advance(time.Since(t0))
	d.app = d.newApp(Options{Listen: "127.0.0.1:0", AgentListen: "127.0.0.1:0", BaseURL: "http://secondline.example"})
	changes := d.app.hub.subscribe(t.Context())
	for range 2 {
		d.must(d.app.Start(t.Context()))
	}
	return &served{desk: d, base: "http://" + d.app.Addr(), changes: changes}
}

func (s *served) token(role access.Role) redact.Secret {
	s.Helper()
	plain, hash, err := access.MakeToken(rand.Reader)
	s.must(err)
	s.must(s.db.SaveToken(s.Context(), store.Token{Hash: hash, Name: "ada-" + string(role), Role: string(role), CreatedAt: t0}))
	return plain
}

func (s *served) client(role access.Role) *api.Client {
	s.Helper()
	return api.NewClient(s.base, s.token(role), &http.Client{Timeout: 2 * time.Minute, Transport: &http.Transport{DisableKeepAlives: true}})
}

// until waits for changes until the only incident is as wanted.
func (s *served) until(what string, want func(*incident.Incident) bool) *incident.Incident {
	s.Helper()
	limit := time.After(2 * time.Minute)
	for {
		if list := s.all(); len(list) == 1 && want(list[0]) {
			return list[0]
		}
		select {
		case <-s.changes:
		case <-limit:
			s.Fatalf("waited in vain until it %s\n%s", what, s.story(s.all()[0].ID))
		}
	}
}

func (s *served) get(path string) (int, string) {
	s.Helper()
	req, err := http.NewRequestWithContext(s.Context(), http.MethodGet, s.base+path, http.NoBody)
	s.must(err)
	req.Header.Set("Authorization", "Bearer "+s.token(access.Viewer).Reveal())
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	s.must(err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	s.must(err)
	return resp.StatusCode, string(body)
}

func TestWholeStoryOverHTTP(t *testing.T) {
	t.Parallel()
	s := serve(t)
	if _, err := s.client(access.Viewer).PostSignal(t.Context(), "alertmanager", "application/json", []byte(body())); !fault.Is(err, fault.Denied) {
		t.Errorf("a viewer hands in signals: %v", err)
	}
	_, err := s.client(access.Webhook).PostSignal(t.Context(), "alertmanager", "application/json", []byte(body(s.alert("firing", "ProcessGone", "web1"))))
	s.must(err)
	s.until("waits for a diagnosis", func(in *incident.Incident) bool { return in.Work != nil })
	s.must(s.receive(looked(s.next(job.Diagnose), "relay")))
	s.must(s.receive(planned(s.next(job.Plan))))
	run := s.the().CurrentRun()
	ada := s.client(access.Operator)
	if _, err := s.client(access.Viewer).Approve(t.Context(), run.ID, run.Plan.Digest, ""); !fault.Is(err, fault.Denied) {
		t.Errorf("a viewer approves: %v", err)
	}
	if _, err := ada.Approve(t.Context(), run.ID, "sha256:old", ""); !fault.Is(err, fault.Conflict) || strings.Contains(err.Error(), "reconcile") {
		t.Errorf("got %v", err)
	}
	_, err = ada.Approve(t.Context(), run.ID, run.Plan.Digest, "fine")
	s.must(err)
	s.clock.advance(time.Second)
	s.must(s.receive(ran(s.next(job.Run), runbooks.RunVerified)))
	s.clock.advance(time.Second)
	s.must(s.receive(measured(s.next(job.Measure), expr.True)))
	s.until("is resolved and somebody was told", func(in *incident.Incident) bool {
		return in.Status == incident.Resolved && len(s.box.of(kindResolved)) == 1
	})
	in, err := ada.FindIncident(t.Context(), "1")
	s.must(err)
	if in.Status != string(incident.Resolved) || len(in.Runs) != 1 {
		t.Errorf("got %+v", in)
	}
	why, err := ada.Why(t.Context(), "1")
	s.must(err)
	if !strings.Contains(why.Answer, "measured gone") || len(why.Because) < 5 {
		t.Errorf("why: %+v", why)
	}
	if code, text := s.get("/metrics"); code != http.StatusOK || !strings.Contains(text, `secondline_incidents{status="resolved"} 1`) {
		t.Errorf("metrics: %d %s", code, text)
	}
	s.closedLabels()
}

// closedLabels is that no label value comes from input.
func (s *served) closedLabels() {
	s.Helper()
	families, err := s.app.metrics.registry.Gather()
	s.must(err)
	word := regexp.MustCompile(`^[a-z_]{1,60}$`)
	closed := map[string]bool{"agent": true, queueBundle: true, queueNotify: true, queuePrometheus: true}
	for _, r := range triage.Reasons() {
		closed[string(r)] = true
	}
	for _, st := range incident.Statuses() {
		closed[string(st)] = true
	}
	for _, r := range refusals() {
		closed[string(r)] = true
	}
	seen := 0
	for _, family := range families {
		if !strings.HasPrefix(family.GetName(), "secondline_") {
			continue
		}
		for _, m := range family.GetMetric() {
			for _, l := range m.GetLabel() {
				seen++
				if !closed[l.GetValue()] || !word.MatchString(l.GetValue()) {
					s.Errorf("%s has label %s=%q", family.GetName(), l.GetName(), l.GetValue())
				}
			}
		}
	}
	if want := len(triage.Reasons()) + len(incident.Statuses()) + len(refusals()) + 4; seen != want {
		s.Errorf("%d label values, want %d", seen, want)
	}
}

func TestClosedStoreIsNotReadyAndMetricsStillAnswer(t *testing.T) {
	t.Parallel()
	s := serve(t)
	if code, _ := s.get("/readyz"); code != http.StatusOK {
		t.Errorf("ready: %d", code)
	}
	ask := func(path string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.base+path, http.NoBody)
		s.must(err)
		resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
		s.must(err)
		defer func() { _ = resp.Body.Close() }()
		text, err := io.ReadAll(resp.Body)
		s.must(err)
		return resp.StatusCode, string(text)
	}
	s.must(s.db.Close())
	if code, _ := ask("/readyz"); code != http.StatusServiceUnavailable {
		t.Errorf("ready without a store: %d", code)
	}
	if code, _ := ask("/healthz"); code != http.StatusOK {
		t.Errorf("live: %d", code)
	}
}

func TestReloadWithAMistakeChangesNothing(t *testing.T) {
	t.Parallel()
	s := serve(t)
	before := s.app.settings.Load()
	s.mu.Lock()
	s.loadErr = errors.New("inventory.yaml:3: kind hots")
	s.mu.Unlock()
	for range 2 {
		if err := s.app.Reload(t.Context()); err == nil {
			t.Error("a broken file is taken")
		}
	}
	if s.app.settings.Load() != before {
		t.Error("settings changed")
	}
	if got := s.metric("secondline_settings_stale", ""); got != 1 {
		t.Errorf("stale is %v", got)
	}
	if _, err := s.client(access.Admin).Reload(t.Context()); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "kind hots") {
		t.Errorf("an admin is told %v", err)
	}
	if info, err := s.client(access.Viewer).Catalogue(t.Context()); err != nil || !strings.Contains(info.Problem, "kind hots") || info.Runbooks == 0 {
		t.Errorf("%+v %v", info, err)
	}
	s.mu.Lock()
	s.loadErr = nil
	s.mu.Unlock()
	for range 2 {
		s.must(s.app.Reload(t.Context()))
	}
	if got := s.metric("secondline_settings_stale", ""); got != 0 {
		t.Errorf("stale is %v", got)
	}
	s.change(func(now *Settings) { now.Pinned = &catalogue.Pin{Commit: "4f2a", By: "ada"} })
	info, err := s.client(access.Admin).Reload(t.Context())
	s.must(err)
	if info.Problem != "" || info.Git == nil || info.Git.Commit != "4f2a" || info.Git.By != "ada" {
		t.Errorf("%+v", info)
	}
}

func TestStopTwiceAndNoStartAfterIt(t *testing.T) {
	t.Parallel()
	s := serve(t)
	for range 2 {
		s.must(s.app.Stop(t.Context()))
	}
	s.wantKind(s.app.Start(t.Context()), fault.Conflict)
	if _, err := (&http.Client{}).Get(s.base + "/healthz"); err == nil { //nolint:bodyclose // refused
		t.Error("it still answers")
	}
}

func TestStopEndsOpenStreamsAndWorkGoesOnAtTheNextStart(t *testing.T) {
	t.Parallel()
	s := serve(t)
	_, err := s.client(access.Webhook).PostSignal(t.Context(), "alertmanager", "application/json", []byte(body(s.alert("firing", "ProcessGone", "web1"))))
	s.must(err)
	in := s.until("waits for a diagnosis", func(in *incident.Incident) bool { return in.Work != nil })
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.base+"/v1/incidents/"+in.ID+"/events", http.NoBody)
	s.must(err)
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Authorization", "Bearer "+s.token(access.Viewer).Reveal())
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	s.must(err)
	defer func() { _ = resp.Body.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), stopWithin)
	defer cancel()
	s.must(s.app.Stop(ctx))
	_, _ = io.Copy(io.Discard, resp.Body) // ends

	s.app = s.newApp(Options{Listen: "127.0.0.1:0", AgentListen: "127.0.0.1:0"})
	s.must(s.app.Start(t.Context()))
	s.must(s.receive(looked(s.next(job.Diagnose), "relay")))
	s.next(job.Plan)
}

func TestHubTellsASlowWatcherToLookAtEverything(t *testing.T) {
	t.Parallel()
	h := newHub()
	ctx, cancel := context.WithCancel(t.Context())
	ch := h.subscribe(ctx)
	for range 10 * subscriberBuffer {
		h.changed("inc-1")
	}
	last := "none"
	for range subscriberBuffer {
		last = <-ch
	}
	if last != "" {
		t.Errorf("the last thing a watcher that missed something hears is %q", last)
	}
	cancel()
	for range ch {
	}
}
