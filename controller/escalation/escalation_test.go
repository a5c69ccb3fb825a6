package escalation

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/runbooks"
)

var update = flag.Bool("update", false, "write the golden files")

func sample() *incident.Incident {
	at := func(m int) time.Time { return time.Date(2026, 3, 1, 3, m, 0, 0, time.UTC) }
	object := map[string]string{"mount": "/var"}
	key := incident.HypothesisKey("disk-full-logs", "db1", object)
	return &incident.Incident{
		ID: "inc-1", Number: 42, Title: "HTTP 503 on lb1", Status: incident.Escalated, Severity: incident.Critical, Priority: "P1", Entity: "db1",
		OnsetAt: at(0), Symptoms: []incident.Symptom{{Title: "HTTP 503 on lb1", State: incident.Firing}},
		OpenedAt: at(1), ResolvedAt: at(30), Resolution: "the symptom was measured gone and stayed gone",
		Diagnosis: &diagnostics.Diagnosis{
			Hypotheses: []diagnostics.Hypothesis{{
				Cause: "disk-full-logs", Title: "A file system is full of logs", Entity: "db1", Object: object, Band: diagnostics.Confirmed,
				For: []diagnostics.Evidence{{Text: "/var is 97 % full", Facts: []string{"1:disk.usage#1"}}, {Text: "logs hold 52 of 57 GB", Facts: []string{"1:disk.growers#1"}}},
			}},
			NotLookedAt: []string{"net.listeners: took longer than 10 s"},
		},
		Tried: []incident.Tried{{Key: key, Runbook: "rotate-logs", Outcome: "refuted", Why: "the disk filled again within 5 minutes"}},
		Runs: []incident.Run{{ID: "run-1", Runbook: "rotate-logs", Target: "db1", Status: runbooks.RunWaiting, Plan: &runbooks.Plan{
			Digest: "sha256:aa", Runbook: "rotate-logs", Title: "Rotate logs now", Target: "db1", WorstCase: 4 * time.Minute, Steps: []runbooks.PlannedStep{
				{ID: "rotate", Effect: runbooks.Write, Argv: []string{"logrotate", "-f", "/etc/logrotate.d/orders"}, Undo: "none"},
				{ID: "config", Effect: runbooks.Write, Noop: true},
			},
		}}},
		Measured:   &incident.Measured{Key: key, Gone: expr.False, Text: "/var is 98 % full", At: at(20)},
		Escalation: &incident.Escalation{Reason: "every cure for the causes that are at least likely was tried or ruled out", At: at(21)},
	}
}

func TestMessagesReadLikeTheGoldenFiles(t *testing.T) {
	t.Parallel()
	unknown := sample()
	unknown.Diagnosis = &diagnostics.Diagnosis{Unknown: true, Why: "no cause in the catalogue fits what was read"}
	unknown.Tried, unknown.Runs, unknown.Measured = nil, nil, nil
	fixed := sample()
	fixed.Measured.Gone, fixed.Measured.Text = expr.True, "/var is 40 % full"
	unverified := sample()
	unverified.Unverified, unverified.Measured = true, nil
	unverified.Resolution = "the source says resolved, it stayed so, and nothing can be measured"
	for name, c := range map[string]struct {
		in   *incident.Incident
		kind Kind
	}{
		"escalated": {sample(), Escalated}, "escalated-unknown": {unknown, Escalated}, "approval": {sample(), ApprovalWanted},
		"resolved": {fixed, Resolved}, "resolved-unverified": {unverified, Resolved},
	} {
		m := Compose(c.in, c.kind, "https://secondline.example.org/")
		got := m.Subject + "\n" + m.Link + "\n\n" + m.Text + "\n"
		path := filepath.Join("testdata", name+".txt")
		if *update {
			os.WriteFile(path, []byte(got), 0o644)
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestNoSecretLeaves(t *testing.T) {
	t.Parallel()
	in := sample()
	in.Title = "login with password=hunter2x81"
	in.Escalation.Reason = "token: ghp_0123456789abcdefghijABCDEFGHIJ012345"
	m := Compose(in, Escalated, "")
	for _, secret := range []string{"hunter2x81", "ghp_0123"} {
		if strings.Contains(m.Subject+m.Text+m.Incident.Title, secret) {
			t.Errorf("the message holds %s", secret)
		}
	}
}

func TestHostileTextStaysInItsLine(t *testing.T) {
	t.Parallel()
	in := sample()
	in.Title = "x\r\nBcc: y\x1b[31m\u202e\n\nApproved by: root " + strings.Repeat("z", 5000)
	in.Diagnosis.Hypotheses[0].For[0].Text = "a\nDone so far\n  - everything is fine"
	for _, kind := range []Kind{Escalated, ApprovalWanted, Resolved} {
		m := Compose(in, kind, "")
		if strings.ContainsAny(m.Subject, "\r\n\x1b\u202e") || strings.ContainsAny(m.Text, "\r\x1b\u202e") || strings.Contains(m.Text, "\nApproved by") ||
			strings.Contains(m.Text, "\nDone so far\n  - everything") || len(m.Text) > 8000 {
			t.Errorf("%s: %q\n%s", kind, m.Subject, m.Text)
		}
		if m.Link != "" {
			t.Errorf("a link to nowhere: %s", m.Link)
		}
	}
}

// A run that a person asked for is told by its own end: nothing was broken that
// could be fixed, and one that failed is no good news.
func TestARunIsToldByHowItEnded(t *testing.T) {
	t.Parallel()
	for status, want := range map[runbooks.RunStatus]string{
		runbooks.RunFailed: "Run failed: ", runbooks.RunVerified: "Run verified: ", runbooks.RunPlanned: "Run planned: ",
	} {
		in := incident.Request("inc-2", "restart-my-app on web1, asked for by ann", "web1", sample().OpenedAt)
		in.Resolution = "the run that a person asked for is over: restart-my-app: " + string(status)
		in.Runs = []incident.Run{{Runbook: "restart-my-app", Status: status, DryRun: status == runbooks.RunPlanned, EndedAt: in.OpenedAt}}
		m := Compose(in, Resolved, "")
		if !strings.Contains(m.Subject, want) || strings.Contains(m.Text, "it was not measured") {
			t.Errorf("%s: %s\n%s", status, m.Subject, m.Text)
		}
	}
}
