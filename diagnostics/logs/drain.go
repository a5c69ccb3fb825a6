package logs

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// wildcard stands in a template for a token that differs from line to line.
const wildcard = "<*>"

// more is the last token of a line that has more of them than the limit.
const more = "<more>"

// Grouping says how lines are grouped and how much is kept. A field that is 0
// or nil takes its value from DefaultGrouping.
type Grouping struct {
	// Similarity is the share of tokens, 0 to 1, that a line must have in
	// common with a template to belong to it. One token may always differ.
	Similarity float64
	// Prefix is how many leading tokens choose the leaf of the tree; the
	// "depth" of the paper is 3 more.
	Prefix int
	// Mask appends a line to dst with its parameters masked.
	Mask func(dst []byte, line string) []byte

	MaxTemplates int // kept at once; for another the least used one goes
	MaxChildren  int // of a node of the tree; further tokens share the one of the wildcard
	MaxTokens    int // of a line; lines that are longer agree in their length
	MaxLineBytes int // of a line; what is behind them is not looked at
}

// DefaultGrouping is that of the product, chosen on four logs of loghub-2k
// (docs/benchmarks.md); with 0.78 to 0.8 and two tokens each of them is best or
// near it. 500 templates of the worst lines take about 3 MiB.
func DefaultGrouping() Grouping {
	return Grouping{
		Similarity: 0.8, Prefix: 2, Mask: Mask,
		MaxTemplates: 500, MaxChildren: 100, MaxTokens: 64, MaxLineBytes: 1024,
	}
}

// withDefaults fills the fields that say nothing.
func (g Grouping) withDefaults() Grouping {
	d := DefaultGrouping()
	if g.Similarity <= 0 {
		g.Similarity = d.Similarity
	}
	if g.Mask == nil {
		g.Mask = d.Mask
	}
	for _, f := range []struct{ field, value *int }{
		{&g.Prefix, &d.Prefix},
		{&g.MaxTemplates, &d.MaxTemplates},
		{&g.MaxChildren, &d.MaxChildren},
		{&g.MaxTokens, &d.MaxTokens},
		{&g.MaxLineBytes, &d.MaxLineBytes},
	} {
		if *f.field <= 0 {
			*f.field = *f.value
		}
	}
	return g
}

// Template is what lines have in common. It belongs to its Drain, which
// changes it with further lines.
type Template struct {
	Count   int    // the lines that it stood for
	Example string // the first of them, cut to the limit, without control characters

	tokens   []string
	telling  []bool // by token: it must not vary
	leaf     *node
	lastUsed int // the number of the line
}

// String returns the tokens, with placeholders for what varies.
func (t *Template) String() string { return strings.Join(t.tokens, " ") }

// Drain groups lines as they come: a tree chooses a leaf by the number of
// tokens and the first few of them, and there the line joins the most similar
// template or begins one. It differs from the paper in three ways: words that
// complain ("failed", "refused") and exit statuses never vary within a template,
// placeholders of the same kind count as equal, and there are limits.
//
// A Drain is not for concurrent use.
type Drain struct {
	grouping  Grouping
	root      *node
	templates []*Template
	lost      Lost
	lines     int // learned so far
	masked    []byte
	line      [][]byte // the tokens of the line, in masked
	telling   []bool   // by token of the line: it must not vary
}

// Lost is what a limit made a Drain forget.
type Lost struct {
	Templates int // as often as one made room for another
	Lines     int // that these stood for
}

// node is an inner node, which has children, or a leaf, which has templates.
type node struct {
	parent    *node
	key       string // of this node among the children of parent
	children  map[string]*node
	templates []*Template
}

// NewDrain returns a Drain that has learned nothing.
func NewDrain(g Grouping) *Drain {
	return &Drain{grouping: g.withDefaults(), root: &node{}}
}

// Templates returns what is kept, in the order in which it was first seen.
func (d *Drain) Templates() []*Template { return slices.Clone(d.templates) }

// Lost returns what was forgotten so far.
func (d *Drain) Lost() Lost { return d.lost }

// Learn adds a line, and returns the template that it belongs to; nil for a
// line of blanks.
func (d *Drain) Learn(line string) *Template {
	line = cut(line, d.grouping.MaxLineBytes)
	d.masked = d.grouping.Mask(d.masked[:0], line)
	d.line = split(d.line[:0], d.masked, d.grouping.MaxTokens)
	if len(d.line) == 0 {
		return nil
	}
	d.lines++
	d.telling = tells(d.telling[:0], d.line)
	t := d.mostSimilar()
	if t == nil {
		if len(d.templates) >= d.grouping.MaxTemplates {
			d.forgetLeastUsed()
		}
		t = d.begin(line)
	}
	t.Count++
	t.lastUsed = d.lines
	return t
}

// cut returns at most limit bytes of s, and no part of a character.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for end := limit; end > limit-utf8.UTFMax && end > 0; end-- {
		if utf8.RuneStart(s[end]) {
			return s[:end]
		}
	}
	return s[:limit]
}

