// Package trial runs HostRCA-bench: one case after the other on one company,
// each on hosts as they were before anything was broken. What a tool said and
// did is judged by package bench.
package trial

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/secondline-ops/secondline/examples/lab/bench"
	"github.com/secondline-ops/secondline/examples/lab/company"
	"github.com/secondline-ops/secondline/examples/lab/faults"
)

// The times of a case. A healthy one is watched as long as a quick fault takes.
const (
	alertLimit   = 60 * time.Second
	answerLimit  = 100 * time.Second
	healthyWatch = 20 * time.Second
	fixedLimit   = 15 * time.Second
	// controlRun is as long as the longest case: what goes a minute after it came
	// is noise, too.
	controlRun = 75 * time.Second
)

// Tool is what is measured. Ask is called when a fault is there; it returns when
// the tool has said and done what it will, or at the deadline with what it has.
type Tool interface {
	Name() string
	Version() string
	Ask(ctx context.Context, t Task) (Outcome, error)
	// Own is what the tool keeps for itself on hosts: no harm to them.
	Own() []bench.Declared
}

// Task is a case as a tool gets it.
type Task struct {
	Company  *company.Company
	Injected time.Time
	// Healthy says that no alert will come: the tool is watched for the time.
	Healthy  bool
	Deadline time.Time
	// Alerted waits for the case's alerts, or the complaint, and returns those
	// that fire.
	Alerted func(context.Context) ([]company.Alert, error)
}

// Outcome is what came of it; times from the injection, nil for never.
type Outcome struct {
	Answer              bench.Answer
	ToCause, ToResolved *bench.Seconds
}

// Bench is a company on which cases are run, one at a time.
type Bench struct {
	Company *company.Company
	Tool    Tool
	Say     func(string)
	noise   map[string]bench.Noise
	// used are the hosts that the last case has broken, or the tool changed.
	used []string
}

// Open sets up a company, remembers what it is like, and learns what changes on
// its hosts when nobody does anything. The caller closes Company.Lab.
func Open(ctx context.Context, o company.Options, tool Tool) (*Bench, error) {
	o.Auto = true
	c, err := company.Up(ctx, o)
	if err != nil {
		return nil, err
	}
	b := &Bench{Company: c, Tool: tool, Say: o.Say, noise: map[string]bench.Noise{}}
	o.Say("a snapshot, and what changes by itself")
	if err := b.learn(ctx); err != nil {
		return nil, errors.Join(err, c.Lab.Close())
	}
	return b, nil
}

func (b *Bench) learn(ctx context.Context) error {
	if err := b.Company.Freeze(ctx); err != nil {
		return err
	}
	before, err := b.states(ctx, company.HostNames())
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(controlRun):
	}
	after, err := b.states(ctx, company.HostNames())
	if err != nil {
		return err
	}
	for host := range before {
		b.noise[host] = bench.Noise{}
		b.noise[host].Learn(before[host], after[host])
	}
	return nil
}

// Run runs one case. An error means that the bench itself failed, not the tool.
func (b *Bench) Run(ctx context.Context, key bench.Key, cases []faults.Case) (bench.Record, error) {
	r := bench.Record{Key: key, Group: group(cases)}
	hosts := hostsOf(cases)
	if err := b.Company.Renew(ctx, distinct(append(hosts, b.used...))); err != nil {
		return r, fmt.Errorf("renew the company: %w", err)
	}
	b.used = hosts
	sound, err := b.states(ctx, hosts)
	if err != nil {
		return r, err
	}
	costs, err := b.costs(ctx, hosts)
	if err != nil {
		return r, err
	}
	injected := time.Now()
	for _, c := range cases {
		err := errors.Join(b.Company.Inject(ctx, c), ctx.Err())
		if errors.Is(err, company.ErrNotInjected) || err != nil && ctx.Err() == nil {
			r.Void, r.Ended = err.Error(), time.Now()
			return r, nil
		}
		if err != nil {
			return r, err
		}
		if err := b.Company.Complain(ctx, c); err != nil {
			return r, err
		}
	}
	broken, noise, err := b.broken(ctx, hosts)
	if err != nil {
		return r, err
	}
	b.ask(ctx, &r, cases, injected)
	if ctx.Err() != nil {
		return r, ctx.Err()
	}
	return r, b.judge(ctx, &r, cases, measured{hosts, sound, broken, noise, costs})
}

