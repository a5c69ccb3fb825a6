package runbooks

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestTargetsAreBounded(t *testing.T) {
	t.Parallel()
	parse := func(targets string) (*Runbook, error) {
		return Parse("a.yaml", []byte(strings.Replace(string(minimal("a", "b").Data), "  steps:", "  targets: "+targets+"\n  steps:", 1)), testOptions())
	}
	for waves, want := range map[string][]Wave{
		`[1, "0.5%", rest]`: {{Count: 1}, {Percent: 0.5}, {}},
		`["100%"]`:          {{Percent: 100}},
		`[1000]`:            {{Count: MaxTargets}},
	} {
		if rb, err := parse("{max: 1000, waves: " + waves + "}"); err != nil || rb.MaxTargets != MaxTargets || !slices.Equal(rb.Waves, want) {
			t.Errorf("waves %s: %v", waves, err)
		}
	}
	for _, most := range []int{-1, 0, MaxTargets + 1} {
		if _, err := parse(fmt.Sprintf("{max: %d}", most)); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("targets.max is %d", most)) {
			t.Errorf("max %d: %v", most, err)
		}
	}
	for _, wave := range []string{"0", "-1", "1001", "0%", "-5%", "100.1%", "101%", "200%", "NaN%", "Inf%", "%", "all", "1.5", "10 %"} {
		if _, err := parse(fmt.Sprintf("{max: 10, waves: [%q, rest]}", wave)); err == nil || !strings.Contains(err.Error(), `"`+wave+`" is no wave`) {
			t.Errorf("wave %q: %v", wave, err)
		}
	}
	if _, err := parse("{max: 20, waves: [" + strings.Repeat("1, ", MaxWaves) + "rest]}"); err == nil || !strings.Contains(err.Error(), "11 waves, more than 10") {
		t.Errorf("too many waves: %v", err)
	}
}
