package bundled_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/redact"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/internal/remote/local"
	"github.com/secondline-ops/secondline/internal/remote/remotetest"
	"github.com/secondline-ops/secondline/plugins/bundled"
)

// here is this machine, as an agent lends it: read-only and redacted.
func here() remote.Runner {
	return remote.Open(local.New(), remote.Options{Gate: remote.ReadOnly(), Redactor: redact.New()})
}

// read reads a probe of a bundled plugin on this machine.
func read(t *testing.T, name string, args diagnostics.Args) diagnostics.Fact {
	t.Helper()
	probes, err := bundled.Declared(bundled.Names()...)
	if err != nil {
		t.Fatal(err)
	}
	set, err := diagnostics.NewProbeSet(probes)
	if err != nil {
		t.Fatal(err)
	}
	c := diagnostics.Collector{Probes: set, Now: time.Now}
	fact, err := c.Read(t.Context(), here(), name, args)
	if err != nil {
		t.Fatal(err)
	}
	return fact
}

// value is that of a reading that tells.
func value(t *testing.T, name string, args diagnostics.Args) diagnostics.Value {
	t.Helper()
	f := read(t, name, args)
	if f.Status != diagnostics.OK {
		t.Fatalf("%s: %s %s\n%s", name, f.Status, f.Error, shown(f))
	}
	return f.Value
}

func shown(f diagnostics.Fact) string {
	text := ""
	for _, r := range f.Raws {
		text += fmt.Sprintf("%s exit %d: %s\n%s\n", r.Command, r.ExitCode, r.Error, r.Data)
	}
	return text
}

func argsOf(p *remotetest.Postgres) diagnostics.Args {
	return diagnostics.Args{"socket_dir": p.Socket, "user": p.User}
}

// item returns the element of a list of objects whose field has the value.
func item(t *testing.T, v diagnostics.Value, list, field, want string) map[string]any {
	t.Helper()
	items, _ := v[list].([]any)
	for _, i := range items {
		if o, ok := i.(map[string]any); ok && o[field] == want {
			return o
		}
	}
	t.Fatalf("no %s with %s = %q: %v", list, field, want, v[list])
	return nil
}

func TestPostgresCountsConnections(t *testing.T) {
	t.Parallel()
	p := remotetest.StartPostgres(t, "max_connections=10", "superuser_reserved_connections=3")
	for range 4 {
		p.Session(t, "shop", "SELECT 1;")
	}
	p.Session(t, "report", "BEGIN; SELECT 1;")
	p.Await(t, "SELECT count(*) FROM pg_stat_activity WHERE application_name IN ('shop', 'report') AND state LIKE 'idle%'", "5")
	v := value(t, "postgres.connections", argsOf(p))
	if v["used"] != int64(5) || v["max_connections"] != int64(10) || v["reserved"] != int64(3) || v["idle"] != int64(4) || v["idle_in_transaction"] != int64(1) {
		t.Errorf("got %v", v)
	}
	if used, ok := v["used_percent"].(float64); !ok || used < 71 || used > 72 {
		t.Errorf("5 of 7 is %v %%", v["used_percent"])
	}
	shop := item(t, v, "applications", "application", "shop")
	if shop["connections"] != int64(4) || shop["idle"] != int64(4) || shop["idle_long"] != int64(0) {
		t.Errorf("shop is %v", shop)
	}
	if first := v["applications"].([]any)[0].(map[string]any); first["application"] != "shop" {
		t.Errorf("the first is %v", first)
	}
	if g := item(t, v, "groups", "application", "report"); g["state"] != "idle in transaction" || g["client"] != "local" {
		t.Errorf("report is %v", g)
	}
}

func TestPostgresThatIsFullSaysSo(t *testing.T) {
	t.Parallel()
	p := remotetest.StartPostgres(t, "max_connections=5", "superuser_reserved_connections=0", "max_wal_senders=0")
	for range 5 {
		p.Session(t, "shop", "SELECT 1;")
	}
	f := read(t, "postgres.connections", argsOf(p))
	if f.Status != diagnostics.OK || f.Value["refused"] != true || f.Value["used_percent"] != 100.0 {
		t.Errorf("got %s %v\n%s", f.Status, f.Value, shown(f))
	}
	if f := read(t, "postgres.locks", argsOf(p)); f.Status.Tells() {
		t.Errorf("locks without a connection: %s %v", f.Status, f.Value)
	}
}

