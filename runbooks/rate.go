package runbooks

import (
	"strconv"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/internal/yamlx"
)

// Bounds of a rate. Each of its runs is a name that is reserved in the store.
const (
	MaxRateRuns   = 100
	MaxRateWithin = 31 * 24 * time.Hour
)

// ratePattern is what ParseRate takes, a little more than it.
const ratePattern = `^[0-9]{1,3}/[0-9a-zµ.]+$`

// Rate is how many runs of a runbook may begin within a time, written "2/24h".
// The zero value is no bound.
type Rate struct {
	Most   int
	Within time.Duration
}

// ParseRate reads "2/24h".
func ParseRate(text string) (r Rate, ok bool) {
	most, within, cut := strings.Cut(text, "/")
	n, err := strconv.Atoi(most)
	d, badDuration := yamlx.ParseDuration(within)
	r = Rate{Most: n, Within: d}
	return r, cut && err == nil && badDuration == nil && n >= 1 && n <= MaxRateRuns && d > 0 && d <= MaxRateWithin
}

// String writes it as it is read.
func (r Rate) String() string { return strconv.Itoa(r.Most) + "/" + yamlx.FormatDuration(r.Within) }

// PlannedRate is a rate of a plan. Runs whose plans have the same name count
// together.
type PlannedRate struct {
	Name   string        `json:"name"` // "rotate-logs on web1", or "rotate-logs"
	Most   int           `json:"most"`
	Within time.Duration `json:"within_ns"`
}

// RatesOn returns the rates that hold for runs on the target.
func (rb *Runbook) RatesOn(target string) []PlannedRate {
	var out []PlannedRate
	for _, one := range []struct {
		name string
		rate Rate
	}{{rb.Name + " on " + target, rb.RatePerTarget}, {rb.Name, rb.RateOverall}} {
		if one.rate.Most > 0 {
			out = append(out, PlannedRate{Name: one.name, Most: one.rate.Most, Within: one.rate.Within})
		}
	}
	return out
}

func (p *parser) rates(n *yamlx.Node) {
	var raw struct {
		PerTarget *yamlx.Node `yaml:"per_target"`
		Overall   *yamlx.Node `yaml:"overall"`
	}
	if n == nil || !p.decode(n, &raw, words{}) {
		return
	}
	for part, into := range map[*yamlx.Node]*Rate{raw.PerTarget: &p.rb.RatePerTarget, raw.Overall: &p.rb.RateOverall} {
		if part == nil {
			continue
		}
		text, _ := part.Scalar()
		rate, ok := ParseRate(text)
		if !ok {
			p.fail(part, RuleBounded, "%q is no rate; it is a number of runs (1 to %d) within a time (at most %s), like 2/24h", text, MaxRateRuns, MaxRateWithin)
			continue
		}
		*into = rate
	}
}
