package inventory

import (
	"errors"
	"regexp"
	"slices"
	"time"

	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/yamlx"
)

// The authored form. It stays private; everything else sees entity.Entity.
type authoredFile struct {
	Entities []*yamlx.Node `yaml:"entities,required"`
}

type authoredEntity struct {
	ID          string              `yaml:"id,required"`
	Kind        string              `yaml:"kind,required"`
	Address     string              `yaml:"address"`
	Port        int                 `yaml:"port"`
	Via         string              `yaml:"via"`
	Agent       string              `yaml:"agent"`
	User        string              `yaml:"user"`
	Jump        string              `yaml:"jump"`
	Unit        string              `yaml:"unit"`
	RunsOn      []string            `yaml:"runs_on"`
	DependsOn   []string            `yaml:"depends_on"`
	Groups      []string            `yaml:"groups"`
	Aliases     []string            `yaml:"aliases"`
	Labels      map[string]string   `yaml:"labels"`
	Criticality string              `yaml:"criticality"`
	Observer    bool                `yaml:"observer"`
	Redundancy  *authoredRedundancy `yaml:"redundancy"`
	Budgets     []authoredBudget    `yaml:"budgets"`
	Processes   []authoredProcess   `yaml:"processes"`
	SelfService authoredSelfService `yaml:"self_service"`
}

type authoredRedundancy struct {
	Keep int `yaml:"keep,required"`
}

type authoredBudget struct {
	Path   string        `yaml:"path,required"`
	Size   size          `yaml:"size,required"`
	Delete []string      `yaml:"delete"`
	Keep   int           `yaml:"keep"`
	MinAge time.Duration `yaml:"min_age"`
}

type authoredProcess struct {
	Name    string   `yaml:"name,required"`
	PIDFile string   `yaml:"pid_file"`
	Match   []string `yaml:"match"`
	Start   []string `yaml:"start"`
}

type authoredSelfService struct {
	Units        []string             `yaml:"units"`
	Packages     []string             `yaml:"packages"`
	Accounts     []entity.Account     `yaml:"accounts"`
	Certificates []entity.Certificate `yaml:"certificates"`
	Quotas       []authoredQuota      `yaml:"quotas"`
	Maintenance  string               `yaml:"maintenance"`
}

type authoredQuota struct {
	Path    string `yaml:"path,required"`
	Mount   string `yaml:"mount,required"`
	Project int    `yaml:"project,required"`
	Max     size   `yaml:"max,required"`
}

// An id is part of keys, file names, URLs and metrics of others, so it is kept
// to characters that mean nothing in any of them.
var idPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.@:-]{0,127}$`)

// Parse reads an inventory file. Every mistake is reported, with its position.
func Parse(file string, data []byte) (*Inventory, error) {
	root, err := yamlx.Parse(file, data)
	if err != nil {
		return nil, err
	}
	var f authoredFile
	if err := root.Decode(&f); err != nil {
		return nil, err
	}
	if f.Entities == nil { // a file that was cut to nothing is not an empty inventory
		return nil, root.Errorf("entities is missing; write entities: [] when there are none")
	}
	var list []entity.Entity
	var nodes []*yamlx.Node
	var errs []error
	for _, n := range f.Entities {
		var a authoredEntity
		if err := n.Decode(&a); err != nil {
			errs = append(errs, err)
			continue
		}
		e, problems := a.entity(n)
		errs = append(errs, problems...)
		list, nodes = append(list, e), append(nodes, n)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return build(list, func(i int) *yamlx.Node { return nodes[i] })
}

func (a authoredEntity) entity(n *yamlx.Node) (entity.Entity, []error) {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, n.Errorf(format, args...)) }
	if !idPattern.MatchString(a.ID) {
		bad("id %q: letters, digits and _ . @ : - only, at most 128", a.ID)
	}
	kind := entity.Kind(a.Kind)
	if !knownKind(kind) {
		bad("kind %q is not one of %v%s", a.Kind, kinds(), didYouMean(a.Kind))
	}
	if a.Via != "" && a.Via != "ssh" && a.Via != "agent" {
		bad("via %q: agent or ssh", a.Via)
	}
	if a.Via == "ssh" && (a.Agent == "" || a.Address == "") {
		bad("%s is reached by ssh and needs address and agent (the agent that reaches it)", a.ID)
	}
	if a.Port < 0 || a.Port > 65535 {
		bad("port %d is not a TCP port", a.Port)
	}
	e := entity.Entity{
		ID: a.ID, Kind: kind, Address: a.Address, Port: a.Port, Via: a.Via, Agent: a.Agent, User: a.User, Jump: a.Jump,
		Unit: a.Unit, RunsOn: a.RunsOn, DependsOn: a.DependsOn, Groups: a.Groups, Aliases: a.Aliases, Labels: a.Labels,
		Criticality: a.Criticality, Observer: a.Observer,
	}
	if a.Redundancy != nil {
		e.Keep = a.Redundancy.Keep
	}
	for _, b := range a.Budgets {
		if !cleanAbsolute(b.Path) {
			bad("budget path %q: an absolute path without .. is needed", b.Path)
		}
		e.Budgets = append(e.Budgets, entity.Budget{Path: b.Path, Bytes: int64(b.Size), Delete: b.Delete, Keep: b.Keep, MinAge: b.MinAge})
	}
	for _, p := range a.Processes {
		if p.PIDFile == "" && len(p.Match) == 0 {
			bad("process %q needs pid_file or match, else nothing tells whether it runs", p.Name)
		}
		e.Processes = append(e.Processes, entity.Process(p))
	}
	e.SelfService = a.SelfService.selfService()
	for _, err := range e.SelfService.Validate() {
		bad("%v", err)
	}
	return e, errs
}

func (a authoredSelfService) selfService() entity.SelfService {
	s := entity.SelfService{Units: a.Units, Packages: a.Packages, Accounts: a.Accounts, Certificates: a.Certificates, Maintenance: a.Maintenance}
	for _, q := range a.Quotas {
		s.Quotas = append(s.Quotas, entity.Quota{Path: q.Path, Mount: q.Mount, Project: q.Project, Max: int64(q.Max)})
	}
	return s
}

func kinds() []entity.Kind {
	return []entity.Kind{entity.Host, entity.Unit, entity.Service, entity.Database, entity.LoadBalancer, entity.Group, entity.Site}
}

func knownKind(k entity.Kind) bool {
	return slices.Contains(kinds(), k)
}

func didYouMean(word string) string {
	var known []string
	for _, k := range kinds() {
		known = append(known, string(k))
	}
	if s := yamlx.Suggest(word, known); s != "" {
		return "; did you mean " + s + "?"
	}
	return ""
}
