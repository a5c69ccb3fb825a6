// Package apitest has a Service for tests of the API and of the pages: the
// real embedded store, and people's acts as plain moves of an incident. It
// decides nothing: no agent runs, so a run goes on only when a test says so.
package apitest

import (
	"context"
	"crypto/rand"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/controller/access"
	"github.com/secondline-ops/secondline/controller/api"
	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/controller/store/sqlite"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/runbooks"
)

// Start is the time at which a Service's clock stands.
func Start() time.Time { return time.Date(2026, 3, 1, 3, 4, 5, 0, time.UTC) }

// Service implements api.Service over a store of its own.
type Service struct {
	store.Store
	Books     []*runbooks.Runbook
	Bundle    string // path of every bundle; "" means there is none
	NotReady  error
	PanicOn   string // the reference at which FindIncident panics
	Requested []api.RunRequest

	mu       sync.Mutex // guards below
	watchers map[chan string]bool
	bells    map[chan struct{}]string // by incident
	doing    map[string]job.Activity  // by job
}

var _ api.Service = (*Service)(nil)

// New opens a Service that ends with the test.
func New(t *testing.T) *Service {
	t.Helper()
	s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "store.db"), sqlite.Options{Sync: sqlite.SyncNormal})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &Service{Store: s, watchers: map[chan string]bool{}, bells: map[chan struct{}]string{}, doing: map[string]job.Activity{}}
}

