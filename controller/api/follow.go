package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/internal/fault"
)

// Bounds of following.
const (
	maxEventBytes  = 4 << 20
	followAgainMin = 200 * time.Millisecond
	followAgainMax = 10 * time.Second
	// silentFor is when a stream counts as dead: the server says something in
	// each pollEvery, even if only that nothing happened.
	silentFor = 6 * pollEvery
)

// Follow calls do for each event of the incident after the sequence number, in
// order and once each, and goes on until do returns an error (which Follow
// returns), ctx ends, or the server says that following is no use (no such
// incident, not allowed). A lost connection is made again.
func (c *Client) Follow(ctx context.Context, ref string, afterSeq int64, do func(Event) error) error {
	return c.FollowLive(ctx, ref, afterSeq, Follower{Event: do})
}

// Follower is who follows an incident. Its functions are called one at a time.
type Follower struct {
	Event func(Event) error
	// Progress is shown what agents do, when it changes; some is left out when
	// much happens. It is shown that nothing is done, too. May be nil.
	Progress func(Progress)
}

// FollowLive is Follow for those who also watch what is being done.
func (c *Client) FollowLive(ctx context.Context, ref string, afterSeq int64, f Follower) error {
	pause := followAgainMin
	for {
		before := afterSeq
		err := c.followOnce(ctx, ref, &afterSeq, f)
		if stop, ok := errors.AsType[*stopError](err); ok {
			return stop.err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if fault.KindOf(err) != "" && !fault.Retryable(fault.KindOf(err)) {
			return err
		}
		if afterSeq > before || err == nil {
			pause = followAgainMin
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		pause = min(2*pause, followAgainMax)
	}
}

// stopError carries what do returned.
type stopError struct{ err error }

func (s *stopError) Error() string { return s.err.Error() }
func (s *stopError) Unwrap() error { return s.err }

func (c *Client) followOnce(ctx context.Context, ref string, seq *int64, f Follower) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	req, err := c.request(ctx, http.MethodGet, at("/v1/incidents", ref, "events"), nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Last-Event-ID", strconv.FormatInt(*seq, 10))
	resp, err := c.exchange(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	watchdog := time.AfterFunc(silentFor, cancel)
	defer watchdog.Stop()
	err = readStream(resp.Body, func() { watchdog.Reset(silentFor) }, func(kind string, data []byte) error {
		if kind == kindProgress {
			return f.showProgress(data)
		}
		var e Event
		if err := json.Unmarshal(data, &e); err != nil {
			return fault.Wrap(fault.Internal, err, "understand an event")
		}
		if e.Seq <= *seq {
			return nil
		}
		if err := f.Event(e); err != nil {
			return &stopError{err}
		}
		*seq = e.Seq
		return nil
	})
	if _, ok := errors.AsType[*stopError](err); ok || fault.Is(err, fault.TooLarge) {
		return err
	}
	if err != nil {
		return fault.Wrap(fault.Transient, err, "read events")
	}
	return nil
}

func (f Follower) showProgress(data []byte) error {
	if f.Progress == nil {
		return nil
	}
	var p Progress
	if err := json.Unmarshal(data, &p); err != nil {
		return fault.Wrap(fault.Internal, err, "understand progress")
	}
	f.Progress(p)
	return nil
}

// readStream calls data for the name and data of each server-sent event (WHATWG HTML,
// section 9.2.6), and line for each line, until the stream ends. An event
// that the stream ends within is dropped, as the standard says.
func readStream(r io.Reader, line func(), data func(kind string, data []byte) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4096), maxEventBytes)
	var event []byte
	has, kind := false, ""
	for lines.Scan() {
		line()
		text := lines.Text()
		if text == "" {
			if has {
				if err := data(kind, event); err != nil {
					return err
				}
			}
			event, has, kind = nil, false, ""
			continue
		}
		name, value, _ := strings.Cut(text, ":")
		if name == "event" {
			kind = strings.TrimPrefix(value, " ")
		}
		if name != "data" {
			continue // ids are in the data; a line that begins with a colon is a ping
		}
		if has {
			event = append(event, '\n')
		}
		event, has = append(event, strings.TrimPrefix(value, " ")...), true
		if len(event) > maxEventBytes {
			return fault.New(fault.TooLarge, "an event has more than %d bytes", maxEventBytes)
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return fault.New(fault.TooLarge, "an event has more than %d bytes", maxEventBytes)
	}
	return lines.Err()
}
