package nginx

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
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

func says(text string) plugins.Result { return plugins.Result{Stdout: []byte(text)} }

func fails(code int, stderr string) plugins.Result {
	return plugins.Result{ExitCode: code, Stderr: []byte(stderr)}
}

func notThere(program string) error {
	return &plugins.HostError{Class: plugins.ClassNotExist, Message: program + ": not found"}
}

func probeOf(i int) plugins.Probe {
	_, probes := Plugin()
	return probes[i]
}

func TestConfigKeepsTheContract(t *testing.T) {
	t.Parallel()
	host := func(r plugins.Result, err error) *plugintest.Host {
		return plugintest.NewHost(t).Command(r, err, "nginx", "-T")
	}
	const emerg = "nginx: [emerg] unknown directive \"lissten\" in /etc/nginx/conf.d/shop.conf:3\nnginx: configuration file /etc/nginx/nginx.conf test failed\n"
	const denied = "nginx: [emerg] open() \"/etc/nginx/secret.conf\" failed (13: Permission denied)\n"
	plugintest.Exercise(t, probeOf(0), []plugintest.Case{
		{Name: "recorded", Host: host(says(recorded(t, "config")), nil), Args: plugins.Args{}, Status: plugins.OK, Value: plugins.Value{
			"valid": true, "worker_processes": "auto", "worker_connections": int64(768), "worker_rlimit_nofile": int64(0), "status_locations": int64(1),
			"proxied_to": []any{"http://shop"}, "error_logs": []any{"/var/log/nginx/error.log", "/var/log/nginx/shop.error.log"},
			"upstreams": []any{
				map[string]any{"name": "shop", "servers": []any{"10.0.0.5:8080", "10.0.0.6:8080", "unix:/run/spare.sock"}, "down": int64(1), "backup": int64(1)},
				map[string]any{"name": "report", "servers": []any{"report.example:80"}, "down": int64(0), "backup": int64(0)},
			},
		}},
		{Name: "refused", Host: host(fails(1, emerg), nil), Args: plugins.Args{}, Status: plugins.OK, Value: plugins.Value{
			"valid": false, "error": `nginx: [emerg] unknown directive "lissten" in /etc/nginx/conf.d/shop.conf:3`,
		}},
		{Name: "may not look", Host: host(fails(1, denied), nil), Args: plugins.Args{}, Status: plugins.Denied},
		{Name: "no nginx", Host: host(plugins.Result{}, notThere("nginx")), Args: plugins.Args{}, Status: plugins.Failed},
		{Name: "something else", Host: host(fails(127, "libssl.so: cannot open"), nil), Args: plugins.Args{}, Status: plugins.Failed},
		{Name: "empty", Host: host(says(""), nil), Args: plugins.Args{}, Status: plugins.Failed},
	}...)
}

func curl(url string) []string {
	return []string{"curl", "-q", "--silent", "--show-error", "--noproxy", "*", "--max-time", "5", "--write-out", "\nstatus %{http_code}\n", "--", url}
}

func TestStatusKeepsTheContract(t *testing.T) {
	t.Parallel()
	const text = "Active connections: 3 \nserver accepts handled requests\n 100 98 240 \nReading: 0 Writing: 1 Waiting: 2 \n\nstatus 200\n"
	at := func(port string) string { return "http://127.0.0.1:" + port + "/s" }
	args := func(port string) plugins.Args { return plugins.Args{"url": at(port)} }
	host := plugintest.NewHost(t).
		Command(says(text), nil, curl(defaultStatus)...).
		Command(says("<html>403 Forbidden</html>\nstatus 403\n"), nil, curl(at("1"))...).
		Command(says("not found\nstatus 404\n"), nil, curl(at("2"))...).
		Command(fails(7, "curl: (7) Failed to connect"), nil, curl(at("3"))...).
		Command(fails(28, "curl: (28) timed out"), nil, curl(at("4"))...).
		Command(says("<html>welcome</html>\nstatus 200\n"), nil, curl(at("5"))...).
		Command(plugins.Result{}, notThere("curl"), curl(at("6"))...)
	plugintest.Exercise(t, probeOf(1), []plugintest.Case{
		{Name: "usual", Host: host, Args: plugins.Args{}, Status: plugins.OK, Value: plugins.Value{"active": int64(3), "dropped": int64(2), "requests": int64(240), "waiting": int64(2)}},
		{Name: "refused", Host: host, Args: args("1"), Status: plugins.Denied},
		{Name: "no such place", Host: host, Args: args("2"), Status: plugins.Absent},
		{Name: "nobody listens", Host: host, Args: args("3"), Status: plugins.Absent},
		{Name: "no answer", Host: host, Args: args("4"), Status: plugins.TimedOut},
		{Name: "another page", Host: host, Args: args("5"), Status: plugins.Failed},
		{Name: "no curl", Host: host, Args: args("6"), Status: plugins.Failed},
		{Name: "another host", Host: host, Args: plugins.Args{"url": "http://169.254.169.254/latest"}, Fails: true},
		{Name: "a file", Host: host, Args: plugins.Args{"url": "file:///etc/shadow"}, Fails: true},
		{Name: "a password", Host: host, Args: plugins.Args{"url": "http://a:b@127.0.0.1/"}, Fails: true},
		{Name: "a name that lies", Host: host, Args: plugins.Args{"url": "http://127.0.0.1.evil.example/"}, Fails: true},
	}...)
}

