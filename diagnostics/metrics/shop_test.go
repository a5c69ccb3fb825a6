package metrics_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/secondline-ops/secondline/diagnostics/metrics"
)

// shopRows are the seconds before and after the onset, as in Sock Shop 1 of RCD
// (Ikram et al., NeurIPS 2022), whose shape the generated cases have.
const shopRows = 300

// shopEpoch is when the fault of every generated case begins.
func shopEpoch() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

// shopGraph is who calls whom in Sock Shop.
func shopGraph() metrics.Graph {
	return metrics.Graph{
		"front-end": {"carts", "catalogue", "orders", "user"},
		"carts":     {"carts-db"}, "catalogue": {"catalogue-db"}, "user": {"user-db"},
		"orders":   {"carts", "orders-db", "payment", "shipping", "user"},
		"shipping": {"rabbitmq"}, "queue-master": {"rabbitmq"},
	}
}

func shopServices() []string {
	return []string{
		"carts", "carts-db", "catalogue", "catalogue-db", "front-end", "orders", "orders-db",
		"payment", "queue-master", "rabbitmq", "shipping", "user", "user-db",
	}
}

// shopCase is one generated failure: a service, what is wrong with it, and all
// values from shopRows before the onset to shopRows after it.
type shopCase struct {
	cause, metric string
	columns       []string
	values        [][]float64
}

// generateShop makes the case of the seed. It has what makes real recordings
// hard: noise that remembers, heavy tails, spikes, drift, gaps, memory that
// stays the same for minutes, load that falls everywhere because users wait, a
// deploy elsewhere, and knock-on latency that is louder than its cause.
func generateShop(seed uint64) shopCase {
	r := rand.New(rand.NewPCG(seed, 42))
	services := shopServices()
	c := shopCase{cause: services[r.IntN(len(services))], metric: []string{"cpu", "mem"}[r.IntN(2)]}
	w := shopWorld{r: r, slow: shopDelays(c.cause), cause: c.cause, fault: c.metric, push: 1 + 4*r.Float64(), loud: 1 + 9*r.Float64(), users: 0.1 + 0.3*r.Float64()}
	bystander := services[r.IntN(len(services))]
	for _, s := range services {
		c.add(s+"_cpu", w.cpu(s))
		c.add(s+"_mem", w.memory(s, s == bystander))
		if s == "rabbitmq" || s[len(s)-2:] == "db" {
			continue
		}
		load := w.load(s)
		base := math.Exp(w.r.NormFloat64()) * 0.005
		c.add(s+"_load", load)
		c.add(s+"_lat_50", w.latency(s, base, 0.1))
		c.add(s+"_lat_90", w.latency(s, base*3, 0.3))
		c.add(s+"_error", w.errors(s))
	}
	for i := range c.values {
		spoil(r, c.values[i])
	}
	return c
}

func (c *shopCase) add(name string, values []float64) {
	c.columns = append(c.columns, name)
	c.values = append(c.values, values)
}

// shopDelays says after how many seconds the cause is felt by its callers, and
// how much of it.
func shopDelays(cause string) map[string][2]float64 {
	felt := map[string][2]float64{cause: {0, 1}}
	for range 4 {
		for _, caller := range shopServices() {
			for _, callee := range shopGraph()[caller] {
				if f, ok := felt[callee]; ok {
					if _, known := felt[caller]; !known {
						felt[caller] = [2]float64{f[0] + 1 + float64(len(caller)%4), f[1] * (0.5 + float64(len(callee)%5)/8)}
					}
				}
			}
		}
	}
	return felt
}

type shopWorld struct {
	r            *rand.Rand
	slow         map[string][2]float64
	cause, fault string
	push, loud   float64 // how much the cause rises, and latency
	users        float64
}

// noise remembers a share of what it was a second ago.
func (w shopWorld) noise(memory float64) []float64 {
	out := make([]float64, 2*shopRows)
	last := w.r.NormFloat64()
	for i := range out {
		last = memory*last + math.Sqrt(1-memory*memory)*w.r.NormFloat64()
		out[i] = last
	}
	return out
}

