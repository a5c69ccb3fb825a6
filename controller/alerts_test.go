package controller

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/controller/bundle"
	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/prometheus"
	"github.com/secondline-ops/secondline/controller/prometheus/prometheustest"
	"github.com/secondline-ops/secondline/controller/triage"
	"github.com/secondline-ops/secondline/runbooks"
)

const (
	downExpr = `probe_success == 0`
	downRule = "ShopDown"
)

// observed is a desk whose controller asks a Prometheus, of which it has read
// the rules. Its rule fires after 15 minutes.
type observed struct {
	*desk
	prom *prometheustest.Server
}

func newObserved(t testing.TB) *observed {
	t.Helper()
	o := &observed{newDesk(t), prometheustest.Start(t)}
	o.prom.Set(func(s *prometheustest.Script) {
		s.Clock = o.clock.now
		s.Rules = prometheustest.Groups(prometheustest.Rule(downRule, downExpr, 15*time.Minute, `"severity":"warning"`))
	})
	o.configure()
	o.must(o.app.readRules(t.Context()))
	return o
}

// configure names the server as a reload does.
func (o *observed) configure() {
	o.Helper()
	c, err := prometheus.New(prometheus.Options{URL: o.prom.URL})
	o.must(err)
	o.change(func(s *Settings) { s.Prometheus = prometheus.NewServers(c) })
}

// down is when the probe of the instance fails. It is there all the time.
func (o *observed) down(instance string, from, to time.Time) {
	labels := prometheustest.Labels("__name__", "probe_success", "instance", instance)
	day := prometheustest.Span{Labels: prometheustest.Labels(), From: t0.Add(-24 * time.Hour), To: t0.Add(24 * time.Hour), Value: 1}
	o.prom.Set(func(s *prometheustest.Script) {
		s.Broken = nil
		s.Yields[downExpr] = []prometheustest.Span{{Labels: labels, From: from, To: to}}
		s.Yields[`count(probe_success{instance=~"|`+instance+`"})`] = []prometheustest.Span{day}
	})
}

func (o *observed) breaks(h http.HandlerFunc) {
	o.prom.Set(func(s *prometheustest.Script) { s.Broken = h })
}

func unavailable(w http.ResponseWriter, _ *http.Request) {
	prometheustest.Refuse(w, http.StatusServiceUnavailable, "unavailable", "starting up")
}

func TestOnsetIsBeforeTheAlert(t *testing.T) {
	t.Parallel()
	o := newObserved(t)
	o.post(body(o.alert("firing", downRule, "web1:9100"))) // it says that it fired at 02:59
	in := o.the()
	if want := t0.Add(-16 * time.Minute); !in.OnsetAt.Equal(want) {
		t.Errorf("onset %s, want %s", in.OnsetAt, want)
	}
	if story := o.story(in.ID); !strings.Contains(story, "fired at 02:59:00 after 15m, so since 02:44:00") {
		t.Errorf("nothing says how it was computed:\n%s", story)
	}
	if j := o.next(job.Diagnose); !j.Diagnose.OnsetAt.Equal(in.OnsetAt) {
		t.Errorf("the agent looks for what was before %s", j.Diagnose.OnsetAt)
	}
}

func TestOnsetWithoutARuleIsTheAlerts(t *testing.T) {
	t.Parallel()
	for name, post := range map[string]func(*observed){
		"of another name": func(o *observed) { o.post(body(o.alert("firing", "Other", "web1:9100"))) },
		"of another rule": func(o *observed) { o.post(body(o.alert("firing", downRule, "web1:9100", "severity", "page"))) },
		"the rules are unread": func(o *observed) {
			o.change(func(s *Settings) { s.Prometheus = prometheus.NewServers() })
			o.post(body(o.alert("firing", downRule, "web1:9100")))
		},
	} {
		o := newObserved(t)
		post(o)
		if in := o.the(); !in.OnsetAt.Equal(t0.Add(-time.Minute)) || strings.Contains(o.story(in.ID), "so since") {
			t.Errorf("%s: onset %s\n%s", name, in.OnsetAt, o.story(in.ID))
		}
	}
	o := newObserved(t)
	o.post(strings.Replace(body(o.alert("firing", downRule, "web1:9100")), "startsAt", "begins", 1))
	if in := o.the(); !in.OnsetAt.Equal(t0) {
		t.Errorf("without a time: onset %s", in.OnsetAt)
	}
}

