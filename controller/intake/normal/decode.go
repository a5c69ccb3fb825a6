// Package normal is what the sources share on the way to the normal form of a
// signal: reading JSON that keeps to no schema, and the open tables for
// severities, resources and links. It knows no source and does no I/O.
//
// The one thing to know: everything here is hostile text. Whatever it is, the
// answer is a bounded value or one clear error, never a panic.
package normal

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/secondline-ops/secondline/internal/fault"
)

// Bounds of a document. The deepest body seen in the field has 9 levels; a body
// of 4 MiB with as many alerts as fit has about 250,000 values.
const (
	maxDepth  = 64
	maxValues = 400_000
)

type kind byte

const (
	missing kind = iota // also null
	scalar              // a string, a number, true or false: all are text here
	list
	object
)

// Value is a JSON value read without a schema. The zero Value is null, and what
// is asked of a value of another type is as if it were missing.
type Value struct {
	kind  kind
	text  string
	items []member // of a list (without names) or an object
}

type member struct {
	name  string
	value Value
}

// Decode reads one JSON document. Numbers and truths are kept as they are
// written, so that no digit is lost; of two equal keys the last counts, as in
// Alertmanager's own reader; bytes that are not UTF-8 become U+FFFD. It refuses
// with Invalid what is no JSON, nests deeper than 64 or holds more than 400,000
// values.
//
// It is not encoding/json, because decoding into any took three quarters of
// the time of intake; texts without escapes share the memory of the body.
func Decode(body []byte) (Value, error) {
	d := decoder{in: strings.TrimPrefix(string(body), "\ufeff")} // a byte order mark, from PowerShell
	if !utf8.ValidString(d.in) {
		d.in = strings.ToValidUTF8(d.in, "\uFFFD")
	}
	d.space()
	if d.at == len(d.in) {
		return Value{}, fault.New(fault.Invalid, "the body is empty")
	}
	v, ok := d.value(0)
	d.space()
	if ok && d.at < len(d.in) {
		d.fail("something follows the JSON document")
	}
	if d.problem != "" {
		line := 1 + strings.Count(d.in[:min(d.at, len(d.in))], "\n")
		return Value{}, fault.New(fault.Invalid, "the body is no JSON that can be read: line %d, byte %d: %s", line, d.at+1, d.problem)
	}
	return v, nil
}

type decoder struct {
	in      string
	at      int
	values  int
	problem string
	stack   []member // of the objects and lists that are open
}

// fail keeps the first problem.
func (d *decoder) fail(problem string) (Value, bool) {
	if d.problem == "" {
		d.problem = problem
	}
	return Value{}, false
}

func (d *decoder) space() {
	for d.at < len(d.in) {
		switch d.in[d.at] {
		case ' ', '\t', '\n', '\r':
			d.at++
		default:
			return
		}
	}
}

// next skips space and takes the byte c, if it is there.
func (d *decoder) next(c byte) bool {
	d.space()
	if d.at < len(d.in) && d.in[d.at] == c {
		d.at++
		return true
	}
	return false
}

func (d *decoder) value(depth int) (Value, bool) {
	if depth > maxDepth {
		return d.fail("nested deeper than 64 levels")
	}
	if d.values++; d.values > maxValues {
		return d.fail("more than 400,000 values")
	}
	d.space()
	if d.at == len(d.in) {
		return d.fail("it ends early")
	}
	switch c := d.in[d.at]; c {
	case '{':
		d.at++
		return d.items(object, depth)
	case '[':
		d.at++
		return d.items(list, depth)
	case '"':
		d.at++
		text, ok := d.text()
		return Value{kind: scalar, text: text}, ok
	default:
		return d.word()
	}
}

// items reads the rest of an object or a list.
func (d *decoder) items(k kind, depth int) (Value, bool) {
	end := byte(']')
	if k == object {
		end = '}'
	}
	bottom := len(d.stack)
	for first := true; !d.next(end); first = false {
		if !first && !d.next(',') {
			return d.fail("a comma or the end of the list or object is missing")
		}
		var m member
		ok := true
		if k == object {
			if !d.next('"') {
				return d.fail("a key is missing")
			}
			if m.name, ok = d.text(); ok && !d.next(':') {
				return d.fail("a colon is missing")
			}
		}
		if ok {
			m.value, ok = d.value(depth + 1)
		}
		if !ok {
			return Value{}, false
		}
		d.stack = append(d.stack, m)
	}
	v := Value{kind: k, items: append([]member(nil), d.stack[bottom:]...)}
	d.stack = d.stack[:bottom]
	return v, true
}

