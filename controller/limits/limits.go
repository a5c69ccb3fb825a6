// Package limits reserves what a plan needs before it may change anything. In
// this version that is the target, one run at a time on each host, whoever
// started it; and the plan's rates. Health floors and breakers will be reserved
// here too, in the same transaction.
package limits

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/runbooks"
)

// Locker is the part of a store transaction that reserves names.
type Locker interface {
	Lock(ctx context.Context, name, holder string, now, until time.Time) error
	Unlock(ctx context.Context, holder string) error
}

// slack is how much longer than its worst case a plan keeps its locks: a lost
// lease, a restart of the agent and the report take time, too.
const slack = 10 * time.Minute

// ErrRate is why Reserve refuses a plan whose runs have begun as often as they
// may.
var ErrRate = errors.New("the runs that its rate allows are used up")

// Reserve takes all of the plan's locks and rates for the run, or none: a run
// that waits holds nothing, so that two of them cannot wait for each other for
// ever. It refuses with fault.Conflict, naming the holder, when a lock is taken,
// and with ErrRate when a rate is used up. A lock that is never given back ends
// by itself; what a rate counts is not given back when the run ends.
func Reserve(ctx context.Context, tx Locker, plan *runbooks.Plan, run string, now time.Time) error {
	if err := Extend(ctx, tx, plan, run, now); err != nil {
		return errors.Join(err, tx.Unlock(ctx, run))
	}
	for _, rate := range plan.Rates {
		if err := count(ctx, tx, rate, run, now); err != nil {
			return errors.Join(err, tx.Unlock(ctx, run), tx.Unlock(ctx, counted(run)))
		}
	}
	return nil
}

// Extend takes the plan's locks for the time that it may need from now on. It
// refuses with fault.Conflict, naming the holder, when one is taken.
func Extend(ctx context.Context, tx Locker, plan *runbooks.Plan, run string, now time.Time) error {
	until := now.Add(plan.WorstCase + slack)
	for _, name := range append([]string{"target/" + plan.Target}, plan.Locks...) {
		if name == "host" { // the target, which is always locked
			continue
		}
		if err := tx.Lock(ctx, name, run, now, until); err != nil {
			return err
		}
	}
	return nil
}

// counted holds what the rates count of a run, apart from its locks, which end
// with it.
func counted(run string) string { return "rate of " + run }

// count takes one of the rate's names, of which there are as many as runs may
// begin within its time.
func count(ctx context.Context, tx Locker, rate runbooks.PlannedRate, run string, now time.Time) error {
	for i := range rate.Most {
		err := tx.Lock(ctx, fmt.Sprintf("rate/%s/%d", rate.Name, i+1), counted(run), now, now.Add(rate.Within))
		if !fault.Is(err, fault.Conflict) {
			return err
		}
	}
	return fmt.Errorf("%w: %s, %s", ErrRate, rate.Name, runbooks.Rate{Most: rate.Most, Within: rate.Within})
}

// Release gives back everything that the run holds.
func Release(ctx context.Context, tx Locker, run string) error { return tx.Unlock(ctx, run) }
