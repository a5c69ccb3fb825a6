package postgres

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/secondline-ops/secondline/plugins"
)

const (
	rawPsql   = "psql"
	separator = "\t"
	endMark   = "secondline-end"
)

var (
	errNothingRead = errors.New("nothing was read")
	errCut         = errors.New("psql ended before it had answered everything")
)

// deniedError says that the user we ask as may not see enough.
type deniedError string

// Error implements error.
func (e deniedError) Error() string { return string(e) }

// query is one statement of a script. Its rows begin with its name.
type query struct {
	name    string
	sql     string
	columns int  // without the name
	may     bool // fail: the answer is then without it
}

// optional marks a query that some servers or users are refused.
func (q query) optional() query {
	q.may = true
	return q
}

// scriptOf is what psql reads. Behind each statement it prints whether that
// failed (psql 11 and later), so that no rows can be told from no answer.
func scriptOf(queries []query) []byte {
	var b strings.Builder
	for _, q := range queries {
		fmt.Fprintf(&b, "%s;\n\\echo %s %s :ERROR\n", q.sql, endMark, q.name)
	}
	return []byte(b.String())
}

// answer is what the server said to a script.
type answer struct {
	full bool // it has no connection left, not even for us
	rows map[string][][]string
	done map[string]bool // queries that were answered
}

// readAnswer reads what psql printed.
func readAnswer(raw plugins.Raw, script []query) (answer, plugins.Status, error) {
	a := answer{rows: map[string][][]string{}, done: map[string]bool{}}
	switch {
	case raw.Status == plugins.Absent:
		return a, plugins.Failed, errors.New("psql is not installed, so that PostgreSQL cannot be asked: " + raw.Error)
	case raw.Status != plugins.OK:
		return a, raw.Status, nil
	case raw.ExitCode != 0:
		return refusedAnswer(a, raw)
	}
	for line := range bytes.Lines(raw.Data) {
		text := strings.ToValidUTF8(strings.TrimRight(string(line), "\r\n"), "\uFFFD")
		if end, ok := strings.CutPrefix(text, endMark+" "); ok {
			name, failed, _ := strings.Cut(end, " ")
			a.done[name] = failed == "false"
			continue
		}
		name, rest, ok := strings.Cut(text, separator)
		if !ok {
			continue // a notice, or a line that the redactor has mended
		}
		a.rows[name] = append(a.rows[name], strings.Split(rest, separator))
	}
	if err := a.check(script, raw); err != nil {
		return a, plugins.Failed, err
	}
	return a, plugins.OK, nil
}

// check reports what of the script was not answered, or not as asked.
func (a answer) check(script []query, raw plugins.Raw) error {
	for _, q := range script {
		done, ended := a.done[q.name]
		switch {
		case !ended:
			return errCut
		case !done && !q.may:
			return fmt.Errorf("PostgreSQL refused to say %s: %s", q.name, raw.Error)
		}
		for _, row := range a.rows[q.name] {
			if len(row) != q.columns {
				return fmt.Errorf("a row of %s has %d columns, not %d", q.name, len(row), q.columns)
			}
		}
	}
	return nil
}

// refusedAnswer understands why psql could not connect. Its exit status is 2
// then, see psql(1); the words are those of libpq and the server in English,
// others cannot tell.
func refusedAnswer(a answer, raw plugins.Raw) (answer, plugins.Status, error) {
	says := func(signs ...string) bool {
		for _, sign := range signs {
			if strings.Contains(raw.Error, sign) {
				return true
			}
		}
		return false
	}
	reason := errors.New(firstLine(raw.Error))
	switch {
	case says("too many clients already", "remaining connection slots are reserved"):
		a.full = true
		return a, plugins.OK, nil
	case says("authentication failed", "no pg_hba.conf entry", "Permission denied", "permission denied", "no password supplied",
		"is not permitted to log in", "role \"", "a password is required", "is not allowed to execute", "not in the sudoers file"):
		return a, plugins.Denied, reason
	case says("sudo: psql: command not found"):
		return a, plugins.Failed, errors.New("psql is not installed, so that PostgreSQL cannot be asked")
	case says("Is the server running locally"):
		return a, plugins.Absent, nil
	case says("timeout expired"):
		return a, plugins.TimedOut, reason
	}
	return a, plugins.Failed, reason
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	if line == "" {
		return "psql failed and did not say why"
	}
	return line
}

// reader reads the columns of a row and keeps the first thing that is wrong.
type reader struct{ err error }

func (r *reader) number(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("%q is no number", text)
	}
	return n
}

// optional reads a number that may be missing.
func (r *reader) optional(v map[string]any, name, text string) {
	if text != "" {
		v[name] = r.number(text)
	}
}

func (r *reader) truth(text string) bool {
	if text != "t" && text != "f" && r.err == nil {
		r.err = fmt.Errorf("%q is neither t nor f", text)
	}
	return text == "t"
}

// one returns the only row of a query.
func (a answer) one(name string) ([]string, error) {
	if len(a.rows[name]) != 1 {
		return nil, fmt.Errorf("%s gave %d rows, not one", name, len(a.rows[name]))
	}
	return a.rows[name][0], nil
}

// rightsQuery asks whether we see the sessions of others.
func rightsQuery() query {
	return row("rights", "FROM pg_catalog.pg_roles WHERE rolname = current_user",
		"rolsuper OR pg_catalog.pg_has_role(oid, 'pg_read_all_stats', 'member')", text("rolname", maxQueryText))
}

// mustSeeAll refuses an answer about the sessions of one user only.
func (a answer) mustSeeAll() error {
	row, err := a.one("rights")
	if err != nil {
		return err
	}
	if row[0] != "t" {
		return deniedError("the role " + row[1] + " may not see the sessions of others; GRANT pg_monitor TO it, or ask as postgres")
	}
	return nil
}
