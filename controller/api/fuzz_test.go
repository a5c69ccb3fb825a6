package api

import (
	"bytes"
	"strings"
	"testing"
)

// What the reader of a stream hands on never has a carriage return of its own
// making, and what the writer of a stream would send comes back as it was.
func FuzzReadStream(f *testing.F) {
	for _, s := range []string{"id: 1\nevent: note\ndata: {}\n\n", ": \n\n", "data: a\ndata: b\n\n", "data\n\n", "data: cut", "\n\n\n", "data: x\r\n\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if err := readStream(bytes.NewReader(raw), func() {}, func(string, []byte) error { return nil }); err != nil {
			t.Fatalf("%q: %v", raw, err)
		}
		line := strings.NewReplacer("\n", "", "\r", "").Replace(string(raw))
		var got []string
		stream := "id: 1\nevent: x\ndata: " + line + "\n\n"
		if err := readStream(strings.NewReader(stream), func() {}, func(_ string, b []byte) error { got = append(got, string(b)); return nil }); err != nil {
			t.Fatal(err)
		}
		if len(got) != 1 || got[0] != line {
			t.Fatalf("sent %q, got %q", line, got)
		}
	})
}
