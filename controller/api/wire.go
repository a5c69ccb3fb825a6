package api

import (
	"encoding/json"
	"time"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/runbooks"
)

// The wire types. They are changed only by adding; golden files hold their
// form. Lists are never null, times are UTC and left out when there is none.

// Summary is an incident in a list.
type Summary struct {
	ID         string    `json:"id"`
	Number     int64     `json:"number"`
	Title      string    `json:"title"`
	Status     string    `json:"status"`
	Severity   string    `json:"severity"`
	Priority   string    `json:"priority"`
	Entity     string    `json:"entity"`
	Cause      string    `json:"cause"` // of the best hypothesis; "" when there is none
	Band       string    `json:"band"`
	AckedBy    string    `json:"acked_by"`
	Unverified bool      `json:"unverified"`
	OpenedAt   time.Time `json:"opened_at"`
	UpdatedAt  time.Time `json:"updated_at"`
	ResolvedAt time.Time `json:"resolved_at,omitzero"`
	// RunStatus is that of the run which the incident is there for; "" when a signal opened it.
	RunStatus string `json:"run_status,omitempty"`
	DryRun    bool   `json:"dry_run,omitempty"` // it is there for plans only
}

// Incident is an incident with everything known about it.
type Incident struct {
	Summary
	OnsetAt    time.Time   `json:"onset_at"`
	Resolution string      `json:"resolution"`
	Why        string      `json:"why"` // of the diagnosis, in one sentence
	Signals    []SignalRef `json:"signals"`
	Symptoms   []Symptom   `json:"symptoms"`
	// Hints are what the signals say of where it is: mount, unit, alertname …
	Hints       map[string]string   `json:"hints"`
	Hypotheses  []Hypothesis        `json:"hypotheses"`
	NotLookedAt []string            `json:"not_looked_at"`
	Chain       []Link              `json:"chain"`
	Tried       []Tried             `json:"tried"`
	Runs        []Run               `json:"runs"`
	Covers      []diagnostics.Cover `json:"covers"`      // the fewest hypotheses that together explain the alerts
	Unexplained []string            `json:"unexplained"` // alerts that nothing at least likely explains
	Approvals   []Approval          `json:"approvals"`
	Measured    *Measured           `json:"measured"`
	Escalation  *Escalation         `json:"escalation"`
	Tickets     []Ticket            `json:"tickets"`
	BundleURL   string              `json:"bundle_url"` // "" until there is one
	Seq         int64               `json:"seq"`        // of the last event, to follow from
	// TruncatedAlerts is how many alerts a source left out of a delivery, at most.
	TruncatedAlerts int `json:"truncated_alerts,omitempty"`
	// Jobs are what agents do for it at this moment. They are given by GET
	// /v1/incidents/{id} only.
	Jobs []JobProgress `json:"jobs"`
}

// SignalRef is a signal as an incident names it.
type SignalRef struct {
	ID         string    `json:"id"`
	Source     string    `json:"source"`
	State      string    `json:"state"`
	Title      string    `json:"title"`
	Action     string    `json:"action"`
	ReceivedAt time.Time `json:"received_at"`
}

// Symptom is what one stream of signals says.
type Symptom struct {
	Source string `json:"source"`
	Title  string `json:"title"`
	State  string `json:"state"`
	Signal string `json:"signal"`
	Count  int    `json:"count"`
	Link   string `json:"link"`
	// Summary and Resources are those of its last signal; empty when that is not at hand.
	Summary   string     `json:"summary"`
	Resources []Resource `json:"resources"`
	Since     time.Time  `json:"since"`
	LastAt    time.Time  `json:"last_at"`
}

// Hypothesis is a cause on an entity, with what speaks for and against it.
type Hypothesis struct {
	Cause       string                 `json:"cause"`
	Title       string                 `json:"title"`
	Entity      string                 `json:"entity"`
	Object      map[string]string      `json:"object"`
	Probability float64                `json:"probability"`
	Band        string                 `json:"band"`
	For         []diagnostics.Evidence `json:"for"`
	Against     []diagnostics.Evidence `json:"against"`
	CannotTell  []diagnostics.Evidence `json:"cannot_tell"`
	Cures       []string               `json:"cures"`
}

// Link is one step from the symptom to its root.
type Link struct {
	Cause  string `json:"cause"`
	Entity string `json:"entity"`
	Object string `json:"object"`
}

// Ticket is a ticket about the incident in another system.
type Ticket struct {
	System string `json:"system"`
	Key    string `json:"key"`
	URL    string `json:"url"`
}

