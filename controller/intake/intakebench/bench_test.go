package intakebench_test

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/controller/intake"
	"github.com/secondline-ops/secondline/controller/intake/sources"
	"github.com/secondline-ops/secondline/controller/store/sqlite"
)

// caseLength is how long each of the 12 cases runs.
const caseLength = 3 * time.Second

// cases are the sizes of a delivery and how many senders there are: a pair of
// Alertmanagers, and with the largest batch also a crowd. A sender waits for
// its answer, so a crowd's latency is mostly its own queue.
func cases() []struct{ batch, connections int } {
	return []struct{ batch, connections int }{{1, 8}, {10, 8}, {100, 8}, {500, 8}, {100, 2}, {500, 2}}
}

// BenchmarkIntake runs the real handler on the real store.
func BenchmarkIntake(b *testing.B) {
	db, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "store.db"), sqlite.Options{})
	if err != nil {
		b.Fatal(err)
	}
	inbox := intake.NewInbox(intake.Options{Bodies: db, Sources: sources.All(), Now: time.Now, Rand: rand.Reader})
	server := httptest.NewServer(intake.Handler(inbox))
	b.Cleanup(func() {
		server.Close()
		if err := db.Close(); err != nil {
			b.Error(err)
		}
	})
	for _, c := range cases() {
		b.Run(fmt.Sprintf("secondline/batch=%d/connections=%d", c.batch, c.connections), func(b *testing.B) {
			report(b, load{
				url: server.URL + "/v1/signals/alertmanager", bodies: webhooks(c.batch), batch: c.batch,
				connections: c.connections, want: http.StatusAccepted,
			})
		})
	}
}

// BenchmarkPeer sends the same alerts to Alertmanager's own API.
func BenchmarkPeer(b *testing.B) {
	url := startPeer(b)
	for _, c := range cases() {
		b.Run(fmt.Sprintf("alertmanager/batch=%d/connections=%d", c.batch, c.connections), func(b *testing.B) {
			report(b, load{
				url: url + "/api/v2/alerts", bodies: posts(c.batch), batch: c.batch,
				connections: c.connections, want: http.StatusOK,
			})
		})
	}
}

// report runs for a fixed time, whatever b.N is: what counts are the rate and
// the latencies, not the time of one request.
func report(b *testing.B, l load) {
	b.Helper()
	took, err := l.run(b.Context(), caseLength)
	if err != nil {
		b.Fatal(err)
	}
	slices.Sort(took)
	ms := func(q float64) float64 {
		return float64(took[min(int(q*float64(len(took))), len(took)-1)]) / float64(time.Millisecond)
	}
	b.ReportMetric(0, "ns/op") // leaves it out
	b.ReportMetric(float64(len(took)*l.batch)/caseLength.Seconds(), "alerts/s")
	b.ReportMetric(ms(0.50), "p50-ms")
	b.ReportMetric(ms(0.99), "p99-ms")
	b.ReportMetric(ms(1), "worst-ms")
}

// startPeer runs Alertmanager on a private folder and a free port, without a
// cluster, and ends it by its pid.
func startPeer(b *testing.B) string {
	b.Helper()
	program, err := exec.LookPath("prometheus-alertmanager")
	if err != nil {
		if os.Getenv("SECONDLINE_REQUIRE_REAL") == "1" {
			b.Fatal(err)
		}
		b.Skipf("BenchmarkPeer needs Debian's prometheus-alertmanager: %v", err)
	}
	folder := b.TempDir()
	config := filepath.Join(folder, "alertmanager.yml")
	if err := os.WriteFile(config, []byte("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"), 0o600); err != nil {
		b.Fatal(err)
	}
	// Asked of the kernel and given back; if somebody else takes it first, the
	// peer ends and is reported as not ready.
	free := httptest.NewServer(nil)
	address := free.Listener.Addr().String()
	free.Close()
	peer := exec.CommandContext(b.Context(), program, "--config.file="+config, "--storage.path="+filepath.Join(folder, "data"),
		"--web.listen-address="+address, "--cluster.listen-address=", "--log.level=error")
	peer.Cancel = func() error { return peer.Process.Signal(syscall.SIGTERM) }
	if err := peer.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = peer.Wait() }) // b's context has ended: it got its signal
	for range 200 {
		answer, err := http.Get("http://" + address + "/-/ready")
		if err == nil {
			err = answer.Body.Close()
		}
		if err == nil && answer.StatusCode == http.StatusOK {
			return "http://" + address
		}
		<-time.After(50 * time.Millisecond)
	}
	b.Fatal("Alertmanager does not get ready")
	return ""
}
