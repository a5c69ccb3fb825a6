package runbooks

import "time"

// Bounds of the flow.
const (
	MaxNesting   = 5      // blocks inside blocks
	MaxTimes     = 10_000 // elements of a foreach
	MaxInstances = 10_000 // steps of a run, when every foreach is unrolled
	MaxAtOnce    = 16     // branches and elements that are worked on at the same time
	MaxRetries   = 20
)

// Block is a part of a runbook's flow: one step, or several under a rule. The
// steps themselves stand in Runbook.Steps, in the order of the file; a block
// names them by their index.
type Block struct {
	ID   string // of the step or of the block; unique in the runbook
	Line int
	Step int // index in Runbook.Steps of the runbook that the block stands in; -1 for a block

	Choose   []Branch // the first branch whose condition holds
	Parallel []Branch // all of them at the same time
	Foreach  *Foreach
	Call     *Call
}

// Branch is one of several ways.
type Branch struct {
	If     string // condition of a choose; "" always holds
	Blocks []Block
}

// Foreach does its blocks once for each element of a list.
type Foreach struct {
	As     string    // the elements are read as each.<As>
	Type   InputType // of an element, which is checked like an input
	In     string    // expression that gives the list, when the plan is made
	Max    int       // more elements refuse
	AtOnce int       // 1 is one after the other
	Blocks []Block
}

// Each is the element that a step inside a foreach is about.
type Each struct {
	As   string
	Type InputType
}

// Phase says when a step is carried out.
type Phase string

// The phases. A runbook's steps come first. When the run does not end verified,
// the steps of on_failure follow, once all was taken back that could be; those
// of always follow in any case. What these two do changes no longer how the run
// ended, unless it cannot be told what they did.
const (
	PhaseMain      Phase = ""
	PhaseOnFailure Phase = "on_failure"
	PhaseAlways    Phase = "always"
)

// The steps that are words of the language, and no actions.
const (
	StepWait     = "wait"     // waits until its verify.that is true
	StepNote     = "note"     // says something to those who read the run
	StepEscalate = "escalate" // ends the run here, for a person to go on
	StepProbe    = "probe"    // reads a declared probe, for its outputs
	StepApprove  = "approve"  // wants people to say yes, before the run begins
)

// Retry says how often a step is tried again that was refuted.
type Retry struct {
	Count   int           // tries after the first; 0 is none
	Delay   time.Duration // before the second try
	Backoff float64       // by which the delay grows each time; at least 1
}

// longest is how long a step waits between its tries, in all.
func (r Retry) longest() time.Duration {
	total, delay := time.Duration(0), r.Delay
	for range r.Count {
		total += delay
		delay = min(time.Duration(float64(delay)*r.Backoff), MaxDeadline)
		if total > MaxDeadline {
			return MaxDeadline
		}
	}
	return total
}

// After is how long to wait before try n, of which the second is 2.
func (r Retry) After(n int) time.Duration {
	delay := r.Delay
	for range n - 2 {
		delay = min(time.Duration(float64(delay)*r.Backoff), MaxDeadline)
	}
	return delay
}

// Output is a value that a step finds out, for the conditions behind it.
type Output struct {
	Name string
	Type InputType // never a list
	From string    // expression over result
}
