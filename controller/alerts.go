package controller

import (
	"context"
	"fmt"
	"time"

	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/intake/alertmanager"
	"github.com/secondline-ops/secondline/controller/prometheus"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
)

// How alerts are asked for again at the Prometheus that evaluates them.
const (
	rulesEvery      = time.Minute
	askers          = 4                // questions for so many incidents at once
	askWithin       = 30 * time.Minute // its queue is the controller's own, so it is long only when many wait
	maxAskedAlerts  = 20               // of one incident; each takes some questions
	maxKeptQuestion = 60               // of them all, on the timeline
)

// readRules keeps the rules of the configured servers at hand, so that deciding
// asks nobody.
func (a *App) readRules(ctx context.Context) error { return a.settings.Load().Prometheus.Refresh(ctx) }

// heldBefore is how long an alert's symptom had held before its source said so.
func (w World) heldBefore(s incident.Signal) time.Duration {
	if s.Source != (alertmanager.Parser{}).Name() || s.State != incident.Firing {
		return 0
	}
	held, _ := w.Prometheus.HeldFor(s.Labels)
	return held
}

// askable reports whether the expressions of all alerts of the incident can be
// asked again: half of them would prove nothing.
func (w World) askable(in *incident.Incident) bool {
	if len(in.Symptoms) == 0 || len(in.Symptoms) > maxAskedAlerts {
		return false
	}
	for _, s := range in.Symptoms {
		if s.Source != (alertmanager.Parser{}).Name() || !w.Prometheus.MayKnow(s.Alert) {
			return false
		}
	}
	return true
}

// orderQuestion has the alerts of the incident asked for by a worker, after the
// commit.
func (t *turn) orderQuestion() error {
	if m := t.in.Measured; m != nil && m.Key == incident.ByAlerts && m.At.Before(t.in.SourceResolvedAt()) {
		t.in.Measured = nil // what came out before the source said that it is over is not counted with what comes
	}
	t.in.Jobs++
	id := fmt.Sprintf("%s.%d", t.in.ID, t.in.Jobs)
	deadline := t.at.Add(askWithin)
	_, err := t.tx.Enqueue(t.ctx, store.Job{
		ID: id, Queue: queuePrometheus, Kind: string(job.Measure), Key: id, Incident: t.in.ID, Payload: []byte("{}"),
		State: store.JobQueued, RunAt: t.at, Deadline: deadline, CreatedAt: t.at,
	})
	if err != nil {
		return err
	}
	t.in.Work = &incident.Work{JobID: id, Kind: string(job.Measure), Key: incident.ByAlerts, Since: t.at, Deadline: deadline}
	t.in.Note(t.at, actorSelf, incident.EventJob, string(job.Measure), "Prometheus is asked again for the expressions of the alerts", map[string]string{"job": id})
	t.queues = append(t.queues, queuePrometheus)
	return nil
}

// askPrometheus answers the questions that wait. What a server does not say is
// an answer, too: cannot tell.
func (a *App) askPrometheus(ctx context.Context) error {
	return a.drainQueue(ctx, queuePrometheus, func(ctx context.Context, j store.Job) error {
		in, err := a.o.Store.FindIncident(ctx, j.Incident)
		if err != nil {
			return err
		}
		if !waitsFor(in, j) {
			return nil
		}
		verdict, err := a.askFor(ctx, in)
		if err != nil {
			return err
		}
		return a.loop.update(ctx, in.ID, func(t *turn) error {
			if waitsFor(t.in, j) {
				t.applyVerdict(verdict)
			}
			return nil
		})
	})
}

// waitsFor reports whether the answer is still wanted: a person may have
// resolved the incident meanwhile.
func waitsFor(in *incident.Incident, j store.Job) bool {
	return in.Work != nil && in.Work.JobID == j.ID
}

func (a *App) askFor(ctx context.Context, in *incident.Incident) (prometheus.Verdict, error) {
	settings := a.settings.Load()
	alerts := make([]prometheus.Alert, 0, len(in.Symptoms))
	for _, s := range in.Symptoms {
		sig, err := a.o.Store.FindSignal(ctx, s.Signal)
		if err != nil && !fault.Is(err, fault.NotFound) { // one that is not kept any more has no labels, which no rule adds
			return prometheus.Verdict{}, err
		}
		alerts = append(alerts, prometheus.Alert{Labels: sig.Labels, FiredAt: s.StartsAt})
	}
	verdict := settings.Prometheus.Gone(ctx, alerts, settings.Policy.MaxHold)
	return verdict, ctx.Err() // stopping is no answer
}

// applyVerdict writes down what the servers said. What follows from it is
// decided afterwards, by triage alone.
func (t *turn) applyVerdict(v prometheus.Verdict) {
	t.in.Work = nil
	at := t.at
	if at.Before(t.in.UpdatedAt) { // the clock was set back; what was measured last must not look older
		at = t.in.UpdatedAt
	}
	m := &incident.Measured{Key: incident.ByAlerts, Gone: v.Gone, Text: t.redacted(v.Text), At: at, Pointless: v.Pointless, Times: 1}
	if last := t.in.Measured; last != nil && last.Key == m.Key && last.Gone == m.Gone {
		m.Times += last.Times
	}
	if v.AgainIn > 0 {
		m.Times, m.Again = 0, at.Add(v.AgainIn)
	}
	questions := v.Questions[:min(len(v.Questions), maxKeptQuestion)]
	for i, q := range questions {
		questions[i].Query, questions[i].Answer = t.redacted(q.Query), t.redacted(q.Answer)
	}
	t.in.Measured = m
	t.in.Note(at, actorSelf, incident.EventMeasurement, string(m.Gone), m.Text, struct {
		Gone      expr.Truth            `json:"gone"`
		Questions []prometheus.Question `json:"questions"`
		Left      int                   `json:"left_out,omitempty"`
	}{m.Gone, questions, len(v.Questions) - len(questions)})
	m.Facts = []string{fmt.Sprintf("event %d", t.in.Seq)}
}

func (r *Reconciler) redacted(text string) string { return string(r.secrets.Redact([]byte(text))) }
