package controller

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/inventory"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/fault"
)

// How long an agent may take for each kind of job. Beyond it, the job is no
// longer sent, and an agent that has it counts as silent.
const (
	diagnoseWithin = 2 * time.Minute
	planWithin     = 2 * time.Minute
	measureSlack   = time.Minute
	runSlack       = 2 * time.Minute
)

// The queues of work that a controller does itself.
const (
	queueBundle     = "bundle"
	queueNotify     = "notify"
	queuePrometheus = "prometheus"
)

func agentQueue(agent string) string { return "agent:" + agent }

func (t *turn) hostID() string {
	host, _ := t.world.Inventory.Host(t.in.Entity)
	return host.ID
}

// orderDiagnosis sends the causes that can happen to the entity, so that one
// added here is known to every agent at once.
func (t *turn) orderDiagnosis() error {
	t.in.Stale = false
	t.in.Diagnosis = nil
	return t.order(t.hostID(), diagnoseWithin, incident.Work{}, job.Job{Kind: job.Diagnose, Diagnose: &job.DiagnoseSpec{
		Causes: t.world.Catalogue.CauseDocuments(), Hints: t.in.Hints, Alerts: t.in.FiringAlerts(), OnsetAt: t.in.OnsetAt, Budget: diagnoseWithin / 2,
	}})
}

func (t *turn) orderPlan(run *incident.Run) error {
	spec, err := t.planSpec(run)
	if err != nil {
		return err
	}
	return t.order(run.Target, planWithin, incident.Work{RunID: run.ID}, job.Job{Kind: job.Plan, Plan: &spec})
}

func (t *turn) orderRun(run *incident.Run, by []string) error {
	spec, err := t.planSpec(run)
	if err != nil {
		return err
	}
	return t.order(run.Target, run.Plan.WorstCase+runSlack, incident.Work{RunID: run.ID}, job.Job{Kind: job.Run, Run: &job.RunSpec{
		PlanSpec: spec, PlanDigest: run.Plan.Digest, Plan: run.Plan, ApprovedBy: by, MaxHold: t.world.Policy.MaxHold,
	}})
}

func (t *turn) planSpec(run *incident.Run) (job.PlanSpec, error) {
	doc, ok := t.world.Catalogue.RunbookDocument(run.Runbook)
	if !ok {
		return job.PlanSpec{}, fault.New(fault.NotFound, "runbook %s is not in the catalogue", run.Runbook)
	}
	spec := job.PlanSpec{Runbook: doc, Called: t.world.Catalogue.CalledDocuments(run.Runbook), Inputs: run.Inputs}
	if h := run.Hypothesis; h != nil {
		spec.Hypothesis = &job.HypothesisRef{Cause: h.Cause, Entity: h.Entity, Object: h.Object, Band: h.Band, Evidence: h.Evidence}
	}
	return spec, nil
}

func (t *turn) orderMeasurement(key string) error {
	if key == incident.ByAlerts {
		return t.orderQuestion()
	}
	cause, _, object := incident.SplitKey(key)
	doc, hold, ok := t.world.Catalogue.Measurement(cause)
	if !ok {
		return fault.New(fault.NotFound, "cause %s is not in the catalogue", cause)
	}
	if limit := t.world.Policy.MaxHold; limit > 0 && hold > limit {
		hold = limit
	}
	return t.order(t.hostID(), hold+measureSlack, incident.Work{Key: key}, job.Job{Kind: job.Measure, Measure: &job.MeasureSpec{Cause: doc, Object: object, Hold: hold}})
}

// order enqueues a job for the agent of the host and notes it as the incident's
// work, which says what the job is about. The id counts within the incident, so
// that the same decision taken twice is one job.
func (t *turn) order(hostID string, within time.Duration, work incident.Work, j job.Job) error {
	host, ok := t.world.Inventory.Find(hostID)
	if !ok {
		return fault.New(fault.NotFound, "no host %q for incident %s", hostID, t.in.ID)
	}
	agent := inventory.AgentFor(host)
	t.in.Jobs++
	j.ID = fmt.Sprintf("%s.%d", t.in.ID, t.in.Jobs)
	j.Incident = t.in.ID
	j.Deadline = t.at.Add(within)
	j.Target = t.target(host)
	payload, err := json.Marshal(j)
	if err != nil {
		return fmt.Errorf("encode job %s: %w", j.ID, err)
	}
	_, err = t.tx.Enqueue(t.ctx, store.Job{
		ID: j.ID, Queue: agentQueue(agent), Kind: string(j.Kind), Key: j.ID, Incident: t.in.ID, Payload: payload,
		State: store.JobQueued, RunAt: t.at, Deadline: j.Deadline, CreatedAt: t.at,
	})
	if err != nil {
		return err
	}
	work.JobID, work.Kind, work.Agent, work.Since, work.Deadline = j.ID, string(j.Kind), agent, t.at, j.Deadline
	t.in.Work = &work
	if run := t.in.FindRun(work.RunID); run != nil {
		run.JobID = j.ID
	}
	t.in.Note(t.at, actorSelf, incident.EventJob, string(j.Kind), fmt.Sprintf("sent %s to agent %s for %s", j.Kind, agent, host.ID),
		map[string]string{"job": j.ID})
	t.queues = append(t.queues, agentQueue(agent))
	return nil
}

func (t *turn) target(host entity.Entity) job.Target { return targetOf(t.world.Inventory, host) }

// targetOf is the host with its jump host, as an agent needs it.
func targetOf(inv *inventory.Inventory, host entity.Entity) job.Target {
	target := job.Target{Entity: host}
	if host.Jump != "" {
		if jump, ok := inv.Find(host.Jump); ok {
			target.Jump = &jump
		}
	}
	return target
}

// What people are told about.
const (
	kindApprovalWanted = "approval_wanted"
	kindResolved       = "resolved"
	kindEscalated      = "escalated"
	kindStorm          = "storm"
)

// tell orders a message to every configured channel. key makes the same
// message ordered twice one message.
func (t *turn) tell(kind, key string) error {
	return t.enqueueOwn(queueNotify, kind, key)
}

func (t *turn) orderBundle() error {
	return t.enqueueOwn(queueBundle, kindEscalated, fmt.Sprintf("bundle/%d", t.in.Seq))
}

func (t *turn) enqueueOwn(queue, kind, key string) error {
	id := "job-" + t.newID()
	_, err := t.tx.Enqueue(t.ctx, store.Job{
		ID: id, Queue: queue, Kind: kind, Key: t.in.ID + "/" + key, Incident: t.in.ID, Payload: []byte("{}"),
		State: store.JobQueued, RunAt: t.at, CreatedAt: t.at,
	})
	t.queues = append(t.queues, queue)
	return err
}
