package intake

import (
	"time"

	"github.com/secondline-ops/secondline/controller/incident"
)

// Description is the answer of `secondline signal test`; its JSON is a
// contract (DESIGN section 10), change it only by adding.
type Description struct {
	Signals  []DescribedSignal `json:"signals"`
	Unmapped bool              `json:"unmapped"`
	Problem  string            `json:"problem,omitempty"` // why it is unmapped
}

// DescribedSignal is a signal in normal form, as a description shows it.
type DescribedSignal struct {
	Kind         incident.SignalKind `json:"kind"`
	State        incident.State      `json:"state"`
	StateRaw     string              `json:"state_raw"`
	Severity     incident.Severity   `json:"severity"`
	SeverityRaw  string              `json:"severity_raw"`
	Title        string              `json:"title"`
	Resources    []incident.Resource `json:"resources"`
	Identity     string              `json:"identity"`
	IdentityFrom string              `json:"identity_from"`
	StartsAt     *time.Time          `json:"starts_at"`
	EndsAt       *time.Time          `json:"ends_at"`
	Links        []string            `json:"links"`
	Labels       map[string]string   `json:"labels"`
	Annotations  map[string]string   `json:"annotations"`
}

// Describe shows how a body was read: the signals, or why there are none.
func Describe(signals []incident.Signal, problem error) Description {
	d := Description{Signals: make([]DescribedSignal, 0, len(signals))}
	if problem != nil {
		d.Unmapped, d.Problem = true, problem.Error()
		return d
	}
	for _, s := range signals {
		d.Signals = append(d.Signals, DescribedSignal{
			Kind: s.Kind, State: s.State, StateRaw: s.StateRaw, Severity: s.Severity, SeverityRaw: s.SeverityRaw,
			Title: s.Title, Resources: s.Resources, Identity: s.Identity, IdentityFrom: s.IdentityFrom,
			StartsAt: known(s.StartsAt), EndsAt: known(s.EndsAt), Links: s.Links, Labels: s.Labels, Annotations: s.Annotations,
		})
	}
	return d
}

func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
