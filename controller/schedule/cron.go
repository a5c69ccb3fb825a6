// Package schedule says when a health check is due: cron text in, times out.
// robfig/cron parses and computes; this package keeps its traps away from
// users. Due times live in the store, not here, so a run missed while the
// controller was down is visible and is caught up once.
package schedule

import (
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/secondline-ops/secondline/internal/fault"
)

// MinEvery is the shortest interval: a check costs its host something.
const MinEvery = 5 * time.Second

// horizon is how far ahead a due time is searched. robfig/cron gives up after
// five years and then returns the zero time ("0 0 31 2 *" never comes).
const horizon = 5 * 366 * 24 * time.Hour

// Cron is a parsed schedule. Its zero value is never due.
type Cron struct {
	text  string
	inner cron.Schedule
}

// Parse reads five fields (minute hour day month weekday), a descriptor such
// as @hourly, or "@every 30s". Times are UTC unless the text begins with
// "TZ=Zone ". An error is a fault of kind Invalid and says what is wrong.
func Parse(text string) (c Cron, err error) {
	bad := func(format string, args ...any) error {
		return fault.New(fault.Invalid, "schedule %q: %s", text, fmt.Sprintf(format, args...)).
			WithHint(`five fields such as "*/5 * * * *" (minute hour day month weekday), @hourly, or "@every 30s"`)
	}
	spec := strings.TrimSpace(text)
	zone := "UTC"
	if rest, ok := cutZone(spec); ok {
		name, after, found := strings.Cut(rest, " ")
		if !found || strings.TrimSpace(after) == "" { // cron panics on a zone without a spec
			return Cron{}, bad("nothing stands behind the time zone")
		}
		zone, spec = name, strings.TrimSpace(after)
	}
	if _, err := time.LoadLocation(zone); err != nil || zone == "" {
		return Cron{}, bad("time zone %q is not known", zone)
	}
	if every, ok := strings.CutPrefix(spec, "@every "); ok {
		d, err := time.ParseDuration(strings.TrimSpace(every))
		if err != nil || d < MinEvery { // cron takes -1s for 1s
			return Cron{}, bad("@every needs a duration of at least %s", MinEvery)
		}
	}
	spec = sundayIsZero(spec)
	defer func() { // foreign code on foreign input
		if r := recover(); r != nil {
			c, err = Cron{}, bad("%v", r)
		}
	}()
	inner, err := cron.ParseStandard("CRON_TZ=" + zone + " " + spec)
	if err != nil {
		return Cron{}, bad("%v", err)
	}
	c = Cron{text: text, inner: inner}
	if c.Next(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return Cron{}, bad("it never comes")
	}
	return c, nil
}

func cutZone(spec string) (rest string, ok bool) {
	if rest, ok = strings.CutPrefix(spec, "CRON_TZ="); ok {
		return rest, true
	}
	return strings.CutPrefix(spec, "TZ=")
}

// sundayIsZero writes weekday 7 as 0: crontab(5) takes both, robfig/cron one.
func sundayIsZero(spec string) string {
	f := strings.Fields(spec)
	if len(f) != 5 {
		return spec
	}
	days := strings.Split(f[4], ",")
	for i, d := range days {
		if d == "7" {
			days[i] = "0"
		}
	}
	f[4] = strings.Join(days, ",")
	return strings.Join(f, " ")
}

// String returns the text that was parsed.
func (c Cron) String() string { return c.text }

// Next returns the first due time after t, in UTC; zero when there is none. A
// schedule with a time zone of its own skips a local time that the change to
// summer time leaves out, as cron does; UTC, the default, has none.
func (c Cron) Next(t time.Time) time.Time {
	if c.inner == nil {
		return time.Time{}
	}
	next := c.inner.Next(t)
	if next.IsZero() || next.Sub(t) > horizon {
		return time.Time{}
	}
	return next.UTC()
}
