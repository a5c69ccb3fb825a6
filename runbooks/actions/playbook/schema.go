package playbook

import "github.com/secondline-ops/secondline/runbooks"

var _ runbooks.Schemer = Action{}

// Schema implements runbooks.Schemer.
func (Action) Schema() *runbooks.Form {
	return runbooks.MappingForm("carries out an Ansible playbook of the target, there",
		runbooks.Need("path", runbooks.TextForm("the playbook: absolute and clean")),
		runbooks.May("limit", runbooks.WordForm("the host: the one target that was approved", "localhost")),
		runbooks.May("extra_vars", runbooks.EntriesForm("variables of the playbook", "", runbooks.TextForm(""))))
}
