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
	entries [1 << prefixBits][]entry // by the hash of their first three bytes
}

type entry struct {
	literal  string
	detector *detector
}

func newLiteralSearch(ds []detector) *literalSearch {
	s := &literalSearch{}
	for i := range s.lower {
		s.lower[i] = byte(i)
		if 'A' <= i && i <= 'Z' {
			s.lower[i] = byte(i) + 'a' - 'A'
		}
	}
	for i := range ds {
		for _, literal := range ds[i].literals {
			var h uint32
			for j := range prefixLen {
				h = s.hash(h, literal[j])
			}
			s.entries[h] = append(s.entries[h], entry{literal, &ds[i]})
		}
	}
	return s
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
		at = i - prefixLen + 1
		if s.entries[h] == nil || at < from {
			continue
		}
		for _, e := range s.entries[h] {
			if s.hasAt(text, at, e) {
				candidates = append(candidates, e.detector)
			}
		}
		if candidates != nil {
			return at, candidates
		}
	}
	return len(text), nil
}

func (s *literalSearch) hasAt(text []byte, at int, e entry) bool {
	end := at + len(e.literal)
	if end > len(text) {
		return false
	}
	for i := range len(e.literal) {
		if s.lower[text[at+i]] != e.literal[i] {
			return false
		}
	}
	return e.detector.follow == "" || end < len(text) && strings.IndexByte(e.detector.follow, text[end]) >= 0
}
