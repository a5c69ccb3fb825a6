// Package entity is what every part of the system knows about one thing in the
// inventory: its kind, how it is reached, what it hangs on, and what its owner
// promised about it (budgets, supervised processes). It is plain data; the
// inventory reads it from YAML, jobs carry it, expressions read it.
package entity

import (
	"time"

	"github.com/secondline-ops/secondline/internal/expr"
)

// Kind is what sort of thing an entity is. Host is the only one that can be
// acted on.
type Kind string

// The kinds of entities.
const (
	Host         Kind = "host"
	Unit         Kind = "unit"
	Service      Kind = "service"
	Database     Kind = "database"
	LoadBalancer Kind = "load_balancer"
	Group        Kind = "group"
	Site         Kind = "site"
)

// Entity is one thing in the inventory.
type Entity struct {
	ID          string            `json:"id"`
	Kind        Kind              `json:"kind"`
	Address     string            `json:"address,omitempty"` // host name or IP of a host
	Port        int               `json:"port,omitempty"`    // of SSH; 0 means 22
	Via         string            `json:"via,omitempty"`     // "agent" (its own) or "ssh" (from Agent)
	Agent       string            `json:"agent,omitempty"`   // the agent that reaches it; for via "agent" its own id when empty
	User        string            `json:"user,omitempty"`
	Jump        string            `json:"jump,omitempty"` // entity id of the jump host
	Unit        string            `json:"unit,omitempty"`
	RunsOn      []string          `json:"runs_on,omitempty"`
	DependsOn   []string          `json:"depends_on,omitempty"`
	Groups      []string          `json:"groups,omitempty"`
	Aliases     []string          `json:"aliases,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Criticality string            `json:"criticality,omitempty"` // low, normal, high
	Observer    bool              `json:"observer,omitempty"`
	Keep        int               `json:"keep,omitempty"` // redundancy: how many of RunsOn must stay up
	Budgets     []Budget          `json:"budgets,omitempty"`
	Processes   []Process         `json:"processes,omitempty"`
	SelfService SelfService       `json:"self_service,omitzero"`
}

// Budget is a directory that must stay below a size, with the rule for what
// may be deleted from it.
type Budget struct {
	Path   string        `json:"path"`
	Bytes  int64         `json:"bytes"`
	Delete []string      `json:"delete"`  // file name patterns (path.Match) directly or below Path that may go
	Keep   int           `json:"keep"`    // the newest so many matching files stay
	MinAge time.Duration `json:"min_age"` // nothing modified within it goes
}

// Process is a supervised command without a service manager.
type Process struct {
	Name    string   `json:"name"`
	PIDFile string   `json:"pid_file,omitempty"`
	Match   []string `json:"match,omitempty"` // argv prefix that identifies it; of a script its path, whatever interpreter runs it
	Start   []string `json:"start,omitempty"` // argv that starts it and returns
}

// Fields declares an entity to expressions, under the name given by the caller.
func Fields() []expr.Field {
	str := func(name, doc string) expr.Field { return expr.Field{Name: name, Type: expr.String, Doc: doc} }
	return []expr.Field{
		str("id", "inventory id"), str("kind", "host, unit, service, ..."), str("address", "host name or IP"),
		str("unit", "systemd unit of a service or unit entity; empty when there is none"),
		str("criticality", "low, normal or high"),
		{Name: "groups", Type: expr.List, Doc: "groups it is in"},
		{Name: "labels", Type: expr.Map, Doc: "labels from the inventory"},
		{Name: "budgets", Type: expr.List, Doc: "directories that must stay below a size", Elem: []expr.Field{
			str("path", "the directory"),
			{Name: "bytes", Type: expr.Int, Doc: "what it may hold, in bytes"},
			{Name: "delete", Type: expr.List, Doc: "file name patterns that may be deleted"},
			{Name: "keep", Type: expr.Int, Doc: "how many of the newest matching files stay"},
			{Name: "min_age_seconds", Type: expr.Int, Doc: "nothing modified within it is deleted"},
		}},
		{Name: "processes", Type: expr.List, Doc: "supervised commands without a service manager", Elem: []expr.Field{
			str("name", "what people call it"), str("pid_file", "file with its process id; may be empty"),
			{Name: "match", Type: expr.List, Doc: "argv prefix that identifies it"},
			{Name: "start", Type: expr.List, Doc: "argv that starts it and returns"},
		}},
		selfServiceField(),
	}
}

// Vars is the entity as the value that Fields declares.
func (e Entity) Vars() map[string]any {
	budgets := make([]any, 0, len(e.Budgets))
	for _, b := range e.Budgets {
		budgets = append(budgets, map[string]any{
			"path": b.Path, "bytes": b.Bytes, "delete": list(b.Delete), "keep": int64(b.Keep),
			"min_age_seconds": int64(b.MinAge / time.Second),
		})
	}
	processes := make([]any, 0, len(e.Processes))
	for _, p := range e.Processes {
		processes = append(processes, map[string]any{
			"name": p.Name, "pid_file": p.PIDFile, "match": list(p.Match), "start": list(p.Start),
		})
	}
	labels := map[string]any{}
	for k, v := range e.Labels {
		labels[k] = v
	}
	return map[string]any{
		"id": e.ID, "kind": string(e.Kind), "address": e.Address, "unit": e.Unit, "criticality": e.Criticality,
		"groups": list(e.Groups), "labels": labels, "budgets": budgets, "processes": processes,
		"self_service": e.SelfService.vars(),
	}
}

func list(in []string) []any {
	out := make([]any, 0, len(in))
	for _, s := range in {
		out = append(out, s)
	}
	return out
}
