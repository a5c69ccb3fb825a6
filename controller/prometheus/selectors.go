package prometheus

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// selectorsOf returns the vector selectors of an expression, each once, without
// ranges and offsets: name{matchers}. It reads only as much of PromQL as that
// takes, and reports ok false for what it cannot read.
func selectorsOf(expression string) (selectors []selector, ok bool) {
	s := scanner{text: expression}
	seen := map[selector]bool{}
	for {
		sel, found, ok := s.next()
		if !ok {
			return nil, false
		}
		if !found {
			return selectors, true
		}
		if !seen[sel] {
			seen[sel] = true
			selectors = append(selectors, sel)
		}
	}
}

// selector is what a part of an expression reads.
type selector struct{ name, matchers string }

// with narrows the selector to the series that have the value of each label, or
// no such label.
func (s selector) with(labels map[string]string) string {
	var parts []string
	if s.matchers != "" {
		parts = append(parts, s.matchers)
	}
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		if isLabelName(name) {
			parts = append(parts, name+"=~"+strconv.Quote("|"+regexp.QuoteMeta(labels[name])))
		}
	}
	return s.name + "{" + strings.Join(parts, ",") + "}"
}

// isLabelName reports whether the name can stand in matchers as it is.
func isLabelName(name string) bool {
	return name != "" && !isDigit(name[0]) && !strings.ContainsFunc(name, func(r rune) bool { return r > '~' || r == ':' || !isWord(byte(r)) })
}

type scanner struct {
	text string
	at   int
}

// next returns the next selector. found is false at the end.
func (s *scanner) next() (sel selector, found, ok bool) {
	for s.at < len(s.text) {
		switch c := s.text[s.at]; {
		case c == '#':
			s.skipLine()
		case isQuote(c):
			if !s.skipString() {
				return sel, false, false
			}
		case c == '[':
			if _, ok := s.enclosed(']'); !ok {
				return sel, false, false
			}
		case c == '{':
			matchers, ok := s.matchers()
			return selector{matchers: matchers}, ok, ok
		case isDigit(c):
			s.take(func(c byte) bool { return isWord(c) || c == '.' })
		case isWord(c):
			sel, found, ok = s.word()
			if !ok || found {
				return sel, found, ok
			}
		default:
			s.at++
		}
	}
	return sel, false, true
}

// word reads a name: of a function, of an operator, or of what is read.
func (s *scanner) word() (sel selector, found, ok bool) {
	name := s.take(isWord)
	s.skipSpace()
	switch {
	case isGrouping(name): // the names behind it are those of labels
		if s.peek() == '(' {
			_, ok := s.enclosed(')')
			return sel, false, ok
		}
		return sel, false, true
	case s.peek() == '(' || isKeyword(name):
		return sel, false, true
	case s.peek() != '{':
		return selector{name: name}, true, true
	}
	matchers, ok := s.matchers()
	return selector{name, matchers}, ok, ok
}

func (s *scanner) matchers() (string, bool) {
	inner, ok := s.enclosed('}')
	return strings.TrimSuffix(strings.TrimSpace(inner), ","), ok
}

// enclosed returns what stands between the bracket here and the closing one.
func (s *scanner) enclosed(closing byte) (string, bool) {
	s.at++
	from := s.at
	for s.at < len(s.text) {
		switch c := s.text[s.at]; {
		case c == closing:
			s.at++
			return s.text[from : s.at-1], true
		case c == '#':
			s.skipLine()
		case isQuote(c):
			if !s.skipString() {
				return "", false
			}
		default:
			s.at++
		}
	}
	return "", false
}

func (s *scanner) skipString() bool {
	quote := s.text[s.at]
	for s.at++; s.at < len(s.text); s.at++ {
		switch c := s.text[s.at]; {
		case c == '\\' && quote != '`':
			s.at++
		case c == quote:
			s.at++
			return true
		}
	}
	return false
}

func (s *scanner) skipLine() {
	if n := strings.IndexByte(s.text[s.at:], '\n'); n >= 0 {
		s.at += n + 1
		return
	}
	s.at = len(s.text)
}

func (s *scanner) skipSpace() {
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case ' ', '\t', '\n', '\r':
			s.at++
		case '#':
			s.skipLine()
		default:
			return
		}
	}
}

func (s *scanner) peek() byte {
	if s.at < len(s.text) {
		return s.text[s.at]
	}
	return 0
}

func (s *scanner) take(while func(byte) bool) string {
	from := s.at
	for s.at < len(s.text) && while(s.text[s.at]) {
		s.at++
	}
	return s.text[from:s.at]
}

func isQuote(c byte) bool { return c == '"' || c == '\'' || c == '`' }
func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isWord(c byte) bool {
	return c == '_' || c == ':' || isDigit(c) || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func isGrouping(word string) bool {
	switch strings.ToLower(word) {
	case "by", "without", "on", "ignoring", "group_left", "group_right":
		return true
	}
	return false
}

// isKeyword reports whether a word without a bracket behind it names no metric:
// operators, and aggregations such as in "sum by (job) (up)".
func isKeyword(word string) bool {
	switch strings.ToLower(word) {
	case "and", "or", "unless", "bool", "offset", "atan2", "inf", "nan", "anchored", "smoothed",
		"sum", "min", "max", "avg", "group", "stddev", "stdvar", "count", "count_values", "bottomk", "topk", "quantile", "limitk", "limit_ratio":
		return true
	}
	return false
}
