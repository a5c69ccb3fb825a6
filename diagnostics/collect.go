package diagnostics

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
)

// The bounds of a collection. Four at once keeps a sick host breathing and is
// half of what one SSH connection allows (MaxSessions 10).
const (
	DefaultBudget       = 3 * time.Minute
	DefaultProbeTimeout = time.Minute // a walk of a large file system takes 20 seconds, twice
	parallelProbes      = 4
	maxAbandoned        = 4               // hanging probes after which the host is left alone
	abandonAfter        = 2 * time.Second // how long a probe may take to notice that its time is over
	maxObjects          = 20              // candidates looked at, for each cause
)

// Collector reads facts through probes. Each probe has a time-out of its own
// and is abandoned when it does not heed it (a process in D state heeds
// nothing): its goroutine is then left behind, which happens at most a few
// times in one collection.
type Collector struct {
	Probes       *ProbeSet
	Now          func() time.Time
	Budget       time.Duration              // for a whole collection; 0 means DefaultBudget
	ProbeTimeout time.Duration              // for each probe; 0 means DefaultProbeTimeout
	OnProbe      func(probe, target string) // called before each probe; may be nil; never called twice at once
	OnProbeEnd   func(probe, target string) // called when it has answered or was given up; may be nil; called by several at once
}

// Collect reads the facts that the causes need about the subject, those of the
// causes that name the alert first: what has to be known to find the objects,
// then what tells them apart, what settles most for its cost first. What a cause
// that is ruled out would need is not read. Once a cause that names the alert is
// confirmed, only what could stand behind it is read. What could not be read
// before the budget ended is a fact with status TimedOut, never left out. Facts
// are numbered in the order in which they were asked for. The error is that of ctx, when it
// ended first; the facts are good even then.
func (c *Collector) Collect(ctx context.Context, r remote.Runner, causes []*Cause, subject Subject) ([]Fact, error) {
	run := c.start(r, subject)
	budgeted, cancel := context.WithTimeout(ctx, withDefault(c.Budget, DefaultBudget))
	defer cancel()
	for _, wave := range waves(causes, subject) {
		run.read(budgeted, surveyRequests(wave, subject))
		if run.readNeeds(budgeted, wave, subject) {
			break // the sick host is spared the rest: whether the cause was the right one is measured after its cure
		}
	}
	return run.facts, ctx.Err()
}

// waves splits the causes for the subject's kind of entity into those that name
// the alert, with whatever can stand behind them, and the others.
func waves(causes []*Cause, subject Subject) [][]*Cause {
	var named, others []*Cause
	for _, cause := range causes {
		switch {
		case !cause.Diagnosed() || cause.Entity != subject.Entity.Kind:
		case cause.names(subject.AlertNames()):
			named = append(named, cause)
		default:
			others = append(others, cause)
		}
	}
	for i := 0; i < len(named); i++ { // a root's own root joins, too
		behind := func(c *Cause) bool { return slices.Contains(c.Explains, named[i].ID) }
		for _, c := range others {
			if behind(c) {
				named = append(named, c)
			}
		}
		others = slices.DeleteFunc(others, behind)
	}
	return [][]*Cause{named, others}
}

// request is one probe with its arguments.
type request struct {
	probe string
	args  Args
}

// requests returns what to ask for the readings whose arguments are known.
func requests(readings []reading, known *binding) []request {
	var wanted []request
	for _, r := range readings {
		if args, why := r.args(known.vars); why == "" {
			wanted = append(wanted, request{r.probe, args})
		}
	}
	return wanted
}

func surveyRequests(causes []*Cause, subject Subject) []request {
	var wanted []request
	for _, cause := range causes {
		wanted = append(wanted, requests(cause.survey, newBinding(subject))...)
	}
	return wanted
}

// collection is one run of a Collector.
type collection struct {
	*Collector
	runner    remote.Runner
	target    string
	facts     []Fact
	asked     map[string]bool // by factKey
	numbers   map[string]int  // facts of each probe so far
	abandoned atomic.Int32
}

// Read reads one probe on its own. A reading that went wrong is a fact that
// says so; the error is that of ctx.
func (c *Collector) Read(ctx context.Context, r remote.Runner, probe string, args Args) (Fact, error) {
	run := c.start(r, Subject{})
	run.target = r.Target()
	run.read(ctx, []request{{probe: probe, args: args}})
	return run.facts[0], ctx.Err()
}

func (c *Collector) start(r remote.Runner, subject Subject) *collection {
	return &collection{
		Collector: c, runner: r, target: subject.Entity.ID,
		asked: map[string]bool{}, numbers: map[string]int{},
	}
}

func (run *collection) index() factIndex { return indexFacts(run.facts, run.target) }

