package bench

import (
	"cmp"
	"maps"
	"slices"

	"github.com/secondline-ops/secondline/examples/lab/faults"
)

// CauseWords are the words by which an answer names a cause.
type CauseWords struct {
	ID         string
	ObjectKeys []string // that some truth has, in order
}

// Causes returns every id that is right in some truth, in order.
func Causes(all []*faults.Fault) []CauseWords {
	keys := map[string]map[string]bool{}
	for _, f := range all {
		for _, id := range append([]string{f.Truth.Cause}, f.Truth.Also...) {
			if id == "" {
				continue
			}
			if keys[id] == nil {
				keys[id] = map[string]bool{}
			}
			for key := range f.Truth.Object {
				keys[id][key] = true
			}
		}
	}
	var out []CauseWords
	for id, of := range keys {
		out = append(out, CauseWords{ID: id, ObjectKeys: slices.Sorted(maps.Keys(of))})
	}
	slices.SortFunc(out, func(a, b CauseWords) int { return cmp.Compare(a.ID, b.ID) })
	return out
}
