package http_test

import (
	"fmt"
	"io"
	nethttp "net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/internal/remote/remotetest"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/actions/http"
	"github.com/secondline-ops/secondline/runbooks/actions/internal/actiontest"
)

// service is a real web server that keeps what it was asked.
type service struct {
	*httptest.Server

	mu    sync.Mutex // guards below
	asked []string   // "METHOD uri type body"
	token string     // the last X-Token
}

func newService(t *testing.T, answer nethttp.HandlerFunc) *service {
	t.Helper()
	remotetest.Need(t, "curl")
	s := &service{}
	s.Server = httptest.NewServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		s.asked = append(s.asked, fmt.Sprintf("%s %s %s %s", r.Method, r.RequestURI, r.Header.Get("Content-Type"), body))
		s.token = r.Header.Get("X-Token")
		s.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *service) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

func spec(part string, more ...string) string {
	return "\n  inputs: {word: {type: string, default: plain}}\n  probes: {out: {probe: file.text, with: {path: /x}}}\n  steps:\n    - id: ask\n" +
		"      http: " + part + "\n      timeout: 8s\n" + strings.Join(more, "")
}

const (
	reads  = "      effect: read\n"
	writes = "      undo: none\n      verify: {within: 300ms}\n"
)

func story(t *testing.T, part string, more ...string) *actiontest.Story {
	t.Helper()
	return actiontest.New(t, http.Action{}, actiontest.Local(), spec(part, more...), nil)
}

