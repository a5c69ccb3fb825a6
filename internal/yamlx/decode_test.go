package yamlx

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/secondline-ops/secondline/internal/fault"
)

type common struct {
	Title string `yaml:"title"`
}

type level string

// state reads itself from a word or a mapping.
type state struct{ name string }

func (s *state) DecodeYAML(n *Node) error {
	text, ok := n.Scalar()
	switch {
	case !ok:
		return n.Errorf("a state is a word")
	case text == "odd":
		return errors.New("state is odd")
	}
	s.name = text
	return nil
}

type document struct {
	common
	Name    string            `yaml:"name,required"`
	Level   level             `yaml:"level"`
	On      bool              `yaml:"enabled"`
	Count   int               `yaml:"count"`
	Small   uint8             `yaml:"small"`
	Ratio   float64           `yaml:"ratio"`
	Wait    time.Duration     `yaml:"wait"`
	Argv    []string          `yaml:"argv"`
	Labels  map[string]string `yaml:"labels"`
	Nested  *document         `yaml:"nested"`
	Steps   []document        `yaml:"steps"`
	Raw     *Node             `yaml:"raw"`
	With    map[string]any    `yaml:"with"`
	Any     any               `yaml:"any"`
	State   state             `yaml:"state"`
	States  map[string]*state `yaml:"states"`
	Address netip.Addr        `yaml:"address"`
	Skipped string
}

func decode(t testing.TB, text string) (document, error) {
	t.Helper()
	n, err := Parse("a.yaml", []byte(text))
	if err != nil {
		return document{}, err
	}
	var d document
	return d, n.Decode(&d)
}

