package timer

import "github.com/secondline-ops/secondline/runbooks"

var _ runbooks.Schemer = Action{}

// Schema implements runbooks.Schemer.
func (Action) Schema() *runbooks.Form {
	return runbooks.MappingForm("runs now what a systemd timer would run later",
		runbooks.Need("name", runbooks.TextForm("of the timer; without a suffix it means .timer")),
		runbooks.Need("run", runbooks.WordForm("when", "now")))
}
