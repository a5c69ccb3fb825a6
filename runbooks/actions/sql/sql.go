// Package sql is the action that gives one statement to a database, through the
// client that is installed on its host: psql or redis-cli. Statements are
// constant; values go beside them and never into their text. A second statement,
// the check, tells whether the wanted state holds: it is asked when planning, so
// that nothing is done twice, and again for the verification. With a password,
// which no plan is given, it is asked before the act instead. MySQL is not
// spoken yet.
package sql

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// Bounds of statements. A lock that does not come soon is held by what the
// runbook should look at, and who waits for it lets others wait.
const (
	lockTimeout  = 5 * time.Second
	checkTimeout = 10 * time.Second
	clientSlack  = 3 * time.Second // of the client over its statement
)

// Action is the action "sql".
type Action struct{}

var (
	_ engine.Action        = Action{}
	_ engine.Verifier      = Action{}
	_ engine.Witness       = Action{}
	_ runbooks.Verbatim    = Action{}
	_ runbooks.SecretTaker = Action{}
)

// query is what is asked of a database, all values filled in; it is what a plan
// saves.
type query struct {
	On        string    `json:"on"`
	Where     place     `json:"where"`
	Statement statement `json:"statement"`
	Check     statement `json:"check"`
	Params    []string  `json:"params,omitempty"`
	Rows      *int      `json:"rows,omitempty"` // that the statement must change, else it is rolled back
	Value     string    `json:"value"`          // of the check
}

// place is where a database is.
type place struct {
	Database string `json:"database"`
	User     string `json:"user,omitempty"`
	Password string `json:"password,omitempty"` // the name of the secret; "" is none
	Host     string `json:"host,omitempty"`     // "" is the local socket; so is a path
	Port     int    `json:"port,omitempty"`
}

// statement is the text for PostgreSQL, or the words for Redis.
type statement struct {
	Text  string   `json:"text,omitempty"`
	Words []string `json:"words,omitempty"`
}

func (s statement) missing() bool { return s.Text == "" && len(s.Words) == 0 }

// client is how a kind of database is spoken to.
type client interface {
	// act returns the command for the statement and how its result is understood.
	act(q query, limit time.Duration) remote.Command
	// acted understands how the command ended: what was changed, in words.
	acted(q query, res remote.Result) (string, error)
	// ask returns the command for the check, which changes nothing.
	ask(q query) remote.Command
	// answer returns the value that the check gave.
	answer(res remote.Result) (string, error)
	// passwordVariable is the variable of its environment in which the client
	// looks for a password.
	passwordVariable() string
}

func clientFor(on string) client {
	switch on {
	case onPostgreSQL:
		return postgres{}
	case onRedis:
		return redis{}
	}
	return nil
}

// Name implements runbooks.Decoder.
func (Action) Name() string { return "sql" }

// Verbatim implements runbooks.Verbatim. The words for Redis are templates
// nevertheless, and compiled by Decode.
func (Action) Verbatim() []string { return []string{"statement", "check"} }

// SecretPlaces implements runbooks.SecretTaker.
func (Action) SecretPlaces() []string { return []string{"password"} }

// Plan implements engine.Action.
func (Action) Plan(ctx context.Context, env *engine.Env) (engine.Change, error) {
	w, ok := env.Step.With.(with)
	if !ok {
		return engine.Change{}, fault.New(fault.Internal, "step %s was not read by sql", env.Step.ID)
	}
	q, err := w.render(ctx, env.Vars)
	if err != nil {
		return engine.Change{}, err
	}
	saved, err := json.Marshal(q)
	if err != nil {
		return engine.Change{}, fault.Wrap(fault.Internal, err, "encode the statement")
	}
	change := engine.Change{
		Argv: clientFor(q.On).act(q, actTime(env)).Argv, Diff: q.diff(), Saved: saved,
		Touches: []runbooks.Touch{{Kind: runbooks.TouchDatabase, Name: q.On + "/" + q.Where.Database}},
	}
	if q.Check.missing() {
		return change, nil
	}
	change.Verify = fmt.Sprintf("%s gives %q", q.Check.inWords(), q.Value)
	if q.Where.Password != "" {
		return change, nil
	}
	got := q.holds(ctx, env)
	switch got.Truth {
	case expr.True:
		change.Noop, change.Argv, change.Diff, change.Touches = true, nil, "", nil
	case expr.False:
	case expr.CannotTell:
		return engine.Change{}, fault.New(fault.Denied, "whether there is anything to do cannot be told: %s", got.Text)
	}
	return change, nil
}

func (w with) render(ctx context.Context, vars map[string]any) (query, error) {
	q := query{On: w.on, Where: w.where, Statement: w.statement, Check: w.check, Rows: w.rows, Value: w.value}
	var err error
	if q.Where.Database, err = renderText(ctx, w.database, vars); err != nil {
		return q, err
	}
	if err := checkDatabase(w.on, q.Where.Database); err != nil {
		return q, err
	}
	if q.Params, err = renderAll(ctx, w.params, vars); err != nil {
		return q, err
	}
	if w.on == onRedis {
		if q.Statement.Words, err = renderAll(ctx, w.statementWords, vars); err != nil {
			return q, err
		}
		if q.Check.Words, err = renderAll(ctx, w.checkWords, vars); err != nil {
			return q, err
		}
	}
	return q, nil
}

func renderAll(ctx context.Context, list []*expr.Template, vars map[string]any) ([]string, error) {
	var out []string
	for _, t := range list {
		text, err := renderText(ctx, t, vars)
		if err != nil {
			return nil, err
		}
		out = append(out, text)
	}
	return out, nil
}

