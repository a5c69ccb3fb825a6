package sqlite_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/controller/store/sqlite"
	"github.com/secondline-ops/secondline/internal/fault"
)

// TestBodyDoesNotWaitForEverBehindALongUpdate: its sender is told to come
// again, and what it was told is true.
func TestBodyDoesNotWaitForEverBehindALongUpdate(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := open(t, filepath.Join(t.TempDir(), "store.db"), sqlite.Options{QueueWait: time.Millisecond})
	defer func() { _ = s.Close() }()
	begun, release, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		done <- s.Update(ctx, func(store.Tx) error {
			close(begun)
			<-release
			return nil
		})
	}()
	<-begun
	err := s.AppendBody(ctx, store.Body{ID: "refused", ReceivedAt: time.Unix(1, 0)})
	if !fault.Is(err, fault.Overloaded) {
		t.Errorf("behind a long update: %v", err)
	}
	close(release)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for { // a slow disk may take longer than the wait of this test; a sender comes again, too
		err := s.AppendBody(ctx, store.Body{ID: "accepted", ReceivedAt: time.Unix(2, 0)})
		if err == nil {
			break
		}
		if !fault.Is(err, fault.Overloaded) {
			t.Fatal(err)
		}
	}
	if pending, err := s.PendingBodies(ctx, 10); err != nil || len(pending) != 1 || pending[0].ID != "accepted" {
		t.Errorf("stored are %+v, %v", pending, err)
	}
}
