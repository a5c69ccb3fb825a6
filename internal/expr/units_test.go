package expr

import "testing"

func TestByteSize(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]int64{
		"0": 0, "5": 5, "5B": 5, "1KB": 1000, "1kB": 1000, "1KiB": 1024, "1.5KiB": 1536, "2GiB": 2 << 30, "2 GB": 2e9, "3MiB": 3 << 20, "1TB": 1e12, "7EiB": 7 << 60, "2G": 2e9, "2Gi": 2 << 30,
	} {
		if got, err := byteSize(in); err != nil || got != want {
			t.Errorf("%s: %d %v, want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", "GB", "-1GB", "2GB ib", "1e3", "9EiB", "99999999999EB", "1iB", "2 gb ", "0x10", "2GGB"} {
		if got, err := byteSize(in); err == nil {
			t.Errorf("%q: %d, want an error", in, got)
		}
	}
}

func TestGlob(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true},
		{"*", "", true},
		{"*", "a/b", true},
		{"?", "", false},
		{"?", "ü", true},
		{"a*c", "abbc", true},
		{"a*c", "abbd", false},
		{"*.log", "x.log.1", false},
		{"orders@*.service", "orders@1.service", true},
		{"[a-c]x", "bx", true},
		{"[!a-c]x", "bx", false},
		{"[]]", "]", true},
		{`\*`, "*", true},
		{`\*`, "a", false},
		{"a**b*", "ab", true},
		{"[a-]", "-", true},
		{"*a*b", "aab", true},
	} {
		if got, err := glob(c.pattern, c.s); err != nil || got != c.want {
			t.Errorf("glob(%q, %q) = %v %v", c.pattern, c.s, got, err)
		}
	}
	for _, bad := range []string{"[", "[a", `a\`, "[]", "[!]"} {
		if _, err := glob(bad, "a"); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}
