// Package host runs plugins: one pooled process for each plugin file, started on
// first use, stopped when idle, killed and started again when it misbehaves.
// To the rest of the agent a plugin is a list of diagnostics.Probe.
//
// A plugin that crashes, hangs, floods or answers garbage fails its own reading
// and nothing else. What is not covered: a plugin runs as the agent's user,
// outside any sandbox; what may run at all is decided by the checksum that the
// operator configured.
package host
