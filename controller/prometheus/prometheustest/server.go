// Package prometheustest is a Prometheus for tests: a server that answers what
// was scripted, as the HTTP API is documented, and fails the test for anything
// else (https://prometheus.io/docs/prometheus/latest/querying/api).
package prometheustest

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Now is the time of the server's clock.
func Now() time.Time { return time.Date(2026, 3, 1, 12, 30, 0, 0, time.UTC) }

// Span is when an expression yields a series.
type Span struct {
	Labels   map[string]string
	From, To time.Time
	Value    float64
}

// Always is from long before everything to long after it, under labels that are
// given as pairs.
func Always(value float64, labels ...string) Span {
	return Span{Labels(labels...), Now().Add(-24 * time.Hour), Now().Add(24 * time.Hour), value}
}

// Between is from one time to another, counted from Now.
func Between(from, to time.Duration, labels ...string) Span {
	return Span{Labels(labels...), Now().Add(from), Now().Add(to), 93.5}
}

// Of is the span with another value.
func (s Span) Of(value float64) Span {
	s.Value = value
	return s
}

// Labels makes labels of pairs.
func Labels(labels ...string) map[string]string {
	all := map[string]string{}
	for i := 0; i+1 < len(labels); i += 2 {
		all[labels[i]] = labels[i+1]
	}
	return all
}

// Server is the server. It is safe for concurrent use; what it answers is changed
// by Set.
type Server struct {
	*httptest.Server
	t testing.TB

	mu sync.Mutex // guards below
	// Script is what it answers. While it may be asked, change it by Set.
	Script
	asked []string
}

// Script is what a Server answers.
type Script struct {
	Yields   map[string][]Span // the series of each expression
	Rules    string            // the data of /api/v1/rules
	Broken   http.HandlerFunc  // answers instead, where it is set
	Warnings []string
	Token    string           // that a request must carry, where it is set
	Clock    func() time.Time // nil is Now
}

// Start starts a server for the test, without rules and series.
func Start(t testing.TB) *Server {
	t.Helper()
	f := &Server{t: t, Script: Script{Yields: map[string][]Span{}, Rules: `{"groups":[]}`}}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

// Set changes the script, also while the server is asked.
func (f *Server) Set(change func(*Script)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.Script)
}

// Questions returns the expressions that it was asked, in their order.
func (f *Server) Questions() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.asked)
}

// ServeHTTP implements http.Handler.
func (f *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.Broken != nil {
		f.Broken(w, r)
		return
	}
	if f.Token != "" && r.Header.Get("Authorization") != "Bearer "+f.Token {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if err := r.ParseForm(); err != nil {
		f.t.Error(err)
	}
	w.Header().Set("Content-Type", "application/json")
	switch route := r.Method + " " + r.URL.Path; route {
	case "GET /api/v1/rules":
		if r.Form.Get("type") != "alert" {
			f.t.Errorf("asks for the rules of type %q", r.Form.Get("type"))
		}
		f.succeed(w, json.RawMessage(f.Rules))
	case "POST /api/v1/query":
		f.query(w, r)
	case "POST /api/v1/query_range":
		f.queryRange(w, r)
	default:
		f.t.Errorf("asks for %s", route)
		http.NotFound(w, r)
	}
}

func (f *Server) succeed(w io.Writer, data any) {
	answer := map[string]any{"status": "success", "data": data}
	if len(f.Warnings) > 0 {
		answer["warnings"] = f.Warnings
	}
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		f.t.Error(err)
	}
}

// Refuse answers as the API does when it cannot.
func Refuse(w http.ResponseWriter, status int, kind, text string) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"status": "error", "errorType": kind, "error": text}) // the caller may have gone
}

// expect is that a request has exactly these parameters.
func (f *Server) expect(r *http.Request, names ...string) {
	if _, err := strconv.ParseFloat(r.Form.Get("timeout"), 64); err != nil { // or 10s, but not 10.0s
		f.t.Errorf("the timeout: %v", err)
	}
	if got := slices.Sorted(maps.Keys(r.Form)); !slices.Equal(got, names) {
		f.t.Errorf("%s has the parameters %q, want %q", r.URL.Path, got, names)
	}
}

