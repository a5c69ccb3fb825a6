package redact

import (
	"bytes"
	"math"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// How many bytes a pattern may look at that goes over lines.
const (
	someLines = 1000
	unlimited = math.MaxInt
)

// lookBehind bounds how much text before a literal a detector looks at.
const lookBehind = 300

// detector finds one kind of secret. Wherever one of its literals stands, its
// pattern is tried there; the first group that matched holds the secret.
//
// A hostile text must cost about its length: what can match without a secret
// being found must be short, and the cheap checks come before the pattern.
type detector struct {
	kind     string
	literals []string                                 // lower case, at least prefixLen bytes
	follow   string                                   // one of these bytes follows the literal; "" for any
	before   func(text []byte, at int) bool           // what stands before the literal; nil for anything
	after    func(text []byte, end int) bool          // what stands behind the literal; nil for anything
	reach    int                                      // how many bytes the pattern may look at; 0: the rest of the line
	pattern  func() *regexp.Regexp                    // starts at the literal
	pass     func(text []byte, from, to int) bool     // true: it only looks like a secret
	special  func(text []byte, at int) (from, to int) // in place of pattern
}

// find returns where the secret is that the literal at text[at] announces.
// Nothing before floor is touched: it is replaced already.
func (d *detector) find(text []byte, at, floor int) (from, to int, found bool) {
	if d.before != nil && !d.before(text, at) {
		return 0, 0, false
	}
	if d.special != nil {
		from, to = d.special(text, at)
		from = max(from, floor)
		return from, to, from < to
	}
	rest := text[at:]
	switch {
	case d.reach > 0:
		rest = rest[:min(len(rest), d.reach)]
	default:
		// A short text is matched ten times faster than the start of a long one.
		if i := bytes.IndexByte(rest[:min(len(rest), someLines)], '\n'); i >= 0 {
			rest = rest[:i+1]
		}
	}
	m := d.pattern().FindSubmatchIndex(rest)
	if m == nil {
		return 0, 0, false
	}
	from, to = firstGroup(m, at)
	if from == to || (d.pass != nil && d.pass(text, from, to)) {
		return 0, 0, false
	}
	return from, to, true
}

func firstGroup(m []int, base int) (from, to int) {
	for g := 2; g < len(m); g += 2 {
		if m[g] >= 0 {
			return base + m[g], base + m[g+1]
		}
	}
	return 0, 0
}

// secretNames end the name of a variable, option or field that holds a secret.
// Only the end counts: "PasswordAuthentication" and "max_tokens" hold none.
func secretNames() []string {
	names := []string{"password", "passwd", "passphrase", "passwort", "pass", "pwd", "secret", "token", "credential", "credentials"}
	names = append(names, "psk", "sessid", "sessionid", "key-data", "storepass", "keypass", "requirepass", "masterauth")
	for _, word := range []string{
		"api", "access", "secret", "private", "encryption", "account", "shared", "routing", "integration", "license", "signing", "app", "master", "webhook", "hmac",
	} {
		for _, joint := range []string{"", "_", "-", "."} {
			names = append(names, word+joint+"key", word+joint+"key"+joint+"id")
		}
	}
	return names
}

// What stands after the separator: quoted text, whose quotes stay, or a run up
// to white space; or in JSON also a number or a list, while null, true and
// false hide nothing.
const (
	quoted    = `\\{0,7}"((?:[^"\\\n]|\\[^\n])+)|'([^'\n]+)`
	value     = `(?:` + quoted + `|([^\s"']\S*))`
	jsonValue = `(?:` + quoted + `|(-?[0-9][0-9.eE+-]*)|(\[[^\]\n]*)|null|true|false|[{"'])`
	toLineEnd = `(?:\\?"([^"\n]+)|'([^'\n]+)|([^\r\n"']+))`
	separator = `[ \t]*(?::=|=>|[=:])[ \t]*`
	afterName = "\\\"'] \t:=>"
)

// at compiles a pattern that begins where it is tried, when it is first needed:
// most of them never are.
func at(pattern string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(?:` + pattern + `)`) })
}

// detectors returns those of plain text, and those that decode first.
func detectors() []detector {
	plain := plainDetectors()
	inside := newRedactor(plain)
	return append(plain, encodedSecrets(func(text []byte) bool { return len(inside.Count(text)) > 0 })...)
}

func plainDetectors() []detector {
	return slices.Concat(commandLines(), vendorTokens(), configurations(), []detector{
		{kind: "private_key", reach: unlimited, literals: []string{"-----begin ", "---- begin "}, after: announcesKey, pattern: at(
			`-{4,5} ?BEGIN [A-Z0-9 ]{0,30}(?:PRIVATE KEY|OpenVPN Static key V1)(?: BLOCK)?(?:-----|(?: ----))` +
				`([\s\S]*?)(?:-{4,5} ?END [A-Z0-9 ]{0,30}(?:PRIVATE KEY|OpenVPN Static key)|\z)`)},
		{kind: "private_key", literals: []string{"-----end "}, special: headlessKeyBlock},
		{kind: "private_key", literals: []string{"age-secret-key-1"}, pattern: at(`(?i:(age-secret-key-1[a-z0-9]+))`)},
		{kind: "url", literals: []string{"://"}, after: namesUser, pattern: at(
			`://(?:[^\s"'<>/?#@:]*:([^\s"'<>/?#]+)@|([^\s"'<>/?#@:]{20,})@|(?i:hooks\.slack\.com/(?:services|workflows)/)([A-Za-z0-9_/-]+))`)},
		{kind: "authorization", literals: []string{"authorization"}, follow: afterName, pattern: at(`.{13}["']?` + separator + toLineEnd)},
		{kind: "bearer", literals: []string{"bearer"}, follow: " \t", before: wordStarts, pattern: at(`.{6}[ \t]+([A-Za-z0-9._~+/=-]{8,})`)},
		{kind: "cookie", literals: []string{"cookie"}, follow: afterName, pattern: at(`.{6}["']?` + separator + toLineEnd)},
		{kind: "aws_key", literals: []string{"akia", "asia", "abia", "acca"}, before: wordStarts, pattern: at(`(A(?:KIA|SIA|BIA|CCA)[A-Z0-9]{16})\b`)},
		{kind: "jwt", literals: []string{"eyj"}, before: wordStarts, pattern: at(`(eyJ[\w-]{8,}(?:\.[\w-]+){1,4})`)},
		{
			// crypt(5) names the prefixes.
			kind: "password_hash", literals: []string{
				"$y$", "$gy$", "$7$", "$6$", "$5$", "$2a$", "$2b$", "$2x$", "$2y$", "$1$", "$sha1$", "$apr1$", "$argon2", "$scrypt$", "$pbkdf2",
			},
			pattern: at(`(\$(?:y|gy|7|6|5|2[abxy]|1|sha1|apr1|argon2(?:id|i|d)|scrypt|pbkdf2[\w-]{0,10})\$[./A-Za-z0-9$=,+-]{8,})`),
		},
		{
			// The forms of PostgreSQL's pg_authid.rolpassword.
			kind: "password_hash", literals: []string{"scram-sha-", "md5"}, before: wordStarts,
			pattern: at(`(SCRAM-SHA-\d{1,4}\$[\w.+/=:$]{16,}|md5[0-9a-f]{32}\b)`),
		},
		{kind: "dsn", literals: []string{"@tcp(", "@tcp6(", "@unix("}, special: passwordBeforeAt},
		{
			kind: "command_line", literals: []string{" -u", "\t-u", "--user", "--proxy-user"}, follow: " =\"'",
			pattern: at(`[ \t]?--?[a-z-]{1,10}[ =]["']?[^\s:"']*:([^\s"']+)`),
		},
		{
			kind: "assignment", literals: secretNames(), follow: afterName, after: assigns, pass: isPlainSetting,
			pattern: at(`[A-Za-z0-9_.-]{3,20}(?:` +
				`\\{0,7}"[ \t]*:[ \t]*` + jsonValue +
				`|(?:\\{0,7}["'\]]){0,4}` + separator + value +
				`|(?:[ \t]+[\w:.-]{1,20}="[^"<>\n]*")?>([^<>\n]+)<)`),
		},
		{kind: "assignment", literals: secretNames(), follow: " \t", before: optionStarts, pattern: at(`[A-Za-z0-9_.-]{3,20}[ \t]+` + value)},
	})
}

