package run

import "github.com/secondline-ops/secondline/runbooks"

var _ runbooks.Schemer = Action{}

// Schema implements runbooks.Schemer.
func (Action) Schema() *runbooks.Form {
	return runbooks.EitherForm("starts a program with its arguments, the program first, without a shell",
		runbooks.ListForm("", runbooks.TextForm("an argument; a value in it stays inside it"), 1, maxArguments),
		runbooks.TextForm("an input of type argv for all of them"))
}
