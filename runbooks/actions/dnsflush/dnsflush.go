// Package dnsflush is the action that lets a host forget the names it has
// cached: it finds what caches names here, as a unit of systemd, and empties it
// by its own means. It restarts nothing: a service that comes back as another
// one is a failure. What was cached cannot be put back, and need not be: it is
// asked for again. What a program caches for itself (a JVM, nginx) stays.
//
// An emptied cache leaves no trace by which it could be told later that it was
// emptied, so this action is no witness. To do it again does no harm, which a
// runbook may decide with a question of its own (repeat: {ask: …}).
package dnsflush

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/yamlx"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/actions/internal/systemd"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// auto empties all that is at work here.
const auto = "auto"

// fewNames is how many a cache may hold right after it was emptied, on a host
// that goes on asking.
const fewNames = 20

// Action is the action "dns_flush".
type Action struct{}

var (
	_ engine.Action        = Action{}
	_ engine.Verifier      = Action{}
	_ engine.SubjectTeller = Action{}
)

type with struct{ service string }

// saved is what is known before the step acts.
type saved struct {
	Targets []target `json:"targets"`
}

// target is a cache that is at work on the host.
type target struct {
	Name   string `json:"name"` // of a cache
	Unit   string `json:"unit"`
	Before state  `json:"before"`
	Size   int    `json:"size"` // names cached, or unknown
}

// state tells a run of a service from the next one.
type state struct {
	Active       string `json:"active"`
	InvocationID string `json:"invocation_id"`
	MainPID      string `json:"main_pid"`
	Restarts     string `json:"restarts"`
}

// Name implements runbooks.Decoder.
func (Action) Name() string { return "dns_flush" }

// Decode implements runbooks.Decoder.
func (Action) Decode(n *yamlx.Node, _ *runbooks.StepContext) (runbooks.Decoded, error) {
	var raw struct {
		Service *yamlx.Node `yaml:"service,required"`
	}
	if err := n.Decode(&raw); err != nil {
		return runbooks.Decoded{}, err
	}
	names := []string{auto}
	for _, c := range caches() {
		names = append(names, c.name)
	}
	service, _ := raw.Service.Scalar()
	if !slices.Contains(names, service) {
		return runbooks.Decoded{}, raw.Service.Errorf("no service %q that caches names; one of: %v", service, names)
	}
	return runbooks.Decoded{With: with{service}, Effect: runbooks.Write, OwnVerify: true}, nil
}

// Plan implements engine.Action.
func (Action) Plan(ctx context.Context, env *engine.Env) (engine.Change, error) {
	w, ok := env.Step.With.(with)
	if !ok {
		return engine.Change{}, fault.New(fault.Internal, "step %s was not read by dns_flush", env.Step.ID)
	}
	var s saved
	looked := []string{}
	for _, c := range caches() {
		if w.service != auto && w.service != c.name {
			continue
		}
		looked = append(looked, c.units...)
		found, err := c.find(ctx, env)
		if err != nil {
			return engine.Change{}, err
		}
		if found != nil {
			found.Size = c.size(ctx, env)
			s.Targets = append(s.Targets, *found)
		}
	}
	if len(s.Targets) == 0 {
		return engine.Change{}, fault.New(fault.NotFound, "nothing that caches names is active here; looked for %s", strings.Join(looked, ", "))
	}
	var change engine.Change
	var names []string
	for _, t := range s.Targets {
		argv := t.cache().flush(t.Unit)
		change.Diff += fmt.Sprintf("--- %s\n-names that it has cached\n+none, by %s\n", t.Unit, strings.Join(argv, " "))
		change.Touches = append(change.Touches, runbooks.Touch{Kind: runbooks.TouchUnit, Name: t.Unit})
		names = append(names, t.Unit)
		if len(s.Targets) == 1 {
			change.Argv = argv
		}
	}
	change.Verify = strings.Join(names, ", ") + ": active, not restarted, and with few names cached where that is told"
	var err error
	if change.Saved, err = json.Marshal(s); err != nil {
		return engine.Change{}, fault.Wrap(fault.Internal, err, "encode what caches names")
	}
	return change, nil
}

// find returns the cache's unit if it is active, or nil.
func (c cache) find(ctx context.Context, env *engine.Env) (*target, error) {
	for _, unit := range c.units {
		now, err := look(ctx, env, unit)
		if err != nil {
			return nil, err
		}
		if now.Active == "active" {
			return &target{Name: c.name, Unit: unit, Before: now}, nil
		}
	}
	return nil, nil //nolint:nilnil // it is not here, which is no error
}

