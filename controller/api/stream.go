package api

import (
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
)

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
	out.Run(c.Context(), s.o.Service.Subscribe, id, send)
	return nil
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

// Send writes one event. data must hold no line break, as JSON does not.
func (s *Stream) Send(id, event string, data []byte) error {
	_ = s.rc.SetWriteDeadline(time.Now().Add(writeWithin)) // not every ResponseWriter can
	if _, err := fmt.Fprintf(s.w, "id: %s\nevent: %s\ndata: %s\n\n", id, event, data); err != nil {
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

// Run calls send at once, whenever the incident ("" for any) changes, and in
// each poll, until the reader is gone or the stream has lasted long enough.
func (s *Stream) Run(ctx context.Context, subscribe func(context.Context) <-chan string, id string, send func(context.Context) error) {
	ctx, cancel := context.WithTimeout(ctx, streamFor)
	defer cancel()
	changes := subscribe(ctx) // before the first look, so that nothing falls between
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if send(ctx) != nil {
			return
		}
		if !s.await(ctx, changes, tick.C, id) {
			return
		}
	}
}

// await returns when it is time to look again; false when it is over.
func (s *Stream) await(ctx context.Context, changes <-chan string, tick <-chan time.Time, id string) bool {
	for {
		select {
		case <-ctx.Done():
			return false
		case <-tick:
			return s.ping() == nil
		case changed, ok := <-changes:
			if !ok {
				return false
			}
			if changed == "" || id == "" || changed == id {
				return true
			}
		}
	}
}
