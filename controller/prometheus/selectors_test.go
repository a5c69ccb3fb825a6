package prometheus

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSelectorsOfExpressions(t *testing.T) {
	t.Parallel()
	for expression, want := range map[string][]string{
		`up == 0`:                           {`up{}`},
		`up{job="node"} == 0`:               {`up{job="node"}`},
		`{__name__=~"a|b", x!='}'}`:         {`{__name__=~"a|b", x!='}'}`},
		`absent(up{job="node",} offset 5m)`: {`up{job="node"}`},
		`sum by (job, instance) (rate(http_requests_total{code=~"5.."}[5m])) / on(job) group_left (team) sum(rate(http_requests_total[5m] @ end())) > 0.05`: {
			`http_requests_total{code=~"5.."}`, `http_requests_total{}`,
		},
		`node_filesystem_avail_bytes{fstype!~"tmpfs"} / node_filesystem_size_bytes * 100 < 10 and ON (instance, device, mountpoint) node_filesystem_readonly == 0`: {
			`node_filesystem_avail_bytes{fstype!~"tmpfs"}`, `node_filesystem_size_bytes{}`, `node_filesystem_readonly{}`,
		},
		"a # b{}\n > bool 1e3 unless job:c:sum5m":     {`a{}`, `job:c:sum5m{}`},
		`max_over_time(a[1h:5m]) > 2 * a offset 1d`:   {`a{}`},
		"label_replace(a, \"b\", `$1{`, 'c', '(.*)')": {`a{}`},
		`count without (cpu) (a) > Inf or vector(1)`:  {`a{}`},
		`time() - a > 0x1F`:                           {`a{}`},
	} {
		got, ok := selectorsOf(expression)
		var texts []string
		for _, s := range got {
			texts = append(texts, s.with(nil))
		}
		if diff := cmp.Diff(want, texts); diff != "" || !ok {
			t.Errorf("%s: %v (-want +got)\n%s", expression, ok, diff)
		}
	}
	for _, expression := range []string{`up{job="x`, `up{job="x"`, `a[5m`, `sum by (job`, `"x`, `'\`} {
		if got, ok := selectorsOf(expression); ok {
			t.Errorf("%s has %v", expression, got)
		}
	}
}

// What an alert's labels hold is quoted: it can end neither the pattern nor the
// text, and is only compared.
func TestNarrowedByHostileLabels(t *testing.T) {
	t.Parallel()
	hostile := `x"} or vector(1) # .*` + "\n\\"
	got := selector{"up", `job="node"`}.with(map[string]string{"instance": hostile, "a.b": "left out", "9": "too", "": "too", "ü": "too"})
	if want := `up{job="node",instance=~"|x\"\\} or vector\\(1\\) # \\.\\*\n\\\\"}`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	pattern := "^(?:|" + regexp.QuoteMeta(hostile) + ")$" // as Prometheus anchors it
	if re := regexp.MustCompile(pattern); !re.MatchString(hostile) || !re.MatchString("") || re.MatchString("x") {
		t.Error("it does not match itself, or more")
	}
}

// FuzzSelectors: reading ends, and what is found stands in the expression.
func FuzzSelectors(f *testing.F) {
	f.Add(`sum by (job) (rate(a{b="c"}[5m])) > 0`)
	f.Add("a#\n{b='\\'}[")
	f.Fuzz(func(t *testing.T, expression string) {
		found, _ := selectorsOf(expression)
		for _, s := range found {
			if !strings.Contains(expression, s.name) || !strings.Contains(expression, s.matchers) {
				t.Errorf("%q has no %+v", expression, s)
			}
		}
	})
}
