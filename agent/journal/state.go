package journal

import (
	"time"

	"github.com/secondline-ops/secondline/internal/fault"
)

// state is what must be known of a job to admit its next entry. The entries
// themselves stay on disk.
type state struct {
	path     string
	size     int64
	fence    int64
	last     time.Time
	accepted bool
	broken   bool // the file's end is not known, or it is damaged
	seen     map[mark]bool
}

// mark is an attempt of a step and what was recorded of it.
type mark struct {
	step    string
	attempt int
	kind    Kind
}

func newState(path string) *state { return &state{path: path, seen: map[mark]bool{}} }

// admits says why the entry must not be recorded, or nil.
func (s *state) admits(e Entry) error {
	if s.broken {
		return fault.New(fault.Internal, "the journal of job %s cannot be written any more", e.Job)
	}
	if e.Fence < s.fence {
		return fault.New(fault.Conflict, "fence %d of job %s is below %d", e.Fence, e.Job, s.fence)
	}
	at := mark{e.Step, e.Attempt, e.Kind}
	switch e.Kind {
	case Intent, UndoIntent:
		if s.seen[at] {
			return fault.New(fault.Conflict, "job %s already has the %s of attempt %d of step %s", e.Job, e.Kind, e.Attempt, e.Step)
		}
	case Outcome, Verified:
		return s.needs(e, Intent)
	case UndoOutcome:
		return s.needs(e, UndoIntent)
	case Lease, Plan, Decided, Leaving, Left, Report, Accepted:
	}
	return nil
}

func (s *state) needs(e Entry, before Kind) error {
	if s.seen[mark{e.Step, e.Attempt, before}] {
		return nil
	}
	return fault.New(fault.Conflict, "job %s has no %s for the %s of attempt %d of step %s", e.Job, before, e.Kind, e.Attempt, e.Step)
}

func (s *state) note(e Entry) {
	s.fence = max(s.fence, e.Fence)
	s.last = e.At
	s.accepted = s.accepted || e.Kind == Accepted
	if e.Step != "" {
		s.seen[mark{e.Step, e.Attempt, e.Kind}] = true
	}
}