// text reads a string up to and with its closing quote. A raw line break in it
// is let through: user templates write them.
func (d *decoder) text() (string, bool) {
	rest := d.in[d.at:]
	n := strings.IndexByte(rest, '"')
	if n < 0 {
		d.fail("a string has no end")
		return "", false
	}
	if strings.IndexByte(rest[:n], '\\') < 0 {
		d.at += n + 1
		return rest[:n], true
	}
	var b strings.Builder
	for d.at < len(d.in) {
		switch c := d.in[d.at]; c {
		case '"':
			d.at++
			return b.String(), true
		case '\\':
			if !d.escape(&b) {
				return "", false
			}
		default:
			b.WriteByte(c)
			d.at++
		}
	}
	d.fail("a string has no end")
	return "", false
}

// escape reads one escape sequence.
func (d *decoder) escape(b *strings.Builder) bool {
	const plain, meaning = `"\/bfnrt`, "\"\\/\b\f\n\r\t"
	if d.at+1 < len(d.in) {
		c := d.in[d.at+1]
		if n := strings.IndexByte(plain, c); n >= 0 {
			b.WriteByte(meaning[n])
			d.at += 2
			return true
		}
		if r, ok := d.unit(d.at); c == 'u' && ok {
			d.at += 6
			if utf16.IsSurrogate(r) {
				second, _ := d.unit(d.at)
				if r = utf16.DecodeRune(r, second); r != utf8.RuneError {
					d.at += 6
				}
			}
			b.WriteRune(r)
			return true
		}
	}
	d.fail("a string has a wrong escape")
	return false
}

// unit reads the \uXXXX at the place.
func (d *decoder) unit(at int) (rune, bool) {
	if at+6 > len(d.in) || d.in[at] != '\\' || d.in[at+1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(d.in[at+2:at+6], 16, 16)
	return rune(n), err == nil
}

// word reads a number, true, false or null.
func (d *decoder) word() (Value, bool) {
	start := d.at
	for d.at < len(d.in) && strings.IndexByte(" \t\r\n,]}", d.in[d.at]) < 0 {
		d.at++
	}
	switch w := d.in[start:d.at]; {
	case w == "null":
		return Value{}, true
	case w == "true", w == "false", isNumber(w):
		return Value{kind: scalar, text: w}, true
	}
	d.at = start
	return d.fail("a value is expected")
}

// isNumber follows the grammar of RFC 8259, section 6.
func isNumber(s string) bool {
	digits := func() bool {
		n := 0
		for n < len(s) && '0' <= s[n] && s[n] <= '9' {
			n++
		}
		s = s[n:]
		return n > 0
	}
	s = strings.TrimPrefix(s, "-")
	if len(s) > 1 && s[0] == '0' && '0' <= s[1] && s[1] <= '9' || !digits() {
		return false
	}
	if strings.HasPrefix(s, ".") {
		s = s[1:]
		if !digits() {
			return false
		}
	}
	if s != "" && (s[0] == 'e' || s[0] == 'E') {
		s = s[1:]
		if s != "" && (s[0] == '+' || s[0] == '-') {
			s = s[1:]
		}
		if !digits() {
			return false
		}
	}
	return s == ""
}

// Get is the member of an object; of equal names the last.
func (v Value) Get(name string) Value {
	if v.kind == object {
		for _, v0 := range slices.Backward(v.items) {
			if v0.name == name {
				return v0.value
			}
		}
	}
	return Value{}
}

// List is the elements of a list; ok is false when v is none.
func (v Value) List() (elements []Value, ok bool) {
	if v.kind != list {
		return nil, false
	}
	elements = make([]Value, len(v.items))
	for i, m := range v.items {
		elements[i] = m.value
	}
	return elements, true
}

// Text is a string, or a number or a truth as it is written; "" for all else.
func (v Value) Text() string { return v.text }

// First is the text of the first of the names that has one.
func (v Value) First(names ...string) string {
	for _, n := range names {
		if s := strings.TrimSpace(v.Get(n).text); s != "" {
			return s
		}
	}
	return ""
}

// Time reads RFC 3339, or seconds or milliseconds since 1970. It is zero for
// everything else, for Alertmanager's year 1, and for years that JSON cannot
// carry.
func (v Value) Time() time.Time {
	s := strings.TrimSpace(v.text)
	if s == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		const maxDigits = 18 // fits an int64
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || len(s) > maxDigits {
			return time.Time{}
		}
		if n > 1e11 { // as seconds it would be the year 5138
			t = time.UnixMilli(n)
		} else {
			t = time.Unix(n, 0)
		}
	}
	t = t.UTC()
	if y := t.Year(); y < 1970 || y > 9000 {
		return time.Time{}
	}
	return t
}