func says(status int, body string) nethttp.HandlerFunc {
	return func(w nethttp.ResponseWriter, _ *nethttp.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func TestAnswersAreHeldAgainstTheExpectation(t *testing.T) {
	t.Parallel()
	doc := `{"status": "up", "nodes": [{"name": "a", "load": 1.0}], "ok": true, "gone": null}` + "\n"
	for _, tt := range []struct {
		status int
		body   string
		expect string
		ok     bool
	}{
		{200, "", `{}`, true},
		{204, "", `{}`, true},
		{301, "", `{}`, false},
		{503, "down", `{}`, false},
		{503, "down", `{status: 503}`, true},
		{200, "x", `{status: [204, 404]}`, false},
		{404, "x", `{status: [204, 404]}`, true},
		{200, "all is well\n", `{body_has: is well}`, true},
		{200, "all is well\n", `{body_has: is ill}`, false},
		{200, "password=hunter2hunter2\n", `{body_has: is well}`, false},
		{200, doc, `{json: {status: up, nodes.0.name: a, nodes.0.load: "1", ok: "true", gone: "null"}}`, true},
		{200, doc, `{json: {status: down}}`, false},
		{200, doc, `{json: {nodes.1.name: a}}`, false},
		{200, doc, `{json: {nodes: a}}`, false},
		{200, doc + doc, `{json: {status: up}}`, false},
		{200, "<html>\n200", `{json: {status: up}}`, false},
		{200, "503", `{}`, true},
		{503, "\n200", `{}`, false},
	} {
		s := newService(t, says(tt.status, tt.body))
		story := story(t, fmt.Sprintf(`{url: "%s/health", expect: %s}`, s.URL, tt.expect), reads)
		res := story.Run()
		want := runbooks.RunVerified
		if !tt.ok {
			want = runbooks.RunFailed // nothing was changed
		}
		story.Want(res, want, "")
		if n := len(s.requests()); n != 1 {
			t.Errorf("%d %q: asked %d times", tt.status, tt.body, n)
		}
		if len(story.Host.Writes()) != 0 {
			t.Error("a step that reads has written")
		}
	}
}

func TestAGetIsAskedAgainUntilItHolds(t *testing.T) {
	t.Parallel()
	n := 0
	s := newService(t, func(w nethttp.ResponseWriter, _ *nethttp.Request) {
		if n++; n < 3 {
			w.WriteHeader(503)
		}
	})
	story := story(t, fmt.Sprintf(`{url: "%s/"}`, s.URL), "      undo: none\n      verify: {within: 20s}\n")
	story.Want(story.Run(), runbooks.RunVerified, "")
	if got := s.requests(); len(got) != 3 {
		t.Errorf("asked %q", got)
	}
}

func TestARequestArrivesAsItWasPlanned(t *testing.T) {
	t.Parallel()
	s := newService(t, says(201, `{"id": 7}`))
	word := `a"b'c $(id) \n @/etc/passwd`
	part := fmt.Sprintf(`{url: "%s/orders?x=[1]", method: POST, headers: {Content-Type: text/plain, X-Token: "${inputs.word}"}, body: "@${inputs.word}", expect: {status: 201, json: {id: 7}}}`, s.URL)
	st := actiontest.New(t, http.Action{}, actiontest.Local(), spec(part, writes), map[string]string{"word": word})
	p := st.Plan()
	if len(s.requests()) != 0 {
		t.Fatalf("planning asked %q", s.requests())
	}
	if got, want := p.Steps[0].Diff, fmt.Sprintf("--- POST %s/orders?x=[1]\n+@%s\n", s.URL, word); got != want {
		t.Errorf("the plan shows %q, want %q", got, want)
	}
	if got := p.Steps[0].Touches; len(got) != 1 || got[0].String() != "service "+s.URL+"/orders" {
		t.Errorf("it touches %v", got)
	}
	st.Want(st.RunPlan(p), runbooks.RunVerified, "")
	if got, want := s.requests(), []string{"POST /orders?x=[1] text/plain @" + word}; !slices.Equal(got, want) || s.token != word {
		t.Errorf("the service got %q with %q, want %q", got, s.token, want)
	}
}

func TestMethodsWithoutABody(t *testing.T) {
	t.Parallel()
	for method, want := range map[string]string{"HEAD": "HEAD /x  ", "POST": "POST /x  ", "PUT": "PUT /x  ", "DELETE": "DELETE /x  "} {
		s := newService(t, says(200, ""))
		st := story(t, fmt.Sprintf(`{url: "%s/x", method: %s, as_client: host}`, s.URL, method), "      undo: none\n")
		st.Want(st.Run(), runbooks.RunVerified, "")
		if got := s.requests(); got[0] != want {
			t.Errorf("%s arrived as %q", method, got)
		}
	}
}

func TestAnAnswerThatIsNotTheExpectedOneRefutes(t *testing.T) {
	t.Parallel()
	s := newService(t, says(500, "no"))
	st := story(t, fmt.Sprintf(`{url: "%s/", method: POST}`, s.URL), writes)
	st.Want(st.Run(), runbooks.RunRefuted, "answered 500")
	if got := s.requests(); len(got) != 1 {
		t.Errorf("sent %q", got)
	}
}

func TestARequestWithoutAnAnswerIsUnknownAndNotSentAgain(t *testing.T) {
	t.Parallel()
	s := newService(t, func(w nethttp.ResponseWriter, _ *nethttp.Request) {
		conn, _, err := w.(nethttp.Hijacker).Hijack()
		if err == nil {
			_ = conn.Close()
		}
	})
	st := story(t, fmt.Sprintf(`{url: "%s/", method: POST}`, s.URL), writes)
	st.Want(st.Run(), runbooks.RunUnknown, "whether step ask happened is not known")
	if got := s.requests(); len(got) != 1 {
		t.Errorf("sent %q", got)
	}
}

func TestARequestThatNeverLeftIsNotUnknown(t *testing.T) {
	t.Parallel()
	s := newService(t, says(200, ""))
	s.Close() // its port is free now
	for _, method := range []string{"POST", "GET"} {
		st := story(t, fmt.Sprintf(`{url: "%s/", method: %s}`, s.URL, method), writes)
		st.Want(st.Run(), runbooks.RunRefuted, "exit status 7")
	}
}

func TestAfterACrashNothingIsSentTwice(t *testing.T) {
	t.Parallel()
	for dieAt := 1; dieAt <= 5; dieAt++ {
		s := newService(t, says(200, ""))
		st := story(t, fmt.Sprintf(`{url: "%s/", method: POST}`, s.URL), writes)
		res := st.Crash(dieAt)
		if n := len(s.requests()); n > 1 || res.Status == runbooks.RunVerified && n != 1 {
			t.Errorf("killed at %d: sent %d times, and the run is %s", dieAt, n, res.Status)
		}
		if dieAt == 3 && res.Status != runbooks.RunUnknown {
			t.Errorf("killed at %d: %s (%s)", dieAt, res.Status, res.Why)
		}
	}
}

func TestAConnectionLostBehindTheDeedIsUnknown(t *testing.T) {
	t.Parallel()
	s := newService(t, says(200, ""))
	st := story(t, fmt.Sprintf(`{url: "%s/", method: DELETE}`, s.URL), writes)
	st.Host.After = func(remote.Command) error { return &remote.Error{Class: remote.Lost} }
	st.Want(st.Run(), runbooks.RunUnknown, "")
}

func TestRedirectsAreFollowedOnlyWhenSaid(t *testing.T) {
	t.Parallel()
	var s *service
	s = newService(t, func(w nethttp.ResponseWriter, r *nethttp.Request) {
		switch r.URL.Path {
		case "/a":
			nethttp.Redirect(w, r, s.URL+"/b", nethttp.StatusFound)
		case "/file":
			w.Header().Set("Location", "file:///etc/passwd")
			w.WriteHeader(nethttp.StatusFound)
		}
	})
	for part, ok := range map[string]bool{
		`{url: "%s/a"}`: false, `{url: "%s/a", follow: 1}`: true, `{url: "%s/a", expect: {status: 302}}`: true,
		`{url: "%s/file", follow: 5}`: false,
	} {
		st := story(t, fmt.Sprintf(part, s.URL), reads)
		if res := st.Run(); (res.Status == runbooks.RunVerified) != ok {
			t.Errorf("%s: %s (%s)", part, res.Status, res.Why)
		}
	}
}

func TestTheHostsCurlrcIsNotRead(t *testing.T) {
	t.Parallel()
	s := newService(t, says(200, ""))
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, ".curlrc"), []byte("request = DELETE\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	st := story(t, fmt.Sprintf(`{url: "%s/"}`, s.URL), reads)
	st.Host.Env = map[string]string{"HOME": home, "CURL_HOME": home}
	st.Want(st.Run(), runbooks.RunVerified, "")
	if got := s.requests(); !strings.HasPrefix(got[0], "GET ") {
		t.Errorf("asked %q", got)
	}
}

func TestWhatMustNotBeAskedIsRefused(t *testing.T) {
	t.Parallel()
	for _, part := range []string{
		`{url: "ftp://h/"}`, `{url: "file:///etc/passwd"}`, `{url: "http://"}`, `{url: "http:h"}`, `{url: h}`, `{url: "-o/etc/passwd"}`,
		`{url: "http://user:pw@h/"}`, `{url: "http://h/a b"}`, `{url: "http://h/../x"}`, `{url: "http://h/%2e%2e/x"}`, `{url: "http://h/#x"}`, `{url: "http://h/\n"}`,
		`{url: "http://h/", method: PATCH}`, `{url: "http://h/", method: get}`, `{url: "http://h/", body: x, headers: {Content-Type: a/b}}`,
		`{url: "http://h/", method: POST, body: x}`, `{url: "http://h/", method: POST, follow: 1}`, `{url: "http://h/", follow: 6}`, `{url: "http://h/", follow: x}`,
		`{url: "http://h/", headers: {"A:B": x}}`, `{url: "http://h/", headers: {"@/etc/passwd": x}}`, `{url: "http://h/", headers: {A: "x\ny"}}`,
		`{url: "http://h/", headers: {A: ""}}`, `{url: "http://h/", headers: {Host: x}}`, `{url: "http://h/", headers: {A: [x]}}`,
		`{url: "http://h/", expect: {status: 100}}`, `{url: "http://h/", expect: {status: ok}}`, `{url: "http://h/", expect: {status: []}}`,
		`{url: "http://h/", expect: {body_has: ""}}`, `{url: "http://h/", expect: {json: {"a..b": x}}}`, `{url: "http://h/", method: HEAD, expect: {body_has: x}}`,
		`{url: "http://h/", expect: {code: 200}}`, `{url: "http://h/", as_client: controller}`, `{url: "http://${nobody}/"}`, `{method: GET}`, `[]`,
	} {
		if _, err := actiontest.Parse(http.Action{}, spec(part, "      undo: none\n")); err == nil {
			t.Errorf("%s was accepted", part)
		}
	}
	if _, err := actiontest.Parse(http.Action{}, spec(`{url: "http://h/", method: POST}`, reads)); err == nil {
		t.Error("a POST that only reads was accepted")
	}
	for _, word := range []string{"u@h", "a b", "h/../..", "h#x", "[", "h/\u00e9"} {
		st := actiontest.New(t, http.Action{}, actiontest.Local(), spec(`{url: "http://${inputs.word}/"}`, reads), map[string]string{"word": word})
		if _, err := st.TryPlan(); err == nil {
			t.Errorf("%q was planned", word)
		}
	}
}
