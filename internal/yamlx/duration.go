package yamlx

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// day is 24 hours: durations are lengths of time, not dates.
const day = 24 * time.Hour

// ParseDuration reads what time.ParseDuration does, and whole days before it:
// 30d, 1d12h.
func ParseDuration(text string) (time.Duration, error) {
	number, rest, ok := strings.Cut(text, "d")
	if !ok {
		return time.ParseDuration(text)
	}
	days, err := strconv.ParseUint(number, 10, 32)
	if err != nil || strings.HasPrefix(rest, "-") || strings.HasPrefix(rest, "+") {
		return 0, fmt.Errorf("%q is not a duration", text)
	}
	var hours time.Duration
	if rest != "" {
		if hours, err = time.ParseDuration(rest); err != nil {
			return 0, fmt.Errorf("%q is not a duration", text)
		}
	}
	if days > uint64((math.MaxInt64-hours)/day) {
		return 0, fmt.Errorf("%q is longer than 292 years", text) // the most that 63 bits of nanoseconds hold
	}
	return time.Duration(days)*day + hours, nil
}

// FormatDuration writes a duration as people write it: 400d, 1h30m, 10s.
// ParseDuration reads it back.
func FormatDuration(d time.Duration) string {
	if d >= day {
		days := strconv.FormatInt(int64(d/day), 10) + "d"
		if d%day == 0 {
			return days
		}
		return days + FormatDuration(d%day)
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
