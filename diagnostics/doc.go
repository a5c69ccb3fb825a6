// Package diagnostics finds causes: probes read facts, evidence is asked of
// the facts, causes are ranked by their evidence. Ranking is pure and works
// alike on live facts, on a bundle of last month and on recorded fixtures; only
// Collect touches a server, through a remote.Runner, and only to read.
//
// The one thing to know: a reading that failed is never "fine" and never
// "absent". It makes the evidence on it a "cannot tell", which neither speaks
// for nor against a cause.
package diagnostics
