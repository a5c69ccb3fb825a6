package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/controller/access"
	"github.com/secondline-ops/secondline/controller/api"
	"github.com/secondline-ops/secondline/controller/api/apitest"
	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/runbooks"
)

const jobID = "inc.7"

var errSeen = errors.New("seen enough")

// atWork seeds an incident whose run is being carried out.
func (r *rig) atWork(t *testing.T) *incident.Incident {
	t.Helper()
	in := r.svc.Seed(t, "Disk filling")
	if err := r.svc.Approve(t.Context(), in.Runs[0].ID, apitest.Plan().Digest, "ann", ""); err != nil {
		t.Fatal(err)
	}
	if err := r.svc.WorkOn(t.Context(), in.ID, jobID, job.Run, in.Runs[0].ID); err != nil {
		t.Fatal(err)
	}
	return in
}

func cutting() job.Activity {
	return job.Activity{
		Step: "cut", Status: runbooks.StepRunning, Since: apitest.Start().Add(time.Minute), Timeout: 90 * time.Second,
		Command: "logrotate -f /etc/logrotate.d/orders", Output: []string{"rotating orders.log"},
		Probes: []job.PendingProbe{{Probe: "disk.usage", Target: "db1", Since: apitest.Start()}},
	}
}

func TestProgressIsFollowedAndVanishes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	in := r.atWork(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := r.svc.Note(ctx, in.ID, "ann", "before"); err != nil {
		t.Fatal(err)
	}
	stage := 0
	err := r.client(t, access.Viewer).FollowLive(ctx, "1", 0, api.Follower{
		Event: func(e api.Event) error {
			if e.Kind == "status" && strings.Contains(string(e.Data), "resolved") && stage == 3 {
				return errSeen
			}
			return nil
		},
		Progress: func(p api.Progress) {
			switch stage++; stage {
			case 1: // the job is known before its agent says a word
				if len(p.Jobs) != 1 || p.Jobs[0].Kind != "run" || p.Jobs[0].Agent != "site-a" || p.Jobs[0].Step != nil || p.Jobs[0].Probes == nil {
					t.Errorf("at first: %+v", p)
				}
				r.svc.Do(in.ID, jobID, cutting())
			case 2:
				got, want := p.Jobs[0], api.StepProgress{
					ID: "cut", Number: 2, Of: 2, Action: "run", Status: "running", TimeoutSeconds: 90, Command: "logrotate -f /etc/logrotate.d/orders",
					Output: []string{"rotating orders.log"}, Since: apitest.Start().Add(time.Minute),
				}
				if got.Step == nil || fmt.Sprint(*got.Step) != fmt.Sprint(want) || got.Target != "db1" || got.Runbook != "truncate-runaway-log" || got.Run != in.Runs[0].ID {
					t.Errorf("step: %+v of %+v", got.Step, got)
				}
				if len(got.Probes) != 1 || got.Probes[0].Probe != "disk.usage" {
					t.Errorf("probes: %+v", got.Probes)
				}
				r.svc.Do(in.ID, jobID, job.Activity{})
			case 3:
				if len(p.Jobs) != 1 || p.Jobs[0].Step != nil || len(p.Jobs[0].Probes) != 0 {
					t.Errorf("after the step: %+v", p)
				}
				if err := r.svc.Finish(ctx, in.Runs[0].ID); err != nil {
					t.Error(err)
				}
			}
		},
	})
	if !errors.Is(err, errSeen) {
		t.Fatalf("%v at stage %d", err, stage)
	}
	if got, err := r.client(t, access.Viewer).FindIncident(t.Context(), "1"); err != nil || got.Jobs == nil || len(got.Jobs) != 0 {
		t.Errorf("after the job: %v %+v", err, got.Jobs)
	}
}

