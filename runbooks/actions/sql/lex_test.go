package sql

import (
	"strings"
	"testing"
)

// FuzzLex gives arbitrary text: what is taken is one statement, in which psql
// finds nothing of its own but the values.
func FuzzLex(f *testing.F) {
	for _, seed := range []string{
		"SELECT $1", "SELECT 'a''b' || \"c\";", "a; b", `\!`, "SELECT a::text", "$$", "/**/", "--", ":'x'", "'\\'", "x[1:2]", "SELECT $12::int",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := lex(text)
		if err != nil {
			return
		}
		if strings.Contains(got.text, `\`) || len(got.words) == 0 {
			t.Errorf("%q became %q", text, got.text)
		}
		bare, quote := strings.Builder{}, byte(0)
		for i := range len(got.text) {
			switch c := got.text[i]; {
			case quote == 0 && (c == '\'' || c == '"'):
				quote = c
			case c == quote:
				quote = 0
			case quote == 0:
				bare.WriteByte(c)
			}
		}
		for _, never := range []string{";", "--", "/*", "$"} {
			if strings.Contains(bare.String(), never) {
				t.Errorf("%q stands in %q", never, got.text)
			}
		}
		if quote != 0 || strings.Count(got.text, ":'p") < len(got.params) {
			t.Errorf("%q became %q", text, got.text)
		}
	})
}
