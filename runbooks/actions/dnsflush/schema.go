package dnsflush

import "github.com/secondline-ops/secondline/runbooks"

var _ runbooks.Schemer = Action{}

// Schema implements runbooks.Schemer.
func (Action) Schema() *runbooks.Form {
	names := []string{auto}
	for _, c := range caches() {
		names = append(names, c.name)
	}
	return runbooks.MappingForm("lets the host forget the names it has cached, and restarts nothing",
		runbooks.Need("service", runbooks.WordForm("what caches them; auto is all that is at work", names...)))
}
