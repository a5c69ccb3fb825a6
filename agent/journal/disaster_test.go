package journal_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/secondline-ops/secondline/agent/journal"
)

// smallDisk is the real disk with room for so many more bytes: a write beyond
// writes what fits and fails, as ext4 does.
type smallDisk struct {
	journal.Disk
	room       *atomic.Int64
	syncFails  *atomic.Bool
	truncFails *atomic.Bool
	noSync     bool
}

func newSmallDisk(room int64) smallDisk {
	d := smallDisk{room: &atomic.Int64{}, syncFails: &atomic.Bool{}, truncFails: &atomic.Bool{}}
	d.room.Store(room)
	return d
}

// unsynced spares the machine thousands of fsyncs where a test tears the bytes itself.
func (d smallDisk) unsynced() smallDisk {
	d.noSync = true
	return d
}

func (d smallDisk) SyncDir(dir string) error {
	if d.noSync {
		return nil
	}
	return d.Disk.SyncDir(dir)
}

func (d smallDisk) Append(path string) (journal.File, error) {
	f, err := d.Disk.Append(path)
	return smallFile{f, d}, err
}

type smallFile struct {
	journal.File
	disk smallDisk
}

func (f smallFile) Write(p []byte) (int, error) {
	room := f.disk.room.Load()
	if int64(len(p)) <= room {
		f.disk.room.Add(-int64(len(p)))
		return f.File.Write(p)
	}
	n, err := f.File.Write(p[:room])
	f.disk.room.Store(0)
	return n, errors.Join(err, syscall.ENOSPC)
}

func (f smallFile) Sync() error {
	if f.disk.syncFails.Load() {
		return syscall.EIO
	}
	if f.disk.noSync {
		return nil
	}
	return f.File.Sync()
}

func (f smallFile) Truncate(n int64) error {
	if f.disk.truncFails.Load() {
		return syscall.EIO
	}
	return f.File.Truncate(n)
}

func TestAFullDiskRefusesTheIntentAndKeepsWhatWasRecorded(t *testing.T) {
	t.Parallel()
	want := life("job")
	for room := int64(0); ; room++ {
		disk := newSmallDisk(room).unsynced()
		dir := t.TempDir()
		j := open(t, dir, disk)
		var recorded []journal.Entry
		var err error
		for _, e := range want {
			if err = j.Append(t.Context(), e); err != nil {
				break
			}
			recorded = append(recorded, e)
		}
		if err == nil {
			if room < 100 {
				t.Fatal("the disk was never full")
			}
			return
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("room %d: got %v", room, err)
		}
		disk.room.Store(1 << 20) // somebody made room: the same record must now go through, once
		record(t, j, want[len(recorded):])
		_ = j.Close()
		if diff := cmp.Diff(want, entriesOf(t, open(t, dir, nil), "job")); diff != "" {
			t.Fatalf("room %d: %s", room, diff)
		}
	}
}

func TestAfterAFailedSyncNothingMoreIsRecordedUntilReopened(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 2} { // the first record of a file, and a later one
		disk := newSmallDisk(1 << 20)
		dir := t.TempDir()
		j := open(t, dir, disk)
		want := life("job")
		record(t, j, want[:n])
		disk.syncFails.Store(true)
		if err := j.Append(t.Context(), want[n]); !errors.Is(err, syscall.EIO) {
			t.Fatalf("got %v, want the sync's error", err)
		}
		disk.syncFails.Store(false)
		if err := j.Append(t.Context(), want[n]); err == nil {
			t.Fatal("recorded on a file whose bytes are not known")
		}
		_ = j.Close()
		j = open(t, dir, nil)
		// The record may be there: an announced step that never ran is harmless.
		if got := entriesOf(t, j, "job"); len(got) < n || len(got) > n+1 {
			t.Fatalf("%d entries after reopening", len(got))
		}
	}
}

func TestATornRecordThatCannotBeCutClosesTheFile(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 2} {
		disk := newSmallDisk(1 << 20)
		dir := t.TempDir()
		j := open(t, dir, disk)
		want := life("job")
		record(t, j, want[:n])
		disk.room.Store(7)
		disk.truncFails.Store(true)
		if err := j.Append(t.Context(), want[n]); err == nil {
			t.Fatal("recorded on a full disk")
		}
		disk.room.Store(1 << 20)
		if err := j.Append(t.Context(), want[n]); err == nil {
			t.Fatal("recorded behind a torn record")
		}
		_ = j.Close()
		j = open(t, dir, nil)
		record(t, j, want[n:])
		if diff := cmp.Diff(want, entriesOf(t, j, "job")); diff != "" {
			t.Fatal(diff)
		}
	}
}

// TestAKilledProcessLosesNothingThatWasAcknowledged ends a real writer with
// SIGKILL in the middle of its work, again and again on the same folder.
func TestAKilledProcessLosesNothingThatWasAcknowledged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for round := range 10 {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestWriterProcess$")
		cmd.Env = append(os.Environ(), "JOURNAL_WRITER_DIR="+dir, "JOURNAL_WRITER_ROUND="+strconv.Itoa(round))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		acknowledged, lines := -1, bufio.NewScanner(out)
		for lines.Scan() {
			text, ok := strings.CutPrefix(lines.Text(), "ack ")
			if !ok {
				continue
			}
			if acknowledged, err = strconv.Atoi(text); err != nil {
				t.Fatal(err)
			}
			if acknowledged == 5+round*7 {
				_ = cmd.Process.Kill()
			}
		}
		_ = cmd.Wait()
		j := open(t, dir, nil)
		got := entriesOf(t, j, fmt.Sprintf("job %d", round))
		if len(got) <= acknowledged {
			t.Fatalf("round %d: %d entries, but %d was acknowledged", round, len(got), acknowledged)
		}
		for i, e := range got {
			if e.Attempt != i+1 {
				t.Fatalf("round %d: entry %d is attempt %d", round, i, e.Attempt)
			}
		}
		_ = j.Close()
	}
}

// TestWriterProcess is the writer of the test above, in a process of its own.
func TestWriterProcess(t *testing.T) {
	dir := os.Getenv("JOURNAL_WRITER_DIR")
	if dir == "" {
		return
	}
	j := open(t, dir, nil)
	for i := range 100_000 {
		e := journal.Entry{Job: "job " + os.Getenv("JOURNAL_WRITER_ROUND"), Kind: journal.Intent, Step: "s", Attempt: i + 1}
		if err := j.Append(context.Background(), e); err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Printf("ack %d\n", i); err != nil {
			return
		}
	}
}
