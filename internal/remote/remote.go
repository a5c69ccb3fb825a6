// Package remote is the one path to a server, local or over SSH: run a
// command, read a file, look at a directory. Everything that leaves it was
// gated, bounded, redacted and audited, in that order; nothing else in the
// project starts a process on, or reads from, a managed server.
//
// Transports (remote/local, remote/ssh) only move bytes. They become usable
// through Open, which puts the gate, the limits, the redactor and the audit in
// front of them. remote/remotetest has a scripted transport for tests: what was
// not scripted fails.
package remote

import (
	"context"
	"io/fs"
	"time"
)

// Limits that hold for every command and file read unless the caller asks for
// less. A managed host is hostile input: nothing it sends is unbounded.
const (
	DefaultTimeout        = 30 * time.Second
	MaxTimeout            = time.Hour // and so that of a step, runbooks.MaxStepTimeout
	DefaultMaxOutputBytes = 1 << 20   // per stream
	MaxOutputBytes        = 16 << 20
)

// Effect says whether a command may change the server. Reads include
// everything a probe does; the gate of a read-only session refuses the rest.
type Effect string

// The effects of a command.
const (
	Read  Effect = "read"
	Write Effect = "write"
)

// Command is one program with its arguments, started without a shell: each
// element of Argv stays one argument, whatever bytes it holds.
type Command struct {
	Argv           []string
	Env            map[string]string // added to the login environment; names match [A-Za-z_][A-Za-z0-9_]*
	Secrets        []Secret          // what nobody but the program may see; Env and Argv stand in process lists
	Stdin          []byte
	As             string        // "" or the login user: no change; else by sudo -n -u
	Effect         Effect        // zero value means Write, the careful reading
	Timeout        time.Duration // 0 means DefaultTimeout; the remote process group is killed after it
	MaxOutputBytes int           // per stream; 0 means DefaultMaxOutputBytes
	Watch          *Watch        // shows the output while the command runs; may be nil
}

// Result is what a command did. A non-zero exit status is a result, not an
// error: only the caller knows what it means.
type Result struct {
	Stdout, Stderr []byte // redacted, then bounded
	Truncated      bool   // either stream was longer than the limit
	ExitCode       int    // -1 when a signal ended it
	Signal         string // "KILL", "TERM", ... or ""
	StartedAt      time.Time
	Took           time.Duration
}

// Err returns nil for exit status 0, and else an *Error of class ExitStatus or
// Signalled that carries the result.
func (r Result) Err() error {
	switch {
	case r.Signal != "":
		return &Error{Class: Signalled, Result: &r}
	case r.ExitCode != 0:
		return &Error{Class: ExitStatus, Result: &r}
	}
	return nil
}

// FileInfo is what stat(2) says of a path, the last link not followed.
type FileInfo struct {
	Name       string      `json:"name"`
	Size       int64       `json:"size"`
	Blocks     int64       `json:"blocks"` // of 512 bytes, as stat(2)
	Mode       fs.FileMode `json:"mode"`
	UID        uint32      `json:"uid"`
	GID        uint32      `json:"gid"`
	Dev        uint64      `json:"dev"`
	Inode      uint64      `json:"inode"`
	Links      uint64      `json:"links"`
	ModifiedAt time.Time   `json:"modified_at"`
	LinkTarget string      `json:"link_target,omitempty"`
}

// FSInfo is what statfs(2) says of the file system that holds a path. Bytes
// and inodes; Free counts the blocks reserved for root, Available does not.
type FSInfo struct {
	Total, Free, Available uint64
	Inodes, InodesFree     uint64
}

// Runner reaches one server. Implementations are safe for concurrent use and
// return errors that are *Error, or the context's. Paths are absolute.
type Runner interface {
	// Target names the server in errors, events and reports.
	Target() string
	// Run starts the command and waits. A time-out, a lost connection or a
	// cancelled context after the start is an error of a class for which
	// Class.MayHaveRun is true.
	Run(ctx context.Context, cmd Command) (Result, error)
	// ReadFile returns at most maxBytes of the file, redacted; truncated says that there was more.
	ReadFile(ctx context.Context, path string, maxBytes int) (data []byte, truncated bool, err error)
	// Stat describes the path itself, not what a link points to.
	Stat(ctx context.Context, path string) (FileInfo, error)
	// Statfs describes the file system that holds the path.
	Statfs(ctx context.Context, path string) (FSInfo, error)
	// ReadDir lists the directory, without "." and "..", at most max entries.
	ReadDir(ctx context.Context, path string, max int) (entries []FileInfo, truncated bool, err error)
}

// Transport moves bytes to and from one server. Its duties: run the argv
// without a shell seeing it, kill the whole process tree on time-out or
// cancellation, bound each stream while reading, classify every failure as
// *Error, be safe for concurrent use. It does not gate, redact or audit.
type Transport interface {
	Runner
	// Close ends all connections; it may be called twice.
	Close() error
}

// Gate decides, from the final command, whether it may be started. File reads
// are shown as the equivalent command (argv "read-file", path). An error
// refuses; it should be a fault of kind Denied.
type Gate interface {
	Allow(ctx context.Context, target string, cmd Command) error
}

// Redactor removes secrets from bytes that are about to leave the Runner.
type Redactor interface {
	Redact(text []byte) []byte
}

// Record is one line of the audit: who was asked to do what, and how it ended.
type Record struct {
	At        time.Time
	Target    string
	Argv      []string // redacted
	As        string
	Effect    Effect
	Took      time.Duration
	ExitCode  int
	Class     Class // "" when it ran to an exit status of 0
	OutBytes  int
	Truncated bool
}

// Audit receives one record for each thing asked of a server, refused ones
// included. It must not block.
type Audit interface {
	Record(ctx context.Context, r Record)
}
