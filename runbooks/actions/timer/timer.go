// Package timer is the action that runs now what a systemd timer would run
// later: it starts the service that the timer activates, waits for its end, and
// takes it for done only when systemd says that this very run of it succeeded.
// What a job has done cannot be taken back, so it has no undo. A job that is at
// work already is not started beside itself, and none is started twice.
//
// Lines of a crontab are left out on purpose. Such a line is shell text in the
// environment that cron makes for it (PATH, SHELL, % as line feeds, a session of
// PAM): run in another, it is another job, outside of what the agent's guard
// sees. The scripts of cron.daily and its like are another action, cron.
package timer

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/yamlx"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/actions/internal/systemd"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// Action is the action "timer".
type Action struct{}

var (
	_ engine.Action        = Action{}
	_ engine.Verifier      = Action{}
	_ engine.Witness       = Action{}
	_ engine.SubjectTeller = Action{}
)

type with struct{ name *expr.Template }

// saved is what is known before the step acts.
type saved struct {
	Timer   string  `json:"timer"`
	Service string  `json:"service"`
	Before  reading `json:"before"`
}

// reading is what systemd says of a service (org.freedesktop.systemd1(5)).
type reading struct {
	ActiveState  string `json:"active_state"`
	SubState     string `json:"sub_state,omitempty"`
	Result       string `json:"result,omitempty"`
	InvocationID string `json:"invocation_id,omitempty"`
	ExitStatus   string `json:"exit_status,omitempty"`
	Remains      bool   `json:"remains,omitempty"` // counts as active when its work is done
	Condition    string `json:"condition,omitempty"`
	Job          string `json:"job,omitempty"` // of systemd, under way or queued
}

// Name implements runbooks.Decoder.
func (Action) Name() string { return "timer" }

// Decode implements runbooks.Decoder.
func (Action) Decode(n *yamlx.Node, c *runbooks.StepContext) (runbooks.Decoded, error) {
	var raw struct {
		Name *yamlx.Node `yaml:"name,required"`
		Run  *yamlx.Node `yaml:"run,required"`
	}
	if err := n.Decode(&raw); err != nil {
		return runbooks.Decoded{}, err
	}
	if when, _ := raw.Run.Scalar(); when != "now" {
		return runbooks.Decoded{}, raw.Run.Errorf("run is now, not %q", when).WithHint("to start or stop a timer itself, use the action unit")
	}
	name, err := c.Text(raw.Name, func(text string) error { _, err := timerName(text); return err })
	if err != nil {
		return runbooks.Decoded{}, err
	}
	return runbooks.Decoded{
		With: with{name}, Effect: runbooks.Write, OwnVerify: true,
		Repeat: runbooks.Repeat{Always: true}, // asked first, by DidItHappen, which sees every start
	}, nil
}

// timerName completes a name without a type.
func timerName(text string) (string, error) {
	name := text
	if !strings.Contains(name, ".") {
		name += ".timer"
	}
	if !isUnit(name) || !strings.HasSuffix(name, ".timer") {
		return "", fmt.Errorf("%q is not the name of a timer", text)
	}
	return name, nil
}

// isUnit is what systemd.unit(5) takes for a name.
func isUnit(name string) bool {
	return regexp.MustCompile(`^[A-Za-z0-9:_\\][A-Za-z0-9:_.\\@-]{0,254}$`).MatchString(name)
}

