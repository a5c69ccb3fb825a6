package diagnostics

import (
	"context"
	"fmt"

	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
)

// Spec declares a probe: what it reads and what it yields.
type Spec struct {
	Name        string // "disk.usage"
	Title       string
	Doc         string // what it looks at, with the man page or kernel file
	Inputs      []expr.Field
	Outputs     []expr.Field
	CostSeconds float64 // typical wall time on a healthy host
}

// Probe is a read-only reader that yields one fact. Reading and understanding
// are apart, so that a bundle's raw bytes can be understood again later: Read
// touches the server and interprets nothing but what it needs to choose its
// next read; Parse is pure and gives the same value for the same raws.
//
// Duties of Read: only commands of effect remote.Read, each with its own
// time-out; a reading that failed is returned as a Raw with its status, not as
// an error; an error means that nothing could be looked at at all. Data is
// already redacted by the Runner. Use Recorder for it.
//
// Duties of Parse: any bytes are possible; never panic; say Absent only when
// the raws prove absence.
type Probe interface {
	Spec() Spec
	Read(ctx context.Context, r remote.Runner, args Args) ([]Raw, error)
	Parse(raws []Raw, args Args) (Value, Status, error)
}

// ArgumentChecker is an extra ability of a Probe: it says what is wrong with the
// value of one input, without looking at any server. It is asked at load about
// arguments that are written out, so that a mistake is not found at night.
type ArgumentChecker interface {
	CheckArgument(input, value string) error
}

// checkArgument says what is wrong with an argument that is written out.
func checkArgument(p Probe, in expr.Field, value string) error {
	if value == "" {
		if in.Required {
			return fault.New(fault.Invalid, "probe %s needs %q, and it is empty", p.Spec().Name, in.Name)
		}
		return nil
	}
	err := in.Type.CheckText(value)
	if checker, ok := p.(ArgumentChecker); ok && err == nil {
		err = checker.CheckArgument(in.Name, value)
	}
	if err != nil {
		return fmt.Errorf("input %q of probe %s: %w", in.Name, p.Spec().Name, err)
	}
	return nil
}