func TestPostgresFindsWhoBlocksInTheEnd(t *testing.T) {
	t.Parallel()
	p := remotetest.StartPostgres(t)
	if out, err := p.Ask("CREATE TABLE stock (id int, n int); INSERT INTO stock VALUES (1, 1)"); err != nil {
		t.Fatal(out, err)
	}
	v := value(t, "postgres.locks", argsOf(p))
	if v["waiting"] != int64(0) || len(v["blockers"].([]any)) != 0 {
		t.Errorf("a healthy server: %v", v)
	}
	p.Session(t, "forgetful", "BEGIN; UPDATE stock SET n = 2 WHERE id = 1;")
	p.Await(t, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'forgetful' AND state = 'idle in transaction'", "1")
	p.Session(t, "migration", "ALTER TABLE stock ADD COLUMN x int;") // waits for the first, and all others for it
	p.Await(t, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'migration' AND wait_event_type = 'Lock'", "1")
	p.Session(t, "shop", "SELECT n FROM stock;")
	p.Await(t, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'", "2")
	v = value(t, "postgres.locks", argsOf(p))
	blockers, _ := v["blockers"].([]any)
	if v["waiting"] != int64(2) || len(blockers) != 1 {
		t.Fatalf("got %v", v)
	}
	b := item(t, v, "blockers", "application", "forgetful")
	if b["blocks"] != int64(2) || b["state"] != "idle in transaction" || b["database"] != "postgres" || b["autovacuum"] != false {
		t.Errorf("the blocker is %v", b)
	}
	if w := item(t, v, "waits", "application", "shop"); w["query"] != "SELECT n FROM stock;" || len(w["blocked_by"].([]any)) == 0 {
		t.Errorf("the shop is %v", w)
	}
}

func TestPostgresSeesSlotsAndReplicas(t *testing.T) {
	t.Parallel()
	p := remotetest.StartPostgres(t, "wal_level=replica", "max_wal_senders=5")
	if out, err := p.Ask("SELECT pg_create_physical_replication_slot('gone', true)"); err != nil {
		t.Fatal(out, err)
	}
	r := p.StartReplica(t, "copy")
	p.Await(t, "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'", "1")
	if out, err := p.Ask("CREATE TABLE big AS SELECT generate_series(1, 100000) AS n"); err != nil {
		t.Fatal(out, err)
	}
	p.Await(t, "SELECT bool_and(replay_lsn = pg_current_wal_lsn()) FROM pg_stat_replication", "t")
	v := value(t, "postgres.replication", argsOf(p))
	gone, copied := item(t, v, "slots", "name", "gone"), item(t, v, "slots", "name", "copy")
	if gone["active"] != false || gone["retained_bytes"].(int64) < 1<<20 || copied["active"] != true || v["standby"] != false {
		t.Errorf("slots are %v and %v", gone, copied)
	}
	if v["retained_inactive_bytes"] != gone["retained_bytes"] || v["wal_bytes"].(int64) < 1<<24 || v["slot_limit_bytes"] != int64(-1) {
		t.Errorf("got %v", v)
	}
	one, _ := v["replicas"].([]any)
	if len(one) != 1 || one[0].(map[string]any)["state"] != "streaming" {
		t.Errorf("replicas are %v", v["replicas"])
	}
	v = value(t, "postgres.replication", argsOf(r))
	if v["standby"] != true || v["receiver"] != "streaming" || v["replay_delay_seconds"] != int64(0) || v["replay_paused"] != false {
		t.Errorf("the standby: %v", v)
	}
}

func TestPostgresSeesDeadRowsAndWaitingSettings(t *testing.T) {
	t.Parallel()
	p := remotetest.StartPostgres(t, "autovacuum=off")
	for _, statement := range []string{
		"CREATE TABLE t AS SELECT generate_series(1, 1000) AS n", "DELETE FROM t WHERE n <= 900", "SELECT pg_stat_force_next_flush()",
		"ALTER SYSTEM SET shared_buffers = '64MB'", "ALTER SYSTEM SET primary_conninfo = 'host=x password=hunter2'", "SELECT pg_reload_conf()",
	} {
		if out, err := p.Ask(statement); err != nil {
			t.Fatal(statement, out, err)
		}
	}
	p.Await(t, "SELECT n_dead_tup FROM pg_stat_user_tables WHERE relname = 't'", "900")
	p.Await(t, "SELECT pending_restart FROM pg_settings WHERE name = 'shared_buffers'", "t")
	v := value(t, "postgres.tables", argsOf(p))
	table := item(t, v, "tables", "table", "public.t")
	if table["dead"] != int64(900) || table["dead_percent"].(float64) < 47 || v["autovacuum"] != false || v["frozen_age"].(int64) <= 0 {
		t.Errorf("got %v, table %v", v, table)
	}
	v = value(t, "postgres.settings", argsOf(p))
	s := item(t, v, "pending_restart", "setting", "shared_buffers")
	if s["in_file"] != "64MB" || s["running"] != "128MB" || s["line"].(int64) < 1 || len(v["refused"].([]any)) != 0 {
		t.Errorf("got %v", v)
	}
	if text := shown(read(t, "postgres.settings", argsOf(p))); len(text) == 0 || strings.Contains(text, "hunter2") {
		t.Error("a password of the settings is shown")
	}
}

func TestPostgresThatIsNotThereIsAbsentAndOneThatIsClosedDenied(t *testing.T) {
	t.Parallel()
	p := remotetest.StartPostgres(t)
	args := argsOf(p)
	args["port"] = strconv.Itoa(5999)
	if f := read(t, "postgres.connections", args); f.Status != diagnostics.Absent {
		t.Errorf("no server: %s %s", f.Status, f.Error)
	}
	args = argsOf(p)
	args["user"] = "nobody" // a system user who is no role
	if f := read(t, "postgres.connections", args); f.Status != diagnostics.Denied {
		t.Errorf("a stranger: %s %s", f.Status, f.Error)
	}
}
