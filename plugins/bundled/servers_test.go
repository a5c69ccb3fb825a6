package bundled_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/remote/remotetest"
)

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

func TestRedisOfThisMachine(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	args := diagnostics.Args{"port": strconv.Itoa(port)}
	remotetest.Need(t, "redis-server", "redis-cli")
	if f := read(t, "redis.info", args); f.Status != diagnostics.Absent {
		t.Errorf("nobody listens: %s %s", f.Status, f.Error)
	}
	remotetest.StartRedis(t, port, "--maxmemory", "64mb")
	v := value(t, "redis.info", args)
	if v["maxmemory"] != int64(64<<20) || v["policy"] != "noeviction" || v["refuses_for_memory"] != false || v["rdb_ok"] != true || v["role"] != "master" {
		t.Errorf("got %v", v)
	}
	if v := value(t, "redis.latency", args); v["samples"].(int64) < 1 || v["average_ms"].(float64) > 1000 {
		t.Errorf("latency is %v", v)
	}
	text := strconv.Itoa(port)
	if err := exec.Command("redis-cli", "-p", text, "CONFIG", "SET", "requirepass", "hunter2").Run(); err != nil {
		t.Fatal(err)
	}
	if f := read(t, "redis.info", args); f.Status != diagnostics.Denied {
		t.Errorf("it wants a password: %s %s", f.Status, f.Error)
	}
}

func TestNginxOfThisMachine(t *testing.T) {
	t.Parallel()
	remotetest.Need(t, "nginx", "curl")
	if v := value(t, "nginx.config", nil); v["valid"] != true || v["worker_connections"].(int64) < 1 {
		t.Errorf("the configuration of this machine: %v", v)
	}
	dir, port := t.TempDir(), freePort(t)
	config := filepath.Join(dir, "nginx.conf")
	log := filepath.Join(dir, "error.log")
	text := fmt.Sprintf(`daemon off; master_process off; pid %s/pid; error_log %s; events { worker_connections 64; }
http { access_log off; client_body_temp_path %[1]s/a; proxy_temp_path %[1]s/b; fastcgi_temp_path %[1]s/c; uwsgi_temp_path %[1]s/d; scgi_temp_path %[1]s/e;
server { listen 127.0.0.1:%[3]d; location = /s { stub_status; } location = /no { deny all; } location / { proxy_pass http://127.0.0.1:1; } } }
`, dir, log, port)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	server := exec.Command("nginx", "-c", config)
	server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = server.Process.Kill(), server.Wait() })
	base := fmt.Sprintf("http://127.0.0.1:%d", port)
	var v diagnostics.Value
	for range 200 { // until it listens
		f := read(t, "nginx.status", diagnostics.Args{"url": base + "/s"})
		if f.Status == diagnostics.OK {
			v = f.Value
			break
		}
		if f.Status != diagnostics.Absent {
			t.Fatalf("%s %s\n%s", f.Status, f.Error, shown(f))
		}
	}
	if v == nil || v["active"] != int64(1) || v["dropped"] != int64(0) {
		t.Errorf("got %v", v)
	}
	if f := read(t, "nginx.status", diagnostics.Args{"url": base + "/no"}); f.Status != diagnostics.Denied {
		t.Errorf("denied: %s", f.Status)
	}
	for range 3 {
		resp, err := http.Get(base + "/x?token=hunter2")
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
	}
	v = value(t, "nginx.errors", diagnostics.Args{"path": log})
	if v["refused"] != int64(3) || item(t, v, "upstreams", "address", "http://127.0.0.1:1")["lines"] != int64(3) {
		t.Errorf("got %v", v)
	}
}

func TestDNSOfThisMachine(t *testing.T) {
	t.Parallel()
	remotetest.Need(t, "dig", "getent")
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	t.Cleanup(func() {
		_ = udp.Close()
		<-served
	})
	go func() {
		defer close(served)
		answerDNS(udp)
	}()
	v := value(t, "dns.resolve", diagnostics.Args{"name": "localhost", "server": udp.LocalAddr().String()})
	if v["resolves"] != true || v["hosts_differ"] != true || v["servers_silent"] != int64(0) {
		t.Errorf("got %v", v)
	}
	if s := item(t, v, "servers", "rcode", "NOERROR"); s["addresses"].([]any)[0] != "192.0.2.7" {
		t.Errorf("the server said %v", s)
	}
	_ = udp.Close()
	v = value(t, "dns.resolve", diagnostics.Args{"name": "localhost", "server": udp.LocalAddr().String()})
	if v["resolves"] != true || v["servers_silent"] != int64(1) {
		t.Errorf("of a silent server: %v", v)
	}
}

// answerDNS gives every name the address 192.0.2.7 (RFC 1035, 4.1).
func answerDNS(udp net.PacketConn) {
	buf := make([]byte, 1500)
	for {
		n, from, err := udp.ReadFrom(buf)
		if err != nil {
			return
		}
		end := 12
		for end < n && buf[end] != 0 {
			end += int(buf[end]) + 1
		}
		end += 5 // the root label, type and class
		if n < 12 || end > n {
			continue
		}
		out := append([]byte{buf[0], buf[1], 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0}, buf[12:end]...)
		out = append(out, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7)
		_, _ = udp.WriteTo(out, from)
	}
}