// Token stores a token of the role and returns it.
func (s *Service) Token(t *testing.T, name string, role access.Role, change func(*store.Token)) string {
	t.Helper()
	plain, hash, err := access.MakeToken(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	row := store.Token{Hash: hash, Name: "person:" + name, Role: string(role), CreatedAt: Start()}
	if change != nil {
		change(&row)
	}
	if err := s.SaveToken(t.Context(), row); err != nil {
		t.Fatal(err)
	}
	return plain.Reveal()
}

// Seed stores an incident whose plan waits for a yes, with two signals.
func (s *Service) Seed(t *testing.T, title string) *incident.Incident {
	t.Helper()
	at := Start()
	sig := incident.Signal{
		ID: "sig-" + rand.Text()[:6], BodyID: "body-1", Source: "alertmanager", Kind: incident.Alert, State: incident.Firing, Severity: incident.High,
		SeverityRaw: "page", Title: title, Identity: rand.Text(), IdentityFrom: "fingerprint", StartsAt: at, ReceivedAt: at, Entity: "db1",
		Labels: map[string]string{"alertname": title, "instance": "db1:9100"}, Links: []string{"javascript:alert(1)"},
		Annotations: map[string]string{"summary": "/var on db1:9100 is filling up"}, Resources: []incident.Resource{{Value: "db1:9100", From: "instance"}},
	}
	in := incident.Open("inc-"+rand.Text()[:6], sig, map[string]string{"mount": "/var"}, at)
	sig.IncidentID, sig.Action, sig.Reason = in.ID, incident.DeedOpened, "no open incident on db1"
	must(t, in.Become(incident.Diagnosing, at, "secondline", "new_incident", "looking for the cause"))
	in.Diagnosis = &diagnostics.Diagnosis{Hypotheses: []diagnostics.Hypothesis{Proven(), {
		Cause: "disk-full-tmp", Title: "Temporary files fill the disk", Entity: "db1", Object: map[string]string{"mount": "/var"}, Probability: 0.03, Band: diagnostics.Unlikely,
		Against: []diagnostics.Evidence{{ID: "tmp-small", Text: "/var/tmp holds 12 MiB", That: "tmp.bytes > bytesize(\"1GiB\")", Role: diagnostics.Required, Truth: expr.False}},
	}}, Why: "orders.log grew 4.1 GiB in the hour before the onset and nothing rotates it"}
	in.Runs = append(in.Runs, incident.Run{
		ID: "run-" + rand.Text()[:6], Runbook: "truncate-runaway-log", Target: "db1", Status: runbooks.RunWaiting, AskedAt: at,
		Inputs: map[string]string{"path": "/var/log/orders/orders.log"}, Plan: Plan(), Hypothesis: &incident.HypothesisRef{Cause: "disk-full-logs"},
	})
	must(t, in.Become(incident.AwaitingApproval, at, "secondline", "needs_approval", "the plan changes something and needs a person's yes"))
	in.DueAt = time.Time{}
	must(t, s.Update(t.Context(), func(tx store.Tx) error {
		if err := tx.SaveSignals(t.Context(), []incident.Signal{sig}); err != nil {
			return err
		}
		facts := []diagnostics.Fact{{ID: "disk.usage#1", Probe: "disk.usage", Target: "db1", Status: diagnostics.OK, Value: diagnostics.Value{"used_percent": 98.4}, At: at}}
		if err := tx.SaveEvidence(t.Context(), in.ID, facts); err != nil {
			return err
		}
		return tx.SaveIncident(t.Context(), in)
	}))
	return in
}

// Proven is a confirmed hypothesis with evidence of each sort.
func Proven() diagnostics.Hypothesis {
	return diagnostics.Hypothesis{
		Cause: "disk-full-logs", Title: "A log without rotation fills the disk", Entity: "db1", Object: map[string]string{"mount": "/var"},
		Probability: 0.97, Band: diagnostics.Confirmed, Cures: []string{"truncate-runaway-log"},
		For: []diagnostics.Evidence{
			{ID: "full", Text: "/var is 98.4 % full", That: "disk.used_percent > 95", Role: diagnostics.Proof, Truth: expr.True, Facts: []string{"disk.usage#1"}, Weight: 4.6},
			{ID: "grew", Text: "/var/log/orders/orders.log holds 4.1 GiB", That: "logs.biggest > bytesize(\"1GiB\")", Role: diagnostics.Required, Truth: expr.True, Weight: 2.1},
		},
		CannotTell: []diagnostics.Evidence{{ID: "open", Text: "cannot tell: which process writes it", That: "size(open.files) > 0", Role: diagnostics.Supporting, Truth: expr.CannotTell, Why: "permission denied reading /proc/812/fd"}},
	}
}

// Plan is a plan with one step that changes something.
func Plan() *runbooks.Plan {
	return &runbooks.Plan{
		Digest: "sha256:5f2b1c9a0e", Runbook: "truncate-runaway-log", Title: "Cut a runaway log and bring rotation back", RunbookDigest: "sha256:77aa",
		Target: "db1", Effect: runbooks.Write, Autonomy: runbooks.Approve, WorstCase: 95 * time.Second, MadeAt: Start(),
		Preconditions: []runbooks.Precondition{{
			That: "log.size > 0", Say: "the log is there and is not empty", Because: "the log is gone or empty", Truth: expr.True, Values: "log.size = 4.1 GiB",
		}},
		Steps: []runbooks.PlannedStep{{
			ID: "rotate", Action: "file", Effect: runbooks.Write, As: "root", Verify: "used 62 % or less within 1 min", Undo: "the former file is put back",
			Diff: "--- /etc/logrotate.d/orders\n+++ /etc/logrotate.d/orders\n@@ -0,0 +1,3 @@\n+/var/log/orders/orders.log {\n+  size 200M\n+}\n", Preserve: []string{"log-tail"},
		}, {ID: "cut", Action: "run", Effect: runbooks.Write, Argv: []string{"logrotate", "-f", "/etc/logrotate.d/orders"}, Verify: "exit 0", Undo: "none"}},
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (s *Service) act(ctx context.Context, ref string, do func(*incident.Incident) error) error {
	in, err := s.FindIncident(ctx, ref)
	if err != nil {
		return err
	}
	err = s.Update(ctx, func(tx store.Tx) error {
		if in, err = tx.FindIncident(ctx, in.ID); err != nil {
			return err
		}
		if err := do(in); err != nil {
			return err
		}
		return tx.SaveIncident(ctx, in)
	})
	if err == nil {
		s.changed(in.ID)
	}
	return err
}

func (s *Service) changed(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ch := range s.watchers {
		select {
		case ch <- id:
		default:
		}
	}
}

// Subscribe implements api.Service.
func (s *Service) Subscribe(ctx context.Context) <-chan string {
	ch := make(chan string, 8)
	s.mu.Lock()
	s.watchers[ch] = true
	s.mu.Unlock()
	context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watchers, ch)
		close(ch)
	})
	return ch
}

