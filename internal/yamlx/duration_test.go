package yamlx

import (
	"math"
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"30d": 720 * time.Hour, "1d12h": 36 * time.Hour, "0d": 0, "2d1h30m5s": 49*time.Hour + 30*time.Minute + 5*time.Second,
		"5m": 5 * time.Minute, "-5m": -5 * time.Minute, "0": 0, "106751d": 106751 * day, "106751d23h": 106751*day + 23*time.Hour,
	} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"", "d", "-1d", "+1d", "1.5d", "1d-5h", "1d+5h", "1d5", "1dd", "1d1d", "d5h", " 1d", "1 d", "1D", "106752d", "106751d24h", "99999999999999999999d", "5", "soon",
	} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("%q is taken as %v", text, got)
		}
	}
}

func TestFormatDuration(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0: "0s", 90 * time.Second: "1m30s", time.Minute: "1m", time.Hour: "1h", 90 * time.Minute: "1h30m", 10 * time.Second: "10s", 10 * time.Minute: "10m",
		20 * time.Hour: "20h", day: "1d", 36 * time.Hour: "1d12h", 400 * day: "400d", time.Hour + time.Second: "1h0m1s", -time.Hour: "-1h",
	} {
		if got := FormatDuration(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

// FuzzDuration: what is taken is written and read back as the same length, and
// what time.ParseDuration takes means the same here.
func FuzzDuration(f *testing.F) {
	for _, s := range []string{"30d", "1d12h", "1.5h", "-5m", "1d-1h", "106751d23h47m16.854775807s", "d", "9d9d", "1ns", "1dµs"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := ParseDuration(s)
		plain, perr := time.ParseDuration(s)
		if perr == nil && (err != nil || got != plain) {
			t.Fatalf("%q is %v (%v), to time.ParseDuration %v", s, got, err, plain)
		}
		if err != nil || got == math.MinInt64 { // which no text of Go's reads back
			return
		}
		text := FormatDuration(got)
		if again, err := ParseDuration(text); err != nil || again != got {
			t.Fatalf("%q is %v, written %q, read back as %v (%v)", s, got, text, again, err)
		}
	})
}