func look(ctx context.Context, env *engine.Env, unit string) (state, error) {
	p, err := systemd.Show(ctx, env, unit, "InvocationID", "MainPID", "NRestarts")
	if err != nil {
		return state{}, err
	}
	return state{Active: p["ActiveState"], InvocationID: p["InvocationID"], MainPID: p["MainPID"], Restarts: p["NRestarts"]}, nil
}

// cache returns what the target is; load has made sure that it is one.
func (t target) cache() cache {
	all := caches()
	return all[slices.IndexFunc(all, func(c cache) bool { return c.name == t.Name })]
}

// Apply implements engine.Action. It counts right behind the deed: soon, names
// are cached again, as they should be.
func (Action) Apply(ctx context.Context, env *engine.Env, c engine.Change) (engine.Outcome, error) {
	s, err := load(c)
	if err != nil {
		return engine.Outcome{}, err
	}
	for _, t := range s.Targets {
		now, err := look(ctx, env, t.Unit)
		if err != nil {
			return engine.Outcome{}, err
		}
		if now != t.Before {
			return engine.Outcome{}, fault.New(fault.Denied, "%s is not the one that was planned: it is %s, or was restarted", t.Unit, now.Active)
		}
	}
	sizes := map[string]int{}
	var texts []string
	for _, t := range s.Targets {
		res, err := env.Act(ctx, t.cache().flush(t.Unit)...)
		if err == nil {
			err = res.Err()
		}
		if err != nil {
			return engine.Outcome{ExitCode: res.ExitCode, Changed: strings.Join(texts, "; ")}, err
		}
		sizes[t.Name] = t.cache().size(ctx, env)
		texts = append(texts, t.words(sizes[t.Name]))
	}
	out := engine.Outcome{Changed: strings.Join(texts, "; ")}
	out.Saved, err = json.Marshal(sizes)
	return out, err
}

func (t target) words(size int) string {
	if size == unknown || t.Size == unknown {
		return t.Unit + " was told to forget its names"
	}
	return fmt.Sprintf("%s had %d names cached, and then %d", t.Unit, t.Size, size)
}

// Verify implements engine.Verifier.
func (Action) Verify(ctx context.Context, env *engine.Env, c engine.Change, o engine.Outcome) engine.Reading {
	s, err := load(c)
	if err != nil {
		return engine.Unknown(err.Error())
	}
	sizes := map[string]int{}
	if len(o.Saved) > 0 {
		if err := json.Unmarshal(o.Saved, &sizes); err != nil {
			return engine.Unknown(err.Error())
		}
	}
	got := engine.Reading{Truth: expr.True}
	for _, t := range s.Targets {
		now, err := look(ctx, env, t.Unit)
		if err != nil {
			return engine.Unknown(err.Error())
		}
		size, counted := sizes[t.Name]
		if !counted {
			size = unknown
		}
		one := t.judge(now, size)
		if got.Text != "" {
			got.Text += "; "
		}
		got.Text += one.Text
		if one.Truth == expr.False {
			got.Truth = expr.False
		}
	}
	return got
}

// judge is the verdict on one service, with what it had cached right behind the deed.
func (t target) judge(now state, size int) engine.Reading {
	text := fmt.Sprintf("%s is %s", t.Unit, now.Active)
	switch {
	case now.Active == "active" && now != t.Before:
		return engine.Reading{Truth: expr.False, Text: text + ", and was restarted, which nobody asked for"}
	case now.Active != "active":
		return engine.Reading{Truth: expr.False, Text: text}
	case size == unknown:
		return engine.Reading{Truth: expr.True, Text: text + ", and does not tell how many names it has cached"}
	}
	text += fmt.Sprintf(", and had %d names cached when it was told to forget them", size)
	if size > fewNames && (t.Size == unknown || size > t.Size/2) {
		return engine.Reading{Truth: expr.False, Text: text}
	}
	return engine.Reading{Truth: expr.True, Text: text}
}

// Subjects implements engine.SubjectTeller.
func (Action) Subjects(_ *engine.Env, c engine.Change) engine.Subjects {
	s, err := load(c)
	if err != nil {
		return engine.Subjects{}
	}
	units := []string{}
	for _, t := range s.Targets {
		units = append(units, t.Unit)
	}
	return engine.Subjects{Units: units}
}

func load(c engine.Change) (saved, error) {
	var s saved
	if err := json.Unmarshal(c.Saved, &s); err != nil {
		return s, fault.Wrap(fault.Internal, err, "read which caches were planned")
	}
	for _, t := range s.Targets {
		if !slices.ContainsFunc(caches(), func(c cache) bool { return c.name == t.Name && slices.Contains(c.units, t.Unit) }) {
			return s, fault.New(fault.Internal, "%q, unit %q, caches no names", t.Name, t.Unit)
		}
	}
	return s, nil
}
