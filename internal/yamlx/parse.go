package yamlx

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// Limits of what Parse takes. Nodes are counted as often as aliases repeat
// them, since yaml.v3 has no guard of its own when it reads into nodes.
const (
	MaxBytes     = 1 << 20
	MaxDepth     = 64
	MaxNodes     = 50_000
	MaxDocuments = 1_000 // of ParseAll
	maxErrors    = 50
)

// Parse reads exactly one document. An empty file is a document of kind Null.
// All errors are of type *Error, several are joined: see Errors.
func Parse(file string, data []byte) (*Node, error) {
	docs, err := parse(file, data, 1)
	if err != nil {
		return nil, err
	}
	if len(docs) == 0 {
		return newNode(&source{file: file}, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Line: 1, Column: 1}), nil
	}
	return docs[0], nil
}

// ParseAll reads all documents of a file, leaving out empty ones.
func ParseAll(file string, data []byte) ([]*Node, error) {
	docs, err := parse(file, data, MaxDocuments)
	if err != nil {
		return nil, err
	}
	full := docs[:0]
	for _, d := range docs {
		if d.Kind() != Null {
			full = append(full, d)
		}
	}
	return full, nil
}

func parse(file string, data []byte, maxDocuments int) (docs []*Node, err error) {
	src := &source{file: file}
	if len(data) > MaxBytes {
		return nil, src.at(1, 1, fmt.Sprintf("file has %d bytes, more than %d", len(data), MaxBytes)).WithRule(RuleLimit)
	}
	data = bytes.TrimPrefix(data, []byte("\uFEFF"))
	src.lines = splitLines(string(bytes.ToValidUTF8(data, []byte("\uFFFD"))))
	if e := checkCharacters(src, data); e != nil {
		return nil, e
	}
	// yaml.v3 is archived: a panic in it must not end the controller.
	defer func() {
		if r := recover(); r != nil {
			docs, err = nil, src.at(1, 1, fmt.Sprintf("parser gave up: %v", r)).WithRule(RuleSyntax)
		}
	}()
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	check := &checker{src: src, left: MaxNodes}
	for {
		var doc yaml.Node
		if e := decoder.Decode(&doc); errors.Is(e, io.EOF) {
			break
		} else if e != nil {
			return nil, src.locate(e)
		}
		if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
			continue
		}
		root := doc.Content[0]
		if len(docs) == maxDocuments {
			message := fmt.Sprintf("more than %d documents", maxDocuments)
			if maxDocuments == 1 {
				message = "a second document begins here, only one is allowed"
			}
			check.report(root, RuleDocuments, message, "remove the line with ---, or use a file for each")
			break
		}
		check.walk(root, 1, false)
		docs = append(docs, newNode(src, root))
	}
	return docs, join(check.errs)
}

// splitLines splits as YAML 1.2 does: at LF, CRLF and CR.
func splitLines(text string) []string {
	return strings.Split(strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n"), "\n")
}

// checkCharacters refuses what yaml.v3 refuses without telling the line: bytes
// that are not UTF-8 and characters outside c-printable (YAML 1.2, 5.1).
func checkCharacters(src *source, data []byte) *Error {
	line, column := 1, 1
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			return src.at(line, column, fmt.Sprintf("byte 0x%02x is not UTF-8", data[i])).
				WithRule(RuleEncoding).WithHint("save the file as UTF-8")
		case !allowedRune(r):
			return src.at(line, column, fmt.Sprintf("character %U is not allowed", r)).
				WithRule(RuleEncoding).WithHint(`write it as an escape in double quotes, like "\x1b"`)
		case r == '\n' || (r == '\r' && (i+1 == len(data) || data[i+1] != '\n')):
			line, column = line+1, 0
		}
		i += size
		column++
	}
	return nil
}

func allowedRune(r rune) bool {
	switch {
	case r == '\t', r == '\n', r == '\r', r == 0x85:
		return true
	case r < 0x20, r >= 0x7f && r < 0xa0, r == 0xfeff, r == 0xfffe, r == 0xffff:
		return false
	}
	return true
}

func (s *source) tabAt(line, column int) *Error {
	return s.at(line, column, "tab in the indentation").WithRule(RuleTab).WithHint("indent with spaces")
}

