package yamlx

import (
	"testing"
)

// FuzzParseAndDecode: no input makes it panic, and every mistake has a position
// inside the file.
func FuzzParseAndDecode(f *testing.F) {
	for _, s := range []string{
		"name: x\nargv: [a, b]\n", "a: &a [*a]", "<<: *b", "? [a]\n: b", "a: *b", "a:\n\tb: c", "--- a\n--- b", "a: !!int x", "&a a: *a", "{a: 1, a: 2}",
		"name: |\n  x\n\ty\n", "\xff", "a: \"\\x00\"", "count: 0o7", "with: {? : x}", "any: 0b1", "ratio: -.5", "*a : b", "a: 190:20:30", "any: =", "\r\r\ra: *x", "with: {n: 0_8}",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		docs, err := ParseAll("f", data)
		lines := len(splitLines(string(data)))
		check := func(err error) {
			if err == nil {
				return
			}
			all := Errors(err)
			if len(all) == 0 || len(all) > maxErrors {
				t.Fatalf("%d positions in %v", len(all), err)
			}
			for _, e := range all {
				if e.Line < 1 || e.Column < 1 || e.Line > lines+1 || e.Message == "" || e.Detail() == "" {
					t.Fatalf("%q: bad error %+v", data, e)
				}
			}
		}
		check(err)
		for _, n := range docs {
			var d document
			check(n.Decode(&d))
			var whole any
			check(n.Decode(&whole))
		}
	})
}
