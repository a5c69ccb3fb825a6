package journal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"

	"github.com/secondline-ops/secondline/internal/fault"
)

// encode makes a record: one line of checksum, blank and JSON. JSON has no raw
// line feed, so a reader finds the next record behind a damaged one.
func encode(e Entry) ([]byte, error) {
	body, err := json.Marshal(e)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "encode a journal entry of job %s", e.Job)
	}
	if len(body) > MaxRecordBytes {
		return nil, fault.New(fault.TooLarge, "a journal entry of %d bytes is above the limit of %d", len(body), MaxRecordBytes)
	}
	return fmt.Appendf(nil, "%s %s\n", checksum(body), body), nil
}

func decode(line []byte) (Entry, bool) {
	var e Entry
	sum, body, found := bytes.Cut(line, []byte(" "))
	if !found || len(body) > MaxRecordBytes || checksum(body) != string(sum) {
		return e, false
	}
	if err := json.Unmarshal(body, &e); err != nil || e.Job == "" || e.Kind == "" {
		return Entry{}, false
	}
	return e, true
}

// checksum is the CRC32C of the body in eight hex digits.
func checksum(body []byte) string {
	return fmt.Sprintf("%08x", crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
}

// reading is what a file held.
type reading struct {
	entries []Entry
	good    int  // bytes of whole records from the start
	damaged bool // a bad record with a good one behind it: not a torn tail
}

// read understands a file. A tail that is not a whole record was never
// acknowledged and is left out. A bad record in front of a good one is damage:
// a record that was acknowledged is gone, and an intent may be among them.
func read(data []byte) reading {
	r := reading{entries: []Entry{}}
	bad := false
	for pos := 0; pos < len(data); {
		line, _, whole := bytes.Cut(data[pos:], []byte("\n"))
		e, ok := decode(line)
		ok = ok && whole && (len(r.entries) == 0 || e.Job == r.entries[0].Job)
		pos += len(line) + 1
		switch {
		case !ok:
			bad = true
		default:
			r.entries = append(r.entries, e)
			r.damaged = r.damaged || bad
			if !bad {
				r.good = pos
			}
		}
	}
	return r
}
