package runbooks

import "time"

// PreserveTimeout bounds the saving of one piece of evidence before a step.
const PreserveTimeout = 30 * time.Second

// Verifies reports whether something is measured after the step.
func (s Step) Verifies() bool { return s.Verify.That != "" || s.Verify.Within > 0 || s.Verify.Hold > 0 }

// Undoes reports whether the step can be taken back.
func (s Step) Undoes() bool { return s.Undo.Own || len(s.Undo.Run) > 0 }

// WorstCase is the longest that the step can take: saving evidence, acting,
// waiting for the verification, and its hold. Undoing is not in it.
func (s Step) WorstCase() time.Duration {
	return time.Duration(len(s.Preserve))*PreserveTimeout + s.Timeout + s.Verify.Within + s.Verify.Hold
}

// WorstCase is the longest that a run can take: every step at its worst, the
// last one refuted, and everything that can be undone undone. The loader
// refuses a runbook whose worst case is longer than its deadline.
func (rb *Runbook) WorstCase() time.Duration {
	var total time.Duration
	for _, s := range rb.Steps {
		total += s.WorstCase()
		if s.Undoes() {
			total += s.Timeout
		}
	}
	return total
}
