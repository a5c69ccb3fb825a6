package timer_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/actions/internal/actiontest"
	"github.com/secondline-ops/secondline/runbooks/actions/timer"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// systemd is a host with one timer and its service. It is strict: what it does
// not know fails the test.
type systemd struct {
	mu      sync.Mutex // guards below
	load    string     // of the timer
	unit    string     // what it activates
	state   string     // of the service
	result  string
	job     string
	more    string // other properties of it
	runs    int
	takes   time.Duration // how long a run takes that systemctl does not see the end of
	ends    time.Time
	outcome string // of a run: "success", or how it fails
	skips   bool   // a condition of the unit does not hold
	starts  [][]string
	deaf    bool
}

func newSystemd() *systemd {
	return &systemd{load: "loaded", unit: "backup.service", state: "inactive", result: "success", job: "0", runs: 1, outcome: "success"}
}

func (s *systemd) answer(cmd remote.Command) actiontest.Answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == "activating" && !s.ends.IsZero() && !time.Now().Before(s.ends) {
		s.finish()
	}
	argv := cmd.Argv
	name := argv[len(argv)-1]
	switch {
	case cmd.As != "root" || len(argv) < 4 || argv[0] != "systemctl" || argv[len(argv)-2] != "--":
		return actiontest.Answer{}
	case argv[1] == "show" && cmd.Effect == remote.Read && s.deaf:
		return actiontest.Answer{Err: &remote.Error{Class: remote.TimedOut}}
	case argv[1] == "show" && cmd.Effect == remote.Read && name == "backup.timer":
		return actiontest.Says(0, fmt.Sprintf("LoadState=%s\nActiveState=active\nUnit=%s\n", s.load, s.unit))
	case argv[1] == "show" && cmd.Effect == remote.Read && name == s.unit:
		return actiontest.Says(0, fmt.Sprintf("LoadState=loaded\nActiveState=%s\nSubState=x\nResult=%s\nInvocationID=id%d\nExecMainStatus=1\nJob=%s\n%s",
			s.state, s.result, s.runs, s.job, s.more))
	case argv[1] == "start" && cmd.Effect == remote.Write && name == s.unit:
		s.starts = append(s.starts, slices.Clone(argv[2:len(argv)-2]))
		return s.start()
	}
	return actiontest.Answer{}
}

func (s *systemd) start() actiontest.Answer {
	if s.skips {
		s.more = "ConditionResult=no\n"
		return actiontest.Says(0, "")
	}
	s.runs++
	if s.takes > 0 {
		s.state, s.ends = "activating", time.Now().Add(s.takes)
		return actiontest.Says(0, "")
	}
	s.finish()
	if s.outcome != "success" {
		return actiontest.Says(1, "")
	}
	return actiontest.Says(0, "")
}

func (s *systemd) finish() {
	s.state, s.result = "inactive", s.outcome
	if s.outcome != "success" {
		s.state = "failed"
	}
}

func (s *systemd) story(t *testing.T) *actiontest.Story {
	t.Helper()
	spec := "  inputs:\n    name: {type: string, default: backup}\n  steps:\n    - id: act\n      timer: {name: \"${inputs.name}\", run: now}\n      as: root\n      verify: {within: 30s, hold: 5s}\n      undo: none\n"
	return actiontest.New(t, timer.Action{}, actiontest.Fake(t, s.answer), spec, nil)
}

func TestTheServiceOfATimerIsRunOnce(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(s *systemd)
		want   []string
	}{
		"a oneshot":                     {func(*systemd) {}, []string{"--wait"}},
		"one that failed last time":     {func(s *systemd) { s.state, s.result = "failed", "exit-code" }, []string{"--wait"}},
		"one that ends after systemctl": {func(s *systemd) { s.takes = 20 * time.Second }, []string{"--wait"}},
		"one of another name":           {func(s *systemd) { s.unit = "other@x.service" }, []string{"--wait"}},
		"one that remains active":       {func(s *systemd) { s.more = "RemainAfterExit=yes\n" }, []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSystemd()
				tt.change(s)
				story := s.story(t)
				p := story.Plan()
				if !strings.Contains(p.Steps[0].Diff, s.unit+" is run once") || p.Steps[0].Undo != "none" {
					t.Errorf("plan %+v", p.Steps[0])
				}
				story.Want(story.RunPlan(p), runbooks.RunVerified, "")
				if len(s.starts) != 1 || !slices.Equal(s.starts[0], tt.want) {
					t.Errorf("started with %q", s.starts)
				}
			})
		})
	}
}

func TestARunThatDoesNotSucceedIsNotVerified(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(s *systemd){
		"failed":                func(s *systemd) { s.outcome = "exit-code" },
		"failed later":          func(s *systemd) { s.takes, s.outcome = 10*time.Second, "timeout" },
		"did not end":           func(s *systemd) { s.takes = time.Hour },
		"was skipped":           func(s *systemd) { s.skips = true },
		"cannot be seen by now": func(*systemd) {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSystemd()
				change(s)
				story := s.story(t)
				story.Deps.OnEvent = func(e engine.Event) {
					s.mu.Lock()
					defer s.mu.Unlock()
					s.deaf = s.deaf || e.Status == runbooks.StepVerifying && strings.HasPrefix(name, "cannot")
				}
				story.Want(story.Run(), runbooks.RunRefuted, "")
				if len(s.starts) != 1 {
					t.Errorf("started %d times", len(s.starts))
				}
			})
		})
	}
}

