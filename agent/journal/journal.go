// Package journal is the agent's memory of what it was told to do and what it
// did: one append-only file for each job, every record checksummed and on disk
// before the call returns. It decides nothing. What it guarantees: an intent is
// recorded at most once for an attempt of a step, an outcome never without its
// intent, and a crash loses at most a record that was not yet acknowledged.
package journal

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/secondline-ops/secondline/internal/fault"
)

// Bounds of the journal. A job that reaches MaxJobBytes can record nothing
// more, and so does nothing more.
const (
	MaxRecordBytes = 16 << 20 // a report with its transcripts and preserved evidence
	MaxJobBytes    = 64 << 20
	fileSuffix     = ".journal"
)

// Kind is what an entry records.
type Kind string

// The kinds of entries, in the order of a job's life.
const (
	Lease       Kind = "lease"        // the job came, with its fence
	Plan        Kind = "plan"         // what the run is going to do, before its first step
	Intent      Kind = "intent"       // a step is about to act
	Outcome     Kind = "outcome"      // it has acted
	Verified    Kind = "verified"     // what measuring said of it
	UndoIntent  Kind = "undo_intent"  // a step is about to be taken back
	UndoOutcome Kind = "undo_outcome" // it was taken back, or not
	Decided     Kind = "decided"      // a step did not act, or a block took a branch
	Leaving     Kind = "leaving"      // why a run is taken back, before it is
	Left        Kind = "left"         // how the run ended, before the steps that follow in any case
	Report      Kind = "report"       // what the controller is to be told
	Accepted    Kind = "accepted"     // the controller has it
)

// Entry is one record. Step and Attempt are empty for what is of the whole job.
type Entry struct {
	Job     string          `json:"job"`
	Fence   int64           `json:"fence"`
	Step    string          `json:"step,omitempty"`
	Attempt int             `json:"attempt,omitempty"`
	Kind    Kind            `json:"kind"`
	At      time.Time       `json:"at"`
	Data    json.RawMessage `json:"data,omitempty"`
}

// Options are what a journal works with. The zero value is the real disk and
// the real clock.
type Options struct {
	FS  FS
	Now func() time.Time
}

// Journal is the journal of one agent. It is safe for concurrent use. Between
// Open and Close nobody else can open the same folder.
type Journal struct {
	dir  string
	fs   FS
	now  func() time.Time
	lock io.Closer

	mu     sync.Mutex // guards below
	jobs   map[string]*state
	closed bool
}

// Open reads the folder and recovers it: the torn tail of a file is cut off,
// and a file without one whole record is removed. It returns a fault of kind
// Conflict when another process has the journal open.
func Open(dir string, o Options) (*Journal, error) {
	if o.FS == nil {
		o.FS = Disk{}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	lock, err := o.FS.Lock(dir)
	if err != nil {
		return nil, fmt.Errorf("open journal %s: %w", dir, err)
	}
	j := &Journal{dir: dir, fs: o.FS, now: o.Now, lock: lock, jobs: map[string]*state{}}
	if err := j.recover(); err != nil {
		return nil, errors.Join(fmt.Errorf("open journal %s: %w", dir, err), lock.Close())
	}
	return j, nil
}

// Close lets go of the folder. Nothing can be recorded afterwards.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return nil
	}
	j.closed = true
	return j.lock.Close()
}

// Append records e and returns when it is on disk. After an error nothing was
// recorded as far as the caller may rely on, and what e announces must not be
// done. It refuses with a fault of kind Conflict a fence lower than one seen
// for the job, a second intent for the same attempt, and an outcome without
// its intent.
func (j *Journal) Append(ctx context.Context, e Entry) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if e.Job == "" || e.Kind == "" {
		return fault.New(fault.Invalid, "journal entry without a job or a kind")
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return fault.New(fault.Conflict, "the journal is closed")
	}
	if e.At.IsZero() {
		e.At = j.now()
	}
	e.At = e.At.UTC().Round(0)
	s := j.jobs[e.Job]
	fresh := s == nil
	if fresh {
		s = newState(filepath.Join(j.dir, fileName(e.Job)))
	}
	if err := s.admits(e); err != nil {
		return err
	}
	line, err := encode(e)
	if err != nil {
		return err
	}
	if s.size+int64(len(line)) > MaxJobBytes {
		return fault.New(fault.TooLarge, "the journal of job %s holds its %d bytes", e.Job, MaxJobBytes)
	}
	if err := j.write(s, line, fresh); err != nil {
		if s.broken { // a second, clean state over the same bytes must not be made
			j.jobs[e.Job] = s
		}
		return fmt.Errorf("record %s of job %s: %w", e.Kind, e.Job, err)
	}
	s.note(e)
	j.jobs[e.Job] = s
	return nil
}

