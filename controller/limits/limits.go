// Package limits reserves what a plan needs before it may change anything. In
// this version that is the target: one run at a time on each host, whoever
// started it. Rates, health floors and breakers will be reserved here too, in
// the same transaction.
package limits

import (
	"context"
	"errors"
	"time"

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

// Reserve takes all of the plan's locks for the run, or none: a run that waits
// holds nothing, so that two of them cannot wait for each other for ever. It
// refuses with fault.Conflict, naming the holder, when one is taken. A lock that
// is never given back ends by itself.
func Reserve(ctx context.Context, tx Locker, plan *runbooks.Plan, run string, now time.Time) error {
	until := now.Add(plan.WorstCase + slack)
	for _, name := range append([]string{"target/" + plan.Target}, plan.Locks...) {
		if name == "host" { // the target, which is always locked
			continue
		}
		if err := tx.Lock(ctx, name, run, now, until); err != nil {
			return errors.Join(err, tx.Unlock(ctx, run))
		}
	}
	return nil
}

// Release gives back everything that the run holds.
func Release(ctx context.Context, tx Locker, run string) error { return tx.Unlock(ctx, run) }