// A reload knows what was known, without asking.
func TestReloadForgetsNoRules(t *testing.T) {
	t.Parallel()
	o := newObserved(t)
	o.breaks(unavailable)
	o.configure()
	if held := o.app.world().heldBefore(incident.Signal{
		Source: "alertmanager", State: incident.Firing, Labels: map[string]string{"alertname": downRule, "severity": "warning"},
	}); held != 15*time.Minute {
		t.Errorf("held for %s", held)
	}
	if held := o.app.world().heldBefore(incident.Signal{
		Source: "grafana", State: incident.Firing, Labels: map[string]string{"alertname": downRule, "severity": "warning"},
	}); held != 0 {
		t.Errorf("an alert of another system was held for %s", held)
	}
}

// overBy is an incident that no agent reaches, whose alert fired at 02:59 and
// was over at 03:08; at 03:10 its source says so.
func (o *observed) overBy() *incident.Incident {
	o.Helper()
	o.down("lonely", t0.Add(-16*time.Minute), t0.Add(8*time.Minute))
	o.post(body(o.alert("firing", downRule, "lonely")))
	in := o.wantStatus(incident.Escalated, triage.WaitingForPerson)
	o.clock.advance(10 * time.Minute)
	return in
}

func TestAlertGoneAtItsPrometheusIsMeasuredGone(t *testing.T) {
	t.Parallel()
	o := newObserved(t)
	o.overBy()
	o.post(body(o.alert("resolved", downRule, "lonely")))
	in := o.wantStatus(incident.Resolved, triage.ResolvedRecently)
	if in.Unverified || !strings.Contains(in.Resolution, "measured gone") || !strings.Contains(in.Resolution, "nothing for it from 03:09:00 to 03:10:00") {
		t.Errorf("unverified %v: %s", in.Unverified, in.Resolution)
	}
	if got := o.box.of(kindResolved); len(got) != 1 || !strings.Contains(got[0].Text, "nothing for it") {
		t.Errorf("people were told %+v", got)
	}
	events := o.events(in.ID)
	at := slices.IndexFunc(events, func(e incident.Event) bool { return e.Kind == incident.EventMeasurement })
	var evidence struct {
		Gone      string
		Questions []prometheus.Question
	}
	o.must(json.Unmarshal(events[at].Data, &evidence))
	if q := evidence.Questions; len(q) != 4 || q[0].Query != downExpr || q[0].Server != o.prom.URL || q[1].Answer != "empty" || evidence.Gone != "true" {
		t.Errorf("the evidence is %+v", evidence)
	}

	file, err := o.app.writeBundle(t.Context(), in.ID)
	o.must(err)
	f, err := os.Open(filepath.Join(o.app.bundleDir(), file))
	o.must(err)
	defer f.Close()
	b, err := bundle.Read(f)
	o.must(err)
	r := bundle.Verify(b, bundle.Check{Probes: probeSet(t), Version: b.Manifest().Version})
	if len(r.Problems) != 0 || r.Held() != len(r.Claims) {
		t.Errorf("%s: %q", r, r.Problems)
	}
}

func TestAlertStillThereAtItsPrometheusStaysOpen(t *testing.T) {
	t.Parallel()
	o := newObserved(t)
	o.overBy()
	o.down("lonely", t0.Add(-16*time.Minute), t0.Add(time.Hour))
	o.post(body(o.alert("resolved", downRule, "lonely")))
	o.wantStatus(incident.Escalated, triage.SourceIsWrong)
	for range 20 {
		o.wait(150 * time.Second)
	}
	o.wantStatus(incident.Escalated, triage.SourceIsWrong)
	o.down("lonely", t0.Add(-16*time.Minute), t0.Add(time.Hour)) // until 04:00, and it is 04:00
	for range 90 {
		o.wait(time.Minute) // no signal tells
	}
	if in := o.wantStatus(incident.Closed, triage.NothingToDo); in.Unverified {
		t.Error("it was measured, and does not count")
	}
}

