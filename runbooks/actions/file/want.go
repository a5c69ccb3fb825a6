package file

import (
	"context"
	"fmt"
	"maps"
	"path"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/yamlx"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// varFile is the name by which validate reads the path of the new file.
const varFile = "file"

// with is the action's part of a step. A nil template was not given.
type with struct {
	path            *expr.Template
	content         *expr.Template
	key, value      *expr.Template
	line            *expr.Template
	match, behind   *regexp.Regexp
	mode, owner     *expr.Template
	absent, follows bool
	validate        []*expr.Template
}

// want is with, filled in.
type want struct {
	with
	Path, Content, Key, Value, Line string
	Mode                            string // octal, four digits; "" is not given
	Owner                           owner
	Validate                        []string // with the path of the new file in it
}

// rawFile is what people write.
type rawFile struct {
	Path     *yamlx.Node `yaml:"path,required"`
	Follow   bool        `yaml:"follow"`
	Content  *yamlx.Node `yaml:"content"`
	Set      *yamlx.Node `yaml:"set"`
	Line     *yamlx.Node `yaml:"line"`
	Match    *yamlx.Node `yaml:"match"`
	After    *yamlx.Node `yaml:"after"`
	Mode     *yamlx.Node `yaml:"mode"`
	Owner    *yamlx.Node `yaml:"owner"`
	Absent   *bool       `yaml:"absent"`
	Validate *yamlx.Node `yaml:"validate"`
}

// read turns the part into its typed form, with every template compiled and
// every constant checked.
func read(n *yamlx.Node, c *runbooks.StepContext) (with, error) {
	var raw rawFile
	if err := n.Decode(&raw); err != nil {
		return with{}, err
	}
	if err := raw.combination(n); err != nil {
		return with{}, err
	}
	w := with{follows: raw.Follow, absent: raw.Absent != nil}
	r := reader{c: c}
	w.path = r.template(raw.Path, checkPath)
	w.content = r.template(raw.Content, nil)
	w.line = r.template(raw.Line, checkLine)
	w.mode = r.template(raw.Mode, checkMode)
	w.owner = r.template(raw.Owner, func(s string) error { _, err := parseOwner(s); return err })
	w.match, w.behind = r.pattern(raw.Match), r.pattern(raw.After)
	if raw.Set != nil {
		var set struct {
			Key   *yamlx.Node `yaml:"key,required"`
			Value *yamlx.Node `yaml:"value,required"`
		}
		if err := raw.Set.Decode(&set); err != nil {
			return with{}, err
		}
		w.key, w.value = r.template(set.Key, checkKey), r.template(set.Value, checkValue)
	}
	w.validate = r.validator(raw.Validate)
	return w, r.err
}

// combination refuses parts that do not go together.
func (raw rawFile) combination(n *yamlx.Node) error {
	given := []string{}
	for name, is := range map[string]bool{"content": raw.Content != nil, "set": raw.Set != nil, "line": raw.Line != nil, "absent": raw.Absent != nil} {
		if is {
			given = append(given, name)
		}
	}
	attributes := raw.Mode != nil || raw.Owner != nil
	const choice = "exactly one of content, set, line, absent: true, or mode and owner"
	switch {
	case len(given) > 1 || len(given) == 0 && !attributes:
		return n.Errorf("file says what is to become of it by %s", choice)
	case attributes && len(given) == 1 && given[0] != "content":
		return n.Errorf("mode and owner stand alone or beside content, not beside %s", given[0]).WithHint("make two steps")
	case raw.Absent != nil && !*raw.Absent:
		return n.Errorf("absent is true, or not there").WithHint("a file is made by content")
	case (raw.Match != nil || raw.After != nil) && raw.Line == nil:
		return n.Errorf("match and after belong to line")
	case raw.Validate != nil && (len(given) == 0 || given[0] == "absent"):
		return n.Errorf("validate checks a new text; there is none here")
	}
	return nil
}

// reader compiles, and keeps the first error.
type reader struct {
	c   *runbooks.StepContext
	err error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// template compiles a value; one without expressions is checked here and now.
func (r *reader) template(n *yamlx.Node, check func(string) error) *expr.Template {
	if n == nil {
		return nil
	}
	t, err := r.c.Text(n, check)
	if err != nil {
		r.fail(err)
	}
	return t
}

// pattern compiles a regular expression, which holds no value: that would be
// read as a pattern, whatever it was meant to be.
func (r *reader) pattern(n *yamlx.Node) *regexp.Regexp {
	t := r.template(n, nil)
	if t == nil {
		return nil
	}
	text, ok := t.Constant()
	if !ok || text == "" {
		r.fail(n.Errorf("a pattern is not empty and holds no ${…}, whose value would be read as a pattern"))
		return nil
	}
	re, err := regexp.Compile(text)
	if err != nil {
		r.fail(n.Errorf("%v", err).WithHint("https://pkg.go.dev/regexp/syntax"))
	}
	return re
}

// validator compiles the argv, in which ${file} is the path of the new file.
func (r *reader) validator(n *yamlx.Node) []*expr.Template {
	if n == nil {
		return nil
	}
	var out []*expr.Template
	reads := false
	for i, item := range n.Items() {
		t, err := r.c.Template(item, expr.Field{Name: varFile, Type: expr.String, Doc: "the path of the new file"})
		if err != nil {
			r.fail(err)
			return nil
		}
		if program, ok := t.Constant(); i == 0 && (!ok || program == "") {
			r.fail(item.Errorf("a value must not choose the program"))
		}
		for _, name := range t.Vars() {
			reads = reads || name == varFile
		}
		out = append(out, t)
	}
	if !reads {
		r.fail(n.Errorf("validate is a list of arguments, the program first, and reads ${file}, the path of the new file").
			WithHint(`validate: [nginx, -t, -c, "${file}"]`))
	}
	return out
}

// fill evaluates the step's part.
func fill(ctx context.Context, env *engine.Env) (want, error) {
	w, ok := env.Step.With.(with)
	if !ok {
		return want{}, fault.New(fault.Internal, "step %s was not read by file", env.Step.ID)
	}
	out := want{with: w}
	var ownerText string
	for _, field := range []struct {
		from  *expr.Template
		into  *string
		check func(string) error
	}{
		{w.path, &out.Path, checkPath},
		{w.content, &out.Content, nil},
		{w.key, &out.Key, checkKey},
		{w.value, &out.Value, checkValue},
		{w.line, &out.Line, checkLine},
		{w.mode, &out.Mode, checkMode},
		{w.owner, &ownerText, nil},
	} {
		if field.from == nil {
			continue
		}
		text, err := field.from.Render(ctx, env.Vars)
		if err != nil {
			return want{}, err
		}
		if field.check != nil {
			if err := field.check(text); err != nil {
				return want{}, fault.New(fault.Invalid, "%v", err)
			}
		}
		*field.into = text
	}
	if w.mode != nil {
		out.Mode = fmt.Sprintf("%04s", out.Mode)
	}
	if w.owner != nil {
		var err error
		if out.Owner, err = parseOwner(ownerText); err != nil {
			return want{}, fault.New(fault.Invalid, "%v", err)
		}
	}
	return out, nil
}

// renderValidate fills in the validator for the new file at the path.
func (w want) renderValidate(ctx context.Context, env *engine.Env, newPath string) ([]string, error) {
	vars := map[string]any{varFile: newPath}
	maps.Copy(vars, env.Vars)
	var argv []string
	for _, t := range w.validate {
		more, err := engine.RenderElement(ctx, t, vars)
		if err != nil {
			return nil, err
		}
		argv = append(argv, more...)
	}
	return argv, nil
}

// checkPath takes names that people give to files.
func checkPath(p string) error {
	switch {
	case !path.IsAbs(p) || path.Clean(p) != p || p == "/":
		return fmt.Errorf("%q is not a clean absolute path of a file", p)
	case !printable(p):
		return fmt.Errorf("%q holds characters that are not printable", p)
	case len(p) > 4000 || len(path.Base(p)) > 255-len(newPrefix): // PATH_MAX and NAME_MAX (limits.h), with the new file's name
		return fmt.Errorf("%q… is too long", p[:40])
	}
	for _, kernel := range []string{"/proc", "/sys", "/dev"} {
		if p == kernel || strings.HasPrefix(p, kernel+"/") {
			return fmt.Errorf("%q belongs to the kernel and is no file of a disk", p)
		}
	}
	return nil
}

func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) })
}

