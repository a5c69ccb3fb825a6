// Package actions is the one list of built-in actions. A new action is a
// package below this one and a line here.
package actions

import (
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/actions/account"
	"github.com/secondline-ops/secondline/runbooks/actions/cert"
	"github.com/secondline-ops/secondline/runbooks/actions/cleanup"
	"github.com/secondline-ops/secondline/runbooks/actions/cron"
	"github.com/secondline-ops/secondline/runbooks/actions/dnsflush"
	"github.com/secondline-ops/secondline/runbooks/actions/file"
	"github.com/secondline-ops/secondline/runbooks/actions/http"
	"github.com/secondline-ops/secondline/runbooks/actions/mount"
	packages "github.com/secondline-ops/secondline/runbooks/actions/package"
	"github.com/secondline-ops/secondline/runbooks/actions/playbook"
	"github.com/secondline-ops/secondline/runbooks/actions/process"
	"github.com/secondline-ops/secondline/runbooks/actions/run"
	"github.com/secondline-ops/secondline/runbooks/actions/script"
	"github.com/secondline-ops/secondline/runbooks/actions/sql"
	"github.com/secondline-ops/secondline/runbooks/actions/sysctl"
	"github.com/secondline-ops/secondline/runbooks/actions/timer"
	"github.com/secondline-ops/secondline/runbooks/actions/truncatelog"
	"github.com/secondline-ops/secondline/runbooks/actions/unit"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// All returns the built-in actions.
func All() []engine.Action {
	return []engine.Action{
		run.Action{},
		script.Action{},
		unit.Action{},
		process.Action{},
		timer.Action{},
		cron.Action{},
		file.Action{},
		cleanup.Action{},
		truncatelog.Action{},
		mount.Action{},
		sysctl.Action{},
		packages.Action{},
		account.Action{},
		cert.Action{},
		dnsflush.Action{},
		http.Action{},
		sql.Action{},
		playbook.Action{},
	}
}

// Decoders returns the same actions for reading runbooks.
func Decoders() []runbooks.Decoder {
	decoders := []runbooks.Decoder{}
	for _, a := range All() {
		decoders = append(decoders, a)
	}
	return decoders
}
