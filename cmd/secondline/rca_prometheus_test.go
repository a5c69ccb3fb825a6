package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestRCAReadsFromPrometheus: the CPU of db1 rises at the onset, web1's does not.
// The server answers as the HTTP API of Prometheus documents range queries.
func TestRCAReadsFromPrometheus(t *testing.T) {
	t.Parallel()
	onset := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		series := []map[string]any{}
		for i, host := range []string{"db1", "web1"} {
			series = append(series, map[string]any{
				"metric": map[string]string{"__name__": "load", "instance": host + ":9100"}, "values": answer(t, r.Form, onset, i),
			})
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"status": "success", "data": map[string]any{"resultType": "matrix", "result": series}})
	}))
	defer server.Close()
	var out bytes.Buffer
	code := execute(t.Context(), nowhere(&out), []string{"rca", "--prometheus", server.URL, "--match", `{job="node"}`, "--onset", onset.Format(time.RFC3339), "-o", "json"})
	var report struct {
		Onset    time.Time
		Entities []struct{ Entity string }
	}
	if err := json.Unmarshal(out.Bytes(), &report); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v: %s", code, err, out.String())
	}
	if len(report.Entities) == 0 || report.Entities[0].Entity != "db1" || report.Onset.Sub(onset).Abs() > time.Minute {
		t.Errorf("got %+v", report)
	}
}

// answer is a series with a value each step: a ripple, and for the first host ten
// times as much since the onset.
func answer(t *testing.T, form url.Values, onset time.Time, host int) [][]any {
	t.Helper()
	number := func(name string) float64 {
		f, err := strconv.ParseFloat(strings.TrimSuffix(form.Get(name), "s"), 64)
		if err != nil {
			at, err := time.Parse(time.RFC3339Nano, form.Get(name))
			if err != nil {
				t.Errorf("%s is %q", name, form.Get(name))
				return 1
			}
			return float64(at.UnixMilli()) / 1000
		}
		return f
	}
	values := [][]any{}
	step := max(1, number("step"))
	for at := number("start"); at <= number("end"); at += step {
		v := 1 + 0.01*float64(int(at)%7)
		if host == 0 && at >= float64(onset.Unix()) {
			v *= 10
		}
		values = append(values, []any{at, fmt.Sprint(v)})
	}
	return values
}
