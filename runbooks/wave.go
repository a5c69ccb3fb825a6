package runbooks

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/secondline-ops/secondline/internal/yamlx"
)

// Bounds of targets. Each of them has a run of its own.
const (
	MaxTargets = 1000
	MaxWaves   = 10
)

// Wave is a part of the targets, which begins when the one before it is
// verified. The zero value is all that are left.
type Wave struct {
	Count   int
	Percent float64 // of all targets, rounded up
}

func (w Wave) size(all int) int {
	switch {
	case w.Count > 0:
		return w.Count
	case w.Percent > 0:
		n := int(w.Percent * float64(all) / 100)
		if float64(n)*100 < w.Percent*float64(all) {
			n++
		}
		return n
	}
	return all
}

// SplitWaves returns how many of the targets are in each wave: all of them, in
// the waves of the runbook and, when they leave some, a last one. A wave for
// which none are left is left out.
func (rb *Runbook) SplitWaves(targets int) []int {
	var sizes []int
	left := targets
	for _, w := range append(slices.Clone(rb.Waves), Wave{}) {
		if n := min(w.size(targets), left); n > 0 {
			sizes = append(sizes, n)
			left -= n
		}
	}
	return sizes
}

func (p *parser) targets(n *yamlx.Node) {
	var raw struct {
		Max   *int          `yaml:"max"`
		Waves []*yamlx.Node `yaml:"waves"`
	}
	if n == nil || !p.decode(n, &raw, words{later: []string{"select", "at_once"}}) {
		return
	}
	if raw.Max != nil {
		p.rb.MaxTargets = *raw.Max
	}
	if p.rb.MaxTargets < 1 || p.rb.MaxTargets > MaxTargets {
		p.fail(at(n, "max"), RuleTargets, "targets.max is %d; it must be 1 to %d: an empty set of targets refuses", p.rb.MaxTargets, MaxTargets)
	}
	p.tooMany(at(n, "waves"), "waves", len(raw.Waves), MaxWaves)
	if waves, given := n.Get("waves"); given && len(raw.Waves) == 0 {
		p.fail(waves, RuleTargets, "there is no wave; leave waves out, or say how many targets come first")
	}
	taken := 0
	for _, item := range raw.Waves {
		text, _ := item.Scalar()
		w, err := parseWave(text)
		switch {
		case err != nil:
			p.fail(item, RuleTargets, "%v", err)
		case taken >= p.rb.MaxTargets:
			p.fail(item, RuleTargets, "the waves before it take all targets; a small one comes first, and rest last")
		}
		taken += w.size(p.rb.MaxTargets)
		p.rb.Waves = append(p.rb.Waves, w)
	}
	if len(raw.Waves) > 0 && p.rb.MaxTargets == 1 {
		p.fail(at(n, "waves"), RuleTargets, "one target has no waves; say targets.max")
	}
}

func parseWave(text string) (Wave, error) {
	if text == "rest" {
		return Wave{}, nil
	}
	if number, ok := strings.CutSuffix(text, "%"); ok {
		f, err := strconv.ParseFloat(number, 64)
		if err == nil && f > 0 && f <= 100 {
			return Wave{Percent: f}, nil
		}
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > MaxTargets {
		return Wave{}, fmt.Errorf("%q is no wave; it is a number of targets, a part of them like 10%%, or rest", text)
	}
	return Wave{Count: n}, nil
}
