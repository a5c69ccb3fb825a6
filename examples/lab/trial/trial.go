// Package trial runs HostRCA-bench: one case after the other on one company,
// each on hosts as they were before anything was broken. What a tool said and
// did is judged by package bench.
package trial

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/examples/lab/bench"
	"github.com/secondline-ops/secondline/examples/lab/company"
	"github.com/secondline-ops/secondline/examples/lab/faults"
)

// The times of a case.
const (
	// alertLimit is from the injection to the alerts of every fault.
	alertLimit = 60 * time.Second
	// askLimit is how long a tool has, from the moment it is asked: the same for
	// every tool and every case, so that it does not tell what is to be found.
	askLimit   = 100 * time.Second
	fixedLimit = 15 * time.Second
	// controlRun is most of a long case: what goes a minute after it came is noise,
	// too.
	controlRun = 75 * time.Second
	// aliveLimit is how long a host has to answer at all, on a busy machine.
	aliveLimit = 30 * time.Second
)

// Tool is what is measured.
type Tool interface {
	Name() string
	Version() string
	// Prepare is called on fresh hosts, before anything is looked at or broken.
	Prepare(ctx context.Context, c *company.Company) error
	// Complain tells the tool what a person says, when it is to be asked.
	Complain(ctx context.Context, c *company.Company, fault faults.Case) error
	// Ask is called when a fault is there and its alerts fire; it returns when the
	// tool has said and done what it will, or after the task's limit with what it
	// has.
	Ask(ctx context.Context, t Task) (Outcome, error)
	// Own is what the tool keeps for itself on hosts: no harm to them.
	Own() []bench.Declared
}

// Task is a case as a tool gets it.
type Task struct {
	Company  *company.Company
	Injected time.Time
	// Limit is how long the tool has from now.
	Limit time.Duration
	// Signals returns what says that something is wrong, as bodies of
	// Alertmanager's webhook: what fires now, and what people say.
	Signals func(context.Context) ([]json.RawMessage, error)
	// Heard is told what the tool holds for the causes, whenever that may have
	// changed; a tool that speaks once need not call it.
	Heard func([]bench.Hypothesis)
}

// Outcome is what came of it. ToResolved is from the injection, nil for never or
// for a tool that cannot say.
type Outcome struct {
	Answer     bench.Answer
	ToResolved *bench.Seconds
}

// ToolError says how the tool failed, and not the bench.
type ToolError struct{ Err error }

func (e *ToolError) Error() string { return e.Err.Error() }

func (e *ToolError) Unwrap() error { return e.Err }

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
	return open(ctx, o, tool, controlRun)
}

func open(ctx context.Context, o company.Options, tool Tool, control time.Duration) (*Bench, error) {
	o.Auto = true
	c, err := company.Up(ctx, o)
	if err != nil {
		return nil, err
	}
	b := &Bench{Company: c, Tool: tool, Say: o.Say, noise: map[string]bench.Noise{}}
	o.Say("a snapshot, and what changes by itself")
	if err := b.learn(ctx, control); err != nil {
		return nil, errors.Join(err, c.Lab.Close())
	}
	return b, nil
}