// WorkOn gives the incident a job of the kind, as if one was sent to agent
// site-a; run may be "".
func (s *Service) WorkOn(ctx context.Context, ref, jobID string, kind job.Kind, run string) error {
	return s.act(ctx, ref, func(in *incident.Incident) error {
		in.Work = &incident.Work{JobID: jobID, Kind: string(kind), Agent: "site-a", RunID: run, Since: Start(), Deadline: Start().Add(5 * time.Minute)}
		return nil
	})
}

// Do makes the job's agent say what it does.
func (s *Service) Do(incidentID, jobID string, a job.Activity) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.doing[jobID] = a.Bounded()
	for b, want := range s.bells {
		if want != incidentID {
			continue
		}
		select {
		case b <- struct{}{}:
		default:
		}
	}
}

// Activity implements api.Service.
func (s *Service) Activity(jobID string) job.Activity {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.doing[jobID]
}

// WatchActivity implements api.Service.
func (s *Service) WatchActivity(ctx context.Context, incidentID string) <-chan struct{} {
	b := make(chan struct{}, 1)
	s.mu.Lock()
	s.bells[b] = incidentID
	s.mu.Unlock()
	context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.bells, b)
		close(b)
	})
	return b
}

// FindIncident implements api.Service.
func (s *Service) FindIncident(ctx context.Context, ref string) (*incident.Incident, error) {
	if s.PanicOn != "" && ref == s.PanicOn {
		panic("asked for it")
	}
	return s.Store.FindIncident(ctx, ref)
}