// Tried is a cause whose cure was attempted or ruled out.
type Tried struct {
	Cause   string    `json:"cause"`
	Entity  string    `json:"entity"`
	Runbook string    `json:"runbook"`
	Outcome string    `json:"outcome"`
	Why     string    `json:"why"`
	At      time.Time `json:"at"`
}

// Run is a runbook on its way.
type Run struct {
	ID          string            `json:"id"`
	Incident    string            `json:"incident"`
	Number      int64             `json:"number"` // of the incident
	Runbook     string            `json:"runbook"`
	Digest      string            `json:"digest"` // of the runbook's file; "" until planned
	PlanDigest  string            `json:"plan_digest"`
	Target      string            `json:"target"`
	Missing     int               `json:"approvals_missing"` // of the run that waits for approval; 0 when it waits for its wave or its rate
	Cause       string            `json:"cause"`             // "" when a person started it
	Inputs      map[string]string `json:"inputs"`
	RequestedBy string            `json:"requested_by"`
	DryRun      bool              `json:"dry_run"`
	Status      string            `json:"status"`
	Why         string            `json:"why"`               // how it ended
	Paused      string            `json:"paused,omitempty"`  // who paused it and why
	Rollout     string            `json:"rollout,omitempty"` // it is one of several on as many targets
	Wave        int               `json:"wave,omitempty"`    // of the rollout, from 1
	Steps       []Step            `json:"steps"`
	AskedAt     time.Time         `json:"asked_at,omitzero"`
	StartedAt   time.Time         `json:"started_at,omitzero"`
	EndedAt     time.Time         `json:"ended_at,omitzero"`
}

// Step is one step of a run: what became of it, or that it is planned.
type Step struct {
	ID        string    `json:"id"`
	Action    string    `json:"action"`
	Effect    string    `json:"effect"`
	Status    string    `json:"status"`
	Verified  bool      `json:"verified"`
	Undone    bool      `json:"undone"`
	ExitCode  int       `json:"exit_code"`
	Changed   string    `json:"changed"`
	Error     string    `json:"error"`
	Measured  []string  `json:"measured"`
	StartedAt time.Time `json:"started_at,omitzero"`
	EndedAt   time.Time `json:"ended_at,omitzero"`
	// Transcript is given by GET /v1/runs/{id} only.
	Transcript []runbooks.Exchange `json:"transcript,omitempty"`
}

// Approval is a person's yes or no to a plan.
type Approval struct {
	Run        string    `json:"run"`
	By         string    `json:"by"`
	Approved   bool      `json:"approved"`
	PlanDigest string    `json:"plan_digest"`
	Why        string    `json:"why"`
	At         time.Time `json:"at"`
}

// Measured is the last time the symptom was asked on the host.
type Measured struct {
	Gone  string    `json:"gone"` // true, false, cannot_tell
	Text  string    `json:"text"`
	Facts []string  `json:"facts"`
	At    time.Time `json:"at"`
}

// Escalation is the call for a person.
type Escalation struct {
	Reason   string    `json:"reason"`
	Named    string    `json:"named"` // the name of the reason
	Told     string    `json:"told"`  // whether people have heard of it
	Notified []string  `json:"notified"`
	At       time.Time `json:"at"`
}

// Event is one thing that happened to an incident.
type Event struct {
	Incident string          `json:"incident"`
	Seq      int64           `json:"seq"`
	At       time.Time       `json:"at"`
	Actor    string          `json:"actor"`
	Kind     string          `json:"kind"`
	Reason   string          `json:"reason"`
	Text     string          `json:"text"`
	Data     json.RawMessage `json:"data"`
}

// Progress is what agents do for an incident at one moment, whole each time: a
// newer one replaces it. It has no sequence number, is not stored, and a reader
// that is slow does not get each. No jobs: nothing is being done.
type Progress struct {
	Incident string        `json:"incident"`
	Jobs     []JobProgress `json:"jobs"`
}

// JobProgress is one job that an agent was sent. Its texts are of one short
// line each, with what a terminal would obey written out.
type JobProgress struct {
	ID       string        `json:"id"`
	Kind     string        `json:"kind"` // diagnose, measure, plan, run
	Agent    string        `json:"agent"`
	Target   string        `json:"target"`
	Run      string        `json:"run"`     // "" when it is of none
	Runbook  string        `json:"runbook"` // of the run
	Since    time.Time     `json:"since"`   // it was sent
	Deadline time.Time     `json:"deadline,omitzero"`
	Step     *StepProgress `json:"step"`   // null when none is at work, or the agent has not said
	Probes   []ProbeWait   `json:"probes"` // that were asked and have not answered, the oldest first
}

