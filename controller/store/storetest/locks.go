package storetest

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/internal/fault"
)

func locks(t *testing.T, fresh func(t *testing.T) Place) {
	s, ctx := opened(t, fresh), t.Context()
	lock := func(name, holder string, now, until int) error {
		return s.Update(ctx, func(tx store.Tx) error { return tx.Lock(ctx, name, holder, at(now), at(until)) })
	}
	must(t, lock("host:db1", "run-1", 0, 10))
	err := lock("host:db1", "run-2", 5, 20)
	wantKind(t, err, fault.Conflict)
	if !strings.Contains(err.Error(), "run-1") {
		t.Errorf("the refusal does not name the holder: %v", err)
	}
	must(t, lock("host:db1", "run-1", 5, 30)) // extends
	must(t, lock("host:db1", "run-1", 6, 7))  // does not shorten
	wantKind(t, lock("host:db1", "run-2", 10, 40), fault.Conflict)
	must(t, lock("host:db2", "run-1", 10, 30))
	must(t, lock("host:db3", "run-3", 10, 30))
	must(t, lock("host:db1", "run-2", 30, 40)) // lapsed
	update(t, s, func(tx store.Tx) error { return tx.Unlock(ctx, "run-1") })
	must(t, lock("host:db2", "run-2", 11, 40))
	wantKind(t, lock("host:db1", "run-1", 31, 50), fault.Conflict)
	wantKind(t, lock("host:db3", "run-1", 11, 50), fault.Conflict)

	var got atomic.Int64
	together(workers, func(i int) {
		if lock("race", fmt.Sprintf("run-%d", i), 0, 10) == nil {
			got.Add(1)
		}
	})
	if got.Load() != 1 {
		t.Fatalf("%d got the lock", got.Load())
	}
	t.Run("several locks or none", func(t *testing.T) {
		wantKind(t, s.Update(ctx, func(tx store.Tx) error {
			if err := tx.Lock(ctx, "free", "run-9", at(0), at(10)); err != nil {
				return err
			}
			return tx.Lock(ctx, "host:db3", "run-9", at(12), at(20))
		}), fault.Conflict)
		must(t, lock("free", "run-8", 0, 10))
	})
}
