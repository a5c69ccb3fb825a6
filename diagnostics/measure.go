package diagnostics

import (
	"context"
	"slices"
	"time"

	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/remote"
)

// Measurement is a predicate asked on a server now. Truth is that of the
// statement "the symptom is gone" (Measure) or "the expectation holds" (Check).
type Measurement struct {
	That  string     `json:"that"`
	Truth expr.Truth `json:"truth"`
	Text  string     `json:"text"` // with the values read, for people
	Facts []Fact     `json:"facts"`
	At    time.Time  `json:"at"`
}

// Measure reads again what the symptom of the cause needs, and nothing else,
// and asks whether the symptom is gone from the object. What could not be read
// is neither gone nor there. The error is that of ctx.
func (c *Collector) Measure(ctx context.Context, r remote.Runner, cause *Cause, object map[string]string, subject Subject) (Measurement, error) {
	survey, needs := cause.readFor(cause.holds)
	run := c.start(r, subject)
	budgeted, cancel := context.WithTimeout(ctx, withDefault(c.Budget, DefaultBudget))
	defer cancel()
	run.read(budgeted, requests(survey, newBinding(subject)))
	known := newBinding(subject).read(survey, run.index()).about(object)
	run.read(budgeted, requests(needs, known))
	there, _, text := cause.holds.ask(known.read(needs, run.index()))
	return Measurement{
		That: "!(" + cause.Symptoms.Holds + ")", Truth: not(there), Text: text, Facts: run.facts, At: c.Now(),
	}, ctx.Err()
}

func not(t expr.Truth) expr.Truth {
	switch t {
	case expr.True:
		return expr.False
	case expr.False:
		return expr.True
	case expr.CannotTell:
	}
	return expr.CannotTell
}

// readFor returns the readings that a predicate rests on, with those that their
// arguments are made of.
func (c *Cause) readFor(asked claim) (survey, needs []reading) {
	names := asked.reads()
	for _, n := range c.needs {
		if slices.Contains(names, n.name) {
			needs = append(needs, n)
			for _, a := range n.with {
				names = append(names, a.reads()...)
			}
		}
	}
	for _, s := range c.survey {
		if slices.Contains(names, s.name) {
			survey = append(survey, s)
		}
	}
	return survey, needs
}
