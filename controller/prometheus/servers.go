package prometheus

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Servers are the configured servers with the rules that each has said last.
// Looking rules up asks nobody: decisions do it. It is safe for concurrent use;
// nil has no servers.
type Servers struct {
	clients []*Client

	mu sync.RWMutex // guards below
	// rules of each client, by the name of the alert; nil for one that was never read.
	rules []map[string][]Rule
}

// NewServers returns the servers, of whose rules nothing is known yet.
func NewServers(clients ...*Client) *Servers {
	return &Servers{clients: clients, rules: make([]map[string][]Rule, len(clients))}
}

// Inherit takes over what another set knows of the rules of the same servers,
// so that a reload forgets nothing.
func (s *Servers) Inherit(before *Servers) {
	if s == nil || before == nil || s == before {
		return
	}
	before.mu.RLock()
	defer before.mu.RUnlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, c := range s.clients {
		for j, old := range before.clients {
			if s.rules[i] == nil && old.Name() == c.Name() {
				s.rules[i] = before.rules[j]
			}
		}
	}
}

// Refresh reads the rules of all servers at once. What a server does not say
// stays as it was.
func (s *Servers) Refresh(ctx context.Context) error {
	if s == nil {
		return nil
	}
	errs := make([]error, len(s.clients))
	var wait sync.WaitGroup
	for i, c := range s.clients {
		wait.Go(func() {
			list, err := c.Rules(ctx)
			if err != nil {
				errs[i] = err
				return
			}
			byName := map[string][]Rule{}
			for _, r := range list {
				byName[r.Alert] = append(byName[r.Alert], r)
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			s.rules[i] = byName
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}

// HeldFor returns how long the expression of an alert with the labels had to
// hold before it fired. It is not ok when no rule, or rules with different
// times, can have fired it.
func (s *Servers) HeldFor(labels map[string]string) (held time.Duration, ok bool) {
	candidates, _ := s.candidates(labels)
	for i, c := range candidates {
		if i > 0 && c.rule.For != held {
			return 0, false
		}
		held, ok = c.rule.For, true
	}
	return held, ok
}

// MayKnow reports whether a server has a rule for alerts of the name, or may
// have one: it was not read yet.
func (s *Servers) MayKnow(alert string) bool {
	if s == nil || alert == "" {
		return false
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, rules := range s.rules {
		if rules == nil || len(rules[alert]) > 0 {
			return true
		}
	}
	return false
}

// candidate is a rule that may have fired an alert, and who evaluates it.
type candidate struct {
	client *Client
	rule   Rule
}

// candidates returns them, and the servers that were never read.
func (s *Servers) candidates(labels map[string]string) (found []candidate, unread []*Client) {
	if s == nil {
		return nil, nil
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for i, rules := range s.rules {
		if rules == nil {
			unread = append(unread, s.clients[i])
		}
		for _, r := range rules[labels["alertname"]] {
			if r.mayHaveFired(labels) {
				found = append(found, candidate{s.clients[i], r})
			}
		}
	}
	return found, unread
}
