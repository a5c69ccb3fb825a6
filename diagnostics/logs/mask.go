package logs

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Mask appends line to dst, with placeholders for what varies from one line to
// the next: <num>, <ip>, <mac>, <hex>, <uuid>, <id>, <time>, <path> and <url>.
// A unit stays (<num>ms), and so does an exit status or a signal of up to three
// digits ("status=203/EXEC", "exit code 1"), since it tells one fault from
// another. Control characters, bidirectional marks and the like become blanks,
// what is not UTF-8 the replacement character. Masking twice is masking once.
//
// It is a scanner since regular expressions for the same (one alternation of
// package regexp) are too slow for hundreds of thousands of lines a second.
func Mask(dst []byte, line string) []byte {
	afterStatus := false
	for i := 0; i < len(line); {
		c := line[i]
		switch {
		case c >= utf8.RuneSelf:
			r, size := utf8.DecodeRuneInString(line[i:])
			if !unicode.IsPrint(r) {
				r = ' '
			}
			dst = utf8.AppendRune(dst, r)
			i += size
		case c <= ' ' || c == 0x7f:
			dst = append(dst, ' ')
			i++
		case !inChunk(c) && placeholder(line[i:]) == 0:
			dst = append(dst, c)
			i++
		default:
			end := chunkEnd(line, i)
			chunk := line[i:end]
			if startsDate(chunk, line[end:]) {
				dst = append(dst, "<time>"...)
			} else {
				dst = appendChunk(dst, chunk, afterStatus)
			}
			afterStatus = namesStatus(chunk)
			i = end
		}
	}
	return dst
}

// inChunk says whether c may stand inside a word, a number, an address or a
// path. Blanks, quotes, brackets and ",;=|&" end one.
func inChunk(c byte) bool {
	return isAlnum(c) || isJoint(c)
}

