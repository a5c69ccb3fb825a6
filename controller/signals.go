package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/secondline-ops/secondline/controller/correlate"
	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/intake"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/internal/fault"
)

// Bounds of one go: how many stored bodies are looked at, and how many signals
// are decided in one transaction. Whoever hands in a delivery waits for that
// transaction, and 50 new incidents take it about 0.1 s.
const (
	bodiesAtOnce  = 64
	signalsAtOnce = 50
)

// Digest takes stored bodies, oldest first, and turns their signals into
// incidents. A body was durable before its sender was answered; here it is
// decided, batch by batch, each in one transaction with everything that follows
// from it. It reports whether there may be more.
func (r *Reconciler) Digest(ctx context.Context) (more bool, err error) {
	bodies, err := r.store.PendingBodies(ctx, bodiesAtOnce)
	if err != nil {
		return false, fmt.Errorf("list undecided bodies: %w", err)
	}
	var later []error
	for _, body := range bodies {
		err := r.digestBody(ctx, body)
		switch {
		case err == nil:
		case fault.Is(err, fault.Conflict): // others are faster with what it concerns; what is behind it goes on
			later = append(later, fmt.Errorf("digest body %s: %w", body.ID, err))
		default:
			return false, errors.Join(append(later, fmt.Errorf("digest body %s: %w", body.ID, err))...)
		}
	}
	// A full answer may still be less than there is: it is bounded in bytes, too.
	return len(bodies) > 0 && len(later) == 0, errors.Join(later...)
}

// digestBody decides the signals of a body that are not decided yet. After each
// batch the body remembers how far it is, so that a restart goes on there. What
// will not go away by itself must not stand in the way of the signals behind
// it: such a body is set aside where people see it.
func (r *Reconciler) digestBody(ctx context.Context, body store.Body) error {
	signals, err := r.parse(body)
	if err != nil {
		return r.setAside(ctx, body, err.Error())
	}
	for {
		first := min(body.Taken, len(signals))
		part := batch{body: body, signals: signals[first:min(first+signalsAtOnce, len(signals))]}
		next := first + len(part.signals)
		part.settle = func(tx store.Tx) error {
			if err := tx.AdvanceBody(ctx, body.ID, body.Taken, next); err != nil || next < len(signals) {
				return err
			}
			return tx.SettleBody(ctx, body.ID, store.BodySettled, "")
		}
		err := r.takeAnyway(ctx, &part)
		switch {
		case errors.Is(err, errElsewhere):
			return nil
		case lasting(ctx, err) && !fault.Is(err, fault.Conflict):
			return r.setAside(ctx, body, fmt.Sprintf("%d of its %d signals could not be decided: %v", len(signals)-first, len(signals), err))
		case err != nil:
			return err
		}
		if next == len(signals) {
			return nil
		}
		body.Taken = next
	}
}

// errElsewhere says that another controller has gone on with the body.
var errElsewhere = errors.New("another controller has decided it")

// lasting reports whether an error would be there the next time, too. The
// store being away, full or slow is none.
func lasting(ctx context.Context, err error) bool {
	return err != nil && !errors.Is(err, errElsewhere) && ctx.Err() == nil && !fault.Retryable(fault.KindOf(err))
}

// setAside keeps a body that cannot be read or decided, and has a signal of its
// own stand for it: that opens or joins an incident, which a person sees.
func (r *Reconciler) setAside(ctx context.Context, body store.Body, problem string) error {
	problem = string(r.secrets.Redact([]byte(problem)))
	r.logger.WarnContext(ctx, "body was set aside", slog.String("body", body.ID), slog.String("source", body.Source), slog.String("problem", problem))
	settle := func(tx store.Tx) error { return tx.SettleBody(ctx, body.ID, store.BodyUnmapped, problem) }
	err := r.takeAnyway(ctx, &batch{body: body, signals: []incident.Signal{intake.Unreadable(body, problem, r.secrets)}, settle: settle})
	if lasting(ctx, err) && !fault.Is(err, fault.Conflict) {
		r.logger.ErrorContext(ctx, "nothing could stand for a body that was set aside", slog.String("body", body.ID), slog.Any("reason", err))
		err = r.store.Update(ctx, settle)
	}
	if err == nil {
		r.unmapped()
	}
	if errors.Is(err, errElsewhere) {
		return nil
	}
	return err
}

