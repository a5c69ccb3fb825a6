package agenttest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/secondline-ops/secondline/agent"
	"github.com/secondline-ops/secondline/agent/guard"
	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/runbooks"
)

// panics is a Reacher with a bug.
type panics struct{}

func (panics) Reach(context.Context, job.Target) (remote.Transport, error) { panic("a bug") }

func TestAReportIsDeliveredUntilItsAnswerArrives(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, newDesk(t))
		h.start()
		defer h.stop()
		j := h.runJob("r", runbook("0s"))
		var once sync.Once
		h.k.hook(nil, func(r job.Report) {
			if r.JobID == "r" {
				once.Do(h.k.wire.cut) // stored, and the acceptance will not arrive
			}
		})
		h.expect(h.k.do(j), runbooks.RunVerified, 1, 1)
		time.Sleep(time.Minute)
		n := h.k.deliveries("r")
		if n < 2 {
			t.Errorf("delivered %d times, and the first answer was lost", n)
		}
		time.Sleep(10 * time.Minute)
		if more := h.k.deliveries("r") - n; more != 0 {
			t.Errorf("delivered %d times more after it was accepted", more)
		}
		if open := h.journal.OpenJobs(); len(open) != 0 {
			t.Errorf("the acceptance was not noted: %v", open)
		}
	})
}

func TestAReportThatCannotBeStoredComesAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, newDesk(t))
		h.start()
		defer h.stop()
		var tries atomic.Int64
		h.k.hook(func(job.Report) error {
			if tries.Add(1) < 4 {
				return fault.New(fault.Overloaded, "the disk is full")
			}
			return nil
		}, nil)
		r := h.k.do(h.planJob("p", runbook("0s")))
		// At least the fourth: on a new connection a report may go out twice at once.
		if r.Status != job.Done || tries.Load() < 4 {
			t.Errorf("%s after %d tries", r.Status, tries.Load())
		}
	})
}

func TestAReportOutlivesItsAgent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, newDesk(t))
		h.start()
		j := h.runJob("r", runbook("0s"))
		h.k.hook(func(job.Report) error { return fault.New(fault.Overloaded, "not now") }, nil)
		h.k.order("web1", j)
		for h.k.deliveries("r") == 0 {
			time.Sleep(time.Second)
		}
		h.stop()
		h.k.hook(nil, nil)
		h.start()
		defer h.stop()
		h.expect(h.k.await("r"), runbooks.RunVerified, 1, 1)
	})
}

// script is a controller that says what a test wants it to say.
type script struct {
	job.Backend
	sessions chan job.Session
	got      chan job.Report // may be full

	mu      sync.Mutex // guards below
	reports []job.Report
	renewed int
}

func (s *script) Authorize(context.Context, string, string) error { return nil }

func (s *script) Connect(_ context.Context, sess job.Session) (job.Inbound, error) {
	s.sessions <- sess
	return s, nil
}

func (s *script) Renew(context.Context, string, int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.renewed++
	return nil
}

func (s *script) Report(_ context.Context, r job.Report) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reports = append(s.reports, r)
	select {
	case s.got <- r:
	default:
	}
	return nil
}

func (s *script) Event(context.Context, job.Event) {}
func (s *script) Close()                           {}

// await waits for a report of the job. Reports of others are passed over: a
// report may arrive more than once, before it is known to be accepted.
func (s *script) await(jobID string) job.Report {
	for {
		if r := <-s.got; r.JobID == jobID {
			return r
		}
	}
}

func (s *script) received() []job.Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.reports)
}

func (s *script) renewals() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.renewed
}

func (s *script) fences() string {
	text := ""
	for _, r := range s.received() {
		text += fmt.Sprintf("%s:%d ", r.JobID, r.Fence)
	}
	return text
}

// scripted puts a script in the controller's place.
func scripted(t *testing.T, k *desk) *script {
	t.Helper()
	k.stop()
	s := &script{sessions: make(chan job.Session, 10), got: make(chan job.Report, 10)}
	srv, err := job.NewServer(job.ServerOptions{CA: k.ca, Backend: inbound{s}, Controller: "script", Logger: k.logger()})
	if err != nil {
		t.Fatal(err)
	}
	l := &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
	k.wire.mu.Lock()
	k.wire.listener = l
	k.wire.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(l)
	}()
	t.Cleanup(func() {
		srv.Stop()
		<-done
	})
	return s
}

// inbound keeps the two Renew methods of Backend and Inbound apart.
type inbound struct{ *script }

