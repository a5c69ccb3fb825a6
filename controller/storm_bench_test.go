package controller

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkStorm is one delivery of 4,000 different alerts of one host, from
// the stored body until every signal of it is decided:
//
//	go test -run '^$' -bench Storm -benchtime 1x ./controller
func BenchmarkStorm(b *testing.B) {
	const alerts = 4000
	for _, host := range []string{"web1", "nowhere"} {
		b.Run("host="+host, func(b *testing.B) {
			var took, worst time.Duration
			for b.Loop() {
				d := newDesk(b)
				d.accept(storm(d, alerts, host))
				over := make(chan struct{})
				waited := make(chan time.Duration, 1)
				go func() { waited <- longestWait(d, over) }()
				start := time.Now()
				_, err := d.app.loop.Digest(b.Context()) // what comes in meanwhile is not counted
				d.must(err)
				took += time.Since(start)
				close(over)
				worst = max(worst, <-waited)
			}
			b.ReportMetric(0, "ns/op") // leaves it out: it counts making the delivery, too
			b.ReportMetric(float64(took.Microseconds())/float64(b.N*alerts), "us/signal")
			b.ReportMetric(float64(worst.Milliseconds()), "worst-delivery-ms")
		})
	}
}

// longestWait hands in one alert after the other until over, and returns how
// long the slowest of them took.
func longestWait(d *desk, over <-chan struct{}) (worst time.Duration) {
	for {
		start := time.Now()
		if _, err := d.app.inbox.Accept(d.Context(), "alertmanager", "application/json", []byte(`{"alerts":[]}`)); err != nil {
			d.Log(err) // refused for now
		}
		worst = max(worst, time.Since(start))
		select {
		case <-over:
			return worst
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// storm is a delivery of alerts of one host that have nothing else in common.
func storm(d *desk, alerts int, host string) string {
	list := make([]string, alerts)
	for i := range list {
		list[i] = d.alert("firing", fmt.Sprintf("Alert%05d", i), host)
	}
	return body(list...)
}
