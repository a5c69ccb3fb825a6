package redact

import "strings"

const (
	prefixLen  = 3
	prefixBits = 5 * prefixLen
)

// literalSearch finds where a secret can be. Most text holds none of the
// literals, and regular expressions over all of it would be a thousand times
// slower.
type literalSearch struct {
	lower   [256]byte
	bucket  [1 << prefixBits]uint16 // by the hash of the first three bytes: where in entries; 0 for none. 64 KB, which stay in the cache
	entries [][]entry
}

// entry is a literal with all that it may announce.
type entry struct {
	literal   string
	fourth    byte // of the literal, which tells most of those apart that begin the same; 0 when it has none
	detectors []*detector
}

func newLiteralSearch(ds []detector) *literalSearch {
	s := &literalSearch{entries: make([][]entry, 1)}
	for i := range s.lower {
		s.lower[i] = byte(i)
		if 'A' <= i && i <= 'Z' {
			s.lower[i] = byte(i) + 'a' - 'A'
		}
	}
	for i := range ds {
		for _, literal := range ds[i].literals {
			s.add(literal, &ds[i])
		}
	}
	return s
}

func (s *literalSearch) add(literal string, d *detector) {
	var h uint32
	for j := range prefixLen {
		h = s.hash(h, literal[j])
	}
	if s.bucket[h] == 0 {
		s.bucket[h], s.entries = uint16(len(s.entries)), append(s.entries, nil)
	}
	bucket := &s.entries[s.bucket[h]]
	for i := range *bucket {
		if e := &(*bucket)[i]; e.literal == literal {
			e.detectors = append(e.detectors, d)
			return
		}
	}
	e := entry{literal: literal, detectors: []*detector{d}}
	if len(literal) > prefixLen {
		e.fourth = literal[prefixLen]
	}
	*bucket = append(*bucket, e)
}

// hash rolls c in and the byte three places back out.
func (s *literalSearch) hash(h uint32, c byte) uint32 {
	return (h<<5 ^ uint32(s.lower[c])) & (1<<prefixBits - 1)
}

// next returns the first place at or after from where literals stand, and the
// detectors to ask there; nil when there is none.
func (s *literalSearch) next(text []byte, from int) (at int, candidates []*detector) {
	var h uint32
	for i := from; i < len(text); i++ {
		h = s.hash(h, text[i])
		if s.bucket[h] == 0 {
			continue
		}
		if at = i - prefixLen + 1; at < from {
			continue
		}
		var fourth byte
		if i+1 < len(text) {
			fourth = s.lower[text[i+1]]
		}
		entries := s.entries[s.bucket[h]]
		for k := range entries {
			if e := &entries[k]; e.fourth == fourth || e.fourth == 0 {
				candidates = s.announced(text, at, e, candidates)
			}
		}
		if candidates != nil {
			return at, candidates
		}
	}
	return len(text), nil
}

// announced adds the detectors that the entry announces at text[at].
func (s *literalSearch) announced(text []byte, at int, e *entry, found []*detector) []*detector {
	end := at + len(e.literal)
	if end > len(text) {
		return found
	}
	for i := range len(e.literal) {
		if s.lower[text[at+i]] != e.literal[i] {
			return found
		}
	}
	for _, d := range e.detectors {
		if d.follow != "" && (end >= len(text) || strings.IndexByte(d.follow, text[end]) < 0) || d.after != nil && !d.after(text, end) {
			continue
		}
		found = append(found, d)
	}
	return found
}