const someErrors = `2026/03/01 09:00:00 [error] 7#7: *1 connect() failed (111: Connection refused) while connecting to upstream, upstream: "http://10.0.0.9:80/old?token=x"
2026/03/01 09:50:00 [error] 7#7: *2 connect() failed (111: Connection refused) while connecting to upstream, upstream: "http://10.0.0.5:80/a?token=x", host: "s"
2026/03/01 09:51:00 [error] 7#7: *3 upstream timed out (110: Connection timed out) while reading response header from upstream, upstream: "http://10.0.0.6:80/a"
2026/03/01 09:52:00 [error] 7#7: *4 connect() failed (111: Verbindungsaufbau abgelehnt) while connecting to upstream, upstream: "http://10.0.0.5:80/b"
2026/03/01 09:53:00 [alert] 7#7: 768 worker_connections are not enough
2026/03/01 09:54:00 [notice] 7#7: signal 1
not a line of nginx
`

func TestErrorsKeepTheContract(t *testing.T) {
	t.Parallel()
	host := func(r plugins.Result, err error) *plugintest.Host {
		return plugintest.NewHost(t).Command(says("2026/03/01 10:00:00\n"), nil, "date", "+%Y/%m/%d %H:%M:%S").
			Command(r, err, "tail", "-n", tailLines, "--", defaultLog)
	}
	plugintest.Exercise(t, probeOf(2), []plugintest.Case{
		{Name: "some", Host: host(says(someErrors), nil), Args: plugins.Args{}, Status: plugins.OK, Value: plugins.Value{
			"lines": int64(4), "refused": int64(2), "timed_out": int64(1), "worker_connections": int64(1), "others": int64(0), "last_seconds_ago": int64(420),
			"last":      "2026/03/01 09:53:00 [alert] 7#7: 768 worker_connections are not enough",
			"upstreams": []any{map[string]any{"address": "http://10.0.0.5:80", "lines": int64(2)}, map[string]any{"address": "http://10.0.0.6:80", "lines": int64(1)}},
		}},
		{Name: "none", Host: host(says(""), nil), Args: plugins.Args{}, Status: plugins.OK, Value: plugins.Value{"lines": int64(0), "last": ""}},
		{Name: "no log", Host: host(fails(1, "tail: cannot open '/var/log/nginx/error.log' for reading: No such file or directory"), nil), Args: plugins.Args{}, Status: plugins.Absent},
		{Name: "may not look", Host: host(fails(1, "tail: cannot open: Permission denied"), nil), Args: plugins.Args{}, Status: plugins.Denied},
		{Name: "no tail", Host: host(plugins.Result{}, notThere("tail")), Args: plugins.Args{}, Status: plugins.Failed},
		{Name: "cut", Host: host(plugins.Result{Stdout: []byte(someErrors), Truncated: true}, nil), Args: plugins.Args{}, Status: plugins.Truncated},
		{Name: "no log at all", Host: host(says(""), nil), Args: plugins.Args{"path": "/etc/shadow"}, Fails: true},
		{Name: "climbs", Host: host(says(""), nil), Args: plugins.Args{"path": "/var/log/../../etc/x.log"}, Fails: true},
	}...)
}

func TestWordsOfAConfigurationAreSplitAsNginxDoes(t *testing.T) {
	t.Parallel()
	var got [][]string
	for _, d := range directives("a \"b;c\" 'd e'; # x { y;\nf ~ ^/(\\d+)$ { g ${h}i; }") {
		got = append(got, d.words)
	}
	want := [][]string{{"a", "b;c", "d e"}, {"f", "~", `^/(\d+)$`}, {"g", "${h}i"}, nil}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q", got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(recorded(f, "config")), "", 0)
	f.Add([]byte(someErrors), "", 0)
	f.Add([]byte("Active connections: 3 \nserver accepts handled requests\n 1 1 1 \nReading: 0 Writing: 1 Waiting: 2 \n\nstatus 200\n"), "", 0)
	f.Add([]byte{}, "nginx: [emerg] x", 1)
	_, probes := Plugin()
	checker := plugins.NewChecker()
	f.Fuzz(func(t *testing.T, data []byte, stderr string, code int) {
		raw := func(name string) plugins.Raw {
			return plugins.Raw{Name: name, Status: plugins.OK, Data: data, Error: stderr, ExitCode: code, At: time.Unix(1e9, 0)}
		}
		clock := plugins.Raw{Name: rawClock, Status: plugins.OK, Data: []byte("2026/03/01 10:00:00\n")}
		for _, p := range probes {
			v, status, err := p.Parse([]plugins.Raw{raw(rawConfig), raw(rawStatus), clock, raw(rawLog)}, nil)
			if status == plugins.OK && err != nil || status != plugins.OK && v != nil {
				t.Errorf("%s: %s with %v, %v", p.Spec().Name, status, v, err)
			}
			carried, err := plugins.Carried(v)
			if err == nil && status == plugins.OK {
				err = checker.Answer(p.Spec(), carried, status)
			}
			if err != nil && !strings.Contains(err.Error(), "UTF-8") {
				t.Errorf("%s: %v", p.Spec().Name, err)
			}
		}
	})
}
