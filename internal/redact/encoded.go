package redact

import (
	"bytes"
	"encoding/base64"
	"regexp"
	"strings"
)

// encodedWindow is how much base64 around an announcement is decoded at most,
// to each side: what a hostile text can make of every literal.
const encodedWindow = 600

// encodedSecrets detect secrets in text that was URL-encoded or put into base64
// as a whole, such as the data of a Kubernetes Secret. holdsSecret is asked of
// what was decoded.
func encodedSecrets(holdsSecret func([]byte) bool) []detector {
	at := func(pattern string) func() *regexp.Regexp { return at(`(?i)` + pattern) }
	return []detector{
		{kind: "assignment", literals: secretNames(), follow: "%", pattern: at(`[a-z0-9_.-]{3,20}(?:%22)?(?:%20)*%3[AD](?:%20|%22)*((?:[^\s"'&%<>]|%[013-9a-f][0-9a-f]|%2[013-9a-f])+)`)},
		{kind: "url", literals: []string{"%3a%2f%2f"}, pattern: at(`%3A%2F%2F[^\s"'&<>/?#]*?%3A([^\s"'&<>/?#]+?)%40`)},
		{kind: "encoded", literals: base64Announcements(), special: func(text []byte, at int) (from, to int) { return base64Around(text, at, holdsSecret) }},
	}
}

// base64Announcements are what words that stand beside a secret look like in
// base64, at each of the three places in a group where they may begin.
func base64Announcements() []string {
	var out []string
	for _, word := range []string{
		"password", "Password", "PASSWORD", "passwd", "PASSWD", "secret", "SECRET", "Secret", "api_key", "API_KEY", "apikey", "_token", "_TOKEN", "token=", "token:", "TOKEN=", "\"token\"",
		"PRIVATE KEY", "AWS_ACCESS", "postgres://", "mysql://", "mongodb://", "mongodb+srv://", "redis://", "amqp://", "https://",
	} {
		for before := range 3 {
			source := append(make([]byte, before), word...)
			from, to := (before*8+5)/6, len(source)*8/6
			if to-from < 6 {
				continue
			}
			out = append(out, strings.ToLower(base64.RawStdEncoding.EncodeToString(source)[from:to]))
		}
	}
	return out
}

// base64Around returns the base64 around text[at], over the lines into which it
// is wrapped, if what it decodes to holds a secret.
func base64Around(text []byte, at int, holdsSecret func([]byte) bool) (from, to int) {
	from, to = base64Line(text, at)
	low, high := from, min(to, at+encodedWindow)
	if at-low > encodedWindow {
		low = at - encodedWindow - (at-encodedWindow-low)%4
	}
	// Of a path or a word before it, the end is not known: it may begin anywhere in a group.
	for shift := 0; shift < 4 && low+shift < high; shift++ {
		if holdsSecret(decoded(text[low+shift : high])) {
			return from, wrappedTo(text, from, to)
		}
	}
	return at, at
}

// base64Line returns the base64 around text[at] on its line.
func base64Line(text []byte, at int) (from, to int) {
	for from = at; from > 0 && isBase64(text[from-1]); from-- {
	}
	for to = at; to < len(text) && isBase64(text[to]); to++ {
	}
	for to < len(text) && text[to] == '=' {
		to++
	}
	return from, to
}

// wrappedTo returns where base64 ends of which text[from:to] is one line.
func wrappedTo(text []byte, from, to int) int {
	const shortestWrapped = 60 // PEM wraps at 64, MIME at 76
	for to-from >= shortestWrapped && to+1 < len(text) && text[to] == '\n' {
		first, last := base64Line(text, to+1)
		if first != to+1 || last < len(text) && text[last] != '\n' && text[last] != '\r' {
			break
		}
		from, to = first, last
	}
	return to
}

func isBase64(c byte) bool { return isAlphanumeric(c) || strings.IndexByte("+/-_", c) >= 0 }

func decoded(run []byte) []byte {
	run = bytes.TrimRight(run, "=")
	coding := base64.RawStdEncoding
	if bytes.ContainsAny(run, "-_") {
		coding = base64.RawURLEncoding
	}
	out := make([]byte, coding.DecodedLen(len(run)))
	n, _ := coding.Decode(out, run)
	return out[:n]
}
