// Package plugins is the contract for authors of plugins: a plugin is a
// separate process that yields probes. An author implements Probe and calls
// Serve; plugintest.Exercise then says whether the contract is kept.
//
// It imports nothing else of the project, so an author depends on nothing but
// this. A probe reaches its target only through the Host it is given for the
// time of one Read: it never sees a credential, and every command is gated,
// bounded, redacted and audited by the agent. What is not covered: the process
// itself is no sandbox. It runs as the agent's user and is trusted by the
// checksum of its file.
package plugins
