package sqlstore

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/secondline-ops/secondline/internal/fault"
)

// maxKeyBytes bounds what stands in an index. PostgreSQL refuses index rows
// above a third of a page (2,704 bytes, nbtree.h); escaping may make a key four
// times as long.
const maxKeyBytes = 512

// escape makes any bytes storable in a text column of both engines, and
// unescape gives them back: PostgreSQL refuses NUL and invalid UTF-8.
func escape(s string) string {
	if utf8.ValidString(s) && !strings.ContainsAny(s, "\\\x00") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '\\':
			b.WriteString(`\\`)
		case r == 0, r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		default:
			b.WriteString(s[i : i+size])
		}
		i += size
	}
	return b.String()
}

func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		if s[i] == 'x' && i+2 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(n))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// indexed is the form under which hostile text of any length is looked up. The
// text itself is in the document.
func indexed(s string) string {
	if len(s) > maxKeyBytes {
		sum := sha256.Sum256([]byte(s))
		s = s[:64] + "#" + hex.EncodeToString(sum[:])
	}
	return escape(s)
}

// checkKeys refuses names that an index cannot hold. Pairs of field and value.
func checkKeys(pairs ...string) error {
	for i := 0; i+1 < len(pairs); i += 2 {
		if len(pairs[i+1]) > maxKeyBytes {
			return fault.New(fault.Invalid, "%s has %d bytes, at most %d are allowed", pairs[i], len(pairs[i+1]), maxKeyBytes).WithField(pairs[i])
		}
	}
	return nil
}

// searchable is the form in which titles are searched: lower case by Go, because
// SQLite's lower knows only ASCII.
func searchable(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(strings.ToLower(s), "\uFFFD"), "\x00", "\uFFFD")
}

// micros is a time as stored; 0 for the zero time.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(n).UTC()
}

// cursor is a place in a list, opaque to callers.
type cursor struct {
	At int64  `json:"a"`
	ID string `json:"i,omitempty"`
}

func (c cursor) String() string {
	raw, _ := json.Marshal(c) // a number and a string: they marshal
	return base64.RawURLEncoding.EncodeToString(raw)
}

func parseCursor(s string) (c cursor, err error) {
	raw, err := base64.RawURLEncoding.DecodeString(s)
	if err == nil {
		err = json.Unmarshal(raw, &c)
	}
	if err != nil {
		return c, fault.Wrap(fault.Invalid, err, "the cursor is not one that a list returned").WithField("cursor")
	}
	return c, nil
}

// bounded is the number of rows to return: preset when none is given.
func bounded(limit, preset, most int) int {
	if limit <= 0 {
		return preset
	}
	return min(limit, most)
}

// placeholders is "($1,$2),($3,$4)" for rows of the width.
func placeholders(rows, width int) string {
	var b strings.Builder
	n := 0
	for r := range rows {
		if r > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('(')
		for c := range width {
			if c > 0 {
				b.WriteByte(',')
			}
			n++
			b.WriteByte('$')
			b.WriteString(strconv.Itoa(n))
		}
		b.WriteByte(')')
	}
	return b.String()
}

// blob keeps an empty value empty: a nil slice would be stored as NULL.
func blob(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
