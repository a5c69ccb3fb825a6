package runbooks

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestARateIsAFewRunsWithinATime(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Rate{
		"1/1h": {1, time.Hour}, "2/24h": {2, 24 * time.Hour}, "100/744h": {MaxRateRuns, MaxRateWithin},
	} {
		if got, ok := ParseRate(text); !ok || got != want {
			t.Errorf("%q is %+v, %t", text, got, ok)
		}
	}
	for _, text := range []string{"", "2", "/1h", "2/", "0/1h", "-1/1h", "101/1h", "2/0s", "2/-1h", "2/745h", "2/1h/1h", "two/1h", "2/day"} {
		if got, ok := ParseRate(text); ok {
			t.Errorf("%q is taken for %+v", text, got)
		}
	}
}

func TestARateThatIsNoneIsRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"0/1h", "101/1h", "2/745h"} {
		for _, part := range []string{"per_target", "overall"} {
			spec := strings.Replace(string(minimal("a", "b").Data), "  steps:", "  limits: {rate: {"+part+": "+text+"}}\n  steps:", 1)
			if _, err := Parse("a.yaml", []byte(spec), testOptions()); err == nil || !strings.Contains(err.Error(), `"`+text+`" is no rate`) {
				t.Errorf("%s: %s: %v", part, text, err)
			}
		}
	}
}

// TestRatesOfATargetAndOfAllAreCountedApart: runs count together whose rates have
// one name.
func TestRatesOfATargetAndOfAllAreCountedApart(t *testing.T) {
	t.Parallel()
	spec := strings.Replace(string(minimal("restart", "b").Data), "  steps:", "  limits: {rate: {per_target: 1/1h, overall: 3/24h}}\n  steps:", 1)
	rb, err := Parse("a.yaml", []byte(spec), testOptions())
	if err != nil {
		t.Fatal(err)
	}
	of := func(name string) PlannedRate { return PlannedRate{Name: name, Most: 1, Within: time.Hour} }
	all := PlannedRate{Name: "restart", Most: 3, Within: 24 * time.Hour}
	for _, target := range []string{"web1", "web2"} {
		if got, want := rb.RatesOn(target), []PlannedRate{of("restart on " + target), all}; !slices.Equal(got, want) {
			t.Errorf("on %s: %+v, want %+v", target, got, want)
		}
	}
	rb.RateOverall = Rate{}
	if got := rb.RatesOn("web1"); !slices.Equal(got, []PlannedRate{of("restart on web1")}) {
		t.Errorf("without one for all: %+v", got)
	}
}
