package unit_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/actions/unit"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// systemd is a host with one unit. It is strict: a command it does not know
// fails the test.
type systemd struct {
	remote.Runner
	t *testing.T

	mu       sync.Mutex // guards below
	load     string
	state    string
	file     string
	starts   int
	restarts int
	crashes  time.Time        // when the unit crashes and comes back by itself
	verbs    []string         // what was done to it
	fail     map[string]error // by verb, in place of the deed
	lose     map[string]error // by verb, behind the deed
	deaf     bool             // show gives nothing
	stays    bool             // a start changes nothing
}

func (s *systemd) Target() string { return "h1" }

func (s *systemd) Run(_ context.Context, cmd remote.Command) (remote.Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(cmd.Argv) < 4 || cmd.Argv[0] != "systemctl" || !slices.Equal(cmd.Argv[len(cmd.Argv)-2:], []string{"--", "web.service"}) || cmd.As != "root" {
		s.t.Errorf("unscripted: %q as %q", cmd.Argv, cmd.As)
		return remote.Result{}, errors.New("unscripted")
	}
	verb := cmd.Argv[1]
	if (verb == "show") != (cmd.Effect == remote.Read) {
		s.t.Errorf("%s has effect %q", verb, cmd.Effect)
	}
	if verb == "show" {
		return s.show()
	}
	s.verbs = append(s.verbs, verb)
	if err := s.fail[verb]; err != nil {
		return remote.Result{}, err
	}
	switch verb {
	case "start", "restart":
		s.starts++
		s.restarts = 0
		if !s.stays {
			s.state = "active"
		}
	case "stop":
		s.state = "inactive"
	case "reset-failed":
		s.state = "inactive"
	case "enable", "disable":
		s.file = verb + "d"
	case "reload":
	default:
		s.t.Errorf("unscripted: %q", cmd.Argv)
	}
	return remote.Result{}, s.lose[verb]
}

func (s *systemd) show() (remote.Result, error) {
	if s.deaf {
		return remote.Result{}, &remote.Error{Class: remote.TimedOut}
	}
	if !s.crashes.IsZero() && time.Now().After(s.crashes) {
		s.starts, s.restarts, s.crashes = s.starts+1, s.restarts+1, time.Time{}
	}
	return remote.Result{Stdout: fmt.Appendf(nil, "Type=notify\nMainPID=%d\nNRestarts=%d\nResult=success\nLoadState=%s\nActiveState=%s\nSubState=x\n"+
		"UnitFileState=%s\nInvocationID=id%d\nStateChangeTimestampMonotonic=%d\n",
		s.starts+100, s.restarts, s.load, s.state, s.file, s.starts, s.starts)}, nil
}

// journal keeps everything, and dies where it is told to.
type journal struct {
	records []engine.Record
	dieAt   int
}

var errCrash = errors.New("killed")

func (j *journal) Append(_ context.Context, r engine.Record) error {
	if j.dieAt > 0 && len(j.records)+1 >= j.dieAt {
		return errCrash
	}
	j.records = append(j.records, r)
	return nil
}

func (j *journal) Records() ([]engine.Record, error) { return slices.Clone(j.records), nil }

type noProbes struct{}

func (noProbes) Names() []string { return nil }

func (noProbes) Fields(string) (in, out []expr.Field, ok bool) { return nil, nil, false }

func (noProbes) Read(context.Context, remote.Runner, string, map[string]string) (map[string]any, error) {
	return nil, errors.New("no probes here")
}

type story struct {
	host    *systemd
	journal *journal
	deps    engine.Deps
	binding engine.Binding
}

func newStory(t *testing.T, state unit.State, active string, more ...string) *story {
	t.Helper()
	text := fmt.Sprintf(`
apiVersion: secondline/v1
kind: Runbook
metadata: {name: test, title: A test}
spec:
  inputs:
    name: {type: string}
  steps:
    - id: act
      unit: {name: "${inputs.name}", state: %s}
      as: root
      preserve: none
      verify: {within: 20s, hold: 60s}
%s`, state, strings.Join(more, ""))
	actions := []engine.Action{unit.Action{}}
	rb, err := runbooks.Parse("test.yaml", []byte(text), runbooks.ParseOptions{Decoders: []runbooks.Decoder{unit.Action{}}, Probes: noProbes{}})
	if err != nil {
		t.Fatal(err)
	}
	s := &story{
		host:    &systemd{t: t, load: "loaded", state: active, file: "disabled", starts: 1, fail: map[string]error{}, lose: map[string]error{}},
		journal: &journal{},
	}
	s.deps = engine.Deps{Actions: actions, Probes: noProbes{}, Specs: noProbes{}, Journal: s.journal, Now: time.Now, CommandOutlives: -1}
	s.binding = engine.Binding{Runbook: rb, Target: entity.Entity{ID: "h1"}, Given: map[string]string{"name": "web.service"}}
	return s
}