// read reads what was not asked for yet, a few at once, and waits for all.
func (run *collection) read(ctx context.Context, wanted []request) {
	fresh := run.number(wanted)
	slots := make(chan struct{}, parallelProbes)
	var wg sync.WaitGroup
	for i := range fresh {
		slots <- struct{}{} // every holder is bounded by its time-out
		f := &fresh[i]
		switch {
		case ctx.Err() != nil:
			run.notRead(f, TimedOut, "the time for the diagnosis ended before it was read")
			<-slots
			continue
		case run.abandoned.Load() >= maxAbandoned:
			run.notRead(f, TimedOut, "not read, because too many probes hang on this host")
			<-slots
			continue
		}
		if run.OnProbe != nil {
			run.OnProbe(f.Probe, f.Target)
		}
		wg.Go(func() {
			defer func() { <-slots }()
			run.readOne(ctx, f)
			if run.OnProbeEnd != nil {
				run.OnProbeEnd(f.Probe, f.Target)
			}
		})
	}
	wg.Wait()
	run.facts = append(run.facts, fresh...)
}

// number makes a fact, still empty, of each request that is new.
func (run *collection) number(wanted []request) []Fact {
	var fresh []Fact
	for _, w := range wanted {
		key := factKey(w.probe, w.args)
		if run.asked[key] {
			continue
		}
		run.asked[key] = true
		run.numbers[w.probe]++
		fresh = append(fresh, Fact{
			ID: fmt.Sprintf("%s#%d", w.probe, run.numbers[w.probe]), Probe: w.probe, Args: w.args,
			Target: run.target, Raws: []Raw{},
		})
	}
	return fresh
}

func (run *collection) notRead(f *Fact, status Status, why string) {
	f.At, f.Status, f.Error = run.Now(), status, why
}

// outcome is what a probe gave.
type outcome struct {
	raws   []Raw
	value  Value
	status Status
	err    string
}

// readOne fills in the fact.
func (run *collection) readOne(ctx context.Context, f *Fact) {
	probe, err := run.Probes.Find(f.Probe)
	if err != nil {
		run.notRead(f, Failed, err.Error())
		return
	}
	ctx, cancel := context.WithTimeout(ctx, withDefault(run.ProbeTimeout, DefaultProbeTimeout))
	defer cancel()
	if p, ok := probe.(pluginProbe); ok {
		f.Plugin = p.PluginRef()
	}
	f.At = run.Now()
	done := make(chan outcome, 1) // room for an abandoned probe to end
	go func() { done <- readProbe(ctx, run.runner, probe, f.Args) }()
	var got outcome
	select {
	case got = <-done:
	case <-ctx.Done():
		heed := time.NewTimer(abandonAfter)
		defer heed.Stop()
		select {
		case got = <-done:
		case <-heed.C:
			run.abandoned.Add(1)
			got = outcome{status: TimedOut, err: "it did not end in time and was abandoned"}
		}
	}
	f.Took = run.Now().Sub(f.At)
	f.Status, f.Error, f.Value = got.status, got.err, got.value
	f.Raws = append(f.Raws, got.raws...)
}

// pluginProbe is a probe whose bytes another process reads and parses. It names
// the plugin as "name@sha256".
type pluginProbe interface {
	PluginRef() string
}

// readProbe reads and understands; a panic of a probe is a failed reading.
func readProbe(ctx context.Context, r remote.Runner, probe Probe, args Args) (got outcome) {
	defer func() {
		if p := recover(); p != nil {
			got.value, got.status, got.err = nil, Failed, clip(fmt.Sprintf("the probe crashed: %v", p))
		}
	}()
	raws, err := probe.Read(ctx, r, args)
	if err != nil {
		status := statusOf(err)
		if status.Tells() { // nothing was looked at, so nothing is absent
			status = Failed
		}
		return outcome{raws: raws, status: status, err: clip(err.Error())}
	}
	got.raws = raws
	got.value, got.status, got.err = parseProbe(probe, raws, args)
	return got
}

// parseProbe understands the raws. A probe that gives an error, or no status,
// has not told anything.
func parseProbe(probe Probe, raws []Raw, args Args) (Value, Status, string) {
	value, status, err := probe.Parse(raws, args)
	if err == nil {
		if status == "" {
			return nil, Failed, "the probe gave no status"
		}
		return value, status, statusReason(status, raws)
	}
	if status == "" || status.Tells() {
		status = Failed
	}
	if errors.Is(err, context.DeadlineExceeded) || fault.Is(err, fault.Timeout) {
		status = TimedOut
	}
	return value, status, clip(err.Error())
}

// statusReason is the error of the first raw that went the same way.
func statusReason(status Status, raws []Raw) string {
	if status.Tells() {
		return ""
	}
	for _, raw := range raws {
		if raw.Status == status && raw.Error != "" {
			return raw.Command + ": " + raw.Error
		}
	}
	return ""
}

func withDefault(d, otherwise time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return otherwise
}
