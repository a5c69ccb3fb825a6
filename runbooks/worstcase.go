package runbooks

import (
	"slices"
	"time"
)

// PreserveTimeout bounds the saving of one piece of evidence before a step.
const PreserveTimeout = 30 * time.Second

// Verifies reports whether something is measured after the step.
func (s Step) Verifies() bool { return s.Verify.That != "" || s.Verify.Within > 0 || s.Verify.Hold > 0 }

// Undoes reports whether the step can be taken back.
func (s Step) Undoes() bool { return s.Undo.Own || len(s.Undo.Run) > 0 }

// WorstCase is the longest that the step can take: saving evidence, acting,
// waiting for the verification, and its hold. Undoing is not in it.
func (s Step) WorstCase() time.Duration {
	acting := s.Timeout
	switch s.Action {
	case StepApprove, StepNote, StepEscalate, StepWait: // do nothing themselves: people are asked before the run begins
		acting = 0
	}
	try := max(acting+s.Verify.Within+s.Verify.Hold, s.Deadman)
	return time.Duration(len(s.Preserve))*PreserveTimeout + time.Duration(1+s.Retry.Count)*try + s.Retry.longest()
}

// WorstCase is the longest that a run can take: every step at its worst, the
// last one refuted, everything that can be undone undone, and then the steps of
// on_failure and always. Of branches the longest counts, of a foreach the most
// elements that it may have. The loader refuses a runbook whose worst case is
// longer than its deadline.
func (rb *Runbook) WorstCase() time.Duration {
	return saturate(saturate(rb.longest(rb.Flow)) + saturate(rb.undoing(rb.Flow)) + rb.following())
}

// following is how long on_failure and always take, with those of what is called.
func (rb *Runbook) following() time.Duration {
	total := saturate(rb.longest(rb.OnFailure)) + saturate(rb.longest(rb.Always))
	eachCall(rb.Flow, func(c *Call) { total = saturate(total + c.Runbook.following()) })
	return total
}

func eachCall(blocks []Block, do func(*Call)) {
	for _, b := range blocks {
		if b.Call != nil {
			do(b.Call)
		}
		for _, branch := range slices.Concat(b.Choose, b.Parallel) {
			eachCall(branch.Blocks, do)
		}
		if b.Foreach != nil {
			eachCall(b.Foreach.Blocks, do)
		}
	}
}

// muchTooLong keeps sums and products of times that are far above any deadline
// from running over.
const muchTooLong = 1000 * MaxDeadline

func saturate(d time.Duration) time.Duration { return min(d, muchTooLong) }

func (rb *Runbook) longest(blocks []Block) time.Duration {
	var total time.Duration
	for _, b := range blocks {
		total = saturate(total + rb.longestOf(b))
	}
	return total
}

func (rb *Runbook) longestOf(b Block) time.Duration {
	switch {
	case b.Step >= 0:
		return rb.Steps[b.Step].WorstCase()
	case b.Call != nil:
		return b.Call.Runbook.longest(b.Call.Runbook.Flow)
	case b.Foreach != nil:
		rounds := (b.Foreach.Max + b.Foreach.AtOnce - 1) / b.Foreach.AtOnce
		return saturate(time.Duration(rounds) * min(rb.longest(b.Foreach.Blocks), muchTooLong/time.Duration(rounds)))
	}
	var most time.Duration
	for _, branch := range append(append([]Branch{}, b.Choose...), b.Parallel...) {
		most = max(most, rb.longest(branch.Blocks))
	}
	return most
}

// undoing is how long it takes to take everything back: one after the other,
// also what was done at the same time.
func (rb *Runbook) undoing(blocks []Block) time.Duration {
	var total time.Duration
	for _, b := range blocks {
		switch {
		case b.Step >= 0 && rb.Steps[b.Step].Undoes():
			total = saturate(total + rb.Steps[b.Step].Timeout)
		case b.Call != nil:
			total = saturate(total + b.Call.Runbook.undoing(b.Call.Runbook.Flow))
		case b.Foreach != nil:
			total = saturate(total + time.Duration(b.Foreach.Max)*min(rb.undoing(b.Foreach.Blocks), muchTooLong/time.Duration(b.Foreach.Max)))
		}
		var most time.Duration
		for _, branch := range b.Choose {
			most = max(most, rb.undoing(branch.Blocks))
		}
		total = saturate(total + most)
		for _, branch := range b.Parallel {
			total = saturate(total + rb.undoing(branch.Blocks))
		}
	}
	return total
}
