package intakebench_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// distinctAlerts is how many different alerts the bodies hold in all: as many
// as are active in a large installation, so that the peer's memory is bounded.
const distinctAlerts = 20_000

// load is what is sent in one case.
type load struct {
	url         string
	bodies      [][]byte
	batch       int
	connections int
	want        int // HTTP status
}

// alerts writes so many alerts, beginning with the one of that number, with the
// given extra fields.
func alerts(first, count int, extra func(n int) string) string {
	var b strings.Builder
	for n := first; n < first+count; n++ {
		if n > first {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"labels":{"alertname":"NodeFilesystemAlmostOutOfSpace","cluster":"prod-eu","device":"/dev/sda1",`+
			`"instance":"db%d.example.org:9100","job":"node","mountpoint":"/var/lib/mysql","severity":"critical"},`+
			`"annotations":{"description":"Filesystem on /dev/sda1, mounted on /var/lib/mysql, at db%d.example.org:9100 has only 2.11%% available space left.",`+
			`"summary":"Filesystem has less than 3%% space left."},"startsAt":"2026-03-01T12:00:00Z",%s`+
			`"generatorURL":"http://prometheus.example.org:9090/graph?g0.expr=node_filesystem_avail_bytes+%%3C+1e9\u0026g0.tab=1"}`, n, n, extra(n))
	}
	return b.String()
}

// webhooks are bodies as Alertmanager posts them.
func webhooks(batch int) [][]byte {
	return bodies(batch, func(first int) string {
		return `{"receiver":"all","status":"firing","alerts":[` + alerts(first, batch, func(n int) string {
			return fmt.Sprintf(`"status":"firing","endsAt":"0001-01-01T00:00:00Z","fingerprint":"%016x",`, n)
		}) + `],"groupLabels":{"alertname":"NodeFilesystemAlmostOutOfSpace"},"commonLabels":{},"commonAnnotations":{},` +
			`"externalURL":"http://alertmanager.example.org:9093","version":"4","groupKey":"{}:{}","truncatedAlerts":0}`
	})
}

// posts are the same alerts as Prometheus posts them to Alertmanager.
func posts(batch int) [][]byte {
	ends := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	return bodies(batch, func(first int) string {
		return "[" + alerts(first, batch, func(int) string { return `"endsAt":"` + ends + `",` }) + "]"
	})
}

func bodies(batch int, body func(first int) string) [][]byte {
	out := make([][]byte, 0, distinctAlerts/batch)
	for first := 0; first+batch <= distinctAlerts; first += batch {
		out = append(out, []byte(body(first)))
	}
	return out
}

// run sends for the given time over keep-alive connections, each waiting for
// its answer before it sends again. One refused request ends it.
func (l load) run(ctx context.Context, length time.Duration) (took []time.Duration, err error) {
	transport := &http.Transport{MaxIdleConnsPerHost: l.connections, MaxConnsPerHost: l.connections}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	if _, err := l.send(ctx, client, 0); err != nil { // warms up
		return nil, err
	}
	var mu sync.Mutex // guards took and err
	var wg sync.WaitGroup
	start := time.Now()
	for c := range l.connections {
		wg.Go(func() {
			var mine []time.Duration
			var problem error
			for n := c; time.Since(start) < length && problem == nil; n += l.connections {
				var d time.Duration
				if d, problem = l.send(ctx, client, n); problem == nil {
					mine = append(mine, d)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, mine...)
			if problem != nil {
				err = problem
			}
		})
	}
	wg.Wait()
	return took, err
}

func (l load) send(ctx context.Context, client *http.Client, n int) (time.Duration, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, l.url, bytes.NewReader(l.bodies[n%len(l.bodies)]))
	if err != nil {
		return 0, err
	}
	request.Header.Set("Content-Type", "application/json")
	start := time.Now()
	answer, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	defer func() { _ = answer.Body.Close() }() // read to its end below
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return 0, err
	}
	if answer.StatusCode != l.want {
		return 0, fmt.Errorf("answered %s", answer.Status)
	}
	return time.Since(start), nil
}
