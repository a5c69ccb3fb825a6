package bundle

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/redact"
)

// AgainOptions are how a bundle is made again of itself.
type AgainOptions struct {
	Version      string // of the tool that does it
	PseudonymKey []byte // nil: names stay
	Budget       Budget
}

// Again makes a bundle of an older one: redacted with what is known today,
// smaller, or with pseudonyms. It is unsigned, since it is another one; what a
// budget or a redactor took out of the old one stays out. names says what each
// pseudonym stands for; it goes nowhere with the bundle. A bundle that contradicts
// itself is refused with an error of kind Invalid.
func Again(old *Bundle, o AgainOptions) (b *Bundle, names map[string]string, err error) {
	v := verifier{b: old, check: Check{Version: old.manifest.Version}}
	v.items()
	s, ok := v.sources()
	if !ok || len(v.result.Problems) > 0 {
		return nil, nil, fault.New(fault.Invalid, "the bundle is not whole: %q", v.result.Problems)
	}
	m := material{input: s.input, raws: s.raws, bodies: s.bodies}
	m.input.Version = o.Version
	putBack(&m.input, s.preserved)
	var pseudonyms *redact.Pseudonyms
	if o.PseudonymKey != nil {
		if pseudonyms, err = pseudonymsOf(m, o.PseudonymKey); err != nil {
			return nil, nil, err
		}
	}
	if b, err = pack(m, pseudonyms, o.Budget); err != nil {
		return nil, nil, err
	}
	if pseudonyms != nil {
		names, err = pseudonyms.Names()
	}
	return b, names, err
}

// putBack is takePreserved undone.
func putBack(in *Input, preserved map[string]map[string]content) {
	runs := slices.Clone(in.Incident.Runs)
	for i := range runs {
		if runs[i].Result == nil {
			continue
		}
		result := *runs[i].Result
		result.Steps = slices.Clone(result.Steps)
		for n := range result.Steps {
			files := preserved[stepBase(runs[i].ID, n, result.Steps[n].ID)]
			if len(files) == 0 {
				continue
			}
			result.Steps[n].Preserved = map[string][]byte{}
			for name, c := range files {
				result.Steps[n].Preserved[name] = c.data
			}
		}
		runs[i].Result = &result
	}
	in.Incident.Runs = runs
}

// pseudonymsOf knows the hosts that the records name, and the accounts that any
// text in the bundle tells to be such.
func pseudonymsOf(m material, key []byte) (*redact.Pseudonyms, error) {
	hosts, users := map[string]bool{}, map[string]bool{}
	for _, e := range slices.Concat(m.input.Entities, []entity.Entity{m.input.Subject().Entity}) {
		if e.Kind == entity.Host {
			hosts[e.ID] = true
		}
		hosts[hostOf(e.Address)], hosts[e.Agent], hosts[e.Jump] = true, true, true
		for _, alias := range e.Aliases {
			hosts[hostOf(alias)] = true
		}
		users[e.User] = true
	}
	for _, f := range m.input.Facts {
		hosts[f.Target] = true
	}
	for i := range m.input.Incident.Runs {
		hosts[m.input.Incident.Runs[i].Target] = true
	}
	for _, sig := range m.input.Signals {
		for _, label := range []string{"instance", "host", "hostname", "node", "nodename", "server"} {
			hosts[hostOf(sig.Labels[label])] = true
		}
	}
	texts := [][]byte{}
	for _, c := range m.raws {
		texts = append(texts, c.data)
	}
	for _, c := range m.bodies {
		texts = append(texts, c.data)
	}
	for _, e := range m.input.Events {
		texts = append(texts, []byte(e.Text+"\n"+e.Actor))
	}
	whole, err := json.Marshal(m.input.Incident)
	if err != nil {
		return nil, fmt.Errorf("look for accounts: %w", err)
	}
	texts = append(texts, whole)
	for _, text := range texts {
		for _, user := range redact.UsersIn(text) {
			users[user] = true
		}
	}
	return redact.NewPseudonyms(key, slices.Sorted(maps.Keys(hosts)), slices.Sorted(maps.Keys(users)))
}

// hostOf leaves a port out.
func hostOf(address string) string {
	host, _, _ := strings.Cut(address, ":")
	if strings.Count(address, ":") > 1 {
		return "" // an IPv6 address, which is replaced wherever it stands
	}
	return host
}
