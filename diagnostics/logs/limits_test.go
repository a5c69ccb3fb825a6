package logs

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// nodes counts the tree below n, and the most children of a node.
func nodes(n *node) (count, widest int) {
	count, widest = 1, len(n.children)
	for _, c := range n.children {
		below, wide := nodes(c)
		count += below
		widest = max(widest, wide)
	}
	return count, widest
}

// word is a word without a digit, another for each n.
func word(n int) string {
	w := "w"
	for ; n > 0; n /= 26 {
		w += string(rune('a' + n%26))
	}
	return w
}

func TestKeepsNoMoreThanItsLimits(t *testing.T) {
	t.Parallel()
	limits := Grouping{MaxTemplates: 50, MaxChildren: 10, MaxTokens: 8, MaxLineBytes: 100}
	d := NewDrain(limits)
	random := rand.New(rand.NewPCG(3, 4))
	const lines = 20_000
	for range lines {
		tokens := make([]string, 1+random.IntN(20))
		for i := range tokens {
			tokens[i] = word(random.IntN(1_000_000))
		}
		d.Learn(strings.Join(tokens, " "))
	}
	if len(d.templates) != limits.MaxTemplates {
		t.Errorf("%d templates, want %d", len(d.templates), limits.MaxTemplates)
	}
	kept := 0
	for _, template := range d.templates {
		kept += template.Count
		if len(template.tokens) > limits.MaxTokens+1 {
			t.Errorf("%d tokens: %s", len(template.tokens), template)
		}
		if len(template.Example) > limits.MaxLineBytes {
			t.Errorf("%d bytes: %s", len(template.Example), template.Example)
		}
	}
	if kept+d.lost.Lines != lines || d.lost.Templates == 0 {
		t.Errorf("kept %d lines and lost %+v, of %d", kept, d.lost, lines)
	}
	count, widest := nodes(d.root)
	if most := 1 + limits.MaxTemplates*(1+2); count > most || widest > limits.MaxChildren {
		t.Errorf("%d nodes with up to %d children, want %d with %d", count, widest, most, limits.MaxChildren)
	}
}

func TestForgetsTheLeastUsed(t *testing.T) {
	t.Parallel()
	d := NewDrain(Grouping{MaxTemplates: 3})
	for _, line := range []string{"often", "later", "later", "often", "seldom a b c", "seldom a b c", "seldom a b c", "once", "again"} {
		d.Learn(line)
	}
	// "often" and "later" have two lines, "later" was not used for longer; "once"
	// came in its place and has the fewest when "again" comes.
	got := fmt.Sprint(d.Templates())
	if want := "[often seldom a b c again]"; got != want {
		t.Errorf("kept %s, want %s", got, want)
	}
	if want := (Lost{Templates: 2, Lines: 3}); d.Lost() != want {
		t.Errorf("lost %+v, want %+v", d.Lost(), want)
	}
	if count, _ := nodes(d.root); count != 1+3+3 { // the root, 4/seldom/a, 1/often, 1/again
		t.Errorf("%d nodes: those of what was forgotten are still there", count)
	}
}

func TestTokensBeyondTheChildrenShareOneNode(t *testing.T) {
	t.Parallel()
	d := NewDrain(Grouping{MaxChildren: 3})
	for n := range 10 {
		d.Learn(word(n) + " logged in at noon today")
	}
	got := fmt.Sprint(d.Templates())
	if want := "[w logged in at noon today wb logged in at noon today <*> logged in at noon today]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestLongLinesAreCut(t *testing.T) {
	t.Parallel()
	d := NewDrain(Grouping{MaxTokens: 3, MaxLineBytes: 40})
	if got := d.Learn("a b c d e").String(); got != "a b c "+more {
		t.Errorf("got %q", got)
	}
	if got := d.Learn("a b c d e f g"); got.Count != 2 {
		t.Errorf("lines that are too long are two templates: %s", got)
	}
	if got := d.Learn("a b c"); got.Count != 1 {
		t.Errorf("a line of just the limit is as long as those beyond: %s", got)
	}
	if got := d.Learn(strings.Repeat("x", 39) + "é and more"); got.Example != strings.Repeat("x", 39) {
		t.Errorf("cut to %q, inside a character or too far", got.Example)
	}
}
