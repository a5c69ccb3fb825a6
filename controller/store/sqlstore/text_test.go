package sqlstore

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func FuzzEscapeIsReversible(f *testing.F) {
	for _, s := range []string{"", "a", `\`, `\\x00`, "\x00", "a\xffb", `\x0`, `\xzz`, "größe", `C:\x41`, "\ufffd"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		stored := escape(s)
		if !utf8.ValidString(stored) || strings.Contains(stored, "\x00") {
			t.Fatalf("%q is stored as %q", s, stored)
		}
		if got := unescape(stored); got != s {
			t.Fatalf("%q comes back as %q", s, got)
		}
		if key := indexed(s); len(key) > 4*maxKeyBytes || strings.Contains(key, "\x00") {
			t.Fatalf("%q is indexed as %q", s, key)
		}
		_ = unescape(s)
	})
}

func TestPlaceholders(t *testing.T) {
	t.Parallel()
	if got := placeholders(2, 3); got != "($1,$2,$3),($4,$5,$6)" {
		t.Fatal(got)
	}
}
