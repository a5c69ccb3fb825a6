package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
)

// scripted is a probe that sees what the script says at a time: g gone,
// t there, ? cannot tell. Each letter is a second; the last one lasts.
type scripted struct {
	script string
	began  time.Time
	reads  *int
}

func (scripted) Spec() diagnostics.Spec {
	return diagnostics.Spec{Name: "lamp", Title: "A lamp", Outputs: []expr.Field{{Name: "on", Type: expr.Bool}}}
}

func (s scripted) Read(context.Context, remote.Runner, diagnostics.Args) ([]diagnostics.Raw, error) {
	*s.reads++
	at := min(int(time.Since(s.began)/time.Second), len(s.script)-1)
	raw := diagnostics.Raw{Name: "lamp", Command: "look", Status: diagnostics.OK, Data: []byte(s.script[at : at+1]), At: time.Now()}
	raw.Seal()
	return []diagnostics.Raw{raw}, nil
}

func (scripted) Parse(raws []diagnostics.Raw, _ diagnostics.Args) (diagnostics.Value, diagnostics.Status, error) {
	switch string(raws[0].Data) {
	case "g":
		return diagnostics.Value{"on": false}, diagnostics.OK, nil
	case "t":
		return diagnostics.Value{"on": true}, diagnostics.OK, nil
	case "?":
		return nil, diagnostics.Failed, fault.New(fault.Transient, "it is too dark")
	}
	return nil, diagnostics.Failed, fault.New(fault.Internal, "not scripted")
}

const lampCause = `
id: lamp-on
title: The lamp is on
entity: host
prior: 0.1
symptoms: {alerts: [LampOn], holds: l.on, say: the lamp is on}
needs: {l: {probe: lamp}}
evidence: [{id: "on", that: l.on, seen_if_cause: 0.9, seen_otherwise: 0.1, group: a, role: required, say: the lamp is on}]
`

// lampJob is an agent with the probe, and a job that measures with it.
func lampJob(t *testing.T, probe scripted, hold time.Duration) (*Agent, job.Job) {
	t.Helper()
	set, err := diagnostics.NewProbeSet([]diagnostics.Probe{probe})
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(lampCause))
	cause := job.Document{Name: "lamp.yaml", Digest: "sha256:" + hex.EncodeToString(sum[:]), Body: []byte(lampCause)}
	return &Agent{Options: Options{Probes: set, Now: time.Now}}, job.Job{
		ID: "m", Kind: job.Measure, Target: job.Target{Entity: entity.Entity{ID: "web1", Kind: entity.Host}},
		Measure: &job.MeasureSpec{Hold: hold, Cause: cause},
	}
}

func TestMeasureWatchesForTheWholeHold(t *testing.T) {
	t.Parallel()
	long := func(letter string, n int) string { return strings.Repeat(letter, n) }
	for name, c := range map[string]struct {
		script   string
		hold     time.Duration
		deadline time.Duration // 0: none
		cancelAt time.Duration // 0: never
		truth    expr.Truth
		ends     time.Duration // when, at the earliest and within one pause
		held     time.Duration // since when it has held, after the start; -1: not said
		fails    bool
	}{
		"there":                              {script: "t", hold: time.Minute, truth: expr.False, held: -1},
		"gone, no hold":                      {script: "g", truth: expr.True},
		"gone for the whole hold":            {script: "g", hold: time.Minute, deadline: 2 * time.Minute, truth: expr.True, ends: time.Minute},
		"comes back within the hold":         {script: long("g", 40) + "t", hold: time.Minute, deadline: 2 * time.Minute, truth: expr.False, ends: 40 * time.Second, held: -1},
		"comes back when the hold is over":   {script: long("g", 61) + "t", hold: time.Minute, truth: expr.True, ends: time.Minute},
		"cannot tell at first":               {script: "???g", hold: 10 * time.Second, truth: expr.True, ends: 13 * time.Second, held: 3 * time.Second},
		"cannot tell in the hold restarts":   {script: long("g", 30) + long("?", 10) + "g", hold: time.Minute, truth: expr.True, ends: 100 * time.Second, held: 40 * time.Second},
		"cannot tell, then there":            {script: "??t", hold: time.Minute, truth: expr.False, ends: 2 * time.Second, held: -1},
		"cannot tell until the deadline":     {script: "?", hold: time.Minute, deadline: 90 * time.Second, truth: expr.CannotTell, ends: 90 * time.Second, held: -1},
		"cannot tell without a deadline":     {script: "?", hold: time.Minute, truth: expr.CannotTell, ends: time.Minute + measureSlack, held: -1},
		"the deadline within the hold":       {script: "g", hold: time.Minute, deadline: 50 * time.Second, truth: expr.CannotTell, ends: 50 * time.Second},
		"the deadline within a later hold":   {script: long("?", 30) + "g", hold: time.Minute, deadline: 80 * time.Second, truth: expr.CannotTell, ends: 80 * time.Second, held: 30 * time.Second},
		"the deadline behind the hold":       {script: "g", hold: time.Minute, deadline: 61 * time.Second, truth: expr.True, ends: time.Minute},
		"cannot tell as the hold ends":       {script: long("g", 57) + long("?", 30), hold: time.Minute, deadline: 70 * time.Second, truth: expr.CannotTell, ends: 70 * time.Second, held: -1},
		"the job is stopped within the hold": {script: "g", hold: time.Minute, cancelAt: 30 * time.Second, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				began, reads := time.Now(), 0
				a, j := lampJob(t, scripted{c.script, began, &reads}, c.hold)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if c.deadline > 0 {
					ctx, cancel = context.WithTimeout(ctx, c.deadline)
					defer cancel()
				}
				if c.cancelAt > 0 {
					defer time.AfterFunc(c.cancelAt, cancel).Stop()
				}
				var report job.Report
				err := a.measure(ctx, j, nil, &report)
				took := time.Since(began)
				if c.fails {
					if m := report.Measurement; err == nil && (m == nil || m.Truth == expr.True) {
						t.Errorf("a measurement that was stopped says %+v", m)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				m := report.Measurement
				if m.Truth != c.truth || took < c.ends || took > c.ends+askMost {
					t.Errorf("%s (%s) after %s; want %s after %s", m.Truth, m.Text, took, c.truth, c.ends)
				}
				switch {
				case c.held < 0 && !m.HeldAt.IsZero():
					t.Errorf("it says that it has held since %s", m.HeldAt.Sub(began))
				case c.held >= 0 && (m.HeldAt.Sub(began) < c.held || m.HeldAt.Sub(began) > c.held+askMost):
					t.Errorf("held since %s, want %s", m.HeldAt.Sub(began), c.held)
				}
				if len(m.Facts) != len(report.Facts) || len(report.Facts) != 1 {
					t.Errorf("facts %v of %d", m.Facts, len(report.Facts))
				}
				if most := int(took/time.Second) + 2; reads > most {
					t.Errorf("%d looks in %s", reads, took)
				}
			})
		})
	}
}
