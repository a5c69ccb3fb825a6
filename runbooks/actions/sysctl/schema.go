package sysctl

import "github.com/secondline-ops/secondline/runbooks"

var _ runbooks.Schemer = Action{}

// Schema implements runbooks.Schemer.
func (Action) Schema() *runbooks.Form {
	return runbooks.MappingForm("sets one parameter of the running kernel, of an allow-list",
		runbooks.Need("key", runbooks.TextForm("of the parameter, with dots")),
		runbooks.Need("value", runbooks.TextForm("its value; several numbers are one text, apart by blanks")),
		runbooks.May("persist", runbooks.FlagForm("whether it is kept for the boots to come, in a file of its own")))
}
