// Package store is the storage contract, cut by aggregate, with two engines
// behind it (store/sqlite, store/postgres) and one conformance suite
// (store/storetest) that both pass. It has no clock: times are parameters.
//
// The one thing to know: everything that belongs together is written in one
// Update, and a version that has moved on refuses with fault.Conflict.
package store

import (
	"context"
	"time"

	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/runbooks"
)

// Store is the sum of the aggregates. Consumers ask for the part they need.
type Store interface {
	Bodies
	Incidents
	Runs
	Jobs
	Evidence
	Agents
	Tokens
	Checks
	// Update runs fn in one transaction: all of it or nothing, durable when it
	// returns. fn may be run again after a serialization failure, so it must
	// not have effects outside tx. Concurrent Updates share a commit.
	Update(ctx context.Context, fn func(tx Tx) error) error
	// PullForward makes due at now whatever is due later, and ends leases and
	// claims at leaseUntil at the latest: a clock that was ahead has left times
	// that would never come. What is done too early decides anew.
	PullForward(ctx context.Context, now, leaseUntil time.Time) error
	// Ping says whether the store can be written (readiness).
	Ping(ctx context.Context) error
	Close() error
}

// Tx is what may be changed together.
type Tx interface {
	// SaveIncident inserts (Version 0) or replaces the incident and appends its
	// pending events. It refuses with Conflict when the stored version is not
	// the one loaded; on success in.Version is the new one. A new incident gets
	// its Number.
	SaveIncident(ctx context.Context, in *incident.Incident) error
	// FindIncident reads inside the transaction.
	FindIncident(ctx context.Context, id string) (*incident.Incident, error)
	// FindOpenIncidents returns the incidents that signals could join: those with
	// a symptom of one of the identities, or about one of the objects
	// which are open or were resolved at or after the time.
	// Newest first, at most 2,000.
	FindOpenIncidents(ctx context.Context, identities []string, objects []incident.Object, resolvedSince time.Time) ([]*incident.Incident, error)
	// SaveSignals stores signals in normal form.
	SaveSignals(ctx context.Context, signals []incident.Signal) error
	// AdvanceBody notes that the signals of a pending body before the place to
	// are decided. It refuses with Conflict when the body is not at the place
	// from any more: somebody else has gone on with it.
	AdvanceBody(ctx context.Context, id string, from, to int) error
	// SettleBody marks a body as decided, so that PendingBodies no longer returns
	// it. It refuses with Conflict when somebody else has settled it before.
	SettleBody(ctx context.Context, id string, status BodyStatus, problem string) error
	// SaveEvidence stores facts, and their raw bytes by digest.
	SaveEvidence(ctx context.Context, incidentID string, facts []diagnostics.Fact) error
	// Enqueue adds a job; the same Key twice is one job (the first wins) and reports false.
	Enqueue(ctx context.Context, j Job) (added bool, err error)
	// FinishJob ends a job. It refuses with Conflict when the fence is lower
	// than the job's, and reports false when it had ended before.
	FinishJob(ctx context.Context, id string, fence int64, state JobState, result []byte, at time.Time) (ended bool, err error)
	// PauseJob takes a job from whoever works on it, until ResumeJob; a report of it is still taken. It refuses with Conflict when the
	// job has ended.
	PauseJob(ctx context.Context, id string) error
	// ResumeJob gives a paused job back to be claimed from the time on. It refuses with Conflict when the job is not paused.
	ResumeJob(ctx context.Context, id string, at time.Time) error
	// Lock takes a named lock for the holder until the time, or refuses with
	// Conflict naming the present holder. The same holder may extend it.
	Lock(ctx context.Context, name, holder string, now, until time.Time) error
	// Unlock gives back every lock of the holder.
	Unlock(ctx context.Context, holder string) error
}

// BodyStatus is what became of a raw body.
type BodyStatus string

// The statuses of a body.
const (
	BodyPending  BodyStatus = "pending"
	BodySettled  BodyStatus = "settled"
	BodyUnmapped BodyStatus = "unmapped" // authenticated, kept, and not understood
)

// Body is the raw body of one delivery: the durable unit of intake.
type Body struct {
	ID          string
	Source      string
	ContentType string
	Data        []byte
	SHA256      string
	ReceivedAt  time.Time
	Status      BodyStatus
	Problem     string
	Taken       int // how many of its signals are decided, in their order; deciding goes on there
}

