package access

import (
	"sync"
	"time"
)

// Bounds of failed look-ups: what one address may try in a window, and how
// much is remembered at all.
const (
	failuresAllowed  = 20
	failuresWindow   = time.Minute
	maxAddresses     = 10_000
	maxGoodSecrets   = 1_000
	rememberGoodness = 10 * time.Minute
)

// limiter slows down whoever tries tokens. A secret that worked lately passes
// even from an address that failed too often, so that a guesser behind a proxy
// does not lock out the monitoring that comes through the same proxy.
type limiter struct {
	now func() time.Time

	mu sync.Mutex // guards below
	// tries by address, and when a secret (by its hash) worked last.
	tries map[string]tries
	good  map[string]time.Time
}

type tries struct {
	since time.Time
	n     int
}

func newLimiter(now func() time.Time) *limiter {
	return &limiter{now: now, tries: map[string]tries{}, good: map[string]time.Time{}}
}

func (l *limiter) allows(from, hash string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	t := l.tries[from]
	if t.n < failuresAllowed || now.Sub(t.since) >= failuresWindow {
		return true
	}
	at, ok := l.good[hash]
	return ok && now.Sub(at) < rememberGoodness
}

func (l *limiter) failed(from, hash string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	delete(l.good, hash)
	t := l.tries[from]
	if now.Sub(t.since) >= failuresWindow {
		t = tries{since: now}
	}
	t.n++
	if len(l.tries) >= maxAddresses {
		clear(l.tries) // a flood from everywhere; forgetting is harmless, growing is not
	}
	l.tries[from] = t
}

func (l *limiter) passed(hash string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.good) >= maxGoodSecrets {
		clear(l.good)
	}
	l.good[hash] = l.now()
}
