package api

import (
	"time"

	"github.com/secondline-ops/secondline/internal/fault"
)

// How long a one-time token for an agent may wait for its use.
const (
	defaultEnrolTTL = time.Hour
	maxEnrolTTL     = 7 * 24 * time.Hour
)

func (s *Server) listAgents(c *call) (any, error) {
	found, err := s.o.Service.ListAgents(c.Context())
	if err != nil {
		return nil, err
	}
	connected := s.o.Service.Connected()
	out := AgentList{Agents: []Agent{}}
	for _, a := range found {
		out.Agents = append(out.Agents, describeAgent(a, connected[a.ID]))
	}
	return out, nil
}

func (s *Server) listChecks(c *call) (any, error) {
	found, err := s.o.Service.ListChecks(c.Context())
	if err != nil {
		return nil, err
	}
	return CheckList{Checks: convert(found, describeCheck)}, nil
}

func (s *Server) enrolToken(c *call) (any, error) {
	req, err := decode[EnrolRequest](c)
	if err != nil {
		return nil, err
	}
	ttl := time.Duration(req.TTLSeconds) * time.Second
	if ttl == 0 {
		ttl = defaultEnrolTTL
	}
	if ttl < 0 || ttl > maxEnrolTTL {
		return nil, fault.New(fault.Invalid, "a token for enrolment lasts at most %s", maxEnrolTTL).WithField("ttl_seconds")
	}
	expires := s.o.Now().Add(ttl).UTC()
	token, err := s.o.Service.EnrolToken(c.Context(), req.Agent, ttl, c.who.Name)
	if err != nil {
		return nil, err
	}
	return EnrolToken{Token: token, ExpiresAt: expires}, nil
}

func (s *Server) revokeAgent(c *call) (any, error) {
	if _, err := decode[struct{}](c); err != nil {
		return nil, err
	}
	if err := s.o.Service.RevokeAgent(c.Context(), c.PathValue("id"), c.who.Name); err != nil {
		return nil, err
	}
	return s.listAgents(c)
}
