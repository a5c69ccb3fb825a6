package sql

import (
	"errors"
	"regexp"
	"strconv"
	"strings"

	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/yamlx"
	"github.com/secondline-ops/secondline/runbooks"
)

const (
	onPostgreSQL = "postgresql"
	onRedis      = "redis"

	maxStatementBytes = 16 << 10
	maxParams         = 50
)

// with is a query whose values are templates.
type with struct {
	on                         string
	where                      place // but for the database
	database                   *expr.Template
	statement, check           statement
	statementWords, checkWords []*expr.Template // in place of the texts, for Redis
	params                     []*expr.Template
	rows                       *int
	value                      string
}

type rawQuery struct {
	Engine    *yamlx.Node   `yaml:"engine,required"`
	Database  *yamlx.Node   `yaml:"database"`
	User      *yamlx.Node   `yaml:"user"`
	Password  *yamlx.Node   `yaml:"password"`
	Host      *yamlx.Node   `yaml:"host"`
	Port      *yamlx.Node   `yaml:"port"`
	Statement *yamlx.Node   `yaml:"statement,required"`
	Params    []*yamlx.Node `yaml:"params"`
	Check     *yamlx.Node   `yaml:"check"`
	Expect    struct {
		Rows  *yamlx.Node `yaml:"rows"`
		Value *yamlx.Node `yaml:"value"`
	} `yaml:"expect"`
}

// Decode implements runbooks.Decoder.
func (Action) Decode(n *yamlx.Node, c *runbooks.StepContext) (runbooks.Decoded, error) {
	var raw rawQuery
	if err := n.Decode(&raw); err != nil {
		return runbooks.Decoded{}, err
	}
	d := &decoder{c: c}
	d.w.on, _ = raw.Engine.Scalar()
	if clientFor(d.w.on) == nil {
		return runbooks.Decoded{}, raw.Engine.Errorf("engine is %s or %s, not %q", onPostgreSQL, onRedis, d.w.on)
	}
	d.place(n, raw)
	d.expect(n, raw)
	for _, p := range raw.Params {
		d.w.params = append(d.w.params, d.template(p))
	}
	if len(raw.Params) > maxParams {
		d.fail(n, "%d params, more than %d", len(raw.Params), maxParams)
	}
	var effect runbooks.Effect
	if d.w.on == onRedis {
		effect = d.redis(n, raw)
	} else {
		effect = d.postgres(raw)
	}
	if len(d.errs) > 0 {
		return runbooks.Decoded{}, errors.Join(d.errs...)
	}
	return runbooks.Decoded{With: d.w, Effect: effect, OwnVerify: raw.Check != nil}, nil
}

type decoder struct {
	c    *runbooks.StepContext
	w    with
	errs []error
}

func (d *decoder) fail(n *yamlx.Node, format string, args ...any) {
	d.errs = append(d.errs, n.Errorf(format, args...))
}

func (d *decoder) template(n *yamlx.Node) *expr.Template {
	text, ok := n.Scalar()
	if !ok {
		d.fail(n, "a value is expected")
		return nil
	}
	t, err := d.c.Env.CompileTemplate(text)
	if err != nil {
		d.fail(n, "%v", err)
	}
	return t
}

// place reads where the database is. All but its name is constant.
func (d *decoder) place(n *yamlx.Node, raw rawQuery) {
	switch {
	case raw.Database != nil:
		if d.w.database = d.template(raw.Database); d.w.database == nil {
			return
		}
		if name, ok := d.w.database.Constant(); ok {
			if err := checkDatabase(d.w.on, name); err != nil {
				d.fail(raw.Database, "%v", err)
			}
		}
	case d.w.on == onRedis:
		d.w.database, _ = d.c.Env.CompileTemplate("0") // a constant
	default:
		d.fail(n, "database is missing")
	}
	constant := func(n *yamlx.Node, pattern, what string) string {
		if n == nil {
			return ""
		}
		text, _ := n.Scalar()
		if !regexp.MustCompile(pattern).MatchString(text) {
			d.fail(n, "%q is not %s", text, what)
		}
		return text
	}
	d.w.where.User = constant(raw.User, `^[A-Za-z_][A-Za-z0-9_.-]{0,62}$`, "the name of a user of the database")
	d.w.where.Host = constant(raw.Host, `^(/[A-Za-z0-9._/-]{1,100}|[A-Za-z0-9][A-Za-z0-9.-]{0,252})$`, "a host or the folder of a socket")
	if port := constant(raw.Port, `^[1-9][0-9]{0,4}$`, "a port"); port != "" {
		d.w.where.Port, _ = strconv.Atoi(port) // the pattern has seen to it
	}
	if raw.User != nil && raw.Password == nil && d.w.on == onRedis {
		d.errs = append(d.errs, raw.User.Errorf("a user of Redis has a password").WithHint("password: secret/NAME"))
	}
	if raw.Password == nil {
		return
	}
	secret, ok := d.c.Secret(raw.Password)
	if d.w.where.Password = secret; !ok {
		d.errs = append(d.errs, raw.Password.Errorf("the password is a secret of the agent").WithRule(runbooks.RuleSecrets).WithHint("password: secret/NAME"))
	}
}