// FindRun implements api.Service.
func (s *Service) FindRun(ctx context.Context, id string) (*incident.Incident, *incident.Run, error) {
	in, err := s.FindIncidentByRun(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	return in, in.FindRun(id), nil
}

// Acknowledge implements api.Service.
func (s *Service) Acknowledge(ctx context.Context, ref, actor, note string) error {
	return s.act(ctx, ref, func(in *incident.Incident) error {
		in.AckedBy = actor
		in.Note(Start(), "person:"+actor, incident.EventNote, "acknowledged", "acknowledged: "+note, nil)
		return nil
	})
}

// Note implements api.Service.
func (s *Service) Note(ctx context.Context, ref, actor, text string) error {
	return s.act(ctx, ref, func(in *incident.Incident) error {
		in.Note(in.UpdatedAt.Add(time.Second), "person:"+actor, incident.EventNote, "note", text, nil)
		return nil
	})
}

func (s *Service) become(ctx context.Context, ref, actor, why string, st incident.Status) error {
	return s.act(ctx, ref, func(in *incident.Incident) error {
		return in.Become(st, Start(), "person:"+actor, "person", string(st)+": "+why)
	})
}

// Resolve implements api.Service.
func (s *Service) Resolve(ctx context.Context, ref, actor, why string) error {
	return s.become(ctx, ref, actor, why, incident.Resolved)
}

// Reopen implements api.Service.
func (s *Service) Reopen(ctx context.Context, ref, actor, why string) error {
	return s.become(ctx, ref, actor, why, incident.Diagnosing)
}

// Escalate implements api.Service.
func (s *Service) Escalate(ctx context.Context, ref, actor, why string) error {
	return s.become(ctx, ref, actor, why, incident.Escalated)
}

// StartRollout implements api.Service.
func (s *Service) StartRollout(_ context.Context, req api.RolloutRequest, _ string) (api.RolloutStarted, error) {
	out := api.RolloutStarted{Rollout: "rollout-new", Runs: []api.RolloutRun{}}
	for i, target := range req.Targets {
		s.Requested = append(s.Requested, api.RunRequest{Runbook: req.Runbook, Target: target, Inputs: req.Inputs, DryRun: req.DryRun})
		out.Runs = append(out.Runs, api.RolloutRun{Target: target, Wave: i + 1, Incident: "inc-new", Run: "run-new"})
	}
	return out, nil
}

// StartRun implements api.Service.
func (s *Service) StartRun(_ context.Context, req api.RunRequest, _ string) (incidentID, runID string, err error) {
	s.Requested = append(s.Requested, req)
	return "inc-new", "run-new", nil
}

func (s *Service) onRun(ctx context.Context, id string, do func(*incident.Incident, *incident.Run) error) error {
	in, _, err := s.FindRun(ctx, id)
	if err != nil {
		return err
	}
	return s.act(ctx, in.ID, func(in *incident.Incident) error { return do(in, in.FindRun(id)) })
}

// Approve implements api.Service.
func (s *Service) Approve(ctx context.Context, id, digest, actor, why string) error {
	return s.onRun(ctx, id, func(in *incident.Incident, r *incident.Run) error {
		if r.Status != runbooks.RunWaiting || r.Plan.Digest != digest {
			return fault.New(fault.Conflict, "the plan has changed since it was shown").WithHint("look at it again")
		}
		r.Status = runbooks.RunRunning
		r.Decisions = append(r.Decisions, incident.Approval{By: actor, Approved: true, PlanDigest: digest, Why: why, At: Start()})
		in.Note(Start(), "person:"+actor, incident.EventApproval, "approved", actor+" approved "+r.Runbook, nil)
		return in.Become(incident.Remediating, Start(), "secondline", "plan_approved", "a person approved exactly this plan")
	})
}

// Finish ends the run verified and the incident resolved, as an agent's report would.
func (s *Service) Finish(ctx context.Context, id string) error {
	return s.onRun(ctx, id, func(in *incident.Incident, r *incident.Run) error {
		at := Start().Add(40 * time.Second)
		in.Work = nil
		r.Status, r.EndedAt = runbooks.RunVerified, at
		r.Result = &runbooks.RunResult{PlanDigest: r.Plan.Digest, Status: runbooks.RunVerified, Why: "every step verified", StartedAt: Start(), EndedAt: at, Steps: []runbooks.StepResult{{
			ID: "rotate", Action: "file", Effect: runbooks.Write, Status: runbooks.StepVerified, Verified: true, StartedAt: Start(), EndedAt: at,
			Changed: "wrote /etc/logrotate.d/orders", Measured: []string{"used 61 % < 85 %"},
			Transcript: []runbooks.Exchange{{At: at, Command: "logrotate -f /etc/logrotate.d/orders", Stdout: "ok"}},
		}}}
		in.Measured = &incident.Measured{Gone: expr.True, Text: "/var is 61 % full", Facts: []string{"disk.usage#2"}, At: at}
		in.Resolution = "the symptom was measured gone and stayed gone"
		if err := in.Become(incident.Verifying, at, "secondline", "run_verified", "every step was verified"); err != nil {
			return err
		}
		return in.Become(incident.Resolved, at, "secondline", "measured_gone", in.Resolution)
	})
}

// Reject implements api.Service.
func (s *Service) Reject(ctx context.Context, id, actor, why string) error {
	return s.onRun(ctx, id, func(in *incident.Incident, r *incident.Run) error {
		r.Status = runbooks.RunRejected
		r.Decisions = append(r.Decisions, incident.Approval{By: actor, PlanDigest: r.Plan.Digest, Why: why, At: Start()})
		return in.Become(incident.Diagnosing, Start(), "person:"+actor, "rejected", "rejected: "+why)
	})
}

// CancelRun implements api.Service.
func (s *Service) CancelRun(ctx context.Context, id, actor, why string) error {
	return s.onRun(ctx, id, func(in *incident.Incident, r *incident.Run) error {
		r.Status = runbooks.RunCancelled
		in.Note(Start(), "person:"+actor, incident.EventRun, "cancelled", why, nil)
		return nil
	})
}

// PauseRun implements api.Service.
func (s *Service) PauseRun(ctx context.Context, id, actor, why string) error {
	return s.onRun(ctx, id, func(_ *incident.Incident, run *incident.Run) error {
		run.Paused = "paused by " + actor + ": " + why
		return nil
	})
}

// ResumeRun implements api.Service.
func (s *Service) ResumeRun(ctx context.Context, id, _, _ string) error {
	return s.onRun(ctx, id, func(_ *incident.Incident, run *incident.Run) error { run.Paused = ""; return nil })
}

// Why implements api.Service.
func (s *Service) Why(ctx context.Context, ref string) (api.Why, error) {
	in, err := s.FindIncident(ctx, ref)
	if err != nil {
		return api.Why{}, err
	}
	return api.Why{Question: "why is it " + string(in.Status) + "?", Answer: "a plan waits", Because: []api.Why{{Question: "why a plan?", Answer: "a cure was found"}}}, nil
}

// SignalWhy implements api.Service.
func (s *Service) SignalWhy(ctx context.Context, id string) (api.Why, error) {
	sig, err := s.FindSignal(ctx, id)
	return api.Why{Question: "why " + string(sig.Action) + "?", Answer: sig.Reason}, err
}

// BundlePath implements api.Service.
func (s *Service) BundlePath(context.Context, string) (string, error) {
	if s.Bundle == "" {
		return "", fault.New(fault.NotFound, "there is no bundle yet")
	}
	return s.Bundle, nil
}

// PreviewRun implements api.Service: on any target, which declares nothing.
func (s *Service) PreviewRun(_ context.Context, req api.RunRequest) ([]runbooks.BoundInput, error) {
	for _, rb := range s.Books {
		if rb.Name == req.Runbook {
			target := entity.Entity{ID: req.Target, Kind: entity.Host}
			return runbooks.PreviewInputs(rb, req.Inputs, runbooks.FromVars(nil, target, target))
		}
	}
	return nil, fault.New(fault.NotFound, "there is no runbook %q", req.Runbook)
}

// Runbooks implements api.Service.
func (s *Service) Runbooks() []*runbooks.Runbook { return s.Books }

// Catalogue implements api.Service.
func (s *Service) Catalogue() api.CatalogueInfo {
	return api.CatalogueInfo{Runbooks: len(s.Books), Causes: 1, LoadedAt: Start(), Git: &api.PinInfo{
		Commit: "0123456789abcdef0123456789abcdef01234567", Subject: "rotate sooner", URL: "https://git.example/catalogue.git", Ref: "main",
		Digest: "sha256:00", At: Start(), By: "ada", Act: "pulled",
	}}
}

// LevelOf implements api.Service.
func (s *Service) LevelOf(string) api.RunbookLevel {
	return api.RunbookLevel{InForce: "approve", Ceiling: "auto", Because: []string{"auto in the file, approve by policy"}}
}

// ReloadFor implements api.Service.
func (s *Service) ReloadFor(context.Context, string) error { return s.NotReady }

// Causes implements api.Service.
func (s *Service) Causes() []api.CauseInfo {
	return []api.CauseInfo{{ID: "disk-full-logs", Title: "A log without rotation fills the disk", Kind: "host"}}
}

// Inventory implements api.Service.
func (s *Service) Inventory() []entity.Entity {
	return []entity.Entity{{ID: "db1", Kind: entity.Host, Address: "10.0.0.5", Groups: []string{"db"}}}
}

// Connected implements api.Service.
func (s *Service) Connected() map[string]bool { return map[string]bool{"site-a": true} }

// EnrolToken implements api.Service.
func (s *Service) EnrolToken(_ context.Context, agent string, _ time.Duration, _ string) (string, error) {
	return "once-" + agent, nil
}

// RevokeAgent implements api.Service.
func (s *Service) RevokeAgent(ctx context.Context, agent, _ string) error {
	a, err := s.FindAgent(ctx, agent)
	if err != nil {
		return err
	}
	a.RevokedAt = Start()
	return s.SaveAgent(ctx, a)
}

// Ready implements api.Service.
func (s *Service) Ready(context.Context) error { return s.NotReady }