func (inbound) Renew(context.Context, string, []byte) ([]byte, error) {
	return nil, fault.New(fault.Internal, "not scripted")
}

func TestAJobSentAgainActsOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := newDesk(t)
		h := newHouse(t, k)
		h.start()
		j := h.runJob("r", runbook("1m"))
		h.stop()
		s := scripted(t, k)
		h.start()
		defer h.stop()
		sess := <-s.sessions
		send := func(fence int64) {
			j.Fence = fence
			if err := sess.SendJob(j); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		send(1)
		send(1) // while it runs
		send(3)
		send(2) // on another way, late
		if err := sess.SendLeaseLost("r", 2, "old news"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		if got := s.fences(); got != "r:3 " {
			t.Errorf("reports %q, want one with the newest fence", got)
		}
		send(4) // the controller lost its store
		time.Sleep(time.Minute)
		send(2) // a fence below one that is on disk
		time.Sleep(time.Minute)
		if got := s.fences(); got != "r:3 r:4 " {
			t.Errorf("reports %q", got)
		}
		h.expect(s.received()[1], runbooks.RunVerified, 1, 1)
		if n := s.renewals(); n < 5 {
			t.Errorf("the lease was renewed %d times in a minute", n)
		}
	})
}

func TestALeaseThatIsLostStopsTheRunAndItGoesOnWhenItIsSentAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := newDesk(t)
		h := newHouse(t, k)
		h.start()
		j := h.runJob("r", runbook("5m"))
		h.stop()
		s := scripted(t, k)
		h.start()
		defer h.stop()
		sess := <-s.sessions
		j.Fence = 1
		if err := sess.SendJob(j); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if err := sess.SendLeaseLost("r", 1, "it was given to somebody else"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Minute)
		if got := s.fences(); got != "" || h.lines("one") != 1 || h.lines("two") != 0 {
			t.Fatalf("reports %q, one acted %d times, two %d times", got, h.lines("one"), h.lines("two"))
		}
		j.Fence = 2
		if err := sess.SendJob(j); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Minute)
		if got := s.fences(); got != "r:2 " {
			t.Fatalf("reports %q", got)
		}
		h.expect(s.received()[0], runbooks.RunVerified, 1, 1)
	})
}

// TestAJobSentAgainWhileItIsStoppedGoesOnAtOnce runs in real time, because a
// process is at work.
func TestAJobSentAgainWhileItIsStoppedGoesOnAtOnce(t *testing.T) {
	t.Parallel()
	k := newDesk(t)
	h := newHouse(t, k)
	g := newGate(t, h.dir)
	h.start()
	j := h.runJob("r", gatedStep)
	h.stop()
	s := scripted(t, k)
	h.start()
	defer h.stop()
	sess := <-s.sessions
	j.Fence = 1
	send := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	send(sess.SendJob(j))
	g.awaitBegin(t)
	send(sess.SendLeaseLost("r", 1, "the store was away"))
	j.Fence = 2
	send(sess.SendJob(j))
	probe := h.planJob("p", gatedStep) // its report says that what was sent before it has arrived
	probe.Fence = 1
	send(sess.SendJob(probe))
	s.await("p")
	g.open(t)
	r := s.await("r")
	if r.Fence != 2 {
		t.Errorf("the report has fence %d", r.Fence)
	}
	h.expect(r, runbooks.RunVerified, 1, 1)
}

func TestACancelledRunStopsAndSaysSo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, newDesk(t))
		h.start()
		defer h.stop()
		h.k.order("web1", h.runJob("r", runbook("5m")))
		time.Sleep(time.Minute)
		h.k.d.Cancel("web1", "r", "ada said stop")
		h.expect(h.k.await("r"), runbooks.RunCancelled, 1, 0)
	})
}

// gate is a step that waits: it opens one named pipe to say that it began, and
// another to learn that it may end.
type gate struct{ began, release string }

