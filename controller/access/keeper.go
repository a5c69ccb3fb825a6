package access

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/redact"
)

// SessionCookie is the name of the cookie that holds a browser session.
const SessionCookie = "secondline_session"

// SessionFor is how long a browser stays signed in.
const SessionFor = 12 * time.Hour

// Tokens is the part of the store that a Keeper needs.
type Tokens interface {
	SaveToken(ctx context.Context, t store.Token) error
	FindToken(ctx context.Context, hash string) (store.Token, error)
	ListTokens(ctx context.Context) ([]store.Token, error)
}

// Keeper tells who calls. It is safe for concurrent use.
type Keeper struct {
	tokens Tokens
	random io.Reader
	now    func() time.Time
}

// NewKeeper returns a Keeper over the stored tokens. random must be a
// cryptographic source.
func NewKeeper(tokens Tokens, random io.Reader, now func() time.Time) *Keeper {
	return &Keeper{tokens: tokens, random: random, now: now}
}

// Authenticate says who sent the request with its Authorization header, as
// "Bearer TOKEN" or as basic auth with the token as password (Alertmanager can
// send either). It refuses with Unauthenticated, or with Overloaded an address
// that failed too often.
func (k *Keeper) Authenticate(r *http.Request) (Identity, error) {
	plain, ok := headerToken(r.Header.Get("Authorization"))
	if !ok {
		return Identity{}, fault.New(fault.Unauthenticated, "this needs a token").
			WithHint("send the header Authorization: Bearer slt_...")
	}
	t, err := k.check(r, plain, tokenPrefix)
	if err != nil {
		return Identity{}, err
	}
	return identityOf(t), nil
}

// Session says who a browser is signed in as.
func (k *Keeper) Session(r *http.Request) (Identity, error) {
	cookie, err := r.Cookie(SessionCookie)
	if err != nil {
		return Identity{}, fault.New(fault.Unauthenticated, "you are not signed in")
	}
	t, err := k.check(r, cookie.Value, sessionPrefix)
	if err != nil {
		return Identity{}, err
	}
	return identityOf(t), nil
}

// SignIn makes a session of a person's token.
func (k *Keeper) SignIn(r *http.Request, token string) (*http.Cookie, Identity, error) {
	parent, err := k.check(r, strings.TrimSpace(token), tokenPrefix)
	if err != nil {
		return nil, Identity{}, err
	}
	who := identityOf(parent)
	if err := who.May(Viewer); err != nil {
		return nil, Identity{}, fault.New(fault.Denied, "this token hands in signals; it is not for people")
	}
	plain, hash, err := makeSecret(k.random, sessionPrefix)
	if err != nil {
		return nil, Identity{}, err
	}
	now := k.now()
	session := store.Token{
		Hash: hash, Name: parent.Name, Role: parent.Role, Parent: parent.Hash, CreatedAt: now, ExpiresAt: now.Add(SessionFor),
	}
	if err := k.tokens.SaveToken(r.Context(), session); err != nil {
		return nil, Identity{}, fmt.Errorf("save the session: %w", err)
	}
	return sessionCookie(r, plain, int(SessionFor/time.Second)), who, nil
}

// SignOut ends the session, here and for whoever copied the cookie. The cookie
// it returns deletes the browser's.
func (k *Keeper) SignOut(r *http.Request) (*http.Cookie, error) {
	gone := sessionCookie(r, "", -1)
	cookie, err := r.Cookie(SessionCookie)
	if err != nil {
		return gone, nil //nolint:nilerr // nobody is signed in: that is what was asked for
	}
	t, err := k.check(r, cookie.Value, sessionPrefix)
	if err != nil {
		return gone, nil //nolint:nilerr // a session that does not count needs no end
	}
	t.RevokedAt = k.now()
	if err := k.tokens.SaveToken(r.Context(), t); err != nil {
		return gone, fmt.Errorf("end the session: %w", err)
	}
	return gone, nil
}

// sessionCookie is not sent by links and forms of other sites, not readable by
// scripts, and only over TLS where the page came over TLS. Plain HTTP is for
// loopback, and for a proxy that ends TLS in front, which says so.
func sessionCookie(r *http.Request, value redact.Secret, maxAge int) *http.Cookie {
	return &http.Cookie{ //nolint:gosec // Secure would lose the session on plain loopback
		Name: SessionCookie, Value: value.Reveal(), Path: "/", MaxAge: maxAge, HttpOnly: true, SameSite: http.SameSiteStrictMode,
		Secure: r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https",
	}
}

// check finds the stored token of the secret. All ways in which it may fail
// look the same to the caller but for a token that is known and over. Looking
// up a hash tells nothing of the secret by its timing. Wrong tokens are not
// counted against their address: 256 random bits are not guessed, a look-up is
// one read by its key, and behind a proxy everybody has the same address.
func (k *Keeper) check(r *http.Request, plain, prefix string) (store.Token, error) {
	hash := ""
	if strings.HasPrefix(plain, prefix) && len(plain) <= maxSecret {
		hash = Hash(plain)
	}
	return k.find(r.Context(), hash, prefix)
}

func (k *Keeper) find(ctx context.Context, hash, prefix string) (store.Token, error) {
	wrong := fault.New(fault.Unauthenticated, "the token is not known")
	if hash == "" {
		return store.Token{}, wrong
	}
	t, err := k.tokens.FindToken(ctx, hash)
	if fault.Is(err, fault.NotFound) {
		return store.Token{}, wrong
	}
	if err != nil {
		return store.Token{}, fmt.Errorf("look up the token: %w", err)
	}
	if (t.Parent != "") != (prefix == sessionPrefix) {
		return store.Token{}, wrong
	}
	now := k.now()
	if err := alive(t, now); err != nil || t.Parent == "" {
		return t, err
	}
	// A session ends with the token that it was made of.
	parent, err := k.tokens.FindToken(ctx, t.Parent)
	if fault.Is(err, fault.NotFound) {
		return store.Token{}, wrong
	}
	if err != nil {
		return store.Token{}, fmt.Errorf("look up the token of a session: %w", err)
	}
	t.Role = parent.Role
	return t, alive(parent, now)
}

func headerToken(header string) (string, bool) {
	scheme, rest, _ := strings.Cut(header, " ")
	rest = strings.TrimSpace(rest)
	switch strings.ToLower(scheme) {
	case "bearer":
		return rest, rest != ""
	case "basic":
		raw, err := base64.StdEncoding.DecodeString(rest)
		if err != nil {
			return "", false
		}
		_, password, ok := strings.Cut(string(raw), ":")
		return password, ok && password != ""
	}
	return "", false
}