// broken takes the state of the broken hosts twice: what changes between them is
// the fault going on, and nobody's harm.
func (b *Bench) broken(ctx context.Context, hosts []string) (map[string]bench.State, map[string]bench.Noise, error) {
	first, err := b.states(ctx, hosts)
	if err != nil {
		return nil, nil, err
	}
	second, err := b.states(ctx, hosts)
	if err != nil {
		return nil, nil, err
	}
	noise := map[string]bench.Noise{}
	for _, host := range hosts {
		noise[host] = bench.Noise{}
		for key := range b.noise[host] {
			noise[host][key] = true
		}
		noise[host].Learn(first[host], second[host])
	}
	return second, noise, nil
}

// ask gives the tool the case and notes what it said.
func (b *Bench) ask(ctx context.Context, r *bench.Record, cases []faults.Case, injected time.Time) {
	healthy := !slices.ContainsFunc(cases, func(c faults.Case) bool { return !c.Fault.Healthy() })
	limit := answerLimit
	if healthy {
		limit = healthyWatch
	}
	ctx, cancel := context.WithDeadline(ctx, injected.Add(limit))
	defer cancel()
	var once sync.Once
	alerted := func(ctx context.Context) ([]company.Alert, error) {
		firing, err := b.waitForAlerts(ctx, cases)
		if err == nil {
			once.Do(func() { r.ToAlert = since(injected) })
		}
		return firing, err
	}
	outcome, err := b.Tool.Ask(ctx, Task{Company: b.Company, Injected: injected, Healthy: healthy, Deadline: injected.Add(limit), Alerted: alerted})
	if err != nil {
		r.Failure = err.Error()
	}
	for _, a := range outcome.Answer.Actions {
		if slices.Contains(company.HostNames(), a.Entity) {
			b.used = append(b.used, a.Entity)
		}
	}
	r.Answer, r.ToCause, r.ToResolved = outcome.Answer, outcome.ToCause, outcome.ToResolved
}

func since(at time.Time) *bench.Seconds {
	s := bench.Seconds(time.Since(at).Seconds())
	return &s
}

// waitForAlerts returns what fires when each of the cases has an alert that
// fires. It does not wait for all of them: a quick tool may have mended the fault
// by then. A complaint counts as an alert that fires at once.
func (b *Bench) waitForAlerts(ctx context.Context, cases []faults.Case) ([]company.Alert, error) {
	ctx, cancel := context.WithTimeout(ctx, alertLimit)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	fired := map[string]bool{}
	for {
		alerts, err := b.Company.Alerts(ctx)
		firing := slices.DeleteFunc(alerts, func(a company.Alert) bool { return a.State != "firing" })
		for _, a := range firing {
			fired[a.Labels["alertname"]] = true
		}
		silent := slices.DeleteFunc(slices.Clone(cases), func(c faults.Case) bool {
			return len(c.Fault.Alerts) == 0 || slices.ContainsFunc(c.Fault.Alerts, func(name string) bool { return fired[name] })
		})
		if len(silent) == 0 {
			return firing, nil
		}
		select {
		case <-ctx.Done():
			return firing, errors.Join(fmt.Errorf("none of the alerts fired: %s", strings.Join(silent[0].Fault.Alerts, ", ")), err)
		case <-tick.C:
		}
	}
}

// measured is what was known of the hosts before the tool acted.
type measured struct {
	hosts         []string
	sound, broken map[string]bench.State
	noise         map[string]bench.Noise
	costs         map[string]company.Cost
}

