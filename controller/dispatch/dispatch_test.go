package dispatch_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/controller/dispatch"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/controller/store/sqlite"
	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// desk is a controller's end: store, authority, dispatcher and server.
type desk struct {
	t      *testing.T
	db     store.Store
	ca     *job.CA
	d      *dispatch.Dispatcher
	server *job.Server
	addr   string
	lease  time.Duration // 0: the usual one
	events chan job.Event

	mu sync.Mutex // guards below
	// reports counts what was received, by job.
	reports map[string]int
	refuse  error
	// stopAsked says why a job is to be stopped.
	stopAsked map[string]string
	got       chan job.Report
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	dir := t.TempDir()
	logger := slog.New(slog.NewTextHandler(t.Output(), nil))
	db, err := sqlite.Open(t.Context(), filepath.Join(dir, "db"), sqlite.Options{Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	ca, err := job.OpenCA(dir, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	k := &desk{t: t, db: db, ca: ca, reports: map[string]int{}, got: make(chan job.Report, 100), events: make(chan job.Event, 10)}
	k.start("127.0.0.1:0")
	t.Cleanup(k.stop)
	return k
}

func (k *desk) start(addr string) {
	k.t.Helper()
	logger := slog.New(slog.NewTextHandler(k.t.Output(), nil))
	k.d = dispatch.New(dispatch.Options{Store: k.db, CA: k.ca, Receiver: k, Controller: "c1", Now: time.Now, Lease: k.lease, Logger: logger})
	server, err := job.NewServer(job.ServerOptions{CA: k.ca, Backend: k.d, Controller: "c1", Logger: logger})
	if err != nil {
		k.t.Fatal(err)
	}
	l, err := (&net.ListenConfig{}).Listen(k.t.Context(), "tcp", addr)
	if err != nil {
		k.t.Fatal(err)
	}
	k.server, k.addr = server, l.Addr().String()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(l); err != nil {
			k.t.Error(err)
		}
	}()
	k.t.Cleanup(func() {
		server.Stop()
		<-done
	})
}

func (k *desk) stop() {
	_ = k.d.Drain(context.Background())
	k.server.Stop()
}

func (k *desk) Receive(_ context.Context, _ string, r job.Report) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.refuse != nil {
		return k.refuse
	}
	k.reports[r.JobID]++
	k.got <- r
	return nil
}

func (k *desk) StopAsked(_ context.Context, j store.Job) (string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.stopAsked[j.ID], nil
}

func (k *desk) Progress(_ context.Context, _ string, e job.Event) { k.events <- e }

func (k *desk) token(agent string) job.JoinToken {
	k.t.Helper()
	text, err := k.d.EnrolToken(k.t.Context(), agent, time.Hour)
	if err != nil {
		k.t.Fatal(err)
	}
	token, err := job.ParseJoinToken(text)
	if err != nil {
		k.t.Fatal(err)
	}
	return token
}

func (k *desk) enrol(name string) job.Identity {
	k.t.Helper()
	id, _, err := job.Enroll(k.t.Context(), job.EnrollOptions{Address: k.addr, Token: k.token(name), Name: name, Now: time.Now})
	if err != nil {
		k.t.Fatal(err)
	}
	return id
}

func (k *desk) order(agent, id string) {
	k.t.Helper()
	j := job.Job{ID: id, Kind: job.Diagnose, Target: job.Target{Entity: entity.Entity{ID: "web1"}}, Diagnose: &job.DiagnoseSpec{}}
	payload, err := json.Marshal(j)
	if err != nil {
		k.t.Fatal(err)
	}
	err = k.db.Update(k.t.Context(), func(tx store.Tx) error {
		_, err := tx.Enqueue(k.t.Context(), store.Job{
			ID: id, Queue: dispatch.Queue(agent), Kind: string(j.Kind), Key: id, Payload: payload, State: store.JobQueued,
			RunAt: time.Now(), CreatedAt: time.Now(),
		})
		return err
	})
	if err != nil {
		k.t.Fatal(err)
	}
	k.d.Wake(agent)
}

// hand is an agent's end: it passes on what arrives.
type hand struct {
	jobs     chan job.Job
	accepted chan string
	lost     chan string
	link     chan *job.Link
	stops    chan string
}

func newHand() *hand {
	return &hand{jobs: make(chan job.Job, 10), accepted: make(chan string, 10), lost: make(chan string, 10), link: make(chan *job.Link, 10), stops: make(chan string, 10)}
}

func (h *hand) Job(j job.Job)                          { h.jobs <- j }
func (h *hand) Cancel(id, why string)                  { h.stops <- id + ": " + why }
func (h *hand) Accepted(id string, _ int64)            { h.accepted <- id }
func (h *hand) LeaseLost(id string, _ int64, _ string) { h.lost <- id }

func (k *desk) connect(ctx context.Context, id job.Identity, h *hand) <-chan error {
	done := make(chan error, 1)
	go func() {
		done <- job.Connect(ctx, job.ConnectOptions{
			Address: k.addr, Identity: id, Hello: job.Hello{Slots: 2}, Handler: h, Logger: slog.New(slog.NewTextHandler(k.t.Output(), nil)),
			Ready: func(l *job.Link) { h.link <- l },
		})
	}()
	return done
}

func next[T any](t *testing.T, ch <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(2 * time.Minute):
		t.Fatalf("waited in vain for %s", what)
	}
	panic("unreachable")
}

