package remote

import (
	"fmt"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/internal/fault"
)

const (
	// MaxCommandBytes bounds argv and environment together. Linux refuses a
	// single argument of more than 128 KiB (MAX_ARG_STRLEN, execve(2)), and over
	// SSH the whole quoted command line is one argument. More goes by Stdin.
	MaxCommandBytes = 96 << 10
	// MaxStdinBytes bounds what a command is given to read.
	MaxStdinBytes = 16 << 20
	// MaxDirEntries bounds a directory listing.
	MaxDirEntries = 10_000
	// DefaultDirEntries is used when a caller of ReadDir names no limit.
	DefaultDirEntries = 1000
	// RedactionSlack is how much more than asked for a Server takes from its
	// transport, so that a secret at the cut is seen whole and redacted.
	RedactionSlack = 64 << 10
	// KillGrace is the time between TERM and KILL for a process tree that ran
	// too long.
	KillGrace = 5 * time.Second

	maxPathBytes = 4096 // PATH_MAX
)

// WithDefaults returns the command with zero values replaced by the defaults
// and the limits of this package enforced.
func (c Command) WithDefaults() Command {
	if c.Effect == "" {
		c.Effect = Write
	}
	if c.Timeout <= 0 {
		c.Timeout = DefaultTimeout
	}
	c.Timeout = min(c.Timeout, MaxTimeout)
	if c.MaxOutputBytes <= 0 {
		c.MaxOutputBytes = DefaultMaxOutputBytes
	}
	c.MaxOutputBytes = min(c.MaxOutputBytes, MaxOutputBytes+RedactionSlack)
	return c
}

// Validate returns an error of class InvalidCall for a command that no
// transport may be given.
func (c Command) Validate() error {
	if len(c.Argv) == 0 || c.Argv[0] == "" {
		return invalid("run", "the command is empty")
	}
	doing := "run " + c.Argv[0]
	// A program called "-x" or "a=b" would be an option of exec or a variable of env(1).
	if strings.HasPrefix(c.Argv[0], "-") || strings.Contains(c.Argv[0], "=") {
		return invalid(doing, "a program's name neither begins with - nor contains =")
	}
	size := 0
	for _, arg := range c.Argv {
		size += len(arg) + 1
		if strings.IndexByte(arg, 0) >= 0 {
			return invalid(doing, "an argument contains a NUL byte")
		}
	}
	for name, val := range c.Env {
		size += len(name) + len(val) + 2
		if !isEnvName(name) {
			return invalid(doing, "environment variable name %q does not match [A-Za-z_][A-Za-z0-9_]*", name)
		}
		if strings.IndexByte(val, 0) >= 0 {
			return invalid(doing, "environment variable %s contains a NUL byte", name)
		}
	}
	secrets, err := c.checkSecrets(doing)
	size += secrets
	switch {
	case err != nil:
		return err
	case size > MaxCommandBytes:
		return invalid(doing, "arguments and environment have %d bytes, the limit is %d; pass data on standard input", size, MaxCommandBytes)
	case len(c.Stdin) > MaxStdinBytes:
		return invalid(doing, "standard input has %d bytes, the limit is %d", len(c.Stdin), MaxStdinBytes)
	case c.As != "" && !isUserName(c.As):
		return invalid(doing, "user name %q is malformed", c.As)
	case c.Effect != "" && c.Effect != Read && c.Effect != Write:
		return invalid(doing, "effect %q is neither read nor write", c.Effect)
	case c.Timeout < 0 || c.Timeout > MaxTimeout:
		return invalid(doing, "time-out %s is not within 0 and %s", c.Timeout, MaxTimeout)
	}
	return nil
}

func isEnvName(name string) bool {
	for i, r := range name {
		switch {
		case r == '_', 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', i > 0 && '0' <= r && r <= '9':
		default:
			return false
		}
	}
	return name != ""
}

// isUserName follows NAME_REGEX of adduser(8), with capitals and dots for
// directory services. A leading - would be an option of sudo, # a numeric id.
func isUserName(name string) bool {
	for i, r := range name {
		switch {
		case r == '_', 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z':
		case i > 0 && ('0' <= r && r <= '9' || r == '-' || r == '.' || r == '$' || r == '@'):
		default:
			return false
		}
	}
	return name != "" && len(name) <= 64
}

// ValidatePath returns an error of class InvalidCall for a path that is not
// absolute, too long, or contains a NUL byte.
func ValidatePath(doing, name string) error {
	switch {
	case !path.IsAbs(name):
		return invalid(doing, "the path %q is not absolute", name)
	case len(name) > maxPathBytes:
		return invalid(doing, "the path has more than %d bytes", maxPathBytes)
	case strings.IndexByte(name, 0) >= 0:
		return invalid(doing, "the path contains a NUL byte")
	}
	return nil
}

func invalid(doing, format string, args ...any) error {
	return &Error{Class: InvalidCall, Doing: doing, Err: fault.New(fault.Invalid, format, args...)}
}

// DirLimit returns the number of entries that ReadDir lists when asked for maxEntries.
func DirLimit(maxEntries int) int {
	if maxEntries <= 0 {
		return DefaultDirEntries
	}
	return min(maxEntries, MaxDirEntries)
}

// SudoHint says which sudoers rule lets login run argv as user in the form of
// Command.Launch, and nothing else: in sudoers(5) a plain * also matches blanks, and so
// any other program; a regular expression (sudo 1.9.10 and later) does not.
func SudoHint(login, user string, argv []string) string {
	return fmt.Sprintf("allow it on the server with a sudoers rule: %s ALL=(%s) NOPASSWD: /usr/bin/timeout ^-k 5s [0-9]+s %s$",
		login, user, regexp.QuoteMeta(strings.Join(argv, " ")))
}
