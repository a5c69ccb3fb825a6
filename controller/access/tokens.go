package access

import (
	"context"
	"strings"
	"time"
	"unicode"

	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/redact"
)

// Bounds of a token that people make.
const (
	maxTokenName = 100
	// tokenIDDigits of the hash name a token: too few to say anything about
	// the secret, enough not to meet twice.
	tokenIDDigits = 12
)

// TokenSpec is a token to be made.
type TokenSpec struct {
	Name   string // who it stands for
	Role   Role
	Source string        // for a webhook: the only source it may hand in for; "" any
	TTL    time.Duration // 0: it does not expire
}

// TokenID is what people call a stored token by.
func TokenID(t store.Token) string { return t.Hash[:min(len(t.Hash), tokenIDDigits)] }

// CreateToken makes and stores a token. The secret is returned this once.
func (k *Keeper) CreateToken(ctx context.Context, spec TokenSpec) (redact.Secret, store.Token, error) {
	switch {
	case strings.TrimSpace(spec.Name) == "" || len(spec.Name) > maxTokenName:
		return "", store.Token{}, fault.New(fault.Invalid, "a token needs a name of at most %d bytes", maxTokenName).WithField("name")
	case strings.TrimSpace(spec.Name) != spec.Name || strings.ContainsFunc(spec.Name, func(r rune) bool { return !unicode.IsGraphic(r) }):
		return "", store.Token{}, fault.New(fault.Invalid, "the name of a token has blanks around it, or what nobody can see").WithField("name")
	case !spec.Role.Valid():
		return "", store.Token{}, fault.New(fault.Invalid, "there is no role %q", spec.Role).WithField("role").
			WithHint("viewer, operator, engineer, admin or webhook")
	case spec.Source != "" && spec.Role != Webhook:
		return "", store.Token{}, fault.New(fault.Invalid, "only a webhook's token is for a source").WithField("source")
	case spec.TTL < 0:
		return "", store.Token{}, fault.New(fault.Invalid, "a token cannot have expired before it was made").WithField("ttl_seconds")
	}
	plain, hash, err := MakeToken(k.random)
	if err != nil {
		return "", store.Token{}, err
	}
	t := store.Token{Hash: hash, Name: spec.Name, Role: string(spec.Role), Source: spec.Source, CreatedAt: k.now()}
	if spec.TTL > 0 {
		t.ExpiresAt = t.CreatedAt.Add(spec.TTL)
	}
	return plain, t, k.tokens.SaveToken(ctx, t)
}

// ListTokens returns all tokens, also those that count no more, without the
// sessions that were made of them.
func (k *Keeper) ListTokens(ctx context.Context) ([]store.Token, error) {
	all, err := k.tokens.ListTokens(ctx)
	if err != nil {
		return nil, err
	}
	tokens := make([]store.Token, 0, len(all))
	for _, t := range all {
		if t.Parent == "" {
			tokens = append(tokens, t)
		}
	}
	return tokens, nil
}

// RevokeToken ends the token with the id, or the only one of that name that
// still counts; sessions made of it end with it. Once more is no error.
func (k *Keeper) RevokeToken(ctx context.Context, ref string) (store.Token, error) {
	all, err := k.ListTokens(ctx)
	if err != nil {
		return store.Token{}, err
	}
	var named []store.Token
	for _, t := range all {
		if TokenID(t) == ref {
			return k.revoke(ctx, t)
		}
		if t.Name == ref && t.RevokedAt.IsZero() {
			named = append(named, t)
		}
	}
	switch len(named) {
	case 0:
		return store.Token{}, fault.New(fault.NotFound, "there is no token %q", ref)
	case 1:
		return k.revoke(ctx, named[0])
	}
	return store.Token{}, fault.New(fault.Conflict, "%d tokens are named %q", len(named), ref).WithHint("name one by its id")
}

func (k *Keeper) revoke(ctx context.Context, t store.Token) (store.Token, error) {
	if t.RevokedAt.IsZero() {
		t.RevokedAt = k.now()
		return t, k.tokens.SaveToken(ctx, t)
	}
	return t, nil
}
