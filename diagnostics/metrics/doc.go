// Package metrics ranks entities and their metrics by how much, how suddenly
// and how early they left their own past, so that a person looks at the likely
// root cause first. It says where to look (localisation), not what is wrong
// there: that takes facts and causes, which are package diagnostics.
//
// It reads from the readers it is given, keeps no state and has no clock. The
// formula is in score.go, the moment of onset in onset.go, what the graph
// changes in entities.go; docs/rca.md explains them.
//
// The one thing to know: every series is compared with itself only, and only
// in units of its own noise. So seconds and bytes need no conversion, and a
// metric that never moved can neither be blamed nor swamp the others.
package metrics
