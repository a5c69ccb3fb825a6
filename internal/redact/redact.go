// Package redact takes secrets out of text that came from a server, before
// anything else sees it. A typed detector per kind of secret replaces what it
// finds by a mark, "[redacted:<kind>]", and leaves the rest readable.
//
// It recognises secrets by their shape or by the word beside them; a password
// that stands alone on a line looks like any other word and stays, unless it
// was named to New. Feed it whole outputs: a secret cut in two is two harmless
// looking halves. Redact first, truncate after.
package redact

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

const (
	// minKnown is the shortest known secret that is searched for. Shorter ones
	// would tear ordinary words apart and hide more than they protect.
	minKnown = 4
	// minPart is the shortest line, and the shortest text in base64, of a known
	// secret that is searched for.
	minPart = 8
	// longestMark bounds "[redacted:" + kind + "]".
	longestMark = 32
)

// Redactor replaces secrets by marks. It is safe for concurrent use.
type Redactor struct {
	known  [][]byte
	search *literalSearch
	mark   *regexp.Regexp
}

// New returns a Redactor for the built-in kinds of secret and for the given
// known ones, which are found wherever they stand, also URL- and JSON-escaped,
// quoted for a shell and in base64; of those with several lines also each line.
// Known secrets of fewer than four bytes are not searched for.
func New(extra ...string) *Redactor {
	ds := detectors()
	r := newRedactor(ds)
	for _, secret := range extra {
		r.addKnown(secret, ds)
	}
	// The longest first, so that a secret which contains another goes whole.
	slices.SortFunc(r.known, func(a, b []byte) int { return len(b) - len(a) })
	return r
}

func newRedactor(ds []detector) *Redactor {
	return &Redactor{search: newLiteralSearch(ds), mark: regexp.MustCompile(`^\[redacted:[a-z_]{1,20}\]`)}
}

func (r *Redactor) addKnown(secret string, ds []detector) {
	for _, form := range formsOf(secret) {
		b := []byte(form)
		inMark := bytes.Contains(mark("known"), b) || // it would be found again in every mark
			slices.ContainsFunc(ds, func(d detector) bool { return bytes.Contains(mark(d.kind), b) })
		if len(b) < minKnown || inMark || slices.ContainsFunc(r.known, func(have []byte) bool { return bytes.Equal(have, b) }) {
			continue
		}
		r.known = append(r.known, b)
	}
}

// formsOf returns how a secret may stand in a text: as it is, escaped, quoted for
// a shell, in base64, and of one with several lines each line that is long enough
// to be nothing else.
func formsOf(secret string) []string {
	var forms []string
	parts := []string{secret}
	if lines := strings.Split(secret, "\n"); len(lines) > 1 {
		parts = append(parts, slices.DeleteFunc(lines, func(line string) bool { return len(line) < minPart })...)
	}
	for _, part := range parts {
		forms = append(forms, part, url.QueryEscape(part), url.PathEscape(part), strings.ReplaceAll(part, "'", `'\''`))
		if quoted, err := json.Marshal(part); err == nil {
			forms = append(forms, string(quoted[1:len(quoted)-1]))
		}
		if len(part) >= minPart {
			forms = append(forms, base64.StdEncoding.EncodeToString([]byte(part)), base64.URLEncoding.EncodeToString([]byte(part)))
		}
		forms = append(forms, base64Forms(part)...)
	}
	return forms
}

// base64Forms returns what is the same in every base64 text whose source holds
// the secret: it may begin at any of three places in a group, and what is coded
// together with its neighbours is left out.
func base64Forms(secret string) []string {
	var forms []string
	for before := range 3 {
		source := append(make([]byte, before), secret...)
		from, to := (before*8+5)/6, len(source)*8/6
		if to-from < minPart {
			continue
		}
		forms = append(forms, base64.RawStdEncoding.EncodeToString(source)[from:to], base64.RawURLEncoding.EncodeToString(source)[from:to])
	}
	return forms
}

func mark(kind string) []byte { return []byte("[redacted:" + kind + "]") }

// Redact returns text with every recognised secret replaced by its mark. It
// never changes its argument, returns it as it is when nothing was found, and
// leaves its own results alone.
func (r *Redactor) Redact(text []byte) []byte {
	out, _ := r.redact(text)
	return out
}

// Count returns how many secrets of each kind Redact would replace in text.
func (r *Redactor) Count(text []byte) map[string]int {
	_, hits := r.redact(text)
	return hits
}

// RedactCounted is Redact and Count in one pass. counts is never nil.
func (r *Redactor) RedactCounted(text []byte) (clean []byte, counts map[string]int) {
	return r.redact(text)
}

// redact looks again until nothing is found: a mark can make a neighbour
// recognisable. It ends, because each pass leaves fewer bytes outside marks, or
// merges marks.
func (r *Redactor) redact(text []byte) ([]byte, map[string]int) {
	hits := map[string]int{}
	for _, secret := range r.known {
		if n := bytes.Count(text, secret); n > 0 {
			hits["known"] += n
			text = bytes.ReplaceAll(text, secret, mark("known"))
		}
	}
	for changed := true; changed; {
		text, changed = r.pass(text, hits)
	}
	return text, hits
}

// pass walks over the text once and replaces what it finds.
func (r *Redactor) pass(text []byte, hits map[string]int) (out []byte, changed bool) {
	var built []byte
	last := 0 // text up to here is in built
	for at := 0; ; {
		i, candidates := r.search.next(text, at)
		if candidates == nil {
			break
		}
		at = i + 1
		if end, inside := r.markAround(text, i); inside {
			at = end
			continue
		}
		for _, d := range candidates {
			from, to, found := d.find(text, i, last)
			if !found {
				continue
			}
			from, to = r.withoutHalfMarks(text, from, to)
			if from >= to || len(r.mark.Find(text[from:to])) == to-from {
				continue
			}
			built = append(built, text[last:from]...)
			built = append(built, mark(d.kind)...)
			hits[d.kind]++
			last, at = to, max(to, at)
			break
		}
	}
	if built == nil {
		return text, false
	}
	return append(built, text[last:]...), true
}

// withoutHalfMarks moves the ends of a secret out of marks they cut: a mark is
// never torn apart.
func (r *Redactor) withoutHalfMarks(text []byte, from, to int) (int, int) {
	if end, ok := r.markAround(text, from); ok {
		from = end
	}
	if end, ok := r.markAround(text, to); ok {
		to = end
	}
	return from, to
}

// markAround returns the mark that has at strictly inside it.
func (r *Redactor) markAround(text []byte, at int) (end int, ok bool) {
	low := max(0, at-longestMark)
	i := bytes.LastIndexByte(text[low:at], '[')
	if i < 0 {
		return 0, false
	}
	start := low + i
	end = start + len(r.mark.Find(text[start:min(len(text), start+longestMark)]))
	return end, end > at
}
