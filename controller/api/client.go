package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/redact"
)

// maxAnswerBytes bounds what a client reads of an answer that is not a bundle.
const maxAnswerBytes = 64 << 20

// Client calls the API. Its errors are faults of the kinds that the server
// meant; Unreachable when the server was not reached, and OutcomeUnknown when
// an act was sent and no answer came. Safe for concurrent use.
type Client struct {
	base  string
	token redact.Secret
	http  *http.Client
}

// NewClient returns a client of the server at base, such as
// http://127.0.0.1:7420. A nil hc means http.DefaultClient.
func NewClient(base string, token redact.Secret, hc *http.Client) *Client {
	if hc == nil {
		hc = http.DefaultClient
	}
	return &Client{base: strings.TrimRight(base, "/"), token: token, http: hc}
}

// IncidentQuery narrows a list of incidents; what is empty means any.
type IncidentQuery struct {
	Status []string // "open" stands for all open ones
	Entity string
	Text   string
	Limit  int
	Cursor string
	// DryRuns includes what is there for plans only that a person wanted to see.
	DryRuns bool
}

// ListIncidents returns a page of incidents, newest first.
func (c *Client) ListIncidents(ctx context.Context, q IncidentQuery) (IncidentList, error) {
	dry := ""
	if q.DryRuns {
		dry = "true"
	}
	return get[IncidentList](ctx, c, "/v1/incidents", query{
		"status": strings.Join(q.Status, ","), "entity": q.Entity, "q": q.Text, "limit": count(q.Limit), "cursor": q.Cursor, "dry_runs": dry,
	})
}

// FindIncident returns the incident with the id or number.
func (c *Client) FindIncident(ctx context.Context, ref string) (Incident, error) {
	return get[Incident](ctx, c, at("/v1/incidents", ref), nil)
}

// ListEvents returns events of the incident after the sequence number.
func (c *Client) ListEvents(ctx context.Context, ref string, afterSeq int64) (EventList, error) {
	return get[EventList](ctx, c, at("/v1/incidents", ref, "events"), query{"after": strconv.FormatInt(afterSeq, 10)})
}

// Why explains the incident.
func (c *Client) Why(ctx context.Context, ref string) (Why, error) {
	return get[Why](ctx, c, at("/v1/incidents", ref, "why"), nil)
}

