package file

import (
	"bytes"
	"regexp"
	"slices"
	"strings"

	"github.com/secondline-ops/secondline/internal/fault"
)

// splice is how a new text comes of an old one: its first Head lines, then
// Insert, then its lines from Tail on (from 1; 0 is none). The server puts it
// together from its own bytes, so that what the Runner redacts, and what is no
// UTF-8, stays as it is.
type splice struct {
	Head   int    `json:"head"`
	Insert []byte `json:"insert"`
	Tail   int    `json:"tail"`
}

// text is an old text in lines. ended says that the last one has its newline.
type text struct {
	lines []string
	ended bool
}

func lines(data []byte) text {
	if len(data) == 0 {
		return text{ended: true}
	}
	all := strings.Split(string(data), "\n")
	last := len(all) - 1
	if all[last] == "" {
		return text{all[:last], true}
	}
	return text{all, false}
}

// apply is what the server does, for the diff.
func (p splice) apply(old text) []string {
	out := append([]string{}, old.lines[:min(p.Head, len(old.lines))]...)
	insert := lines(p.Insert).lines
	if p.Head == len(old.lines) && !old.ended && p.Head > 0 && len(insert) > 0 {
		insert = insert[1:] // it begins by ending the line before
	}
	out = append(out, insert...)
	if p.Tail > 0 && p.Tail <= len(old.lines) {
		out = append(out, old.lines[p.Tail-1:]...)
	}
	return out
}

// replace puts a line in the place of line i.
func (t text) replace(i int, line string) splice {
	if strings.HasSuffix(t.lines[i], "\r") {
		line += "\r"
	}
	if i < len(t.lines)-1 || t.ended {
		line += "\n"
	}
	return splice{Head: i, Insert: []byte(line), Tail: i + 2}
}

// insert puts lines before line i.
func (t text) insert(i int, added ...string) splice {
	end := "\n"
	if len(t.lines) > 0 && strings.HasSuffix(t.lines[0], "\r") {
		end = "\r\n"
	}
	var b bytes.Buffer
	if i == len(t.lines) && !t.ended {
		b.WriteString(end)
	}
	for _, line := range added {
		b.WriteString(line + end)
	}
	return splice{Head: i, Insert: b.Bytes(), Tail: i + 1}
}

// isRedacted reports whether the Runner took something out of the line.
func isRedacted(line string) bool { return strings.Contains(line, "[redacted:") }

func secretLine(i int) error {
	return fault.New(fault.Denied, "line %d of the file holds a secret, which no runbook replaces", i+1).
		WithHint("change it by hand, or give the whole content")
}

// ensureLine makes the line a part of the text: in the place of the last line
// that matches, else behind the last line that after matches, else at the end.
// done says that it is there already.
func ensureLine(t text, line string, match, after *regexp.Regexp) (p splice, done bool, err error) {
	last := func(fits func(string) bool) int {
		for i, old := range slices.Backward(t.lines) {
			if fits(strings.TrimSuffix(old, "\r")) {
				return i
			}
		}
		return -1
	}
	if match != nil {
		if i := last(match.MatchString); i >= 0 {
			switch old := strings.TrimSuffix(t.lines[i], "\r"); {
			case old == line:
				return splice{}, true, nil
			case isRedacted(old):
				return splice{}, false, secretLine(i)
			}
			return t.replace(i, line), false, nil
		}
	}
	if last(func(old string) bool { return old == line }) >= 0 {
		return splice{}, true, nil
	}
	at := len(t.lines)
	if after != nil {
		if at = last(after.MatchString) + 1; at == 0 {
			return splice{}, false, fault.New(fault.NotFound, "no line matches %q, so that it is not known where the line belongs", after)
		}
	}
	return t.insert(at, line), false, nil
}
