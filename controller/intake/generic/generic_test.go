package generic_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/intake/generic"
	"github.com/secondline-ops/secondline/internal/fault"
)

func received() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

func parse(t *testing.T, body string) []incident.Signal {
	t.Helper()
	signals, err := generic.Parser{}.Parse([]byte(body), "application/x-www-form-urlencoded", received())
	if err != nil {
		t.Fatal(err)
	}
	return signals
}

func TestEverything(t *testing.T) {
	t.Parallel()
	got := parse(t, `{"title":"disk almost full","state":"resolved","severity":"High","host":"db1","fingerprint":"disk/db1","description":"/var is 97 % full",
		"starts_at":"2026-03-01T12:00:00Z","ends_at":1772368200,"labels":{"mountpoint":"/var","instance":"db1:9100"},"annotations":{"runbook_url":"https://wiki/x"},
		"links":["https://grafana/d","javascript:x",7]}`)
	want := []incident.Signal{{
		Kind: incident.Alert, State: incident.SourceSaysOK, StateRaw: "resolved", Severity: incident.High, SeverityRaw: "High", Title: "disk almost full",
		Labels:      map[string]string{"mountpoint": "/var", "instance": "db1:9100"},
		Annotations: map[string]string{"runbook_url": "https://wiki/x", "description": "/var is 97 % full"},
		Resources:   []incident.Resource{{Value: "db1", From: "host"}, {Value: "db1:9100", From: "labels.instance"}},
		Identity:    "disk/db1", IdentityFrom: "fingerprint",
		StartsAt: received(), EndsAt: received().Add(30 * time.Minute), ReceivedAt: received(), Links: []string{"https://grafana/d", "https://wiki/x"},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("(-want +got)\n%s", diff)
	}
}

func TestLeast(t *testing.T) {
	t.Parallel()
	a := parse(t, `{"title":"x"}`)[0]
	if a.State != incident.Firing || a.Severity != incident.SeverityUnknown || a.Identity == "" || a.IdentityFrom != "labels" || len(a.Resources) != 0 {
		t.Fatalf("%+v", a)
	}
	b := parse(t, `{"title":"x","host":"db1"}`)[0]
	c := parse(t, `{"host":"db1","name":"x","state":"resolved","description":"other"}`)[0]
	if b.Identity == a.Identity || b.Identity != c.Identity {
		t.Fatal("without a fingerprint the title, the host and the labels are what makes two signals the same")
	}
}

func TestSeveral(t *testing.T) {
	t.Parallel()
	for _, body := range []string{`[{"title":"a"},{"title":"b"}]`, `{"signals":[{"title":"a"},{"title":"b"}]}`} {
		got := parse(t, body)
		if len(got) != 2 || got[0].Title != "a" || got[1].Title != "b" {
			t.Errorf("%s gives %d signals", body, len(got))
		}
	}
}

func TestWithoutTitle(t *testing.T) {
	t.Parallel()
	for _, body := range []string{`{}`, `[{"title":"a"},{}]`, `{"title":""}`, `{"title":"\n"}`, `7`, `null`, `title=x`, ``} {
		_, err := generic.Parser{}.Parse([]byte(body), "", received())
		if !fault.Is(err, fault.Invalid) {
			t.Errorf("%s gives %v", body, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{`{"title":"x","host":"h","labels":{"a":1},"links":["http://x/"],"starts_at":1}`, `[{"name":"\u0000"}]`, `{"signals":[null]}`, `{"title":{},"message":true}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := generic.Parser{}.Parse(body, "", received())
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatalf("refused as %v", err)
			}
			return
		}
		for _, s := range got {
			if s.Title == "" || s.Identity == "" || len(s.Title) > 500 || s.Links == nil || s.Resources == nil || strings.ContainsAny(s.Title, "\x00\n\x1b") {
				t.Fatalf("not in normal form: %+v", s)
			}
		}
	})
}
