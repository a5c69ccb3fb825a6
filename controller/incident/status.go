package incident

import "slices"

// Status is where an incident stands in its life (docs/architecture.md draws
// it; a test compares the drawing with Transitions).
type Status string

// The statuses of an incident.
const (
	New              Status = "new"               // a signal opened it; nothing was looked at yet
	Diagnosing       Status = "diagnosing"        // causes are being looked for
	AwaitingApproval Status = "awaiting_approval" // a plan waits for a person
	Remediating      Status = "remediating"       // a plan is being carried out
	Verifying        Status = "verifying"         // the symptom is being measured again
	Resolved         Status = "resolved"          // the symptom was measured gone, or a person said so, or it is marked unverified
	Closed           Status = "closed"            // resolved for so long that a new signal opens a new incident
	Escalated        Status = "escalated"         // it waits for a person
	Suppressed       Status = "suppressed"        // maintenance, or the symptom of another incident
	Merged           Status = "merged"            // part of another incident
)

// Statuses returns all statuses, in the order in which they are documented.
func Statuses() []Status {
	return []Status{New, Diagnosing, AwaitingApproval, Remediating, Verifying, Resolved, Closed, Escalated, Suppressed, Merged}
}

// Open reports whether work on an incident of the status may still be needed.
func (s Status) Open() bool {
	switch s {
	case New, Diagnosing, AwaitingApproval, Remediating, Verifying, Escalated, Suppressed:
		return true
	case Resolved, Closed, Merged:
		return false
	}
	return false
}

// Transitions is the table of allowed moves. Suppressed and merged are
// reachable from every open status and are not repeated in each row.
func Transitions() map[Status][]Status {
	return map[Status][]Status{
		New:              {Diagnosing, Resolved, Escalated},
		Diagnosing:       {AwaitingApproval, Remediating, Verifying, Resolved, Escalated},
		AwaitingApproval: {Remediating, Diagnosing, Resolved, Escalated},
		Remediating:      {Verifying, Diagnosing, Resolved, Escalated},
		Verifying:        {Resolved, Diagnosing, Escalated},
		Escalated:        {Resolved, AwaitingApproval, Remediating, Verifying, Diagnosing},
		Resolved:         {Diagnosing, Closed},
		Suppressed:       {Diagnosing, Resolved, Closed},
		Closed:           {},
		Merged:           {},
	}
}

// MayBecome reports whether an incident may go from one status to another.
func (s Status) MayBecome(next Status) bool {
	if next == Suppressed || next == Merged {
		return s.Open() && s != next
	}
	return slices.Contains(Transitions()[s], next)
}
