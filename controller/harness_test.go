package controller

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/intake/sources"
	"github.com/secondline-ops/secondline/controller/inventory"
	"github.com/secondline-ops/secondline/controller/notify"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/controller/store/sqlite"
	"github.com/secondline-ops/secondline/controller/triage"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/diagnostics/causes"
	"github.com/secondline-ops/secondline/diagnostics/linux"
	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/actions"
	"github.com/secondline-ops/secondline/runbooks/library"
)

// clock is the time of a story; it moves only when told to.
type clock struct {
	mu sync.Mutex // guards below
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// mailbox is a channel to people that keeps what it was given.
type mailbox struct {
	name string

	mu sync.Mutex // guards below
	// got are the messages taken; refuse is what Send answers instead.
	got    []notify.Message
	refuse error
}

func (m *mailbox) Name() string { return m.name }

func (m *mailbox) Send(_ context.Context, msg notify.Message) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refuse != nil {
		return m.refuse
	}
	m.got = append(m.got, msg)
	return nil
}

func (m *mailbox) answer(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refuse = err
}

func (m *mailbox) of(kind string) []notify.Message {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []notify.Message
	for _, msg := range m.got {
		if string(msg.Kind) == kind {
			out = append(out, msg)
		}
	}
	return out
}

// desk is a controller that is not started: the story does what the workers of
// App would do, one after the other.
type desk struct {
	testing.TB
	clock *clock
	db    store.Store
	dir   string
	box   *mailbox
	app   *App

	mu       sync.Mutex // guards below
	settings Settings
	loadErr  error
}

var t0 = time.Date(2026, 3, 1, 3, 0, 0, 0, time.UTC)

func process(name string) entity.Process {
	return entity.Process{Name: name, PIDFile: "/run/" + name + ".pid", Match: []string{"/opt/" + name}, Start: []string{"/opt/start", name}}
}

// house is the inventory of the stories: two hosts with two processes each.
func house() []entity.Entity {
	both := []entity.Process{process("relay"), process("worker")}
	return []entity.Entity{
		{ID: "web1", Kind: entity.Host, Aliases: []string{"web1:9100"}, Processes: both, Groups: []string{"web"}},
		{ID: "web2", Kind: entity.Host, Processes: both},
		{ID: "lonely", Kind: entity.Host, Agent: "nobody"},
	}
}

func probeSet(t testing.TB) *diagnostics.ProbeSet {
	t.Helper()
	probes, err := diagnostics.NewProbeSet(linux.Probes(time.Now))
	if err != nil {
		t.Fatal(err)
	}
	return probes
}

// realCatalogue is what is shipped; it does not change, and compiling it for
// each story would take most of the time.
var realCatalogue = sync.OnceValues(func() (*Catalogue, error) {
	probes, err := diagnostics.NewProbeSet(linux.Probes(time.Now))
	if err != nil {
		return nil, err
	}
	return LoadCatalogue(CatalogueSource{
		Causes: []fs.FS{causes.FS()}, Runbooks: []fs.FS{library.FS()}, Probes: probes, Decoders: actions.Decoders(),
	})
})

func realSettings(t testing.TB) Settings {
	t.Helper()
	inv, err := inventory.New(house())
	if err != nil {
		t.Fatal(err)
	}
	cat, err := realCatalogue()
	if err != nil {
		t.Fatal(err)
	}
	return Settings{Inventory: inv, Catalogue: cat, Policy: triage.DefaultPolicy()}
}