// Bundle writes the incident's bundle to w.
func (c *Client) Bundle(ctx context.Context, ref string, w io.Writer) error {
	req, err := c.request(ctx, http.MethodGet, at("/v1/incidents", ref, "bundle"), nil)
	if err != nil {
		return err
	}
	resp, err := c.exchange(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(w, resp.Body); err != nil {
		return fault.Wrap(fault.Transient, err, "read the bundle")
	}
	return nil
}

// Acknowledge says that somebody is looking.
func (c *Client) Acknowledge(ctx context.Context, ref, note string) (Incident, error) {
	return post[Incident](ctx, c, at("/v1/incidents", ref, "ack"), Act{Text: note})
}

// Resolve closes the incident on a person's word.
func (c *Client) Resolve(ctx context.Context, ref, why string) (Incident, error) {
	return post[Incident](ctx, c, at("/v1/incidents", ref, "resolve"), Act{Text: why})
}

// Reopen has the incident diagnosed again.
func (c *Client) Reopen(ctx context.Context, ref, why string) (Incident, error) {
	return post[Incident](ctx, c, at("/v1/incidents", ref, "reopen"), Act{Text: why})
}

// Escalate calls the third line.
func (c *Client) Escalate(ctx context.Context, ref, why string) (Incident, error) {
	return post[Incident](ctx, c, at("/v1/incidents", ref, "escalate"), Act{Text: why})
}

// Note leaves a remark on the timeline.
func (c *Client) Note(ctx context.Context, ref, text string) (Incident, error) {
	return post[Incident](ctx, c, at("/v1/incidents", ref, "note"), Act{Text: text})
}

// PostSignal hands in the body of a source and returns the answer as it came.
func (c *Client) PostSignal(ctx context.Context, source, contentType string, body []byte) (json.RawMessage, error) {
	req, err := c.request(ctx, http.MethodPost, "/v1/signals/"+escapePath(source), body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", contentType)
	return ask[json.RawMessage](c, req)
}

// SignalQuery narrows a list of signals; what is empty means any.
type SignalQuery struct {
	Incident string // id or number
	Source   string
	Limit    int
	Cursor   string
}

// ListSignals returns a page of signals.
func (c *Client) ListSignals(ctx context.Context, q SignalQuery) (SignalList, error) {
	return get[SignalList](ctx, c, "/v1/signals", query{"incident": q.Incident, "source": q.Source, "limit": count(q.Limit), "cursor": q.Cursor})
}

// FindSignal returns the signal with its body.
func (c *Client) FindSignal(ctx context.Context, id string) (Signal, error) {
	return get[Signal](ctx, c, at("/v1/signals", id), nil)
}

// SignalWhy explains what became of the signal.
func (c *Client) SignalWhy(ctx context.Context, id string) (Why, error) {
	return get[Why](ctx, c, at("/v1/signals", id, "why"), nil)
}

// RunQuery narrows a list of runs; what is empty means any.
type RunQuery struct {
	Incident string // id or number
	Status   string
	Limit    int
	Cursor   string
}

// ListRuns returns runs, incident by incident.
func (c *Client) ListRuns(ctx context.Context, q RunQuery) (RunList, error) {
	return get[RunList](ctx, c, "/v1/runs", query{"incident": q.Incident, "status": q.Status, "limit": count(q.Limit), "cursor": q.Cursor})
}

// StartRollout asks for a runbook on several targets.
func (c *Client) StartRollout(ctx context.Context, req RolloutRequest) (RolloutStarted, error) {
	return post[RolloutStarted](ctx, c, "/v1/rollouts", req)
}

// StartRun asks for a runbook on a target.
func (c *Client) StartRun(ctx context.Context, req RunRequest) (RunStarted, error) {
	return post[RunStarted](ctx, c, "/v1/runs", req)
}

// FindRun returns the run with its transcript.
func (c *Client) FindRun(ctx context.Context, id string) (Run, error) {
	return get[Run](ctx, c, at("/v1/runs", id), nil)
}

// Plan returns the plan of the run.
func (c *Client) Plan(ctx context.Context, id string) (PlanView, error) {
	return get[PlanView](ctx, c, at("/v1/runs", id, "plan"), nil)
}

// Approve says yes to the plan with the digest.
func (c *Client) Approve(ctx context.Context, id, planDigest, why string) (Run, error) {
	return post[Run](ctx, c, at("/v1/runs", id, "approve"), Act{Text: why, PlanDigest: planDigest})
}

// Reject says no.
func (c *Client) Reject(ctx context.Context, id, why string) (Run, error) {
	return post[Run](ctx, c, at("/v1/runs", id, "reject"), Act{Text: why})
}

// CancelRun stops the run.
func (c *Client) CancelRun(ctx context.Context, id, why string) (Run, error) {
	return post[Run](ctx, c, at("/v1/runs", id, "cancel"), Act{Text: why})
}

// PauseRun stops the run at the end of its open step, until it is resumed.
func (c *Client) PauseRun(ctx context.Context, id, why string) (Run, error) {
	return post[Run](ctx, c, at("/v1/runs", id, "pause"), Act{Text: why})
}

// ResumeRun lets a paused run go on.
func (c *Client) ResumeRun(ctx context.Context, id, why string) (Run, error) {
	return post[Run](ctx, c, at("/v1/runs", id, "resume"), Act{Text: why})
}

// ListRunbooks returns the catalogue of runbooks.
func (c *Client) ListRunbooks(ctx context.Context) (RunbookList, error) {
	return get[RunbookList](ctx, c, "/v1/runbooks", nil)
}

// Form returns what is to be filled in to start the runbook on the target, with
// the values so far.
func (c *Client) Form(ctx context.Context, runbook string, req FormRequest) (Form, error) {
	return post[Form](ctx, c, at("/v1/runbooks", runbook, "form"), req)
}

// ListCauses returns the catalogue of causes.
func (c *Client) ListCauses(ctx context.Context) (CauseList, error) {
	return get[CauseList](ctx, c, "/v1/causes", nil)
}

// ListEntities returns the inventory.
func (c *Client) ListEntities(ctx context.Context) (EntityList, error) {
	return get[EntityList](ctx, c, "/v1/inventory", nil)
}

// ListAgents returns who enrolled.
func (c *Client) ListAgents(ctx context.Context) (AgentList, error) {
	return get[AgentList](ctx, c, "/v1/agents", nil)
}

// ListChecks returns the health checks.
func (c *Client) ListChecks(ctx context.Context) (CheckList, error) {
	return get[CheckList](ctx, c, "/v1/checks", nil)
}

// EnrolToken makes a one-time token for an agent.
func (c *Client) EnrolToken(ctx context.Context, req EnrolRequest) (EnrolToken, error) {
	return post[EnrolToken](ctx, c, "/v1/agents/enrol-token", req)
}

// RevokeAgent shuts the agent out and returns all agents.
func (c *Client) RevokeAgent(ctx context.Context, agent string) (AgentList, error) {
	return post[AgentList](ctx, c, at("/v1/agents", agent, "revoke"), struct{}{})
}

type query map[string]string

func count(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// at joins path elements, each escaped, so that an id cannot climb.
func at(base string, elements ...string) string {
	for _, e := range elements {
		switch e = url.PathEscape(e); e {
		case ".", "..": // the server would clean these away
			e = strings.ReplaceAll(e, ".", "%2E")
		}
		base += "/" + e
	}
	return base
}

// escapePath escapes each element of a source such as generic/name.
func escapePath(source string) string {
	return strings.TrimPrefix(at("", strings.Split(source, "/")...), "/")
}

func get[T any](ctx context.Context, c *Client, path string, q query) (T, error) {
	values := url.Values{}
	for name, v := range q {
		if v != "" {
			values.Set(name, v)
		}
	}
	if len(values) > 0 {
		path += "?" + values.Encode()
	}
	req, err := c.request(ctx, http.MethodGet, path, nil)
	if err != nil {
		var none T
		return none, err
	}
	return ask[T](c, req)
}

func post[T any](ctx context.Context, c *Client, path string, body any) (T, error) {
	var none T
	raw, err := json.Marshal(body)
	if err != nil {
		return none, fmt.Errorf("encode request: %w", err)
	}
	req, err := c.request(ctx, http.MethodPost, path, raw)
	if err != nil {
		return none, err
	}
	req.Header.Set("Content-Type", "application/json")
	return ask[T](c, req)
}

func (c *Client) request(ctx context.Context, method, path string, body []byte) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "make request to %s", c.base)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token.Reveal())
	}
	return req, nil
}

