package runbooks

import "testing"

// PageExample is an example of docs/runbook-format.md, put into a whole runbook.
type PageExample struct {
	Line   int
	Rule   string // of its section; "" outside of the rules
	Accept bool
	Text   string
}

// PageExamples lets the tests outside of this package, which can use the real
// actions, read the page.
func PageExamples(t *testing.T) []PageExample {
	t.Helper()
	var out []PageExample
	base := ""
	for _, e := range examples(t) {
		if e.expect == "base" {
			base = e.text
		}
		out = append(out, PageExample{Line: e.line, Rule: e.rule, Accept: e.expect != "reject", Text: complete(base, e.text)})
	}
	return out
}

// FakeProbes declares the probes that the page's examples read.
func FakeProbes() ProbeSpecs { return testProbes{} }
