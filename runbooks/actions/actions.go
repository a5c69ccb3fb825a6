// Package actions is the one list of built-in actions. A new action is a
// package below this one and a line here.
package actions

import (
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/actions/cleanup"
	"github.com/secondline-ops/secondline/runbooks/actions/run"
	"github.com/secondline-ops/secondline/runbooks/actions/unit"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// All returns the built-in actions.
func All() []engine.Action {
	return []engine.Action{run.Action{}, unit.Action{}, cleanup.Action{}}
}

// Decoders returns the same actions for reading runbooks.
func Decoders() []runbooks.Decoder {
	decoders := []runbooks.Decoder{}
	for _, a := range All() {
		decoders = append(decoders, a)
	}
	return decoders
}
