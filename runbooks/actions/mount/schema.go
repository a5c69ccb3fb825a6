package mount

import "github.com/secondline-ops/secondline/runbooks"

var _ runbooks.Schemer = Action{}

// Schema implements runbooks.Schemer.
func (Action) Schema() *runbooks.Form {
	return runbooks.MappingForm("mounts, unmounts or remounts what the host declares in /etc/fstab or by a unit",
		runbooks.Need("point", runbooks.TextForm("the mount point")),
		runbooks.Need("state", runbooks.WordForm("the state", states()...)))
}
