package bundle

import (
	"bytes"
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/internal/sshsig"
	"github.com/secondline-ops/secondline/runbooks"
)

// fill is a real probe in small: the first line of its raw output is how full
// the disk is.
type fill struct{}

func (fill) Spec() diagnostics.Spec {
	return diagnostics.Spec{Name: "disk.fill", Title: "How full", Outputs: []expr.Field{{Name: "percent", Type: expr.Double, Doc: "used"}}}
}

func (fill) Read(context.Context, remote.Runner, diagnostics.Args) ([]diagnostics.Raw, error) {
	return nil, fault.New(fault.Internal, "not scripted")
}

func (fill) Parse(raws []diagnostics.Raw, _ diagnostics.Args) (diagnostics.Value, diagnostics.Status, error) {
	first, _, _ := strings.Cut(string(raws[0].Data), "\n")
	p, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return nil, diagnostics.Failed, err
	}
	return diagnostics.Value{"percent": p}, diagnostics.OK, nil
}

const fullYAML = `id: disk-full
title: The disk is full
entity: host
prior: 0.1
symptoms:
  alerts: [DiskFull]
  holds: disk.percent >= 90.0
  say: the disk is ${disk.percent} % full
  hold: 1m
needs:
  disk: {probe: disk.fill}
evidence:
  - {id: full, that: "disk.percent >= 90.0", seen_if_cause: 0.99, seen_otherwise: 0.05, group: space, role: required, say: "the disk is ${disk.percent} % full", otherwise: "it is not full"}
  - {id: brimful, that: "disk.percent >= 95.0", seen_if_cause: 0.8, seen_otherwise: 0.01, group: space, role: proof, say: "the disk is brimful", otherwise: "it is not brimful"}
cures: [make-room]
`

func at(minute int) time.Time { return time.Date(2026, 3, 1, 10, minute, 0, 0, time.UTC) }

// world is a strict Source: what is not in it is not found.
type world struct {
	in      *incident.Incident
	events  []incident.Event
	signals []incident.Signal
	facts   []diagnostics.Fact
	raws    map[string][]byte
	bodies  map[string]store.Body
}

