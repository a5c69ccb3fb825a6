package controller

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/secondline-ops/secondline/agent/job"
)

// subscriberBuffer is how many changes a slow watcher may lag behind before it
// is told to look at everything.
const subscriberBuffer = 64

// hub tells live views what changed. It loses changes rather than wait; a
// watcher that missed some gets "" and looks at everything.
type hub struct {
	mu sync.Mutex // guards below
	// watchers of incident ids, and bells of those who watch the activity for one incident.
	watchers map[chan string]struct{}
	bells    map[chan struct{}]string
	// doing is what an agent said last of each job that it has not reported yet; told counts what they said.
	doing map[string]activity
	told  int64
}

// activity is what an agent said last of a job. It is here only, and lost with
// the controller: the agent says it again.
type activity struct {
	job.Activity
	told int64 // when, in the order of what was told
}

// maxActivities bounds the jobs whose activity is known. Those that nobody ever
// reports (an agent is gone) make room for newer ones.
const maxActivities = 1024

func newHub() *hub {
	return &hub{watchers: map[chan string]struct{}{}, bells: map[chan struct{}]string{}, doing: map[string]activity{}}
}

func (h *hub) changed(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for ch := range h.watchers {
		select {
		case ch <- id:
			continue
		default:
		}
		select { // make room; only this function sends, so the room stays
		case <-ch:
		default:
		}
		ch <- ""
	}
}

// progress takes over what an agent does now, and never waits.
func (h *hub) progress(e job.Event) {
	if e.Doing == nil {
		return
	}
	bounded := e.Doing.Bounded()
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, known := h.doing[e.JobID]; !known && len(h.doing) >= maxActivities {
		oldest := slices.MinFunc(slices.Collect(maps.Keys(h.doing)), func(a, b string) int { return cmp.Compare(h.doing[a].told, h.doing[b].told) })
		delete(h.doing, oldest)
	}
	h.told++
	h.doing[e.JobID] = activity{bounded, h.told}
	h.ring(e.JobID)
}

// ended forgets the activity of a job that was reported.
func (h *hub) ended(jobID string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, known := h.doing[jobID]; known {
		delete(h.doing, jobID)
		h.ring(jobID)
	}
}

// ring is called with mu held. A bell that was not heard yet is not rung twice.
func (h *hub) ring(jobID string) {
	id, _, _ := strings.Cut(jobID, ".")
	for b, want := range h.bells {
		if want != id {
			continue
		}
		select {
		case b <- struct{}{}:
		default:
		}
	}
}

func (h *hub) activity(jobID string) job.Activity {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.doing[jobID].Activity
}

// subscribe returns ids of incidents that changed until ctx ends.
func (h *hub) subscribe(ctx context.Context) <-chan string {
	ch := make(chan string, subscriberBuffer)
	h.mu.Lock()
	h.watchers[ch] = struct{}{}
	h.mu.Unlock()
	context.AfterFunc(ctx, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.watchers, ch)
		close(ch)
	})
	return ch
}

// watchActivity returns a bell that rings when what is done for the incident
// may have changed, until ctx ends.
func (h *hub) watchActivity(ctx context.Context, incident string) <-chan struct{} {
	b := make(chan struct{}, 1)
	h.mu.Lock()
	h.bells[b] = incident
	h.mu.Unlock()
	context.AfterFunc(ctx, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.bells, b)
		close(b)
	})
	return b
}
