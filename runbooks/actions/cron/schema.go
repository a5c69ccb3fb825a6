package cron

import "github.com/secondline-ops/secondline/runbooks"

var _ runbooks.Schemer = Action{}

// Schema implements runbooks.Schemer.
func (Action) Schema() *runbooks.Form {
	return runbooks.MappingForm("runs now a script of /etc/cron.hourly, cron.daily, cron.weekly or cron.monthly",
		runbooks.Need("script", runbooks.TextForm("its path; only what cron itself would run")))
}
