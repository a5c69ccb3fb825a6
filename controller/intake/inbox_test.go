package intake_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/intake"
	"github.com/secondline-ops/secondline/controller/intake/sources"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/controller/store/sqlite"
	"github.com/secondline-ops/secondline/internal/fault"
)

func now() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

const twoAlerts = `{"version":"4","alerts":[{"status":"firing","labels":{"alertname":"A"},"fingerprint":"f1"},{"status":"resolved","labels":{"alertname":"B"},"fingerprint":"f2"}]}`

func openStore(t *testing.T) store.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "store.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func newInbox(bodies intake.Bodies, parsers ...intake.Parser) *intake.Inbox {
	return intake.NewInbox(intake.Options{Bodies: bodies, Sources: append(sources.All(), parsers...), Now: now, Rand: rand.Reader})
}

func TestAcceptedIsStoredAndReadsTheSameLater(t *testing.T) {
	t.Parallel()
	db := openStore(t)
	var rung atomic.Int64
	inbox := intake.NewInbox(intake.Options{Bodies: db, Sources: sources.All(), Now: now, Rand: rand.Reader, OnStored: func(intake.Receipt) { rung.Add(1) }})
	receipt, err := inbox.Accept(t.Context(), "prometheus", "application/json", []byte(twoAlerts))
	if err != nil {
		t.Fatal(err)
	}
	body, err := db.FindBody(t.Context(), receipt.BodyID)
	if err != nil {
		t.Fatal(err)
	}
	if string(body.Data) != twoAlerts || body.Source != "alertmanager" || body.Status != store.BodyPending || !body.ReceivedAt.Equal(now()) || rung.Load() != 1 {
		t.Fatalf("stored %+v", body)
	}
	later, err := sources.ParseBody(body)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(receipt.Signals, later); diff != "" {
		t.Fatalf("what was answered is not what is read later\n%s", diff)
	}
	if len(later) != 2 || later[0].ID != receipt.BodyID+"-000000" || later[1].ID != receipt.BodyID+"-000001" ||
		later[0].BodyID != receipt.BodyID || later[0].Source != "alertmanager" || later[0].Action != incident.DeedStored || later[0].IncidentID != "" {
		t.Fatalf("%+v", later)
	}
}

func TestWhatNobodyUnderstandsIsKept(t *testing.T) {
	t.Parallel()
	db := openStore(t)
	inbox := newInbox(db, broken{})
	for source, body := range map[string]string{"alertmanager": "\xff\x00 not json", "generic/backup": `{"no":"title"}`, "broken": "anything"} {
		receipt, err := inbox.Accept(t.Context(), source, "text/plain", []byte(body))
		if err != nil || !receipt.Unmapped || len(receipt.Signals) != 0 || receipt.Problem == "" {
			t.Fatalf("%s: %+v, %v", source, receipt, err)
		}
		stored, err := db.FindBody(t.Context(), receipt.BodyID)
		if err != nil || string(stored.Data) != body || stored.Source != source || stored.Status != store.BodyPending {
			t.Fatalf("%s: stored %+v, %v", source, stored, err)
		}
	}
}

// broken is a parser with a bug.
type broken struct{}

func (broken) Name() string      { return "broken" }
func (broken) Aliases() []string { return nil }
func (broken) Parse([]byte, string, time.Time) ([]incident.Signal, error) {
	var none []int
	return nil, fmt.Errorf("element %d", none[len(none)+1])
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	inbox := newInbox(refusing{})
	tests := []struct {
		name, source string
		body         []byte
		kind         fault.Kind
		hint         string
	}{
		{"one byte too many", "alertmanager", make([]byte, intake.MaxBodyBytes+1), fault.TooLarge, "max_alerts"},
		{"a slip", "alertmanger", nil, fault.NotFound, `did you mean "alertmanager"?`},
		{"nothing near", "nagios", nil, fault.NotFound, "alertmanager, generic"},
		{"a very long name", strings.Repeat("x", 1<<20), nil, fault.NotFound, "alertmanager, generic"},
		{"no name", "", nil, fault.NotFound, ""},
		{"no sender", "generic/", nil, fault.Invalid, ""},
		{"a path as sender", "generic/../x", nil, fault.Invalid, ""},
		{"dots as sender", "generic/..", nil, fault.Invalid, ""},
		{"a long sender", "generic/" + strings.Repeat("x", 65), nil, fault.Invalid, ""},
		{"the store is full", "generic/x", []byte(`{"title":"x"}`), fault.Overloaded, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			receipt, err := inbox.Accept(t.Context(), tt.source, "", tt.body)
			f, ok := errors.AsType[*fault.Error](err)
			if !ok || f.Kind != tt.kind || !strings.Contains(f.Hint, tt.hint) || receipt.BodyID != "" {
				t.Fatalf("%+v, %+v", receipt, err)
			}
		})
	}
}

