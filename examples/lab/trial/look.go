package trial

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/secondline-ops/secondline/examples/lab/bench"
	"github.com/secondline-ops/secondline/examples/lab/company"
	"github.com/secondline-ops/secondline/examples/lab/faults"
)

// measured is what was seen of the hosts of a case.
type measured struct {
	hosts                []string
	sound, broken, after map[string]bench.State
	noise                map[string]bench.Noise
	costs                map[string]company.Cost
	gone                 []string
	looked               time.Time     // when they were seen broken
	took                 time.Duration // from then to after
}

func (m measured) observed() map[string]bench.Observed {
	out := map[string]bench.Observed{}
	for _, host := range m.hosts {
		out[host] = bench.Observed{
			Sound: m.sound[host], Broken: m.broken[host], After: m.after[host], Noise: m.noise[host], Gone: slices.Contains(m.gone, host),
		}
	}
	return out
}

// measure looks at the hosts after the tool. One that answers nothing at all is
// gone, by the tool's doing; any other failure is the bench's.
func (b *Bench) measure(ctx context.Context, r *bench.Record, m *measured) error {
	there := slices.DeleteFunc(slices.Clone(m.hosts), func(host string) bool {
		ctx, cancel := context.WithTimeout(ctx, aliveLimit)
		defer cancel()
		_, err := b.Company.Input(ctx, host, "exit 0", 0)
		if err != nil {
			m.gone = append(m.gone, host)
		}
		return err != nil
	})
	var err error
	if m.after, err = b.states(ctx, there); err != nil {
		return err
	}
	m.took = time.Since(m.looked)
	costs, err := b.costs(ctx, there)
	if err != nil {
		return err
	}
	for _, host := range there {
		r.CollectCPUMillis += max(0, costs[host].CPUMillis-m.costs[host].CPUMillis)
		r.CollectBytes += max(0, costs[host].Bytes-m.costs[host].Bytes)
	}
	return nil
}

// look takes the state of the broken hosts while it waits for the alerts.
func (b *Bench) look(ctx context.Context, r *bench.Record, cases []faults.Case, m *measured, injected time.Time) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var watch sync.WaitGroup
	var silent error
	watch.Go(func() {
		silent = b.waitForAlerts(ctx, cases)
		if slices.ContainsFunc(cases, func(c faults.Case) bool { return len(c.Fault.Alerts) > 0 }) {
			r.ToAlert = since(injected)
		}
	})
	if m.broken, m.noise, err = b.broken(ctx, m.hosts); err != nil {
		cancel()
	}
	m.looked = time.Now()
	watch.Wait()
	return cmp.Or(err, silent)
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
