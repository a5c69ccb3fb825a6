package journal_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/secondline-ops/secondline/agent/journal"
	"github.com/secondline-ops/secondline/internal/fault"
)

func open(t *testing.T, dir string, fs journal.FS) *journal.Journal {
	t.Helper()
	j, err := journal.Open(dir, journal.Options{FS: fs, Now: func() time.Time { return time.Unix(1700000000, 0) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

// life is a job from its lease to its acceptance, with hostile text in it.
func life(job string) []journal.Entry {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	e := func(kind journal.Kind, step string, attempt int, data string) journal.Entry {
		return journal.Entry{Job: job, Fence: 3, Step: step, Attempt: attempt, Kind: kind, At: at, Data: json.RawMessage(data)}
	}
	return []journal.Entry{
		e(journal.Lease, "", 0, `{"n":1}`), e(journal.Plan, "", 0, `["a\nb"]`),
		e(journal.Intent, "one", 1, `"\u0000 \n00000000 {}"`), e(journal.Outcome, "one", 1, `0`),
		e(journal.Verified, "one", 1, `true`), e(journal.Intent, "two", 1, `{}`),
		e(journal.UndoIntent, "one", 1, `{}`), e(journal.UndoOutcome, "one", 1, `{}`),
		e(journal.Report, "", 0, `{"job_id":"x"}`), e(journal.Accepted, "", 0, `{}`),
	}
}

func record(t *testing.T, j *journal.Journal, entries []journal.Entry) {
	t.Helper()
	for _, e := range entries {
		if err := j.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
}

func entriesOf(t *testing.T, j *journal.Journal, job string) []journal.Entry {
	t.Helper()
	got, err := j.Job(job)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func onlyFile(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.journal"))
	if err != nil || len(files) != 1 {
		t.Fatalf("files %v, error %v; want one", files, err)
	}
	return files[0]
}

func TestEntriesSurviveReopening(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new", "folder")
	want := life("../../etc/passwd\nx")
	j := open(t, dir, nil)
	record(t, j, want)
	record(t, j, life("other")[:3])
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j = open(t, dir, nil)
	if diff := cmp.Diff(want, entriesOf(t, j, "../../etc/passwd\nx")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"other"}, j.OpenJobs()); diff != "" {
		t.Error(diff)
	}
	if got := j.HighestFence("other"); got != 3 {
		t.Errorf("fence %d, want 3", got)
	}
	if !j.Knows("other") || j.Knows("unheard of") {
		t.Error("the journal knows the wrong jobs")
	}
}

func TestFilesAreForTheOwnerOnly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	record(t, open(t, dir, nil), life("a")[:1])
	info, err := os.Stat(onlyFile(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", info.Mode())
	}
}

func TestASecondProcessCannotOpenTheFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := open(t, dir, nil)
	if _, err := journal.Open(dir, journal.Options{}); !fault.Is(err, fault.Conflict) {
		t.Fatalf("got %v, want a conflict", err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir, nil)
}

func TestNothingIsRecordedAfterClose(t *testing.T) {
	t.Parallel()
	j := open(t, t.TempDir(), nil)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if err := j.Append(t.Context(), life("a")[0]); !fault.Is(err, fault.Conflict) {
		t.Fatalf("got %v, want a conflict", err)
	}
}

func TestATornTailLosesOnlyTheRecordThatWasBeingWritten(t *testing.T) {
	t.Parallel()
	want := life("job")
	dir := t.TempDir()
	j := open(t, dir, nil)
	ends := []int64{}
	for _, e := range want {
		record(t, j, []journal.Entry{e})
		info, err := os.Stat(onlyFile(t, dir))
		if err != nil {
			t.Fatal(err)
		}
		ends = append(ends, info.Size())
	}
	whole, err := os.ReadFile(onlyFile(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Base(onlyFile(t, dir))
	for n := range whole {
		records := 0
		for records < len(ends) && ends[records] <= int64(n) {
			records++
		}
		torn := t.TempDir()
		if err := os.WriteFile(filepath.Join(torn, name), whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		j := open(t, torn, newSmallDisk(1<<20).unsynced())
		if diff := cmp.Diff(want[:records], entriesOf(t, j, "job")); diff != "" {
			t.Fatalf("cut at byte %d: %s", n, diff)
		}
		// What comes next must be readable behind the cut.
		record(t, j, want[records:])
		if diff := cmp.Diff(want, entriesOf(t, j, "job")); diff != "" {
			t.Fatalf("appended after a cut at byte %d: %s", n, diff)
		}
		_ = j.Close()
	}
}

func TestDamageInTheMiddleIsNotTakenForATornTail(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := open(t, dir, nil)
	want := life("job")
	record(t, j, want[:4])
	_ = j.Close()
	path := onlyFile(t, dir)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lastStart := len(whole) - 1
	for whole[lastStart-1] != '\n' {
		lastStart--
	}
	for i := range lastStart - 1 { // the line feed in front of the last record is what tells them apart
		broken := append([]byte{}, whole...)
		broken[i] ^= 0x01
		at := t.TempDir()
		if err := os.WriteFile(filepath.Join(at, filepath.Base(path)), broken, 0o600); err != nil {
			t.Fatal(err)
		}
		j := open(t, at, newSmallDisk(1<<20).unsynced())
		if _, err := j.Job("job"); !fault.Is(err, fault.Internal) {
			t.Fatalf("bit of byte %d flipped: got %v, want damage", i, err)
		}
		if err := j.Append(t.Context(), want[4]); !fault.Is(err, fault.Internal) {
			t.Fatalf("bit of byte %d flipped: appended with %v", i, err)
		}
		_ = j.Close()
	}
}

func TestAnAttemptHasOneIntentAndNoOutcomeWithoutIt(t *testing.T) {
	t.Parallel()
	entry := func(kind journal.Kind, step string, attempt int) journal.Entry {
		return journal.Entry{Job: "j", Fence: 2, Kind: kind, Step: step, Attempt: attempt}
	}
	tests := []struct {
		name   string
		before []journal.Entry
		then   journal.Entry
		admit  bool
	}{
		{"second intent", []journal.Entry{entry(journal.Intent, "s", 1)}, entry(journal.Intent, "s", 1), false},
		{"next attempt", []journal.Entry{entry(journal.Intent, "s", 1)}, entry(journal.Intent, "s", 2), true},
		{"other step", []journal.Entry{entry(journal.Intent, "s", 1)}, entry(journal.Intent, "t", 1), true},
		{"outcome without intent", nil, entry(journal.Outcome, "s", 1), false},
		{"outcome of another attempt", []journal.Entry{entry(journal.Intent, "s", 1)}, entry(journal.Outcome, "s", 2), false},
		{"verified without intent", nil, entry(journal.Verified, "s", 1), false},
		{"undo twice", []journal.Entry{entry(journal.UndoIntent, "s", 1)}, entry(journal.UndoIntent, "s", 1), false},
		{"undone without undo intent", []journal.Entry{entry(journal.Intent, "s", 1)}, entry(journal.UndoOutcome, "s", 1), false},
		{
			"lower fence",
			[]journal.Entry{entry(journal.Lease, "", 0)},
			journal.Entry{Job: "j", Fence: 1, Kind: journal.Lease},
			false,
		},
		{
			"higher fence",
			[]journal.Entry{entry(journal.Lease, "", 0)},
			journal.Entry{Job: "j", Fence: 3, Kind: journal.Lease},
			true,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			j := open(t, dir, nil)
			record(t, j, tt.before)
			_ = j.Close()
			j = open(t, dir, nil) // the rule must come from the disk, not from memory
			err := j.Append(t.Context(), tt.then)
			if tt.admit && err != nil || !tt.admit && !fault.Is(err, fault.Conflict) {
				t.Errorf("got %v", err)
			}
			want := len(tt.before)
			if tt.admit {
				want++
			}
			if got := len(entriesOf(t, j, "j")); got != want {
				t.Errorf("%d entries, want %d", got, want)
			}
		})
	}
}

func TestOfManyWhoStartTheSameAttemptOneWins(t *testing.T) {
	t.Parallel()
	j := open(t, t.TempDir(), nil)
	var won sync.Map
	var wait sync.WaitGroup
	for i := range 16 {
		wait.Go(func() {
			e := journal.Entry{Job: "j", Kind: journal.Intent, Step: "s", Attempt: 1}
			if err := j.Append(context.Background(), e); err == nil {
				won.Store(i, true)
			}
		})
	}
	wait.Wait()
	n := 0
	won.Range(func(any, any) bool { n++; return true })
	if n != 1 || len(entriesOf(t, j, "j")) != 1 {
		t.Errorf("%d won, want 1", n)
	}
}

func TestOnlyAcceptedJobsAreForgotten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := open(t, dir, nil)
	record(t, j, life("done"))
	record(t, j, life("open")[:9])
	accepted := life("done")[9].At
	if n, err := j.ForgetAccepted(accepted); n != 0 || err != nil {
		t.Errorf("forgot %d at its own age, error %v", n, err)
	}
	if n, err := j.ForgetAccepted(accepted.Add(time.Second)); n != 1 || err != nil {
		t.Errorf("forgot %d, error %v; want 1", n, err)
	}
	_ = j.Close()
	j = open(t, dir, nil)
	if j.Knows("done") || !j.Knows("open") {
		t.Error("the wrong job was forgotten")
	}
}

func TestAJobCannotFillTheDisk(t *testing.T) {
	t.Parallel()
	j := open(t, t.TempDir(), nil)
	entry := func(bytes int) journal.Entry {
		return journal.Entry{Job: "j", Kind: journal.Lease, Data: json.RawMessage(`"` + strings.Repeat("x", bytes) + `"`)}
	}
	if err := j.Append(t.Context(), entry(journal.MaxRecordBytes)); !fault.Is(err, fault.TooLarge) {
		t.Errorf("a record above the limit: got %v, want too large", err)
	}
	for range journal.MaxJobBytes / (15 << 20) {
		record(t, j, []journal.Entry{entry(15 << 20)})
	}
	if err := j.Append(t.Context(), entry(15<<20)); !fault.Is(err, fault.TooLarge) {
		t.Errorf("a job above the limit: got %v, want too large", err)
	}
}