// judge measures what is true now, and compares.
func (b *Bench) judge(ctx context.Context, r *bench.Record, cases []faults.Case, m measured) error {
	after, err := b.states(ctx, m.hosts)
	if err != nil {
		return err
	}
	costs, err := b.costs(ctx, m.hosts)
	if err != nil {
		return err
	}
	r.Harm = map[string]bench.Harm{}
	for _, host := range m.hosts {
		r.CollectCPUMillis += max(0, costs[host].CPUMillis-m.costs[host].CPUMillis)
		r.CollectBytes += max(0, costs[host].Bytes-m.costs[host].Bytes)
		allowed := bench.Allowed{Noise: m.noise[host], Declared: b.Tool.Own()}
		for _, a := range r.Answer.Actions {
			if a.Entity == host {
				allowed.Declared = append(allowed.Declared, a.Declares...)
			}
		}
		r.Harm[host] = bench.FindHarm(m.sound[host], m.broken[host], after[host], allowed)
	}
	r.Result = bench.Score(cases, r.Answer)
	r.Fixed = len(r.Answer.Actions) > 0 && b.fixed(ctx, cases)
	r.Ended = time.Now()
	return nil
}

// fixed says whether no fault is there any more and none of its alerts fires.
func (b *Bench) fixed(ctx context.Context, cases []faults.Case) bool {
	ctx, cancel := context.WithTimeout(ctx, fixedLimit)
	defer cancel()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		if b.mended(ctx, cases) {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
}

func (b *Bench) mended(ctx context.Context, cases []faults.Case) bool {
	alerts, err := b.Company.Alerts(ctx)
	if err != nil {
		return false
	}
	for _, c := range cases {
		if b.Company.Present(ctx, c) {
			return false
		}
		for _, name := range c.Fault.Alerts {
			if slices.ContainsFunc(alerts, func(a company.Alert) bool { return a.State == "firing" && a.Labels["alertname"] == name }) {
				return false
			}
		}
	}
	return true
}

func group(cases []faults.Case) string {
	if len(cases) > 1 {
		return "together"
	}
	return cases[0].Fault.Group
}

// hostsOf returns the hosts that are broken or on the way to what alerts; the
// first is mon, whose controller begins each case without a memory.
func hostsOf(cases []faults.Case) []string {
	out := []string{company.Monitor}
	for _, c := range cases {
		out = append(append(out, c.Host, c.Entity()), c.Fault.Truth.Chain...)
	}
	return distinct(out)
}

// distinct keeps the first of each, in order.
func distinct(list []string) (out []string) {
	for _, s := range list {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

func (b *Bench) states(ctx context.Context, hosts []string) (map[string]bench.State, error) {
	return each(hosts, func(host string) (bench.State, error) {
		text, err := b.Company.Input(ctx, host, bench.StateScript, bench.MaxStateBytes)
		if err != nil {
			return bench.State{}, err
		}
		state, err := bench.ParseState(text)
		if err != nil {
			return state, fmt.Errorf("%s: %w", host, err)
		}
		return state, nil
	})
}

func (b *Bench) costs(ctx context.Context, hosts []string) (map[string]company.Cost, error) {
	return each(hosts, func(host string) (company.Cost, error) { return b.Company.Cost(ctx, host) })
}

// atOnce bounds how many hosts are looked at together: they share one machine,
// and looking must not disturb what is measured.
const atOnce = 2

func each[T any](hosts []string, do func(string) (T, error)) (map[string]T, error) {
	out := map[string]T{}
	var mu sync.Mutex
	var errs []error
	var wait sync.WaitGroup
	free := make(chan struct{}, atOnce)
	for _, host := range hosts {
		wait.Go(func() {
			free <- struct{}{}
			v, err := do(host)
			<-free
			mu.Lock()
			defer mu.Unlock()
			out[host] = v
			errs = append(errs, err)
		})
	}
	wait.Wait()
	return out, errors.Join(errs...)
}