// refusing is a store without room.
type refusing struct{}

func (refusing) AppendBody(context.Context, store.Body) error {
	return fault.New(fault.Overloaded, "the write queue of the store is full").WithHint("send it again in a few seconds")
}

func TestFourMiBAreTaken(t *testing.T) {
	t.Parallel()
	db := openStore(t)
	body := append([]byte(twoAlerts), bytes.Repeat([]byte(" "), intake.MaxBodyBytes-len(twoAlerts))...)
	receipt, err := newInbox(db).Accept(t.Context(), "alertmanager", "", body)
	if err != nil || len(receipt.Signals) != 2 {
		t.Fatalf("%d signals, %v", len(receipt.Signals), err)
	}
}

func TestIDsSortByTime(t *testing.T) {
	t.Parallel()
	db, at := openStore(t), now()
	inbox := intake.NewInbox(intake.Options{Bodies: db, Sources: sources.All(), Now: func() time.Time { return at }, Rand: rand.Reader})
	var ids []string
	for range 20 {
		receipt, err := inbox.Accept(t.Context(), "alertmanager", "", []byte(twoAlerts))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, receipt.BodyID)
		at = at.Add(time.Millisecond)
	}
	if !slices.IsSorted(ids) || len(ids[0]) != 32 {
		t.Fatalf("%v", ids)
	}
}

func TestNoRandomnessNoID(t *testing.T) {
	t.Parallel()
	inbox := intake.NewInbox(intake.Options{Bodies: openStore(t), Sources: sources.All(), Now: now, Rand: strings.NewReader("short")})
	if _, err := inbox.Accept(t.Context(), "alertmanager", "", []byte(twoAlerts)); err == nil {
		t.Fatal("a body got an id without randomness")
	}
}

func TestHints(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name         string
		labels, want map[string]string
	}{
		{"nothing", nil, map[string]string{}},
		{"a disk", map[string]string{"alertname": "DiskFull", "mountpoint": "/var/lib", "path": "/other", "instance": "db1:9100"}, map[string]string{"alertname": "DiskFull", "mount": "/var/lib"}},
		{"a unit", map[string]string{"name": "nginx.service", "service": "web"}, map[string]string{"unit": "nginx.service"}},
		{"an instance of a unit", map[string]string{"service": `postgresql@15-main.service`}, map[string]string{"unit": `postgresql@15-main.service`}},
		{"no units", map[string]string{"name": "orders", "service": "System", "unit": "a b.service"}, map[string]string{}},
		{"not quite units", map[string]string{"name": ".service", "unit": "@x.service", "service": "a@b@c.service"}, map[string]string{}},
		{"blackbox", map[string]string{"instance": "https://shop/health", "port": "443"}, map[string]string{"url": "https://shop/health", "port": "443"}},
		{"no url", map[string]string{"url": "file:///etc/passwd", "target": "10.0.0.1", "instance": "http://u:p@x/"}, map[string]string{}},
		{"no ports", map[string]string{"port": "0443"}, map[string]string{}},
		{"hostile", map[string]string{
			"alertname": "a\x1b[2J\nb", "mount": "/var\n/x", "path": "../etc", "unit": "$(reboot).service", "url": "http://x/\x00", "port": "70000",
		}, map[string]string{"alertname": "a [2J b"}},
		{"long", map[string]string{"mount": "/" + strings.Repeat("x", 2000), "unit": strings.Repeat("x", 250) + ".service"}, map[string]string{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, intake.Hints(incident.Signal{Labels: tt.labels})); diff != "" {
				t.Fatal(diff)
			}
		})
	}
}

// leaking is a store whose error is for the operator only.
type leaking struct{}

func (leaking) AppendBody(context.Context, store.Body) error {
	return errors.New("open /secret/path: permission denied")
}