func checkLine(s string) error {
	if s == "" || !printable(strings.ReplaceAll(s, "\t", " ")) {
		return fmt.Errorf("%q is not one line of text", s)
	}
	return nil
}

func checkValue(s string) error {
	if !printable(strings.ReplaceAll(s, "\t", " ")) || strings.TrimSpace(s) != s || strings.HasSuffix(s, `\`) {
		return fmt.Errorf("%q is not a value of one line", s)
	}
	return nil
}

// checkKey refuses what would not be found again as a key.
func checkKey(s string) error {
	if s == "" || !printable(s) || strings.TrimSpace(s) != s || strings.ContainsAny(s, "=#;[]") || strings.HasSuffix(s, ":") {
		return fmt.Errorf("%q is not a key", s)
	}
	return nil
}

// checkMode takes no mode that lets everybody write, and none that makes a file
// run as its owner: neither is ever the cure.
func checkMode(s string) error {
	bits, err := strconv.ParseUint(s, 8, 32)
	switch {
	case err != nil || len(s) < 3 || len(s) > 4:
		return fmt.Errorf("%q is not a mode of three or four octal digits, as 0640", s)
	case bits > 0o777:
		return fmt.Errorf("mode %s has set-user-ID, set-group-ID or the sticky bit, which no runbook sets", s)
	case bits&0o002 != 0:
		return fmt.Errorf("mode %s lets everybody write", s)
	}
	return nil
}

// owner is a user, a group or both, as chown(1) takes them: names or numbers.
type owner struct {
	User  string `json:"user,omitempty"`
	Group string `json:"group,omitempty"`
}

func parseOwner(s string) (owner, error) {
	user, group, both := strings.Cut(s, ":")
	name := regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*[$]?$`)
	for _, part := range []string{user, group} {
		if part != "" && !name.MatchString(part) {
			return owner{}, fmt.Errorf("%q is not an owner, as root, root:orders or :orders", s)
		}
	}
	if user == "" && group == "" || both && group == "" {
		return owner{}, fmt.Errorf("%q is not an owner, as root, root:orders or :orders", s)
	}
	return owner{user, group}, nil
}

// String is the form of chown(1); "" changes nothing.
func (o owner) String() string {
	if o.Group == "" {
		return o.User
	}
	return o.User + ":" + o.Group
}

// holds reports whether the file has this owner already.
func (o owner) holds(s state) bool {
	return (o.User == "" || o.User == s.User || o.User == s.UID) && (o.Group == "" || o.Group == s.Group || o.Group == s.GID)
}
