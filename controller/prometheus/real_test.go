package prometheus_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/controller/prometheus"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote/remotetest"
)

// realPrometheus starts a server of its own that scrapes the target every
// second, and evaluates one rule.
func realPrometheus(t *testing.T, target string) *prometheus.Client {
	t.Helper()
	remotetest.Need(t, "prometheus")
	dir := t.TempDir()
	for name, text := range map[string]string{
		"prometheus.yml": fmt.Sprintf("global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [rules.yml]\nscrape_configs: [{job_name: node, static_configs: [{targets: [%q]}]}]\n", target),
		"rules.yml":      "groups: [{name: g, rules: [{alert: DiskFull, expr: 'disk_used{mount=\"/var\"} > 90', for: 2s, labels: {severity: page}}, {record: a, expr: up}]}]\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var lc net.ListenConfig
	free, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	server := exec.Command("prometheus", "--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+address, "--log.level=error")
	server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = server.Process.Kill(), server.Wait() })
	c, err := prometheus.New(prometheus.Options{URL: "http://" + address})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// until asks until it is so; a real server has its own time.
func until(t *testing.T, what string, so func() bool) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for !so() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("after a minute: not %s", what)
		}
	}
}

// TestRealPrometheus: the rules, the questions and the tables are those of the
// real server, and an alert is told from there, gone, and out of sight.
func TestRealPrometheus(t *testing.T) {
	t.Parallel()
	var used atomic.Int64
	used.Store(95)
	exporter := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, fmt.Sprintf("disk_used{mount=\"/var\"} %d\ndisk_used{mount=\"/\"} 10\n", used.Load()))
	}))
	defer exporter.Close()
	instance := exporter.Listener.Addr().String()
	c := realPrometheus(t, instance)
	s := prometheus.NewServers(c)
	labels := pairs("alertname", "DiskFull", "severity", "page", "instance", instance, "job", "node", "mount", "/var")
	until(t, "ready", func() bool { return s.Refresh(t.Context()) == nil && s.MayKnow("DiskFull") })
	if held, ok := s.HeldFor(labels); !ok || held != 2*time.Second {
		t.Errorf("held for %s, %v", held, ok)
	}
	firing := func() (a prometheus.Answer) {
		a, err := c.Query(t.Context(), `ALERTS{alertname="DiskFull",alertstate="firing"}`, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	until(t, "firing", func() bool { return len(firing().Series) == 1 })
	alert := prometheus.Alert{Labels: labels, FiredAt: firing().Series[0].Points[0].At}
	gone := func() prometheus.Verdict { return s.Gone(t.Context(), []prometheus.Alert{alert}, 2*time.Second) }
	if v := gone(); v.Gone != expr.False {
		t.Errorf("it fires: %s: %s", v.Gone, v.Text)
	}
	used.Store(20)
	until(t, "gone", func() bool { return gone().Gone == expr.True })
	t.Log(gone().Text)
	other := alert
	other.Labels = pairs("alertname", "DiskFull", "severity", "page", "instance", "elsewhere:9100", "job", "node", "mount", "/var")
	if v := s.Gone(t.Context(), []prometheus.Alert{other}, 2*time.Second); v.Gone != expr.CannotTell || !v.Pointless {
		t.Errorf("of other labels: %s: %s", v.Gone, v.Text)
	}

	now, err := c.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	window := prometheus.Window{From: now.Add(-2 * time.Second), To: now}
	normal, _, err := c.Tables(t.Context(), prometheus.TableOptions{
		Selectors: []string{fmt.Sprintf(`{instance=~%q,__name__=~"disk_.*|up"}`, instance)}, Normal: window, Anomalous: window, Step: time.Second,
	})
	if want := fmt.Sprint([]string{"127.0.0.1_disk_used[mount=/]", "127.0.0.1_disk_used[mount=/var]", "127.0.0.1_up"}); err != nil || fmt.Sprint(normal.Columns) != want || len(normal.Values[0]) != 3 {
		t.Errorf("columns %q, %v", normal.Columns, err)
	}
	if _, err := c.Query(t.Context(), "up{", time.Time{}); !fault.Is(err, fault.Invalid) {
		t.Errorf("nonsense: %v", err)
	}
	if _, err := c.QueryRange(t.Context(), "up", now.Add(-24*time.Hour), now, time.Second); !fault.Is(err, fault.Invalid) {
		t.Errorf("too many points: %v", err)
	}

	exporter.Close() // out of sight is not gone
	until(t, "out of sight", func() bool { return gone().Gone == expr.CannotTell })
	if v := gone(); v.Pointless || v.AgainIn > 0 {
		t.Errorf("%s: %s", v.Gone, v.Text)
	}
}
