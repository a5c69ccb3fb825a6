package agenttest

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/secondline-ops/secondline/agent"
	"github.com/secondline-ops/secondline/agent/guard"
	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/agent/journal"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/runbooks"
)

var errKilled = errors.New("the agent was killed")

// mortal is a disk whose process is killed at its n-th record: with the record
// on disk or not. From then on nothing of it reaches the disk or the network.
type mortal struct {
	quick
	written bool
	killed  func()

	mu   sync.Mutex // guards below
	left int
}

func (m *mortal) Append(path string) (journal.File, error) {
	f, err := m.quick.Append(path)
	return mortalFile{f, m}, err
}

type mortalFile struct {
	journal.File
	m *mortal
}

func (f mortalFile) Write(p []byte) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	f.m.left--
	switch {
	case f.m.left > 0:
		return f.File.Write(p)
	case f.m.left < 0:
		return 0, errKilled
	}
	f.m.killed()
	if f.m.written {
		if n, err := f.File.Write(p); err != nil {
			return n, err
		}
	}
	return 0, errKilled
}

// Truncate is not reached any more by a process that was killed.
func (f mortalFile) Truncate(int64) error { return errKilled }

// live lets the agent work until it is killed at its n-th record, and reports
// whether it came to that before the job had ended.
func (h *house) live(n int, written bool) (killed bool) {
	h.t.Helper()
	dead := make(chan struct{})
	h.disk = &mortal{left: n, written: written, killed: func() {
		h.k.wire.goDark()
		close(dead)
	}}
	h.start()
	ended := func() bool { return len(h.k.reports()) > 1 } // the plan's and the run's
	for !ended() && !killed {
		h.k.mu.Lock()
		changed := h.k.changed
		h.k.mu.Unlock()
		if ended() {
			break
		}
		select {
		case <-dead:
			killed = true
		case <-changed:
		case <-time.After(2 * time.Hour):
			h.t.Fatalf("neither killed at record %d nor ended", n)
		}
	}
	if !killed { // the acceptance is still to be written down
		time.Sleep(time.Minute)
		select {
		case <-dead:
			killed = true
		default:
		}
	}
	h.cancel()
	<-h.done
	h.k.wire.cut()
	h.k.wire.heal()
	return killed
}

// killedAnywhere kills the agent at every record of its journal, and once more
// at those records after that (0: not again).
func killedAnywhere(t *testing.T, text string, again []int, check func(t *testing.T, h *house, r job.Report)) {
	for _, second := range again {
		for _, written := range []bool{false, true} {
			if second > 0 && !written {
				continue // the pairs are many, and these are the least different
			}
			most := 0
			for first, killed := 1, true; killed; first++ {
				t.Run(fmt.Sprintf("written-%t-at-%d-then-%d", written, first, second), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						var h *house
						var r job.Report
						h, r, killed = killedAt(t, text, kill{first, second, written})
						defer h.stop()
						check(t, h, r)
						time.Sleep(time.Minute)
						if open := h.journal.OpenJobs(); len(open) != 0 {
							t.Errorf("the acceptance was not noted: %v", open)
						}
						most = first
					})
				})
			}
			if most < 9 {
				t.Errorf("only %d records were killed", most)
			}
		}
	}
}

// kill says at which record an agent is killed, and at which the one after it
// (0: not again), and whether that record is on disk.
type kill struct {
	first, second int
	written       bool
}

// killedAt returns the house, with an agent in it that lives, and the report.
func killedAt(t *testing.T, text string, k kill) (h *house, r job.Report, killed bool) {
	t.Helper()
	h = newHouse(t, newDesk(t))
	h.start()
	j := h.runJob("r", text)
	h.stop()
	h.k.order("web1", j)
	if killed = h.live(k.first, k.written); killed && k.second > 0 {
		h.live(k.second, k.written)
	}
	h.disk = quick{}
	h.start()
	return h, h.k.await("r"), killed
}

func TestAnAgentKilledAtAnyRecordFinishesItsRunAndActsOnce(t *testing.T) {
	t.Parallel()
	killedAnywhere(t, runbook("0s"), []int{0, 2}, func(t *testing.T, h *house, r job.Report) {
		h.expect(r, runbooks.RunVerified, 1, 1)
	})
}

func TestAnAgentKilledAtAnyRecordNeverRepeatsWhatItCannotAskAbout(t *testing.T) {
	t.Parallel()
	text := strings.ReplaceAll(strings.ReplaceAll(runbook("0s"), "      repeat: {ask: one.n >= 1}\n", ""), "      repeat: {ask: two.n >= 1}\n", "")
	killedAnywhere(t, text, []int{0}, func(t *testing.T, h *house, r job.Report) {
		if h.lines("one") > 1 || h.lines("two") > 1 {
			t.Fatalf("one acted %d times, two %d times", h.lines("one"), h.lines("two"))
		}
		if r.Status != job.Done || r.Run == nil {
			t.Fatalf("got %s, %+v", r.Status, r.Error)
		}
		switch r.Run.Status {
		case runbooks.RunVerified:
			h.expect(r, runbooks.RunVerified, 1, 1)
		case runbooks.RunUnknown:
		default:
			t.Errorf("the run is %s: %s", r.Run.Status, r.Run.Why)
		}
	})
}

// TestADiskThatFailsIsReportedAndNothingIsDoneWithoutAnIntent fails the disk of
// an agent that lives on.
func TestADiskThatFailsIsReportedAndNothingIsDoneWithoutAnIntent(t *testing.T) {
	t.Parallel()
	for at := 1; at <= 8; at++ { // the records before the report
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t, newDesk(t))
				h.disk = &mortal{left: at, killed: func() {}}
				h.start()
				defer h.stop()
				r := h.k.do(h.runJob("r", runbook("0s")))
				if r.Error == nil || r.Error.Kind != fault.Internal {
					t.Errorf("got %s, %+v", r.Status, r.Error)
				}
				acted := h.lines("one") + h.lines("two")
				if acted > 0 && r.Status != job.Unknown || acted == 0 && r.Status != job.Failed {
					t.Errorf("acted %d times, and the report is %s", acted, r.Status)
				}
				if at <= 3 && acted > 0 {
					t.Error("a step acted without its intent on disk")
				}
			})
		})
	}
}

// TestARunThatActedIsNotCalledRefusedWhenItCannotGoOn turns the agent into an
// observer in the middle of a run.
func TestARunThatActedIsNotCalledRefusedWhenItCannotGoOn(t *testing.T) {
	t.Parallel()
	for acted, want := range map[bool]job.Status{true: job.Unknown, false: job.Refused} {
		t.Run(string(want), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := newHouse(t, newDesk(t))
				h.start()
				j := h.runJob("r", runbook("0s"))
				h.stop()
				h.k.order("web1", j)
				at := 2 // the plan
				if acted {
					at = 4 // the first outcome
				}
				if !h.live(at, true) {
					t.Fatal("it was not killed")
				}
				h.disk, h.edit = quick{}, func(o *agent.Options) { o.Limits.Mode = guard.Observe }
				h.start()
				defer h.stop()
				r := h.k.await("r")
				if r.Status != want || r.Error == nil || r.Error.Kind != fault.Denied || h.lines("two") != 0 {
					t.Errorf("got %s, %+v", r.Status, r.Error)
				}
			})
		})
	}
}
