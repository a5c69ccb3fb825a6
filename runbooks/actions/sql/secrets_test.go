package sql_test

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/internal/yamlx"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/actions/internal/actiontest"
	"github.com/secondline-ops/secondline/runbooks/actions/sql"
)

func TestARedisWithAPassword(t *testing.T) {
	t.Parallel()
	socket := startRedis(t)
	const password = `it's a "pass word`
	if out, err := exec.Command("redis-cli", "-e", "-s", socket, "ACL", "SETUSER", "ops", "on", ">"+password, "~*", "+@all").CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	if out, err := exec.Command("redis-cli", "-e", "-s", socket, "CONFIG", "SET", "requirepass", "another-one").CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	part := fmt.Sprintf(`engine: redis, host: %s, user: ops, password: secret/redis, statement: [SET, k, v], check: [GET, k], expect: {value: v}`, socket)
	for _, changed := range []string{"OK", `nothing: ["GET" "k"] gives "v"`} {
		s := actiontest.New(t, sql.Action{}, actiontest.Local(), spec(part, "      verify: {within: 300ms}\n"), nil)
		s.Deps.Secrets = actiontest.Secrets{"redis": password}
		p := s.Plan()
		if p.Steps[0].Noop || !strings.Contains(p.Steps[0].Diff, "# password is secret/redis\n") {
			t.Errorf("planned %+v", p.Steps[0])
		}
		res := s.RunPlan(p)
		s.Want(res, runbooks.RunVerified, "")
		if res.Steps[0].Changed != changed {
			t.Errorf("changed %q, want %q", res.Steps[0].Changed, changed)
		}
		for _, cmd := range s.Host.Writes() {
			if strings.Contains(strings.Join(cmd.Argv, " "), "pass word") {
				t.Errorf("it stands in %q", cmd.Argv)
			}
		}
	}
	s := actiontest.New(t, sql.Action{}, actiontest.Local(), spec(part, "      verify: {within: 300ms}\n"), nil)
	s.Deps.Secrets = actiontest.Secrets{"redis": "a-wrong-one"}
	s.Want(s.Run(), runbooks.RunFailed, "WRONGPASS")
}

func TestPostgreSQLGetsItsPasswordAsAVariable(t *testing.T) {
	t.Parallel()
	var given []remote.Command
	h := actiontest.Fake(t, func(cmd remote.Command) actiontest.Answer {
		given = append(given, cmd)
		return actiontest.Says(0, "secondline-begun\nsecondline-rows 1\n")
	})
	s := actiontest.New(t, sql.Action{}, h, spec(`engine: postgresql, database: orders, user: ops, password: secret/db, statement: "ANALYZE a"`, looked), nil)
	s.Deps.Secrets = actiontest.Secrets{"db": "a-long-value"}
	p := s.Plan()
	if len(given) != 0 {
		t.Errorf("planning asked %v", given)
	}
	s.Want(s.RunPlan(p), runbooks.RunVerified, "")
	if len(given) != 1 || len(given[0].Secrets) != 1 || given[0].Secrets[0].Env != "PGPASSWORD" || given[0].Secrets[0].Value.Reveal() != "a-long-value" {
		t.Errorf("given %+v", given)
	}
}

func TestAPasswordIsASecret(t *testing.T) {
	t.Parallel()
	pg := `engine: postgresql, database: orders, statement: "SELECT 1", `
	for _, part := range []string{
		pg + "password: hunter2", pg + `password: "${inputs.word}"`, pg + "password: secret/a/b", pg + "user: secret/db", pg + "host: secret/db",
		`engine: postgresql, database: orders, statement: "SELECT $1", params: [secret/db]`, `engine: redis, statement: [SET, k, secret/db]`,
	} {
		_, err := actiontest.Parse(sql.Action{}, spec(part, looked))
		if found := yamlx.Errors(err); len(found) == 0 || found[0].Rule != runbooks.RuleSecrets {
			t.Errorf("%s: %v", part, err)
		}
	}
	if _, err := actiontest.Parse(sql.Action{}, spec(`engine: redis, user: ops, statement: [PING]`, looked)); err == nil {
		t.Error("a user of Redis without a password was accepted")
	}
}