// Plan implements engine.Action.
func (Action) Plan(ctx context.Context, env *engine.Env) (engine.Change, error) {
	w, ok := env.Step.With.(with)
	if !ok {
		return engine.Change{}, fault.New(fault.Internal, "step %s was not read by timer", env.Step.ID)
	}
	text, err := w.name.Render(ctx, env.Vars)
	if err != nil {
		return engine.Change{}, err
	}
	var s saved
	if s.Timer, err = timerName(text); err != nil {
		return engine.Change{}, fault.New(fault.Invalid, "%v", err)
	}
	if s.Service, err = serviceOf(ctx, env, s.Timer); err != nil {
		return engine.Change{}, err
	}
	if s.Before, err = look(ctx, env, s.Service); err != nil {
		return engine.Change{}, err
	}
	if err := s.mayStart(s.Before); err != nil {
		return engine.Change{}, err
	}
	change := engine.Change{
		Argv: s.argv(), Diff: fmt.Sprintf("--- %s\n+%s is run once, now\n", s.Timer, s.Service), Verify: s.Service + " was run, and succeeded",
		Touches: []runbooks.Touch{{Kind: runbooks.TouchUnit, Name: s.Service}, {Kind: runbooks.TouchUnit, Name: s.Timer}},
	}
	if change.Saved, err = json.Marshal(s); err != nil {
		return engine.Change{}, fault.Wrap(fault.Internal, err, "encode the state of %s", s.Service)
	}
	return change, nil
}

// argv starts the service and waits for its end. One that counts as active when
// its work is done has no end, but then systemctl waits for its work.
func (s saved) argv() []string {
	if s.Before.Remains {
		return []string{"systemctl", "start", "--", s.Service}
	}
	return []string{"systemctl", "start", "--wait", "--", s.Service}
}

// serviceOf finds what the timer activates.
func serviceOf(ctx context.Context, env *engine.Env, timer string) (string, error) {
	p, err := systemd.Show(ctx, env, timer, "Unit")
	if err != nil {
		return "", err
	}
	switch service := p["Unit"]; {
	case p["LoadState"] == "not-found":
		return "", fault.New(fault.NotFound, "there is no timer %s", timer)
	case p["LoadState"] != "loaded":
		return "", fault.New(fault.Denied, "timer %s is %s", timer, p["LoadState"])
	case !isUnit(service) || !strings.HasSuffix(service, ".service"):
		return "", fault.New(fault.Denied, "timer %s activates %q, which is no service", timer, service)
	default:
		return service, nil
	}
}

// look reads the service, and refuses one that nobody may start.
func look(ctx context.Context, env *engine.Env, service string) (reading, error) {
	p, err := systemd.Show(ctx, env, service,
		"SubState", "Result", "InvocationID", "ExecMainStatus", "RemainAfterExit", "ConditionResult", "RefuseManualStart", "Job")
	if err != nil {
		return reading{}, err
	}
	switch {
	case p["LoadState"] != "loaded":
		return reading{}, fault.New(fault.Denied, "unit %s is %s", service, p["LoadState"])
	case p["RefuseManualStart"] == "yes":
		return reading{}, fault.New(fault.Denied, "unit %s says RefuseManualStart", service)
	}
	r := reading{
		ActiveState: p["ActiveState"], SubState: p["SubState"], Result: p["Result"], InvocationID: p["InvocationID"],
		ExitStatus: p["ExecMainStatus"], Remains: p["RemainAfterExit"] == "yes", Condition: p["ConditionResult"],
	}
	if p["Job"] != "0" {
		r.Job = p["Job"]
	}
	return r, nil
}

// mayStart refuses a service that is at work, or that would not be started.
func (s saved) mayStart(r reading) error {
	switch {
	case r.Job != "":
		return fault.New(fault.Denied, "systemd has a job for %s already", s.Service)
	case r.ActiveState == "active" && r.Remains:
		return fault.New(fault.Denied, "%s counts as active since its last run, so that a start would do nothing", s.Service).
			WithHint("use the action unit with state: restarted")
	case r.ActiveState != "inactive" && r.ActiveState != "failed":
		return fault.New(fault.Denied, "%s is at work right now: %s", s.Service, r.words())
	}
	return nil
}

