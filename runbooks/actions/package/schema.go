package pkg

import "github.com/secondline-ops/secondline/runbooks"

var _ runbooks.Schemer = Action{}

// Schema implements runbooks.Schemer.
func (Action) Schema() *runbooks.Form {
	return runbooks.MappingForm("brings one package of a Debian host into a state",
		runbooks.Need("name", runbooks.TextForm("of the package")),
		runbooks.Need("state", runbooks.WordForm("the state", states()...)),
		runbooks.May("version", runbooks.TextForm("the version, of state installed; any unless said")))
}