func TestAlertGoneForTooShortATimeIsAskedOnceMore(t *testing.T) {
	t.Parallel()
	o := newObserved(t)
	o.overBy()
	o.down("lonely", t0.Add(-16*time.Minute), o.clock.now().Add(-30*time.Second))
	o.post(body(o.alert("resolved", downRule, "lonely")))
	o.wantStatus(incident.Escalated, triage.SourceSaysResolved)
	o.wait(29 * time.Second)
	o.wantStatus(incident.Escalated, triage.SourceSaysResolved)
	o.wait(10 * time.Second)
	if in := o.wantStatus(incident.Resolved, triage.ResolvedRecently); in.Unverified {
		t.Error("it does not count as measured")
	}
}

// A Prometheus that is down proves nothing, however long, and is asked again.
func TestNothingIsResolvedBecausePrometheusIsDown(t *testing.T) {
	t.Parallel()
	for name, broken := range map[string]http.HandlerFunc{
		"503":     unavailable,
		"hung up": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"half": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"status":"success","data":{"result`))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newObserved(t)
			in := o.overBy()
			o.breaks(broken)
			o.post(body(o.alert("resolved", downRule, "lonely")))
			for range 60 {
				o.wait(time.Minute)
				if now := o.the(); now.Status != incident.Escalated {
					t.Fatalf("it became %s\n%s", now.Status, o.story(in.ID))
				}
			}
			if n := len(o.events(in.ID)); n > 60 {
				t.Errorf("%d events in an hour", n)
			}
			o.down("lonely", t0.Add(-16*time.Minute), t0.Add(8*time.Minute))
			for range 60 {
				o.wait(time.Minute)
			}
			if now := o.the(); now.Unverified || now.ResolvedAt.IsZero() {
				t.Errorf("%s, unverified %v\n%s", now.Status, now.Unverified, o.story(in.ID))
			}
		})
	}
}

func TestNothingIsResolvedBeforeTheRulesWereRead(t *testing.T) {
	t.Parallel()
	o := newObserved(t)
	o.change(func(s *Settings) { s.Prometheus = nil })
	o.configure() // of this one nothing is known
	o.breaks(unavailable)
	if err := o.app.readRules(t.Context()); err == nil {
		t.Error("nobody says that the rules could not be read")
	}
	o.post(body(o.alert("firing", downRule, "lonely")))
	o.post(body(o.alert("resolved", downRule, "lonely")))
	for range 30 {
		o.wait(time.Minute)
	}
	if in := o.the(); in.Status != incident.Escalated {
		t.Fatalf("it became %s\n%s", in.Status, o.story(in.ID))
	}
	o.prom.Set(func(s *prometheustest.Script) { s.Broken, s.Rules = nil, `{"groups":[]}` })
	o.must(o.app.readRules(t.Context()))
	o.wait(time.Hour) // no rule: the source's word has held for long
	if in := o.the(); in.Status != incident.Resolved || !in.Unverified {
		t.Errorf("%s, unverified %v\n%s", in.Status, in.Unverified, o.story(in.ID))
	}
}

// An empty answer about other labels proves nothing: it is the source's word
// that resolves, as without a Prometheus, and it does not count.
func TestAnswersForOtherLabelsAreNoProof(t *testing.T) {
	t.Parallel()
	o := newObserved(t)
	o.overBy()
	o.prom.Set(func(s *prometheustest.Script) {
		s.Yields[downExpr] = []prometheustest.Span{{Labels: prometheustest.Labels("instance", "lonely.example:9100"), From: t0.Add(-time.Hour), To: t0.Add(8 * time.Minute)}}
	})
	o.post(body(o.alert("resolved", downRule, "lonely")))
	in := o.wantStatus(incident.Escalated, triage.SourceSaysResolved)
	if in.Measured == nil || !in.Measured.Pointless {
		t.Errorf("measured %+v", in.Measured)
	}
	o.wait(6 * time.Minute)
	if in := o.wantStatus(incident.Resolved, triage.ResolvedRecently); !in.Unverified {
		t.Error("it counts as measured")
	}
}