func TestProgressIsNeverStored(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	in := r.atWork(t)
	before, err := r.svc.ListEvents(t.Context(), in.ID, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	r.svc.Do(in.ID, jobID, cutting())
	if got, err := r.client(t, access.Viewer).FindIncident(t.Context(), "1"); err != nil || got.Jobs[0].Step == nil {
		t.Fatalf("not shown: %v %+v", err, got.Jobs)
	}
	after, err := r.svc.ListEvents(t.Context(), in.ID, 0, 100)
	if err != nil || len(after) != len(before) {
		t.Errorf("%v: %d events became %d", err, len(before), len(after))
	}
	stored, err := r.svc.FindIncident(t.Context(), in.ID)
	raw, _ := json.Marshal(stored)
	if err != nil || bytes.Contains(raw, []byte("rotating orders.log")) {
		t.Errorf("%v: output is stored in %s", err, raw)
	}
}

func TestHostileProgressIsHarmless(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	in := r.atWork(t)
	bad := "\x1b]0;owned\x07\x1b[2J<script>alert(1)</script>\u202egnp.exe\nSet-Cookie: x\r\n\ndata: {}"
	a := cutting()
	a.Step, a.Command, a.Probes[0].Probe = bad, bad, bad
	a.Output = []string{bad, strings.Repeat("x", 4<<20)}
	r.svc.Do(in.ID, jobID, a)
	resp, body := r.call(t, http.MethodGet, "/v1/incidents/1", r.svc.Token(t, "ann", access.Viewer, nil), "")
	if resp.StatusCode != http.StatusOK || len(body) > 32<<10 {
		t.Errorf("%d with %d bytes", resp.StatusCode, len(body))
	}
	var got api.Incident
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	step := got.Jobs[0].Step
	for _, text := range append([]string{step.ID, step.Command, got.Jobs[0].Probes[0].Probe}, step.Output...) {
		if strings.ContainsAny(text, "\x1b\x07\r\n\u202e") || len(text) > 1000 {
			t.Errorf("raw: %.80q", text)
		}
	}
	if !strings.Contains(step.Output[0], `\x1b[2J<script>`) {
		t.Errorf("it cannot be seen what it was: %q", step.Output[0])
	}
}

// stuckWriter is a reader that stops reading at its first progress, until told
// to go on.
type stuckWriter struct {
	*httptest.ResponseRecorder
	stuck, goOn chan struct{}
	once        sync.Once

	mu   sync.Mutex // guards below
	text bytes.Buffer
	more chan struct{}
}

func (w *stuckWriter) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte("event: progress")) {
		w.once.Do(func() { close(w.stuck) })
		<-w.goOn
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	n, err := w.text.Write(p)
	close(w.more)
	w.more = make(chan struct{})
	return n, err
}

// wait waits until the text has been written.
func (w *stuckWriter) wait(t *testing.T, what string) string {
	t.Helper()
	limit := time.After(2 * time.Minute)
	for {
		w.mu.Lock()
		text, more := w.text.String(), w.more
		w.mu.Unlock()
		if strings.Contains(text, what) {
			return text
		}
		select {
		case <-more:
		case <-limit:
			t.Fatalf("%q was not written: %s", what, text)
		}
	}
}

func TestSlowReaderLosesProgressAndNoEvent(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	in := r.atWork(t)
	w := &stuckWriter{ResponseRecorder: httptest.NewRecorder(), stuck: make(chan struct{}), goOn: make(chan struct{}), more: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "/v1/incidents/1/events", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Authorization", "Bearer "+r.svc.Token(t, "ann", access.Viewer, nil))
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.Config.Handler.ServeHTTP(w, req)
	}()
	<-w.stuck
	const many = 2000
	for i := range many { // ends only if nobody waits for the reader
		a := cutting()
		a.Output = []string{fmt.Sprintf("line %d.", i)}
		r.svc.Do(in.ID, jobID, a)
		if i%500 == 0 {
			if err := r.svc.Note(ctx, in.ID, "ann", fmt.Sprintf("note %d.", i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	close(w.goOn)
	text := w.wait(t, fmt.Sprintf("line %d.", many-1))
	for i := 0; i < many; i += 500 {
		if text = w.wait(t, fmt.Sprintf("note %d.", i)); strings.Count(text, fmt.Sprintf("note %d.", i)) != 1 {
			t.Errorf("note %d was sent more than once", i)
		}
	}
	if n := strings.Count(text, "event: progress"); n > 20 {
		t.Errorf("%d progresses were kept for a reader that did not read", n)
	}
	cancel()
	<-done
}
