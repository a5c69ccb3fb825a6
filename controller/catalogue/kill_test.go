package catalogue

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// pullUntilKilled is the data folder in which this very binary pins one commit
// after the other until it is killed.
const pullUntilKilled = "CATALOGUE_PULL_UNTIL_KILLED"

func TestMain(m *testing.M) {
	if data := os.Getenv(pullUntilKilled); data != "" {
		fmt.Fprintln(os.Stderr, pullAgainAndAgain(data))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// killFiles is how many files each commit has: enough for a kill to come between.
const killFiles = 20

// pullAgainAndAgain pins commits that differ in all of their files, and rolls
// back each third time. It says a line once it is at work, and ends only with an error.
func pullAgainAndAgain(data string) error {
	for n := 0; ; n++ {
		l, err := In(data).Lock()
		if err != nil {
			return err
		}
		pins, err := l.Pins()
		if err != nil {
			return err
		}
		if n == 1 {
			fmt.Println("at work")
		}
		if p, err := BeforeLast(pins); err == nil && n%3 == 2 {
			if err := errors.Join(l.Put(pins, Next(pins, p, RolledBack, "child", time.Now()), nil), l.Unlock()); err != nil {
				return err
			}
			continue
		}
		d, err := l.NewDraft(func(_, tree string) (Commit, error) {
			id := fmt.Sprintf("%040x", time.Now().UnixNano())
			if err := os.Mkdir(filepath.Join(tree, RunbooksDir), 0o700); err != nil {
				return Commit{}, err
			}
			for i := range killFiles {
				if err := os.WriteFile(filepath.Join(tree, RunbooksDir, fmt.Sprintf("%d.yaml", i)), []byte(id), 0o600); err != nil {
					return Commit{}, err
				}
			}
			digest, err := digestOf(os.DirFS(tree))
			return Commit{ID: id, Digest: digest}, err
		})
		if err != nil {
			return err
		}
		if err := errors.Join(l.Put(pins, Next(pins, pinOf(d), Pulled, "child", time.Now()), d), d.Discard(), l.Unlock()); err != nil {
			return err
		}
	}
}

// At whatever moment the process is killed, one commit is in force with all of
// its files, every commit of the history can be used, and the next one gets on.
func TestKilledAtAnyMomentOneCommitIsInForceWhole(t *testing.T) {
	t.Parallel()
	kills := 60
	if testing.Short() {
		kills = 10
	}
	data := t.TempDir()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var before []Pin
	moved := 0
	for range kills {
		child := exec.CommandContext(t.Context(), os.Args[0])
		child.Env = append(os.Environ(), pullUntilKilled+"="+data)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
			t.Fatalf("%q %v: %v", line, err, child.Wait())
		}
		<-time.After(time.Duration(random.Int64N(int64(30 * time.Millisecond))))
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait() // killed
		pins, err := In(data).Pins()
		if err != nil || len(pins) == 0 || len(pins) > MaxPins || len(pins) < len(before) {
			t.Fatalf("%d pins after %d: %v", len(pins), len(before), err)
		}
		for i, p := range pins {
			tree, err := In(data).Open(p)
			if err != nil {
				t.Fatalf("pin %d of %d: %v", i, len(pins), err)
			}
			for n := range killFiles {
				if text, err := fs.ReadFile(tree.Runbooks, fmt.Sprintf("%d.yaml", n)); err != nil || string(text) != p.Commit {
					t.Fatalf("%s holds %q: %v", p.Commit, text, err)
				}
			}
		}
		if len(before) == 0 || pins[0].At != before[0].At {
			moved++
		}
		before = pins
	}
	if moved < kills/2 {
		t.Errorf("only %d of %d were at work when they were killed", moved, kills)
	}
	l, err := In(data).Lock()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Unlock() }()
	if err := l.prune(before); err != nil {
		t.Fatal(err)
	}
	folders := map[string]bool{}
	for _, p := range before {
		folders[p.folder()] = true
	}
	entries, err := os.ReadDir(filepath.Join(data, "catalogue"))
	if err != nil || len(entries) != len(folders)+2 { // the state and the lock
		t.Errorf("%d entries for %d commits: %v", len(entries), len(folders), err)
	}
}
