package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/secondline-ops/secondline/controller/bundle"
	"github.com/secondline-ops/secondline/controller/escalation"
	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/notify"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/internal/fault"
)

// How own work is tried: a lease longer than any one try, and a pause that
// doubles up to a bound. A message that nobody takes is given up after a day of
// tries, and that is on the incident's timeline.
const (
	ownLease    = 2 * time.Minute
	ownWithin   = ownLease - 20*time.Second // one try; beyond the lease another controller would begin, too
	sendWithin  = 30 * time.Second          // one channel of it
	retryFirst  = 5 * time.Second
	retryMost   = 10 * time.Minute
	maxAttempts = 150
)

// drainQueue does the due work of one of the controller's own queues.
func (a *App) drainQueue(ctx context.Context, queue string, do func(context.Context, store.Job) error) error {
	for { // one at a time, since the lease runs from the claim
		now := a.o.Now()
		jobs, err := a.o.Store.ClaimJobs(ctx, queue, "outbox", now, now.Add(ownLease), 1)
		if err != nil || len(jobs) == 0 {
			return err
		}
		if err := a.tryJob(ctx, jobs[0], do); err != nil {
			return err
		}
	}
}

func (a *App) tryJob(ctx context.Context, j store.Job, do func(context.Context, store.Job) error) error {
	within, cancel := context.WithTimeout(ctx, ownWithin)
	err := do(within, j)
	cancel()
	now := a.o.Now()
	state := store.JobDone
	if err != nil {
		if ctx.Err() != nil {
			return nil //nolint:nilerr // stopping: the lease lapses and the next start goes on
		}
		a.o.Logger.WarnContext(ctx, "message or bundle was not done", slog.String("incident", j.Incident), slog.String("queue", j.Queue), slog.Any("reason", err))
		if fault.Retryable(fault.KindOf(err)) && j.Attempts < maxAttempts {
			return a.o.Store.RetryJob(ctx, j.ID, j.Fence, now.Add(pause(j.Attempts)), err.Error())
		}
		state = store.JobFailed
		if nerr := a.noteProblem(ctx, j, err); nerr != nil && !fault.Is(nerr, fault.NotFound) {
			return nerr
		}
	}
	return a.o.Store.Update(ctx, func(tx store.Tx) error {
		_, err := tx.FinishJob(ctx, j.ID, j.Fence, state, nil, now)
		return err
	})
}

func pause(attempts int) time.Duration {
	p := retryFirst
	for range attempts {
		if p *= 2; p > retryMost {
			return retryMost
		}
	}
	return p
}

func (a *App) noteProblem(ctx context.Context, j store.Job, problem error) error {
	return a.loop.update(ctx, j.Incident, func(t *turn) error {
		t.in.Note(t.at, actorSelf, incident.EventProblem, j.Queue, fmt.Sprintf("%s %s was given up: %v", j.Queue, j.Kind, problem), nil)
		return nil
	})
}

// writeBundles writes the bundles of escalated incidents, and then orders the
// messages that carry them. A bundle that cannot be written does not keep the
// message from going out. In a storm there are neither, but one message for all.
func (a *App) writeBundles(ctx context.Context) error {
	return a.drainQueue(ctx, queueBundle, func(ctx context.Context, j store.Job) error {
		if j.Attempts <= 1 && !a.calls.admit(a.o.Now()) { // one that was begun is finished as it was begun
			return a.loop.update(ctx, j.Incident, func(t *turn) error { return t.together("people are told, and the bundle is written when asked for,") })
		}
		name, berr := a.writeBundle(ctx, j.Incident)
		return a.loop.update(ctx, j.Incident, func(t *turn) error {
			if e := t.in.Escalation; e != nil {
				e.Bundle = name
				if berr != nil {
					e.BundleErr = berr.Error()
				}
			}
			if berr != nil {
				t.in.Note(t.at, actorSelf, incident.EventProblem, "bundle", "the bundle could not be written: "+berr.Error(), nil)
			} else {
				t.in.Note(t.at, actorSelf, incident.EventEscalation, "bundle_written", "wrote the bundle "+name, nil)
			}
			return t.tell(kindEscalated, "escalated/"+j.ID)
		})
	})
}

func (a *App) bundleDir() string { return filepath.Join(a.o.DataDir, "bundles") }