// newDesk has the real catalogue, the real library and a real SQLite store.
func newDesk(t testing.TB) *desk {
	t.Helper()
	dir := t.TempDir()
	db, err := sqlite.Open(t.Context(), filepath.Join(dir, "db"), sqlite.Options{Logger: logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	d := &desk{TB: t, clock: &clock{at: t0}, db: db, dir: dir, box: &mailbox{name: "mailbox"}, settings: realSettings(t)}
	d.settings.Channels = []notify.Sender{d.box}
	for _, name := range []string{"web1", "web2"} {
		if err := db.SaveAgent(t.Context(), store.Agent{ID: name, EnrolledAt: t0, Targets: []string{}}); err != nil {
			t.Fatal(err)
		}
	}
	d.app = d.newApp(Options{})
	return d
}

func logger(t testing.TB) *slog.Logger { return slog.New(slog.NewTextHandler(t.Output(), nil)) }

// newApp makes another controller on the same store.
func (d *desk) newApp(o Options) *App {
	d.Helper()
	o.DataDir, o.Store, o.Sources, o.Now, o.Rand, o.Logger = d.dir, d.db, sources.All(), d.clock.now, rand.Reader, logger(d)
	o.Load = func() (Settings, error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.settings, d.loadErr
	}
	app, err := New(d.Context(), o)
	if err != nil {
		d.Fatal(err)
	}
	d.Cleanup(func() {
		if err := app.Stop(context.Background()); err != nil {
			d.Error(err)
		}
	})
	return app
}

func (d *desk) change(f func(*Settings)) {
	d.Helper()
	d.mu.Lock()
	f(&d.settings)
	d.mu.Unlock()
	if err := d.app.Reload(d.Context()); err != nil {
		d.Fatal(err)
	}
}

func (d *desk) must(err error) {
	d.Helper()
	if err != nil {
		d.Fatal(err)
	}
}

func (d *desk) wantKind(err error, kind fault.Kind) {
	d.Helper()
	if !fault.Is(err, kind) {
		d.Fatalf("got %v, want a fault of kind %s", err, kind)
	}
}

// settle does all that is due now, in the order in which one thing leads to
// the next.
func (d *desk) settle() {
	d.Helper()
	for _, work := range []func(context.Context) error{
		d.app.digestAll, d.app.reconcileDue, d.app.askPrometheus, d.app.runChecks, d.app.writeBundles, d.app.sendMessages,
	} {
		d.must(work(d.Context()))
	}
}

func (d *desk) wait(by time.Duration) {
	d.Helper()
	d.clock.advance(by)
	d.settle()
}

// alert is one alert as Alertmanager sends it.
func (d *desk) alert(status, name, host string, labels ...string) string {
	all := map[string]string{"alertname": name, "instance": host, "severity": "warning"}
	for i := 0; i+1 < len(labels); i += 2 {
		all[labels[i]] = labels[i+1]
	}
	raw, err := json.Marshal(map[string]any{
		"status": status, "labels": all, "fingerprint": name + host, "startsAt": d.clock.now().Add(-time.Minute).Format(time.RFC3339Nano),
	})
	d.must(err)
	return string(raw)
}

func body(alerts ...string) string {
	text := `{"version":"4","alerts":[`
	for i, a := range alerts {
		if i > 0 {
			text += ","
		}
		text += a
	}
	return text + `]}`
}

// post hands in a body and has it decided.
func (d *desk) post(text string) {
	d.Helper()
	d.accept(text)
	d.settle()
}

func (d *desk) accept(text string) string {
	d.Helper()
	r, err := d.app.inbox.Accept(d.Context(), "alertmanager", "application/json", []byte(text))
	d.must(err)
	return r.BodyID
}

// all returns every incident, newest first.
func (d *desk) all() []*incident.Incident {
	d.Helper()
	list, _, err := d.db.ListIncidents(d.Context(), store.IncidentFilter{Limit: 500})
	d.must(err)
	return list
}

// the returns the only incident.
func (d *desk) the() *incident.Incident {
	d.Helper()
	list := d.all()
	if len(list) != 1 {
		d.Fatalf("%d incidents, want 1", len(list))
	}
	return list[0]
}

func (d *desk) wantStatus(want incident.Status, reason triage.Reason) *incident.Incident {
	d.Helper()
	in := d.the()
	if in.Status != want || in.LastReason != string(reason) {
		d.Fatalf("incident is %s because %s, want %s because %s\n%s", in.Status, in.LastReason, want, reason, d.story(in.ID))
	}
	return in
}

func (d *desk) events(id string) []incident.Event {
	d.Helper()
	events, err := d.db.ListEvents(d.Context(), id, 0, 1000)
	d.must(err)
	return events
}

func (d *desk) story(id string) string {
	text := ""
	for _, e := range d.events(id) {
		text += fmt.Sprintf("%3d %s %s %s: %s\n", e.Seq, e.Actor, e.Kind, e.Reason, e.Text)
	}
	return text
}

// claim takes what waits for an agent, as the dispatcher would.
func (d *desk) claim(agent string) []job.Job {
	d.Helper()
	now := d.clock.now()
	rows, err := d.db.ClaimJobs(d.Context(), agentQueue(agent), agent, now, now.Add(job.Lease), 10)
	d.must(err)
	var out []job.Job
	for _, row := range rows {
		var j job.Job
		d.must(json.Unmarshal(row.Payload, &j))
		j.ID, j.Fence = row.ID, row.Fence
		out = append(out, j)
	}
	return out
}

// next takes the only job that waits for web1.
func (d *desk) next(kind job.Kind) job.Job {
	d.Helper()
	return d.nextOf("web1", kind)
}

func (d *desk) nextOf(agent string, kind job.Kind) job.Job {
	d.Helper()
	jobs := d.claim(agent)
	if len(jobs) != 1 || jobs[0].Kind != kind {
		text := ""
		for _, in := range d.all() {
			text += d.story(in.ID)
		}
		d.Fatalf("%d jobs wait (%+v), want one %s\n%s", len(jobs), jobs, kind, text)
	}
	return jobs[0]
}

// idle is that no agent has anything to do.
func (d *desk) idle() {
	d.Helper()
	for _, agent := range []string{"web1", "web2", "nobody"} {
		if jobs := d.claim(agent); len(jobs) != 0 {
			d.Fatalf("agent %s is to do %s", agent, jobs[0].Kind)
		}
	}
}

func (d *desk) receive(r job.Report) error {
	return receiver{d.app}.Receive(d.Context(), r.Agent, r)
}

func (d *desk) report(r job.Report) {
	d.Helper()
	d.must(d.receive(r))
	d.settle()
}

func answer(j job.Job) job.Report {
	return job.Report{JobID: j.ID, Fence: j.Fence, Kind: j.Kind, Agent: j.Target.Entity.ID, Status: job.Done}
}

func fact(j job.Job, probe string, args diagnostics.Args, value diagnostics.Value) diagnostics.Fact {
	return diagnostics.Fact{
		ID: fmt.Sprintf("%s#%s", probe, args["pid_file"]), Probe: probe, Args: args, Target: j.Target.Entity.ID, Status: diagnostics.OK, Value: value,
		Raws: []diagnostics.Raw{}, At: t0,
	}
}

// looked answers a diagnosis: the named processes are gone, the others run.
func looked(j job.Job, gone ...string) job.Report {
	r := answer(j)
	r.Facts = []diagnostics.Fact{
		fact(j, "disk.filesystems", diagnostics.Args{}, diagnostics.Value{"filesystems": []any{}}),
		fact(j, "unit.failed", diagnostics.Args{}, diagnostics.Value{"units": []any{}}),
	}
	for _, p := range j.Target.Entity.Processes {
		isGone := false
		for _, g := range gone {
			isGone = isGone || g == p.Name
		}
		pids := []any{"7"}
		if isGone {
			pids = []any{}
		}
		match, _ := json.Marshal(p.Match)
		r.Facts = append(r.Facts, fact(j, "process.match", diagnostics.Args{"pid_file": p.PIDFile, "match": string(match)}, diagnostics.Value{
			"running": !isGone, "pids": pids, "pid_file_exists": true, "pid_file_pid": int64(7), "stale_pid_file": isGone,
		}))
	}
	return r
}

func planned(j job.Job) job.Report {
	r := answer(j)
	r.Plan = &runbooks.Plan{
		Digest: "sha256:plan-" + j.ID, Runbook: "start-supervised-process", RunbookDigest: j.Plan.Runbook.Digest, Target: j.Target.Entity.ID,
		Inputs: map[string]string{}, Preconditions: []runbooks.Precondition{}, Locks: []string{"host"}, Effect: runbooks.Write, Autonomy: runbooks.Auto,
		Steps: []runbooks.PlannedStep{{ID: "start", Action: "run", Effect: runbooks.Write}}, WorstCase: time.Minute, MadeAt: t0,
	}
	return r
}

func ran(j job.Job, status runbooks.RunStatus) job.Report {
	r := answer(j)
	r.Run = &runbooks.RunResult{PlanDigest: j.Run.PlanDigest, Status: status, Why: "it was " + string(status), Steps: []runbooks.StepResult{
		{ID: "start", Action: "run", Effect: runbooks.Write, Status: runbooks.StepVerified, Measured: []string{}},
	}}
	return r
}

func measured(j job.Job, gone expr.Truth) job.Report {
	r := answer(j)
	r.Measurement = &job.Measurement{That: "!proc.running", Truth: gone, Text: "it was asked: " + string(gone), Facts: []string{"process.match#1"}}
	return r
}

// toApproval has an alert diagnosed and planned, and returns the run to be approved.
func (d *desk) toApproval() *incident.Run {
	d.Helper()
	d.post(body(d.alert("firing", "ProcessGone", "web1:9100")))
	d.report(looked(d.next(job.Diagnose), "relay"))
	d.report(planned(d.next(job.Plan)))
	return d.wantStatus(incident.AwaitingApproval, triage.WaitingForApproval).CurrentRun()
}

func (d *desk) approve(run *incident.Run) {
	d.Helper()
	d.must(d.app.people.Approve(d.Context(), run.ID, run.Plan.Digest, "ada", "looks right"))
	d.settle()
}

// toRun has the run approved and handed to the agent.
func (d *desk) toRun() job.Job {
	d.Helper()
	d.approve(d.toApproval())
	return d.next(job.Run)
}

// toResolved is the whole good story.
func (d *desk) toResolved() {
	d.Helper()
	d.report(ran(d.toRun(), runbooks.RunVerified))
	d.wantStatus(incident.Verifying, triage.JobInFlight)
	d.clock.advance(time.Second)
	d.report(measured(d.next(job.Measure), expr.True))
	d.wantStatus(incident.Resolved, triage.ResolvedRecently)
}
