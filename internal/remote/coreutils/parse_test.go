package coreutils

import (
	"strings"
	"testing"
)

func TestBrokenAnswersAreNotRead(t *testing.T) {
	t.Parallel()
	for _, out := range []string{"", "\n", "81a4", "zz 1 1 1 1 1 1 1 1 x\n", "81a4 x 1 1 1 1 1 1 1 y\n", "81a4 -1 1 1 1 1 1 1 1 y\n"} {
		if info, err := parseStat([]byte(out)); err == nil {
			t.Errorf("%q: got %+v", out, info)
		}
	}
	for _, out := range []string{"", "1 2 3", "4096 1 1 1 1 x", "1 2 3 4 5 6 7"} {
		if info, err := parseStatfs([]byte(out)); err == nil {
			t.Errorf("%q: got %+v", out, info)
		}
	}
}

func FuzzParsers(f *testing.F) {
	f.Add([]byte("81a4 5 8 0 0 65024 9 1 1700000000 2023-11-14 22:13:20.123456789 +0000\n"))
	f.Add([]byte("a1ff 5 8 0 0 65024 9 1 1700000000 2023-11-14 22:13:20\nto\n"))
	f.Add([]byte("4096 1 2 3 4 5\n"))
	f.Add([]byte("f 644 5 8 0 0 65024 9 1 1700000000.1234567890\x00name\x00\x00d 755 5 8 0 0 1 9 1 1.0\x00d\x00\x00l 777"))
	f.Fuzz(func(t *testing.T, out []byte) {
		if info, err := parseStat(out); err == nil && len(info.LinkTarget) > len(out) {
			t.Error("the target is longer than the answer")
		}
		_, _ = parseStatfs(out)
		entries, more, err := parseFind(out, 3)
		if err == nil && (len(entries) > 3 || (len(entries) == 0 && len(out) > 0 && !more)) {
			t.Errorf("got %d entries, more %v", len(entries), more)
		}
		for _, e := range entries {
			if strings.ContainsRune(e.Name+e.LinkTarget, 0) {
				t.Errorf("a name holds NUL: %q", e.Name)
			}
		}
	})
}
