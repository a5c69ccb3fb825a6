package sql_test

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/internal/yamlx"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/actions/internal/actiontest"
	"github.com/secondline-ops/secondline/runbooks/actions/sql"
)

func spec(part string, more ...string) string {
	return "\n  inputs: {word: {type: string, default: plain}}\n  probes: {out: {probe: file.text, with: {path: /etc/hosts}}}\n  steps:\n    - id: act\n" +
		"      sql: {" + part + "}\n      undo: none\n      timeout: 20s\n" + strings.Join(more, "")
}

const looked = "      verify: {that: out.exists}\n"

// at is a step on the server of the socket.
func at(t *testing.T, socket, part string, given map[string]string, more ...string) *actiontest.Story {
	t.Helper()
	if len(more) == 0 {
		more = []string{"      verify: {within: 300ms}\n"}
	}
	on := fmt.Sprintf("engine: postgresql, database: postgres, user: postgres, host: %s, ", socket)
	return actiontest.New(t, sql.Action{}, actiontest.Local(), spec(on+part, more...), given)
}

func value(t *testing.T, socket, statement string) string {
	t.Helper()
	out, err := psql(socket, statement)
	if err != nil {
		t.Fatalf("%s: %v %s", statement, err, out)
	}
	return out
}

func TestPostgreSQL(t *testing.T) {
	t.Parallel()
	socket := startPostgres(t)
	value(t, socket, "CREATE TABLE jobs (id int PRIMARY KEY, state text); INSERT INTO jobs SELECT i, 'stuck' FROM generate_series(1, 5) i")

	t.Run("a statement is given once and checked", func(t *testing.T) {
		part := `statement: "UPDATE jobs SET state = 'new' WHERE id = $1::int", params: ["1"], check: "SELECT state FROM jobs WHERE id = $1", expect: {rows: 1, value: new}`
		s := at(t, socket, part, nil)
		p := s.Plan()
		want := "--- postgresql postgres\n$1 = \"1\"\n+UPDATE jobs SET state = 'new' WHERE id = $1::int\n# rolled back unless it is of 1 rows\n"
		if got := p.Steps[0].Diff; got != want {
			t.Errorf("the plan shows %q", got)
		}
		s.Want(s.RunPlan(p), runbooks.RunVerified, "")
		if got := value(t, socket, "SELECT string_agg(state, ',' ORDER BY id) FROM jobs"); got != "new,stuck,stuck,stuck,stuck" {
			t.Errorf("the table holds %s", got)
		}
		for range 2 {
			again := at(t, socket, part, nil)
			p = again.Plan()
			again.Want(again.RunPlan(p), runbooks.RunVerified, "")
			if !p.Steps[0].Noop || len(again.Host.Writes()) != 0 {
				t.Errorf("it was done again: %+v", p.Steps[0])
			}
		}
	})
	t.Run("values never become text of the statement", func(t *testing.T) {
		value(t, socket, "CREATE TABLE words (w text)")
		for _, word := range []string{
			`'); DROP TABLE words; --`, `a'b"c`, `\'; DROP TABLE words; --`, `\! touch /tmp/pwned`, `:p1 :'p1' $1 $$`, `é ☃`, `%s \n`, `a=b`, `'`,
		} {
			s := at(t, socket, `statement: "INSERT INTO words VALUES ($1)", params: ["${inputs.word}"], check: "SELECT count(*) FROM words WHERE w = $1", expect: {rows: 1, value: "1"}`,
				map[string]string{"word": word})
			s.Want(s.Run(), runbooks.RunVerified, "")
			if got := value(t, socket, "SELECT w FROM words"); got != word {
				t.Errorf("%q arrived as %q", word, got)
			}
			value(t, socket, "DELETE FROM words")
		}
	})
	t.Run("another number of rows is rolled back", func(t *testing.T) {
		s := at(t, socket, `statement: "UPDATE jobs SET state = 'x' WHERE state = 'stuck'", expect: {rows: 1}`, nil, looked)
		s.Want(s.Run(), runbooks.RunRefuted, "it would have been of 4 rows, not 1, and was rolled back")
		if got := value(t, socket, "SELECT count(*) FROM jobs WHERE state = 'x'"); got != "0" {
			t.Errorf("%s rows were changed", got)
		}
	})
	t.Run("an error is known to have changed nothing", func(t *testing.T) {
		s := at(t, socket, `statement: "INSERT INTO jobs VALUES (6, 'a'), (1, 'b')"`, nil, looked)
		s.Want(s.Run(), runbooks.RunRefuted, "duplicate key")
		if got := value(t, socket, "SELECT count(*) FROM jobs WHERE id = 6"); got != "0" {
			t.Error("half of it is there")
		}
	})
	t.Run("a server that goes away leaves it unknown", func(t *testing.T) {
		s := at(t, socket, `statement: "SELECT pg_terminate_backend(pg_backend_pid())"`, nil, looked)
		s.Want(s.Run(), runbooks.RunUnknown, "whether step act happened is not known")
	})
	t.Run("a lock is not waited for long", func(t *testing.T) {
		holder := exec.Command("psql", "-X", "-h", socket, "-U", "postgres", "-c", "BEGIN; LOCK TABLE jobs; SELECT pg_sleep(60)", "postgres")
		if err := holder.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() {
			value(t, socket, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)' AND pid <> pg_backend_pid()")
			_ = holder.Wait()
		}()
		await(t, func() error {
			if value(t, socket, "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = 'jobs'::regclass") != "1" {
				return fmt.Errorf("no lock yet")
			}
			return nil
		})
		s := at(t, socket, `statement: "UPDATE jobs SET state = 'y' WHERE id = 2"`, nil, looked)
		s.Want(s.Run(), runbooks.RunRefuted, "lock timeout")
	})
	t.Run("a check changes nothing", func(t *testing.T) {
		value(t, socket, "CREATE FUNCTION sneak() RETURNS int LANGUAGE sql AS $$ INSERT INTO jobs VALUES (99, 'sneaked') RETURNING 1 $$")
		s := at(t, socket, `statement: "UPDATE jobs SET state = 'z' WHERE id = 2", check: "SELECT sneak()", expect: {value: "1"}`, nil)
		if _, err := s.TryPlan(); err == nil || !strings.Contains(err.Error(), "read-only transaction") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a world that changed since is left alone", func(t *testing.T) {
		s := at(t, socket, `statement: "UPDATE jobs SET state = 'c' WHERE id = 3", check: "SELECT state FROM jobs WHERE id = 3", expect: {value: c}`, nil)
		p := s.Plan()
		value(t, socket, "UPDATE jobs SET state = 'c' WHERE id = 3")
		s.Want(s.RunPlan(p), runbooks.RunRefused, "now has nothing to change")
		if len(s.Host.Writes()) != 0 {
			t.Error("it acted")
		}
	})
	t.Run("after a crash the check tells", func(t *testing.T) {
		for dieAt := 1; dieAt <= 5; dieAt++ {
			value(t, socket, "UPDATE jobs SET state = 'stuck' WHERE id = 4")
			s := at(t, socket, `statement: "UPDATE jobs SET state = 'done' WHERE id = 4", check: "SELECT state FROM jobs WHERE id = 4", expect: {value: done}`, nil)
			res := s.Crash(dieAt)
			if n := len(s.Host.Writes()); n > 1 || (res.Status == runbooks.RunVerified) != (n == 1) {
				t.Errorf("killed at %d: given %d times, and the run is %s (%s)", dieAt, n, res.Status, res.Why)
			}
		}
	})
	t.Run("a connection lost behind the deed is looked at", func(t *testing.T) {
		s := at(t, socket, `statement: "UPDATE jobs SET state = 'seen' WHERE id = 5", check: "SELECT state FROM jobs WHERE id = 5", expect: {value: seen}`, nil)
		s.Host.After = func(cmd remote.Command) error {
			if cmd.Effect == remote.Read {
				return nil
			}
			return &remote.Error{Class: remote.Lost}
		}
		s.Want(s.Run(), runbooks.RunVerified, "")
	})
	t.Run("a database that does not answer is not planned for", func(t *testing.T) {
		s := at(t, "/tmp/nowhere", `statement: "ANALYZE jobs", check: "SELECT 1", expect: {value: "1"}`, nil)
		if _, err := s.TryPlan(); err == nil || !strings.Contains(err.Error(), "cannot be told") {
			t.Errorf("got %v", err)
		}
	})
}