// Apply implements engine.Action.
func (Action) Apply(ctx context.Context, env *engine.Env, c engine.Change) (engine.Outcome, error) {
	s, err := load(c)
	if err != nil {
		return engine.Outcome{}, err
	}
	now, err := look(ctx, env, s.Service)
	if err != nil {
		return engine.Outcome{}, err
	}
	if err := s.mayStart(now); err != nil {
		return engine.Outcome{}, err
	}
	if now.InvocationID != s.Before.InvocationID {
		return engine.Outcome{}, fault.New(fault.Denied, "%s was run by somebody else since the plan", s.Service)
	}
	res, err := env.Act(ctx, s.argv()...)
	out := engine.Outcome{ExitCode: res.ExitCode, Changed: fmt.Sprintf("%s was run, %s", s.Service, res.Took.Round(100*time.Millisecond))}
	if err == nil {
		err = res.Err()
	}
	return out, err
}

// Verify implements engine.Verifier.
func (Action) Verify(ctx context.Context, env *engine.Env, c engine.Change, _ engine.Outcome) engine.Reading {
	return ask(ctx, env, c, saved.judge)
}

// DidItHappen implements engine.Witness. The invocation id (systemd.exec(5)) is
// new with every start. That the timer itself was the one who started it counts:
// the job has run since.
func (Action) DidItHappen(ctx context.Context, env *engine.Env, c engine.Change, _ time.Time) engine.Reading {
	return ask(ctx, env, c, saved.happened)
}

func ask(ctx context.Context, env *engine.Env, c engine.Change, answer func(saved, reading) engine.Reading) engine.Reading {
	s, err := load(c)
	if err != nil {
		return engine.Unknown(err.Error())
	}
	now, err := look(ctx, env, s.Service)
	if err != nil {
		return engine.Unknown(err.Error())
	}
	return answer(s, now)
}

// judge is the verdict on a reading.
func (s saved) judge(now reading) engine.Reading {
	text := fmt.Sprintf("%s is %s", s.Service, now.words())
	answer := func(truth expr.Truth, more string) engine.Reading {
		return engine.Reading{Truth: truth, Text: text + more}
	}
	switch {
	case now.InvocationID == s.Before.InvocationID && now.Condition == "no":
		return answer(expr.False, ", and was not run: a condition of its unit does not hold")
	case now.InvocationID == s.Before.InvocationID:
		return answer(expr.False, ", and was not run")
	case now.atWork():
		return answer(expr.False, ", and still at work")
	case now.ActiveState == "failed" || now.Result != "success":
		return answer(expr.False, ", and did not succeed")
	}
	return answer(expr.True, ", and succeeded")
}

func (s saved) happened(now reading) engine.Reading {
	text := fmt.Sprintf("%s is %s", s.Service, now.words())
	switch {
	case now.Job != "":
		return engine.Unknown(text + "; a job of systemd is still under way")
	case now.InvocationID == s.Before.InvocationID:
		return engine.Reading{Truth: expr.False, Text: text + ", and was not run"}
	case now.atWork():
		return engine.Unknown(text + ", and still at work")
	}
	return engine.Reading{Truth: expr.True, Text: text + ", and was run"}
}

func (r reading) atWork() bool {
	switch r.ActiveState {
	case "inactive", "failed":
		return false
	case "active":
		return !r.Remains
	}
	return true // activating, deactivating, reloading, maintenance
}

func (r reading) words() string {
	text := r.ActiveState
	if r.SubState != "" {
		text += " (" + r.SubState + ")"
	}
	if r.Result != "" && r.Result != "success" {
		text += fmt.Sprintf(", result %s, exit status %s", r.Result, r.ExitStatus)
	}
	return text
}

// Subjects implements engine.SubjectTeller.
func (Action) Subjects(_ *engine.Env, c engine.Change) engine.Subjects {
	s, err := load(c)
	if err != nil {
		return engine.Subjects{}
	}
	return engine.Subjects{Units: []string{s.Service, s.Timer}}
}

func load(c engine.Change) (saved, error) {
	var s saved
	if err := json.Unmarshal(c.Saved, &s); err != nil {
		return s, fault.Wrap(fault.Internal, err, "read what was planned for a timer")
	}
	if !isUnit(s.Service) {
		return s, fault.New(fault.Internal, "%q is no service", s.Service)
	}
	return s, nil
}
