package alertmanager_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/intake/alertmanager"
	"github.com/secondline-ops/secondline/internal/fault"
)

func received() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

func parse(t *testing.T, body string) []incident.Signal {
	t.Helper()
	signals, err := alertmanager.Parser{}.Parse([]byte(body), "application/json", received())
	if err != nil {
		t.Fatal(err)
	}
	return signals
}

func one(t *testing.T, alert string) incident.Signal {
	t.Helper()
	signals := parse(t, `{"version":"4","status":"resolved","alerts":[`+alert+`]}`)
	if len(signals) != 1 {
		t.Fatalf("%d signals", len(signals))
	}
	return signals[0]
}

func TestWholeAlert(t *testing.T) {
	t.Parallel()
	got := parse(t, `{"version":"4","status":"firing","externalURL":"http://am:9093","truncatedAlerts":3,"alerts":[{
		"status":"firing","fingerprint":"b93d12375cb8534b","startsAt":"2026-03-01T13:00:00.5+02:00","endsAt":"0001-01-01T00:00:00Z",
		"generatorURL":"http://prom:9090/graph?g0.expr=up","new_field":{"x":[1]},
		"labels":{"alertname":"DiskFull","severity":"page","instance":"db1:9100","pod":"p-1","mountpoint":"/var"},
		"annotations":{"summary":"Disk\nfull","runbook_url":"https://wiki/disk"}}]}`)
	want := []incident.Signal{{
		Kind: incident.Alert, State: incident.Firing, StateRaw: "firing", Severity: incident.Critical, SeverityRaw: "page", Title: "DiskFull",
		Labels:      map[string]string{"alertname": "DiskFull", "severity": "page", "instance": "db1:9100", "pod": "p-1", "mountpoint": "/var"},
		Annotations: map[string]string{"summary": "Disk\nfull", "runbook_url": "https://wiki/disk", "secondline_truncated_alerts": "3"},
		Resources:   []incident.Resource{{Value: "db1:9100", From: "labels.instance"}, {Value: "p-1", From: "labels.pod"}},
		Identity:    "b93d12375cb8534b", IdentityFrom: "fingerprint", StartsAt: time.Date(2026, 3, 1, 11, 0, 0, 5e8, time.UTC),
		ReceivedAt: received(), Links: []string{"http://prom:9090/graph?g0.expr=up", "https://wiki/disk", "http://am:9093"},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("(-want +got)\n%s", diff)
	}
}

// TestStateIsThatOfTheAlert: the status at the top of the body lies for a group
// that was cut off, so it must never count.
func TestStateIsThatOfTheAlert(t *testing.T) {
	t.Parallel()
	for alert, want := range map[string]incident.State{
		`{"status":"firing"}`:                                 incident.Firing,
		`{"status":"resolved"}`:                               incident.SourceSaysOK,
		`{"status":"FIRING"}`:                                 incident.Firing,
		`{"status":"suppressed"}`:                             incident.Muted,
		`{"status":"something new"}`:                          incident.StateUnknown,
		`{"status":"firing","endsAt":"2026-03-01T11:00:00Z"}`: incident.Firing,
		`{}`: incident.Firing,
		`{"status":null,"endsAt":"0001-01-01T00:00:00Z"}`:     incident.Firing,
		`{"endsAt":"2026-03-01T11:59:59Z"}`:                   incident.SourceSaysOK,
		`{"endsAt":"2026-03-01T12:04:00Z"}`:                   incident.Firing,
		`{"status":{"state":"active"},"endsAt":"not a time"}`: incident.Firing,
		`null`: incident.Firing, `[]`: incident.Firing, `"text"`: incident.Firing,
	} {
		if got := one(t, alert); got.State != want {
			t.Errorf("%s is %s, want %s", alert, got.State, want)
		}
	}
	for _, top := range []string{"resolved", "firing"} {
		got := parse(t, `{"status":"`+top+`","truncatedAlerts":"2","alerts":[{"status":"resolved"},{"status":"firing"}]}`)
		if got[0].State != incident.SourceSaysOK || got[1].State != incident.Firing {
			t.Errorf("with %q at the top: %s, %s", top, got[0].State, got[1].State)
		}
		for _, s := range got {
			if s.Annotations[alertmanager.TruncatedAnnotation] != "2" {
				t.Error("nothing says that the group was cut off")
			}
		}
	}
}

func TestIdentityWithoutFingerprint(t *testing.T) {
	t.Parallel()
	a := one(t, `{"status":"firing","labels":{"alertname":"A","instance":"x"},"annotations":{"value":"1"}}`)
	b := one(t, `{"labels":{"instance":"x","alertname":"A"},"annotations":{"value":"2"},"fingerprint":" ","status":"resolved"}`)
	c := one(t, `{"labels":{"instance":"y","alertname":"A"}}`)
	if a.Identity != b.Identity || a.Identity == c.Identity || a.IdentityFrom != "labels" || len(a.Identity) != 64 {
		t.Fatalf("%s, %s, %s", a.Identity, b.Identity, c.Identity)
	}
	if n := one(t, `{"fingerprint":5615590933959184469}`); n.Identity != "5615590933959184469" || n.IdentityFrom != "fingerprint" {
		t.Fatalf("a numeric fingerprint is %q", n.Identity)
	}
}

func TestTitle(t *testing.T) {
	t.Parallel()
	for alert, want := range map[string]string{
		`{"labels":{"alertname":"A"},"annotations":{"summary":"B"}}`:  "A",
		`{"labels":{"alertname":" "},"annotations":{"summary":"B"}}`:  "B",
		`{"labels":{"alertname":{}},"annotations":{"message":"C"}}`:   "C",
		`{"labels":[],"annotations":"x"}`:                             "alert without a name",
		`{"labels":{"alertname":"a\u0000\u001b[2J\nb"}}`:              "a [2J b",
		`{"labels":{"alertname":"` + strings.Repeat("x", 600) + `"}}`: strings.Repeat("x", 497) + "…",
	} {
		if got := one(t, alert).Title; got != want {
			t.Errorf("%.60s has the title %q, want %q", alert, got, want)
		}
	}
}

func TestBareListOfPrometheus(t *testing.T) {
	t.Parallel()
	got := parse(t, `[{"labels":{"alertname":"A"},"endsAt":"2026-03-01T12:05:00Z"},{"labels":{"alertname":"B"},"endsAt":"2026-03-01T11:00:00Z"}]`)
	if len(got) != 2 || got[0].State != incident.Firing || got[1].State != incident.SourceSaysOK {
		t.Fatalf("%+v", got)
	}
}

func TestNotFromAlertmanager(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", "{}", "null", `"x"`, `{"alerts":{}}`, `{"alerts":"none"}`, "<html>", `{"alerts":[`, strings.Repeat("[", 1000)} {
		if _, err := (alertmanager.Parser{}).Parse([]byte(body), "", received()); !fault.Is(err, fault.Invalid) {
			t.Errorf("%.20q gives %v", body, err)
		}
	}
	if got := parse(t, `{"alerts":[]}`); len(got) != 0 {
		t.Errorf("no alerts are %v", got)
	}
}

func TestFourMiBOfLabels(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := 0; b.Len() < 4<<20-100; i++ {
		fmt.Fprintf(&b, `"label%d":"%030d",`, i, i)
	}
	got := one(t, `{"labels":{`+b.String()+`"alertname":"A"}}`)
	if len(got.Labels) != 64 || got.Annotations[alertmanager.DroppedAnnotation] == "" {
		t.Fatalf("%d labels", len(got.Labels))
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`{"alerts":[{"status":"firing","labels":{"alertname":"A","severity":"critical","instance":"x"},"annotations":{"summary":"s"},"startsAt":"2026-03-01T12:00:00Z","endsAt":"0001-01-01T00:00:00Z","generatorURL":"http://x/","fingerprint":"f"}],"truncatedAlerts":1,"externalURL":"http://am/"}`,
		`[{"labels":{"a":"\u0000\ud800"},"endsAt":1}]`, `{"alerts":[null,1,"x",[],{}]}`, `{"alerts":[{"labels":[],"annotations":7,"startsAt":{},"fingerprint":["x"]}]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := alertmanager.Parser{}.Parse(body, "", received())
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatalf("refused as %v", err)
			}
			return
		}
		again, err := alertmanager.Parser{}.Parse(body, "text/plain", received())
		if err != nil || !cmp.Equal(got, again) {
			t.Fatalf("read differently the second time: %v", err)
		}
		for _, s := range got {
			if s.Identity == "" || s.Title == "" || len(s.Title) > 500 || len(s.Labels) > 64 || s.Links == nil || s.Resources == nil || strings.ContainsAny(s.Title, "\x00\n\x1b") {
				t.Fatalf("not in normal form: %+v", s)
			}
			if _, err := s.StartsAt.MarshalJSON(); err != nil {
				t.Fatal(err)
			}
		}
	})
}
