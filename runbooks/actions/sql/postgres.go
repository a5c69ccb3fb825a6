package sql

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
)

// What psql is told to print around a statement's own output.
const (
	begun = "secondline-begun"
	ended = "secondline-rows"
)

// postgres speaks through psql (11 or later, for ROW_COUNT). The statement goes
// by standard input, values as variables of psql, which quotes them for the
// server where they stand as :'p1'.
type postgres struct{}

// passwordVariable is of libpq (PostgreSQL documentation, 34.15).
func (postgres) passwordVariable() string { return "PGPASSWORD" }

func (postgres) argv(q query) []string {
	where := "dbname=" + q.Where.Database + " connect_timeout=5 application_name=secondline client_encoding=UTF8"
	if q.Where.User != "" {
		where += " user=" + q.Where.User
	}
	if q.Where.Host != "" {
		where += " host=" + q.Where.Host
	}
	if q.Where.Port != 0 {
		where += " port=" + strconv.Itoa(q.Where.Port)
	}
	argv := []string{"psql", "--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--no-password", "--set=ON_ERROR_STOP=1"}
	for i, p := range q.Params {
		argv = append(argv, fmt.Sprintf("--set=p%d=%s", i+1, p))
	}
	return append(argv, "--dbname="+where)
}

func settings(limit time.Duration) string {
	return fmt.Sprintf("SET statement_timeout = %d;\nSET lock_timeout = %d;\n", limit.Milliseconds(), min(limit, lockTimeout).Milliseconds())
}

func (p postgres) act(q query, limit time.Duration) remote.Command {
	lx, err := lex(q.Statement.Text)
	if err != nil {
		panic("sql: a statement that Decode has taken: " + err.Error())
	}
	script := settings(limit) + "\\echo " + begun + "\n"
	if q.Rows == nil {
		script += lx.text + "\n;\n\\echo " + ended + " :ROW_COUNT\n"
	} else { // psql looks at the count before it commits
		script += "BEGIN;\n" + lx.text + "\n;\n\\set n :ROW_COUNT\n" +
			fmt.Sprintf("SELECT :n = %d AS expected \\gset\n", *q.Rows) +
			"\\if :expected\nCOMMIT;\n\\else\nROLLBACK;\n\\endif\n\\echo " + ended + " :n\n"
	}
	return remote.Command{Argv: p.argv(q), Stdin: []byte(script)}
}

func (postgres) acted(q query, res remote.Result) (string, error) {
	out := string(res.Stdout)
	sent := strings.HasPrefix(out, begun+"\n")
	switch {
	case res.ExitCode == 3, res.Err() != nil && !sent: // psql(1): an error in a script; else none was begun
		return "", res.Err()
	case res.Err() != nil:
		return "", fault.New(fault.OutcomeUnknown, "the statement was sent, and what it did is not known: %v", res.Err())
	}
	_, count, ok := strings.Cut(out[max(0, strings.LastIndex(out, "\n"+ended)):], ended+" ")
	rows, err := strconv.Atoi(strings.TrimSpace(count))
	switch told := ok && err == nil; {
	case !told && q.Rows != nil: // the output was cut
		return "", fault.New(fault.OutcomeUnknown, "psql did not say how many rows the statement was of")
	case !told:
		return "executed", nil
	case q.Rows != nil && rows != *q.Rows:
		return "", fault.New(fault.Denied, "it would have been of %d rows, not %d, and was rolled back", rows, *q.Rows)
	}
	return fmt.Sprintf("%d rows", rows), nil
}

func (p postgres) ask(q query) remote.Command {
	lx, err := lex(q.Check.Text)
	if err != nil {
		panic("sql: a check that Decode has taken: " + err.Error())
	}
	script := "SET default_transaction_read_only = on;\n" + settings(checkTimeout) + lx.text + "\n;\n"
	return remote.Command{Argv: p.argv(q), Stdin: []byte(script)}
}

func (postgres) answer(res remote.Result) (string, error) {
	return strings.TrimSuffix(string(res.Stdout), "\n"), nil
}
