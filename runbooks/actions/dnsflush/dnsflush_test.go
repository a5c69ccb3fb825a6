package dnsflush_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/actions/dnsflush"
	"github.com/secondline-ops/secondline/runbooks/actions/internal/actiontest"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// resolver is a host with caches of names. It is strict: what it does not know
// fails the test.
type resolver struct {
	mu      sync.Mutex // guards below
	active  map[string]bool
	starts  int
	names   int  // cached by each
	full    bool // a flush does nothing
	silent  bool // nobody tells how many names are cached
	fails   string
	flushes []string
}

func newResolver(units ...string) *resolver {
	r := &resolver{active: map[string]bool{}, names: 500, starts: 1}
	for _, u := range units {
		r.active[u] = true
	}
	return r
}

func (r *resolver) answer(cmd remote.Command) actiontest.Answer {
	r.mu.Lock()
	defer r.mu.Unlock()
	line := strings.Join(cmd.Argv, " ")
	if cmd.As != "root" {
		return actiontest.Answer{}
	}
	if cmd.Effect != remote.Read {
		return r.flush(line)
	}
	switch {
	case strings.HasPrefix(line, "systemctl show "):
		load, state := "not-found", "inactive"
		if active, known := r.active[cmd.Argv[len(cmd.Argv)-1]]; known {
			load = "loaded"
			if active {
				state = "active"
			}
		}
		return actiontest.Says(0, fmt.Sprintf("LoadState=%s\nActiveState=%s\nInvocationID=id%d\nMainPID=%d\nNRestarts=0\n", load, state, r.starts, r.starts))
	case r.silent:
		return actiontest.Says(1, "")
	case line == "resolvectl statistics":
		return actiontest.Says(0, fmt.Sprintf("Cache\n  Current Cache Size: %d\n", r.names))
	case line == "nscd --statistics":
		return actiontest.Says(0, fmt.Sprintf("\nhosts cache:\n %d  current number of cached values\n", r.names))
	case line == "unbound-control stats_noreset":
		return actiontest.Says(0, fmt.Sprintf("msg.cache.count=%d\n", r.names))
	}
	return actiontest.Answer{}
}

func (r *resolver) flush(line string) actiontest.Answer {
	switch line {
	case "resolvectl flush-caches", "nscd --invalidate=hosts", "unbound-control flush_zone .", "rndc flush",
		"systemctl kill --kill-who=main --signal=HUP -- dnsmasq.service":
	default:
		return actiontest.Answer{}
	}
	r.flushes = append(r.flushes, line)
	if r.fails != "" && strings.HasPrefix(line, r.fails) {
		return actiontest.Says(1, "")
	}
	if !r.full {
		r.names = 3
	}
	return actiontest.Says(0, "ok\n")
}

func (r *resolver) story(t *testing.T, service string) *actiontest.Story {
	t.Helper()
	spec := "  steps:\n    - id: act\n      dns_flush: {service: " + service + "}\n      as: root\n      verify: {within: 2s, hold: 5s}\n      undo: none\n"
	return actiontest.New(t, dnsflush.Action{}, actiontest.Fake(t, r.answer), spec, nil)
}

func TestEveryCacheIsEmptiedByItsOwnMeans(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		service string
		units   []string
		want    string
	}{
		{"systemd-resolved", []string{"systemd-resolved.service"}, "resolvectl flush-caches"},
		{"dnsmasq", []string{"dnsmasq.service"}, "systemctl kill --kill-who=main --signal=HUP -- dnsmasq.service"},
		{"nscd", []string{"nscd.service"}, "nscd --invalidate=hosts"},
		{"unbound", []string{"unbound.service", "nscd.service"}, "unbound-control flush_zone ."},
		{"named", []string{"bind9.service"}, "rndc flush"},
		{"auto", []string{"systemd-resolved.service"}, "resolvectl flush-caches"},
		{"auto", []string{"nscd.service", "unbound.service"}, "unbound-control flush_zone .; nscd --invalidate=hosts"},
	} {
		t.Run(tt.service+" with "+tt.units[0], func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newResolver(tt.units...)
				s := r.story(t, tt.service)
				p := s.Plan()
				if len(p.Steps[0].Touches) != strings.Count(tt.want, ";")+1 || !strings.Contains(p.Steps[0].Diff, strings.Split(tt.want, "; ")[0]) {
					t.Errorf("plan %+v", p.Steps[0])
				}
				s.Deps.OnEvent = func(e engine.Event) {
					r.mu.Lock()
					defer r.mu.Unlock()
					if e.Status == runbooks.StepVerifying {
						r.names = 400 // the host goes on asking, which is no failure
					}
				}
				s.Want(s.RunPlan(p), runbooks.RunVerified, "")
				if got := strings.Join(r.flushes, "; "); got != tt.want {
					t.Errorf("did %s", got)
				}
			})
		})
	}
}