// Bodies is the inbox.
type Bodies interface {
	// AppendBody is durable when it returns. It refuses with Overloaded when
	// the write queue is full or too slow, or the disk is full: then nothing was
	// stored. It is safe for many callers at once: they share commits.
	AppendBody(ctx context.Context, b Body) error
	// PendingBodies returns undecided bodies, oldest first.
	PendingBodies(ctx context.Context, limit int) ([]Body, error)
	FindBody(ctx context.Context, id string) (Body, error)
	// CountPendingBodies returns how many bodies are undecided, and when the
	// oldest of them was received; zero when there is none.
	CountPendingBodies(ctx context.Context) (n int, oldest time.Time, err error)
	// DeleteBodies removes settled bodies received before the time (retention).
	DeleteBodies(ctx context.Context, before time.Time, limit int) (int, error)
}

// IncidentFilter narrows a list; nil and "" mean "any".
type IncidentFilter struct {
	Status []incident.Status
	Entity string
	Query  string // substring of the title, case-insensitive
	// OmitDryRuns leaves out what is there for plans only that a person wanted to see.
	OmitDryRuns bool
	Limit       int // at most 500; 0 means 50
	Cursor      string
}

// SignalFilter narrows a list of signals.
type SignalFilter struct {
	Incident string
	Source   string
	Limit    int
	Cursor   string
}

// Incidents reads incidents, their events and signals.
type Incidents interface {
	// FindIncident finds by id, or by number when ref is a decimal number.
	FindIncident(ctx context.Context, ref string) (*incident.Incident, error)
	// FindIncidentByRun finds the incident that holds the run (SaveIncident
	// enters the ids of all its Runs).
	FindIncidentByRun(ctx context.Context, runID string) (*incident.Incident, error)
	ListIncidents(ctx context.Context, f IncidentFilter) (list []*incident.Incident, nextCursor string, err error)
	// ListEvents returns events after the sequence number, oldest first.
	ListEvents(ctx context.Context, incidentID string, afterSeq int64, limit int) ([]incident.Event, error)
	FindSignal(ctx context.Context, id string) (incident.Signal, error)
	ListSignals(ctx context.Context, f SignalFilter) (list []incident.Signal, nextCursor string, err error)
	// DeleteIncidents removes incidents that are resolved, closed or merged since
	// before the time (retention), with their events, signals, facts and jobs,
	// and the raw outputs that no other incident cites; those that ended first
	// go first. An open or escalated incident stays however old it is, and so
	// does one with a job that has not ended and whose deadline is not before
	// the time, too. A number that was given is not given again. At most 100.
	DeleteIncidents(ctx context.Context, endedBefore time.Time, limit int) (int, error)
	// DeleteSignals removes signals received before the time that concern no
	// incident (retention).
	DeleteSignals(ctx context.Context, before time.Time, limit int) (int, error)
	// ClaimIncidents leases incidents that are due (DueAt not zero and not
	// after now) and not leased by another owner, oldest first. SaveIncident
	// ends the lease.
	ClaimIncidents(ctx context.Context, owner string, now, leaseUntil time.Time, limit int) (ids []string, err error)
	// CountIncidents counts by status, for metrics.
	CountIncidents(ctx context.Context) (map[incident.Status]int, error)
}

// RunRow is a run as lists of many runs need it, without its plan and its steps.
type RunRow struct {
	ID          string
	Incident    string
	Number      int64 // of the incident
	Runbook     string
	Target      string
	Status      runbooks.RunStatus
	RequestedBy string
	DryRun      bool
	At          time.Time // when it ended, or else began, was asked about, was asked for
	StartedAt   time.Time
	EndedAt     time.Time
}

// RunFilter narrows a list of runs; "" and zero mean "any".
type RunFilter struct {
	Runbook string
	Since   time.Time // of RunRow.At
	IDs     []string  // at most 1,000; none means all
	Limit   int       // at most 20,000; 0 means that
}

// Runs reads the runs of all incidents. They are written, and deleted, with
// their incident.
type Runs interface {
	// ListRuns returns the runs, newest first by At; more says that there are
	// others beyond the limit.
	ListRuns(ctx context.Context, f RunFilter) (list []RunRow, more bool, err error)
}

// JobState is where a job stands.
type JobState string

// The states of a job.
const (
	JobQueued    JobState = "queued"
	JobLeased    JobState = "leased"
	JobPaused    JobState = "paused" // nobody is to work on it until it is resumed
	JobDone      JobState = "done"
	JobFailed    JobState = "failed"
	JobCancelled JobState = "cancelled"
)

// Job is a durable piece of work: for an agent, or for a controller (timers,
// messages to send, due checks).
type Job struct {
	ID         string
	Queue      string // "agent:NAME", "notify", "bundle", "prometheus"
	Kind       string
	Key        string // unique: the same key is the same work
	Incident   string
	Payload    []byte
	State      JobState
	RunAt      time.Time
	Deadline   time.Time // zero: none
	Attempts   int
	LeaseOwner string
	LeaseUntil time.Time
	Fence      int64 // grows with each lease
	LastError  string
	CreatedAt  time.Time
	EndedAt    time.Time
}