func (s *story) plan(t *testing.T) runbooks.Plan {
	t.Helper()
	p, err := engine.Plan(t.Context(), s.host, s.binding, s.deps)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (s *story) run(t *testing.T) runbooks.RunResult {
	t.Helper()
	res, err := engine.Run(t.Context(), s.host, s.binding, engine.Approved{Digest: s.plan(t).Digest}, s.deps)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func TestEveryStateIsReachedAndMeasured(t *testing.T) {
	t.Parallel()
	tests := []struct {
		state  unit.State
		before string
		verbs  []string
		diff   string
	}{
		{unit.Started, "inactive", []string{"start"}, "-active_state: inactive\n+active_state: active\n"},
		{unit.Started, "active", nil, ""},
		{unit.Stopped, "active", []string{"stop"}, "-active_state: active\n+active_state: inactive\n"},
		{unit.Restarted, "failed", []string{"restart"}, "-active_state: failed\n+active_state: active\n"},
		{unit.Restarted, "active", []string{"restart"}, "+active_state: active, by a restart\n"},
		{unit.Reloaded, "active", []string{"reload"}, "+configuration: read again\n"},
		{unit.ResetFailed, "failed", []string{"reset-failed"}, "-active_state: failed\n+active_state: inactive\n"},
		{unit.Enabled, "active", []string{"enable"}, "-unit_file_state: disabled\n+unit_file_state: enabled\n"},
	}
	for _, tt := range tests {
		t.Run(string(tt.state)+"-from-"+tt.before, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newStory(t, tt.state, tt.before)
				p := s.plan(t)
				if got := p.Steps[0].Diff; !strings.HasSuffix(got, tt.diff) || p.Steps[0].Noop != (tt.verbs == nil) {
					t.Errorf("diff %q, noop %t", got, p.Steps[0].Noop)
				}
				if s.host.verbs != nil {
					t.Errorf("planning did %v", s.host.verbs)
				}
				start := time.Now()
				res := s.run(t)
				if res.Status != runbooks.RunVerified || !slices.Equal(s.host.verbs, tt.verbs) {
					t.Errorf("%s (%s), did %v", res.Status, res.Why, s.host.verbs)
				}
				if time.Since(start) < time.Minute {
					t.Error("it was not held")
				}
			})
		})
	}
}

func TestAUnitThatComesBackByItselfIsRefuted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStory(t, unit.Restarted, "failed")
		s.host.crashes = time.Now().Add(30 * time.Second) // in the hold
		res := s.run(t)
		if res.Status != runbooks.RunRefuted || res.Steps[0].Verified {
			t.Errorf("%s: %s", res.Status, res.Why)
		}
		if !slices.Equal(s.host.verbs, []string{"restart"}) {
			t.Errorf("did %v", s.host.verbs)
		}
	})
}

func TestAStartThatDoesNotHelpIsTakenBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStory(t, unit.Started, "inactive")
		s.host.stays = true
		s.host.state = "activating"
		res := s.run(t)
		if res.Status != runbooks.RunUndone || !slices.Equal(s.host.verbs, []string{"start", "stop"}) {
			t.Errorf("%s (%s), did %v", res.Status, res.Why, s.host.verbs)
		}
	})
}

func TestARestartThatWasCutOffIsLookedAt(t *testing.T) {
	t.Parallel()
	for name, deaf := range map[string]bool{"and seen": false, "and not to be seen": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newStory(t, unit.Restarted, "failed")
				digest := s.plan(t).Digest
				s.host.lose["restart"] = &remote.Error{Class: remote.Lost}
				want := runbooks.RunVerified
				if deaf {
					want = runbooks.RunUnknown
					s.deps.OnEvent = func(e engine.Event) {
						if e.Text == "running" {
							s.host.deaf = true
						}
					}
				}
				res, err := engine.Run(t.Context(), s.host, s.binding, engine.Approved{Digest: digest}, s.deps)
				if err != nil || res.Status != want || !slices.Equal(s.host.verbs, []string{"restart"}) {
					t.Errorf("%s (%s), error %v, did %v", res.Status, res.Why, err, s.host.verbs)
				}
			})
		})
	}
}

