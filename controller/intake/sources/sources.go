// Package sources is the list of everything that signals can come from. A new
// source is one package and one line here.
package sources

import (
	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/intake"
	"github.com/secondline-ops/secondline/controller/intake/alertmanager"
	"github.com/secondline-ops/secondline/controller/intake/generic"
	"github.com/secondline-ops/secondline/controller/store"
)

// All returns the parsers of all sources, by name.
func All() []intake.Parser {
	return []intake.Parser{
		alertmanager.Parser{},
		generic.Parser{},
	}
}

// Find returns the parser for a source as it stands in an address, and the
// source's proper name. It refuses with NotFound, and with the nearest name as
// hint.
func Find(name string) (intake.Parser, string, error) { return intake.Find(All(), name) }

// ParseBody returns the signals of a stored body; see intake.Read.
func ParseBody(body store.Body) ([]incident.Signal, error) { return intake.Read(All(), body) }
