package diagnostics

import (
	"time"

	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/expr"
)

// Subject is what a diagnosis is about: the entity, what the signals said of
// it, and since when. Hints are hostile text.
type Subject struct {
	Entity entity.Entity     `json:"entity"`
	Hints  map[string]string `json:"hints"`
	Alerts []string          `json:"alerts,omitempty"` // names of all alerts that fire, besides that of the hints
	Onset  time.Time         `json:"onset"`            // zero when not known
}

// The names that expressions of causes and checks read besides their readings.
const (
	varHints  = "hints"
	varEntity = "entity"
	varOnset  = "onset"
	varObject = "object"
)

// hintAlert is the hint that holds the name of the alert.
const hintAlert = "alertname"

// subjectFields declares the subject to expressions.
func subjectFields() []expr.Field {
	return []expr.Field{
		{Name: varHints, Type: expr.Map, Doc: "what the signals said: mount, unit, url, alertname, ..."},
		{Name: varEntity, Type: expr.Object, Doc: "the entity, from the inventory", Elem: entity.Fields()},
		{Name: varOnset, Type: expr.Timestamp, Doc: "when it began"},
	}
}

// vars is the subject as the values that subjectFields declares.
func (s Subject) vars() map[string]any {
	vars := map[string]any{
		varHints:  stringMap(s.Hints),
		varEntity: s.Entity.Vars(),
		varOnset:  s.Onset,
	}
	if s.Onset.IsZero() {
		vars[varOnset] = expr.Unknown{Why: "the onset is not known"}
	}
	return vars
}

func stringMap(in map[string]string) map[string]any {
	out := make(map[string]any, len(in))
	for k, v := range in {
		out[k] = v
	}
	return out
}