// checker walks what was parsed as its readers will: through aliases.
type checker struct {
	src    *source
	left   int // nodes that may still be visited
	errs   []*Error
	ended  bool // a limit was reached
	active []*yaml.Node
}

func (c *checker) report(n *yaml.Node, rule, message, hint string) {
	e := c.src.at(n.Line, n.Column, message).WithRule(rule)
	e.Hint = hint
	c.add(e)
}

func (c *checker) add(e *Error) {
	if len(c.errs) < maxErrors {
		c.errs = append(c.errs, e)
	}
}

func (c *checker) stop(n *yaml.Node, message, hint string) {
	if !c.ended {
		c.errs = c.errs[:min(len(c.errs), maxErrors-1)]
		c.report(n, RuleLimit, message, hint)
	}
	c.ended = true
}

// walk visits n. What is reached through an alias has been looked at where it
// stands, so there only size and depth are checked.
func (c *checker) walk(n *yaml.Node, depth int, repeated bool) {
	c.left--
	switch {
	case c.ended:
		return
	case c.left < 0:
		c.stop(n, fmt.Sprintf("document has more than %d values", MaxNodes), "aliases count as what they repeat")
		return
	case depth > MaxDepth:
		c.stop(n, fmt.Sprintf("nested deeper than %d levels", MaxDepth), "")
		return
	}
	if !repeated {
		c.checkNode(n)
	}
	if n.Kind == yaml.AliasNode {
		if slices.Contains(c.active, n.Alias) {
			c.stop(n, fmt.Sprintf("alias *%s repeats what it is part of", n.Value), "")
			return
		}
		c.walk(n.Alias, depth, true)
		return
	}
	c.active = append(c.active, n)
	for _, child := range n.Content {
		c.walk(child, depth+1, repeated)
	}
	c.active = c.active[:len(c.active)-1]
}

func (c *checker) checkNode(n *yaml.Node) {
	if tab, found := c.tabBefore(n); found {
		c.add(c.src.tabAt(n.Line, tab))
	}
	if n.Style&yaml.TaggedStyle != 0 {
		c.report(n, RuleTag, fmt.Sprintf("tag %s is not allowed", n.Tag), "a value in quotes is a string")
	}
	if n.Kind == yaml.MappingNode {
		c.checkKeys(n)
	}
}

// tabBefore finds a tab in the indentation of a node that is the first in its
// line: yaml.v3 lets some pass. It reads no more than the indentation, since a
// line may have all nodes of the document.
func (c *checker) tabBefore(n *yaml.Node) (column int, found bool) {
	if n.Line < 1 || n.Line > len(c.src.lines) {
		return 0, false
	}
	line := c.src.lines[n.Line-1]
	for i := range min(len(line), n.Column-1) {
		switch {
		case line[i] == '\t' && !found:
			column, found = i+1, true
		case line[i] != ' ' && line[i] != '\t':
			return 0, false
		}
	}
	return column, found
}

func (c *checker) checkKeys(n *yaml.Node) {
	first := make(map[string]int, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		switch {
		case key.Kind != yaml.ScalarNode:
			c.report(key, RuleType, "key is not a simple word", "if it was meant as text, quote it")
		case key.Style == 0 && key.Value == "<<":
			c.report(key, RuleMergeKey, "merge key << is not allowed", "repeat the fields, or name the whole value by an alias")
		case key.Style == 0 && isBooleanWord(key.Value):
			c.report(key, RuleBoolean, fmt.Sprintf("key %s is a boolean in YAML 1.1", key.Value), fmt.Sprintf("quote it: %q", key.Value))
		case first[key.Value] != 0:
			c.report(key, RuleDuplicateKey, fmt.Sprintf("key %q is already in line %d", key.Value, first[key.Value]), "")
		default:
			first[key.Value] = key.Line
		}
	}
}

// isBooleanWord reports whether YAML 1.1 or 1.2 reads the plain word as a
// boolean. The one-letter forms y and n are left out: no common reader takes them.
func isBooleanWord(s string) bool {
	switch strings.ToLower(s) {
	case "true", "false", "yes", "no", "on", "off":
		return true
	}
	return false
}