// writeBundle writes the bundle of an incident whole or not at all, and returns
// its file name below the bundle folder.
func (a *App) writeBundle(ctx context.Context, id string) (name string, err error) {
	b, err := bundle.Assemble(ctx, a.bundleSource(), id, bundle.Options{Version: a.o.Version, Now: a.o.Now()})
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(a.bundleDir(), 0o700); err != nil {
		return "", fmt.Errorf("make bundle folder: %w", err)
	}
	tmp, err := os.CreateTemp(a.bundleDir(), unfinishedBundle+"*")
	if err != nil {
		return "", fmt.Errorf("make bundle: %w", err)
	}
	err = bundle.Write(tmp, b, a.signKey)
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	name = bundleName(b.Number(), a.o.Now())
	if err == nil {
		err = os.Rename(tmp.Name(), filepath.Join(a.bundleDir(), name))
	}
	if err != nil {
		return "", errors.Join(fmt.Errorf("write bundle: %w", err), os.Remove(tmp.Name()))
	}
	return name, nil
}

// sendMessages tells people. Each channel is tried; those that took the message
// are noted, so that another try does not tell them twice.
func (a *App) sendMessages(ctx context.Context) error {
	return a.drainQueue(ctx, queueNotify, func(ctx context.Context, j store.Job) error {
		in, err := a.o.Store.FindIncident(ctx, j.Incident)
		if err != nil {
			return err
		}
		if j.Kind == kindResolved && j.Attempts <= 1 && !a.ends.admit(a.o.Now()) {
			return a.loop.update(ctx, j.Incident, func(t *turn) error { return t.together("people are told of the end") })
		}
		message := escalation.Compose(in, escalation.Kind(j.Kind), a.o.BaseURL)
		if j.Kind == kindStorm {
			if message, err = a.composeStorm(ctx, in); err != nil {
				return err
			}
		}
		message.ID = j.ID
		if in.Escalation != nil && in.Escalation.Bundle != "" && j.Kind == kindEscalated {
			message.Attachment = filepath.Join(a.bundleDir(), in.Escalation.Bundle)
		}
		return a.sendAll(ctx, in, j, message)
	})
}

// sendAll tries each channel that has not had the message. One that will never
// take it is noted and left; the others are tried again.
func (a *App) sendAll(ctx context.Context, in *incident.Incident, j store.Job, message notify.Message) error {
	settled, err := a.settledChannels(ctx, in.ID)
	if err != nil {
		return err
	}
	var told []string
	refused := map[string]error{}
	var again []error
	for _, channel := range a.settings.Load().Channels {
		if settled[channelMark(j, channel.Name())] {
			continue
		}
		within, cancel := context.WithTimeout(ctx, sendWithin)
		err := channel.Send(within, message)
		cancel()
		switch {
		case err == nil:
			told = append(told, channel.Name())
		case fault.Retryable(fault.KindOf(err)):
			again = append(again, fmt.Errorf("tell %s: %w", channel.Name(), err))
		default:
			refused[channel.Name()] = err
		}
	}
	if len(told)+len(refused) > 0 {
		again = append(again, a.loop.update(ctx, in.ID, func(t *turn) error {
			for _, name := range told {
				t.in.Note(t.at, actorSelf, incident.EventNotified, channelMark(j, name), "told "+name+": "+j.Kind, nil)
				if t.in.Escalation != nil && j.Kind == kindEscalated {
					t.in.Escalation.Notified = append(t.in.Escalation.Notified, name)
				}
			}
			for name, err := range refused {
				t.in.Note(t.at, actorSelf, incident.EventProblem, channelMark(j, name), fmt.Sprintf("%s does not take %s: %v", name, j.Kind, err), nil)
			}
			return nil
		}))
	}
	return errors.Join(again...)
}

// channelMark is the reason of the event that settles a message for a channel.
func channelMark(j store.Job, channel string) string { return j.ID + "/" + channel }

// settledChannels returns the marks of all messages of the incident that need
// not be sent again.
func (a *App) settledChannels(ctx context.Context, id string) (map[string]bool, error) {
	const page = 1000
	settled := map[string]bool{}
	after := int64(0)
	for {
		events, err := a.o.Store.ListEvents(ctx, id, after, page)
		if err != nil {
			return nil, err
		}
		for _, e := range events {
			if e.Kind == incident.EventNotified || e.Kind == incident.EventProblem {
				settled[e.Reason] = true
			}
			after = e.Seq
		}
		if len(events) < page {
			return settled, nil
		}
	}
}
