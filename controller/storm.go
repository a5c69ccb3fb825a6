package controller

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/secondline-ops/secondline/controller/escalation"
	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/notify"
	"github.com/secondline-ops/secondline/controller/store"
)

// When people are told of each incident, and when of all together
// (docs/decisions/0008-storms.md).
const (
	singlyAtMost = 20 // in any singlyWithin; the next ones are told together
	singlyWithin = 10 * time.Minute
	stormEvery   = 5 * time.Minute // one message for all that was told together meanwhile
	stormNamed   = 10              // incidents that it names
)

// quota admits so many things in any span of time. It is safe for concurrent use.
type quota struct {
	most   int
	within time.Duration

	mu       sync.Mutex  // guards below
	admitted []time.Time // at most so many, oldest first
}

// admit reports whether one more has room now, and takes it.
func (q *quota) admit(now time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.admitted) < q.most {
		q.admitted = append(q.admitted, now)
		return true
	}
	if age := now.Sub(q.admitted[0]); age >= 0 && age < q.within {
		return false
	}
	q.admitted = append(q.admitted[1:], now) // also when the clock was set back
	return true
}

// together puts what would be a message of its own into the next one about the
// storm. That goes out at the end of the present stretch of time, once.
func (t *turn) together(what string) error {
	due := t.at.Truncate(stormEvery).Add(stormEvery)
	t.in.Note(t.at, actorSelf, incident.EventEscalation, "storm",
		fmt.Sprintf("more than %d messages in %s: %s in one message with others at %s", singlyAtMost, singlyWithin, what, due.UTC().Format(time.TimeOnly)), nil)
	if t.in.Escalation != nil {
		t.in.Escalation.Together = true
	}
	_, err := t.tx.Enqueue(t.ctx, store.Job{
		ID: "job-" + t.newID(), Queue: queueNotify, Kind: kindStorm, Key: fmt.Sprintf("storm/%d", due.Unix()), Incident: t.in.ID,
		Payload: []byte("{}"), State: store.JobQueued, RunAt: due, CreatedAt: t.at,
	})
	return err
}

// composeStorm writes the message about a storm from what is stored now.
func (a *App) composeStorm(ctx context.Context, in *incident.Incident) (notify.Message, error) {
	counts, err := a.o.Store.CountIncidents(ctx)
	if err != nil {
		return notify.Message{}, err
	}
	newest, _, err := a.o.Store.ListIncidents(ctx, store.IncidentFilter{Status: []incident.Status{incident.Escalated}, Limit: stormNamed})
	if err != nil {
		return notify.Message{}, err
	}
	return escalation.ComposeStorm(in, counts, newest, a.o.BaseURL), nil
}

// bundleOnDemand writes the bundle of an incident that was told together with
// others, when somebody asks for it.
func (a *App) bundleOnDemand(ctx context.Context, in *incident.Incident) (path string, err error) {
	name, err := a.writeBundle(ctx, in.ID)
	if err != nil {
		return "", err
	}
	err = a.loop.update(ctx, in.ID, func(t *turn) error {
		if t.in.Escalation != nil {
			t.in.Escalation.Bundle = name
		}
		t.in.Note(t.at, actorSelf, incident.EventEscalation, "bundle_written", "wrote the bundle "+name+", since somebody asked for it", nil)
		return nil
	})
	return filepath.Join(a.bundleDir(), name), err
}
