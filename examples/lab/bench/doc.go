// Package bench is HostRCA-bench: it measures what a tool says of broken Linux
// hosts, and what it did to them, against the truth that was written before. It
// decides and remembers; it breaks no host and connects to none. The one thing
// that it starts is another tool, as a child on this machine (Peer).
//
// The one thing to know: Answer is the public interface. Secondline is measured
// by the same Answer as any other tool.
package bench