// split appends the tokens of a masked line to dst.
func split(dst [][]byte, masked []byte, limit int) [][]byte {
	for i := 0; i < len(masked); {
		if masked[i] <= ' ' {
			i++
			continue
		}
		end := i + 1
		for end < len(masked) && masked[end] > ' ' {
			end++
		}
		if len(dst) == limit {
			return append(dst, []byte(more))
		}
		dst = append(dst, masked[i:end])
		i = end
	}
	return dst
}

// mostSimilar returns the template to which the line belongs, with the line's
// differences made wildcards in it; nil when there is none. Among equals it is
// the one with more wildcards, as in the paper, and then the older.
func (d *Drain) mostSimilar() *Template {
	leaf := d.leaf()
	if leaf == nil {
		return nil
	}
	const rounding = 1e-9 // so that 0.8 of 15 is 12
	need := min(len(d.line)-1, int(math.Ceil(d.grouping.Similarity*float64(len(d.line))-rounding)))
	var best *Template
	bestSame, bestWild := need-1, 0
	for _, t := range leaf.templates {
		same, wild := d.similarity(t, need)
		if same > bestSame || same == bestSame && best != nil && wild > bestWild {
			best, bestSame, bestWild = t, same, wild
		}
	}
	if best == nil {
		return nil
	}
	for i, token := range d.line {
		if best.tokens[i] != string(token) {
			best.tokens[i] = wildcard
		}
	}
	return best
}

// none is the similarity of what may not go together: less than any that is
// needed.
const none = -2

// similarity counts the tokens that the line has in common with a template, and
// the template's wildcards; none when fewer than need are the same, or what
// differs must not vary.
func (d *Drain) similarity(t *Template, need int) (same, wild int) {
	for i, token := range d.line {
		switch {
		case t.tokens[i] == wildcard:
			if d.telling[i] {
				return none, 0
			}
			wild++
		case t.tokens[i] == string(token):
			same++
			continue
		case d.telling[i] || t.telling[i]:
			return none, 0
		}
		if same+len(d.line)-1-i < need {
			return none, 0
		}
	}
	return same, wild
}

// tells appends for each token whether it must not vary within a template: a
// complaint, or an exit status, whose name may be the token before.
func tells(dst []bool, line [][]byte) []bool {
	var before []byte
	for _, token := range line {
		dst = append(dst, complains(token) || isStatus(before, token))
		before = token
	}
	return dst
}

// leaf follows the line down the tree; nil where the tree does not reach.
func (d *Drain) leaf() *node {
	at := d.root.children[strconv.Itoa(len(d.line))]
	for _, token := range d.line[:min(d.grouping.Prefix, len(d.line))] {
		if at == nil {
			return nil
		}
		if next := at.children[string(token)]; next != nil {
			at = next
		} else {
			at = at.children[wildcard]
		}
	}
	return at
}

// begin adds a template that is the line itself.
func (d *Drain) begin(line string) *Template {
	t := &Template{Example: printable(line), tokens: make([]string, len(d.line)), telling: slices.Clone(d.telling)}
	for i, token := range d.line {
		t.tokens[i] = string(token)
	}
	at := d.root.child(strconv.Itoa(len(t.tokens)))
	for _, token := range t.tokens[:min(d.grouping.Prefix, len(t.tokens))] {
		at = at.child(at.branch(token, d.grouping.MaxChildren))
	}
	t.leaf = at
	at.templates = append(at.templates, t)
	d.templates = append(d.templates, t)
	return t
}

// branch returns the key of the child for token: its own, or the wildcard for
// a token with a number or placeholder and where there are too many others.
func (n *node) branch(token string, maxChildren int) string {
	if n.children[token] != nil {
		return token
	}
	if strings.ContainsAny(token, "<0123456789") || len(n.children) >= maxChildren-1 {
		return wildcard
	}
	return token
}

func (n *node) child(key string) *node {
	c := n.children[key]
	if c == nil {
		if n.children == nil {
			n.children = map[string]*node{}
		}
		c = &node{parent: n, key: key}
		n.children[key] = c
	}
	return c
}

// forgetLeastUsed makes room: the template with the fewest lines goes, among
// equals the one that was not used for longest, and the nodes that only it had.
func (d *Drain) forgetLeastUsed() {
	least := 0
	for i, t := range d.templates {
		if l := d.templates[least]; t.Count < l.Count || t.Count == l.Count && t.lastUsed < l.lastUsed {
			least = i
		}
	}
	gone := d.templates[least]
	d.lost.Templates++
	d.lost.Lines += gone.Count
	d.templates = slices.Delete(d.templates, least, least+1)
	n := gone.leaf
	at := slices.Index(n.templates, gone)
	n.templates = slices.Delete(n.templates, at, at+1)
	for n.parent != nil && len(n.templates) == 0 && len(n.children) == 0 {
		delete(n.parent.children, n.key)
		n = n.parent
	}
}

// printable replaces what a terminal might obey by blanks.
func printable(line string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(line, "\uFFFD"))
}
