package job

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/secondline-ops/secondline/internal/fault"
)

// ServerName is the name in every controller's certificate. Agents check it in
// place of the address they dial, since the pinned authority is what they trust
// and an address may be behind a load balancer.
const ServerName = "controller.secondline.internal"

const tokenPrefix = "slj_"

// JoinToken is a one-time right to enrol, bound to one controller by the
// fingerprint of its authority. Its text is a secret; only Hash is stored.
type JoinToken struct {
	secret      string
	fingerprint string
}

// NewJoinToken makes a token for the authority with the fingerprint.
func NewJoinToken(fingerprint string) (JoinToken, error) {
	raw := make([]byte, 24) // 192 bits: nobody guesses it
	if _, err := rand.Read(raw); err != nil {
		return JoinToken{}, fmt.Errorf("make join token: %w", err)
	}
	return JoinToken{secret: base64.RawURLEncoding.EncodeToString(raw), fingerprint: fingerprint}, nil
}

// ParseJoinToken reads what Text wrote.
func ParseJoinToken(text string) (JoinToken, error) {
	body, ok := strings.CutPrefix(strings.TrimSpace(text), tokenPrefix)
	secret, fp, found := strings.Cut(body, ".")
	if !ok || !found || len(secret) != 32 || len(fp) != 40 {
		return JoinToken{}, fault.New(fault.Invalid, "this is not a join token").WithHint("make one on the controller: secondline agents enroll-token")
	}
	return JoinToken{secret: secret, fingerprint: fp}, nil
}

// Text is the token as a person carries it to the agent. It is a secret.
func (t JoinToken) Text() string { return tokenPrefix + t.secret + "." + t.fingerprint }

// String hides the token from logs.
func (t JoinToken) String() string { return "[redacted]" }

// Hash is what the controller stores.
func (t JoinToken) Hash() string { return HashJoinToken(t.Text()) }

// HashJoinToken is the stored form of a token's text.
func HashJoinToken(text string) string {
	sum := sha256.Sum256([]byte(strings.TrimSpace(text)))
	return hex.EncodeToString(sum[:])
}

// Pins reports whether the authority is the one that the token was made for.
func (t JoinToken) Pins(ca []byte) bool { return fingerprint(ca) == t.fingerprint }
