package controller

import (
	"context"
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
	// watchers of incident ids, and of progress of one incident.
	watchers map[chan string]struct{}
	steps    map[chan Progress]string
}

// Progress is what an agent is doing right now, for live views. It is not kept.
type Progress struct {
	Incident string
	Agent    string
	Event    job.Event
}

func newHub() *hub {
	return &hub{watchers: map[chan string]struct{}{}, steps: map[chan Progress]string{}}
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

func (h *hub) progress(agent string, e job.Event) {
	id, _, _ := strings.Cut(e.JobID, ".")
	h.mu.Lock()
	defer h.mu.Unlock()
	for ch, want := range h.steps {
		if want != "" && want != id {
			continue
		}
		select {
		case ch <- Progress{Incident: id, Agent: agent, Event: e}:
		default:
		}
	}
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

// follow returns progress of the incident ("" for all) until ctx ends.
func (h *hub) follow(ctx context.Context, incident string) <-chan Progress {
	ch := make(chan Progress, subscriberBuffer)
	h.mu.Lock()
	h.steps[ch] = incident
	h.mu.Unlock()
	context.AfterFunc(ctx, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.steps, ch)
		close(ch)
	})
	return ch
}