func TestDecodeReadsEveryKind(t *testing.T) {
	t.Parallel()
	text := strings.ReplaceAll(`title: T
name: "yes"
level: high
enabled: true
count: -42
small: 255
ratio: 1.5e3
wait: 1d1h30m
argv: [head, -n, 5, 1.10, 0644, 2026-01-02, "true", 'no']
labels: &l {env: prod, zone: }
nested: {name: inner, labels: *l}
steps:
  - name: a
  - {name: b, count: 0}
raw: [1, {a: b}]
with: {mount: /var, n: 5, f: 2.5, b: true, list: [a, ~], m: {k: "017"}}
any: [1]
state: running
states: {x: up}
address: 10.0.0.5
`, "\n", "\r\n")
	got, err := decode(t, text)
	if err != nil {
		t.Fatal(err)
	}
	raw := got.Raw
	got.Raw = nil
	want := document{
		common: common{Title: "T"}, Name: "yes", Level: "high", On: true, Count: -42, Small: 255, Ratio: 1500, Wait: 25*time.Hour + 30*time.Minute,
		Argv:   []string{"head", "-n", "5", "1.10", "0644", "2026-01-02", "true", "no"},
		Labels: map[string]string{"env": "prod", "zone": ""},
		Nested: &document{Name: "inner", Labels: map[string]string{"env": "prod", "zone": ""}},
		Steps:  []document{{Name: "a"}, {Name: "b"}},
		With:   map[string]any{"mount": "/var", "n": int64(5), "f": 2.5, "b": true, "list": []any{"a", nil}, "m": map[string]any{"k": "017"}},
		Any:    []any{int64(1)}, State: state{"running"}, States: map[string]*state{"x": {"up"}}, Address: netip.MustParseAddr("10.0.0.5"),
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(document{}, state{}), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	if raw.Line() != 15 || raw.Column() != 6 || raw.File() != "a.yaml" || raw.Kind() != List || raw.String() != "a.yaml:15:6" {
		t.Errorf("raw node at %s", raw)
	}
	if items := raw.Items(); len(items) != 2 || !cmp.Equal(items[1].Keys(), []string{"a"}) {
		t.Errorf("raw items %v", items)
	}
}

// mistakes is the table of what is refused: position, message, hint, rule.
func TestMistakesHaveAPositionAndAHint(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text          string
		at            string
		message, hint string
		rule          string
	}{
		{"nmae: x\nname: y", "1:1", `unknown field "nmae"`, `did you mean "name"?`, RuleUnknownField},
		{"name: y\nzzzzzzzz: 1", "2:1", "unknown field", "known: title, name", RuleUnknownField},
		{"title: x", "1:1", `field "name" is missing`, "", RuleMissingField},
		{"name: x\nname: y", "2:1", `key "name" is already in line 1`, "", RuleDuplicateKey},
		{"name: x\nlabels: {a: b, \"a\": c}", "2:16", "already in line 2", "", RuleDuplicateKey},
		{"name: yes", "1:7", "yes is a boolean, not a string", `quote it if it is text: "yes"`, RuleBoolean},
		{"name: True", "1:7", "is a boolean", "quote it", RuleBoolean},
		{"name: x\nlabels: {on: b}", "2:10", "key on is a boolean", `quote it: "on"`, RuleBoolean},
		{"name: x\nargv: [a, Off]", "2:11", "is a boolean", "quote it", RuleBoolean},
		{"name: x\nwith: {a: no}", "2:11", "is a boolean", "quote it", RuleBoolean},
		{"name: x\nenabled: yes", "2:10", "yes is not a boolean here", "write true", RuleBoolean},
		{"name: x\nenabled: OFF", "2:10", "OFF is not a boolean here", "write false", RuleBoolean},
		{"name: x\nenabled: 'true'", "2:10", "is a string", "remove the quotes", RuleType},
		{"name: x\nenabled: 1", "2:10", "true or false expected", "", RuleType},
		{"name: x\ncount: 017", "2:8", "octal", "write the number in decimal: 15", RuleNumber},
		{"name: x\ncount: 0x1f", "2:8", "octal", "31", RuleNumber},
		{"name: x\ncount: 0o17", "2:8", "octal", "15", RuleNumber},
		{"name: x\ncount: 1_000", "2:8", "underscores", "write 1000", RuleNumber},
		{"name: x\nwith: {n: 010}", "2:11", "octal", "8", RuleNumber},
		{"name: x\nratio: 1_000.5", "2:8", "underscores", "write 1000.5", RuleNumber},
		{"name: x\nratio: .inf", "2:8", "number expected", "", RuleType},
		{"name: x\ncount: '5'", "2:8", "whole number expected", "remove the quotes", RuleType},
		{"name: x\ncount: 5.5", "2:8", `whole number expected, not "5.5"`, "", RuleType},
		{"name: x\ncount: 99999999999999999999", "2:8", "", "", ""},
		{"name: x\nsmall: 256", "2:8", "256 does not fit", "", RuleNumber},
		{"name: x\nsmall: -1", "2:8", "-1 does not fit", "", RuleNumber},
		{"name: x\nwait: 5", "2:7", "not a duration", "say the unit: 5s, 5m or 5h", RuleType},
		{"name: x\nwait: soon", "2:7", "not a duration", "units", RuleType},
		{"name: x\nwait: 1.5d", "2:7", "not a duration", "30d", RuleType},
		{"name: x\nargv: ls -l", "2:7", `list expected, not "ls -l"`, "", RuleType},
		{"name: [x]", "1:7", "string expected, not list", "", RuleType},
		{"name: x\nlabels: [a]", "2:9", "mapping expected, not list", "", RuleType},
		{"name: x\nnested: 5", "2:9", "mapping expected", "", RuleType},
		{"- a", "1:1", "mapping expected, not list", "", RuleType},
		{"name: x\nstate: [a]", "2:8", "a state is a word", "", ""},
		{"name: x\nstate: odd", "2:8", "state is odd", "", RuleType},
		{"name: x\naddress: here", "2:10", "ParseAddr", "", RuleType},
		{"name: x\nbase: &b {a: b}\nlabels:\n  <<: *b", "4:3", "merge key", "", RuleMergeKey},
		{"name: !!str x", "1:7", "tag !!str", "", RuleTag},
		{"name: !secret x", "1:7", "tag !secret", "", RuleTag},
		{"? [a, b]\n: c", "1:3", "not a simple word", "", RuleType},
		{"? {a: b}\n: c", "1:3", "not a simple word", "", RuleType},
		{"name: x\nargv:\n  - *nowhere", "3:5", "no anchor &nowhere", "", RuleSyntax},
		{"name: &a [*a]", "1:11", "repeats what it is part of", "", RuleLimit},
		{"name:\n\tx: y", "2:1", "tab", "spaces", RuleTab},
		{"steps:\n  - name: x\n\t- name: y", "3:1", "tab", "spaces", RuleTab},
		{"argv: [\n\ta]", "2:1", "tab", "spaces", RuleTab},
		{"name: a\xffb", "1:8", "byte 0xff is not UTF-8", "UTF-8", RuleEncoding},
		{"title: ü\nname: a\x1b[2Jb", "2:8", "U+001B", "escape", RuleEncoding},
		{"a: [1\nb: 2", "", "", "", RuleSyntax},
		{"a: 'x", "", "", "", RuleSyntax},
		{"a: b: c", "1:5", "mapping values are not allowed", "in quotes", RuleSyntax},
		{"a:\n  - b: 1\n    run: {x: {y: 1}, z: 2\n    c: 3", "3:10", "a { is not closed", "{one: 1, two: 2}", RuleSyntax},
		{"a:\n  - [b, c\n  - d", "2:5", "a [ is not closed", "[one, two]", RuleSyntax},
		{"a:\n  - id: x\n    b: 1\n   c: 2", "2:3", "a line of this list is indented", "one column", RuleSyntax},
		{"a:\n  b: 1\n  c: \"x\" y", "2:3", "a line of this mapping", "one column", RuleSyntax},
		{"a:\n  ü: [x, *.log]", "2:10", "begin an alias", "in quotes", RuleSyntax},
		{"a:\n  b: @daily", "2:6", "no value can begin", "in quotes", RuleSyntax},
		{"a: 1\nb\nc: 2", "", "a key without its colon", "key: value", RuleSyntax},
		{"a:\n  b: \"c\\d\"", "2:8", "a backslash begins an escape", "single quotes", RuleSyntax},
		{"a:\n  b: - c", "2:6", "there is no list here", "a line of its own", RuleSyntax},
		{"a:\n  b: 'c\nd: 1", "2:3", "is not closed", "a quote is written", RuleSyntax},
		{"name: x\n---\nname: y", "3:1", "second document", "", RuleDocuments},
		{strings.Repeat("[", 70) + strings.Repeat("]", 70), "1:65", "nested deeper", "", RuleLimit},
		{strings.Repeat("x", MaxBytes+1), "1:1", "bytes", "", RuleLimit},
		{"[" + strings.Repeat("1,", MaxNodes) + "1]", "", "more than 50000 values", "", RuleLimit},
	} {
		_, err := decode(t, c.text)
		all := Errors(err)
		if len(all) != 1 {
			t.Errorf("%.60q: %d errors: %v", c.text, len(all), err)
			continue
		}
		e := all[0]
		if at := fmt.Sprintf("%d:%d", e.Line, e.Column); (c.at != "" && at != c.at) || e.File != "a.yaml" ||
			!strings.Contains(e.Message, c.message) || !strings.Contains(e.Hint, c.hint) || (c.rule != "" && e.Rule != c.rule) {
			t.Errorf("%.60q: %v (hint %q, rule %s), want %s %q (hint %q, rule %s)", c.text, e, e.Hint, e.Rule, c.at, c.message, c.hint, c.rule)
		}
		if fault.KindOf(err) != fault.Invalid {
			t.Errorf("%.60q: kind %s", c.text, fault.KindOf(err))
		}
	}
}

