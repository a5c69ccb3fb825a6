package main

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// metrics is what Prometheus sees of one instance. Safe for concurrent use.
type metrics struct {
	registry   *prometheus.Registry
	requests   *prometheus.CounterVec
	seconds    prometheus.Histogram
	databaseUp prometheus.Gauge
	cacheUp    prometheus.Gauge
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "orders_requests_total", Help: "Answers to customers by class of status."}, []string{"code"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "orders_request_duration_seconds", Help: "Time until customers were answered.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2, 3, 5},
		}),
		databaseUp: prometheus.NewGauge(prometheus.GaugeOpts{Name: "orders_database_up", Help: "1 while the database answers this instance."}),
		cacheUp:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "orders_cache_up", Help: "1 while the cache answers this instance."}),
	}
	m.registry.MustRegister(m.requests, m.seconds, m.databaseUp, m.cacheUp,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, class := range []string{"2xx", "4xx", "5xx"} {
		m.requests.WithLabelValues(class) // a rate needs a zero to begin at
	}
	return m
}

func (m *metrics) answered(status int, took time.Duration) {
	m.requests.WithLabelValues(fmt.Sprintf("%dxx", status/100)).Inc()
	m.seconds.Observe(took.Seconds())
}

func (m *metrics) up(database, cache bool) {
	m.databaseUp.Set(number(database))
	m.cacheUp.Set(number(cache))
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
