package sql

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/runbooks"
)

// lexed is one statement of PostgreSQL, as far as it must be understood.
type lexed struct {
	text   string   // with :'p1' for $1, and without the semicolon at its end
	words  []string // keywords and names, in lower case, those in double quotes as well
	params []int    // the numbers behind $
}

// lex refuses all that could make more, or something else, of a statement than
// it shows: a second statement, what psql would take for its own (a backslash,
// a colon before a name), comments, and quotes that hide a program ($$).
func lex(text string) (lexed, error) {
	text = strings.TrimSuffix(strings.TrimSpace(text), ";")
	var out lexed
	var b strings.Builder
	for at := 0; at < len(text); {
		rest := text[at:]
		size, err := refusedAt(text, at)
		if err != nil {
			return out, err
		}
		switch c := rest[0]; {
		case c == '\'' || c == '"':
			size = quoted(rest)
			if size == 0 {
				return out, fmt.Errorf("a %c without its end", c)
			}
			if c == '"' {
				out.words = append(out.words, strings.ToLower(rest[1:size-1]))
			}
			b.WriteString(rest[:size])
		case c == '$':
			digits := regexp.MustCompile(`^\$([1-9][0-9]?)\b`).FindStringSubmatch(rest)
			if digits == nil || at > 0 && (isName(text[at-1]) || text[at-1] == ':') {
				return out, fmt.Errorf("a $ is no $1: statements in quotes of dollars are refused")
			}
			n, _ := strconv.Atoi(digits[1]) // two digits
			out.params = append(out.params, n)
			fmt.Fprintf(&b, ":'p%d'", n)
			size = len(digits[0])
		case isName(c):
			for size < len(rest) && isName(rest[size]) {
				size++
			}
			out.words = append(out.words, strings.ToLower(rest[:size]))
			b.WriteString(rest[:size])
		default:
			b.WriteString(rest[:size])
		}
		at += size
	}
	if len(out.words) == 0 {
		return out, fmt.Errorf("there is no statement")
	}
	out.text = b.String()
	return out, nil
}

// refusedAt returns how many bytes stand together at the place, or why they may
// not.
func refusedAt(text string, at int) (int, error) {
	rest := text[at:]
	switch c := rest[0]; {
	case c == '\\':
		return 0, fmt.Errorf("a backslash begins a command of psql; in a text, give it by params")
	case c == ';':
		return 0, fmt.Errorf("there is more than one statement")
	case strings.HasPrefix(rest, "--") || strings.HasPrefix(rest, "/*"):
		return 0, fmt.Errorf("a comment hides text; write it above, behind #")
	case c < ' ' && c != '\n' && c != '\t':
		return 0, fmt.Errorf("a control character")
	case strings.HasPrefix(rest, "::"):
		return 2, nil
	case c == ':' && len(rest) > 1 && (isName(rest[1]) && (rest[1] < '0' || rest[1] > '9') || strings.ContainsRune(`'"{`, rune(rest[1]))):
		return 0, fmt.Errorf("a colon before a name is a variable of psql")
	}
	return 1, nil
}

func isName(c byte) bool {
	return c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c >= 0x80
}

// quoted returns the length of a text in quotes, 0 when it does not end or
// holds a backslash. Doubled quotes stand for one.
func quoted(s string) int {
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' || s[i] == 0:
			return 0
		case s[i] == s[0] && i+1 < len(s) && s[i+1] == s[0]:
			i++
		case s[i] == s[0]:
			return i + 1
		}
	}
	return 0
}

func (l lexed) first() string { return strings.ToUpper(l.words[0]) }

func (l lexed) has(words ...string) bool {
	return slices.ContainsFunc(l.words, func(w string) bool { return slices.Contains(words, w) })
}

// refusedNames reach past the database: files and programs of its host, other
// servers, statements made of text.
func (l lexed) refusedNames() error {
	for _, w := range l.words {
		reaches := slices.Contains([]string{
			"program", "lo_import", "lo_export", "pg_execute_server_program", "set_config", "ts_stat", "pg_write_server_files",
			"query_to_xml", "query_to_xmlschema", "query_to_xml_and_xmlschema", "cursor_to_xml", "table_to_xml", "database_to_xml", "schema_to_xml",
		}, w)
		for _, prefix := range []string{"pg_read_", "pg_ls_", "pg_file_", "dblink", "pg_logical_emit"} {
			reaches = reaches || strings.HasPrefix(w, prefix)
		}
		if reaches {
			return fmt.Errorf("%s reaches past the database, or hides a statement", w)
		}
	}
	return nil
}

// effect refuses statements that are never given here, and tells those that
// cannot be taken back: what is defined and dropped, and changes of all rows.
func (l lexed) effect() (runbooks.Effect, error) {
	if len(l.words) == 0 {
		return runbooks.Write, nil // lex has said so
	}
	if err := l.refusedNames(); err != nil {
		return "", err
	}
	all := (l.has("delete") || l.words[0] == "update") && !l.has("where")
	drops := l.has("drop", "truncate", "pg_drop_replication_slot", "pg_promote")
	switch first := l.words[0]; {
	case first == "drop" && l.has("database", "tablespace", "role", "user"):
		return "", fault.New(fault.Denied, "a database, a tablespace and a user are never dropped by a runbook")
	case slices.Contains([]string{"drop", "truncate", "alter", "create", "grant", "revoke", "cluster", "call"}, first):
		return runbooks.Irreversible, nil
	case !slices.Contains([]string{
		"select", "insert", "update", "delete", "with", "values", "merge", "analyze", "vacuum", "reindex", "refresh", "checkpoint",
	}, first):
		return "", fault.New(fault.Denied, "a statement that begins with %s is not given by a runbook", l.first())
	case all || drops:
		return runbooks.Irreversible, nil
	}
	return runbooks.Write, nil
}

// inTransaction reports whether the statement can be rolled back.
func (l lexed) inTransaction() bool {
	return len(l.words) == 0 || slices.Contains([]string{"select", "insert", "update", "delete", "with", "values", "merge"}, l.words[0])
}

// onlyReads refuses a check that says that it changes something. The session
// of a check is one that only reads, too.
func (l lexed) onlyReads() error {
	if len(l.words) == 0 {
		return nil // lex has said so
	}
	if err := l.refusedNames(); err != nil {
		return err
	}
	changes := l.has(
		"insert", "update", "delete", "merge", "into", "nextval", "setval", "pg_terminate_backend", "pg_cancel_backend", "pg_reload_conf",
		"pg_switch_wal", "pg_promote", "pg_drop_replication_slot", "pg_rotate_logfile", "pg_notify",
	)
	if changes || !slices.Contains([]string{"select", "with", "values", "show", "table"}, l.words[0]) {
		return fault.New(fault.Denied, "a check only reads: it is a SELECT without effects")
	}
	return nil
}