// exchange sends the request; an answer that is no success becomes its fault.
func (c *Client) exchange(req *http.Request) (*http.Response, error) {
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unanswered(req, err)
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, faultOf(resp)
}

// unanswered says what it means that no answer came: nothing was sent, or
// nobody knows what became of it.
func (c *Client) unanswered(req *http.Request, err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return fault.Wrap(fault.Unreachable, err, "reach %s", c.base).WithHint("is the controller running there?")
	}
	if req.Method != http.MethodGet {
		return fault.Wrap(fault.OutcomeUnknown, err, "no answer from %s", c.base).WithHint("look before you do it again")
	}
	if kind := fault.KindOf(err); kind == fault.Timeout || kind == fault.Transient {
		return fault.Wrap(kind, err, "ask %s", c.base)
	}
	return fault.Wrap(fault.Unreachable, err, "ask %s", c.base)
}

// faultOf reads the fault of an answer. What answers something else is not a
// controller, or a proxy before it; the status is all there is then.
func faultOf(resp *http.Response) error {
	raw, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20)) // what could be read is judged below
	var p Problem
	if json.Unmarshal(raw, &p) == nil && p.Error.Kind != "" {
		e := fault.New(fault.Kind(p.Error.Kind), "%s", p.Error.Message)
		e.Hint, e.Field = p.Error.Hint, p.Error.Field
		return e
	}
	for _, kind := range fault.Kinds() {
		if fault.HTTPStatus(kind) == resp.StatusCode {
			return fault.New(kind, "the server answered %s", resp.Status)
		}
	}
	return fault.New(fault.Internal, "the server answered %s", resp.Status)
}

func ask[T any](c *Client, req *http.Request) (T, error) {
	var v T
	resp, err := c.exchange(req)
	if err != nil {
		return v, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswerBytes))
	if err != nil {
		return v, fault.Wrap(fault.Transient, err, "read the answer")
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		return v, fault.Wrap(fault.Internal, err, "understand the answer")
	}
	return v, nil
}