// Half of the alerts prove nothing of the incident.
func TestOneAlertWithoutARuleMakesItUnverified(t *testing.T) {
	t.Parallel()
	o := newObserved(t)
	o.overBy()
	o.post(body(o.alert("firing", "Other", "lonely")))
	for _, in := range o.all() {
		if o.app.world().askable(in) != (in.Symptoms[0].Alert == downRule) {
			t.Errorf("incident %s: %+v", in.ID, in.Symptoms)
		}
		in.Symptoms = append(in.Symptoms, incident.Symptom{Source: "grafana", Alert: downRule})
		if o.app.world().askable(in) {
			t.Error("the alert of another system is asked for")
		}
		in.Symptoms = slices.Repeat(in.Symptoms[:1], maxAskedAlerts+1)
		if o.app.world().askable(in) {
			t.Error("any number of alerts is asked for")
		}
	}
}

func TestPersonResolvesWhilePrometheusIsAsked(t *testing.T) {
	t.Parallel()
	o := newObserved(t)
	in := o.overBy()
	o.breaks(func(w http.ResponseWriter, r *http.Request) {
		if err := o.app.people.Resolve(r.Context(), in.ID, "ada", "done"); err != nil && o.the().Status != incident.Resolved {
			t.Error(err)
		}
		unavailable(w, r)
	})
	o.post(body(o.alert("resolved", downRule, "lonely")))
	now := o.wantStatus(incident.Resolved, triage.ResolvedRecently)
	if now.Measured != nil || !now.Unverified || !strings.Contains(now.Resolution, "ada") {
		t.Errorf("%+v: %s", now.Measured, now.Resolution)
	}
}

// A run whose cause nobody knows is proven by the alert, which looks back over
// some minutes: still there is not yet refuted.
func TestRunIsProvenByTheAlert(t *testing.T) {
	t.Parallel()
	o := newObserved(t)
	o.down("web1:9100", t0.Add(-16*time.Minute), t0.Add(time.Hour))
	o.post(body(o.alert("firing", downRule, "web1:9100")))
	o.report(looked(o.next(job.Diagnose))) // all processes run
	o.wantStatus(incident.Escalated, triage.WaitingForPerson)
	req := request("web1", false)
	req.Incident = "1"
	_, runID, err := o.app.people.StartRun(t.Context(), req, "ada")
	o.must(err)
	o.settle()
	o.report(planned(o.next(job.Plan)))
	run := o.the().FindRun(runID)
	o.must(o.app.people.Approve(t.Context(), run.ID, run.Plan.Digest, "bob", ""))
	o.settle()
	o.report(ran(o.next(job.Run), runbooks.RunVerified))
	o.wantStatus(incident.Verifying, triage.StillThere)
	o.down("web1:9100", t0.Add(-16*time.Minute), t0.Add(2*time.Minute))
	for range 16 {
		o.wait(15 * time.Second)
	}
	if in := o.wantStatus(incident.Resolved, triage.ResolvedRecently); in.Unverified || in.Runs[0].Status != runbooks.RunVerified {
		t.Errorf("unverified %v, run %s", in.Unverified, in.Runs[0].Status)
	}
	o.idle()
}

// A controller that runs reads the rules by itself, and answers questions.
func TestStartedControllerReadsRulesAndAsks(t *testing.T) {
	t.Parallel()
	o := newObserved(t)
	o.overBy()
	o.accept(body(o.alert("resolved", downRule, "lonely")))
	rules, asked := make(chan struct{}, 100), make(chan struct{}, 100)
	o.breaks(func(w http.ResponseWriter, r *http.Request) {
		into := asked
		if strings.HasSuffix(r.URL.Path, "/rules") {
			into = rules
		}
		into <- struct{}{}
		unavailable(w, r)
	})
	app := o.newApp(Options{})
	o.must(app.Start(t.Context()))
	for _, told := range []chan struct{}{rules, asked} {
		select {
		case <-told:
		case <-t.Context().Done():
		case <-time.After(time.Minute):
			t.Fatal("a minute has passed")
		}
	}
	o.must(app.Stop(t.Context()))
}
