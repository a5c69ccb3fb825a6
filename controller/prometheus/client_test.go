package prometheus_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/secondline-ops/secondline/controller/prometheus"
	"github.com/secondline-ops/secondline/controller/prometheus/prometheustest"
	"github.com/secondline-ops/secondline/internal/fault"
)

func TestQueriesAreReadAsDocumented(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.Yields["up == 0"] = []span{always(0, "__name__", "up", "instance", "db1:9100"), between(-time.Minute, -30*time.Second, "instance", "web1")}
	c := f.client()
	got, err := c.Query(t.Context(), "up == 0", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	want := prometheus.Answer{Series: []prometheus.Series{
		{Labels: pairs("__name__", "up", "instance", "db1:9100"), Points: []prometheus.Point{{At: t0, Value: 0}}},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("now (-want +got)\n%s", diff)
	}
	got, err = c.QueryRange(t.Context(), "up == 0", t0.Add(-time.Minute), t0, 30*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Series) != 2 || len(got.Series[0].Points) != 3 || len(got.Series[1].Points) != 2 || got.Series[1].Points[1] != (prometheus.Point{At: t0.Add(-30 * time.Second), Value: 93.5}) {
		t.Errorf("of a minute: %+v", got)
	}
	if now, err := c.Now(t.Context()); err != nil || !now.Equal(t0) {
		t.Errorf("its clock says %s, %v", now, err)
	}
	if _, err := c.QueryRange(t.Context(), "up", t0, t0.Add(-time.Second), time.Second); !fault.Is(err, fault.Invalid) {
		t.Errorf("a range that ends before it begins: %v", err)
	}
	f.Warnings = []string{"PromQL warning:\x1b[31m a node is away"}
	if got, err := c.Query(t.Context(), "up == 0", t0); err != nil || len(got.Warnings) != 1 || strings.ContainsRune(got.Warnings[0], 0x1b) {
		t.Errorf("warnings: %q, %v", got.Warnings, err)
	}
}

func TestRulesAreReadAsDocumented(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.Rules = prometheustest.Groups(prometheustest.Rule("DiskFull", "disk > 90", 15*time.Minute, `"severity":"page"`), prometheustest.Rule("Bad", "x", -time.Second, ""), prometheustest.Rule("Never", "x", 1000*24*time.Hour, ""))
	got, err := f.client().Rules(t.Context())
	want := []prometheus.Rule{{Alert: "DiskFull", Expr: "disk > 90", For: 15 * time.Minute, Interval: 30 * time.Second, Labels: pairs("severity", "page")}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
	f.Warnings = []string{"a ruler is away"} // half of the rules would look like all
	if got, err := f.client().Rules(t.Context()); err == nil {
		t.Errorf("with a warning: %+v", got)
	}
}

func says(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// Whatever is not a whole answer as documented is an error of the right kind,
// never an empty answer.
func TestWhatIsNoAnswerIsAnError(t *testing.T) {
	t.Parallel()
	vector := func(result string) http.HandlerFunc {
		return says(200, `{"status":"success","data":{"resultType":"vector","result":`+result+`}}`)
	}
	for name, c := range map[string]struct {
		broken http.HandlerFunc
		want   fault.Kind
		says   string
	}{
		"400":            {says(400, `{"status":"error","errorType":"bad_data","error":"1:5: parse error: unexpected \"<\""}`), fault.Invalid, "parse error"},
		"422":            {says(422, `{"status":"error","errorType":"execution","error":"found duplicate series"}`), fault.Invalid, "found duplicate series"},
		"503 too slow":   {says(503, `{"status":"error","errorType":"timeout","error":"query timed out"}`), fault.Timeout, "timed out"},
		"503 cancelled":  {says(503, `{"status":"error","errorType":"canceled","error":"query was canceled"}`), fault.Transient, ""},
		"503 of a proxy": {says(503, "<html>no healthy upstream</html>"), fault.Transient, "503"},
		"502":            {says(502, ""), fault.Transient, "502"},
		"429":            {says(429, "slow down"), fault.Overloaded, ""},
		"401":            {says(401, "who"), fault.Unauthenticated, ""},
		"403":            {says(403, "no"), fault.Denied, ""},
		"404":            {says(404, "not here"), fault.NotFound, ""},
		"200 error":      {says(200, `{"status":"error","errorType":"internal","error":"storage"}`), fault.Transient, "storage"},
		"a page":         {says(200, "<html>log in</html>"), fault.Transient, "not the whole JSON"},
		"nothing":        {says(200, ""), fault.Transient, "not the whole JSON"},
		"no status":      {says(200, `{"data":{"resultType":"vector","result":[]}}`), fault.Transient, ""},
		"half":           {says(200, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{"a":"b"},"value":[1`), fault.Transient, "not the whole JSON"},
		"two":            {says(200, `{"status":"success","data":{"resultType":"vector","result":[]}}{}`), fault.Transient, ""},
		"no data":        {says(200, `{"status":"success"}`), fault.Transient, "as the API documents"},
		"no type":        {says(200, `{"status":"success","data":{"result":[]}}`), fault.Invalid, ""},
		"no result":      {says(200, `{"status":"success","data":{"resultType":"vector"}}`), fault.Transient, ""},
		"null":           {vector("null"), fault.Transient, ""},
		"text":           {says(200, `{"status":"success","data":{"resultType":"string","result":[1,"x"]}}`), fault.Invalid, ""},
		"no value":       {vector(`[{"metric":{"a":"b"}}]`), fault.Transient, ""},
		"a number":       {vector(`[{"metric":{},"value":[1,2]}]`), fault.Transient, ""},
		"no number":      {vector(`[{"metric":{},"value":[1,"many"]}]`), fault.Transient, ""},
		"no time":        {vector(`[{"metric":{},"value":["now","1"]}]`), fault.Transient, ""},
		"late":           {vector(`[{"metric":{},"value":[1e300,"1"]}]`), fault.Transient, ""},
		"three parts":    {vector(`[{"metric":{},"value":[1,"1",1]}]`), fault.Transient, ""},
		"labels":         {vector(`[{"metric":{"a":1},"value":[1,"1"]}]`), fault.Transient, ""},
		"cut off": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, `{"status":"success",`)
		}, fault.Transient, "no whole answer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			f.Broken = c.broken
			got, err := f.client().Query(t.Context(), "up", time.Time{})
			if !fault.Is(err, c.want) || !strings.Contains(err.Error(), c.says) || len(got.Series) != 0 {
				t.Errorf("%+v, %s: %.300v; want %s with %q", got, fault.KindOf(err), err, c.want, c.says)
			}
			if err != nil && len(err.Error()) > 1000 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			if rules, err := f.client().Rules(t.Context()); err == nil {
				t.Errorf("these are rules: %+v", rules)
			}
		})
	}
}

// What does not fit is refused: nothing is cut off, which would look like less.
func TestAnswersThatDoNotFitAreRefused(t *testing.T) {
	t.Parallel()
	many := func(kind string, n int, before, one, after string) string {
		return `{"status":"success","data":{"resultType":"` + kind + `","result":[` + before + strings.TrimSuffix(strings.Repeat(one+",", n), ",") + after + `]}}`
	}
	for want, body := range map[string]string{
		"10001 series":   many("vector", 10_001, "", `{"metric":{},"value":[1,"1"]}`, ""),
		"1000000 points": many("matrix", 1_000_001, `{"metric":{},"values":[`, `[1,"1"]`, "]}"),
		"32 MiB":         strings.Repeat(" ", 33<<20),
	} {
		network := roundTrip(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(body)), Header: http.Header{}, Request: r}, nil
		})
		c, err := prometheus.New(prometheus.Options{URL: "http://prom:9090", Transport: network, Timeout: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.Query(t.Context(), "up", time.Time{}); !fault.Is(err, fault.TooLarge) || !strings.Contains(err.Error(), want) || len(got.Series) > 0 {
			t.Errorf("%s: %.300v", want, err)
		}
	}
}

func TestNativeHistogramsCountAsThere(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.Broken = says(200, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"histogram":[10.5,{"count":"1","sum":"2"}]}]},"infos":["x"]}`)
	got, err := f.client().Query(t.Context(), "h", time.Time{})
	want := prometheus.Answer{Series: []prometheus.Series{{Labels: map[string]string{}, Points: []prometheus.Point{{At: time.UnixMilli(10500).UTC(), Value: math.NaN()}}}}}
	if diff := cmp.Diff(want, got, cmpopts.EquateNaNs()); diff != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
}

func TestPartialAnswerOfOthersIsAWarning(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.Broken = says(200, `{"status":"success","isPartial":true,"data":{"resultType":"vector","result":[]}}`)
	if got, err := f.client().Query(t.Context(), "up", time.Time{}); err != nil || len(got.Warnings) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestNobodyThereIsUnreachable(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	c := f.client()
	f.Close()
	if _, err := c.Query(t.Context(), "up", time.Time{}); !fault.Is(err, fault.Unreachable) {
		t.Error(err)
	}
}

// A redirect to another host would hand it the token and have it answer.
func TestRedirectsStayOnTheHost(t *testing.T) {
	t.Parallel()
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("another host was asked") }))
	defer other.Close()
	f := newFake(t)
	f.Broken = func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+r.URL.Path, http.StatusTemporaryRedirect)
	}
	if _, err := f.client().Query(t.Context(), "up", time.Time{}); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "redirect that is not followed") {
		t.Error(err)
	}
	if _, err := f.client().Rules(t.Context()); !fault.Is(err, fault.Invalid) {
		t.Error(err)
	}
	f.Set(func(f *script) {
		f.Broken = func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/moved/api/v1/query" {
				_, _ = io.WriteString(w, `{"status":"success","data":{"resultType":"vector","result":[]}}`)
				return
			}
			http.Redirect(w, r, "/moved"+r.URL.Path, http.StatusPermanentRedirect)
		}
	})
	if _, err := f.client().Query(t.Context(), "up", time.Time{}); err != nil {
		t.Errorf("to the same host: %v", err)
	}
}

// roundTrip is a network whose time is that of synctest.
type roundTrip func(*http.Request) (*http.Response, error)

func (r roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return r(req) }

func TestSlowServerIsLeftAfterTheTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hangs := roundTrip(func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() })
		c, err := prometheus.New(prometheus.Options{URL: "http://prom:9090", Transport: hangs})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		var wait sync.WaitGroup
		for range 12 { // more than it is asked at once: those that wait for a turn have no longer
			wait.Go(func() {
				if _, err := c.Query(t.Context(), "up", time.Time{}); !fault.Is(err, fault.Timeout) || time.Since(began) != 10*time.Second {
					t.Errorf("after %s: %v", time.Since(began), err)
				}
			})
		}
		wait.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := c.Query(ctx, "up", time.Time{}); err == nil || time.Since(began) != 10*time.Second {
			t.Errorf("cancelled: %v", err)
		}
	})
}

func TestASlowBodyIsLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		drips := roundTrip(func(r *http.Request) (*http.Response, error) {
			reader, writer := io.Pipe()
			context.AfterFunc(r.Context(), func() { _ = writer.CloseWithError(r.Context().Err()) })
			return &http.Response{StatusCode: http.StatusOK, Body: reader, Header: http.Header{}, Request: r}, nil
		})
		c, err := prometheus.New(prometheus.Options{URL: "http://prom:9090", Transport: drips, Timeout: 3 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, err := c.Rules(t.Context()); !fault.Is(err, fault.Timeout) || time.Since(began) != 3*time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}

func TestTokenIsReadAnewAndNeverShown(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	f.Yields["up"] = nil
	file := filepath.Join(t.TempDir(), "token")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("hunter-one\n")
	c := f.client(func(o *prometheus.Options) { o.TokenFile = file })
	for _, token := range []string{"hunter-one", "hunter-two"} {
		write(token + "\n")
		f.Set(func(f *script) { f.Token = token })
		if _, err := c.Query(t.Context(), "up", time.Time{}); err != nil {
			t.Errorf("%s: %v", token, err)
		}
	}
	f.Set(func(f *script) {
		f.Broken = func(w http.ResponseWriter, r *http.Request) { // it says again what it was sent
			prometheustest.Refuse(w, http.StatusBadRequest, "bad_data", fmt.Sprintf("wrong: %v", r.Header))
		}
	})
	if _, err := c.Query(t.Context(), "up", time.Time{}); err == nil || strings.Contains(err.Error(), "hunter-two") || strings.Contains(c.Name(), "hunter") {
		t.Errorf("the token is in %v", err)
	}
	write("two\nlines")
	if _, err := c.Query(t.Context(), "up", time.Time{}); !fault.Is(err, fault.Unauthenticated) || strings.Contains(err.Error(), "lines") {
		t.Errorf("no token: %v", err)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	for _, o := range []prometheus.Options{
		{},
		{URL: "prom:9090"},
		{URL: "ftp://prom"},
		{URL: "http://"},
		{URL: "http://me:secret@prom:9090"},
		{URL: "http://prom?token=secret"},
		{URL: "http://prom\x7f/secret"},
		{URL: "http://prom", Timeout: -1},
		{URL: "http://prom", TokenFile: "/does/not/exist"},
	} {
		if _, err := prometheus.New(o); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%+v: %v", o, err)
		}
	}
	if _, err := prometheus.New(prometheus.Options{URL: "ftp://prom", Timeout: -1, TokenFile: "/none"}); strings.Count(err.Error(), "prometheus: ") != 3 {
		t.Errorf("not all is said: %v", err)
	}
	c, err := prometheus.New(prometheus.Options{URL: "https://mimir.example/prometheus/"})
	if err != nil || c.Name() != "https://mimir.example/prometheus" {
		t.Errorf("%v, %v", c.Name(), err)
	}
}

// FuzzAnswer: whatever a server says, there is an answer or an error, and no
// panic.
func FuzzAnswer(f *testing.F) {
	f.Add(200, `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"a":"b"},"values":[[1,"NaN"],[2.5,"+Inf"]]}]}}`)
	f.Add(200, `{"status":"success","data":{"resultType":"scalar","result":[1,"2"]},"warnings":["x"]}`)
	f.Add(200, `{"status":"success","data":{"groups":[{"interval":1e9,"rules":[{"type":"alerting","name":"a","duration":60}]}]}}`)
	f.Add(422, `{"status":"error","errorType":"execution","error":"`+strings.Repeat("x", 5000)+`"}`)
	f.Fuzz(func(t *testing.T, status int, body string) {
		network := roundTrip(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200 + (status%400+400)%400, Body: io.NopCloser(strings.NewReader(body)), Header: http.Header{}, Request: r}, nil
		})
		c, err := prometheus.New(prometheus.Options{URL: "http://prom:9090", Transport: network})
		if err != nil {
			t.Fatal(err)
		}
		_, first := c.Query(t.Context(), "up", time.Time{})
		_, second := c.Rules(t.Context())
		if text := fmt.Sprint(errors.Join(first, second)); len(text) > 4000 {
			t.Errorf("errors of %d bytes", len(text))
		}
	})
}
