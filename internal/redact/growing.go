package redact

import (
	"slices"
	"sync"
	"sync/atomic"
)

// Growing is a redactor that learns secrets while it is in use: those of a run,
// which nobody knew when its server was opened. It is safe for concurrent use.
type Growing struct {
	base interface{ Redact(text []byte) []byte }

	mu      sync.Mutex // guards below
	secrets []string

	known atomic.Pointer[Redactor] // of secrets; nil while there are none
}

// NewGrowing returns a redactor that takes out what base does, and what it learns.
func NewGrowing(base interface{ Redact(text []byte) []byte }) *Growing { return &Growing{base: base} }

// Learn makes a secret known. When it returns, Redact finds it as New says.
func (g *Growing) Learn(s Secret) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if slices.Contains(g.secrets, s.Reveal()) {
		return
	}
	g.secrets = append(g.secrets, s.Reveal())
	g.known.Store(New(g.secrets...))
}

// Redact returns text with every recognised secret replaced by its mark. It
// never changes its argument.
func (g *Growing) Redact(text []byte) []byte {
	if known := g.known.Load(); known != nil {
		text = known.Redact(text)
	}
	return g.base.Redact(text)
}