// isJoint says whether c joins the pieces of a chunk.
func isJoint(c byte) bool {
	switch c {
	case '.', ':', '/', '-', '_', '+', '@', '%', '~', '*', '#', '$', '!', '?':
		return true
	}
	return false
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

func isAlnum(c byte) bool { return isDigit(c) || isLetter(c) }

func isHex(c byte) bool { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f' }

// chunkEnd returns where the chunk that begins at start ends. A URL goes on to
// the next blank, quote or bracket.
func chunkEnd(line string, start int) int {
	end, url := start, false
	for end < len(line) {
		switch c := line[end]; {
		case c == '<':
			n := placeholder(line[end:])
			if n == 0 {
				return end
			}
			end += n
			continue
		case url:
			if c <= ' ' || c >= 0x7f || strings.IndexByte("\"'>()[]{}`", c) >= 0 {
				return end
			}
		case !inChunk(c):
			return end
		case c == ':' && strings.HasPrefix(line[end:], "://"):
			url = true
		}
		end++
	}
	return end
}

// placeholder returns the length of the placeholder with which s begins, 0 when
// it begins with something else.
func placeholder(s string) int {
	if len(s) < 4 || s[0] != '<' {
		return 0
	}
	end := strings.IndexByte(s[:min(len(s), 6)], '>')
	if end < 0 {
		return 0
	}
	switch s[1:end] {
	case "num", "ip", "mac", "hex", "uuid", "id", "time", "path", "url":
		return end + 1
	}
	return 0
}

// startsDate says whether chunk is the first word of a date as ctime(3) and
// syslog write it: "Jan 31", or the day of the week before that.
func startsDate(chunk, rest string) bool {
	if len(chunk) != 3 {
		return false
	}
	rest = strings.TrimLeft(rest, " ")
	switch chunk {
	case "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec":
		return rest != "" && isDigit(rest[0])
	case "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun":
		return len(rest) > 3 && rest[3] == ' ' && startsDate(rest[:3], rest[3:])
	}
	return false
}

// namesStatus says whether the number after word tells one fault from another.
func namesStatus(word string) bool {
	if n := len(word); n > 0 && word[n-1] == ':' {
		word = word[:n-1]
	}
	var lower [len("exitcode")]byte
	if len(word) < 2 || len(word) > len(lower) {
		return false
	}
	for i := range len(word) {
		lower[i] = word[i] | 0x20
	}
	switch string(lower[:len(word)]) {
	case "status", "code", "signal", "errno", "exitcode", "rc":
		return true
	}
	return false
}

// appendChunk masks a chunk as a whole where that is one thing, else piece by
// piece. A chunk that has a placeholder was masked before: as a whole it might
// now look like something else, so that it goes by pieces.
func appendChunk(dst []byte, chunk string, afterStatus bool) []byte {
	if afterStatus {
		if n := statusLength(chunk); n > 0 {
			return appendPieces(append(dst, chunk[:n]...), chunk[n:])
		}
	}
	if isWord(chunk) {
		return append(dst, chunk...)
	}
	if strings.IndexByte(chunk, '<') < 0 {
		core := strings.TrimRight(chunk, ".:-!?")
		if before, name, after := whole(core); name != "" {
			dst = append(append(dst, before...), name...)
			return append(append(dst, after...), chunk[len(core):]...)
		}
	} else if strings.Contains(chunk, "://") {
		return append(dst, "<url>"...)
	}
	return appendPieces(dst, chunk)
}

// isWord says whether there is nothing in chunk that could be masked.
func isWord(chunk string) bool {
	for i := range len(chunk) {
		if c := chunk[i]; !isLetter(c) && c != '.' && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// statusLength returns how much of chunk is an exit status or a signal: up to
// three digits, and nothing behind them or a slash with its name.
func statusLength(chunk string) int {
	n := 0
	if chunk[0] == '-' {
		n++
	}
	first := n
	for n < len(chunk) && isDigit(chunk[n]) {
		n++
	}
	if n == first || n-first > 3 {
		return 0
	}
	if rest := strings.TrimRight(chunk[n:], ".:-!?"); rest != "" && rest[0] != '/' {
		return 0
	}
	return n
}

// whole returns the name of the placeholder that stands for core, and what
// stays before and after it; no name when core is not one thing.
func whole(core string) (before, name, after string) {
	if core == "" {
		return "", "", ""
	}
	if strings.Contains(core, "://") {
		return "", "<url>", ""
	}
	rest := core
	if core[0] == '/' {
		before, rest = "/", core[1:]
	}
	switch {
	case isIP(rest):
		return before, "<ip>", ""
	case before != "" && rest != "" && rest[0] != '/':
		return "", "<path>", ""
	case isTime(core):
		return "", "<time>", ""
	case isMAC(core):
		return "", "<mac>", ""
	case isUUID(core):
		return "", "<uuid>", ""
	}
	if n := numberLength(core); n > 0 {
		return "", "<num>", core[n:]
	}
	return "", "", ""
}

// appendPieces masks what stands between the joints of a chunk.
func appendPieces(dst []byte, chunk string) []byte {
	for i := 0; i < len(chunk); {
		if n := placeholder(chunk[i:]); n > 0 {
			dst = append(dst, chunk[i:i+n]...)
			i += n
			continue
		}
		if !isAlnum(chunk[i]) {
			dst = append(dst, chunk[i])
			i++
			continue
		}
		end := i + 1
		for end < len(chunk) && isAlnum(chunk[end]) {
			end++
		}
		dst = appendPiece(dst, chunk[i:end])
		i = end
	}
	return dst
}

// The lengths from which a piece is no word: 7 hexadecimal digits are a short
// git hash, 16 letters and digits a session or request identifier.
const (
	minHexDigits = 7
	minIDLength  = 16
	minIDDigits  = 4
)

func appendPiece(dst []byte, piece string) []byte {
	digits, hex := 0, 0
	for i := range len(piece) {
		if isDigit(piece[i]) {
			digits++
		}
		if isHex(piece[i]) {
			hex++
		}
	}
	switch {
	case digits == 0:
		return append(dst, piece...)
	case digits == len(piece):
		return append(dst, "<num>"...)
	case hex == len(piece) && hex >= minHexDigits,
		hex == len(piece)-1 && len(piece) > 2 && piece[0] == '0' && piece[1]|0x20 == 'x':
		return append(dst, "<hex>"...)
	case len(piece) >= minIDLength && digits >= minIDDigits:
		return append(dst, "<id>"...)
	}
	if n := numberLength(piece); n > 0 {
		return append(append(dst, "<num>"...), piece[n:]...)
	}
	return append(dst, piece...) // eth0, ssh2: a name
}

// numberLength returns how much of s is a number, where all behind it is a unit
// of up to three letters or a percent sign; 0 when s is something else.
func numberLength(s string) int {
	n := 0
	if s[0] == '-' || s[0] == '+' {
		n++
	}
	digits := run(s[n:], isDigit)
	if digits == 0 {
		return 0
	}
	n += digits
	if n+1 < len(s) && s[n] == '.' && isDigit(s[n+1]) {
		n += 1 + run(s[n+1:], isDigit)
	}
	unit := s[n:]
	if unit == "%" || len(unit) <= 3 && run(unit, isLetter) == len(unit) {
		return n
	}
	return 0
}

// run returns how many bytes at the start of s are of a class.
func run(s string, class func(byte) bool) int {
	for i := range len(s) {
		if !class(s[i]) {
			return i
		}
	}
	return len(s)
}