// namesUser reports whether the authority that begins at text[end] has a user,
// or is of a service whose paths are secret. Most have not.
func namesUser(text []byte, end int) bool {
	authority := text[end:min(len(text), end+someLines)]
	if i := bytes.IndexAny(authority, " \t\n\"'<>/?#"); i >= 0 {
		authority = authority[:i]
	}
	return bytes.IndexByte(authority, '@') >= 0 || bytes.EqualFold(authority, []byte("hooks.slack.com"))
}

// announcesKey reports whether the line of a BEGIN is that of a private key:
// certificates, of which a host has hundreds, are not searched to their end.
func announcesKey(text []byte, end int) bool {
	line, _, _ := bytes.Cut(text[end:min(len(text), end+60)], []byte("\n"))
	return bytes.Contains(line, []byte("PRIVATE KEY")) || bytes.Contains(line, []byte("OpenVPN Static key"))
}

// assigns reports whether what stands behind a name can give it a value: quotes
// and blanks, then a separator, or the attribute of an XML element. It keeps
// "Failed password for", of which logs are full, away from the pattern.
func assigns(text []byte, end int) bool {
	i, most := end, min(len(text), end+40)
	for i < most && strings.IndexByte("\\\"'] \t", text[i]) >= 0 {
		i++
	}
	if i == most {
		return i < len(text)
	}
	if strings.IndexByte(":=>", text[i]) >= 0 {
		return true
	}
	for from := i; i < most && i > end && (isWord(text[i]) || text[i] == ':'); i++ {
		if i+2 < most && text[i+1] == '=' && text[i+2] == '"' {
			return i-from < 20
		}
	}
	return false
}

