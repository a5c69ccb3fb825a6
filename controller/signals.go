package controller

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/secondline-ops/secondline/controller/correlate"
	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/intake"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/internal/fault"
)

// bodiesAtOnce bounds how many stored bodies are looked at in one go.
const bodiesAtOnce = 64

// Digest takes stored bodies, oldest first, and turns their signals into
// incidents. The body was durable before its sender was answered; here it is
// decided, in one transaction per body with everything that follows from it. It
// reports whether there may be more.
func (r *Reconciler) Digest(ctx context.Context) (more bool, err error) {
	bodies, err := r.store.PendingBodies(ctx, bodiesAtOnce)
	if err != nil {
		return false, fmt.Errorf("list undecided bodies: %w", err)
	}
	for _, body := range bodies {
		if err := r.digestBody(ctx, body); err != nil {
			return false, fmt.Errorf("digest body %s: %w", body.ID, err)
		}
	}
	return len(bodies) > 0, nil // a full answer may still be less than there is: it is bounded in bytes, too
}

// digestBody decides one body. What will not go away by itself must not stand
// in the way of the signals behind it: then the body's incidents are written
// without being decided, which each of them gets alone when it is due.
func (r *Reconciler) digestBody(ctx context.Context, body store.Body) error {
	signals, err := r.parse(body)
	if err != nil {
		r.logger.WarnContext(ctx, "body could not be understood and is kept", slog.String("body", body.ID), slog.String("source", body.Source), slog.Any("problem", err))
		return r.unlessSettled(ctx, body, r.store.Update(ctx, func(tx store.Tx) error {
			return tx.SettleBody(ctx, body.ID, store.BodyUnmapped, err.Error())
		}))
	}
	err = r.takeAll(ctx, body, signals, (*turn).finish)
	if err == nil || ctx.Err() != nil || fault.Retryable(fault.KindOf(err)) {
		return err
	}
	if err := r.unlessSettled(ctx, body, err); err == nil {
		return nil
	}
	r.logger.ErrorContext(ctx, "incidents of a body could not be decided with it", slog.String("body", body.ID), slog.Any("reason", err))
	return r.takeAll(ctx, body, signals, func(t *turn) error {
		t.in.DueAt = t.at
		return t.tx.SaveIncident(t.ctx, t.in)
	})
}

// unlessSettled forgets err when another controller has decided the body.
func (r *Reconciler) unlessSettled(ctx context.Context, body store.Body, err error) error {
	if !fault.Is(err, fault.Conflict) {
		return err
	}
	now, ferr := r.store.FindBody(ctx, body.ID)
	if ferr == nil && now.Status != store.BodyPending {
		return nil
	}
	return err
}

// takeAll joins the signals to their incidents, ends each incident's turn, and
// settles the body, in one transaction.
func (r *Reconciler) takeAll(ctx context.Context, body store.Body, signals []incident.Signal, end func(*turn) error) error {
	var err error
	for range tries {
		var b batch
		err = r.store.Update(ctx, func(tx store.Tx) error {
			b = batch{byID: map[string]*turn{}, fresh: map[string][]*incident.Incident{}}
			for i := range signals {
				if err := r.take(ctx, tx, &signals[i], &b); err != nil {
					return err
				}
			}
			for _, t := range b.turns {
				if err := end(t); err != nil {
					return err
				}
			}
			if err := tx.SaveSignals(ctx, signals); err != nil {
				return err
			}
			return tx.SettleBody(ctx, body.ID, store.BodySettled, "")
		})
		if err == nil {
			for _, t := range b.turns {
				t.announce()
			}
			return nil
		}
		if !fault.Is(err, fault.Conflict) || r.unlessSettled(ctx, body, err) == nil {
			break
		}
	}
	return r.unlessSettled(ctx, body, err)
}

// batch is the turns that the signals of one body have begun. What is in it is
// ahead of what is stored.
type batch struct {
	turns []*turn
	byID  map[string]*turn
	// fresh are the incidents that this body opened, by entity and by identity.
	fresh map[string][]*incident.Incident
}

func (b *batch) add(t *turn, sig *incident.Signal) {
	b.turns = append(b.turns, t)
	b.byID[t.in.ID] = t
	if t.in.Version == 0 {
		b.index(t.in, sig)
	}
}

func (b *batch) index(in *incident.Incident, sig *incident.Signal) {
	b.fresh["identity\x00"+sig.Identity] = append(b.fresh["identity\x00"+sig.Identity], in)
	if sig.Entity != "" {
		b.fresh["entity\x00"+sig.Entity] = append(b.fresh["entity\x00"+sig.Entity], in)
	}
}

// candidates puts what this body has changed in place of what is stored.
func (b *batch) candidates(stored []*incident.Incident, sig *incident.Signal) []*incident.Incident {
	for i, c := range stored {
		if t := b.byID[c.ID]; t != nil {
			stored[i] = t.in
		}
	}
	stored = append(stored, b.fresh["identity\x00"+sig.Identity]...)
	if sig.Entity != "" {
		stored = append(stored, b.fresh["entity\x00"+sig.Entity]...)
	}
	return stored
}

// take finds the incident of a signal, or opens one, and lets it absorb the
// signal.
func (r *Reconciler) take(ctx context.Context, tx store.Tx, sig *incident.Signal, b *batch) error {
	world, now := r.world(), r.now()
	found := world.Inventory.Resolve(sig.Resources)
	sig.Entity, sig.IncidentID = found.Entity, ""
	hints := intake.Hints(*sig)
	stored, err := tx.FindOpenIncidents(ctx, sig.Entity, sig.Identity, now.Add(-incident.ReopenWithin))
	if err != nil {
		return err
	}
	a := correlate.Assign(*sig, hints, b.candidates(stored, sig), now)
	sig.Action, sig.Reason = a.Deed, a.Reason+"; "+found.Why
	if a.Deed == incident.DeedOpened {
		in := incident.Open("inc-"+r.newID(), *sig, hints, now)
		sig.IncidentID = in.ID
		b.add(r.begin(ctx, tx, in), sig)
		return nil
	}
	if a.Incident == nil {
		return nil // the signal concerns no incident
	}
	sig.IncidentID = a.Incident.ID
	at := now
	for _, last := range []time.Time{a.Incident.UpdatedAt, a.Incident.ResolvedAt} {
		if at.Before(last) { // the clock was set back; what comes in last must not look older
			at = last.Add(time.Microsecond)
		}
	}
	a.Incident.Absorb(*sig, at)
	if b.byID[a.Incident.ID] == nil {
		b.add(r.begin(ctx, tx, a.Incident), sig)
	} else if a.Incident.Version == 0 {
		b.index(a.Incident, sig)
	}
	return nil
}
