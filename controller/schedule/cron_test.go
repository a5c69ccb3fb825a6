package schedule

import (
	"testing"
	"time"

	"github.com/secondline-ops/secondline/internal/fault"
)

func TestParseRefusesWhatCronWouldMisread(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "CRON_TZ=UTC", "TZ=", "TZ=UTC ", "TZ=Nowhere/Land 0 0 * * *", "@every -1s", "@every 1s", "@every x",
		"0 0 31 2 *", "61 * * * *", "* * * *", "not cron at all", "\x00",
	} {
		if _, err := Parse(text); !fault.Is(err, fault.Invalid) {
			t.Errorf("Parse(%q) = %v, want an invalid schedule", text, err)
		}
	}
}

func TestNextIsTheFirstDueTimeAfter(t *testing.T) {
	t.Parallel()
	from := time.Date(2026, 11, 21, 23, 58, 30, 0, time.UTC) // a Saturday
	for text, want := range map[string]time.Time{
		"*/5 * * * *":                     time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC),
		"@every 30s":                      from.Add(30 * time.Second),
		"0 6 * * 7":                       time.Date(2026, 11, 22, 6, 0, 0, 0, time.UTC),
		"0 6 * * 0":                       time.Date(2026, 11, 22, 6, 0, 0, 0, time.UTC),
		"TZ=Europe/Berlin 0 6 * * *":      time.Date(2026, 11, 22, 5, 0, 0, 0, time.UTC),
		"CRON_TZ=Europe/Berlin 0 6 * * *": time.Date(2026, 11, 22, 5, 0, 0, 0, time.UTC),
	} {
		c, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Next(from); !got.Equal(want) {
			t.Errorf("%q after %s: got %s, want %s", text, from, got, want)
		}
	}
}

func TestZeroCronIsNeverDue(t *testing.T) {
	t.Parallel()
	if got := (Cron{}).Next(time.Unix(0, 0)); !got.IsZero() {
		t.Errorf("got %s, want never", got)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"*/5 * * * *", "@hourly", "@every 5s", "TZ=UTC 0 0 * * *", "CRON_TZ=", "0 0 * * 1-5,7"} {
		f.Add(s)
	}
	from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse(text)
		if err != nil {
			return
		}
		if next := c.Next(from); !next.After(from) {
			t.Errorf("%q: next %s is not after %s", text, next, from)
		}
	})
}
