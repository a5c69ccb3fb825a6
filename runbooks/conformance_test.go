package runbooks

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/internal/yamlx"
)

// example is one YAML block of docs/runbook-format.md.
type example struct {
	line   int
	rule   string // of the section it stands in
	expect string // accept, reject, base
	text   string
}

// examples reads the page. A yaml block that is marked as nothing is an error,
// so that no example can stand there untested.
func examples(t *testing.T) []example {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "docs", "runbook-format.md"))
	if err != nil {
		t.Fatal(err)
	}
	heading := regexp.MustCompile(`^### Rule \d+ \((SL\d{3})\)`)
	var found []example
	var open *example
	rule := ""
	for i, line := range strings.Split(string(page), "\n") {
		switch {
		case open != nil && line == "```":
			found, open = append(found, *open), nil
		case open != nil:
			open.text += line + "\n"
		case strings.HasPrefix(line, "```yaml"):
			expect := strings.TrimSpace(strings.TrimPrefix(line, "```yaml"))
			if !slices.Contains([]string{"accept", "reject", "base"}, expect) {
				t.Fatalf("line %d: a yaml block is marked %q, neither accept nor reject", i+1, expect)
			}
			open = &example{line: i + 1, rule: rule, expect: expect}
		case heading.MatchString(line):
			rule = heading.FindStringSubmatch(line)[1]
		}
	}
	return found
}

// complete puts the parts of spec that an example shows into the base runbook,
// in place of its own.
func complete(base, parts string) string {
	if strings.HasPrefix(parts, "apiVersion:") {
		return parts
	}
	key := regexp.MustCompile(`^([a-z_]+):`)
	indented := "  " + strings.ReplaceAll(strings.TrimSuffix(parts, "\n"), "\n", "\n  ") + "\n"
	replaced := []string{}
	for line := range strings.Lines(parts) {
		if m := key.FindStringSubmatch(line); m != nil {
			replaced = append(replaced, m[1])
		}
	}
	var out strings.Builder
	skip := false
	for line := range strings.Lines(base) {
		if m := key.FindStringSubmatch(strings.TrimPrefix(line, "  ")); m != nil && strings.HasPrefix(line, "  ") {
			skip = slices.Contains(replaced, m[1])
		}
		if !skip {
			out.WriteString(line)
		}
	}
	return out.String() + indented
}

func TestConformance(t *testing.T) {
	t.Parallel()
	all := examples(t)
	base := ""
	covered := map[string]bool{}
	for _, e := range all {
		if e.expect == "base" {
			base = e.text
			e.expect = "accept"
		}
		covered[e.rule+" "+e.expect] = true
		t.Run(fmt.Sprintf("%s/%s/line %d", e.rule, e.expect, e.line), func(t *testing.T) {
			t.Parallel()
			_, err := Parse("example.yaml", []byte(complete(base, e.text)), testOptions())
			if e.expect == "accept" {
				if err != nil {
					t.Fatalf("refused:\n%v", err)
				}
				return
			}
			if err == nil {
				t.Fatal("accepted")
			}
			for _, one := range yamlx.Errors(err) {
				text, ok := Explain(one.Rule)
				if !ok {
					t.Errorf("rule %q of %q has no explanation", one.Rule, one.Detail())
				}
				if want, _ := Explain(e.rule); text != want {
					t.Errorf("refused by %s, not %s: %s", one.Rule, e.rule, one.Detail())
				}
				if one.Line < 1 || one.Column < 1 || one.Snippet == "" {
					t.Errorf("%v has no position", one)
				}
			}
		})
	}
	for _, rule := range Rules() {
		if !covered[rule+" reject"] || !covered[rule+" accept"] && rule != RuleUnsupported {
			t.Errorf("the page has no example for both sides of %s", rule)
		}
	}
}

func TestEveryRuleIsExplained(t *testing.T) {
	t.Parallel()
	for _, id := range Rules() {
		text, ok := Explain(strings.ToLower(id))
		if !ok || !strings.Contains(text, "\n") {
			t.Errorf("%s has no explanation of more than a line", id)
		}
	}
	if _, ok := Explain("SL999"); ok {
		t.Error("an unknown rule is explained")
	}
}