func TestReportsAllMistakesInOrder(t *testing.T) {
	t.Parallel()
	_, err := decode(t, "title: no\ncount: 1_0\nsteps:\n  - nam: x\n    wait: 5\nstate: odd\nother: 1\n")
	var got []string
	for _, e := range Errors(fmt.Errorf("load: %w", err)) {
		got = append(got, fmt.Sprintf("%d:%d %s", e.Line, e.Column, e.Rule))
	}
	want := []string{
		"1:1 yaml-missing-field", "1:8 yaml-boolean", "2:8 yaml-number", "4:5 yaml-unknown-field", "4:5 yaml-missing-field",
		"5:11 yaml-type", "6:8 yaml-type", "7:1 yaml-unknown-field",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	_, err = Parse("a", []byte("a: 1\na: 2\nb: !x 1\n<<: {}\n"))
	if n := len(Errors(err)); n != 3 {
		t.Errorf("%d errors at parsing, want 3: %v", n, err)
	}
	for _, many := range []string{strings.Repeat("- !x 1\n", 200), "argv: [" + strings.Repeat("yes, ", 200) + "]\nname: x"} {
		if _, err = decode(t, many); len(Errors(err)) != maxErrors {
			t.Errorf("%d errors, want the limit %d", len(Errors(err)), maxErrors)
		}
	}
	if Errors(nil) != nil || Errors(errors.New("x")) != nil {
		t.Error("found errors in others")
	}
}

func TestDetailPointsAtThePlace(t *testing.T) {
	t.Parallel()
	_, err := decode(t, "title: ü\n  \nname: {nmae: \"ü\", x: no}\n")
	want := "a.yaml:3:7: string expected, not mapping\n    3 | name: {nmae: \"ü\", x: no}\n      |       ^"
	if diff := cmp.Diff(want, Errors(err)[0].Detail()); diff != "" {
		t.Error(diff)
	}
	_, err = decode(t, "enabled: yes\nname: x\n")
	want = "a.yaml:1:10: yes is not a boolean here\n    1 | enabled: yes\n      |          ^\nhint: write true"
	if diff := cmp.Diff(want, Errors(err)[0].Detail()); diff != "" {
		t.Error(diff)
	}
	_, err = Parse("a", []byte("a: \x1b[2J"))
	if strings.ContainsRune(Errors(err)[0].Detail(), '\x1b') {
		t.Error("escape sequence in the snippet")
	}
}

func TestAliasBombIsRefused(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x]\n")
	for i := 1; i < 12; i++ {
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i, i, strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 9))
	}
	_, err := Parse("bomb", []byte(b.String()))
	if all := Errors(err); len(all) != 1 || all[0].Rule != RuleLimit {
		t.Errorf("got %v", err)
	}
}

