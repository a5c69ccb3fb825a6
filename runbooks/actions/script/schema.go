package script

import "github.com/secondline-ops/secondline/runbooks"

var _ runbooks.Schemer = Action{}

// Schema implements runbooks.Schemer.
func (Action) Schema() *runbooks.Form {
	return runbooks.MappingForm("gives a script to an interpreter; values reach it as environment variables only",
		runbooks.Need("interpreter", runbooks.EitherForm("the program, or a list of it and its options, as [sh, -eu]",
			runbooks.ListForm("", runbooks.TextForm(""), 1, 0), runbooks.TextForm(""))),
		runbooks.Need("body", runbooks.TextForm("the text of the script, which is constant: without ${")),
		runbooks.May("env", runbooks.EntriesForm("variables by name", "", runbooks.TextForm("the value"))))
}