func TestWhatMustNotBeStartedIsRefused(t *testing.T) {
	t.Parallel()
	for why, tt := range map[string]struct {
		change func(s *systemd)
		name   string
		kind   fault.Kind
	}{
		"there is no timer":        {func(s *systemd) { s.load = "not-found" }, "backup", fault.NotFound},
		"is masked":                {func(s *systemd) { s.load = "masked" }, "backup.timer", fault.Denied},
		"which is no service":      {func(s *systemd) { s.unit = "backup.target" }, "backup", fault.Denied},
		"is no service":            {func(s *systemd) { s.unit = "" }, "backup", fault.Denied},
		"at work right now":        {func(s *systemd) { s.state = "activating" }, "backup", fault.Denied},
		"at work right now: act":   {func(s *systemd) { s.state = "active" }, "backup", fault.Denied},
		"a start would do nothing": {func(s *systemd) { s.state, s.more = "active", "RemainAfterExit=yes\n" }, "backup", fault.Denied},
		"has a job":                {func(s *systemd) { s.job = "77" }, "backup", fault.Denied},
		"RefuseManualStart":        {func(s *systemd) { s.more = "RefuseManualStart=yes\n" }, "backup", fault.Denied},
		"not the name of a timer":  {func(*systemd) {}, "backup.service", fault.Invalid},
		"not the name":             {func(*systemd) {}, "../x", fault.Invalid},
		"the name of a timer":      {func(*systemd) {}, "$(id).timer", fault.Invalid},
		"name of a timer":          {func(*systemd) {}, "a b", fault.Invalid},
	} {
		s := newSystemd()
		tt.change(s)
		story := s.story(t)
		story.Binding.Given = map[string]string{"name": tt.name}
		if _, err := story.TryPlan(); !fault.Is(err, tt.kind) || !strings.Contains(err.Error(), why) {
			t.Errorf("got %v, want %q", err, why)
		}
	}
}

func TestAServiceThatRanSinceThePlanIsLeftAlone(t *testing.T) {
	t.Parallel()
	for why, change := range map[string]func(s *systemd){
		"by somebody else": func(s *systemd) { s.runs++ }, "at work right now": func(s *systemd) { s.state = "activating" },
	} {
		s := newSystemd()
		story := s.story(t)
		story.Deps.OnEvent = func(e engine.Event) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if e.Status == runbooks.StepRunning {
				change(s)
			}
		}
		story.Want(story.Run(), runbooks.RunFailed, why)
		if len(s.starts) != 0 {
			t.Error("it was started")
		}
	}
}

func TestALostConnectionIsResolvedByLooking(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		takes time.Duration
		want  runbooks.RunStatus
	}{"it ended": {0, runbooks.RunVerified}, "it is at work": {time.Minute, runbooks.RunUnknown}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSystemd()
				s.takes = tt.takes
				story := s.story(t)
				story.Host.After = func(cmd remote.Command) error {
					if cmd.Effect == remote.Read {
						return nil
					}
					return &remote.Error{Class: remote.Lost}
				}
				story.Want(story.Run(), tt.want, "")
				if len(s.starts) != 1 {
					t.Errorf("started %d times", len(s.starts))
				}
			})
		})
	}
}

func TestAfterACrashAJobIsNotRunTwice(t *testing.T) {
	t.Parallel()
	for dieAt := 1; dieAt <= 4; dieAt++ {
		synctest.Test(t, func(t *testing.T) {
			s := newSystemd()
			story := s.story(t)
			story.Want(story.Crash(dieAt), runbooks.RunVerified, "")
			if len(s.starts) != 1 {
				t.Errorf("killed at %d: started %d times", dieAt, len(s.starts))
			}
		})
	}
}

func TestDecodingSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for part, why := range map[string]string{
		"{name: backup}":                                "run",
		"{run: now}":                                    "name",
		"{name: backup, run: later}":                    "run is now",
		"{name: backup.service, run: now}":              "not the name of a timer",
		"{name: '-x', run: now}":                        "not the name of a timer",
		"{name: backup, run: now, cron: /etc/cron.d/x}": "cron",
		`{name: "${inputs.x}", run: now}`:               "unknown name",
	} {
		if _, err := actiontest.Parse(timer.Action{}, "  steps:\n    - id: act\n      timer: "+part+"\n      undo: none\n"); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v, want %q", part, err, why)
		}
	}
	if _, err := actiontest.Parse(timer.Action{}, "  steps:\n    - id: act\n      timer: {name: backup, run: now}\n"); err == nil {
		t.Error("a job without a word about its undo was accepted")
	}
}
