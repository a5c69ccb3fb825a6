package cleanup

import "github.com/secondline-ops/secondline/runbooks"

var _ runbooks.Schemer = Action{}

// Schema implements runbooks.Schemer.
func (Action) Schema() *runbooks.Form {
	return runbooks.MappingForm("deletes files by rule, only inside the agent's own allow-list",
		runbooks.Need("path", runbooks.TextForm("the folder; files below it are deleted")),
		runbooks.Need("match", runbooks.EitherForm("patterns for the names of files, of which one must match",
			runbooks.ListForm("", runbooks.TextForm("a pattern: * any run, ? one character, [a-z] one of a set"), 1, maxPatterns),
			runbooks.TextForm("an input of type patterns for all of them"))),
		runbooks.Need("min_age", runbooks.TextForm("a duration: what was modified within it stays")),
		runbooks.May("keep", runbooks.TextForm("how many of the newest stay, in all: 0 unless said")))
}