func (d *decoder) expect(n *yamlx.Node, raw rawQuery) {
	if raw.Expect.Rows != nil {
		text, _ := raw.Expect.Rows.Scalar()
		rows, err := strconv.Atoi(text)
		if err != nil || rows < 0 {
			d.fail(raw.Expect.Rows, "rows is how many rows the statement must be of, not %q", text)
		}
		d.w.rows = &rows
		if d.w.on == onRedis {
			d.fail(raw.Expect.Rows, "Redis has no rows")
		}
	}
	if raw.Expect.Value != nil {
		d.w.value, _ = raw.Expect.Value.Scalar()
		if strings.Contains(d.w.value, "${") {
			d.fail(raw.Expect.Value, "the value is constant; let the check compare, with params")
		}
	}
	if (raw.Expect.Value == nil) != (raw.Check == nil) {
		d.errs = append(d.errs, n.Errorf("check and expect.value go together").WithHint(`check: "SELECT ...", expect: {value: "0"}; without both, say verify.that`))
	}
}

// constantText reads a statement, in which no value may stand.
func (d *decoder) constantText(n *yamlx.Node) string {
	text, ok := n.Scalar()
	switch {
	case !ok || strings.TrimSpace(text) == "" || len(text) > maxStatementBytes:
		d.fail(n, "a statement is text of at most %d bytes", maxStatementBytes)
	case strings.Contains(text, "${"):
		d.errs = append(d.errs, n.Errorf("a value would become a part of the statement").WithRule(runbooks.RuleNoShell).
			WithHint(`write $1 in the statement, and params: ["${inputs.x}"]`))
	}
	return text
}

func (d *decoder) postgres(raw rawQuery) runbooks.Effect {
	used := map[int]bool{}
	read := func(n *yamlx.Node) (statement, lexed) {
		text := d.constantText(n)
		lx, err := lex(text)
		if err != nil {
			d.fail(n, "%v", err)
		}
		for _, p := range lx.params {
			if used[p] = true; p > len(raw.Params) {
				d.fail(n, "there is no $%d: params has %d values", p, len(raw.Params))
			}
		}
		return statement{Text: text}, lx
	}
	var lx lexed
	d.w.statement, lx = read(raw.Statement)
	effect, err := lx.effect()
	if err != nil {
		d.fail(raw.Statement, "%v", err)
	}
	if d.w.rows != nil && !lx.inTransaction() {
		d.fail(raw.Expect.Rows, "%s cannot be rolled back, so that its rows cannot be waited for", lx.first())
	}
	if raw.Check != nil {
		d.w.check, lx = read(raw.Check)
		if err := lx.onlyReads(); err != nil {
			d.fail(raw.Check, "%v", err)
		}
	}
	for i, p := range raw.Params {
		if !used[i+1] {
			d.fail(p, "no $%d stands in a statement", i+1)
		}
	}
	return effect
}

func (d *decoder) redis(n *yamlx.Node, raw rawQuery) runbooks.Effect {
	read := func(n *yamlx.Node) (all []*expr.Template, effect runbooks.Effect) {
		words := []string{}
		for _, item := range n.Items() {
			text, _ := item.Scalar()
			if _, list := d.c.ListInput(text); list {
				d.fail(item, "a list is no word of a command")
			}
			t, err := d.c.Template(item)
			if err != nil {
				d.errs = append(d.errs, err)
			}
			words, all = append(words, text), append(all, t)
		}
		effect, err := redisEffect(words)
		if err != nil {
			d.fail(n, "%v", err)
		}
		return all, effect
	}
	if len(raw.Params) > 0 {
		d.fail(n, `values for Redis stand in its words: statement: [EXPIRE, "${inputs.key}", 60]`)
	}
	var effect runbooks.Effect
	d.w.statementWords, effect = read(raw.Statement)
	if raw.Check != nil {
		var of runbooks.Effect
		if d.w.checkWords, of = read(raw.Check); of != runbooks.Read {
			d.fail(raw.Check, "a check only reads")
		}
	}
	if effect == runbooks.Read {
		effect = runbooks.Write // of a step, to ask is what check is for
	}
	return effect
}

// checkDatabase takes names only: to psql, one with = in it is a whole address.
func checkDatabase(on, name string) error {
	pattern := `^[A-Za-z_][A-Za-z0-9_.-]{0,62}$`
	if on == onRedis {
		pattern = `^[0-9]{1,5}$`
	}
	if !regexp.MustCompile(pattern).MatchString(name) {
		return fault.New(fault.Invalid, "%q is not the name of a database", name)
	}
	return nil
}
