package recording

import (
	"sync"
	"time"
)

// resolution is that of all times in a recording.
const resolution = time.Millisecond

// clock stands still between answers, while a recording is made as when it is
// played back: whoever works by it decides the same both times.
type clock struct {
	mu    sync.Mutex // guards below
	start time.Time
	now   time.Time
}

func newClock(start time.Time) *clock {
	start = start.UTC().Truncate(resolution)
	return &clock{start: start, now: start}
}

// Now returns the time of the last answer, or later when somebody slept since.
func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Start returns when the recording begins.
func (c *clock) Start() time.Time { return c.start }

// reach moves the clock to the time, never back, and returns where it stands.
func (c *clock) reach(t time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t = t.UTC().Truncate(resolution); t.After(c.now) {
		c.now = t
	}
	return c.now
}
