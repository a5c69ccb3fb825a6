package redact

import (
	"bytes"
	"regexp"
	"strings"
)

// configurations detect the secrets of files and protocols that name them in a
// way of their own.
func configurations() []detector {
	at := func(pattern string) func() *regexp.Regexp { return at(`(?i)` + pattern) }
	sql := `'((?:[^'\n]|'')+)'`
	return []detector{
		// A name and its value in two fields: the environment of a container, <add key= value=>.
		{kind: "assignment", reach: someLines, literals: secretNames(), follow: "\"' ,\r\n", after: givesValue, pattern: at(
			`[a-z0-9_.-]{3,20}\\{0,3}["']?[ \t]*,?\s{0,40}\\{0,3}["']?(?:value|val|content)\\{0,3}["']?[ \t]*[:=][ \t]*` + value)},
		{kind: "assignment", literals: []string{"_auth", "\"auth\""}, after: assigns, pass: isNoLogin, pattern: at(`"?_?auth"?` + separator + `"?([A-Za-z0-9+/=_-]{8,})`)},
		// A JSON Web Key: d is the private exponent, k a symmetric key.
		{kind: "private_key", literals: []string{`"d"`, `"k"`}, after: assigns, pattern: at(`"[dk]"[ \t]*:[ \t]*"([A-Za-z0-9_-]{22,})"`)},
		// A key of PuTTY.
		{kind: "private_key", reach: unlimited, literals: []string{"private-lines:"}, pattern: at(`private-lines:[ \t]*\d{1,4}\r?\n([A-Za-z0-9+/=\s]+?)(?:private-mac|\z)`)},
		{kind: "signature", literals: []string{"&sig=", "?sig=", "amz-signature=", "goog-signature="}, pattern: at(`[?&]?[a-z-]{3,15}=([^&\s"'<>]{16,})`)},
		{kind: "url", literals: []string{"discord.com/api/webhooks/", "discordapp.com/api/webhooks/"}, pattern: at(`[a-z.]+/api/webhooks/\d+/([\w-]{20,})`)},
		{kind: "url", literals: []string{".webhook.office.com/", "outlook.office.com/webhook"}, pattern: at(`[a-z.]+/webhook(?:b2)?/([\w@/-]{20,})`)},
		{kind: "url", literals: []string{"/hooks/"}, pattern: at(`/hooks/([a-z0-9]{26})\b`)}, // Mattermost
		{kind: "url", literals: []string{"jdbc:oracle:"}, pattern: at(`jdbc:oracle:[a-z0-9]{2,5}:[^/\s:@]+/([^@\s]+)@`)},
		{kind: "command_line", literals: []string{"sqlplus"}, follow: " \t", pattern: at(`sqlplus(?:[ \t]+-\S+){0,5}[ \t]+[^/\s]+/([^@\s]+)`)},
		// SQL. 'two quotes '' are one'.
		{kind: "sql", literals: []string{"password"}, follow: " '", after: isQuotedNext, pattern: at(`password[ \t]*E?` + sql)},
		{kind: "sql", literals: []string{"identified by", "identified with"}, pattern: at(`identified[ \t]+(?:with[ \t]+\S+[ \t]+(?:by|as)|by)[ \t]+(?:password[ \t]+)?(?:` + sql + `|"([^"\n]+)")`)},
		{kind: "password_hash", literals: []string{"{sha", "{ssha", "{crypt}", "{pbkdf2", "{md5}", "{smd5}"}, pattern: at(`\{(?:s?sha\d{0,3}|crypt|pbkdf2[\w-]{0,12}|s?md5)\}([A-Za-z0-9+/=$.]{16,})`)},
		{kind: "password_hash", literals: nativeHashes(), pattern: at(`.(\*[0-9A-F]{40})\b`)},
		{kind: "assignment", literals: []string{"requirepass", "masterauth", "rocommunity", "rwcommunity", "rocommunity6", "rwcommunity6"}, follow: " \t", before: wordStarts, pattern: at(`[a-z]+6?[ \t]+"?([^\s"]+)`)},
		{kind: "assignment", literals: []string{"\"auth\" \""}, pattern: at(`"auth"(?:[ \t]+"[^"\n]*")?[ \t]+"([^"\n]+)"`)}, // MONITOR of Redis
		{kind: "assignment", literals: []string{"]:587", "]:465", "]:25"}, pattern: at(`\]:\d{2,3}[ \t]+[^\s:]+:(\S+)`)},    // sasl_passwd of Postfix
		{kind: "assignment", literals: []string{"unseal key "}, pattern: at(`unseal key \d{1,2}(?: \([^)\n]*\))?:[ \t]*(\S+)`)},
		{kind: "command_line", reach: someLines, literals: []string{"login"}, follow: " \t", before: wordStarts, pattern: at(`login[ \t]+\S{1,100}\s{1,20}password[ \t]+(\S+)`)}, // netrc over lines
		{kind: "pgpass", literals: []string{":5432:", ":6432:", ":*:"}, special: pgpassPassword},
	}
}

// nativeHashes are how a hash of mysql_native_password begins, with what stands
// before it in a statement and in a table.
func nativeHashes() []string {
	var out []string
	for _, digit := range "0123456789abcdef" {
		for _, before := range []string{"'*", "\"*", " *", "\t*"} {
			out = append(out, before+string(digit))
		}
	}
	return out
}

func isQuotedNext(text []byte, end int) bool {
	rest := bytes.TrimLeft(text[end:min(len(text), end+12)], " \tE")
	return len(rest) > 0 && rest[0] == '\''
}

// isNoLogin lets what is not user:password in base64 pass: the names of methods,
// of which "auth" is the key as well.
func isNoLogin(text []byte, from, to int) bool {
	return !bytes.Contains(decoded(text[from:to]), []byte(":"))
}

// givesValue reports whether a field named "value" stands behind a name: on the
// same line, or on the next.
func givesValue(text []byte, end int) bool {
	i := end
	for most := min(len(text), end+50); i < most && strings.IndexByte("\\\"' ,\t\r\n", text[i]) >= 0; i++ {
	}
	if i+3 > len(text) {
		return false
	}
	return bytes.EqualFold(text[i:i+3], []byte("val")) || bytes.EqualFold(text[i:i+3], []byte("con"))
}

// pgpassPassword finds the last of the five fields of a line of .pgpass
// (host:port:database:user:password), from the colon before one of the others.
func pgpassPassword(text []byte, at int) (from, to int) {
	start := at
	for start > 0 && at-start < lookBehind && text[start-1] != '\n' {
		start--
	}
	line, _, _ := bytes.Cut(text[start:min(len(text), at+lookBehind)], []byte("\n"))
	line = bytes.TrimRight(line, "\r")
	fields := bytes.SplitN(line, []byte(":"), 5)
	if len(fields) < 5 || bytes.ContainsAny(line, " \t\"'{}[]<>()") || len(fields[4]) == 0 || len(fields[2]) == 0 || len(fields[3]) == 0 {
		return at, at
	}
	if port := string(fields[1]); port != "*" && strings.Trim(port, "0123456789") != "" {
		return at, at
	}
	to = start + len(line)
	return to - len(fields[4]), to
}
