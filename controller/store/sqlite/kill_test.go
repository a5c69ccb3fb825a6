package sqlite_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/controller/store/sqlite"
)

// childStore is the variable that makes the test binary the process to be
// killed; its value is the path of the store.
const childStore = "SECONDLINE_TEST_CHILD_STORE"

const childWriters = 8

func TestMain(m *testing.M) {
	if path := os.Getenv(childStore); path != "" {
		if err := writeUntilKilled(path); err != nil {
			slog.New(slog.NewTextHandler(os.Stderr, nil)).Error("child ended", "error", err)
		}
		os.Exit(1) // its end is the kill
	}
	os.Exit(m.Run())
}

// writeUntilKilled appends bodies and saves incidents, and prints each id once
// it was acknowledged.
func writeUntilKilled(path string) error {
	ctx := context.Background()
	s, err := sqlite.Open(ctx, path, sqlite.Options{})
	if err != nil {
		return err
	}
	var mu sync.Mutex // one line at a time
	say := func(id string) {
		mu.Lock()
		defer mu.Unlock()
		_, _ = os.Stdout.WriteString(id + "\n") // unbuffered: what the parent reads was acknowledged
	}
	errs := make(chan error, childWriters)
	for w := range childWriters {
		go func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%d-%d-%d", os.Getpid(), w, i)
				if err := writeOne(ctx, s, id, i); err != nil {
					errs <- err
					return
				}
				say(id)
			}
		}()
	}
	return <-errs
}

// writeOne stores a body of up to 30 KiB and then an incident that settles it.
func writeOne(ctx context.Context, s store.Store, id string, i int) error {
	data := strings.Repeat(id, 1+i%1000)
	if err := s.AppendBody(ctx, store.Body{ID: id, Data: []byte(data)}); err != nil {
		return err
	}
	return s.Update(ctx, func(tx store.Tx) error {
		in := &incident.Incident{ID: id, Status: incident.New, Title: data}
		in.Note(time.Time{}, "secondline", incident.EventOpened, "", id, nil)
		if err := tx.SaveIncident(ctx, in); err != nil {
			return err
		}
		return tx.SettleBody(ctx, id, store.BodySettled, "")
	})
}

// TestAcknowledgedSurvivesKill kills the writing process ten times, at a random
// moment each, and looks for everything that was acknowledged.
func TestAcknowledgedSurvivesKill(t *testing.T) {
	t.Parallel()
	const rounds = 10
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	path := filepath.Join(t.TempDir(), "store.db")
	var acknowledged []string
	for range rounds {
		acknowledged = append(acknowledged, killedAfter(t, path, 1+random.IntN(400))...)
		s := open(t, path, sqlite.Options{})
		for _, id := range acknowledged {
			b, err := s.FindBody(t.Context(), id)
			if err != nil || !strings.HasPrefix(string(b.Data), id) || b.Status != store.BodySettled {
				t.Fatalf("acknowledged body %s: %s, %v", id, b.Status, err)
			}
			in, err := s.FindIncident(t.Context(), id)
			if err != nil || in.Title != string(b.Data) {
				t.Fatalf("acknowledged incident %s: %v", id, err)
			}
			events, err := s.ListEvents(t.Context(), id, 0, 2)
			if err != nil || len(events) != 1 {
				t.Fatalf("acknowledged incident %s has %d events, %v", id, len(events), err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d acknowledged, all found", len(acknowledged))
}

// killedAfter runs the writing process, kills it after so many lines, and
// returns all lines it had printed.
func killedAfter(t *testing.T, path string, lines int) (ids []string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childStore+"="+path)
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for scanner := bufio.NewScanner(out); scanner.Scan(); {
		ids = append(ids, scanner.Text())
		if len(ids) == lines {
			if err := cmd.Process.Kill(); err != nil {
				t.Error(err)
			}
		}
	}
	_ = cmd.Wait() // killed, by us
	if len(ids) < lines {
		t.Fatalf("the writing process ended by itself after %d of %d lines", len(ids), lines)
	}
	return ids
}
