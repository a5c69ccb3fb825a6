// Package inventory knows the entities, how they are reached, what hangs on
// what, and which names of the outside world mean which of them. It is read
// from YAML and never changed by a signal.
package inventory

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"sort"
	"strings"

	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/yamlx"
)

// Inventory is an immutable set of entities. The zero value is empty and
// usable. Safe for concurrent use.
type Inventory struct {
	list  []entity.Entity
	byID  map[string]int
	names map[string][]match // lower-case outside name -> candidates
}

type match struct {
	id    string
	score float64
	how   string
}

// New builds an inventory of entities made in code (tests, the demo).
func New(list []entity.Entity) (*Inventory, error) {
	return build(list, func(int) *yamlx.Node { return nil })
}

func build(list []entity.Entity, at func(i int) *yamlx.Node) (*Inventory, error) {
	inv := &Inventory{list: list, byID: map[string]int{}, names: map[string][]match{}}
	var errs []error
	bad := func(i int, format string, args ...any) {
		if n := at(i); n != nil {
			errs = append(errs, n.Errorf(format, args...))
			return
		}
		errs = append(errs, fmt.Errorf(format, args...))
	}
	for i, e := range list {
		if _, twice := inv.byID[e.ID]; twice {
			bad(i, "entity %s is there twice", e.ID)
		}
		inv.byID[e.ID] = i
	}
	for i, e := range list {
		for _, ref := range append(append([]string{}, e.RunsOn...), e.DependsOn...) {
			if _, ok := inv.byID[ref]; !ok {
				bad(i, "%s refers to %q, which is not in the inventory%s", e.ID, ref, inv.suggest(ref))
			}
		}
		if e.Jump != "" {
			j, ok := inv.byID[e.Jump]
			if !ok || list[j].Kind != entity.Host {
				bad(i, "%s has jump %q, which is not a host in the inventory%s", e.ID, e.Jump, inv.suggest(e.Jump))
			}
		}
		inv.addNames(e)
	}
	return inv, errors.Join(errs...)
}

func (inv *Inventory) suggest(word string) string {
	ids := make([]string, 0, len(inv.byID))
	for id := range inv.byID {
		ids = append(ids, id)
	}
	sort.Strings(ids)
	if s := yamlx.Suggest(word, ids); s != "" {
		return "; did you mean " + s + "?"
	}
	return ""
}

// addNames enters the names under which the outside world may mean the entity.
// An alias is worth most, since a person wrote it; a bare first label least.
func (inv *Inventory) addNames(e entity.Entity) {
	add := func(name, how string, score float64) {
		if name = strings.ToLower(name); name != "" {
			inv.names[name] = append(inv.names[name], match{id: e.ID, score: score, how: how})
		}
	}
	for _, a := range e.Aliases {
		add(a, "alias", 1.0)
	}
	add(e.ID, "id", 0.98)
	if e.Kind == entity.Host {
		add(e.Address, "address", 0.95)
		if first, _, dotted := strings.Cut(e.Address, "."); dotted && net.ParseIP(e.Address) == nil {
			add(first, "short name", 0.8)
		}
	}
}

// Len returns how many entities there are.
func (inv *Inventory) Len() int { return len(inv.list) }

// List returns all entities in the order of the file.
func (inv *Inventory) List() []entity.Entity { return append([]entity.Entity{}, inv.list...) }

// Find returns the entity with the id.
func (inv *Inventory) Find(id string) (entity.Entity, bool) {
	i, ok := inv.byID[id]
	if !ok {
		return entity.Entity{}, false
	}
	return inv.list[i], true
}

// Resolution says which entity a signal is about, how sure that is, and by
// which of its fields.
type Resolution struct {
	Entity string
	Score  float64 // 0..1
	Why    string
}

// Resolve finds the entity that a signal's resources name. The best score
// wins; an ambiguous name resolves to nothing, and says so.
func (inv *Inventory) Resolve(resources []incident.Resource) Resolution {
	var best Resolution
	var ambiguous string
	for _, r := range resources {
		for _, name := range spellings(r.Value) {
			found := inv.known(name)
			if len(found) == 0 {
				continue
			}
			if differs(found) {
				ambiguous = fmt.Sprintf("%q (from %s) names several entities", name.text, r.From)
				continue
			}
			if m := found[0]; m.score*name.worth > best.Score {
				best = Resolution{Entity: m.id, Score: m.score * name.worth, Why: fmt.Sprintf("%s %q is its %s", r.From, name.text, m.how)}
			}
		}
	}
	if best.Entity == "" {
		best.Why = "nothing in the inventory has a name that the signal gives"
		if ambiguous != "" {
			best.Why = ambiguous
		}
	}
	return best
}

// known returns what bears the name. The first label of a longer name does not
// mean a host whose own name is longer, too, and another: db1.eu.example is not
// db1.us.example.
func (inv *Inventory) known(name spelling) []match {
	var out []match
	for _, m := range inv.names[strings.ToLower(name.text)] {
		if name.cutFrom != "" {
			if own := inv.list[inv.byID[m.id]].Address; isDomainName(own) && !strings.EqualFold(own, name.cutFrom) {
				continue
			}
		}
		out = append(out, m)
	}
	return out
}

func isDomainName(s string) bool { return strings.Contains(s, ".") && net.ParseIP(s) == nil }

func differs(found []match) bool {
	for _, m := range found[1:] {
		if m.id != found[0].id {
			return true
		}
	}
	return false
}

// spelling is a name that a value may mean.
type spelling struct {
	text    string
	worth   float64 // 1 for what was said, less for what was cut to size
	cutFrom string  // the full name, when only its first label is left
}

// spellings returns the value as it came and without what outside names carry
// around a host name: scheme and path of a URL, port, brackets, a final dot, domain.
func spellings(value string) []spelling {
	value = strings.TrimSpace(value)
	out := []spelling{{text: value, worth: 1}}
	add := func(text, from string) {
		if text != "" {
			out = append(out, spelling{text: text, worth: 0.9, cutFrom: from})
		}
	}
	host := value
	if u, err := url.Parse(value); err == nil && u.Host != "" {
		host = u.Host
		add(host, "")
	}
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
		add(host, "")
	} else if inner, ok := strings.CutPrefix(host, "["); ok && strings.HasSuffix(inner, "]") {
		host = strings.TrimSuffix(inner, "]")
		add(host, "")
	}
	if short, ok := strings.CutSuffix(host, "."); ok {
		host = short
		add(host, "")
	}
	if first, _, dotted := strings.Cut(host, "."); dotted && net.ParseIP(host) == nil {
		add(first, host)
	}
	return out
}

// Host returns the host entity on which work for the entity is done: the
// entity itself, or the only host that it runs on.
func (inv *Inventory) Host(id string) (entity.Entity, bool) {
	e, ok := inv.Find(id)
	if !ok || e.Kind == entity.Host {
		return e, ok
	}
	if len(e.RunsOn) != 1 {
		return entity.Entity{}, false
	}
	host, ok := inv.Find(e.RunsOn[0])
	return host, ok && host.Kind == entity.Host
}

// AgentFor returns the agent that reaches the host: the one that the inventory
// names, else its own, which has the host's id.
func AgentFor(host entity.Entity) string {
	if host.Agent != "" {
		return host.Agent
	}
	return host.ID
}
