package api

import (
	"context"
	"time"
)

// CatalogueInfo is where the causes and runbooks in force come from. Those that
// are shipped and those of folders are counted, too.
type CatalogueInfo struct {
	Git      *PinInfo  `json:"git"` // null when no commit is part of it
	Causes   int       `json:"causes"`
	Runbooks int       `json:"runbooks"`
	LoadedAt time.Time `json:"loaded_at"`
	// Problem says why the last reload changed nothing; "" when it did.
	Problem   string    `json:"problem"`
	ProblemAt time.Time `json:"problem_at,omitzero"`
}

// PinInfo is the commit that was put into force.
type PinInfo struct {
	Commit  string    `json:"commit"`
	Subject string    `json:"subject"`
	URL     string    `json:"url"`
	Ref     string    `json:"ref"`
	Path    string    `json:"path"`
	Digest  string    `json:"digest"` // of its files
	Signer  string    `json:"signer"` // "" when no signature was asked for
	At      time.Time `json:"at"`
	By      string    `json:"by"`
	Act     string    `json:"act"` // pulled, used, rolled_back
}

func (s *Server) catalogue(*call) (any, error) { return s.o.Service.Catalogue(), nil }

func (s *Server) reload(c *call) (any, error) {
	if err := s.o.Service.ReloadFor(c.Context(), c.who.Name); err != nil {
		return nil, err
	}
	return s.o.Service.Catalogue(), nil
}

// Catalogue returns where the causes and runbooks in force come from.
func (c *Client) Catalogue(ctx context.Context) (CatalogueInfo, error) {
	return get[CatalogueInfo](ctx, c, "/v1/catalogue", nil)
}

// Reload has the controller read its owner's files again, and returns what is in
// force then. With any mistake in them nothing changes, and that is the error.
func (c *Client) Reload(ctx context.Context) (CatalogueInfo, error) {
	return post[CatalogueInfo](ctx, c, "/v1/reload", struct{}{})
}
