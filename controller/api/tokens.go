package api

import (
	"context"
	"math"
	"time"

	"github.com/secondline-ops/secondline/controller/access"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/internal/fault"
)

// Token is an API token as people see it: never its secret.
type Token struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Role      string    `json:"role"`
	Source    string    `json:"source"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	RevokedAt time.Time `json:"revoked_at,omitzero"`
}

// TokenList is all API tokens.
type TokenList struct {
	Tokens []Token `json:"tokens"`
}

// TokenRequest asks for an API token.
type TokenRequest struct {
	Name       string `json:"name"`
	Role       string `json:"role"`
	Source     string `json:"source"`      // for role webhook: the only source it may hand in for
	TTLSeconds int64  `json:"ttl_seconds"` // 0: it does not expire
}

// TokenMade is a new API token with its secret, which is shown this once.
type TokenMade struct {
	Token
	Secret string `json:"secret"`
}

func describeToken(t store.Token) Token {
	return Token{
		ID: access.TokenID(t), Name: t.Name, Role: t.Role, Source: t.Source,
		CreatedAt: t.CreatedAt.UTC(), ExpiresAt: t.ExpiresAt.UTC(), RevokedAt: t.RevokedAt.UTC(),
	}
}

func (s *Server) listTokens(c *call) (any, error) {
	found, err := s.o.Keeper.ListTokens(c.Context())
	if err != nil {
		return nil, err
	}
	return TokenList{Tokens: convert(found, describeToken)}, nil
}

func (s *Server) createToken(c *call) (any, error) {
	req, err := decode[TokenRequest](c)
	if err != nil {
		return nil, err
	}
	if req.TTLSeconds > math.MaxInt64/int64(time.Second) {
		return nil, fault.New(fault.Invalid, "no token lasts so long").WithField("ttl_seconds")
	}
	secret, t, err := s.o.Keeper.CreateToken(c.Context(), access.TokenSpec{
		Name: req.Name, Role: access.Role(req.Role), Source: req.Source, TTL: time.Duration(req.TTLSeconds) * time.Second,
	})
	if err != nil {
		return nil, err
	}
	return TokenMade{Token: describeToken(t), Secret: secret.Reveal()}, nil
}

func (s *Server) revokeToken(c *call) (any, error) {
	if _, err := decode[struct{}](c); err != nil {
		return nil, err
	}
	t, err := s.o.Keeper.RevokeToken(c.Context(), c.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return describeToken(t), nil
}

// ListTokens returns all API tokens.
func (c *Client) ListTokens(ctx context.Context) (TokenList, error) {
	return get[TokenList](ctx, c, "/v1/tokens", nil)
}

// CreateToken makes an API token.
func (c *Client) CreateToken(ctx context.Context, req TokenRequest) (TokenMade, error) {
	return post[TokenMade](ctx, c, "/v1/tokens", req)
}

// RevokeToken ends the API token with the id, or with the name if only one has it.
func (c *Client) RevokeToken(ctx context.Context, ref string) (Token, error) {
	return post[Token](ctx, c, at("/v1/tokens", ref, "revoke"), struct{}{})
}
