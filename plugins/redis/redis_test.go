package redis

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/plugins"
	"github.com/secondline-ops/secondline/plugins/plugintest"
)

func recorded(tb testing.TB) string {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "debian12", "info.txt"))
	if err != nil {
		tb.Fatal(err)
	}
	return string(data)
}

func argvOf(port string, more ...string) []string {
	return append([]string{"redis-cli", "-h", "127.0.0.1", "-p", port}, more...)
}

func says(text string) plugins.Result { return plugins.Result{Stdout: []byte(text)} }

func at(port string) plugins.Args { return plugins.Args{"port": port} }

func TestInfoKeepsTheContract(t *testing.T) {
	t.Parallel()
	host := plugintest.NewHost(t).
		Command(says(recorded(t)), nil, argvOf("6379")...).
		Command(says("NOAUTH Authentication required.\nNOAUTH Authentication required.\n"), nil, argvOf("6380")...).
		Command(plugins.Result{ExitCode: 1, Stderr: []byte("Could not connect to Redis at 127.0.0.1:6381: Connection refused\n")}, nil, argvOf("6381")...).
		Command(says("LOADING Redis is loading the dataset in memory\n"), nil, argvOf("6382")...).
		Command(says("BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.\n"), nil, argvOf("6383")...).
		Command(plugins.Result{}, &plugins.HostError{Class: plugins.ClassNotExist, Message: "redis-cli: not found"}, argvOf("6384")...).
		Command(says("-DENIED Redis is running in protected mode"[1:]), nil, argvOf("6385")...).
		Command(says("HTTP/1.1 400 Bad Request\n"), nil, argvOf("6386")...).
		Command(plugins.Result{}, &plugins.HostError{Class: plugins.ClassTimedOut, Message: "no answer"}, "redis-cli", "-s", "/run/redis/s")
	_, probes := Plugin()
	plugintest.Exercise(t, probes[0], []plugintest.Case{
		{Name: "recorded", Host: host, Args: plugins.Args{}, Status: plugins.OK, Value: plugins.Value{
			"version": "7.0.15", "maxmemory": int64(0), "policy": "noeviction", "refuses_for_memory": false, "refuses_for_persistence": false,
			"rdb_ok": true, "aof_ok": true, "saves": false, "role": "master", "max_clients": int64(10000), "link_up": nil,
		}},
		{Name: "wants a password", Host: host, Args: at("6380"), Status: plugins.Denied},
		{Name: "not running", Host: host, Args: at("6381"), Status: plugins.Absent},
		{Name: "loading", Host: host, Args: at("6382"), Status: plugins.Failed},
		{Name: "busy with a script", Host: host, Args: at("6383"), Status: plugins.Failed},
		{Name: "no redis-cli is not no Redis", Host: host, Args: at("6384"), Status: plugins.Failed},
		{Name: "protected", Host: host, Args: at("6385"), Status: plugins.Denied},
		{Name: "another server", Host: host, Args: at("6386"), Status: plugins.Failed},
		{Name: "no answer", Host: host, Args: plugins.Args{"socket": "/run/redis/s"}, Status: plugins.TimedOut},
		{Name: "no port", Host: host, Args: at("1; id"), Fails: true},
		{Name: "an option as socket", Host: host, Args: plugins.Args{"socket": "--eval"}, Fails: true},
	}...)
}

func TestLatencyKeepsTheContract(t *testing.T) {
	t.Parallel()
	host := plugintest.NewHost(t).
		Command(says("0 1 0.19 96\n"), nil, argvOf("6379", "--raw", "--latency")...).
		Command(says("0 NaN 0 1\n"), nil, argvOf("6380", "--raw", "--latency")...).
		Command(plugins.Result{ExitCode: 1, Stderr: []byte("Could not connect to Redis at 127.0.0.1:6381: Connection refused\n")}, nil, argvOf("6381", "--raw", "--latency")...)
	_, probes := Plugin()
	plugintest.Exercise(t, probes[1], []plugintest.Case{
		{Name: "recorded", Host: host, Args: plugins.Args{}, Status: plugins.OK, Value: plugins.Value{"max_ms": 1.0, "samples": int64(96)}},
		{Name: "no number", Host: host, Args: at("6380"), Status: plugins.Failed},
		{Name: "not running", Host: host, Args: at("6381"), Status: plugins.Absent},
	}...)
}

// TestRefusalsAreToldFromTheAnswer bends the recorded answer, one line each.
func TestRefusalsAreToldFromTheAnswer(t *testing.T) {
	t.Parallel()
	full := []string{"maxmemory:0", "maxmemory:1000"}
	for name, c := range map[string]struct {
		bend   [][]string // old, new
		memory bool
		saving bool
	}{
		"as it is":                        {nil, false, false},
		"full":                            {[][]string{full}, true, false},
		"full, and throws away":           {[][]string{full, {"maxmemory_policy:noeviction", "maxmemory_policy:allkeys-lru"}}, false, false},
		"a save failed, no save points":   {[][]string{{"rdb_last_bgsave_status:ok", "rdb_last_bgsave_status:err"}}, false, false},
		"a save failed":                   {[][]string{{"rdb_last_bgsave_status:ok", "rdb_last_bgsave_status:err"}, {"save\n\n", "save\n3600 1\n"}}, false, true},
		"the append-only file is refused": {[][]string{{"aof_enabled:0", "aof_enabled:1"}, {"aof_last_write_status:ok", "aof_last_write_status:err"}}, false, true},
	} {
		text := recorded(t)
		for _, b := range c.bend {
			if !strings.Contains(text, b[0]) {
				t.Fatalf("%s: %q is not in the record", name, b[0])
			}
			text = strings.ReplaceAll(text, b[0], b[1])
		}
		v, err := parseInfo(plugins.Raw{Data: []byte(text), At: time.Now()})
		if err != nil || v["refuses_for_memory"] != c.memory || v["refuses_for_persistence"] != c.saving {
			t.Errorf("%s: memory %v, persistence %v, %v", name, v["refuses_for_memory"], v["refuses_for_persistence"], err)
		}
	}
}

func TestWithoutSettingsItIsNotKnownWhetherWritesAreRefused(t *testing.T) {
	t.Parallel()
	info, _, _ := strings.Cut(recorded(t), settingsMark)
	v, err := parseInfo(plugins.Raw{Data: []byte(info + settingsMark + "\nNOPERM this user has no permissions\n")})
	if _, known := v["refuses_for_persistence"]; err != nil || known {
		t.Errorf("%v, %v", v, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(recorded(f)), "")
	f.Add([]byte("0 1 0.1 5"), "")
	f.Add([]byte{}, "Could not connect to Redis")
	_, probes := Plugin()
	checker := plugins.NewChecker()
	f.Fuzz(func(t *testing.T, data []byte, stderr string) {
		for _, p := range probes {
			raws := []plugins.Raw{{Name: rawInfo, Status: plugins.OK, Data: data, Error: stderr}, {Name: rawLatency, Status: plugins.OK, Data: data, Error: stderr}}
			v, status, err := p.Parse(raws, nil)
			if status == plugins.OK && err != nil || status != plugins.OK && v != nil {
				t.Errorf("%s with %v, %v", status, v, err)
			}
			carried, err := plugins.Carried(v)
			if err == nil && status == plugins.OK {
				err = checker.Answer(p.Spec(), carried, status)
			}
			if err != nil {
				t.Error(err)
			}
		}
	})
}
