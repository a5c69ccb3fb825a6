package unit

import "github.com/secondline-ops/secondline/runbooks"

var _ runbooks.Schemer = Action{}

// Schema implements runbooks.Schemer.
func (Action) Schema() *runbooks.Form {
	return runbooks.MappingForm("brings a systemd unit into a state, and proves that it stays there",
		runbooks.Need("name", runbooks.TextForm("of the unit; without a suffix it means .service")),
		runbooks.Need("state", runbooks.WordForm("the state", states()...)))
}
