package prometheus

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/internal/fault"
)

const (
	maxRules      = 20_000
	maxExpression = 16 << 10
	maxFor        = 366 * 24 * time.Hour // beyond, it is a slip or a lie, and no onset
)

// Rule is an alerting rule of a server.
type Rule struct {
	Alert    string
	Expr     string
	For      time.Duration     // how long the expression holds before the alert fires
	Interval time.Duration     // at which its group is evaluated; 0 when not known
	Labels   map[string]string // that it adds to what the expression yields; values may be templates
}

// Rules returns the alerting rules of the server. A rule whose times make no
// sense is left out.
func (c *Client) Rules(ctx context.Context) ([]Rule, error) {
	// The alerts of a rule can be more than all rules; servers that do not know the second word send them anyway.
	e, err := c.call(ctx, http.MethodGet, "/api/v1/rules", url.Values{"type": {"alert"}, "exclude_alerts": {"true"}})
	if err != nil {
		return nil, err
	}
	if w := e.warnings(); len(w) > 0 {
		return nil, c.wrap(fault.Transient, nil, "not all rules are there: %s", w[0])
	}
	var data struct {
		Groups *[]struct {
			Interval float64 `json:"interval"`
			Rules    []struct {
				Type     string            `json:"type"`
				Name     string            `json:"name"`
				Query    string            `json:"query"`
				Duration float64           `json:"duration"`
				Labels   map[string]string `json:"labels"`
			} `json:"rules"`
		} `json:"groups"`
	}
	if err := json.Unmarshal(e.Data, &data); err != nil || data.Groups == nil {
		return nil, c.wrap(fault.Transient, err, "the list of rules is not as its API documents it")
	}
	rules := []Rule{}
	for _, g := range *data.Groups {
		for _, r := range g.Rules {
			held, ok := seconds(r.Duration)
			if r.Type != "alerting" || r.Name == "" || !ok {
				continue
			}
			if len(rules) == maxRules {
				return nil, c.wrap(fault.TooLarge, nil, "it has more than %d alerting rules", maxRules)
			}
			interval, _ := seconds(g.Interval)
			rules = append(rules, Rule{Alert: r.Name, Expr: r.Query, For: held, Interval: interval, Labels: r.Labels})
		}
	}
	return rules, nil
}

func seconds(s float64) (time.Duration, bool) {
	if s < 0 || s > maxFor.Seconds() {
		return 0, false
	}
	return time.Duration(s * float64(time.Second)), true
}

// mayHaveFired reports whether an alert with the labels can be of the rule: it
// has the labels that the rule adds, as far as they are no templates.
func (r Rule) mayHaveFired(labels map[string]string) bool {
	for name, value := range r.Labels {
		if !strings.Contains(value, "{{") && labels[name] != value {
			return false
		}
	}
	return labels["alertname"] == r.Alert
}

// yields reports whether a series that the expression yields is that of the
// alert. What the rule adds says nothing, and neither does a label that the
// alert has lost on its way (alert_relabel_configs).
func (r Rule) yields(series, alert map[string]string) bool {
	for name, value := range series {
		if _, added := r.Labels[name]; added || name == "__name__" || name == "alertname" {
			continue
		}
		if has, ok := alert[name]; ok && has != value {
			return false
		}
	}
	return true
}
