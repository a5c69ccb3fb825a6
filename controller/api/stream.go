package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/internal/fault"
)

// Bounds of a stream of events.
const (
	eventsAtOnce = 200
	// pollEvery is how long a change that another controller made may stay
	// unseen: only the store is shared. It also keeps proxies from hanging up.
	pollEvery = 5 * time.Second
	// streamFor ends a stream, so that whoever lost the right to look stops
	// looking. The follower comes again with the last number it saw.
	streamFor = 15 * time.Minute
	// writeWithin frees what a reader that stopped reading holds.
	writeWithin = 10 * time.Second
	// progressEvery bounds how often progress is looked at: faster than a person
	// reads, and one look at the store for each reader.
	progressEvery = 250 * time.Millisecond
)

// kindProgress is the name of the server-sent events that hold a Progress; all
// others hold an Event.
const kindProgress = "progress"

func (c *call) wantsStream() bool {
	return c.Method == http.MethodGet && strings.HasSuffix(c.URL.Path, "/events") &&
		strings.Contains(c.Header.Get("Accept"), "text/event-stream")
}

func (s *Server) events(c *call) (any, error) {
	if err := c.known("after", "limit"); err != nil {
		return nil, err
	}
	in, err := s.o.Service.FindIncident(c.Context(), c.PathValue("id"))
	if err != nil {
		return nil, err
	}
	after, err := c.number("after")
	if err != nil {
		return nil, err
	}
	if c.wantsStream() {
		if last := c.Header.Get("Last-Event-ID"); last != "" {
			if after, err = strconv.ParseInt(last, 10, 64); err != nil {
				return nil, fault.New(fault.Invalid, "Last-Event-ID %q is not a number", last).WithField("Last-Event-ID")
			}
		}
		return answered{}, s.stream(c, in.ID, after)
	}
	limit, err := c.limit()
	if err != nil {
		return nil, err
	}
	if limit == 0 {
		limit = maxPage
	}
	found, err := s.o.Service.ListEvents(c.Context(), in.ID, after, limit)
	if err != nil {
		return nil, err
	}
	return EventList{Events: convert(found, DescribeEvent)}, nil
}

// stream sends events as they happen, as server-sent events whose id is the
// sequence number.
func (s *Server) stream(c *call, id string, after int64) error {
	select {
	case s.streams <- struct{}{}:
		defer func() { <-s.streams }()
	default:
		return fault.New(fault.Overloaded, "%d streams are open", maxStreams)
	}
	out := NewStream(c.w)
	send := func(ctx context.Context) error {
		for {
			found, err := s.o.Service.ListEvents(ctx, id, after, eventsAtOnce)
			if err != nil {
				return err
			}
			for _, e := range found {
				if err := sendEvent(out, e); err != nil {
					return err
				}
				after = e.Seq
			}
			if len(found) < eventsAtOnce {
				return nil
			}
		}
	}
	var shown []byte
	out.Run(c.Context(), Watch{
		Incident: id, Changes: s.o.Service.Subscribe, Send: send,
		Activity: s.o.Service.WatchActivity, SendProgress: func(ctx context.Context) error { return s.sendProgress(ctx, out, id, &shown) },
	})
	return nil
}

// sendProgress sends what is done for the incident, unless it is shown already.
// The first is always sent: a follower that comes again may show what is over.
func (s *Server) sendProgress(ctx context.Context, out *Stream, id string, shown *[]byte) error {
	in, err := s.o.Service.FindIncident(ctx, id)
	if err != nil {
		return err
	}
	now, err := json.Marshal(ProgressOf(in, s.o.Service))
	if err != nil {
		return fmt.Errorf("encode progress: %w", err)
	}
	if bytes.Equal(now, *shown) {
		return nil
	}
	*shown = now
	return out.Send("", kindProgress, now)
}

func sendEvent(out *Stream, e incident.Event) error {
	data, err := json.Marshal(DescribeEvent(e))
	if err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	return out.Send(strconv.FormatInt(e.Seq, 10), string(e.Kind), data)
}

// Stream writes server-sent events to one reader.
type Stream struct {
	w  http.ResponseWriter
	rc *http.ResponseController
}

// NewStream begins the answer.
func NewStream(w http.ResponseWriter) *Stream {
	s := &Stream{w: w, rc: http.NewResponseController(w)}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // nginx would hold it back
	_ = s.rc.SetReadDeadline(time.Time{})
	w.WriteHeader(http.StatusOK)
	_ = s.flush() // a reader that is gone is noticed by the first Send
	return s
}

// Send writes one event. data must hold no line break, as JSON does not. One
// without an id leaves the reader's place as it is.
func (s *Stream) Send(id, event string, data []byte) error {
	_ = s.rc.SetWriteDeadline(time.Now().Add(writeWithin)) // not every ResponseWriter can
	if id != "" {
		id = "id: " + id + "\n"
	}
	if _, err := fmt.Fprintf(s.w, "%sevent: %s\ndata: %s\n\n", id, event, data); err != nil {
		return fmt.Errorf("send event: %w", err)
	}
	return s.flush()
}

func (s *Stream) ping() error {
	_ = s.rc.SetWriteDeadline(time.Now().Add(writeWithin)) // not every ResponseWriter can
	if _, err := fmt.Fprint(s.w, ": \n\n"); err != nil {
		return fmt.Errorf("ping: %w", err)
	}
	return s.flush()
}

func (s *Stream) flush() error { return s.rc.Flush() }

// Watch is what a Stream waits for, and what it sends then.
type Watch struct {
	Incident string // "" for any
	// Changes tells which incidents changed; Send then sends what is new.
	Changes func(ctx context.Context) <-chan string
	Send    func(ctx context.Context) error
	// Activity rings when what is done for the incident may have changed, and
	// SendProgress sends it. Both nil: nobody asks.
	Activity     func(ctx context.Context, incidentID string) <-chan struct{}
	SendProgress func(ctx context.Context) error
}

// Run sends at once, whenever the incident changes, and in each poll, until the
// reader is gone or the stream has lasted long enough. A reader that is slow
// misses progress; what changed meanwhile is still sent.
func (s *Stream) Run(ctx context.Context, w Watch) {
	ctx, cancel := context.WithTimeout(ctx, streamFor)
	defer cancel()
	changes := w.Changes(ctx) // before the first look, so that nothing falls between
	if w.Activity == nil {
		w.SendProgress = func(context.Context) error { return nil }
	}
	var rings <-chan struct{}
	if w.Activity != nil {
		rings = w.Activity(ctx, w.Incident)
	}
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	send := w.Send
	for {
		if send(ctx) != nil || w.SendProgress(ctx) != nil {
			return
		}
		switch s.await(ctx, w.Incident, changes, rings, tick.C) {
		case nothing:
			return
		case change:
			send = w.Send
		case ring:
			send = func(ctx context.Context) error { return sleep(ctx, progressEvery) }
		}
	}
}

// wake is why a stream goes on.
type wake int

const (
	nothing wake = iota // it does not
	change
	ring
)

// await returns when it is time to look again.
func (s *Stream) await(ctx context.Context, id string, changes <-chan string, rings <-chan struct{}, tick <-chan time.Time) wake {
	for {
		select {
		case <-ctx.Done():
			return nothing
		case <-tick:
			if s.ping() != nil {
				return nothing
			}
			return change
		case _, ok := <-rings:
			if !ok {
				return nothing
			}
			return ring
		case changed, ok := <-changes:
			if !ok {
				return nothing
			}
			if changed == "" || id == "" || changed == id {
				return change
			}
		}
	}
}

// sleep waits; its error is that of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
