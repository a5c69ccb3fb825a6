package postgres

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/plugins"
	"github.com/secondline-ops/secondline/plugins/plugintest"
)

func recorded(tb testing.TB, name string) string {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "debian12", name+".txt"))
	if err != nil {
		tb.Fatal(err)
	}
	return string(data)
}

// argvOf is the command for the server at the port.
func argvOf(tb testing.TB, port string) []string {
	tb.Helper()
	cmd, err := newPlaces().command(plugins.Args{"port": port})
	if err != nil {
		tb.Fatal(err)
	}
	return cmd.Argv
}

func probeOf(tb testing.TB, name string) plugins.Probe {
	tb.Helper()
	_, probes := Plugin()
	for _, p := range probes {
		if p.Spec().Name == name {
			return p
		}
	}
	tb.Fatalf("no probe %s", name)
	return nil
}

func says(stdout string) plugins.Result { return plugins.Result{Stdout: []byte(stdout)} }

func fails(code int, stderr string) plugins.Result {
	return plugins.Result{ExitCode: code, Stderr: []byte(stderr)}
}

func TestProbesKeepTheContract(t *testing.T) {
	t.Parallel()
	const down = `psql: error: connection to server on socket "/var/run/postgresql/.s.PGSQL.5433" failed: No such file or directory
	Is the server running locally and accepting connections on that socket?`
	const stranger = `psql: error: connection to server on socket "/var/run/postgresql/.s.PGSQL.5434" failed: FATAL:  Peer authentication failed for user "postgres"`
	for name, want := range map[string]plugins.Value{
		"connections": {"used": int64(5), "max_connections": int64(10), "idle": int64(4), "refused": false, "server_version": int64(150020)},
		"locks":       {"waiting": int64(2), "longest_wait_seconds": int64(1), "prepared_transactions": int64(0)},
		"replication": {"standby": false, "retained_inactive_bytes": int64(34751032), "wal_bytes": int64(50331648), "slot_limit_bytes": int64(-1)},
		"tables":      {"autovacuum": false},
		"settings":    {"refused": []any{}, "changed_files": []any{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := recorded(t, name)
			host := plugintest.NewHost(t).
				Command(says(text), nil, argvOf(t, "5432")...).
				Command(fails(2, down), nil, argvOf(t, "5433")...).
				Command(fails(2, stranger), nil, argvOf(t, "5434")...).
				Command(fails(2, "psql: error: Verbindung zum Server fehlgeschlagen"), nil, argvOf(t, "5435")...).
				Command(plugins.Result{}, &plugins.HostError{Class: plugins.ClassNotExist, Message: "psql: not found"}, argvOf(t, "5436")...).
				Command(says(text[:len(text)-10]), nil, argvOf(t, "5437")...).
				Command(plugins.Result{}, &plugins.HostError{Class: plugins.ClassNotPermitted, Message: "sudo: a password is required"}, argvOf(t, "5438")...).
				Command(plugins.Result{}, &plugins.HostError{Class: plugins.ClassTimedOut, Message: "no answer"}, argvOf(t, "5439")...)
			at := func(port string) plugins.Args { return plugins.Args{"port": port} }
			plugintest.Exercise(t, probeOf(t, name), []plugintest.Case{
				{Name: "recorded", Host: host, Args: plugins.Args{}, Status: plugins.OK, Value: want},
				{Name: "not running", Host: host, Args: at("5433"), Status: plugins.Absent},
				{Name: "refused", Host: host, Args: at("5434"), Status: plugins.Denied},
				{Name: "in another language", Host: host, Args: at("5435"), Status: plugins.Failed},
				{Name: "no psql is not no server", Host: host, Args: at("5436"), Status: plugins.Failed},
				{Name: "cut", Host: host, Args: at("5437"), Status: plugins.Failed},
				{Name: "no sudo", Host: host, Args: at("5438"), Status: plugins.Denied},
				{Name: "no answer", Host: host, Args: at("5439"), Status: plugins.TimedOut},
				{Name: "no port", Host: host, Args: at("5432; id"), Fails: true},
				{Name: "an option in a folder", Host: host, Args: plugins.Args{"socket_dir": "/x sslmode=disable"}, Fails: true},
				{Name: "a whole address as database", Host: host, Args: plugins.Args{"database": "host=evil"}, Fails: true},
				{Name: "an option for sudo", Host: host, Args: plugins.Args{"user": "-u root"}, Fails: true},
			}...)
		})
	}
}

