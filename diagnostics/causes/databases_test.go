package causes_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/diagnostics/causes"
	"github.com/secondline-ops/secondline/diagnostics/linux"
	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/redact"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/internal/remote/local"
	"github.com/secondline-ops/secondline/internal/remote/remotetest"
	"github.com/secondline-ops/secondline/plugins/bundled"
)

// database is a case on a real server that is private to the test.
type database struct {
	file, about, alert string
	want               wanted
	plugin             string                                                // whose probes are read
	injure             func(t *testing.T, port int) (extra diagnostics.Args) // starts the server and breaks it
	port               int                                                   // which it has in the record
}

// TestDatabaseCausesOnRealServers makes each fault for real and reads it with
// the real probes, but only to record the cases anew: a connection counts as
// left behind after a minute, so it takes some. TestRecordedCases asks what was
// recorded.
func TestDatabaseCausesOnRealServers(t *testing.T) {
	if !recording() {
		t.Skip("waits for minutes, so it runs with -record only")
	}
	for _, d := range append(postgresFaults(), redisFaults()...) {
		t.Run(d.file, func(t *testing.T) {
			t.Parallel()
			d.record(t)
		})
	}
}

func (d database) record(t *testing.T) {
	port := freePort(t)
	extra := d.injure(t, port)
	c := recorded{
		About: d.about, Made: "recorded from a real server by TestDatabaseCausesOnRealServers", Want: d.want,
		Subject: diagnostics.Subject{
			Entity: entity.Entity{ID: "db1", Kind: entity.Host}, Onset: time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC),
			Hints: map[string]string{"alertname": d.alert},
		},
	}
	collector := &diagnostics.Collector{Probes: d.probes(t, port, extra), Now: func() time.Time { return c.Subject.Onset.Add(time.Minute) }}
	cat := causesOf(t, d.plugin)
	runner := remote.Open(local.New(), remote.Options{Name: "db1", Gate: remote.ReadOnly(), Redactor: redact.New()})
	facts, err := collector.Collect(t.Context(), runner, cat.All(), c.Subject)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range facts {
		if f.Probe == "net.listeners" || strings.HasPrefix(f.Probe, d.plugin+".") {
			f.Raws, f.Took = []diagnostics.Raw{}, 0
			c.Facts = append(c.Facts, f)
		}
	}
	data, err := json.MarshalIndent(c, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(data), strconv.Itoa(port), strconv.Itoa(d.port))
	c = recorded{}
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	check(t, cat, c)
	save(t, filepath.Join("testdata", d.file), text+"\n")
}

// causesOf are the causes of one plugin: of the others no facts are read here.
func causesOf(t *testing.T, plugin string) *diagnostics.Catalogue {
	t.Helper()
	declared, err := bundled.Declared(bundled.Names()...)
	if err != nil {
		t.Fatal(err)
	}
	set, err := diagnostics.NewProbeSet(append(linux.Probes(time.Now), declared...))
	if err != nil {
		t.Fatal(err)
	}
	files, err := fs.Glob(causes.FS(), "*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var list []*diagnostics.Cause
	for _, file := range files {
		data, err := fs.ReadFile(causes.FS(), file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(data), "\nplugin: "+plugin+"\n") {
			continue
		}
		cause, err := diagnostics.ParseCause(file, data, set)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, cause)
	}
	cat, err := diagnostics.NewCatalogue(list)
	if err != nil {
		t.Fatal(err)
	}
	return cat
}