func TestWhatDoesNotTellIsEmptiedAllTheSame(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newResolver("systemd-resolved.service")
		r.silent = true
		s := r.story(t, "auto")
		s.Want(s.Run(), runbooks.RunVerified, "")
	})
}

func TestACacheThatStaysFullOrAServiceThatDoesNotStayIsNotVerified(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		before, during func(r *resolver)
		want           runbooks.RunStatus
	}{
		"full":      {func(r *resolver) { r.full = true }, func(*resolver) {}, runbooks.RunRefuted},
		"refused":   {func(r *resolver) { r.fails = "resolvectl" }, func(*resolver) {}, runbooks.RunRefuted},
		"restarted": {func(*resolver) {}, func(r *resolver) { r.starts++ }, runbooks.RunRefuted},
		"gone":      {func(*resolver) {}, func(r *resolver) { r.active["systemd-resolved.service"] = false }, runbooks.RunRefuted},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newResolver("systemd-resolved.service")
				tt.before(r)
				s := r.story(t, "auto")
				s.Deps.OnEvent = func(e engine.Event) {
					r.mu.Lock()
					defer r.mu.Unlock()
					if e.Status == runbooks.StepVerifying {
						tt.during(r)
					}
				}
				s.Want(s.Run(), tt.want, "")
			})
		})
	}
}

func TestNothingIsEmptiedThatWasNotPlanned(t *testing.T) {
	t.Parallel()
	r := newResolver("systemd-resolved.service", "dnsmasq.service")
	s := r.story(t, "auto")
	s.Deps.OnEvent = func(e engine.Event) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if e.Status == runbooks.StepRunning {
			r.starts++
		}
	}
	s.Want(s.Run(), runbooks.RunFailed, "not the one that was planned")
	p := s.Plan()
	r.active["nscd.service"] = true
	s = r.story(t, "auto")
	s.Want(s.RunPlan(p), runbooks.RunRefused, "")
	if r.flushes != nil {
		t.Errorf("did %q", r.flushes)
	}
}

func TestWhereNothingCachesNamesThereIsNothingToDo(t *testing.T) {
	t.Parallel()
	r := newResolver()
	r.active["nscd.service"] = false
	for _, service := range []string{"auto", "nscd", "named"} {
		if _, err := r.story(t, service).TryPlan(); !fault.Is(err, fault.NotFound) {
			t.Errorf("%s: %v", service, err)
		}
	}
}

func TestWhetherItHappenedIsNotGuessed(t *testing.T) {
	t.Parallel()
	r := newResolver("dnsmasq.service")
	s := r.story(t, "dnsmasq")
	s.Host.After = func(cmd remote.Command) error {
		if cmd.Effect == remote.Read {
			return nil
		}
		return &remote.Error{Class: remote.Lost}
	}
	s.Want(s.Run(), runbooks.RunUnknown, "")
	r = newResolver("dnsmasq.service")
	s = r.story(t, "dnsmasq")
	s.Want(s.Crash(3), runbooks.RunUnknown, "")
	if len(r.flushes) != 1 {
		t.Errorf("did %q", r.flushes)
	}
}

func TestDecodingSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for part, why := range map[string]string{
		"{}": "service", "{service: bind}": "no service", "{service: [auto]}": "no service", "{service: auto, restart: true}": "restart",
		`{service: "${inputs.x}"}`: "",
	} {
		if _, err := actiontest.Parse(dnsflush.Action{}, "  steps:\n    - id: act\n      dns_flush: "+part+"\n      undo: none\n"); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v, want %q", part, err, why)
		}
	}
}