func TestJobGoesOutAndItsReportComesBackOnce(t *testing.T) {
	t.Parallel()
	k := newDesk(t)
	id := k.enrol("web1")
	ctx, cancel := context.WithCancel(t.Context())
	h := newHand()
	done := k.connect(ctx, id, h)
	link := next(t, h.link, "the link")
	k.order("web1", "inc.1")
	j := next(t, h.jobs, "the job")
	if j.ID != "inc.1" || j.Fence < 1 || j.Target.Entity.ID != "web1" {
		t.Errorf("got %+v", j)
	}
	for range 2 { // a replayed report is accepted again
		if err := link.SendReport(ctx, job.Report{JobID: j.ID, Fence: j.Fence, Agent: "somebody else", Status: job.Done}); err != nil {
			t.Fatal(err)
		}
		if got := next(t, h.accepted, "the acceptance"); got != "inc.1" {
			t.Errorf("accepted %s", got)
		}
		if r := next(t, k.got, "the report"); r.Agent != "web1" {
			t.Errorf("the report claims to be from %q; the certificate says web1", r.Agent)
		}
	}
	cancel()
	next(t, done, "the end")
}

// TestARecalledJobIsLetGoAtOnce: its agent does not go on until its next renewal.
func TestARecalledJobIsLetGoAtOnce(t *testing.T) {
	t.Parallel()
	k := newDesk(t)
	ctx, cancel := context.WithCancel(t.Context())
	h := newHand()
	done := k.connect(ctx, k.enrol("web1"), h)
	next(t, h.link, "the link")
	k.order("web1", "inc.1")
	next(t, h.jobs, "the job")
	k.d.Recall("web2", "inc.1", "another agent")
	k.d.Recall("web1", "inc.2", "another job")
	k.d.Recall("web1", "inc.1", "paused by ada")
	if lost := next(t, h.lost, "the loss"); lost != "inc.1" {
		t.Errorf("lost %s", lost)
	}
	if len(h.stops) != 0 {
		t.Errorf("it was told to stop: %s", <-h.stops)
	}
	cancel()
	next(t, done, "the end")
}

func TestReportOfAnotherAgentsJobIsRefused(t *testing.T) {
	t.Parallel()
	k := newDesk(t)
	id := k.enrol("evil")
	h := newHand()
	ctx, cancel := context.WithCancel(t.Context())
	done := k.connect(ctx, id, h)
	link := next(t, h.link, "the link")
	k.order("web1", "inc.1")
	if err := link.SendReport(ctx, job.Report{JobID: "inc.1", Fence: 1, Status: job.Done}); err != nil {
		t.Fatal(err)
	}
	next(t, h.lost, "the refusal")
	if err := link.RenewLease(ctx, "inc.1", 1); err != nil {
		t.Fatal(err)
	}
	next(t, h.lost, "the refusal of the lease")
	cancel()
	next(t, done, "the end")
	if len(k.reports) != 0 {
		t.Errorf("received %v", k.reports)
	}
}

