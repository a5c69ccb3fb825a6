package process

import "github.com/secondline-ops/secondline/runbooks"

var _ runbooks.Schemer = Action{}

// Schema implements runbooks.Schemer.
func (Action) Schema() *runbooks.Form {
	f := runbooks.MappingForm("sends a signal to one process, and proves what came of it",
		runbooks.May("pid", runbooks.TextForm("the number of the process")),
		runbooks.May("pid_file", runbooks.TextForm("the file that holds its number")),
		runbooks.May("match", runbooks.EitherForm("its command line, from the program on; the words that are named must be there",
			runbooks.ListForm("", runbooks.TextForm(""), 1, maxMatchWords), runbooks.TextForm("an input of type argv for all of them"))),
		runbooks.May("user", runbooks.TextForm("the user that it runs as")),
		runbooks.Need("signal", runbooks.WordForm("the signal; KILL cannot be undone", signals()...)),
		runbooks.May("gone_within", runbooks.DurationForm("by when it has ended, for a signal that ends processes: 10s unless said, at most 10m")))
	for _, one := range []string{"pid", "pid_file", "match"} {
		f.AnyOf = append(f.AnyOf, &runbooks.Form{Needed: []string{one}})
	}
	return f
}