// since is 0 before the onset (as the service feels it) and rises to 1 within
// ramp seconds.
func (w shopWorld) since(service string, i int, ramp float64) float64 {
	f, ok := w.slow[service]
	if !ok {
		return 0
	}
	return f[1] * min(1, max(0, (float64(i-shopRows)-f[0]+1)/ramp))
}

func (w shopWorld) cpu(s string) []float64 {
	level, n := 0.02*math.Exp(w.r.NormFloat64()), w.noise(0.7)
	for i := range n {
		v := level * (1 + 0.15*n[i])
		if s == w.cause && w.fault == "cpu" {
			v = min(1, v+level*w.push*w.since(s, i, 3)*(1+0.1*w.r.NormFloat64()))
		} else if i >= shopRows {
			v *= 1 - w.users*w.since("front-end", i, 10)
		}
		n[i] = max(0, v)
	}
	return n
}

func (w shopWorld) memory(s string, deployed bool) []float64 {
	out := make([]float64, 2*shopRows)
	level, page := 5e7*math.Exp(w.r.NormFloat64()), 4096.0
	drift, busy := 0.0, w.r.Float64()
	if w.r.IntN(6) == 0 {
		drift = level * 1e-4
	}
	now := level
	for i := range out {
		if w.r.Float64() < busy*busy*busy {
			now += page * math.Round(20*w.r.NormFloat64())
		}
		now += drift
		v := now
		if s == w.cause && w.fault == "mem" {
			v += level * w.push * 0.3 * w.since(s, i, 30)
		}
		if deployed && i > shopRows/2 {
			v *= 1.02
		}
		out[i] = max(page, math.Round(v/page)*page)
	}
	return out
}

func (w shopWorld) load(s string) []float64 {
	level, n := 50*math.Exp(0.5*w.r.NormFloat64()), w.noise(0.5)
	for i := range n {
		v := level * (1 + 0.1*math.Sin(float64(i)/70) + 0.08*n[i])
		n[i] = max(0, math.Round(v*(1-w.users*w.since("front-end", i, 10))))
	}
	return n
}

func (w shopWorld) latency(s string, base, tail float64) []float64 {
	n := w.noise(0.4)
	more := w.loud
	if w.fault == "mem" {
		more /= 3
	}
	for i := range n {
		v := base * math.Exp(tail*n[i])
		if w.r.Float64() < 0.01 {
			v *= 1 + 10*w.r.Float64()
		}
		n[i] = v * (1 + more*w.since(s, i, 5))
	}
	return n
}

func (w shopWorld) errors(s string) []float64 {
	out := make([]float64, 2*shopRows)
	for i := range out {
		if w.r.Float64() < 0.002+0.05*w.since(s, i, 20) {
			out[i] = float64(1 + w.r.IntN(3))
		}
	}
	return out
}

// spoil makes gaps.
func spoil(r *rand.Rand, values []float64) {
	for i := range values {
		if r.Float64() < 0.01 {
			values[i] = math.NaN()
		}
	}
	if r.IntN(8) == 0 {
		from := r.IntN(len(values) - 40)
		for i := from; i < from+30; i++ {
			values[i] = math.NaN()
		}
	}
}

// split makes the two tables, cut so many rows after the onset (before it when
// negative).
func (c shopCase) split(after int) metrics.Input {
	cut := shopRows + after
	in := metrics.Input{Normal: metrics.Table{Name: "normal", Columns: c.columns}, Anomalous: metrics.Table{Name: "anomalous", Columns: c.columns}}
	for i := range 2 * shopRows {
		at := float64(shopEpoch().Unix() + int64(i-shopRows))
		if i < cut {
			in.Normal.Times = append(in.Normal.Times, at)
		} else {
			in.Anomalous.Times = append(in.Anomalous.Times, at)
		}
	}
	for _, v := range c.values {
		in.Normal.Values = append(in.Normal.Values, slices.Clone(v[:cut]))
		in.Anomalous.Values = append(in.Anomalous.Values, slices.Clone(v[cut:]))
	}
	return in
}

func (c shopCase) String() string { return fmt.Sprintf("%s %s", c.cause, c.metric) }
