package plugins

import (
	"context"
	"io/fs"
	"time"
)

// Host is the target as the agent lends it to a probe for the time of one
// Read: commands and file reads, read-only, bounded, and redacted before the
// plugin sees a byte. It is safe for concurrent use. Errors are *HostError, or
// the context's. Paths are absolute.
type Host interface {
	// Target names the server in messages.
	Target() string
	// Run starts the command and waits. A non-zero exit status is a result, not
	// an error.
	Run(ctx context.Context, cmd Command) (Result, error)
	// ReadFile returns at most maxBytes of the file; truncated says that there
	// was more.
	ReadFile(ctx context.Context, path string, maxBytes int) (data []byte, truncated bool, err error)
	// Stat describes the path itself, not what a link points to.
	Stat(ctx context.Context, path string) (FileInfo, error)
	// Statfs describes the file system that holds the path.
	Statfs(ctx context.Context, path string) (FSInfo, error)
	// ReadDir lists the directory, at most limit entries.
	ReadDir(ctx context.Context, path string, limit int) (entries []FileInfo, truncated bool, err error)
}

// Command is one program with its arguments, started without a shell: each
// element of Argv stays one argument, whatever bytes it holds. It must not
// change the server; the agent's gate refuses what is known to.
type Command struct {
	Argv           []string
	Env            map[string]string
	Stdin          []byte
	As             string        // "" for the login user, else by sudo -n -u
	Timeout        time.Duration // 0 means the agent's default
	MaxOutputBytes int           // per stream; 0 means the agent's default
}

// Result is what a command did.
type Result struct {
	Stdout, Stderr []byte
	Truncated      bool
	ExitCode       int    // -1 when a signal ended it
	Signal         string // "KILL", "TERM", ... or ""
	StartedAt      time.Time
	Took           time.Duration
}

// FileInfo is what stat(2) says of a path, the last link not followed.
type FileInfo struct {
	Name       string
	Size       int64
	Blocks     int64 // of 512 bytes
	Mode       fs.FileMode
	UID, GID   uint32
	Dev        uint64
	Inode      uint64
	Links      uint64
	ModifiedAt time.Time
	LinkTarget string
}

// FSInfo is what statfs(2) says of a file system, in bytes and inodes.
type FSInfo struct {
	Total, Free, Available uint64
	Inodes, InodesFree     uint64
}

// Class says how reaching the target, or reading there, failed.
type Class string

// The classes that a probe may want to tell apart. An agent may send others;
// they read as a failure.
const (
	ClassNotExist     Class = "not_exist"     // the file or program is not there
	ClassNotPermitted Class = "not_permitted" // the agent may not look there
	ClassTimedOut     Class = "timed_out"     // no answer in time
)

// HostError is a classified failure of a Host call.
type HostError struct {
	Class   Class
	Message string
}

// Error implements error.
func (e *HostError) Error() string { return e.Message }