func TestStandbyIsUnderstood(t *testing.T) {
	t.Parallel()
	v := parsed(t, "replication", recorded(t, "replication-standby"))
	if v["standby"] != true || v["replay_delay_seconds"] != int64(0) || v["receiver"] != "streaming" || len(v["slots"].([]any)) != 0 {
		t.Errorf("got %v", v)
	}
}

func parsed(t *testing.T, name, text string) plugins.Value {
	t.Helper()
	v, status, err := probeOf(t, name).Parse([]plugins.Raw{{Name: rawPsql, Status: plugins.OK, Data: []byte(text)}}, nil)
	if status != plugins.OK || err != nil {
		t.Fatalf("%s: %s, %v", name, status, err)
	}
	return v
}

func TestARoleThatSeesOnlyItsOwnIsDenied(t *testing.T) {
	t.Parallel()
	const text = "rights\tf\tplain\nsecondline-end rights false\ncounts\t0\t0\nsecondline-end counts false\nsecondline-end waits false\nsecondline-end blockers false\n"
	_, status, err := probeOf(t, "locks").Parse([]plugins.Raw{{Name: rawPsql, Status: plugins.OK, Data: []byte(text)}}, nil)
	if status != plugins.Denied || err == nil {
		t.Errorf("got %s, %v", status, err)
	}
}

func TestAQueryThatFailedIsNotAnEmptyAnswer(t *testing.T) {
	t.Parallel()
	const text = "rights\tt\tpostgres\nsecondline-end rights false\ncounts\t0\t0\nsecondline-end counts false\nsecondline-end waits true\nsecondline-end blockers false\n"
	raw := plugins.Raw{Name: rawPsql, Status: plugins.OK, Data: []byte(text), Error: "ERROR: canceling statement due to statement timeout"}
	_, status, err := probeOf(t, "locks").Parse([]plugins.Raw{raw}, nil)
	if status != plugins.Failed || err == nil {
		t.Errorf("got %s, %v", status, err)
	}
}

func TestRootsOfAChainACircleAndAPreparedTransaction(t *testing.T) {
	t.Parallel()
	by := map[string][]string{"3": {"2"}, "2": {"1"}, "5": {"6"}, "6": {"5"}, "7": {"0"}, "8": {"1", "0"}}
	for waiter, want := range map[string]int{"3": 1, "2": 1, "5": 0, "7": 1, "8": 2} {
		if got := roots(waiter, by); len(got) != want {
			t.Errorf("%s waits in the end for %v", waiter, got)
		}
	}
	list := blockers(&reader{}, nil, by)
	if len(list) != 1 || list[0].(map[string]any)["blocks"] != 2 {
		t.Errorf("the prepared transaction: %v", list)
	}
}

func FuzzParse(f *testing.F) {
	_, probes := Plugin()
	for _, name := range []string{"connections", "locks", "replication", "replication-standby", "tables", "settings"} {
		f.Add([]byte(recorded(f, name)), "", 0)
	}
	f.Add([]byte{}, "FATAL:  sorry, too many clients already", 2)
	checker := plugins.NewChecker()
	f.Fuzz(func(t *testing.T, data []byte, stderr string, code int) {
		raw := plugins.Raw{Name: rawPsql, Status: plugins.OK, Data: data, Error: stderr, ExitCode: code, At: time.Unix(1e9, 0)}
		for _, p := range probes {
			v, status, err := p.Parse([]plugins.Raw{raw}, nil)
			if status == plugins.OK && err != nil || status != plugins.OK && v != nil {
				t.Errorf("%s: %s with %v, %v", p.Spec().Name, status, v, err)
			}
			carried, err := plugins.Carried(v)
			if err == nil && status == plugins.OK {
				err = checker.Answer(p.Spec(), carried, status)
			}
			if err != nil {
				t.Errorf("%s: %v", p.Spec().Name, err)
			}
		}
	})
}