func (f *Server) query(w http.ResponseWriter, r *http.Request) {
	at, query := f.now(), r.Form.Get("query")
	if r.Form.Has("time") {
		f.expect(r, "query", "time", "timeout")
		at = f.time(r, "time")
	} else {
		f.expect(r, "query", "timeout")
	}
	f.asked = append(f.asked, query)
	if query == "time()" {
		f.succeed(w, map[string]any{"resultType": "scalar", "result": value(at, float64(at.UnixMilli())/1000)})
		return
	}
	result := []any{}
	for _, s := range f.spans(query) {
		if !at.Before(s.From) && !at.After(s.To) {
			result = append(result, map[string]any{"metric": s.Labels, "value": value(at, s.Value)})
		}
	}
	f.succeed(w, map[string]any{"resultType": "vector", "result": result})
}

func (f *Server) queryRange(w http.ResponseWriter, r *http.Request) {
	f.expect(r, "end", "query", "start", "step", "timeout")
	step, err := strconv.ParseFloat(r.Form.Get("step"), 64)
	from, to, query := f.time(r, "start"), f.time(r, "end"), r.Form.Get("query")
	if err != nil || step <= 0 || to.Before(from) {
		Refuse(w, http.StatusBadRequest, "bad_data", "invalid parameter")
		return
	}
	if to.Sub(from).Seconds()/step > 11000 {
		Refuse(w, http.StatusBadRequest, "bad_data", "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)")
		return
	}
	f.asked = append(f.asked, query)
	result := []any{}
	for _, s := range f.spans(query) {
		values := []any{}
		for at := from; !at.After(to); at = at.Add(time.Duration(step * float64(time.Second))) {
			if !at.Before(s.From) && !at.After(s.To) {
				values = append(values, value(at, s.Value))
			}
		}
		if len(values) > 0 {
			result = append(result, map[string]any{"metric": s.Labels, "values": values})
		}
	}
	f.succeed(w, map[string]any{"resultType": "matrix", "result": result})
}

func (f *Server) now() time.Time {
	if f.Clock != nil {
		return f.Clock()
	}
	return Now()
}

func (f *Server) spans(query string) []Span {
	spans, ok := f.Yields[query]
	if !ok {
		f.t.Errorf("the question %s was not scripted", query)
	}
	return spans
}

func (f *Server) time(r *http.Request, name string) time.Time {
	s, err := strconv.ParseFloat(r.Form.Get(name), 64)
	if err != nil {
		f.t.Errorf("%s is no time: %v", name, err)
	}
	return time.UnixMilli(int64(math.Round(s * 1000))).UTC()
}

func value(at time.Time, v float64) []any {
	return []any{float64(at.UnixMilli()) / 1000, strconv.FormatFloat(v, 'g', -1, 64)}
}

// Rule is one alerting rule as /api/v1/rules shows it.
func Rule(alert, expression string, held time.Duration, labels string) string {
	query, _ := json.Marshal(expression) // a string marshals
	return fmt.Sprintf(`{"state":"firing","name":%q,"query":%s,"duration":%g,"keepFiringFor":0,"labels":{%s},"annotations":{},"alerts":[],
		"health":"ok","evaluationTime":0.0003,"lastEvaluation":"2026-03-01T12:29:50Z","type":"alerting"}`, alert, query, held.Seconds(), labels)
}

// Groups is the data of /api/v1/rules with one group of the rules, which is
// evaluated every 30 seconds.
func Groups(rules ...string) string {
	return `{"groups":[{"name":"g","file":"rules.yml","interval":30,"limit":0,"rules":[
		{"name":"job:up:sum","query":"sum by (job) (up)","health":"ok","type":"recording"},` + strings.Join(rules, ",") + `]}]}`
}
