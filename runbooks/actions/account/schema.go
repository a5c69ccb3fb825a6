package account

import "github.com/secondline-ops/secondline/runbooks"

var _ runbooks.Schemer = Action{}

// Schema implements runbooks.Schemer.
func (Action) Schema() *runbooks.Form {
	return runbooks.MappingForm("makes the password of a local account unusable, or usable again",
		runbooks.Need("name", runbooks.TextForm("of the account; never root")),
		runbooks.Need("password", runbooks.WordForm("what becomes of its password", states()...)))
}
