package sqlite_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/controller/store/sqlite"
	"github.com/secondline-ops/secondline/controller/store/storetest"
	"github.com/secondline-ops/secondline/internal/fault"
)

func open(t *testing.T, path string, o sqlite.Options) store.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConforms(t *testing.T) {
	t.Parallel()
	storetest.Exercise(t, func(t *testing.T) storetest.Place {
		folder := filepath.Join(t.TempDir(), "a folder with ? and %41")
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		return func(t *testing.T) store.Store {
			return open(t, filepath.Join(folder, "store.db"), sqlite.Options{})
		}
	})
}

func TestSecondOpenNamesTheFirst(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	s := open(t, path, sqlite.Options{})
	_, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), fmt.Sprintf("already in use by pid %d", os.Getpid())) {
		t.Fatalf("the second open says %v", err)
	}
	if f, ok := errors.AsType[*fault.Error](err); !ok || !strings.Contains(f.Hint, "--data-dir") || strings.Contains(f.Hint, "PostgreSQL") {
		t.Errorf("several controllers on one store are not supported, and the hint is %v", f)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, path, sqlite.Options{})
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestFilesAreForTheOwnerAlone(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s := open(t, filepath.Join(folder, "store.db"), sqlite.Options{})
	defer func() { _ = s.Close() }()
	if err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) < 3 {
		t.Fatalf("%d files, want the store, its log and its lock at least", len(entries))
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %s", e.Name(), info.Mode())
		}
	}
}

func TestRefusesWhatItCannotRead(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "text.db"), []byte(strings.Repeat("not a database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(folder, "text.db"), filepath.Join(folder, "missing", "store.db")} {
		if s, err := sqlite.Open(t.Context(), path, sqlite.Options{}); err == nil {
			t.Errorf("%s was opened", path)
			_ = s.Close()
		}
	}
}

// TestFullQueueIsOverload holds the writer inside an update and sends more than
// fits behind it.
func TestFullQueueIsOverload(t *testing.T) {
	t.Parallel()
	const limit = 4
	s := open(t, filepath.Join(t.TempDir(), "store.db"), sqlite.Options{QueueLimit: limit})
	defer func() { _ = s.Close() }()
	held, release, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		done <- s.Update(t.Context(), func(store.Tx) error {
			close(held)
			<-release
			return nil
		})
	}()
	<-held
	var stored, refused atomic.Int64
	answers := make(chan error, 10*limit)
	for i := range 10 * limit {
		go func() {
			answers <- s.AppendBody(t.Context(), store.Body{ID: fmt.Sprintf("b%d", i), Data: []byte("x")})
		}()
	}
	for range 9 * limit { // these cannot be waiting: only limit fit
		if err := <-answers; fault.Is(err, fault.Overloaded) {
			refused.Add(1)
		} else {
			t.Errorf("with a full queue: %v", err)
		}
	}
	close(release)
	for range limit {
		if err := <-answers; err == nil {
			stored.Add(1)
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	pending, err := s.PendingBodies(t.Context(), 100)
	if err != nil || len(pending) != limit || stored.Load() != limit || refused.Load() != 9*limit {
		t.Fatalf("%d stored, %d refused, %d found, %v", stored.Load(), refused.Load(), len(pending), err)
	}
}

// TestWaitingBytesAreBounded does the same with few but large bodies.
func TestWaitingBytesAreBounded(t *testing.T) {
	t.Parallel()
	s := open(t, filepath.Join(t.TempDir(), "store.db"), sqlite.Options{})
	defer func() { _ = s.Close() }()
	held, release, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		done <- s.Update(t.Context(), func(store.Tx) error {
			close(held)
			<-release
			return errors.New("enough")
		})
	}()
	<-held
	const bodies, fit = 20, 16 // of 4 MiB, in 64 MiB
	data := make([]byte, 4<<20)
	answers := make(chan error, bodies)
	for i := range bodies {
		go func() { answers <- s.AppendBody(t.Context(), store.Body{ID: fmt.Sprintf("b%d", i), Data: data}) }()
	}
	for range bodies - fit {
		if err := <-answers; !fault.Is(err, fault.Overloaded) {
			t.Errorf("with 64 MiB waiting: %v", err)
		}
	}
	close(release)
	for range fit {
		if err := <-answers; err != nil {
			t.Errorf("a body that was let in: %v", err)
		}
	}
	<-done
}