// Jobs is the queue with leases and fencing.
type Jobs interface {
	// ClaimJobs leases jobs of the queue that are due and not leased, or whose
	// lease has lapsed; each gets a higher fence. For agent queues the queue
	// names the agent, so work that may have begun never moves to another.
	ClaimJobs(ctx context.Context, queue, owner string, now, leaseUntil time.Time, limit int) ([]Job, error)
	// RenewLease extends the lease; Conflict when owner or fence no longer hold it.
	RenewLease(ctx context.Context, id, owner string, fence int64, until time.Time) error
	// RetryJob gives a leased job back for another try at runAt.
	RetryJob(ctx context.Context, id string, fence int64, runAt time.Time, problem string) error
	// ReleaseLeases gives back at once whatever the owner has leased (graceful drain).
	ReleaseLeases(ctx context.Context, owner string) error
	FindJob(ctx context.Context, id string) (Job, error)
	// CountJobs counts jobs that have not ended, by queue kind ("agent", "notify", ...).
	CountJobs(ctx context.Context) (map[string]int, error)
	// DeleteJobs removes jobs of no incident (runs of checks) that ended before
	// the time (retention). Those of an incident go with it.
	DeleteJobs(ctx context.Context, endedBefore time.Time, limit int) (int, error)
}

// Evidence reads facts and raw outputs.
type Evidence interface {
	// ListFacts returns the facts of an incident in the order stored; the raws carry no data.
	ListFacts(ctx context.Context, incidentID string) ([]diagnostics.Fact, error)
	// FindRaw returns the bytes with the digest.
	FindRaw(ctx context.Context, sha256 string) ([]byte, error)
}

// Agent is an enrolled agent.
type Agent struct {
	ID         string
	Serial     string // of its current certificate, hex
	NextSerial string // of the certificate that replaces it when it is first used; "" when there is none
	Version    string
	Host       string
	Mode       string // observe or act
	Targets    []string
	EnrolledAt time.Time
	SeenAt     time.Time
	RevokedAt  time.Time
}

// Agents knows who enrolled, and the one-time tokens for it.
type Agents interface {
	SaveAgent(ctx context.Context, a Agent) error
	FindAgent(ctx context.Context, id string) (Agent, error)
	ListAgents(ctx context.Context) ([]Agent, error)
	// AddEnrolToken stores the hash of a one-time token; agent may be "" (any name).
	AddEnrolToken(ctx context.Context, hash, agent string, expires time.Time) error
	// FindEnrolToken says whose name the token fixes, and takes nothing; an
	// unknown, used or expired one is Unauthenticated.
	FindEnrolToken(ctx context.Context, hash string, now time.Time) (agent string, err error)
	// UseEnrolToken takes the token: exactly one caller succeeds; an unknown,
	// used or expired one is Unauthenticated.
	UseEnrolToken(ctx context.Context, hash string, now time.Time) (agent string, err error)
}

// Token is an API token; only its hash is stored.
type Token struct {
	Hash      string
	Name      string // who it stands for, in events: "person:NAME" or "source:NAME"
	Role      string // viewer, operator, engineer, admin, or "webhook"
	Source    string // for role webhook: the only source it may post to; "" any
	Parent    string // for a browser session: hash of the token it was made of, with which it ends; "" for a token
	CreatedAt time.Time
	ExpiresAt time.Time // zero: never
	RevokedAt time.Time
}

// Tokens knows who may call the API.
type Tokens interface {
	SaveToken(ctx context.Context, t Token) error
	FindToken(ctx context.Context, hash string) (Token, error)
	ListTokens(ctx context.Context) ([]Token, error)
	// DeleteTokens removes tokens, among them sessions, that expired before the
	// time, and enrolment tokens that did or are used (retention). A token that
	// never expires stays, also when it is revoked.
	DeleteTokens(ctx context.Context, expiredBefore time.Time, limit int) (int, error)
}

// CheckState is a scheduled health check's memory: when it is due next and how
// it went last. What it checks lives in its file.
type CheckState struct {
	Name     string
	Target   string
	DueAt    time.Time
	LastAt   time.Time
	LastText string
	Truth    string // expr.Truth of "the expectation holds"
	JobID    string // in flight
}

// Checks keeps due times, so that a missed run is visible after a restart.
type Checks interface {
	SaveCheck(ctx context.Context, c CheckState) error
	ListChecks(ctx context.Context) ([]CheckState, error)
}
