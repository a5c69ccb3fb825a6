package file

import (
	"regexp"
	"slices"
	"strings"

	"github.com/secondline-ops/secondline/internal/fault"
)

// style is how a file writes a key and its value. Most of its lines decide.
type style byte

const (
	none   style = 0
	equals style = '=' // key=value, key = value
	colon  style = ':' // key: value
	blank  style = ' ' // key value
)

// entry is a key in a file. Its lines are first to last.
type entry struct {
	first, last      int
	section          string
	indent, key, sep string
	value, comment   string // comment with the blanks before it
}

// section is a headline and what is below it. The text before the first
// headline is a section without a name.
type section struct {
	name string
	last int // the last line of its last entry, else its headline
}

// config is a file of keys. In it, the last occurrence of a key counts.
type config struct {
	text     text
	style    style
	entries  []entry
	sections []section

	title  *regexp.Regexp // [name], with a comment behind it
	remark *regexp.Regexp // where a comment behind a value begins
}

// nobody is the name of a section that no key can name.
const nobody = "\x00"

// parseConfig reads the lines. It refuses what is no file of keys.
func parseConfig(t text) (*config, error) {
	c := &config{
		text: t, sections: []section{{last: -1}}, title: regexp.MustCompile(`^\[([^\[\]]+)\]\s*([#;].*)?$`), remark: regexp.MustCompile(`\s+[#;]\s`),
	}
	votes := map[style]int{}
	for _, line := range t.lines {
		bare := strings.TrimSpace(line)
		if !isComment(bare) && strings.HasSuffix(bare, "{") || len(votes) == 0 && strings.HasPrefix(bare, "<?xml") {
			return nil, fault.New(fault.Denied, "the file is no list of keys and values").WithHint("change it by line, or by content")
		}
		if s := styleOf(line); s != none {
			votes[s]++
		}
	}
	c.style = equals
	for _, s := range []style{colon, blank} {
		if votes[s] > votes[c.style] {
			c.style = s
		}
	}
	for i := 0; i < len(t.lines); {
		i = c.line(i)
	}
	return c, nil
}

func isComment(bare string) bool {
	return bare == "" || bare[0] == '#' || bare[0] == ';' || strings.HasPrefix(bare, "//")
}

// styleOf tells by what stands behind the first word of a line.
func styleOf(line string) style {
	bare := strings.TrimSpace(line)
	if isComment(bare) || bare[0] == '[' || bare[0] == '<' {
		return none
	}
	at := 0
	for at < len(bare) && bare[at] != '=' && bare[at] != ' ' && bare[at] != '\t' && !colonAt(bare, at) {
		at++
	}
	rest := strings.TrimLeft(bare[at:], " \t")
	switch {
	case strings.HasPrefix(rest, "="):
		return equals
	case rest != "" && colonAt(rest, 0):
		return colon
	case rest != "":
		return blank
	}
	return none
}

func colonAt(s string, i int) bool {
	return s[i] == ':' && (i+1 == len(s) || s[i+1] == ' ' || s[i+1] == '\t')
}

// line reads the entry or headline at line i, and returns the line behind it.
func (c *config) line(i int) int {
	line := strings.TrimSuffix(c.text.lines[i], "\r")
	bare := strings.TrimSpace(line)
	if isComment(bare) {
		return i + 1
	}
	if name, ok := c.headline(bare); ok {
		c.sections = append(c.sections, section{name: name, last: i})
		return i + 1
	}
	now := &c.sections[len(c.sections)-1]
	e, ok := c.entry(line)
	if !ok {
		return i + 1
	}
	e.section, e.first = now.name, i
	e.last = c.end(i, len(e.indent))
	c.entries = append(c.entries, e)
	now.last = e.last
	return e.last + 1
}

// headline reads [name]; in a file like sshd_config(5), Match and Host begin
// what a section is elsewhere.
func (c *config) headline(bare string) (name string, ok bool) {
	if m := c.title.FindStringSubmatch(bare); m != nil {
		return strings.TrimSpace(m[1]), true
	}
	if bare[0] == '[' || bare[0] == '<' { // TOML's [[list]], a block of Apache, and whatever else
		return nobody, true
	}
	if first, _, _ := strings.Cut(bare, " "); c.style == blank && (strings.EqualFold(first, "match") || strings.EqualFold(first, "host")) {
		return nobody, true
	}
	return "", false
}

