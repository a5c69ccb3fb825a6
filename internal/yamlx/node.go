package yamlx

import (
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// Kind is the shape of a node.
type Kind string

// The kinds of nodes. Null is an empty value, `null` or `~`.
const (
	Null    Kind = "null"
	Scalar  Kind = "scalar"
	List    Kind = "list"
	Mapping Kind = "mapping"
)

// source is the file that nodes point into.
type source struct {
	file  string
	lines []string
}

// at returns an error at the position, which is moved into the file if it lies
// outside.
func (s *source) at(line, column int, message string) *Error {
	e := &Error{File: s.file, Line: max(1, line), Column: max(1, column), Message: message}
	if e.Line <= len(s.lines) {
		e.Snippet = printable(s.lines[e.Line-1])
	}
	return e
}

// Node is one value of a document with its position. An alias stands for what
// it points to, and for its own position. A Node does not change; it may be
// read by many goroutines.
type Node struct {
	src    *source
	raw    *yaml.Node // never an alias, never a document
	line   int
	column int
}

func newNode(src *source, raw *yaml.Node) *Node {
	n := &Node{src: src, raw: raw, line: raw.Line, column: raw.Column}
	for n.raw.Kind == yaml.AliasNode {
		n.raw = n.raw.Alias
	}
	return n
}

// Kind returns the shape of n.
func (n *Node) Kind() Kind {
	switch n.raw.Kind {
	case yaml.MappingNode:
		return Mapping
	case yaml.SequenceNode:
		return List
	case yaml.ScalarNode, yaml.DocumentNode, yaml.AliasNode:
	}
	if n.plain() && n.raw.ShortTag() == "!!null" {
		return Null
	}
	return Scalar
}

// plain reports whether n is a scalar without quotes: only those have a type
// other than string.
func (n *Node) plain() bool { return n.raw.Kind == yaml.ScalarNode && n.raw.Style == 0 }

// File returns the name given to Parse.
func (n *Node) File() string { return n.src.file }

// Line returns the line of n, from 1.
func (n *Node) Line() int { return n.line }

// Column returns the column of n in characters, from 1.
func (n *Node) Column() int { return n.column }

// String returns "file:line:column", for messages that point to n.
func (n *Node) String() string { return fmt.Sprintf("%s:%d:%d", n.src.file, n.line, n.column) }

// Errorf returns an error at the position of n.
func (n *Node) Errorf(format string, args ...any) *Error {
	return n.src.at(n.line, n.column, fmt.Sprintf(format, args...))
}

// ErrorWithin returns an error at a place inside the text of the scalar n: line
// and column, from 1, count in the decoded text. The place is exact for plain
// and quoted scalars of one line without escapes and for literal blocks, else
// it is the beginning of n.
func (n *Node) ErrorWithin(line, column int, message string) *Error {
	switch {
	case n.raw.Kind != yaml.ScalarNode || line < 1 || column < 1 || n.raw.Line != n.line:
	case n.raw.Style == yaml.LiteralStyle:
		at := n.line + line
		if at <= len(n.src.lines) {
			first := strings.SplitN(n.raw.Value, "\n", line+1)
			if len(first) >= line {
				if i := strings.Index(n.src.lines[at-1], first[line-1]); i >= 0 {
					return n.src.at(at, len([]rune(n.src.lines[at-1][:i]))+column, message)
				}
			}
		}
	case line == 1 && n.line <= len(n.src.lines):
		runes := []rune(n.src.lines[n.line-1])
		if n.column <= len(runes) {
			if i := strings.Index(string(runes[n.column-1:]), n.raw.Value); i >= 0 && i <= 1 {
				return n.src.at(n.line, n.column+i+column-1, message)
			}
		}
	}
	return n.src.at(n.line, n.column, message)
}

// Get returns the value of the key of a mapping.
func (n *Node) Get(key string) (*Node, bool) {
	for k, v := range n.pairs() {
		if k.Value == key {
			return newNode(n.src, v), true
		}
	}
	return nil, false
}

// Key returns the node of the key itself, to point at it.
func (n *Node) Key(key string) (*Node, bool) {
	for k := range n.pairs() {
		if k.Value == key {
			return &Node{src: n.src, raw: k, line: k.Line, column: k.Column}, true
		}
	}
	return nil, false
}

// Keys returns the keys of a mapping in the order of the document, and nothing
// for other kinds.
func (n *Node) Keys() []string {
	keys := []string{}
	for k := range n.pairs() {
		keys = append(keys, k.Value)
	}
	return keys
}

// Items returns the elements of a list, and nothing for other kinds.
func (n *Node) Items() []*Node {
	if n.raw.Kind != yaml.SequenceNode {
		return nil
	}
	items := make([]*Node, len(n.raw.Content))
	for i, c := range n.raw.Content {
		items[i] = newNode(n.src, c)
	}
	return items
}

// Scalar returns the text of a scalar as it was written, without its quotes.
func (n *Node) Scalar() (string, bool) {
	if n.raw.Kind != yaml.ScalarNode {
		return "", false
	}
	return n.raw.Value, true
}

// pairs yields keys and values. Parse has made sure that keys are scalars; an
// alias as a key is read as what it points to.
func (n *Node) pairs() func(yield func(k, v *yaml.Node) bool) {
	return func(yield func(k, v *yaml.Node) bool) {
		if n.raw.Kind != yaml.MappingNode {
			return
		}
		for pair := range slices.Chunk(n.raw.Content, 2) {
			if !yield(pair[0], pair[1]) {
				return
			}
		}
	}
}