// StepProgress is the step that an agent is at.
type StepProgress struct {
	ID     string `json:"id"`
	Number int    `json:"number"` // from 1; 0 when the plan does not have it
	Of     int    `json:"of"`     // steps in the plan
	Action string `json:"action"`
	Status string `json:"status"` // running, outcome, verifying, undoing
	// TimeoutSeconds bounds the status, from Since on; 0 when nothing does.
	TimeoutSeconds float64   `json:"timeout_seconds"`
	Command        string    `json:"command"`    // that runs now, redacted; "" when none does
	Output         []string  `json:"output"`     // last lines of the last command that wrote something, as far as it has come
	OutputCut      bool      `json:"output_cut"` // there were lines before
	Since          time.Time `json:"since"`      // by the agent's clock
}

// ProbeWait is a probe that was asked and has not answered yet.
type ProbeWait struct {
	Probe  string    `json:"probe"`
	Target string    `json:"target"`
	Since  time.Time `json:"since"` // by the agent's clock
}

// Signal is a signal in normal form with what became of it.
type Signal struct {
	ID           string            `json:"id"`
	Source       string            `json:"source"`
	Kind         string            `json:"kind"`
	State        string            `json:"state"`
	StateRaw     string            `json:"state_raw"`
	Severity     string            `json:"severity"`
	SeverityRaw  string            `json:"severity_raw"`
	Title        string            `json:"title"`
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	Resources    []Resource        `json:"resources"`
	Identity     string            `json:"identity"`
	IdentityFrom string            `json:"identity_from"`
	Links        []string          `json:"links"`
	Entity       string            `json:"entity"`
	IncidentID   *string           `json:"incident_id"` // null while not decided
	Action       string            `json:"action"`
	Reason       string            `json:"reason"`
	StartsAt     time.Time         `json:"starts_at,omitzero"`
	EndsAt       time.Time         `json:"ends_at,omitzero"`
	ReceivedAt   time.Time         `json:"received_at"`
	// Body is given by GET /v1/signals/{id} only.
	Body *Body `json:"body,omitempty"`
}

// Resource is a candidate for the entity that a signal is about.
type Resource struct {
	Value string `json:"value"`
	From  string `json:"from"`
}

// Body is the delivery that a signal came in. Data is base64 in JSON: it is
// whatever a stranger sent.
type Body struct {
	ID          string    `json:"id"`
	ContentType string    `json:"content_type"`
	SHA256      string    `json:"sha256"`
	Status      string    `json:"status"`
	Problem     string    `json:"problem"`
	ReceivedAt  time.Time `json:"received_at"`
	Data        []byte    `json:"data"`
	// Withheld is set when the caller's role may not see Data, which is then empty.
	Withheld bool `json:"withheld,omitempty"`
}

// Why is a tree of reasons, from records.
type Why struct {
	Question string  `json:"question"`
	Answer   string  `json:"answer"`
	Because  []Why   `json:"because"`
	Events   []int64 `json:"events"` // sequence numbers that prove it
}

// RunRequest asks for a runbook on a target.
type RunRequest struct {
	Runbook  string            `json:"runbook"`
	Target   string            `json:"target"`
	Inputs   map[string]string `json:"inputs"`
	DryRun   bool              `json:"dry_run"`
	Incident string            `json:"incident"` // id or number; "" makes one
}

// RolloutRequest asks for a runbook on several targets.
type RolloutRequest struct {
	Runbook string            `json:"runbook"`
	Targets []string          `json:"targets"`
	Inputs  map[string]string `json:"inputs"`
	DryRun  bool              `json:"dry_run"`
}

// RolloutStarted is the answer to a RolloutRequest: one run for each target, in
// the order of the waves.
type RolloutStarted struct {
	Rollout string       `json:"rollout"`
	Runs    []RolloutRun `json:"runs"`
}

// RolloutRun is one run of a rollout.
type RolloutRun struct {
	Target   string `json:"target"`
	Wave     int    `json:"wave"`
	Incident string `json:"incident"`
	Run      string `json:"run"`
}

// RunStarted is the answer to a RunRequest.
type RunStarted struct {
	Incident string `json:"incident_id"`
	Run      string `json:"run_id"`
}

// PlanView is the plan of a run, with what a person needs to decide on it.
type PlanView struct {
	Run   Run            `json:"run"`
	Plan  *runbooks.Plan `json:"plan"` // null until it was made
	Needs string         `json:"needs"`
	// ApprovedBy are the people who said yes to this plan so far; it may ask for several (approvals).
	ApprovedBy []string   `json:"approved_by"`
	Worst      string     `json:"worst_case"` // in words, for people
	Decisions  []Approval `json:"decisions"`
}

