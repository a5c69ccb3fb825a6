package controller

import (
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/triage"
)

// metrics are the controller's numbers. Every label value comes from a closed
// list in the code, never from input.
type metrics struct {
	registry     *prometheus.Registry
	decisions    *prometheus.CounterVec
	agentRefused prometheus.Counter
	accepted     prometheus.Counter
	unmapped     prometheus.Counter
	refused      *prometheus.CounterVec
}

// scrapeWithin bounds what one scrape may ask of the store.
const scrapeWithin = 3 * time.Second

func newMetrics(a *App) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "secondline_decisions_total", Help: "Decisions by their named reason.",
		}, []string{"reason"}),
		agentRefused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "secondline_agent_refused_total", Help: "Messages of agents that were not entitled to what they sent.",
		}),
	}
	m.accepted = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "secondline_signals_accepted_total", Help: "Signals in deliveries that were stored.",
	})
	m.unmapped = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "secondline_bodies_unmapped_total", Help: "Deliveries that could not be read or decided and were set aside.",
	})
	m.refused = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "secondline_deliveries_refused_total", Help: "Deliveries of signals that were not accepted, by reason.",
	}, []string{"reason"})
	for _, r := range refusals() {
		m.refused.WithLabelValues(string(r))
	}
	for _, r := range triage.Reasons() {
		m.decisions.WithLabelValues(string(r))
	}
	m.registry.MustRegister(m.decisions, m.agentRefused, m.accepted, m.unmapped, m.refused, state{a},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) decided(reason triage.Reason) { m.decisions.WithLabelValues(string(reason)).Inc() }

func (m *metrics) deliveryRefused(why refusal) { m.refused.WithLabelValues(string(why)).Inc() }

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		Registry: m.registry, ErrorHandling: promhttp.ContinueOnError, // a store that is away must not hide the rest
	})
}

// state reads what is in the store at the time of the scrape.
type state struct{ a *App }

func incidentsDesc() *prometheus.Desc {
	return prometheus.NewDesc("secondline_incidents", "Incidents by status.", []string{"status"}, nil)
}

func jobsDesc() *prometheus.Desc {
	return prometheus.NewDesc("secondline_jobs_open", "Jobs that have not ended, by kind of queue.", []string{"queue"}, nil)
}

func agentsDesc() *prometheus.Desc {
	return prometheus.NewDesc("secondline_agents_connected", "Agents with an open stream to this controller.", nil, nil)
}

func staleDesc() *prometheus.Desc {
	return prometheus.NewDesc("secondline_settings_stale", "1 when the files had mistakes when they were read last, so that older settings are in force.", nil, nil)
}

func pendingDesc() *prometheus.Desc {
	return prometheus.NewDesc("secondline_bodies_pending", "Deliveries that are stored and not decided yet.", nil, nil)
}

func pendingAgeDesc() *prometheus.Desc {
	return prometheus.NewDesc("secondline_bodies_pending_oldest_seconds", "How long the oldest undecided delivery has been waiting; 0 when there is none.", nil, nil)
}

// Describe implements prometheus.Collector.
func (state) Describe(ch chan<- *prometheus.Desc) {
	ch <- incidentsDesc()
	ch <- jobsDesc()
	ch <- agentsDesc()
	ch <- staleDesc()
	ch <- pendingDesc()
	ch <- pendingAgeDesc()
}

// Collect implements prometheus.Collector.
func (s state) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeWithin)
	defer cancel()
	ch <- prometheus.MustNewConstMetric(agentsDesc(), prometheus.GaugeValue, float64(len(s.a.agents.Connected())))
	stale := 0.0
	if s.a.loading.isStale() {
		stale = 1
	}
	ch <- prometheus.MustNewConstMetric(staleDesc(), prometheus.GaugeValue, stale)
	s.collectPending(ctx, ch)
	counts, err := s.a.o.Store.CountIncidents(ctx)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(incidentsDesc(), err)
		return
	}
	for _, status := range incident.Statuses() {
		ch <- prometheus.MustNewConstMetric(incidentsDesc(), prometheus.GaugeValue, float64(counts[status]), string(status))
	}
	jobs, err := s.a.o.Store.CountJobs(ctx)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(jobsDesc(), err)
		return
	}
	for _, queue := range []string{"agent", queueBundle, queueNotify, queuePrometheus} {
		ch <- prometheus.MustNewConstMetric(jobsDesc(), prometheus.GaugeValue, float64(jobs[queue]), queue)
	}
}

func (s state) collectPending(ctx context.Context, ch chan<- prometheus.Metric) {
	n, oldest, err := s.a.o.Store.CountPendingBodies(ctx)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(pendingDesc(), err)
		return
	}
	age := 0.0
	if n > 0 {
		age = max(0, s.a.o.Now().Sub(oldest).Seconds())
	}
	ch <- prometheus.MustNewConstMetric(pendingDesc(), prometheus.GaugeValue, float64(n))
	ch <- prometheus.MustNewConstMetric(pendingAgeDesc(), prometheus.GaugeValue, age)
}