func TestReportThatCannotBeStoredNowIsNotAccepted(t *testing.T) {
	t.Parallel()
	k := newDesk(t)
	id := k.enrol("web1")
	h := newHand()
	ctx, cancel := context.WithCancel(t.Context())
	done := k.connect(ctx, id, h)
	link := next(t, h.link, "the link")
	k.order("web1", "inc.1")
	j := next(t, h.jobs, "the job")
	k.mu.Lock()
	k.refuse = fault.New(fault.Overloaded, "disk full")
	k.mu.Unlock()
	send := func() {
		if err := link.SendReport(ctx, job.Report{JobID: j.ID, Fence: j.Fence, Status: job.Done}); err != nil {
			t.Fatal(err)
		}
	}
	send()
	k.order("web1", "inc.2") // its arrival says that the report was handled before it
	next(t, h.jobs, "the second job")
	if len(h.accepted) != 0 || len(h.lost) != 0 {
		t.Fatal("a report was answered that is not stored")
	}
	k.mu.Lock()
	k.refuse = nil
	k.mu.Unlock()
	send()
	next(t, h.accepted, "the acceptance")
	cancel()
	next(t, done, "the end")
}

func TestJoinTokenWorksOnceAndOnlyHere(t *testing.T) {
	t.Parallel()
	k := newDesk(t)
	token := k.token("")
	enrol := func(token job.JoinToken, name string) error {
		_, _, err := job.Enroll(t.Context(), job.EnrollOptions{Address: k.addr, Token: token, Name: name, Now: time.Now})
		return err
	}
	if err := enrol(token, "a1"); err != nil {
		t.Fatal(err)
	}
	if err := enrol(token, "a2"); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("the second use: %v", err)
	}
	if err := enrol(k.token(""), "a1"); !fault.Is(err, fault.Conflict) {
		t.Errorf("a token for any name took an existing one: %v", err)
	}
	if err := enrol(k.token("a1"), "a1"); err != nil {
		t.Errorf("a token for exactly this name: %v", err)
	}
	fixed := k.token("b1")
	if err := enrol(fixed, "b2"); !fault.Is(err, fault.Denied) {
		t.Errorf("a token for another name: %v", err)
	}
	if err := enrol(fixed, "b1"); err != nil {
		t.Errorf("the mistake used the token up: %v", err)
	}
	if err := enrol(k.token(""), "../../etc"); !fault.Is(err, fault.Invalid) {
		t.Errorf("a hostile name: %v", err)
	}
	other := newDesk(t)
	if err := enrol(other.token(""), "c1"); !fault.Is(err, fault.Denied) {
		t.Errorf("a token of another controller: %v", err)
	}
}

