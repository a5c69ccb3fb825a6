package expr

// Truth is the outcome of a predicate: true, false, or cannot tell. Cannot
// tell is an answer of its own and never counts as either of the others.
type Truth string

// The three readings.
const (
	True       Truth = "true"
	False      Truth = "false"
	CannotTell Truth = "cannot_tell"
)