// probes are those of the plugin, told where the private server is, and a list
// of listeners that has only that one.
func (d database) probes(t *testing.T, port int, extra diagnostics.Args) *diagnostics.ProbeSet {
	t.Helper()
	var probes []diagnostics.Probe
	for _, p := range linux.Probes(time.Now) {
		if p.Spec().Name == "net.listeners" {
			probes = append(probes, onlyPort{p, port})
		}
	}
	declared, err := bundled.Declared(d.plugin)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range declared {
		probes = append(probes, toldWhere{p, extra})
	}
	set, err := diagnostics.NewProbeSet(probes)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

type onlyPort struct {
	diagnostics.Probe
	port int
}

func (o onlyPort) Parse(raws []diagnostics.Raw, args diagnostics.Args) (diagnostics.Value, diagnostics.Status, error) {
	value, status, err := o.Probe.Parse(raws, args)
	kept := []any{}
	all, _ := value["listeners"].([]any)
	for _, one := range all {
		if fields, ok := one.(map[string]any); ok && fmt.Sprint(fields["port"]) == strconv.Itoa(o.port) {
			kept = append(kept, one)
		}
	}
	return diagnostics.Value{"listeners": kept}, status, err
}

type toldWhere struct {
	diagnostics.Probe
	extra diagnostics.Args
}

func (w toldWhere) Read(ctx context.Context, r remote.Runner, args diagnostics.Args) ([]diagnostics.Raw, error) {
	all := maps.Clone(args)
	maps.Copy(all, w.extra)
	return w.Probe.Read(ctx, r, all)
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

func startOn(t *testing.T, port int, settings ...string) *remotetest.Postgres {
	t.Helper()
	return remotetest.StartPostgres(t, append(settings, "listen_addresses=127.0.0.1", "port="+strconv.Itoa(port))...)
}

func told(p *remotetest.Postgres) diagnostics.Args {
	return diagnostics.Args{"socket_dir": p.Socket, "user": p.User}
}

func sessions(t *testing.T, p *remotetest.Postgres, n int, application, statements string) {
	t.Helper()
	for range n {
		p.Session(t, application, statements)
	}
}

func postgresFaults() []database {
	const full = "PostgresqlTooManyConnections"
	object := func(more ...string) map[string]string {
		o := map[string]string{"port": "5432"}
		for i := 0; i < len(more); i += 2 {
			o[more[i]] = more[i+1]
		}
		return o
	}
	list := []database{
		{
			file: "postgres-connections-full/leak.json", about: "one application opens connections and gives none back", alert: full,
			want: wanted{Cause: "postgres-connections-full", Band: diagnostics.Confirmed, Object: object("application", "shop")},
			injure: func(t *testing.T, port int) diagnostics.Args {
				p := startOn(t, port, "max_connections=20", "superuser_reserved_connections=3")
				sessions(t, p, 16, "shop", "SELECT 1;")
				sessions(t, p, 1, "report", "SELECT 1;")
				p.AwaitLong(t, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'shop' AND state_change < now() - interval '62 seconds'", "16")
				return told(p)
			},
		},
		{
			file: "decoys/postgres-all-at-work.json", about: "as many connections, but they are all at work: nothing is left over", alert: full,
			want: wanted{Unknown: true},
			injure: func(t *testing.T, port int) diagnostics.Args {
				p := startOn(t, port, "max_connections=20", "superuser_reserved_connections=3")
				sessions(t, p, 17, "shop", "SELECT pg_sleep(600);")
				p.AwaitLong(t, "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query ~ '^SELECT pg_sleep'", "17")
				return told(p)
			},
		},
		{
			file: "postgres-lock-wait/forgotten-transaction.json", about: "connections pile up behind a transaction that was forgotten: the alert is that of the other cause", alert: full,
			want: wanted{Cause: "postgres-lock-wait", Band: diagnostics.Confirmed, Object: object("application", "import", "database", "postgres")},
			injure: func(t *testing.T, port int) diagnostics.Args {
				p := startOn(t, port, "max_connections=20", "superuser_reserved_connections=3")
				if out, err := p.Ask("CREATE TABLE stock (id int); INSERT INTO stock VALUES (1)"); err != nil {
					t.Fatal(out, err)
				}
				sessions(t, p, 1, "import", "BEGIN; LOCK TABLE stock;")
				p.AwaitLong(t, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'import' AND state = 'idle in transaction'", "1")
				sessions(t, p, 16, "shop", "SELECT * FROM stock;")
				p.AwaitLong(t, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query_start < now() - interval '32 seconds'", "16")
				return told(p)
			},
		},
		{
			file: "replication-lag-or-slot-fills-disk/slot-of-a-replica-that-is-gone.json", about: "a slot that nobody reads keeps a gigabyte of WAL", alert: "PostgresqlUnusedReplicationSlot",
			want: wanted{Cause: "replication-lag-or-slot-fills-disk", Band: diagnostics.Confirmed, Object: object("slot", "replica_2")},
			injure: func(t *testing.T, port int) diagnostics.Args {
				p := startOn(t, port, "wal_level=replica", "max_wal_senders=5")
				for _, statement := range []string{
					"SELECT pg_create_physical_replication_slot('replica_2', true)", "CREATE TABLE t (n int)",
					"DO $$ BEGIN FOR i IN 1..70 LOOP PERFORM pg_switch_wal(); PERFORM pg_logical_emit_message(false, 'x', 'y'); END LOOP; END $$",
				} {
					if out, err := p.Ask(statement); err != nil {
						t.Fatal(out, err)
					}
				}
				return told(p)
			},
		},
		{
			file: "decoys/postgres-healthy.json", about: "a healthy primary with a replica, a lock that is held for a moment, and an alert that is over", alert: full,
			want: wanted{Unknown: true},
			injure: func(t *testing.T, port int) diagnostics.Args {
				p := startOn(t, port, "max_connections=20", "wal_level=replica")
				sessions(t, p, 5, "shop", "SELECT 1;")
				p.StartReplica(t, "replica_1", "port="+strconv.Itoa(port))
				p.AwaitLong(t, "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'", "1")
				return told(p)
			},
		},
	}
	for i := range list {
		list[i].plugin, list[i].port = "postgres", 5432
	}
	return list
}

func redisFaults() []database {
	object := map[string]string{"port": "6379"}
	fill := func(t *testing.T, port int) {
		t.Helper()
		var script strings.Builder
		for i := range 4000 { // four megabytes, of which the last are refused
			fmt.Fprintf(&script, "SET k%d %s\n", i, strings.Repeat("x", 1000))
		}
		c := exec.Command("redis-cli", "-p", strconv.Itoa(port))
		c.Stdin = strings.NewReader(script.String())
		if err := c.Run(); err != nil {
			t.Fatal(err)
		}
	}
	list := []database{
		{
			file: "redis-maxmemory-or-persistence/full-noeviction.json", about: "more than maxmemory, and nothing may be thrown away", alert: "RedisOutOfConfiguredMaxmemory",
			want: wanted{Cause: "redis-maxmemory-or-persistence", Band: diagnostics.Confirmed, Object: object},
			injure: func(t *testing.T, port int) diagnostics.Args {
				remotetest.StartRedis(t, port, "--maxmemory", "3mb", "--maxmemory-policy", "noeviction")
				fill(t, port)
				return nil
			},
		},
		{
			file: "redis-maxmemory-or-persistence/cannot-save.json", about: "the folder for its snapshots is gone, and it stops taking writes", alert: "RedisMissingBackup",
			want: wanted{Cause: "redis-maxmemory-or-persistence", Band: diagnostics.Confirmed, Object: object},
			injure: func(t *testing.T, port int) diagnostics.Args {
				dir := t.TempDir()
				remotetest.StartRedis(t, port, "--dir", dir, "--save", "3600 1")
				if err := os.RemoveAll(dir); err != nil {
					t.Fatal(err)
				}
				text := strconv.Itoa(port)
				for _, argv := range [][]string{{"SET", "a", "1"}, {"BGSAVE"}} {
					if err := exec.Command("redis-cli", append([]string{"-p", text}, argv...)...).Run(); err != nil {
						t.Fatal(err)
					}
				}
				for range 1000 { // until the child has failed
					out, _ := exec.Command("redis-cli", "-p", text, "INFO", "persistence").Output()
					if strings.Contains(string(out), "rdb_last_bgsave_status:err") {
						return nil
					}
				}
				t.Fatal("the save did not fail")
				return nil
			},
		},
		{
			file: "decoys/redis-full-cache.json", about: "full as well, but a cache that throws away: all is as it should be", alert: "RedisOutOfConfiguredMaxmemory",
			want: wanted{Unknown: true},
			injure: func(t *testing.T, port int) diagnostics.Args {
				remotetest.StartRedis(t, port, "--maxmemory", "3mb", "--maxmemory-policy", "allkeys-lru")
				fill(t, port)
				return nil
			},
		},
	}
	for i := range list {
		list[i].plugin, list[i].port = "redis", 6379
	}
	return list
}