// entry takes a line apart.
func (c *config) entry(line string) (entry, bool) {
	bare := strings.TrimLeft(line, " \t")
	e := entry{indent: line[:len(line)-len(bare)]}
	at, width := -1, 1
	switch c.style {
	case equals:
		at = strings.IndexByte(bare, '=')
	case colon:
		for i := range len(bare) {
			if colonAt(bare, i) {
				at = i
				break
			}
		}
		if at < 0 || e.indent != "" { // below another key
			return entry{}, false
		}
	case blank:
		at, width = strings.IndexAny(bare, " \t"), 0
	case none:
	}
	if at < 0 {
		e.key = strings.TrimRight(bare, " \t") // without a value
		return e, true
	}
	e.key = strings.TrimRight(bare[:at], " \t")
	rest := strings.TrimLeft(bare[at+width:], " \t")
	e.sep = bare[len(e.key) : len(bare)-len(rest)]
	e.value, e.comment = c.splitComment(rest)
	return e, true
}

// splitComment finds a comment behind a value: a sign with blanks on both
// sides, since without them it may belong to the value ("red #3").
func (c *config) splitComment(rest string) (value, comment string) {
	if rest != "" && rest[0] != '"' && rest[0] != '\'' {
		if m := c.remark.FindStringIndex(rest); m != nil {
			return rest[:m[0]], rest[m[0]:]
		}
	}
	value = strings.TrimRight(rest, " \t")
	return value, rest[len(value):]
}

// end returns the last line of the entry at line i: lines go on behind a
// backslash, and, deeper than their key, without a separator.
func (c *config) end(i, indent int) int {
	for ; i+1 < len(c.text.lines); i++ {
		next := strings.TrimSuffix(c.text.lines[i+1], "\r")
		bare := strings.TrimLeft(next, " \t")
		onward := strings.HasSuffix(strings.TrimSuffix(c.text.lines[i], "\r"), `\`)
		deeper := len(next)-len(bare) > indent && !isComment(bare) && bare[0] != '[' &&
			(c.style == colon || c.style == equals && !strings.Contains(bare, "="))
		if !onward && !deeper {
			return i
		}
	}
	return i
}

func (e entry) name() string {
	if e.section == "" {
		return e.key
	}
	return e.section + "." + e.key
}

// setKey gives the key its value: in the place of its last occurrence, else as
// a new line of its section. done says that it has the value already.
func setKey(t text, key, value string) (p splice, done bool, err error) {
	c, err := parseConfig(t)
	if err != nil {
		return splice{}, false, err
	}
	found, similar := -1, ""
	for i, e := range c.entries {
		switch {
		case e.name() == key:
			found = i
		case strings.EqualFold(e.name(), key):
			similar = e.name()
		}
	}
	switch {
	case found >= 0:
		return c.change(c.entries[found], value)
	case similar != "":
		return splice{}, false, fault.New(fault.NotFound, "there is no key %q, but %q", key, similar)
	}
	p, err = c.add(key, value)
	return p, false, err
}

func (c *config) change(e entry, value string) (p splice, done bool, err error) {
	switch {
	case isRedacted(c.text.lines[e.first]):
		return splice{}, false, secretLine(e.first)
	case e.last > e.first || strings.HasSuffix(e.value, `\`):
		return splice{}, false, fault.New(fault.Denied, "the value of %q goes on over several lines", e.name())
	case e.value == value && e.sep != "":
		return splice{}, true, nil
	}
	if quote := quoteOf(e.value); quote != "" && quoteOf(value) == "" && !strings.ContainsAny(value, quote+"\\$`") {
		if e.value == quote+value+quote {
			return splice{}, true, nil
		}
		value = quote + value + quote
	}
	if e.sep == "" {
		e.sep = c.separator()
	}
	return c.text.replace(e.first, strings.TrimRight(e.indent+e.key+e.sep+value+e.comment, " \t")), false, nil
}

// quoteOf returns the quotes around a value.
func quoteOf(value string) string {
	if n := len(value); n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
		return value[:1]
	}
	return ""
}

// separator is that of the file's last key.
func (c *config) separator() string {
	for _, e := range slices.Backward(c.entries) {
		if e.sep != "" && e.value != "" {
			return e.sep
		}
	}
	if c.style == colon {
		return ": "
	}
	return "="
}

// add writes a key that is not there into the section that it names.
func (c *config) add(key, value string) (splice, error) {
	in, name := 0, key
	for i, s := range c.sections[1:] {
		rest, ok := strings.CutPrefix(key, s.name+".")
		if ok && rest != "" && len(s.name) >= len(c.sections[in].name) {
			in, name = i+1, rest
		}
	}
	s := c.sections[in]
	switch {
	case in == 0 && len(c.sections) > 1 && strings.Contains(key, "."):
		return splice{}, fault.New(fault.NotFound, "the file has sections, and none that %q names", key)
	case in == 0 && len(c.sections) == 1:
		s.last = len(c.text.lines) - 1 // at the end
	}
	indent := ""
	for _, e := range c.entries {
		if e.section == s.name {
			indent = e.indent
		}
	}
	return c.text.insert(s.last+1, indent+name+c.separator()+value), nil
}