func TestRedis(t *testing.T) {
	t.Parallel()
	socket := startRedis(t)
	on := fmt.Sprintf("engine: redis, host: %s, ", socket)
	key := `-x "a" $(id) '; é`
	s := actiontest.New(t, sql.Action{}, actiontest.Local(), spec(on+`statement: [SET, "k ${inputs.word}", "${inputs.word}"], check: [GET, "k ${inputs.word}"], expect: {value: "`+
		strings.ReplaceAll(key[1:], `"`, `\"`)+`"}`, "      verify: {within: 300ms}\n"), map[string]string{"word": key[1:]})
	s.Want(s.Run(), runbooks.RunVerified, "")
	if p := s.Plan(); !p.Steps[0].Noop {
		t.Error("it would be done again")
	}
	s = actiontest.New(t, sql.Action{}, actiontest.Local(), spec(on+`statement: [CONFIG, SET, maxmemory, 104857600], check: [CONFIG, GET, maxmemory], expect: {value: "maxmemory\n104857600"}`,
		"      verify: {within: 300ms}\n"), nil)
	s.Want(s.Run(), runbooks.RunVerified, "")
	s = actiontest.New(t, sql.Action{}, actiontest.Local(), spec(on+`statement: [HSET, "k${inputs.word}", field, value]`, looked), map[string]string{"word": " " + key[1:]})
	s.Want(s.Run(), runbooks.RunRefuted, "WRONGTYPE")
}

