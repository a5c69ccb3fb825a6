package normal_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/intake/normal"
)

func decode(t *testing.T, body string) normal.Value {
	t.Helper()
	v, err := normal.Decode([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestLabelsAreBounded(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range 100 {
		fmt.Fprintf(&b, `"l%03d":%d,`, 99-i, i)
	}
	labels, dropped := normal.Labels(decode(t, "{"+b.String()+`"`+strings.Repeat("ü", 5000)+`":"`+strings.Repeat("ä", 5000)+`","a":["x"],"l000":"again"}`))
	if len(labels) != 64 || dropped != 38 || labels["l000"] != "again" || labels["a"] != "" {
		t.Fatalf("%d kept, %d dropped, l000 is %q", len(labels), dropped, labels["l000"])
	}
	labels, dropped = normal.Labels(decode(t, `{"`+strings.Repeat("ü", 5000)+`":"`+strings.Repeat("ä", 5000)+`"}`))
	for name, value := range labels {
		if len(name) > 200 || len(value) > 4096 || !utf8.ValidString(name+value) || !strings.HasSuffix(value, "…") || dropped != 0 {
			t.Fatalf("name of %d bytes, value of %d", len(name), len(value))
		}
	}
	for _, none := range []string{`null`, `[]`, `"x"`, `7`} {
		if labels, _ := normal.Labels(decode(t, none)); labels == nil || len(labels) != 0 {
			t.Errorf("labels of %s are %v", none, labels)
		}
	}
}

func TestIdentityIsThatOfTheLabels(t *testing.T) {
	t.Parallel()
	same := []string{`{"a":"1","b":"2"}`, `{"b":"2","a":"1"}`, `{"b":"2","a":"0","a":"1"}`, `{"a":1,"b":2}`}
	other := []string{`{"a":"1"}`, `{"a":"1","b":"3"}`, `{"a1":"","b":"2"}`, `{"a":"1b","":"2"}`, `{}`}
	want := normal.IdentityOf(decode(t, same[0]))
	for _, s := range same {
		if got := normal.IdentityOf(decode(t, s)); got != want {
			t.Errorf("%s has another identity", s)
		}
	}
	for _, s := range other {
		if got := normal.IdentityOf(decode(t, s)); got == want {
			t.Errorf("%s has the same identity", s)
		}
	}
	long := strings.Repeat("x", 300)
	if a, b := normal.Identity(long+"a"), normal.Identity(long+"b"); a == b || len(a) != 64 {
		t.Errorf("two long keys are %q and %q", a, b)
	}
}

func TestSeverity(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]incident.Severity{
		"critical": incident.Critical, "CRITICAL ": incident.Critical, "page": incident.Critical, "error": incident.High, "major": incident.High,
		"high": incident.High, "warning": incident.Warning, "minor": incident.Warning, "info": incident.Info, "none": incident.Info,
		"": incident.SeverityUnknown, "not critical": incident.SeverityUnknown, "crit ical": incident.SeverityUnknown, "5": incident.SeverityUnknown,
	} {
		if got := normal.Severity(raw); got != want {
			t.Errorf("%q is %s, want %s", raw, got, want)
		}
	}
}

func TestLinksAreForTheWeb(t *testing.T) {
	t.Parallel()
	good := []string{"http://a.example:9090/graph?g0.expr=up+%3C+1", "https://wiki/x#y"}
	bad := []string{
		"", "javascript:alert(1)", "ftp://x/", "//x/", "?orgId=1", "http://", "http:///path", "https://?q", "http://user:pw@host/", "http://a b/",
		"http://x/\x1b[31m", "http://x/\"onclick=", "http://x/<script>", "HTTP://x", "http://" + strings.Repeat("x", 3000), " http://x/",
	}
	got := normal.Links(append(append(bad, good...), good...)...)
	if diff := cmp.Diff(good, got); diff != "" {
		t.Fatal(diff)
	}
}

func TestTitleIsOneLine(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"plain title": "plain title", "  a \r\n\tb\x00\x1b[31m ": "a b [31m", "größe 🔥": "größe 🔥", "a\u202eb": "a b", "": "", "\n": "",
	} {
		if got := normal.Title(raw); got != want {
			t.Errorf("%q becomes %q, want %q", raw, got, want)
		}
	}
	if got := normal.Title(strings.Repeat("ü", 1000)); len(got) > 500 || !utf8.ValidString(got) {
		t.Errorf("a long title has %d bytes", len(got))
	}
}
