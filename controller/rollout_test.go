package controller

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/controller/api"
	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/triage"
	"github.com/secondline-ops/secondline/diagnostics/causes"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/actions"
)

const inWaves = `apiVersion: secondline/v1
kind: Runbook
metadata: {name: in-waves, title: On several hosts}
spec:
  targets: {max: 2, waves: [1, rest]}
  steps:
    - {id: look, effect: read, run: [uptime]}
`

// rolledOutDesk has a runbook for two hosts, asked for on both, and its plans
// made and approved.
func rolledOutDesk(t *testing.T) (d *desk, runs []api.RolloutRun) {
	t.Helper()
	d = newDesk(t)
	cat, err := LoadCatalogue(CatalogueSource{
		Causes: []fs.FS{causes.FS()}, Runbooks: []fs.FS{fstest.MapFS{"in-waves.yaml": {Data: []byte(inWaves)}}}, Probes: probeSet(t), Decoders: actions.Decoders(),
	})
	d.must(err)
	d.settings.Catalogue = cat
	d.app = d.newApp(Options{})
	for _, wrong := range []api.RolloutRequest{
		{Runbook: "in-waves"},
		{Runbook: "in-waves", Targets: []string{"web1", "nowhere"}},
		{Runbook: "in-waves", Targets: []string{"web1", "web2", "lonely"}},
		{Runbook: "in-wave", Targets: []string{"web1"}},
		{Runbook: "in-waves", Targets: []string{"web1"}, Inputs: map[string]string{"a": "b"}},
	} {
		if _, err := d.app.people.StartRollout(t.Context(), wrong, "ada"); err == nil {
			t.Errorf("%+v is accepted", wrong)
		}
	}
	if n := len(d.all()); n != 0 {
		t.Fatalf("%d incidents of what was refused", n)
	}
	started, err := d.app.people.StartRollout(t.Context(), api.RolloutRequest{Runbook: "in-waves", Targets: []string{"web1", "web2", "web1"}}, "ada")
	d.must(err)
	d.settle()
	if len(started.Runs) != 2 || started.Runs[0].Wave != 1 || started.Runs[1].Wave != 2 {
		t.Fatalf("started %+v", started)
	}
	for i, agent := range []string{"web1", "web2"} {
		report := planned(d.nextOf(agent, job.Plan))
		report.Plan.Runbook = "in-waves"
		d.report(report)
		_, run, err := d.app.people.FindRun(t.Context(), started.Runs[i].Run)
		d.must(err)
		d.approve(run)
	}
	return d, started.Runs
}

func (d *desk) runOf(id string) (*incident.Incident, *incident.Run) {
	d.Helper()
	in, run, err := d.app.people.FindRun(d.Context(), id)
	d.must(err)
	return in, run
}

func TestAWaveWaitsForTheOneBefore(t *testing.T) {
	t.Parallel()
	d, runs := rolledOutDesk(t)
	first := d.nextOf("web1", job.Run)
	d.idle() // web2 is approved, and waits
	if in, _ := d.runOf(runs[1].Run); in.LastReason != string(triage.WaveBefore) {
		t.Errorf("web2 waits because of %s", in.LastReason)
	}
	d.report(ran(first, runbooks.RunVerified))
	d.wait(waveRetry)
	d.report(ran(d.nextOf("web2", job.Run), runbooks.RunVerified))
	if in, run := d.runOf(runs[1].Run); run.Status != runbooks.RunVerified || in.Status != incident.Resolved {
		t.Errorf("web2: %s, %s", run.Status, in.Status)
	}
}

func TestAWaveThatIsNotVerifiedEndsTheRest(t *testing.T) {
	t.Parallel()
	for _, status := range []runbooks.RunStatus{runbooks.RunRefuted, runbooks.RunUndone, runbooks.RunUnknown, runbooks.RunRefused, runbooks.RunFailed} {
		t.Run(string(status), func(t *testing.T) {
			t.Parallel()
			d, runs := rolledOutDesk(t)
			d.report(ran(d.nextOf("web1", job.Run), status))
			d.wait(waveRetry)
			in, run := d.runOf(runs[1].Run)
			if run.Status != runbooks.RunCancelled || in.Status != incident.Resolved {
				t.Errorf("web2: %s, %s", run.Status, in.Status)
			}
			why := in.Tried[len(in.Tried)-1].Why
			if !strings.Contains(why, "wave 1 of 2 was not verified") || !strings.Contains(why, runs[0].Run) {
				t.Errorf("says %q", why)
			}
			if jobs := d.claim("web2"); len(jobs) != 0 {
				t.Errorf("web2 is to do %s", jobs[0].Kind)
			}
		})
	}
}

func TestACancelledWaveEndsTheRest(t *testing.T) {
	t.Parallel()
	d, runs := rolledOutDesk(t)
	d.must(d.app.people.CancelRun(t.Context(), runs[0].Run, "ada", "wrong hosts"))
	d.settle()
	d.wait(waveRetry)
	if _, run := d.runOf(runs[1].Run); run.Status != runbooks.RunCancelled {
		t.Errorf("web2: %s", run.Status)
	}
	d.wantKind(d.app.people.Approve(t.Context(), runs[1].Run, "sha256:x", "ada", ""), fault.Conflict)
}