func TestWhatMustNotBeGivenIsRefused(t *testing.T) {
	t.Parallel()
	pg := func(statement string) string {
		return fmt.Sprintf("engine: postgresql, database: orders, statement: %q", statement)
	}
	for _, part := range []string{
		pg("UPDATE a SET b = 1 WHERE c = 2; DROP TABLE a"), pg("SELECT 1;;"), pg(`SELECT 1 \! id`), pg(`SELECT '\'; DROP TABLE a`), pg(`SELECT 1 \gexec`),
		pg("COPY a TO PROGRAM 'id'"), pg("COPY a TO STDOUT"), pg("DO $$ BEGIN END $$"), pg("SELECT $tag$ x $tag$"), pg("SELECT 1 -- x"), pg("SELECT /* x */ 1"),
		pg("SELECT :'HOME'"), pg("SELECT :HOME"), pg("SELECT :{?HOME}"), pg("SET ROLE postgres"), pg("BEGIN"), pg("PREPARE a AS SELECT 1"), pg("EXECUTE a"),
		pg("SELECT pg_read_file('/etc/passwd')"), pg(`SELECT "lo_export"(1, '/x')`), pg("SELECT dblink_exec('x')"), pg("DROP DATABASE orders"), pg("DROP ROLE x"),
		pg("SELECT 'a"), pg(`SELECT "a`), pg(""), pg(";"), pg("SELECT $1"), pg("SELECT a$1"), pg("SELECT $0"), pg("SELECT '${inputs.word}'"),
		pg("SELECT 1") + `, params: ["x"]`, pg("SELECT 1") + ", check: SELECT 1", pg("SELECT 1") + `, expect: {value: "1"}`, pg("VACUUM a") + ", expect: {rows: 1}",
		pg("SELECT 1") + `, expect: {rows: -1}`, pg("SELECT 1") + `, check: "DELETE FROM a", expect: {value: "1"}`,
		pg("SELECT 1") + `, check: "SELECT pg_terminate_backend(1)", expect: {value: t}`, pg("SELECT 1") + `, check: "SELECT 1", expect: {value: "${inputs.word}"}`,
		`engine: postgresql, statement: "SELECT 1"`, `engine: postgresql, database: "host=evil dbname=x", statement: "SELECT 1"`, `engine: postgresql, database: "postgresql://evil/", statement: "SELECT 1"`,
		pg("SELECT 1") + `, user: "x password=y"`, pg("SELECT 1") + `, host: "a b"`, pg("SELECT 1") + `, port: 0`, `engine: mysql, database: a, statement: "SELECT 1"`,
		`engine: redis, statement: [FLUSHALL]`, `engine: redis, statement: [KEYS, "*"]`, `engine: redis, statement: [EVAL, x, 0]`, `engine: redis, statement: [CONFIG, SET, dir, /root]`,
		`engine: redis, statement: [CONFIG, SET, maxmemory-policy, allkeys-lru]`, `engine: redis, statement: ["${inputs.word}"]`, `engine: redis, statement: [CONFIG, SET, "${inputs.word}", 1]`,
		`engine: redis, statement: [CONFIG]`, `engine: redis, statement: []`, `engine: redis, statement: GET x`, `engine: redis, database: x, statement: [PING]`, `engine: redis, user: x, statement: [PING]`,
		`engine: redis, statement: [PING], params: [x]`, `engine: redis, statement: [PING], check: [SET, a, b], expect: {value: OK}`, `engine: redis, statement: [GET, "${nobody}"]`,
		`engine: redis, statement: [SHUTDOWN]`, `engine: redis, statement: [MODULE, LOAD, /x]`,
	} {
		if _, err := actiontest.Parse(sql.Action{}, spec(part, looked)); err == nil {
			t.Errorf("%s was accepted", part)
		}
	}
	_, err := actiontest.Parse(sql.Action{}, spec(pg("SELECT '${inputs.word}'"), looked))
	if found := yamlx.Errors(err); len(found) == 0 || found[0].Rule != runbooks.RuleNoShell || !strings.Contains(found[0].Hint, "params") {
		t.Errorf("a value in the statement: %v", err)
	}
	if _, err := actiontest.Parse(sql.Action{}, spec(pg("SELECT 1"))); err == nil {
		t.Error("a statement without any verification was accepted")
	}
}