func renderText(ctx context.Context, t *expr.Template, vars map[string]any) (string, error) {
	text, err := t.Render(ctx, vars)
	if err == nil && (!utf8.ValidString(text) || strings.IndexByte(text, 0) >= 0) {
		err = fault.New(fault.Invalid, "%q is not text", text)
	}
	return text, err
}

func (s statement) inWords() string {
	if len(s.Words) > 0 {
		return fmt.Sprintf("%q", s.Words)
	}
	return s.Text
}

// diff shows the statement and its values, each quoted.
func (q query) diff() string {
	var b strings.Builder
	fmt.Fprintf(&b, "--- %s %s\n", q.On, q.Where.Database)
	if q.Where.Password != "" {
		fmt.Fprintf(&b, "# password is %s%s\n", runbooks.SecretPrefix, q.Where.Password)
	}
	for i, p := range q.Params {
		fmt.Fprintf(&b, "$%d = %q\n", i+1, p)
	}
	for line := range strings.Lines(q.Statement.inWords()) {
		fmt.Fprintf(&b, "+%s\n", strings.TrimSuffix(line, "\n"))
	}
	if q.Rows != nil {
		fmt.Fprintf(&b, "# rolled back unless it is of %d rows\n", *q.Rows)
	}
	return b.String()
}

// actTime is how long the statement may take: less than the step, so that it is
// the database that ends it.
func actTime(env *engine.Env) time.Duration { return max(time.Second, env.Step.Timeout-clientSlack) }

// Apply implements engine.Action.
func (Action) Apply(ctx context.Context, env *engine.Env, c engine.Change) (engine.Outcome, error) {
	q, err := load(c)
	if err != nil {
		return engine.Outcome{}, err
	}
	if !q.Check.missing() {
		switch got := q.holds(ctx, env); {
		case got.Truth == expr.True && q.Where.Password != "": // the plan could not ask
			return engine.Outcome{Changed: "nothing: " + got.Text}, nil
		case got.Truth != expr.False:
			return engine.Outcome{}, fault.New(fault.Denied, "the world drifted: %s", got.Text)
		}
	}
	cmd, err := q.withPassword(ctx, env, clientFor(q.On).act(q, actTime(env)))
	if err != nil {
		return engine.Outcome{}, err
	}
	res, err := env.ActWith(ctx, cmd)
	if err != nil {
		return engine.Outcome{}, err
	}
	out := engine.Outcome{ExitCode: res.ExitCode}
	out.Changed, err = clientFor(q.On).acted(q, res)
	return out, err
}

// withPassword adds the variable in which the client looks for a password.
func (q query) withPassword(ctx context.Context, env *engine.Env, cmd remote.Command) (remote.Command, error) {
	if q.Where.Password == "" {
		return cmd, nil
	}
	secret, err := env.SecretVariable(ctx, clientFor(q.On).passwordVariable(), q.Where.Password)
	cmd.Secrets = []remote.Secret{secret}
	return cmd, err
}

// holds asks the check.
func (q query) holds(ctx context.Context, env *engine.Env) engine.Reading {
	cl := clientFor(q.On)
	cmd, err := q.withPassword(ctx, env, cl.ask(q))
	if err != nil {
		return engine.Unknown(err.Error())
	}
	cmd.As, cmd.Effect, cmd.Timeout = env.Step.As, remote.Read, checkTimeout+clientSlack
	res, err := env.Runner.Run(ctx, cmd)
	if err == nil {
		err = res.Err()
	}
	if err == nil && res.Truncated {
		err = fault.New(fault.TooLarge, "the answer is too long")
	}
	if err != nil {
		return engine.Unknown(fmt.Sprintf("ask %s: %v", q.Check.inWords(), err))
	}
	value, err := cl.answer(res)
	if err != nil {
		return engine.Unknown(err.Error())
	}
	text := fmt.Sprintf("%s gives %.200q", q.Check.inWords(), value)
	switch {
	case value == q.Value:
		return engine.Reading{Truth: expr.True, Text: text}
	case strings.Contains(value, "[redacted"):
		return engine.Unknown(text)
	}
	return engine.Reading{Truth: expr.False, Text: fmt.Sprintf("%s, not %.200q", text, q.Value)}
}

// Verify implements engine.Verifier. A step without a check has nothing of its
// own to say: the loader made its runbook say what is measured.
func (Action) Verify(ctx context.Context, env *engine.Env, c engine.Change, _ engine.Outcome) engine.Reading {
	q, err := load(c)
	if err != nil {
		return engine.Unknown(err.Error())
	}
	if q.Check.missing() {
		return engine.Reading{Truth: expr.True, Text: "the statement was executed"}
	}
	return q.holds(ctx, env)
}

// DidItHappen implements engine.Witness.
func (Action) DidItHappen(ctx context.Context, env *engine.Env, c engine.Change, _ time.Time) engine.Reading {
	q, err := load(c)
	if err != nil {
		return engine.Unknown(err.Error())
	}
	if q.Check.missing() {
		return engine.Unknown("the statement has no check that tells")
	}
	return q.holds(ctx, env)
}

func load(c engine.Change) (query, error) {
	var q query
	if err := json.Unmarshal(c.Saved, &q); err != nil {
		return q, fault.Wrap(fault.Internal, err, "read the statement that was planned")
	}
	if clientFor(q.On) == nil {
		return q, fault.New(fault.Internal, "no database %q", q.On)
	}
	return q, nil
}
