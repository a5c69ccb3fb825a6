package intake_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/intake"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/internal/redact"
)

func TestUnreadableBodyIsASignalThatNamesNoHost(t *testing.T) {
	t.Parallel()
	one := intake.Unreadable(store.Body{
		ID: "b1", Source: "generic/backup", ReceivedAt: now(), Data: append([]byte("token=abcdefgh12345 host=web1\x00\x1b[2J\n"), bytes.Repeat([]byte("x"), 4<<20)...),
	}, "it is no JSON", redact.New())
	two := intake.Unreadable(store.Body{ID: "b2", Source: "generic/backup"}, "another reason", redact.New())
	if one.ID != "b1" || one.BodyID != "b1" || one.State != incident.Firing || len(one.Resources) != 0 || len(intake.Hints(one)) != 0 || one.Identity != two.Identity {
		t.Errorf("got %+v and %+v", one, two)
	}
	excerpt := one.Annotations["excerpt"]
	if strings.Contains(excerpt, "abcdefgh12345") || strings.ContainsAny(excerpt, "\x00\x1b\n") || len(excerpt) > 500 || !strings.Contains(excerpt, "host=web1") {
		t.Errorf("excerpt %q", excerpt)
	}
}

func TestRedactKeepsWhatIsNoSecret(t *testing.T) {
	t.Parallel()
	const secret = "correct horse battery"
	sig := incident.Signal{
		Title: "mysql --password=hunter2hunter2 failed", Identity: "password=hunter2hunter2", Links: []string{"https://u:hunter2hunter2@h/x"},
		Labels: map[string]string{
			"alertname": "PasswordExpired", "instance": "web1:9100", "mountpoint": "/var", "db_password": secret, "X-Api-Key": secret, "empty_token": "",
		},
		Annotations: map[string]string{"token": secret, "summary": "max_tokens: 5", "note": "Authorization: Bearer abcdef0123456789"},
		Resources:   []incident.Resource{{Value: "https://u:hunter2hunter2@web1/", From: "url"}},
	}
	signals := []incident.Signal{sig}
	intake.Redact(signals, redact.New())
	got := signals[0]
	for name, value := range map[string]string{
		got.Title: "hunter2", got.Links[0]: "hunter2", got.Resources[0].Value: "hunter2", got.Annotations["note"]: "abcdef",
		got.Labels["db_password"]: "horse", got.Labels["X-Api-Key"]: "horse", got.Annotations["token"]: "horse",
	} {
		if strings.Contains(name, value) || !strings.Contains(name, "[redacted:") {
			t.Errorf("%q still has its secret", name)
		}
	}
	for _, name := range []string{"alertname", "instance", "mountpoint", "empty_token"} {
		if got.Labels[name] != sig.Labels[name] {
			t.Errorf("%s became %q", name, got.Labels[name])
		}
	}
	if got.Annotations["summary"] != "max_tokens: 5" || got.Identity != sig.Identity || !strings.Contains(got.Resources[0].Value, "web1") {
		t.Errorf("got %+v", got)
	}
	if sig.Labels["db_password"] != secret {
		t.Error("the map of the caller was changed")
	}
}