func TestTabsInsideTextAreAllowed(t *testing.T) {
	t.Parallel()
	got, err := decode(t, "name: x\ntitle: |\n  a\n  \tb\nargv: [a,\tb]\n")
	if err != nil || got.Title != "a\n\tb\n" {
		t.Errorf("%q %v", got.Title, err)
	}
}

func TestDocuments(t *testing.T) {
	t.Parallel()
	all, err := ParseAll("a", []byte("---\na: 1\n---\n---\n# nothing\n---\nb: 2\n...\n"))
	if err != nil || len(all) != 2 || all[1].Line() != 7 {
		t.Errorf("%v %v", all, err)
	}
	for _, empty := range []string{"", "\n", "# only a comment\n", "---\n", "null", "\uFEFF"} {
		n, err := Parse("a", []byte(empty))
		if err != nil || n.Kind() != Null {
			t.Errorf("%q: %v", empty, err)
			continue
		}
		var c common
		if err := n.Decode(&c); err != nil {
			t.Errorf("%q: %v", empty, err)
		}
	}
	if n, err := Parse("a", []byte("\uFEFFa: 1")); err != nil || !cmp.Equal(n.Keys(), []string{"a"}) {
		t.Errorf("byte order mark: %v %v", n, err)
	}
}

func TestErrorWithin(t *testing.T) {
	t.Parallel()
	n, err := Parse("a", []byte("plain: ${x.y}\nquoted: \"${x.y}\"\nblock: |\n    one\n    ${x.y}\nfolded: >\n  ${x.y}\nescaped: \"\\x41${x.y}\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"plain": "1:12", "quoted": "2:14", "folded": "6:9", "escaped": "8:10"} {
		v, _ := n.Get(key)
		e := v.ErrorWithin(1, 5, "here")
		if got := fmt.Sprintf("%d:%d", e.Line, e.Column); got != want {
			t.Errorf("%s: %s, want %s", key, got, want)
		}
	}
	v, _ := n.Get("block")
	if e := v.ErrorWithin(2, 5, "here"); e.Line != 5 || e.Column != 9 {
		t.Errorf("block: %v", e)
	}
	if k, ok := n.Key("folded"); !ok || k.Line() != 6 || k.Column() != 1 {
		t.Errorf("key at %v", k)
	}
}

func TestSuggest(t *testing.T) {
	t.Parallel()
	known := []string{"used_percent", "mount", "verify", "id", "timeout"}
	for word, want := range map[string]string{
		"used_percnt": "used_percent", "Mount": "mount", "verfiy": "verify", "di": "id", "time_out": "timeout", "xyz": "", "": "", "q": "",
		"timeoutttttt": "", strings.Repeat("u", 10_000): "",
	} {
		if got := Suggest(word, known); got != want {
			t.Errorf("Suggest(%.20q) = %q, want %q", word, got, want)
		}
	}
}