func probeSet(t *testing.T) *diagnostics.ProbeSet {
	t.Helper()
	set, err := diagnostics.NewProbeSet([]diagnostics.Probe{fill{}})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func host() entity.Entity { return entity.Entity{ID: "db1", Kind: entity.Host, Address: "10.0.0.5"} }

// newWorld is an incident with a diagnosis, a verified run, a rejected one and a
// measurement; text is put wherever text from outside goes.
func newWorld(t *testing.T, text string) *world {
	t.Helper()
	cause, err := diagnostics.ParseCause("disk-full.yaml", []byte(fullYAML), probeSet(t))
	if err != nil {
		t.Fatal(err)
	}
	cat, err := diagnostics.NewCatalogue([]*diagnostics.Cause{cause})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{raws: map[string][]byte{}, bodies: map[string]store.Body{"b1": {ID: "b1", Source: "alertmanager", Data: []byte(text), ReceivedAt: at(0), Status: store.BodySettled}}}
	w.fact("1:disk.fill#1", "97\n"+text, at(1))
	w.fact("2:disk.fill#1", "40\n", at(4))
	w.facts = append(w.facts, diagnostics.Fact{ID: "1:unit.status#1", Probe: "unit.status", Target: "db1", Status: diagnostics.TimedOut, Error: "took longer than 10 s", Raws: []diagnostics.Raw{}, At: at(1)})
	sig := incident.Signal{
		ID: "s1", BodyID: "b1", Source: "alertmanager", Kind: incident.Alert, State: incident.Firing, Severity: incident.Critical, Title: "DiskFull " + text,
		Labels: map[string]string{"alertname": "DiskFull", "note": text}, Identity: "f", StartsAt: at(0), ReceivedAt: at(0), Entity: "db1",
	}
	w.signals = []incident.Signal{sig}
	in := incident.Open("inc-1", sig, map[string]string{"alertname": "DiskFull"}, at(0))
	in.Number = 42
	d := diagnostics.Rank(cat, []diagnostics.Fact{w.whole(0)}, diagnostics.Subject{Entity: host(), Hints: in.Hints, Onset: in.OnsetAt})
	if len(d.Hypotheses) != 1 || d.Hypotheses[0].Band != diagnostics.Confirmed {
		t.Fatalf("diagnosis: %+v", d)
	}
	in.Diagnosis, in.DiagnosedAt = &d, at(1)
	key := incident.HypothesisKey("disk-full", "db1", d.Hypotheses[0].Object)
	plan := &runbooks.Plan{
		Digest: "sha256:aa", Runbook: "make-room", Title: "Make room", Target: "db1", MadeAt: at(2),
		Steps: []runbooks.PlannedStep{{ID: "vacuum", Action: "run", Effect: runbooks.Write, Argv: []string{"journalctl", "--vacuum-size=1G"}, Verify: "disk.percent < 85", Undo: "none"}},
	}
	in.Runs = []incident.Run{{
		ID: "run-1", Runbook: "make-room", Target: "db1", Key: key, RequestedBy: "secondline", Status: runbooks.RunVerified, Plan: plan, EndedAt: at(3),
		Decisions: []incident.Approval{{By: "person:ann", Approved: true, At: at(2)}},
		Result: &runbooks.RunResult{PlanDigest: "sha256:aa", Status: runbooks.RunVerified, Why: "every step was verified", StartedAt: at(2), EndedAt: at(3), Steps: []runbooks.StepResult{{
			ID: "vacuum", Action: "run", Effect: runbooks.Write, Status: runbooks.StepVerified, Verified: true, Measured: []string{"40 < 85"},
			Transcript: []runbooks.Exchange{{At: at(2), Command: "journalctl --vacuum-size=1G", Stdout: text}},
			Preserved:  map[string][]byte{"journal": []byte(text)},
		}}},
	}, {
		ID: "run-2", Runbook: "drop-cache", Target: "db1", Status: runbooks.RunRejected, Decisions: []incident.Approval{{By: "person:bob", Why: "not at noon " + text, At: at(2)}},
	}}
	in.Measured = &incident.Measured{Key: key, Gone: expr.True, Text: "the disk is 40 % full", Facts: []string{"2:disk.fill#1"}, At: at(4)}
	in.Escalation = &incident.Escalation{Reason: "a person is wanted", At: at(3), Notified: []string{}}
	in.Note(at(3), "person:ann", incident.EventNote, "note", text, map[string]string{"text": text})
	w.in, w.events = in, in.TakeEvents()
	return w
}

func (w *world) fact(id, raw string, when time.Time) {
	r := diagnostics.Raw{Name: "df", Command: "df /", Status: diagnostics.OK, Data: []byte(raw), At: when}
	r.Seal()
	w.raws[r.SHA256] = r.Data
	r.Data = nil
	value, status, _ := fill{}.Parse([]diagnostics.Raw{{Data: []byte(raw)}}, nil)
	w.facts = append(w.facts, diagnostics.Fact{ID: id, Probe: "disk.fill", Args: diagnostics.Args{}, Target: "db1", Status: status, Value: value, Raws: []diagnostics.Raw{r}, At: when})
}

func (w *world) whole(i int) diagnostics.Fact { return w.facts[i] }

func (w *world) FindIncident(_ context.Context, ref string) (*incident.Incident, error) {
	if ref != w.in.ID {
		return nil, fault.New(fault.NotFound, "no incident %s", ref)
	}
	return w.in, nil
}

func (w *world) ListEvents(_ context.Context, _ string, after int64, limit int) ([]incident.Event, error) {
	out := []incident.Event{}
	for _, e := range w.events {
		if e.Seq > after && len(out) < limit {
			out = append(out, e)
		}
	}
	return out, nil
}

func (w *world) ListSignals(context.Context, store.SignalFilter) ([]incident.Signal, string, error) {
	return w.signals, "", nil
}

func (w *world) FindBody(_ context.Context, id string) (store.Body, error) {
	if b, ok := w.bodies[id]; ok {
		return b, nil
	}
	return store.Body{}, fault.New(fault.NotFound, "no body %s", id)
}

func (w *world) ListFacts(context.Context, string) ([]diagnostics.Fact, error) { return w.facts, nil }

func (w *world) FindRaw(_ context.Context, sha256 string) ([]byte, error) {
	if data, ok := w.raws[sha256]; ok {
		return data, nil
	}
	return nil, fault.New(fault.NotFound, "no raw %s", sha256)
}

func (w *world) CauseDocuments() []job.Document {
	return []job.Document{{Name: "disk-full.yaml", Digest: "sha256:" + hexDigest([]byte(fullYAML)), Body: []byte(fullYAML)}}
}

func (w *world) RunbookDocument(name string) (job.Document, bool) {
	body := []byte("name: " + name + "\n")
	return job.Document{Name: name + ".yaml", Digest: "sha256:" + hexDigest(body), Body: body}, name == "make-room"
}

func (w *world) Entities([]string) []entity.Entity {
	return []entity.Entity{host(), {ID: "postgres@db1", Kind: entity.Service, RunsOn: []string{"db1"}}, {ID: "orders", Kind: entity.Service, DependsOn: []string{"postgres@db1"}, Criticality: "high"}}
}

func assemble(t *testing.T, w *world) *Bundle {
	t.Helper()
	b, err := Assemble(t.Context(), w, "inc-1", Options{Version: "1.2.3", Now: at(5)})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// written goes through the archive and back.
func written(t *testing.T, b *Bundle, key *sshsig.Key) ([]byte, *Bundle) {
	t.Helper()
	var signer Signer
	if key != nil {
		signer = key
	}
	var archive bytes.Buffer
	if err := Write(&archive, b, signer); err != nil {
		t.Fatal(err)
	}
	back, err := Read(bytes.NewReader(archive.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	return archive.Bytes(), back
}

func newKey(t *testing.T) *sshsig.Key {
	t.Helper()
	key, err := sshsig.OpenKey(t.TempDir() + "/key")
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// asked is how the tests verify: the version is that of assemble.
func asked(t *testing.T, keys ...sshsig.PublicKey) Check {
	t.Helper()
	return Check{Probes: probeSet(t), Keys: keys, Version: "1.2.3"}
}
