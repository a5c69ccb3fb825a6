package controller

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/controller/api"
	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/inventory"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/controller/triage"
	"github.com/secondline-ops/secondline/diagnostics/causes"
	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/actions"
)

// threeHosts has a runbook for three hosts, two of them in the first wave, asked
// for on all of them.
func threeHosts(t *testing.T, dryRun bool) (d *desk, runs []api.RolloutRun) {
	t.Helper()
	d = newDesk(t)
	text := strings.Replace(inWaves, "{max: 2, waves: [1, rest]}", "{max: 3, waves: [2, rest]}", 1)
	cat, err := LoadCatalogue(CatalogueSource{
		Causes: []fs.FS{causes.FS()}, Runbooks: []fs.FS{fstest.MapFS{"in-waves.yaml": {Data: []byte(text)}}}, Probes: probeSet(t), Decoders: actions.Decoders(),
	})
	d.must(err)
	d.settings.Catalogue = cat
	d.settings.Inventory, err = inventory.New(append(house(), entity.Entity{ID: "web3", Kind: entity.Host}))
	d.must(err)
	d.must(d.db.SaveAgent(t.Context(), store.Agent{ID: "web3", EnrolledAt: t0, Targets: []string{}}))
	d.app = d.newApp(Options{})
	started, err := d.app.people.StartRollout(t.Context(), api.RolloutRequest{
		Runbook: "in-waves", Targets: []string{"web1", "web2", "web3"}, DryRun: dryRun,
	}, "ada")
	d.must(err)
	d.settle()
	if got := started.Runs; len(got) != 3 || got[0].Wave != 1 || got[1].Wave != 1 || got[2].Wave != 2 {
		t.Fatalf("started %+v", got)
	}
	for _, run := range started.Runs {
		report := planned(d.nextOf(run.Target, job.Plan))
		report.Plan.Runbook = "in-waves"
		d.report(report)
	}
	return d, started.Runs
}

func (d *desk) approveAll(runs []api.RolloutRun) {
	d.Helper()
	for _, r := range runs {
		_, run := d.runOf(r.Run)
		d.approve(run)
	}
}

// TestAWaveWaitsForAllOfTheOneBefore: one of its two hosts is not enough.
func TestAWaveWaitsForAllOfTheOneBefore(t *testing.T) {
	t.Parallel()
	d, runs := threeHosts(t, false)
	d.approveAll(runs)
	first, second := d.nextOf("web1", job.Run), d.nextOf("web2", job.Run)
	d.report(ran(first, runbooks.RunVerified))
	d.wait(waveRetry)
	if jobs := d.claim("web3"); len(jobs) != 0 {
		t.Fatalf("web3 is to do %s while web2 is at work", jobs[0].Kind)
	}
	if in, _ := d.runOf(runs[2].Run); in.LastReason != string(triage.WaveBefore) {
		t.Errorf("web3 waits because of %s", in.LastReason)
	}
	d.report(ran(second, runbooks.RunVerified))
	d.wait(waveRetry)
	d.report(ran(d.nextOf("web3", job.Run), runbooks.RunVerified))
	if in, run := d.runOf(runs[2].Run); run.Status != runbooks.RunVerified || in.Status != incident.Resolved {
		t.Errorf("web3: %s, %s", run.Status, in.Status)
	}
}

// TestOneOfAWaveThatIsNotVerifiedEndsTheRest, although the other is; what was
// cancelled is said to be, and is not given up on for another reason.
func TestOneOfAWaveThatIsNotVerifiedEndsTheRest(t *testing.T) {
	t.Parallel()
	for _, bad := range []int{0, 1} {
		d, runs := threeHosts(t, false)
		d.approveAll(runs)
		jobs := []job.Job{d.nextOf("web1", job.Run), d.nextOf("web2", job.Run)}
		for i, j := range jobs {
			status := runbooks.RunVerified
			if i == bad {
				status = runbooks.RunUndone
			}
			d.report(ran(j, status))
		}
		d.wait(waveRetry)
		in, run := d.runOf(runs[2].Run)
		if run.Status != runbooks.RunCancelled || in.Status != incident.Resolved || len(d.claim("web3")) != 0 {
			t.Errorf("web3: %s, %s", run.Status, in.Status)
		}
		if story := d.story(in.ID); !strings.Contains(story, "cancelled: the run was cancelled") || strings.Contains(story, string(triage.WorldChanged)) {
			t.Errorf("web3 says:\n%s", story)
		}
	}
}

// TestADryRunOnSeveralTargetsChangesNone: it ends with its plans, and waits for
// no wave and no yes.
func TestADryRunOnSeveralTargetsChangesNone(t *testing.T) {
	t.Parallel()
	d, runs := threeHosts(t, true)
	for range 3 {
		d.wait(time.Hour)
		for _, agent := range []string{"web1", "web2", "web3"} {
			if jobs := d.claim(agent); len(jobs) != 0 {
				t.Fatalf("%s is to do %s", agent, jobs[0].Kind)
			}
		}
	}
	for _, r := range runs {
		in, run := d.runOf(r.Run)
		if !run.DryRun || run.Plan == nil || run.Status != runbooks.RunPlanned || run.EndedAt.IsZero() || in.Status == incident.AwaitingApproval {
			t.Errorf("%s: dry %t, %s, the incident is %s", r.Target, run.DryRun, run.Status, in.Status)
		}
	}
}
