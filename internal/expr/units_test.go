package expr

import (
	"math"
	"testing"
)

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

func TestByteText(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", -5: "-5 B", 1024: "1.0 KiB", 1<<20 - 1: "1.0 MiB", 20 << 20: "20.0 MiB", 3 << 29: "1.5 GiB", -3 << 29: "-1.5 GiB",
		1 << 40: "1.0 TiB", 1 << 50: "1.0 PiB", math.MaxInt64: "8.0 EiB", math.MinInt64: "-8.0 EiB",
	} {
		if got := ByteText(n); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
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

func TestTextOfAType(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		want      Type
		good, bad string
	}{
		{String, "", "\x00"},
		{Int, "-5", "5.0"},
		{Double, "5.5", "five"},
		{Bool, "true", "yes"},
		{Timestamp, "2026-03-01T10:00:00Z", "2026-03-01"},
		{Duration, "5m", "5"},
		{List, `["a"]`, "a"},
		{Map, `{"a": "b"}`, `["a"]`},
		{Object, "{}", "x"},
	} {
		if err := c.want.CheckText(c.good); err != nil {
			t.Errorf("%s %q: %v", c.want, c.good, err)
		}
		if err := c.want.CheckText(c.bad); (err == nil) != (c.want == String) {
			t.Errorf("%s %q: %v", c.want, c.bad, err)
		}
	}
}
