package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
)

// How often a measurement is asked again while it is watched.
const (
	askFirst = time.Second
	askMost  = 5 * time.Second
)

// measureSlack bounds a measurement without a deadline, beyond its hold.
const measureSlack = 10 * time.Minute

// measure asks whether a symptom is gone, and whether it stays so for the hold.
// One "still there" ends it at once; cannot tell is asked again until the
// deadline and is never an answer of its own before that.
func (a *Agent) measure(ctx context.Context, j job.Job, r remote.Runner, report *job.Report) error {
	cause, err := a.cause(j.Measure.Cause)
	if err != nil {
		return err
	}
	hold := j.Measure.Hold
	ctx, cancel := context.WithTimeout(ctx, hold+measureSlack)
	defer cancel()
	subject := diagnostics.Subject{Entity: j.Target.Entity}
	var goneSince time.Time // when the first of the looks in a row that saw it gone had ended
	for pause := askFirst; ; pause = min(2*pause, askMost) {
		asked := a.Now()
		m, err := a.collector(j, 0).Measure(ctx, r, cause, j.Measure.Object, subject)
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		left := hold
		switch m.Truth {
		case expr.True:
			if goneSince.IsZero() {
				goneSince = m.At
			}
			left -= asked.Sub(goneSince) // from the end of the first look to the beginning of this one
		case expr.False, expr.CannotTell:
			goneSince = time.Time{} // what was not seen did not hold
		}
		keep(report, m, goneSince)
		if m.Truth == expr.False || m.Truth == expr.True && (hold <= 0 || left <= 0) {
			return nil
		}
		if goneSince.IsZero() || left > pause {
			left = pause
		}
		if !sleep(ctx, left) {
			if m.Truth == expr.True {
				report.Measurement.Truth = expr.CannotTell
				report.Measurement.Text = fmt.Sprintf("gone, but watched for only %s of %s: %s", m.At.Sub(goneSince).Round(time.Second), hold, m.Text)
			}
			return nil
		}
	}
}

// keep puts a measurement into the report. Its facts replace those of the last
// asking: what counts is the last look.
func keep(report *job.Report, m diagnostics.Measurement, since time.Time) {
	ids := make([]string, 0, len(m.Facts))
	for _, f := range m.Facts {
		ids = append(ids, f.ID)
	}
	report.Facts = m.Facts
	report.Measurement = &job.Measurement{That: m.That, Truth: m.Truth, Text: m.Text, Facts: ids, HeldAt: since}
}

func (a *Agent) check(ctx context.Context, j job.Job, r remote.Runner, report *job.Report) error {
	if err := j.Check.Source.Verify(); err != nil {
		return err
	}
	check, err := diagnostics.ParseCheck(j.Check.Source.Name, j.Check.Source.Body, a.Probes)
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "read check %s", j.Check.Name)
	}
	m, err := a.collector(j, 0).RunCheck(ctx, r, check, diagnostics.Subject{Entity: j.Target.Entity})
	keep(report, m, time.Time{})
	if errors.Is(err, context.DeadlineExceeded) {
		return nil // what was not read in time cannot tell, and says so
	}
	return err
}
