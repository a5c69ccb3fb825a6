package yamlx

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// locate gives an error of yaml.v3 a position. The library names a line, unless
// the line is the first one, or the error is an unknown anchor.
func (s *source) locate(err error) *Error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	line, named := 1, regexp.MustCompile(`^line (\d+): `).FindStringSubmatch(text)
	if named != nil {
		line, _ = strconv.Atoi(named[1])
		text = strings.TrimPrefix(text, named[0])
	}
	if anchor := regexp.MustCompile(`^unknown anchor '(.*)' referenced$`).FindStringSubmatch(text); anchor != nil {
		for i, l := range s.lines {
			if at := strings.Index(l, "*"+anchor[1]); at >= 0 {
				return s.at(i+1, utf8.RuneCountInString(l[:at])+1, fmt.Sprintf("no anchor &%s before this alias", anchor[1])).WithRule(RuleSyntax)
			}
		}
	}
	line = min(line, len(s.lines))
	// The scanner stops one line early or late; a tab near by is the likely cause.
	for _, l := range []int{line, line + 1, line - 1} {
		if l < 1 || l > len(s.lines) {
			continue
		}
		indent := s.lines[l-1][:len(s.lines[l-1])-len(strings.TrimLeft(s.lines[l-1], " \t"))]
		if tab := strings.IndexByte(indent, '\t'); tab >= 0 {
			return s.tabAt(l, tab+1)
		}
	}
	return s.syntax(line, named != nil, text)
}

// slip is one kind of mistake in the form of YAML.
type slip struct {
	says    string // how yaml.v3 begins to say it
	message string
	hint    string
	blame   func(line string) int // returns the offset of what is to blame; nil, or below 0, for what the line begins with
	// parser is of what yaml.v3's parser says: it counts lines from 0 (fail in
	// its decode.go adds one for the scanner only), and mostly means where the
	// block or the bracket begins.
	parser bool
}

func slips() []slip {
	const quotes = "a text that begins with one stands in quotes"
	return []slip{
		{
			says: "did not find expected '-' indicator", parser: true,
			message: "a line of this list is indented unlike the others",
			hint:    "the dashes of a list stand in one column, and what belongs to an item two columns behind its dash",
		},
		{
			says: "did not find expected key", parser: true,
			message: "a line of this mapping is indented unlike the others, or is no key with a colon",
			hint:    "the keys of a mapping stand in one column; a text that begins with a quote ends with it",
		},
		{
			says: "did not find expected ',' or '}'", parser: true, blame: unclosed('{', '}'),
			message: "a { is not closed, or a comma is missing behind it", hint: "{one: 1, two: 2}",
		},
		{
			says: "did not find expected ',' or ']'", parser: true, blame: unclosed('[', ']'),
			message: "a [ is not closed, or a comma is missing behind it", hint: "[one, two]",
		},
		{
			says: "mapping values are not allowed", blame: func(line string) int { return strings.LastIndex(line, ": ") },
			message: "mapping values are not allowed here: a colon and a blank begin one",
			hint:    `a text with a colon and a blank in it stands in quotes: "nothing to do: it is not full"`,
		},
		{
			says: "did not find expected alphabetic or numeric character", blame: lastOf("*&"),
			message: "* and & begin an alias or an anchor, and this is none", hint: quotes + `: "*.log"`,
		},
		{
			says: "found character that cannot start any token", blame: lastOf("@`%"),
			message: "no value can begin with this character", hint: quotes + `: "@daily"`,
		},
		{
			says:    "could not find expected ':'",
			message: "a key without its colon", hint: "key: value; a text of several lines stands behind |, and is indented",
		},
		{
			says:    "found unexpected end of stream",
			message: "a quote that begins here is not closed", hint: `in double quotes a quote is written \", in single quotes ''`,
		},
		{
			says: "found unknown escape character", blame: lastOf(`\`),
			message: "in double quotes a backslash begins an escape, and this is none", hint: `write \\, or use single quotes`,
		},
		{
			says: "block sequence entries are not allowed", blame: lastOf("-"),
			message: "a dash begins an item, and there is no list here", hint: "the first item stands in a line of its own below the key",
		},
	}
}

// syntax says in words what the parser could not read.
func (s *source) syntax(line int, counted bool, text string) *Error {
	for _, slip := range slips() {
		if !strings.HasPrefix(text, slip.says) {
			continue
		}
		if slip.parser && counted {
			line = min(line+1, len(s.lines))
		}
		at := -1
		if slip.blame != nil {
			at = slip.blame(s.lines[line-1])
		}
		return s.atOffset(line, at, slip.message).WithHint("%s", slip.hint)
	}
	return s.atOffset(line, -1, text)
}

// atOffset returns an error at the byte of the line; below 0 at what the line
// begins with.
func (s *source) atOffset(line, offset int, message string) *Error {
	text := s.lines[line-1]
	if offset < 0 {
		offset = len(text) - len(strings.TrimLeft(text, " "))
	}
	return s.at(line, utf8.RuneCountInString(text[:offset])+1, message).WithRule(RuleSyntax)
}

func lastOf(characters string) func(line string) int {
	return func(line string) int { return strings.LastIndexAny(line, characters) }
}

// unclosed finds the last bracket that is open at the end of the line.
func unclosed(opening, closing byte) func(line string) int {
	return func(line string) int {
		closed := 0
		for i := len(line) - 1; i >= 0; i-- {
			switch {
			case line[i] == closing:
				closed++
			case line[i] == opening && closed == 0:
				return i
			case line[i] == opening:
				closed--
			}
		}
		return -1
	}
}
