package limits_test

import (
	"errors"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/controller/limits"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/runbooks"
)

// TestWhatARateRefusesHoldsNoLock: neither its target nor what else it would lock.
func TestWhatARateRefusesHoldsNoLock(t *testing.T) {
	t.Parallel()
	db := openStore(t)
	rated := func(target string) *runbooks.Plan {
		return &runbooks.Plan{Target: target, Locks: []string{"host", "disk/" + target}, WorstCase: time.Hour, Rates: []runbooks.PlannedRate{{Name: "restart", Most: 1, Within: time.Hour}}}
	}
	if err := reserve(t, db, rated("web1"), "first", t0); err != nil {
		t.Fatal(err)
	}
	if err := reserve(t, db, rated("web2"), "refused", t0); !errors.Is(err, limits.ErrRate) {
		t.Fatalf("got %v", err)
	}
	if err := reserve(t, db, &runbooks.Plan{Target: "web2", Locks: []string{"disk/web2"}, WorstCase: time.Hour}, "other", t0); err != nil {
		t.Errorf("what its rate refused holds a lock: %v", err)
	}
}

// TestWhatARateRefusesCountsInNoOther: a run that did not begin is none of those
// that may begin.
func TestWhatARateRefusesCountsInNoOther(t *testing.T) {
	t.Parallel()
	db := openStore(t)
	on := func(target string) *runbooks.Plan {
		return &runbooks.Plan{Target: target, WorstCase: time.Minute, Rates: []runbooks.PlannedRate{
			{Name: "restart on " + target, Most: 1, Within: 24 * time.Hour}, {Name: "restart", Most: 1, Within: time.Hour},
		}}
	}
	if err := reserve(t, db, on("web1"), "first", t0); err != nil {
		t.Fatal(err)
	}
	if err := reserve(t, db, on("web2"), "refused", t0); !errors.Is(err, limits.ErrRate) {
		t.Fatalf("got %v", err)
	}
	if err := reserve(t, db, on("web2"), "later", t0.Add(time.Hour)); err != nil {
		t.Errorf("the run that was refused an hour ago counts as one on its target: %v", err)
	}
}

// TestWhatALockRefusesHoldsNoOtherLock, and counts in no rate.
func TestWhatALockRefusesHoldsNoOtherLock(t *testing.T) {
	t.Parallel()
	db := openStore(t)
	if err := reserve(t, db, &runbooks.Plan{Target: "web1", Locks: []string{"cluster"}, WorstCase: time.Hour}, "first", t0); err != nil {
		t.Fatal(err)
	}
	rate := []runbooks.PlannedRate{{Name: "restart", Most: 1, Within: time.Hour}}
	if err := reserve(t, db, &runbooks.Plan{Target: "web2", Locks: []string{"disk", "cluster"}, WorstCase: time.Hour, Rates: rate}, "refused", t0); !fault.Is(err, fault.Conflict) {
		t.Fatalf("got %v", err)
	}
	if err := reserve(t, db, &runbooks.Plan{Target: "web2", Locks: []string{"disk"}, WorstCase: time.Hour, Rates: rate}, "other", t0); err != nil {
		t.Errorf("what a lock refused holds something: %v", err)
	}
}
