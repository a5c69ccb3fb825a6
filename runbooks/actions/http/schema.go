package http

import "github.com/secondline-ops/secondline/runbooks"

var _ runbooks.Schemer = Action{}

// Schema implements runbooks.Schemer.
func (Action) Schema() *runbooks.Form {
	return runbooks.MappingForm("makes one HTTP request from the target, and holds the answer against an expectation",
		runbooks.Need("url", runbooks.TextForm("http:// or https://")),
		runbooks.May("method", runbooks.WordForm("GET unless said", "GET", "HEAD", "POST", "PUT", "DELETE")),
		runbooks.May("headers", runbooks.EntriesForm("headers of the request", "", runbooks.TextForm(""))),
		runbooks.May("body", runbooks.TextForm("of the request; its type is a header")),
		runbooks.May("follow", runbooks.TextForm("how many redirects may be followed, 0 to 5")),
		runbooks.May("as_client", runbooks.WordForm("who asks: the target", "host")),
		runbooks.May("expect", runbooks.MappingForm("what the answer must be",
			runbooks.May("status", runbooks.EitherForm("its status, or a list of those that are good",
				runbooks.TextForm(""), runbooks.ListForm("", runbooks.TextForm(""), 1, maxEntries))),
			runbooks.May("body_has", runbooks.TextForm("a text that stands in it")),
			runbooks.May("json", runbooks.EntriesForm("values by their paths, as status.nodes.0.name", "", runbooks.TextForm(""))))))
}
