package cert

import "github.com/secondline-ops/secondline/runbooks"

var _ runbooks.Schemer = Action{}

// Schema implements runbooks.Schemer.
func (Action) Schema() *runbooks.Form {
	return runbooks.MappingForm("renews a certificate with the tool that is configured on the host",
		runbooks.Need("path", runbooks.TextForm("the file with the certificate")),
		runbooks.May("key", runbooks.TextForm("the file with its key")),
		runbooks.Need("renew", runbooks.ListForm("the command of the tool, the program first", runbooks.TextForm(""), 1, maxArguments)),
		runbooks.May("min_valid", runbooks.DurationForm("one that is valid for longer is left alone: 14d unless said")))
}
