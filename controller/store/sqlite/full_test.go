package sqlite_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/controller/store/sqlite"
	"github.com/secondline-ops/secondline/internal/fault"
)

// TestFullDiskIsOverload fills a real file system of 4 MiB.
func TestFullDiskIsOverload(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if err := syscall.Mount("secondline-test", folder, "tmpfs", 0, "size=4m"); err != nil {
		if os.Getenv("SECONDLINE_REQUIRE_REAL") == "1" {
			t.Fatalf("mount a small file system: %v", err)
		}
		t.Skipf("TestFullDiskIsOverload needs to mount a tmpfs: %v", err)
	}
	t.Cleanup(func() {
		// Detached: a child that another test is starting may hold our files until it execs.
		if err := syscall.Unmount(folder, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	ctx := t.Context()
	s := open(t, filepath.Join(folder, "store.db"), sqlite.Options{})
	defer func() { _ = s.Close() }()
	stored := 0
	var err error
	for ; stored < 1000 && err == nil; stored++ {
		err = s.AppendBody(ctx, store.Body{ID: fmt.Sprintf("b%d", stored), Data: make([]byte, 100<<10)})
	}
	stored--
	if !fault.Is(err, fault.Overloaded) || !strings.Contains(hint(err), "disk space") {
		t.Fatalf("on a full disk: %v (hint %q)", err, hint(err))
	}
	in := &incident.Incident{ID: "a", Status: incident.New, Title: strings.Repeat("x", 1<<20)}
	in.Note(in.OpenedAt, "secondline", incident.EventOpened, "", "", nil)
	err = s.Update(ctx, func(tx store.Tx) error {
		_ = tx.SaveIncident(ctx, in) // a caller that does not look must not commit the rest
		_, _ = tx.Enqueue(ctx, store.Job{ID: "j"})
		return nil
	})
	if !fault.Is(err, fault.Overloaded) {
		t.Fatalf("Update on a full disk: %v", err)
	}
	if _, err := s.FindJob(ctx, "j"); !fault.Is(err, fault.NotFound) {
		t.Fatalf("half of an update is there: %v", err)
	}
	for i := range stored {
		if _, err := s.FindBody(ctx, fmt.Sprintf("b%d", i)); err != nil {
			t.Fatalf("body %d of %d, acknowledged before the disk was full: %v", i, stored, err)
		}
	}
	// With room again it goes on, without a restart, and with the same incident.
	if err := syscall.Mount("secondline-test", folder, "tmpfs", syscall.MS_REMOUNT, "size=32m"); err != nil {
		t.Fatal(err)
	}
	if err := s.Update(ctx, func(tx store.Tx) error { return tx.SaveIncident(ctx, in) }); err != nil {
		t.Fatalf("with room again: %v", err)
	}
	if events, err := s.ListEvents(ctx, "a", 0, 5); err != nil || len(events) != 1 || in.Version != 1 {
		t.Fatalf("%d events, version %d, %v", len(events), in.Version, err)
	}
}

func hint(err error) string {
	f, ok := err.(*fault.Error) //nolint:errorlint // the hint is read from the outermost
	if !ok {
		return ""
	}
	return f.Hint
}
