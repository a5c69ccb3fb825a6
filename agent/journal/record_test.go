package journal

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzRead: any bytes are read without a panic; what was read is read again
// from what recovery leaves, and a further record behind it is found.
func FuzzRead(f *testing.F) {
	line, err := encode(Entry{Job: "j", Kind: Intent, Step: "s", Attempt: 1})
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{})
	f.Add(line)
	f.Add(append(append([]byte{}, line...), line[:len(line)/2]...))
	f.Add(append([]byte("garbage\n"), line...))
	f.Add([]byte("00000000 {}\n\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got := read(data)
		if got.good > len(data) {
			t.Fatalf("%d good bytes of %d", got.good, len(data))
		}
		if got.damaged {
			return
		}
		next, err := encode(Entry{Job: jobOf(got), Kind: Report})
		if err != nil {
			t.Fatal(err)
		}
		again := read(append(append([]byte{}, data[:got.good]...), next...))
		if again.damaged || len(again.entries) != len(got.entries)+1 {
			t.Fatalf("%d entries became %d", len(got.entries), len(again.entries))
		}
		if diff := cmp.Diff(got.entries, again.entries[:len(got.entries)]); diff != "" {
			t.Fatal(diff)
		}
	})
}

func jobOf(r reading) string {
	if len(r.entries) == 0 {
		return "j"
	}
	return r.entries[0].Job
}