func TestAfterACrashAUnitIsRestartedOnce(t *testing.T) {
	t.Parallel()
	for dieAt := 1; dieAt <= 5; dieAt++ {
		synctest.Test(t, func(t *testing.T) {
			s := newStory(t, unit.Restarted, "failed")
			digest := s.plan(t).Digest
			s.journal.dieAt = dieAt
			res, err := engine.Run(t.Context(), s.host, s.binding, engine.Approved{Digest: digest}, s.deps)
			if err != nil {
				s.journal.dieAt = 0
				res, err = engine.Resume(t.Context(), s.host, s.binding, engine.Approved{Digest: digest}, s.deps)
			}
			if err != nil || res.Status != runbooks.RunVerified || !slices.Equal(s.host.verbs, []string{"restart"}) {
				t.Errorf("killed at %d: %s (%s), error %v, did %v", dieAt, res.Status, res.Why, err, s.host.verbs)
			}
		})
	}
}

func TestAfterACrashAStepThatMustNotBeRepeatedIsNot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStory(t, unit.Restarted, "failed", "      repeat: never\n")
		digest := s.plan(t).Digest
		s.journal.dieAt = 3 // the intent is there, the outcome is not
		s.host.fail["restart"] = &remote.Error{Class: remote.Unreachable}
		if _, err := engine.Run(t.Context(), s.host, s.binding, engine.Approved{Digest: digest}, s.deps); !errors.Is(err, errCrash) {
			t.Fatal(err)
		}
		s.journal.dieAt, s.host.verbs = 0, nil
		res, err := engine.Resume(t.Context(), s.host, s.binding, engine.Approved{Digest: digest}, s.deps)
		if err != nil || res.Status != runbooks.RunUnknown || s.host.verbs != nil {
			t.Errorf("%s (%s), error %v, did %v", res.Status, res.Why, err, s.host.verbs)
		}
	})
}

func TestWhatCannotBeTouchedIsNotPlanned(t *testing.T) {
	t.Parallel()
	tests := []struct {
		load, name string
		want       fault.Kind
	}{
		{"not-found", "web.service", fault.NotFound},
		{"masked", "web.service", fault.Denied},
		{"loaded", "web service", fault.Invalid},
		{"loaded", "*", fault.Invalid},
		{"loaded", "web.service/../x", fault.Invalid},
		{"loaded", "$(reboot)", fault.Invalid},
	}
	for _, tt := range tests {
		s := newStory(t, unit.Restarted, "failed")
		s.host.load = tt.load
		s.binding.Given["name"] = tt.name
		if _, err := engine.Plan(t.Context(), s.host, s.binding, s.deps); !fault.Is(err, tt.want) {
			t.Errorf("%s, %q: got %v, want %s", tt.load, tt.name, err, tt.want)
		}
		if s.host.verbs != nil {
			t.Errorf("did %v", s.host.verbs)
		}
	}
}

func TestAUnitThatCannotBeReadIsNeverVerified(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStory(t, unit.Started, "inactive")
		s.deps.OnEvent = func(e engine.Event) {
			s.host.mu.Lock()
			defer s.host.mu.Unlock()
			s.host.deaf = s.host.deaf || e.Text == "verifying"
		}
		res := s.run(t)
		if res.Status == runbooks.RunVerified || res.Steps[0].Verified {
			t.Errorf("%s: %s", res.Status, res.Why)
		}
	})
}

func TestDecodingSaysWhereAStepIsWrong(t *testing.T) {
	t.Parallel()
	for _, part := range []string{"{name: x}", "{name: x, state: running}", "{name: x, state: started, force: true}", "[]", `{name: "${nobody}", state: started}`} {
		text := "apiVersion: secondline/v1\nkind: Runbook\nmetadata: {name: test, title: A test}\nspec:\n  steps:\n    - id: a\n      preserve: none\n      unit: " + part + "\n"
		if _, err := runbooks.Parse("t.yaml", []byte(text), runbooks.ParseOptions{Decoders: []runbooks.Decoder{unit.Action{}}, Probes: noProbes{}}); err == nil {
			t.Errorf("%s was accepted", part)
		}
	}
}

func TestAUnitThatChangedSinceItsPlanIsLeftAlone(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ before, after, why string }{
		{"active", "inactive", "step act: it had nothing to change, and now would change something"},
		{"inactive", "active", "step act: it was to change something, and now has nothing to change"},
		{"inactive", "failed", "step act: what it would change is no longer what was approved"},
	} {
		s := newStory(t, unit.Started, tt.before)
		p := s.plan(t)
		s.host.state = tt.after
		res, err := engine.Run(t.Context(), s.host, s.binding, engine.Approved{Digest: p.Digest, Plan: &p}, s.deps)
		if err != nil || res.Status != runbooks.RunRefused || !strings.Contains(res.Why, tt.why) || s.host.verbs != nil {
			t.Errorf("%s, then %s: %s (%s), error %v, did %v", tt.before, tt.after, res.Status, res.Why, err, s.host.verbs)
		}
	}
}