func TestRevokedStrangerAndExpiredAreRefused(t *testing.T) {
	t.Parallel()
	k := newDesk(t)
	id := k.enrol("web1")
	h := newHand()
	done := k.connect(t.Context(), id, h)
	next(t, h.link, "the link")
	if err := k.d.Revoke(t.Context(), "web1"); err != nil {
		t.Fatal(err)
	}
	if err := next(t, done, "the end of the revoked stream"); !fault.Is(err, fault.Denied) {
		t.Errorf("revoked: %v", err)
	}
	if err := next(t, k.connect(t.Context(), id, newHand()), "the refusal"); !fault.Is(err, fault.Denied) {
		t.Errorf("revoked again: %v", err)
	}
	other := newDesk(t)
	stranger := other.enrol("web1")
	stranger.CA = id.CA // trusts this controller, and is not trusted by it
	if err := next(t, k.connect(t.Context(), stranger, newHand()), "the refusal"); err == nil {
		t.Error("a certificate of another authority was taken")
	}
	noCert := id
	noCert.Certificate = tls.Certificate{}
	if err := next(t, k.connect(t.Context(), noCert, newHand()), "the refusal"); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("without a certificate: %v", err)
	}
	old, err := job.OpenCA(k.t.TempDir(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if got := old.Fingerprint(); got == k.ca.Fingerprint() {
		t.Error("two authorities have one fingerprint")
	}
}

func TestExpiredCertificateIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	logger := slog.New(slog.NewTextHandler(t.Output(), nil))
	db, err := sqlite.Open(t.Context(), filepath.Join(dir, "db"), sqlite.Options{Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	past := func() time.Time { return time.Now().Add(-60 * 24 * time.Hour) }
	if _, err := job.OpenCA(dir, past); err != nil { // the authority is old and still valid
		t.Fatal(err)
	}
	then, err := job.OpenCA(dir, past)
	if err != nil {
		t.Fatal(err)
	}
	key, csr, err := job.NewRequest("web1")
	if err != nil {
		t.Fatal(err)
	}
	cert, _, err := then.IssueAgent("web1", csr)
	if err != nil {
		t.Fatal(err)
	}
	now, err := job.OpenCA(dir, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	k := &desk{t: t, db: db, ca: now, reports: map[string]int{}, got: make(chan job.Report, 1)}
	k.start("127.0.0.1:0")
	t.Cleanup(k.stop)
	id := job.Identity{Name: "web1", CA: now.Certificate(), Certificate: tls.Certificate{Certificate: [][]byte{cert}, PrivateKey: key}}
	if err := next(t, k.connect(t.Context(), id, newHand()), "the refusal"); err == nil {
		t.Error("an expired certificate was taken")
	}
}

func TestDrainGivesTheLeaseBackAndTheNextStartSendsTheJobAgain(t *testing.T) {
	t.Parallel()
	k := newDesk(t)
	id := k.enrol("web1")
	h := newHand()
	done := k.connect(t.Context(), id, h)
	next(t, h.link, "the link")
	k.order("web1", "inc.1")
	first := next(t, h.jobs, "the job")
	k.stop()
	if err := next(t, done, "the end"); err == nil {
		t.Error("the stream ended without a reason")
	}
	k.start("127.0.0.1:0")
	ctx, cancel := context.WithCancel(t.Context())
	done = k.connect(ctx, id, h)
	next(t, h.link, "the new link")
	again := next(t, h.jobs, "the job again")
	if again.ID != first.ID || again.Fence <= first.Fence {
		t.Errorf("got %s with fence %d after fence %d", again.ID, again.Fence, first.Fence)
	}
	cancel()
	next(t, done, "the end")
}

// TestStopAskedWhileTheAgentWasAwayReachesIt: the wish is kept with the run, and
// comes after the job whenever the job is sent again.
func TestStopAskedWhileTheAgentWasAwayReachesIt(t *testing.T) {
	t.Parallel()
	k := newDesk(t)
	id := k.enrol("web1")
	h := newHand()
	ctx, cancel := context.WithCancel(t.Context())
	done := k.connect(ctx, id, h)
	next(t, h.link, "the link")
	k.order("web1", "inc.1")
	k.order("web1", "inc.2")
	next(t, h.jobs, "the first job")
	next(t, h.jobs, "the second job")
	cancel()
	next(t, done, "the end")
	k.d.Cancel("web1", "inc.1", "bob said so") // nobody hears it

	k.mu.Lock()
	k.stopAsked = map[string]string{"inc.1": "bob said so"}
	k.mu.Unlock()
	ctx, cancel = context.WithCancel(t.Context())
	done = k.connect(ctx, id, h)
	next(t, h.link, "the new link")
	next(t, h.jobs, "a job again")
	next(t, h.jobs, "the other job again")
	if got := next(t, h.stops, "the wish to stop"); got != "inc.1: bob said so" {
		t.Errorf("got %q", got)
	}
	if len(h.stops) != 0 {
		t.Errorf("the other job was stopped, too: %q", <-h.stops)
	}
	cancel()
	next(t, done, "the end")
}

func TestHandsAreNotFilledBeyondWhatTheAgentTakes(t *testing.T) {
	t.Parallel()
	k := newDesk(t)
	id := k.enrol("web1")
	h := newHand()
	ctx, cancel := context.WithCancel(t.Context())
	done := k.connect(ctx, id, h)
	link := next(t, h.link, "the link")
	for i := range 5 {
		k.order("web1", fmt.Sprintf("inc.%d", i))
	}
	a, b := next(t, h.jobs, "job"), next(t, h.jobs, "job")
	rows, err := k.db.CountJobs(t.Context())
	if err != nil || rows["agent"] != 5 {
		t.Errorf("got %v, %v", rows, err)
	}
	if len(h.jobs) != 0 {
		t.Error("more than two at once")
	}
	if err := link.SendReport(ctx, job.Report{JobID: a.ID, Fence: a.Fence, Status: job.Done}); err != nil {
		t.Fatal(err)
	}
	if c := next(t, h.jobs, "the third job"); c.ID == a.ID || c.ID == b.ID {
		t.Errorf("%s came twice", c.ID)
	}
	cancel()
	next(t, done, "the end")
}
