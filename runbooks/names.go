package runbooks

import "strings"

// What names look like, as the schema says it. Here they are looked at without
// these: to compile them takes as long as to read a small runbook, and the
// package keeps nothing compiled.
const (
	slugPattern = `^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`
	namePattern = `^[a-z][a-z0-9_]{0,62}$`
	userPattern = `^[a-z_][a-z0-9_-]{0,31}$` // useradd(8)
)

const (
	lowerLetters = "abcdefghijklmnopqrstuvwxyz"
	digits       = "0123456789"
)

// isSlug reports whether s matches slugPattern.
func isSlug(s string) bool {
	return consists(s, lowerLetters+digits, lowerLetters+digits+"-", 63) && !strings.HasSuffix(s, "-")
}

// isName reports whether s matches namePattern.
func isName(s string) bool { return consists(s, lowerLetters, lowerLetters+digits+"_", 63) }

// isUser reports whether s matches userPattern.
func isUser(s string) bool { return consists(s, lowerLetters+"_", lowerLetters+digits+"_-", 32) }

// consists reports whether s begins with one of the bytes of first, and has only
// those of rest behind it.
func consists(s, first, rest string, longest int) bool {
	if s == "" || len(s) > longest || strings.IndexByte(first, s[0]) < 0 {
		return false
	}
	for i := 1; i < len(s); i++ {
		if strings.IndexByte(rest, s[i]) < 0 {
			return false
		}
	}
	return true
}
