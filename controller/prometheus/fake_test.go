package prometheus_test

import (
	"testing"
	"time"

	"github.com/secondline-ops/secondline/controller/prometheus"
	"github.com/secondline-ops/secondline/controller/prometheus/prometheustest"
)

// t0 is the time of the fake server's clock.
var t0 = prometheustest.Now()

type (
	span   = prometheustest.Span
	script = prometheustest.Script
)

func always(value float64, labels ...string) span { return prometheustest.Always(value, labels...) }

func between(from, to time.Duration, labels ...string) span {
	return prometheustest.Between(from, to, labels...)
}

func pairs(labels ...string) map[string]string { return prometheustest.Labels(labels...) }

// fake is a server with clients for the test.
type fake struct {
	*prometheustest.Server
	t testing.TB
}

func newFake(t testing.TB) *fake {
	t.Helper()
	return &fake{prometheustest.Start(t), t}
}

func (f *fake) client(change ...func(*prometheus.Options)) *prometheus.Client {
	f.t.Helper()
	o := prometheus.Options{URL: f.URL, Timeout: 5 * time.Second}
	for _, c := range change {
		c(&o)
	}
	c, err := prometheus.New(o)
	if err != nil {
		f.t.Fatal(err)
	}
	return c
}