// write puts the line at the end of the file and on disk, or leaves the file
// as it was. When neither can be said, the file takes no more records until it
// is recovered by the next Open: after a failed fsync(2) Linux drops the dirty
// pages and the next fsync says nothing (lwn.net/Articles/752063).
func (j *Journal) write(s *state, line []byte, fresh bool) error {
	f, err := j.fs.Append(s.path)
	if err != nil {
		return err
	}
	_, err = f.Write(line)
	if err != nil {
		if undo := f.Truncate(s.size); undo != nil {
			s.broken = true
			err = errors.Join(err, undo)
		}
		return errors.Join(err, f.Close())
	}
	err = errors.Join(f.Sync(), f.Close())
	if err == nil && fresh {
		err = j.fs.SyncDir(j.dir)
	}
	if err != nil {
		s.broken = true
		return err
	}
	s.size += int64(len(line))
	return nil
}

// Job returns the entries of a job, oldest first. An error of kind Internal
// says that the file is damaged in the middle: what it holds is then returned
// too, but nothing may be concluded from what it does not hold.
func (j *Journal) Job(id string) ([]Entry, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := j.jobs[id]
	if s == nil {
		return []Entry{}, nil
	}
	data, err := j.fs.ReadFile(s.path)
	if err != nil {
		return nil, fmt.Errorf("read the journal of job %s: %w", id, err)
	}
	r := read(data)
	if r.damaged {
		return r.entries, fault.New(fault.Internal, "the journal of job %s is damaged", id)
	}
	return r.entries, nil
}

// OpenJobs returns the jobs whose report the controller has not accepted, in
// the order of their names.
func (j *Journal) OpenJobs() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	open := []string{}
	for id, s := range j.jobs {
		if !s.accepted && !s.last.IsZero() {
			open = append(open, id)
		}
	}
	slices.Sort(open)
	return open
}

// Knows reports whether anything is recorded of the job.
func (j *Journal) Knows(id string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := j.jobs[id]
	return s != nil && !s.last.IsZero()
}

// HighestFence returns the highest fence seen for the job, 0 when there is none.
func (j *Journal) HighestFence(id string) int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	if s := j.jobs[id]; s != nil {
		return s.fence
	}
	return 0
}

// ForgetAccepted removes the jobs that were accepted before the time, and
// returns how many. Keep them for as long as a controller may send a job again.
// A job that was not accepted stays for ever.
func (j *Journal) ForgetAccepted(before time.Time) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := 0
	for id, s := range j.jobs {
		if !s.accepted || !s.last.Before(before) {
			continue
		}
		if err := j.remove(id, s); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

func (j *Journal) remove(id string, s *state) error {
	if err := j.fs.Remove(s.path); err != nil {
		return fmt.Errorf("forget job %s: %w", id, err)
	}
	delete(j.jobs, id)
	return j.fs.SyncDir(j.dir)
}

// recover reads every file of the folder, cuts torn tails off and indexes the
// rest.
func (j *Journal) recover() error {
	names, err := j.fs.List(j.dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if !strings.HasSuffix(name, fileSuffix) {
			continue
		}
		if err := j.recoverFile(filepath.Join(j.dir, name)); err != nil {
			return err
		}
	}
	return j.fs.SyncDir(j.dir)
}

func (j *Journal) recoverFile(path string) error {
	data, err := j.fs.ReadFile(path)
	if err != nil {
		return err
	}
	r := read(data)
	if len(r.entries) == 0 { // created, and cut before its first record was acknowledged
		return j.fs.Remove(path)
	}
	if r.good < len(data) && !r.damaged {
		if err := j.cut(path, int64(r.good)); err != nil {
			return err
		}
	}
	s := newState(path)
	s.size, s.broken = int64(r.good), r.damaged
	for _, e := range r.entries {
		s.note(e)
	}
	j.jobs[r.entries[0].Job] = s
	return nil
}

func (j *Journal) cut(path string, size int64) error {
	f, err := j.fs.Append(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(size), f.Sync(), f.Close())
}

// fileName is the digest of the id: ids come from outside and may hold anything.
func fileName(job string) string {
	sum := sha256.Sum256([]byte(job))
	return hex.EncodeToString(sum[:16]) + fileSuffix
}
