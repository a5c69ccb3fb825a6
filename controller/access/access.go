// Package access knows who calls and what they may do: roles, API tokens and
// the browser sessions made of them. Only hashes are stored; what a token may
// touch beyond its role (labels, effect classes) is not covered yet.
//
// The one thing to know: a token comes in a header and is never accepted from
// a cookie, a session comes in a cookie and is never accepted from a header.
// So a page of another site can make a browser send at most a session, and
// those are guarded against cross-origin requests where pages are served.
package access

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/redact"
)

// Role is what somebody may do.
type Role string

// The roles. Each of the first four may do what those before it may; a webhook
// may hand in signals and nothing else.
const (
	Viewer   Role = "viewer"   // look
	Operator Role = "operator" // L2: work on incidents, start and approve runs
	Engineer Role = "engineer" // L3: also approve what cannot be undone, and see raw bodies
	Admin    Role = "admin"    // also enrol and revoke agents
	Webhook  Role = "webhook"  // hand in signals
)

// rank orders the roles of people; 0 is no person.
func (r Role) rank() int {
	switch r {
	case Viewer:
		return 1
	case Operator:
		return 2
	case Engineer:
		return 3
	case Admin:
		return 4
	case Webhook:
		return 0
	}
	return 0
}

// Valid reports whether the role exists.
func (r Role) Valid() bool { return r == Webhook || r.rank() > 0 }

// May reports whether the role includes what need stands for. People do not
// include webhook: a token that leaks from a monitoring system must not be one
// that approves, and the other way round a person's need not be spread there.
// An admin may hand in signals by hand, to try them.
func (r Role) May(need Role) bool {
	if need == Webhook {
		return r == Webhook || r == Admin
	}
	return need.rank() > 0 && r.rank() >= need.rank()
}

// Identity is who calls.
type Identity struct {
	Name   string // without "person:" or "source:"
	Role   Role
	Source string // for a webhook: the only source it may hand in for; "" any
}

// May is nil when the identity may do what the role stands for, else a fault
// of kind Denied.
func (i Identity) May(need Role) error {
	if i.Role.May(need) {
		return nil
	}
	return fault.New(fault.Denied, "%s is %s, and this needs %s", i.Name, i.Role, need)
}

// MayPost is nil when the identity may hand in signals of the source. A token
// for "generic" may use "generic/anything".
func (i Identity) MayPost(source string) error {
	if err := i.May(Webhook); err != nil {
		return err
	}
	if i.Source == "" || source == i.Source || strings.HasPrefix(source, i.Source+"/") {
		return nil
	}
	return fault.New(fault.Denied, "this token is for source %s only", i.Source)
}

// Prefixes make a leaked secret recognisable, to people and to scanners.
const (
	tokenPrefix   = "slt_"
	sessionPrefix = "sls_"
	// secretBytes of randomness cannot be guessed, so that a plain SHA-256 is
	// enough of a hash: stretching only helps secrets that people choose.
	secretBytes = 32
	// maxSecret bounds what is hashed of what a stranger sends.
	maxSecret = 200
)

// MakeToken makes a new token and the hash under which it is stored.
func MakeToken(random io.Reader) (plain redact.Secret, hash string, err error) {
	return makeSecret(random, tokenPrefix)
}

func makeSecret(random io.Reader, prefix string) (redact.Secret, string, error) {
	raw := make([]byte, secretBytes)
	if _, err := io.ReadFull(random, raw); err != nil {
		return "", "", fmt.Errorf("make a secret: %w", err)
	}
	plain := prefix + base64.RawURLEncoding.EncodeToString(raw)
	return redact.Secret(plain), Hash(plain), nil
}

// Hash returns what is stored of a token.
func Hash(plain string) string {
	sum := sha256.Sum256([]byte(plain))
	return hex.EncodeToString(sum[:])
}

// alive says why a stored token does not count any more; nil when it does.
func alive(t store.Token, now time.Time) error {
	switch {
	case !t.RevokedAt.IsZero():
		return fault.New(fault.Unauthenticated, "the token was revoked")
	case !t.ExpiresAt.IsZero() && !now.Before(t.ExpiresAt):
		return fault.New(fault.Unauthenticated, "the token has expired")
	case !Role(t.Role).Valid():
		return fault.New(fault.Unauthenticated, "the token has no role that is known")
	}
	return nil
}

func identityOf(t store.Token) Identity {
	name := t.Name
	for _, prefix := range []string{"person:", "source:"} {
		name = strings.TrimPrefix(name, prefix)
	}
	return Identity{Name: name, Role: Role(t.Role), Source: t.Source}
}