func newGate(t *testing.T, dir string) gate {
	t.Helper()
	g := gate{filepath.Join(dir, "began"), filepath.Join(dir, "release")}
	for _, p := range []string{g.began, g.release} {
		if err := syscall.Mkfifo(p, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return g
}

func (g gate) awaitBegin(t *testing.T) {
	t.Helper()
	f, err := os.OpenFile(g.began, os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
}

func (g gate) open(t *testing.T) {
	t.Helper()
	f, err := os.OpenFile(g.release, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
}

const gatedStep = `
apiVersion: secondline/v1
kind: Runbook
metadata: {name: gated, title: A step that waits}
spec:
  probes:
    one: {probe: file.lines, with: {path: DIR/one}}
    two: {probe: file.lines, with: {path: DIR/two}}
  steps:
    - id: first
      run: [sh, -c, ': > "$1"; : < "$2"; echo acted >> "$3"', sh, DIR/began, DIR/release, DIR/one]
      verify: {that: one.n >= 1, within: 1m}
      repeat: {ask: one.n >= 1}
      undo: none
    - id: second
      run: [sh, -c, 'echo acted >> "$1"', sh, DIR/two]
      verify: {that: two.n >= 1, within: 1m}
      undo: none
`

// TestStoppingTheAgentWaitsForTheOpenStepAndTheRunGoesOnLater runs in real time:
// the clock of a bubble stands still while a process is at work.
func TestStoppingTheAgentWaitsForTheOpenStepAndTheRunGoesOnLater(t *testing.T) {
	t.Parallel()
	h := newHouse(t, newDesk(t))
	g := newGate(t, h.dir)
	h.start()
	h.k.order("web1", h.runJob("r", gatedStep))
	g.awaitBegin(t)
	h.cancel()
	<-h.k.wire.newest().closed // the agent has heard it
	select {
	case err := <-h.done:
		t.Fatalf("the agent left its step alone: %v", err)
	default:
	}
	g.open(t)
	if err := <-h.done; err != nil {
		t.Fatal(err)
	}
	if h.lines("one") != 1 || h.lines("two") != 0 || len(h.k.reports()) != 1 {
		t.Fatalf("one %d, two %d, %d reports", h.lines("one"), h.lines("two"), len(h.k.reports()))
	}
	h.start()
	defer h.stop()
	h.expect(h.k.await("r"), runbooks.RunVerified, 1, 1)
}

// sometimes is a way to this machine that may be cut.
type sometimes struct{ cut atomic.Bool }

func (s *sometimes) Reach(ctx context.Context, t job.Target) (remote.Transport, error) {
	if s.cut.Load() {
		return nil, &remote.Error{Class: remote.Unreachable, Doing: "dial", Err: errors.New("no route to host")}
	}
	return here{}.Reach(ctx, t)
}

func TestAHalfDoneRunWaitsForItsTarget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := newDesk(t)
		h := newHouse(t, k)
		h.start()
		j := h.runJob("r", runbook("5m"))
		h.stop()
		s := scripted(t, k)
		way := &sometimes{}
		h.edit = func(o *agent.Options) { o.Reach = way }
		h.start()
		defer h.stop()
		sess := <-s.sessions
		send := func(fence int64, cut bool) {
			way.cut.Store(cut)
			j.Fence = fence
			if err := sess.SendJob(j); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
		send(1, false)
		if err := sess.SendLeaseLost("r", 1, "the store was away"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Minute)
		send(2, true)
		if got := s.fences(); got != "" || h.lines("one") != 1 {
			t.Fatalf("reports %q, one acted %d times", got, h.lines("one"))
		}
		send(3, false)
		time.Sleep(30 * time.Minute)
		if got := s.fences(); got != "r:3 " {
			t.Fatalf("reports %q", got)
		}
		h.expect(s.received()[0], runbooks.RunVerified, 1, 1)
	})
}

// counted is a way to this machine that counts who is there.
type counted struct {
	mu        sync.Mutex // guards below
	now, most int
}

func (c *counted) Reach(ctx context.Context, t job.Target) (remote.Transport, error) {
	c.mu.Lock()
	c.now++
	c.most = max(c.most, c.now)
	c.mu.Unlock()
	time.Sleep(time.Minute)
	c.mu.Lock()
	c.now--
	c.mu.Unlock()
	return here{}.Reach(ctx, t)
}

func TestNoMoreJobsAtOnceThanSlots(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := newDesk(t)
		h := newHouse(t, k)
		s := scripted(t, k)
		way := &counted{}
		h.edit = func(o *agent.Options) { o.Reach, o.Limits = way, guard.Limits{MaxJobs: 3} }
		h.start()
		defer h.stop()
		sess := <-s.sessions
		for i := range 10 { // a controller that counts wrongly
			j := h.planJob(fmt.Sprintf("p%d", i), runbook("0s"))
			j.Fence = 1
			if err := sess.SendJob(j); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(10 * time.Minute)
		reported := map[string]bool{}
		for _, r := range s.received() {
			reported[r.JobID] = true
		}
		way.mu.Lock()
		defer way.mu.Unlock()
		if way.most != 3 || len(reported) != 10 {
			t.Errorf("%d at once, reports of %d", way.most, len(reported))
		}
	})
}
