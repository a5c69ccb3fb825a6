package truncatelog

import "testing"

func TestWritersAreToldByTheFlagsOfTheirHandles(t *testing.T) {
	t.Parallel()
	for out, want := range map[string]struct {
		words     string
		elsewhere int
	}{
		"0\n":                                 {"no process has it open for writing", 0},
		"0\n7 0100000 tail\n":                 {"no process has it open for writing", 0},
		"0\n7 0102001 nginx\n8 02002 a b c\n": {"all who write to it append", 0},
		"0\n7 0100001 java\n7 01 java\n":      {"no process has it open for writing", 1},
		"1000\n7 0102001 nginx\n":             {"whether all who write to it append cannot be told without root; one that does not would make a sparse file of it", 0},
	} {
		w, err := parseWriters([]byte(out))
		if err != nil || w.inWords() != want.words || len(w.Elsewhere) != want.elsewhere || (w.admit("/x") != nil) != (want.elsewhere > 0) {
			t.Errorf("%q: %+v, %v", out, w, err)
		}
	}
	for _, out := range []string{"", "x\n", "0\n7 ? java\n", "0\n7 9 java\n"} {
		if w, err := parseWriters([]byte(out)); err == nil {
			t.Errorf("%q: %+v", out, w)
		}
	}
}

func FuzzParseWriters(f *testing.F) {
	f.Add([]byte("0\n7 0102001 nginx\n8 02002 a b c\n"))
	f.Add([]byte("1000\n\n"))
	f.Fuzz(func(t *testing.T, out []byte) {
		if w, err := parseWriters(out); err == nil && (w.inWords() == "" || w.Appending < 0) {
			t.Errorf("%q: %+v", out, w)
		}
	})
}

func FuzzParseLog(f *testing.F) {
	f.Add([]byte("0\n65024 7 1 81a4 0 0 33 8\n"))
	f.Add([]byte("0\n65024 7 1 -1 0 0 x 8\n"))
	f.Fuzz(func(t *testing.T, out []byte) {
		if l, err := parseLog(out); err == nil && (l.Inode == "" || l.EUID == "" || l.Size < 0 || l.Names < 0) {
			t.Errorf("%q: %+v", out, l)
		}
	})
}
