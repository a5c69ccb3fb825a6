// Package cases tests a runbook against a recorded host. A case is a folder:
// case.yaml says what the runbook is given and what has to come of it, and
// host.jsonl what the host was asked and what it answered (internal/remote/recording).
// The same code carries a runbook out on the recorded host and on the real one
// of which the recording is made; the package knows no probe and no way to a host.
package cases

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/yamlx"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// The files of a case.
const (
	CaseFile = "case.yaml"
	HostFile = "host.jsonl"
)

// Case is what a runbook is given on a recorded host, and what has to come of it.
type Case struct {
	Given
	Expect Expect `json:"expect" yaml:"expect,required"`
}

// Given is all that a plan depends on, but for the runbook's text and the host's answers.
type Given struct {
	Runbook      string            `json:"runbook" yaml:"runbook,required"`
	Title        string            `json:"title,omitempty" yaml:"title"` // what is the matter on this host
	Target       Host              `json:"target" yaml:"target,required"`
	Entity       *Host             `json:"entity,omitempty" yaml:"entity"` // what the hypothesis is about, when not the target
	Hypothesis   *Hypothesis       `json:"hypothesis,omitempty" yaml:"hypothesis"`
	Inputs       map[string]string `json:"inputs,omitempty" yaml:"inputs"` // that a person gave
	Start        time.Time         `json:"start" yaml:"start,required"`    // when the recording begins
	Act          bool              `json:"act" yaml:"act"`                 // the plan is carried out
	CleanupRoots []string          `json:"cleanup_roots,omitempty" yaml:"cleanup_roots"`
	ManagedFiles []string          `json:"managed_files,omitempty" yaml:"managed_files"`
	Secrets      []string          `json:"secrets,omitempty" yaml:"secrets"` // names of those that there were
}

// Host is an entity as far as a runbook can read it.
type Host struct {
	ID          string            `json:"id" yaml:"id,required"`
	Kind        string            `json:"kind,omitempty" yaml:"kind"` // host when it is not said
	Address     string            `json:"address,omitempty" yaml:"address"`
	User        string            `json:"user,omitempty" yaml:"user"`
	Unit        string            `json:"unit,omitempty" yaml:"unit"`
	Criticality string            `json:"criticality,omitempty" yaml:"criticality"`
	Groups      []string          `json:"groups,omitempty" yaml:"groups"`
	Labels      map[string]string `json:"labels,omitempty" yaml:"labels"`
	Budgets     []Budget          `json:"budgets,omitempty" yaml:"budgets"`
	Processes   []Process         `json:"processes,omitempty" yaml:"processes"`
	SelfService SelfService       `json:"self_service,omitzero" yaml:"self_service"`
}

// SelfService is an entity.SelfService.
type SelfService struct {
	Units        []string             `json:"units,omitempty" yaml:"units"`
	Packages     []string             `json:"packages,omitempty" yaml:"packages"`
	Accounts     []entity.Account     `json:"accounts,omitempty" yaml:"accounts"`
	Certificates []entity.Certificate `json:"certificates,omitempty" yaml:"certificates"`
	Quotas       []Quota              `json:"quotas,omitempty" yaml:"quotas"`
	Maintenance  string               `json:"maintenance,omitempty" yaml:"maintenance"`
}

// Quota is an entity.Quota.
type Quota struct {
	Path    string `json:"path" yaml:"path,required"`
	Mount   string `json:"mount" yaml:"mount,required"`
	Project int    `json:"project" yaml:"project,required"`
	Max     Size   `json:"max" yaml:"max,required"`
}

// Budget is an entity.Budget.
type Budget struct {
	Path   string   `json:"path" yaml:"path,required"`
	Size   Size     `json:"size" yaml:"size,required"`
	Delete []string `json:"delete,omitempty" yaml:"delete"`
	Keep   int      `json:"keep,omitempty" yaml:"keep"`
	MinAge Age      `json:"min_age,omitempty" yaml:"min_age"`
}

