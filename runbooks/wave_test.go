package runbooks

import (
	"slices"
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/internal/yamlx"
)

func TestWavesHoldAllTargets(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		waves   []Wave
		targets int
		want    []int
	}{
		{nil, 5, []int{5}},
		{[]Wave{{Count: 1}, {Percent: 10}, {}}, 30, []int{1, 3, 26}},
		{[]Wave{{Count: 1}, {Percent: 10}, {}}, 1, []int{1}},
		{[]Wave{{Count: 1}, {Percent: 10}, {}}, 2, []int{1, 1}},
		{[]Wave{{Percent: 10}}, 11, []int{2, 9}},
		{[]Wave{{Percent: 0.1}, {}}, 10, []int{1, 9}},
		{[]Wave{{}, {Count: 1}}, 3, []int{3}},
	} {
		rb := &Runbook{Waves: c.waves}
		if got := rb.SplitWaves(c.targets); !slices.Equal(got, c.want) {
			t.Errorf("%+v of %d: %v, want %v", c.waves, c.targets, got, c.want)
		}
	}
}

func TestWavesThatComeTooLateAreRefused(t *testing.T) {
	t.Parallel()
	for waves, good := range map[string]bool{
		"[1, 10%, rest]": true, "[1]": true, "[rest]": true, "[50%, rest]": true,
		"[rest, 1]": false, "[1, rest, rest]": false, "[100%, 5]": false, "[]": false, "[10, 1]": false,
	} {
		text := strings.Replace(string(minimal("a", "b").Data), "  steps:", "  targets: {max: 10, waves: "+waves+"}\n  steps:", 1)
		if _, err := Parse("a.yaml", []byte(text), testOptions()); (err == nil) != good || err != nil && yamlx.Errors(err)[0].Rule != RuleTargets {
			t.Errorf("%s: %v", waves, err)
		}
	}
}

func TestOneTargetHasNoWaves(t *testing.T) {
	t.Parallel()
	text := strings.Replace(string(minimal("a", "b").Data), "  steps:", "  targets: {waves: [1, rest]}\n  steps:", 1)
	if _, err := Parse("a.yaml", []byte(text), testOptions()); err == nil || !strings.Contains(err.Error(), "one target has no waves") {
		t.Errorf("got %v", err)
	}
}
