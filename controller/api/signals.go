package api

import (
	"mime"
	"net/http"

	"github.com/secondline-ops/secondline/controller/access"
	"github.com/secondline-ops/secondline/controller/store"
)

// rawBodies is who may see what a source sent, byte for byte. Signals are
// redacted; a raw body holds the passwords that somebody put into an alert.
const rawBodies = access.Engineer

// takeSignals hands a delivery to intake, if the token is for its source.
func (s *Server) takeSignals(c *call) (any, error) {
	if err := c.who.MayPost(c.PathValue("source")); err != nil {
		return nil, err
	}
	c.Body = http.MaxBytesReader(c.w, c.Body, maxSignalBytes)
	s.o.Intake.ServeHTTP(c.w, c.Request)
	return answered{}, nil
}

func (s *Server) listSignals(c *call) (any, error) {
	if err := c.known("incident", "source", "limit", "cursor"); err != nil {
		return nil, err
	}
	limit, err := c.limit()
	if err != nil {
		return nil, err
	}
	q := c.URL.Query()
	ref := q.Get("incident")
	if ref != "" {
		in, err := s.o.Service.FindIncident(c.Context(), ref)
		if err != nil {
			return nil, err
		}
		ref = in.ID
	}
	found, next, err := s.o.Service.ListSignals(c.Context(), store.SignalFilter{
		Incident: ref, Source: q.Get("source"), Limit: limit, Cursor: q.Get("cursor"),
	})
	if err != nil {
		return nil, err
	}
	return SignalList{Signals: convert(found, describeSignal), NextCursor: next}, nil
}

func (s *Server) findSignal(c *call) (any, error) {
	found, err := s.o.Service.FindSignal(c.Context(), c.PathValue("id"))
	if err != nil {
		return nil, err
	}
	out := describeSignal(found)
	// The body may be gone: it is kept for a shorter time than the signal.
	if body, err := s.o.Service.FindBody(c.Context(), found.BodyID); err == nil {
		out.Body = describeBody(body)
		if c.who.May(rawBodies) != nil {
			out.Body.Data, out.Body.Withheld = []byte{}, true
		}
	}
	return out, nil
}

// rawBody sends what the stranger sent, as a file that no browser shows.
func (s *Server) rawBody(c *call) (any, error) {
	found, err := s.o.Service.FindSignal(c.Context(), c.PathValue("id"))
	if err != nil {
		return nil, err
	}
	body, err := s.o.Service.FindBody(c.Context(), found.BodyID)
	if err != nil {
		return nil, err
	}
	c.w.Header().Set("Content-Type", "application/octet-stream")
	c.w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": body.ID}))
	_, _ = c.w.Write(body.Data) // the caller is gone when this goes wrong
	return answered{}, nil
}

func (s *Server) signalWhy(c *call) (any, error) {
	w, err := s.o.Service.SignalWhy(c.Context(), c.PathValue("id"))
	return w.whole(), err
}