// wordStarts reports whether a word begins at text[at]. A hyphen goes on with
// the word: one long run of them has one start.
func wordStarts(text []byte, at int) bool {
	return at == 0 || !isWord(text[at-1])
}

// optionStarts reports whether the name at text[at] is the end of a command
// line option's: "--db-" or "-" stands before it.
func optionStarts(text []byte, at int) bool {
	start := at
	for start > 0 && at-start < lookBehind && isWord(text[start-1]) {
		start--
	}
	return start < at && text[start] == '-' && (at-start < 3 || text[at-1] == '-' || text[at-1] == '_' || text[at-1] == '.')
}

func isWord(c byte) bool {
	return isLetter(c) || '0' <= c && c <= '9' || c == '_' || c == '-' || c == '.'
}

// passwordBeforeAt finds the password of "user:password@tcp(host)", from its @.
func passwordBeforeAt(text []byte, at int) (from, to int) {
	from = at
	for i := at; i > 0 && at-i < lookBehind && strings.IndexByte(" \t\r\n\"'/", text[i-1]) < 0; i-- {
		if text[i-1] == ':' {
			from = i
		}
	}
	return from, at
}

// isPlainSetting lets what every Linux has pass: the shell's PWD and OLDPWD,
// "passwd: files systemd" of nsswitch.conf(5), and words that merely end like a
// secret's name ("bypass: on").
func isPlainSetting(text []byte, from, to int) bool {
	secret := text[from:to]
	start := from
	for start > 0 && strings.IndexByte(":= \t\"'\\]", text[start-1]) >= 0 {
		start--
	}
	end := start
	for start > 0 && isLetter(text[start-1]) {
		start--
	}
	switch name := strings.ToLower(string(text[start:end])); {
	case name == "pwd" || name == "oldpwd":
		return secret[0] == '/' && !bytes.ContainsAny(secret, "=:?&")
	case name == "passwd":
		return slices.Contains([]string{"files", "compat", "db", "sss", "systemd", "ldap", "nis", "winbind", "cache"}, string(secret))
	case strings.HasSuffix(name, "pass"):
		return slices.Contains([]string{"bypass", "compass", "encompass", "surpass", "trespass", "underpass", "overpass"}, name)
	}
	return false
}

func isLetter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }

// headlessKeyBlock finds the lines of a private key whose BEGIN was cut off,
// from its END line, which is at text[at].
func headlessKeyBlock(text []byte, at int) (from, to int) {
	line, _, _ := bytes.Cut(text[at:min(len(text), at+80)], []byte("\n"))
	if !bytes.Contains(line, []byte("PRIVATE KEY")) {
		return at, at
	}
	from, to = at, at
	if to > 0 && text[to-1] == '\n' {
		to--
	}
	for end := to; end > 0; {
		start := bytes.LastIndexByte(text[:end], '\n') + 1
		if !isBase64Line(text[start:end]) {
			break
		}
		from, end = start, start-1
	}
	return min(from, to), to
}

func isBase64Line(line []byte) bool {
	line = bytes.TrimSpace(line)
	for _, c := range line {
		if !isLetter(c) && !('0' <= c && c <= '9') && c != '+' && c != '/' && c != '=' {
			return false
		}
	}
	return len(line) > 0
}
