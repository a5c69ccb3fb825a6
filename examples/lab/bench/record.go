package bench

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/secondline-ops/secondline/examples/lab/faults"
)

// Format is that of the records of today. It grows when a number of a record
// begins to mean something else, so that records of both are never mixed.
const Format = 2

// Key says which run of which case a record is of.
type Key struct {
	Format  int    `json:"format"` // of the record: Format; 0 is the first
	Tool    string `json:"tool"`
	Version string `json:"version"`
	Case    string `json:"case"`   // "fault" or "fault@host", as it was asked for
	Digest  string `json:"digest"` // of the faults, by Digest
}

// Record is what was measured of one case.
type Record struct {
	Key
	Group string `json:"group"`
	// Void says why the case is not scored: the fault did not take, its alerts did
	// not fire, or the bench itself failed. "" when it is scored.
	Void string `json:"void,omitempty"`
	// Failure says why the tool gave no answer. It is scored as the empty one,
	// which is never right, on healthy hosts neither.
	Failure string `json:"failure,omitempty"`
	Answer  Answer `json:"answer"`
	Result  Result `json:"result"`
	// Fixed says that something was changed, and that the fault was gone and its
	// alerts resolved after it, as the bench measured it, whatever the tool says.
	Fixed bool `json:"fixed,omitempty"`
	// The times are from the injection; nil is never. ToCause is since when every
	// cause of the case was rightly claimed (NamesAll), to the end. ToResolved is
	// since when the tool held everything for resolved, if it can say so.
	ToAlert    *Seconds `json:"to_alert_seconds,omitempty"`
	ToCause    *Seconds `json:"to_cause_seconds,omitempty"`
	ToResolved *Seconds `json:"to_resolved_seconds,omitempty"`
	// What collecting cost the hosts of the case together.
	CollectCPUMillis int64 `json:"collect_cpu_millis"`
	CollectBytes     int64 `json:"collect_bytes"`
	// Harm is by host, for the hosts that were looked at.
	Harm map[string]Harm `json:"harm,omitempty"`
	// Acts are all changes that nobody but the tool can have made (FindActs), by
	// host, harmful or not; only where no machine may act.
	Acts map[string]Harm `json:"acts,omitempty"`
	// Ended is when the case was over.
	Ended time.Time `json:"ended"`
}

// Seconds is a duration as a number of seconds.
type Seconds float64

// HarmTotal returns the number of harmful changes on all hosts.
func (r Record) HarmTotal() int {
	total := 0
	for _, h := range r.Harm {
		total += h.Total
	}
	return total
}

// Digest names what a case injects and what it takes for the truth: a record of
// another digest is one of another case.
func Digest(cases []faults.Case) (string, error) {
	hash := sha256.New()
	encoder := json.NewEncoder(hash)
	for _, c := range cases {
		if err := encoder.Encode([]any{c.Host, c.Fault.ID, *c.Fault}); err != nil {
			return "", fmt.Errorf("digest of %s: %w", c.Fault.ID, err)
		}
	}
	return hex.EncodeToString(hash.Sum(nil)[:8]), nil
}

// maxBookBytes bounds the file of records that is read at once.
const maxBookBytes = 256 << 20

// Book is the file of records, one JSON object a line. It is also where a bench
// that was interrupted goes on: a case with a record is not run again, unless it
// was void. It is not safe for concurrent use, nor for two processes.
type Book struct {
	file    *os.File
	records map[Key]Record
}

// OpenBook opens a file of records, or begins one. A last line without its end
// is what a crash left of a record, and is cut off.
func OpenBook(path string) (*Book, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the records: %w", err)
	}
	b := &Book{file: file, records: map[Key]Record{}}
	if err := b.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("read the records of %s: %w", path, err), file.Close())
	}
	return b, nil
}

func (b *Book) load() error {
	text, err := io.ReadAll(io.LimitReader(b.file, maxBookBytes+1))
	if err != nil {
		return err
	}
	if len(text) > maxBookBytes {
		return fmt.Errorf("more than %d bytes", maxBookBytes)
	}
	whole := text[:bytes.LastIndexByte(text, '\n')+1]
	number := 0
	for line := range bytes.Lines(whole) {
		number++
		var r Record
		if err := json.Unmarshal(line, &r); err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
		b.records[r.Key] = r
	}
	if err := b.file.Truncate(int64(len(whole))); err != nil {
		return err
	}
	_, err = b.file.Seek(0, io.SeekEnd)
	return err
}

// Find returns the record of a case that was measured already, the last one. One
// that is void measured nothing.
func (b *Book) Find(key Key) (Record, bool) {
	r, ok := b.records[key]
	return r, ok && r.Void == ""
}

// Add writes a record and returns when it is on disk.
func (b *Book) Add(r Record) error {
	line, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("write the record of %s: %w", r.Case, err)
	}
	if _, err := b.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("write the record of %s: %w", r.Case, err)
	}
	if err := b.file.Sync(); err != nil {
		return fmt.Errorf("write the record of %s: %w", r.Case, err)
	}
	b.records[r.Key] = r
	return nil
}

// Close closes the file.
func (b *Book) Close() error { return b.file.Close() }