// Act is the body of what people say about an incident or a run.
type Act struct {
	Text string `json:"text"` // why, or the note itself
	// PlanDigest is needed to approve: the digest of the plan that was seen.
	PlanDigest string `json:"plan_digest"`
}

// RunbookInfo is a runbook of the catalogue.
type RunbookInfo struct {
	Name        string      `json:"name"`
	Title       string      `json:"title"`
	Owner       string      `json:"owner"`
	Cures       []string    `json:"cures"`
	Inputs      []InputInfo `json:"inputs"`
	Steps       []StepInfo  `json:"steps"`
	Calls       []string    `json:"calls"` // the runbooks whose steps it also does, each at the digest that it names
	Autonomy    string      `json:"autonomy"`
	Digest      string      `json:"digest"`
	File        string      `json:"file"`
	SelfService bool        `json:"self_service"` // requesters may start it on what is theirs
}

// StepInfo is a step of a runbook.
type StepInfo struct {
	ID     string `json:"id"`
	Action string `json:"action"`
	Effect string `json:"effect"`
}

// CauseInfo is a cause of the catalogue.
type CauseInfo struct {
	ID       string   `json:"id"`
	Title    string   `json:"title"`
	Kind     string   `json:"entity_kind"`
	Alerts   []string `json:"alerts"`
	Symptom  string   `json:"symptom"` // the predicate that measures it; "" when it cannot be measured
	Explains []string `json:"explains"`
	Cures    []string `json:"cures"`
	Never    []string `json:"never"`
	Forbids  []string `json:"forbids"` // what no runbook that cures it may do: "unit.restarted", "process", "run.rm"
	Prevent  []string `json:"prevent"`
	Sources  []string `json:"sources"`
	File     string   `json:"file"`
	Digest   string   `json:"digest"`
}

// Agent is an enrolled agent.
type Agent struct {
	ID         string    `json:"id"`
	Host       string    `json:"host"`
	Version    string    `json:"version"`
	Mode       string    `json:"mode"`
	Connected  bool      `json:"connected"`
	Targets    []string  `json:"targets"`
	EnrolledAt time.Time `json:"enrolled_at"`
	SeenAt     time.Time `json:"seen_at,omitzero"`
	RevokedAt  time.Time `json:"revoked_at,omitzero"`
}

// Check is a scheduled health check on a target.
type Check struct {
	Name   string    `json:"name"`
	Target string    `json:"target"`
	Holds  string    `json:"holds"` // true, false, cannot_tell, or "" when it never ran
	Text   string    `json:"text"`
	LastAt time.Time `json:"last_at,omitzero"`
	DueAt  time.Time `json:"due_at,omitzero"`
}

// EnrolRequest asks for a one-time token for an agent.
type EnrolRequest struct {
	Agent      string `json:"agent"` // "" lets the agent choose its name
	TTLSeconds int    `json:"ttl_seconds"`
}

// EnrolToken is a one-time token. It is shown once and stored as a hash.
type EnrolToken struct {
	Token     string    `json:"token"`
	ExpiresAt time.Time `json:"expires_at"`
}

// IncidentList is a page of incidents.
type IncidentList struct {
	Incidents  []Summary `json:"incidents"`
	NextCursor string    `json:"next_cursor"`
}

// SignalList is a page of signals.
type SignalList struct {
	Signals    []Signal `json:"signals"`
	NextCursor string   `json:"next_cursor"`
}

// EventList is a page of events; the next begins after the last one's seq.
type EventList struct {
	Events []Event `json:"events"`
}

// RunList is a page of runs, incident by incident.
type RunList struct {
	Runs       []Run  `json:"runs"`
	NextCursor string `json:"next_cursor"`
}

// RunbookList is the catalogue of runbooks.
type RunbookList struct {
	Runbooks []RunbookInfo `json:"runbooks"`
}

// CauseList is the catalogue of causes.
type CauseList struct {
	Causes []CauseInfo `json:"causes"`
}

// EntityList is the inventory.
type EntityList struct {
	Entities []entity.Entity `json:"entities"`
}

// AgentList is who enrolled.
type AgentList struct {
	Agents []Agent `json:"agents"`
}

// CheckList is the health checks with how they went last.
type CheckList struct {
	Checks []Check `json:"checks"`
}

// Problem is the body of every answer that is not a success.
type Problem struct {
	Error ProblemInfo `json:"error"`
}

// ProblemInfo is a fault as the caller sees it.
type ProblemInfo struct {
	Kind    string `json:"kind"`
	Message string `json:"message"`
	Hint    string `json:"hint"`
	Field   string `json:"field"`
}