func (b *Bench) learn(ctx context.Context, control time.Duration) error {
	if err := b.Company.Freeze(ctx); err != nil {
		return err
	}
	if err := b.Tool.Prepare(ctx, b.Company); err != nil {
		return err
	}
	before, err := b.states(ctx, company.HostNames())
	if err != nil {
		return err
	}
	if err := wait(ctx, control); err != nil {
		return err
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

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// Run runs one case. Where the bench itself fails, the record is void; an error
// says that ctx has ended.
func (b *Bench) Run(ctx context.Context, key bench.Key, cases []faults.Case) (bench.Record, error) {
	r := bench.Record{Key: key, Group: group(cases)}
	err := b.run(ctx, &r, cases)
	if ctx.Err() != nil {
		return r, ctx.Err() // whatever else went wrong may come from that
	}
	if err != nil {
		r = bench.Record{Key: key, Group: group(cases), Void: err.Error()}
	}
	r.Ended = time.Now()
	return r, nil
}

func (b *Bench) run(ctx context.Context, r *bench.Record, cases []faults.Case) error {
	m := measured{hosts: hostsOf(cases)}
	if err := b.renew(ctx, m.hosts); err != nil {
		return err
	}
	var err error
	if m.sound, err = b.states(ctx, m.hosts); err != nil {
		return err
	}
	if m.costs, err = b.costs(ctx, m.hosts); err != nil {
		return err
	}
	injected := time.Now()
	if err := b.inject(ctx, cases); err != nil {
		return err
	}
	if err := b.look(ctx, r, cases, &m, injected); err != nil {
		return err
	}
	if err := b.ask(ctx, r, cases, injected); err != nil {
		return err
	}
	if err := b.measure(ctx, r, &m); err != nil {
		return err
	}
	mended := false
	if bench.Judge(r, cases, m.observed(), b.Tool.Own(), true); r.Fixed { // if so
		mended = b.fixed(ctx, cases, fixedLimit)
	}
	if !bench.Judge(r, cases, m.observed(), b.Tool.Own(), mended) {
		return nil
	}
	b.Say("a control run: does that happen without the tool as well?")
	if err := b.control(ctx, cases, &m); err != nil {
		return fmt.Errorf("control run: %w", err)
	}
	bench.Judge(r, cases, m.observed(), b.Tool.Own(), mended)
	return nil
}

// renew makes the hosts, and those of the last case, as they were, and prepares
// the tool. What keeps that from going well may be on a host that nobody named,
// so that the second time all of them are renewed.
func (b *Bench) renew(ctx context.Context, hosts []string) error {
	err := b.Company.Renew(ctx, distinct(slices.Concat(hosts, b.used)))
	if err != nil && ctx.Err() == nil {
		b.Say("all hosts once more: " + err.Error())
		hosts = company.HostNames()
		err = b.Company.Renew(ctx, hosts)
	}
	b.used = hosts
	if err == nil {
		err = b.Tool.Prepare(ctx, b.Company)
	}
	if err != nil {
		b.used = company.HostNames()
		return fmt.Errorf("renew the company: %w", err)
	}
	return nil
}

func (b *Bench) inject(ctx context.Context, cases []faults.Case) error {
	for _, c := range cases {
		if err := b.Company.Inject(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// control does with the case what was done, without the tool, and adds what
// changes then to the noise of the hosts.
func (b *Bench) control(ctx context.Context, cases []faults.Case, m *measured) error {
	if err := b.renew(ctx, m.hosts); err != nil {
		return err
	}
	if err := b.Company.StopController(ctx); err != nil {
		return err
	}
	if err := b.inject(ctx, cases); err != nil {
		return err
	}
	before, err := b.states(ctx, m.hosts)
	if err != nil {
		return err
	}
	if err := wait(ctx, m.took); err != nil {
		return err
	}
	after, err := b.states(ctx, m.hosts)
	if err != nil {
		return err
	}
	for _, host := range m.hosts {
		m.noise[host].Learn(before[host], after[host])
	}
	return nil
}

// ask gives the tool the case and notes what it said. An error is the bench's:
// whatever the tool does wrong is noted.
func (b *Bench) ask(ctx context.Context, r *bench.Record, cases []faults.Case, injected time.Time) error {
	told := time.Now()
	for _, c := range cases {
		if err := b.Tool.Complain(ctx, b.Company, c); err != nil {
			return err
		}
	}
	heard := func(hypotheses []bench.Hypothesis) {
		switch {
		case !bench.NamesAll(cases, hypotheses):
			r.ToCause = nil
		case r.ToCause == nil:
			r.ToCause = since(injected)
		}
	}
	outcome, err := b.Tool.Ask(ctx, Task{
		Company: b.Company, Injected: injected, Limit: askLimit, Heard: heard,
		Signals: func(ctx context.Context) ([]json.RawMessage, error) { return b.signals(ctx, cases, told) },
	})
	if failed := (*ToolError)(nil); errors.As(err, &failed) {
		r.Failure = failed.Error()
	} else if err != nil {
		return err
	}
	heard(outcome.Answer.Hypotheses)
	for _, a := range outcome.Answer.Actions {
		if slices.Contains(company.HostNames(), a.Entity) {
			b.used = append(b.used, a.Entity)
		}
	}
	r.Answer, r.ToResolved = outcome.Answer, outcome.ToResolved
	return nil
}

// signals returns what fires, as one body of the webhook, and what people say of
// each fault, if anything. Nothing of it tells whether something is broken.
func (b *Bench) signals(ctx context.Context, cases []faults.Case, told time.Time) ([]json.RawMessage, error) {
	var out []json.RawMessage
	firing, err := b.firing(ctx)
	if err != nil {
		return nil, err
	}
	if len(firing) > 0 {
		body, err := company.Webhook(firing)
		if err != nil {
			return nil, err
		}
		out = append(out, body)
	}
	for _, c := range cases {
		if c.Fault.Complaint == "" {
			continue
		}
		body, err := bench.Complaint(cmp.Or(c.Fault.About, c.Host), c.Fault.Complaint, told)
		if err != nil {
			return nil, err
		}
		out = append(out, body)
	}
	return out, nil
}

func (b *Bench) firing(ctx context.Context) ([]company.Alert, error) {
	alerts, err := b.Company.Alerts(ctx)
	return slices.DeleteFunc(alerts, func(a company.Alert) bool { return a.State != "firing" }), err
}

func since(at time.Time) *bench.Seconds {
	s := bench.Seconds(time.Since(at).Seconds())
	return &s
}

// waitForAlerts returns when each of the cases has had an alert that fires. It
// does not wait for all of them: a quick tool may have mended the fault by then.
// Where nobody's rule sees the fault there is nothing to wait for.
func (b *Bench) waitForAlerts(ctx context.Context, cases []faults.Case) error {
	ctx, cancel := context.WithTimeout(ctx, alertLimit)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	fired := map[string]bool{}
	for {
		firing, err := b.firing(ctx)
		for _, a := range firing {
			fired[a.Labels["alertname"]] = true
		}
		silent := slices.DeleteFunc(slices.Clone(cases), func(c faults.Case) bool {
			return len(c.Fault.Alerts) == 0 || slices.ContainsFunc(c.Fault.Alerts, func(name string) bool { return fired[name] })
		})
		if len(silent) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("none of the alerts fired: %s", strings.Join(silent[0].Fault.Alerts, ", ")), err)
		case <-tick.C:
		}
	}
}

// fixed says whether within the limit no fault is there any more and none of its
// alerts fires.
func (b *Bench) fixed(ctx context.Context, cases []faults.Case, limit time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, limit)
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