// batch is some signals of a body, to be decided in one transaction.
type batch struct {
	body    store.Body
	signals []incident.Signal
	settle  func(store.Tx) error // notes on the body how far it is

	turns []*turn // that the signals have begun
	byID  map[string]*turn
}

// takeAnyway takes the batch. When one of its incidents cannot be decided, they
// are written without being decided, which each of them gets alone when it is
// due.
func (r *Reconciler) takeAnyway(ctx context.Context, b *batch) error {
	err := r.takeAll(ctx, b, (*turn).finish)
	if !lasting(ctx, err) {
		return err
	}
	r.logger.ErrorContext(ctx, "incidents of a body could not be decided with it", slog.String("body", b.body.ID), slog.Any("reason", err))
	return r.takeAll(ctx, b, func(t *turn) error {
		t.in.DueAt = t.at
		return t.tx.SaveIncident(t.ctx, t.in)
	})
}

// takeAll joins the signals to their incidents, ends each incident's turn, and
// notes on the body how far it is, in one transaction.
func (r *Reconciler) takeAll(ctx context.Context, b *batch, end func(*turn) error) error {
	var err error
	for range tries {
		err = r.store.Update(ctx, func(tx store.Tx) error { return r.takeIn(ctx, tx, b, end) })
		if err == nil {
			for _, t := range b.turns {
				t.announce()
			}
			return nil
		}
		if !fault.Is(err, fault.Conflict) {
			return err
		}
		if now, ferr := r.store.FindBody(ctx, b.body.ID); ferr == nil && (now.Status != store.BodyPending || now.Taken != b.body.Taken) {
			return errElsewhere
		}
	}
	return err
}

func (r *Reconciler) takeIn(ctx context.Context, tx store.Tx, b *batch, end func(*turn) error) error {
	b.turns, b.byID = nil, map[string]*turn{}
	world, now := r.world(), r.now()
	signals := make([]located, len(b.signals))
	for i := range b.signals {
		signals[i] = locate(&b.signals[i], world.Inventory)
	}
	near, err := findCandidates(ctx, tx, signals, now.Add(-incident.ReopenWithin))
	if err != nil {
		return err
	}
	for _, s := range signals {
		in, opened := take(s, near, now, r.newID)
		if in != nil && b.byID[in.ID] == nil {
			t := r.begin(ctx, tx, in)
			b.turns, b.byID[in.ID] = append(b.turns, t), t
		}
		if opened {
			in.HeldBefore(*s.Signal, world.heldBefore(*s.Signal), now)
			near.add(in)
		} else if in != nil {
			near.addIdentity(in, s.Identity)
		}
	}
	for _, t := range b.turns {
		if err := end(t); err != nil {
			return err
		}
	}
	if err := tx.SaveSignals(ctx, b.signals); err != nil {
		return err
	}
	return b.settle(tx)
}

// take finds the incident of a signal, or opens one, and lets it absorb the
// signal. in is nil when the signal concerns no incident.
func take(s located, near *candidates, now time.Time, newID func() string) (in *incident.Incident, opened bool) {
	a := correlate.Assign(*s.Signal, s.hints, near.of(s), now)
	s.Action, s.Reason = a.Deed, a.Reason+"; "+s.why
	told := *s.Signal
	told.State = a.State
	at := now
	if in = a.Incident; in != nil {
		for _, last := range []time.Time{in.UpdatedAt, in.ResolvedAt} {
			if at.Before(last) { // the clock was set back; what comes in last must not look older
				at = last.Add(time.Microsecond)
			}
		}
		in.Absorb(told, at)
	} else if a.Deed == incident.DeedOpened {
		in, opened = incident.Open("inc-"+newID(), told, s.hints, now), true
	} else {
		return nil, false
	}
	s.IncidentID = in.ID
	remark(in, s, a, at)
	return in, opened
}

// remark puts on the timeline what a reader of the incident would not guess.
func remark(in *incident.Incident, s located, a correlate.Assignment, at time.Time) {
	note := func(reason, text string) {
		in.Note(at, "source:"+s.Source, incident.EventSignal, reason, text, map[string]string{"signal": s.ID})
	}
	if a.State != s.State && a.Deed != incident.DeedDuplicate {
		note("state_unknown", a.Reason)
	}
	if s.ID == s.BodyID && a.Deed != incident.DeedDuplicate {
		note("unreadable", s.Annotations["problem"]+"; it begins: "+s.Annotations["excerpt"])
	}
	in.MissAlerts(intake.TruncatedAlerts(*s.Signal), s.Source, s.ID, at)
}