// Process is an entity.Process.
type Process struct {
	Name    string   `json:"name" yaml:"name,required"`
	PIDFile string   `json:"pid_file,omitempty" yaml:"pid_file"`
	Match   []string `json:"match,omitempty" yaml:"match"`
	Start   []string `json:"start,omitempty" yaml:"start"`
}

// Size is a number of bytes, written plainly or with a unit: "20MiB".
type Size int64

// MarshalText implements encoding.TextMarshaler.
func (s Size) MarshalText() ([]byte, error) { return strconv.AppendInt(nil, int64(s), 10), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Size) UnmarshalText(text []byte) error {
	n, err := expr.ByteSize(string(text))
	*s = Size(n)
	return err
}

// Age is a duration that is written as people write it: "1h".
type Age time.Duration

// MarshalText implements encoding.TextMarshaler.
func (a Age) MarshalText() ([]byte, error) {
	return []byte(yamlx.FormatDuration(time.Duration(a))), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (a *Age) UnmarshalText(text []byte) error {
	d, err := yamlx.ParseDuration(string(text))
	*a = Age(d)
	return err
}

// Hypothesis is what the runbook is to cure.
type Hypothesis struct {
	Cause    string            `json:"cause" yaml:"cause,required"`
	Band     string            `json:"band,omitempty" yaml:"band"` // confirmed when it is not said
	Object   map[string]string `json:"object,omitempty" yaml:"object"`
	Evidence map[string]string `json:"evidence,omitempty" yaml:"evidence"` // true, false or cannot_tell, by id
}

// Expect is what has to come of a case.
type Expect struct {
	Error   string        `json:"error,omitempty" yaml:"error"`     // why no plan could be made
	Refused string        `json:"refused,omitempty" yaml:"refused"` // why the plan must not be carried out
	Steps   []PlannedStep `json:"steps,omitempty" yaml:"steps"`
	Run     *Run          `json:"run,omitempty" yaml:"run"` // none when nothing is carried out
}

// PlannedStep is a step of the plan.
type PlannedStep struct {
	ID      string `json:"id" yaml:"id,required"`
	Noop    bool   `json:"noop,omitempty" yaml:"noop"`
	Skipped bool   `json:"skipped,omitempty" yaml:"skipped"`
}

// Run is how the plan was carried out.
type Run struct {
	Status string    `json:"status" yaml:"status,required"`
	Error  string    `json:"error,omitempty" yaml:"error"` // of the journal
	Steps  []RunStep `json:"steps,omitempty" yaml:"steps"`
}

// RunStep is how a step ended.
type RunStep struct {
	ID     string `json:"id" yaml:"id,required"`
	Status string `json:"status" yaml:"status,required"`
}

// Parse reads a case.yaml. Errors are of package yamlx, with their places.
func Parse(file string, data []byte) (*Case, error) {
	root, err := yamlx.Parse(file, data)
	if err != nil {
		return nil, err
	}
	if root.Kind() == yamlx.Null {
		return nil, root.Errorf("the case is empty")
	}
	var c Case
	if err := root.Decode(&c); err != nil {
		return nil, err
	}
	if keys := root.Keys(); keys[len(keys)-1] != expectKey {
		last, _ := root.Key(expectKey)
		return nil, last.Errorf("%s comes last, so that it can be written anew", expectKey)
	}
	if c.Hypothesis != nil {
		for id, truth := range c.Hypothesis.Evidence {
			if !slices.Contains([]expr.Truth{expr.True, expr.False, expr.CannotTell}, expr.Truth(truth)) {
				return nil, root.Errorf("evidence %s is %q: true, false or cannot_tell", id, truth)
			}
		}
	}
	return &c, nil
}

// expectKey is the last of the keys.
const expectKey = "expect"

// Format writes the case so that Parse reads it.
func (c *Case) Format() ([]byte, error) {
	text, err := yamlx.Encode(c.Given)
	if err != nil {
		return nil, fmt.Errorf("write the case: %w", err)
	}
	expect, err := c.Expect.format()
	return append(text, expect...), err
}

func (e Expect) format() ([]byte, error) {
	text, err := yamlx.Encode(map[string]Expect{expectKey: e})
	if err != nil {
		return nil, fmt.Errorf("write what is expected: %w", err)
	}
	return text, nil
}

// Update returns the text of a case.yaml with other expectations. What stands
// before them stays as it is, comments and all.
func Update(file string, text []byte, e Expect) ([]byte, error) {
	if _, err := Parse(file, text); err != nil {
		return nil, err
	}
	expect, err := e.format()
	if err != nil {
		return nil, err
	}
	at := 0
	for line := range bytes.Lines(text) {
		if bytes.HasPrefix(line, []byte(expectKey+":")) {
			break
		}
		at += len(line)
	}
	if at == len(text) {
		return nil, fault.New(fault.Invalid, "%s: no line begins with %q", file, expectKey+":")
	}
	updated := append(slices.Clone(text[:at]), expect...)
	_, err = Parse(file, updated)
	return updated, err
}

// HostOf returns what a case keeps of an entity.
func HostOf(e entity.Entity) Host {
	h := Host{
		ID: e.ID, Kind: string(e.Kind), Address: e.Address, User: e.User, Unit: e.Unit, Criticality: e.Criticality, Groups: e.Groups, Labels: e.Labels,
	}
	for _, b := range e.Budgets {
		h.Budgets = append(h.Budgets, Budget{b.Path, Size(b.Bytes), b.Delete, b.Keep, Age(b.MinAge)})
	}
	for _, p := range e.Processes {
		h.Processes = append(h.Processes, Process(p))
	}
	o := e.SelfService
	h.SelfService = SelfService{Units: o.Units, Packages: o.Packages, Accounts: o.Accounts, Certificates: o.Certificates, Maintenance: o.Maintenance}
	for _, q := range o.Quotas {
		h.SelfService.Quotas = append(h.SelfService.Quotas, Quota{q.Path, q.Mount, q.Project, Size(q.Max)})
	}
	return h
}

func (h Host) entity() entity.Entity {
	e := entity.Entity{
		ID: h.ID, Kind: entity.Kind(cmp.Or(h.Kind, string(entity.Host))), Address: h.Address, User: h.User, Unit: h.Unit, Criticality: h.Criticality,
		Groups: h.Groups, Labels: h.Labels,
	}
	for _, b := range h.Budgets {
		e.Budgets = append(e.Budgets, entity.Budget{Path: b.Path, Bytes: int64(b.Size), Delete: b.Delete, Keep: b.Keep, MinAge: time.Duration(b.MinAge)})
	}
	for _, p := range h.Processes {
		e.Processes = append(e.Processes, entity.Process(p))
	}
	o := h.SelfService
	e.SelfService = entity.SelfService{Units: o.Units, Packages: o.Packages, Accounts: o.Accounts, Certificates: o.Certificates, Maintenance: o.Maintenance}
	for _, q := range o.Quotas {
		e.SelfService.Quotas = append(e.SelfService.Quotas, entity.Quota{Path: q.Path, Mount: q.Mount, Project: q.Project, Max: int64(q.Max)})
	}
	return e
}

func (h *Hypothesis) vars(about string) map[string]any {
	if h == nil {
		return nil
	}
	object, evidence := map[string]any{}, map[string]any{}
	for name, value := range h.Object {
		object[name] = value
	}
	for id, truth := range h.Evidence {
		evidence[id] = truth
	}
	return map[string]any{"cause": h.Cause, "entity": about, "band": cmp.Or(h.Band, "confirmed"), "object": object, "evidence": evidence}
}

// binding binds the runbook to what the case gives.
func (c *Given) binding(rb *runbooks.Runbook) engine.Binding {
	target := c.Target.entity()
	about := target
	if c.Entity != nil {
		about = c.Entity.entity()
	}
	return engine.Binding{Runbook: rb, Entity: about, Hypothesis: c.Hypothesis.vars(about.ID), Given: c.Inputs, Target: target}
}
