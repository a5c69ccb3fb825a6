package bundle

import (
	"fmt"
	"maps"
	"slices"

	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/fault"
)

// Budget is how large a bundle may be, before it is compressed. Zero is as much
// as Read reads. What does not fit is named in the manifest: saved evidence and
// bodies are cut at their end, raw outputs are left out whole, since half of one
// proves something else than the whole. Records and report are never cut.
type Budget struct {
	ItemBytes  int // of one file that came from outside
	TotalBytes int // of all files
}

// Validate returns an error of kind Invalid that names every bad field.
func (b Budget) Validate() error {
	var bad []string
	if b.ItemBytes < 0 || b.ItemBytes > maxFileBytes {
		bad = append(bad, fmt.Sprintf("%d bytes an item: want 0 to %d", b.ItemBytes, maxFileBytes))
	}
	if b.TotalBytes < 0 || b.TotalBytes > maxTotalBytes {
		bad = append(bad, fmt.Sprintf("%d bytes in all: want 0 to %d", b.TotalBytes, maxTotalBytes))
	}
	if len(bad) > 0 {
		return fault.New(fault.Invalid, "budget of a bundle: %q", bad)
	}
	return nil
}

// build builds within the budget. Report and transcripts, which follow from the
// sources, count as well: as long as the whole is too large, the least important
// sources go.
func (b Budget) build(s sources) (*Bundle, error) {
	if err := b.Validate(); err != nil {
		return nil, err
	}
	t := trimmer{s: &s}
	if b.ItemBytes > 0 {
		t.items(b.ItemBytes)
	}
	for {
		made, err := build(s)
		if err != nil || b.TotalBytes == 0 {
			return made, err
		}
		over := made.size() - b.TotalBytes
		if over <= 0 {
			return made, nil
		}
		if !t.drop(over) {
			return nil, fault.New(fault.TooLarge, "records and report have %d bytes, more than the %d of the budget", made.size(), b.TotalBytes).
				WithHint("allow more: without them there is no bundle")
		}
	}
}

// size is what the files have together, with manifest.
func (b *Bundle) size() int {
	n := len(b.sealed)
	for _, data := range b.files {
		n += len(data)
	}
	return n
}

// trimmer takes out of the sources what does not fit, and says so in them.
type trimmer struct{ s *sources }

func (t trimmer) say(format string, args ...any) {
	t.s.input.LeftOut = append(t.s.input.LeftOut, fmt.Sprintf(format, args...))
}

// items cuts what is too large by itself.
func (t trimmer) items(most int) {
	for _, digest := range slices.Sorted(maps.Keys(t.s.raws)) {
		if n := len(t.s.raws[digest].data); n > most {
			t.say("%s: %d bytes, more than the %d of an item", rawPath(digest), n, most)
			delete(t.s.raws, digest)
		}
	}
	cut := func(path string, c content) content {
		if n := len(c.data); n > most {
			t.say("%s: all after the first %d of its %d bytes", path, most, n)
			c.data, c.cut = c.data[:most], true
		}
		return c
	}
	for _, id := range slices.Sorted(maps.Keys(t.s.bodies)) {
		t.s.bodies[id] = cut(bodyPath(id), t.s.bodies[id])
	}
	for _, base := range slices.Sorted(maps.Keys(t.s.preserved)) {
		for _, name := range slices.Sorted(maps.Keys(t.s.preserved[base])) {
			t.s.preserved[base][name] = cut(preservedPath(base, name), t.s.preserved[base][name])
		}
	}
}

// drop takes the least important out until so many bytes are gone, and reports
// whether there was anything: saved evidence, bodies, then raw outputs.
func (t trimmer) drop(bytes int) bool {
	before := bytes
	gone := func(path string, n int) {
		t.say("%s: its %d bytes would make the bundle too large", path, n)
		bytes -= n
	}
	for _, base := range slices.Sorted(maps.Keys(t.s.preserved)) {
		for _, name := range slices.Sorted(maps.Keys(t.s.preserved[base])) {
			if n := len(t.s.preserved[base][name].data); bytes > 0 && n > 0 {
				gone(preservedPath(base, name), n)
				delete(t.s.preserved[base], name)
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(t.s.bodies)) {
		if n := len(t.s.bodies[id].data); bytes > 0 && n > 0 {
			gone(bodyPath(id), n)
			delete(t.s.bodies, id)
		}
	}
	for _, fact := range slices.Backward(byImportance(&t.s.input.Incident, t.s.input.Facts)) {
		for _, raw := range fact.Raws {
			if c, here := t.s.raws[raw.SHA256]; here && bytes > 0 && len(c.data) > 0 {
				gone(rawPath(raw.SHA256), len(c.data))
				delete(t.s.raws, raw.SHA256)
			}
		}
	}
	return bytes < before
}

// byImportance returns the facts that the diagnosis and the measurement rest on
// first, each of both the newest first.
func byImportance(in *incident.Incident, facts []diagnostics.Fact) []diagnostics.Fact {
	cited := map[string]bool{}
	if in.Measured != nil {
		for _, id := range in.Measured.Facts {
			cited[id] = true
		}
	}
	if in.Diagnosis != nil {
		for _, h := range in.Diagnosis.Hypotheses {
			for _, e := range slices.Concat(h.For, h.Against, h.CannotTell) {
				for _, id := range e.Facts {
					cited[id] = true
				}
			}
		}
	}
	var first, rest []diagnostics.Fact
	for _, fact := range slices.Backward(facts) {
		if cited[fact.ID] {
			first = append(first, fact)
		} else {
			rest = append(rest, fact)
		}
	}
	return append(first, rest...)
}
