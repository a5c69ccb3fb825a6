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
			var took time.Duration
			for b.Loop() {
				d := newDesk(b)
				d.accept(storm(d, alerts, host))
				start := time.Now()
				d.must(d.app.digestAll(b.Context()))
				took += time.Since(start)
			}
			b.ReportMetric(0, "ns/op") // leaves it out: it counts making the delivery, too
			b.ReportMetric(float64(took.Microseconds())/float64(b.N*alerts), "us/signal")
		})
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
