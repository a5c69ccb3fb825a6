package truncatelog

import "github.com/secondline-ops/secondline/runbooks"

var _ runbooks.Schemer = Action{}

// Schema implements runbooks.Schemer.
func (Action) Schema() *runbooks.Form {
	return runbooks.MappingForm("empties a log in place that processes hold open",
		runbooks.Need("path", runbooks.TextForm("of the log: absolute and clean")),
		runbooks.May("keep", runbooks.TextForm("how much of its end is saved first, as 1MiB: nothing unless said")))
}