func TestWhatCannotBeTakenBackIsIrreversible(t *testing.T) {
	t.Parallel()
	for statement, want := range map[string]runbooks.Effect{
		"DROP TABLE a": runbooks.Irreversible, "truncate a": runbooks.Irreversible, "ALTER SYSTEM SET work_mem = '1GB'": runbooks.Irreversible,
		"DELETE FROM a": runbooks.Irreversible, "UPDATE a SET b = 1": runbooks.Irreversible, "WITH x AS (DELETE FROM a RETURNING 1) SELECT 1": runbooks.Irreversible,
		"SELECT pg_drop_replication_slot('x')": runbooks.Irreversible, "DELETE FROM a WHERE b = 1;": runbooks.Write, "VACUUM a": runbooks.Write,
		"SELECT pg_cancel_backend(7)": runbooks.Write, "INSERT INTO a VALUES ('DROP TABLE b; --')": runbooks.Write,
	} {
		rb, err := actiontest.Parse(sql.Action{}, spec(fmt.Sprintf("engine: postgresql, database: orders, statement: %q", statement), looked))
		if err != nil || rb.Steps[0].Effect != want {
			t.Errorf("%s: %v, want %s", statement, err, want)
		}
	}
	if _, err := actiontest.Parse(sql.Action{}, spec(`engine: redis, statement: [DEL, a]`, looked, "      effect: write\n")); err == nil {
		t.Error("a DEL that only writes was accepted")
	}
	if _, err := actiontest.Parse(sql.Action{}, spec(`engine: redis, statement: [GET, a]`, "      effect: read\n")); err == nil {
		t.Error("sql only reads")
	}
}

func TestTheClientsCommand(t *testing.T) {
	t.Parallel()
	h := actiontest.Fake(t, func(remote.Command) actiontest.Answer { return actiontest.Answer{} })
	s := actiontest.New(t, sql.Action{}, h, spec(`engine: postgresql, database: orders, port: 5433, statement: "DELETE FROM a WHERE b = $1", params: ["${inputs.word}"]`, looked), nil)
	want := []string{
		"psql", "--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--no-password", "--set=ON_ERROR_STOP=1", "--set=p1=plain",
		"--dbname=dbname=orders connect_timeout=5 application_name=secondline client_encoding=UTF8 port=5433",
	}
	if got := s.Plan().Steps[0].Argv; !slices.Equal(got, want) {
		t.Errorf("planned %q", got)
	}
}
