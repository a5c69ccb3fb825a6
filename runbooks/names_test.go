package runbooks

import (
	"regexp"
	"strings"
	"testing"
)

// TestNamesMatchTheirPatterns holds the checks against the patterns of the
// schema: on every string of up to four of the bytes that matter, and around the
// greatest lengths.
func TestNamesMatchTheirPatterns(t *testing.T) {
	t.Parallel()
	all, last := []string{""}, []string{""}
	for range 4 {
		var longer []string
		for _, s := range last {
			for _, c := range "azAZ09-_./ \n\u00e9\x00" {
				longer = append(longer, s+string(c))
			}
		}
		all, last = append(all, longer...), longer
	}
	for length := 30; length <= 65; length++ {
		for _, end := range []string{"a", "9", "-", "_", "\n"} {
			all = append(all, strings.Repeat("a", length)+end)
		}
	}
	for pattern, is := range map[string]func(string) bool{slugPattern: isSlug, namePattern: isName, userPattern: isUser} {
		compiled := regexp.MustCompile(pattern)
		for _, s := range all {
			if got, want := is(s), compiled.MatchString(s); got != want {
				t.Errorf("%q: %t, but %t by %s", s, got, want, pattern)
			}
		}
	}
}
