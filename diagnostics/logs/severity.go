package logs

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
)

// Severity is how much a line by itself looks like a fault. Its number is the
// weight of the line's template in a score.
type Severity int

// The severities, least first.
const (
	Plain Severity = 1 // says nothing of a fault
	Error Severity = 2 // has a word with which programs complain
	Fault Severity = 3 // names an errno, an exit status or a signal, or is an Error of the kernel
)

// String returns the severity as a word.
func (s Severity) String() string {
	switch s {
	case Plain:
		return "plain"
	case Error:
		return "error"
	case Fault:
		return "fault"
	}
	return "severity " + strconv.Itoa(int(s))
}

// kernelUnit is what lines of the kernel have in place of a unit (the
// identifier of journald and syslog for them).
const kernelUnit = "kernel"

// severityIn weighs a masked line of a unit. What the kernel says is one
// severity above its words: most of what it logs at all is trouble.
func severityIn(unit, masked string) Severity {
	text, kernel := strings.CutPrefix(masked, kernelUnit+":")
	s := severityOf(text)
	if (kernel || unit == kernelUnit) && s < Fault {
		s++
	}
	return s
}

func severityOf(masked string) Severity {
	if namesErrno(masked) || endedBadly(masked) {
		return Fault
	}
	for token := range strings.FieldsSeq(masked) {
		if complains([]byte(token)) {
			return Error
		}
	}
	return Plain
}

// complains says whether a word of token is one with which programs complain.
func complains(token []byte) bool {
	for i := 0; i < len(token); {
		n := letters(token[i:])
		if n == 0 {
			i++
			continue
		}
		if isComplaint(token[i : i+n]) {
			return true
		}
		i += n
		if token[i-1]|0x20 == 'n' && i+1 < len(token) && token[i] == '\'' && token[i+1] == 't' {
			return true // can't, couldn't, didn't
		}
	}
	return false
}

func letters(s []byte) int {
	n := 0
	for n < len(s) && isLetter(s[n]) {
		n++
	}
	return n
}

// maxComplaint is the length of the longest complaint, "unsuccessfully".
const maxComplaint = 16

func isComplaint(word []byte) bool {
	if len(word) < 3 {
		return false
	}
	// The last part of FileNotFoundException and OutOfMemoryError.
	if bytes.HasSuffix(word, []byte("Exception")) || bytes.HasSuffix(word, []byte("Error")) {
		return true
	}
	if len(word) > maxComplaint {
		return false
	}
	var lower [maxComplaint]byte
	for i, c := range word {
		lower[i] = c | 0x20
	}
	switch string(lower[:len(word)]) {
	case "error", "errors", "err", "fail", "fails", "failed", "failing", "failure", "failures", "fatal", "critical", "crit", "panic", "panicked",
		"emerg", "emergency", "alert", "abort", "aborted", "aborting", "warn", "warning", "warnings", "exception", "traceback", "backtrace",
		"segfault", "oops", "bug", "fault", "killed", "kill", "oom", "dumped", "crash", "crashed", "died", "dead", "hung", "stuck", "stalled",
		"denied", "refused", "reset", "rejected", "forbidden", "unauthorized", "unauthenticated", "prohibited", "blocked", "dropped", "dropping",
		"cannot", "unable", "couldnt", "invalid", "illegal", "malformed", "corrupt", "corrupted", "corruption", "bad", "broken", "damaged",
		"unexpected", "unreachable", "unavailable", "unresponsive", "unrecoverable", "unsuccessful", "unsuccessfully", "unhealthy", "degraded",
		"timeout", "timeouts", "timedout", "exceeded", "exhausted", "overflow", "overrun", "underrun", "deadlock", "missing", "lost", "expired",
		"mismatch", "violation", "conflict", "full", "down", "offline", "readonly":
		return true
	}
	return false
}

// namesErrno looks for the name of an errno, or for its text as strerror(3) of
// glibc has it.
func namesErrno(masked string) bool {
	for field := range strings.FieldsFuncSeq(masked, func(r rune) bool { return r < 'A' || r > 'Z' }) {
		switch field {
		case "EPERM", "ENOENT", "EIO", "ENXIO", "EBADF", "ECHILD", "EAGAIN", "ENOMEM", "EACCES", "EFAULT", "EBUSY", "EEXIST", "ENODEV", "ENOTDIR",
			"EISDIR", "EINVAL", "ENFILE", "EMFILE", "ETXTBSY", "EFBIG", "ENOSPC", "EROFS", "EMLINK", "EPIPE", "EDEADLK", "ENAMETOOLONG",
			"ELOOP", "EOVERFLOW", "ENOTSUP", "EADDRINUSE", "EADDRNOTAVAIL", "ENETDOWN", "ENETUNREACH", "ECONNABORTED", "ECONNRESET",
			"ENOBUFS", "ETIMEDOUT", "ECONNREFUSED", "EHOSTDOWN", "EHOSTUNREACH", "EALREADY", "ESTALE", "EDQUOT", "ENOTCONN":
			return true
		}
	}
	lower := strings.ToLower(masked)
	for _, text := range [...]string{
		"operation not permitted", "no such file or directory", "no such process", "input/output error", "i/o error", "no such device",
		"exec format error", "bad file descriptor", "resource temporarily unavailable", "cannot allocate memory", "permission denied",
		"device or resource busy", "file exists", "not a directory", "is a directory", "invalid argument", "too many open files",
		"file too large", "no space left on device", "read-only file system", "too many links", "broken pipe", "file name too long",
		"too many levels of symbolic links", "address already in use", "cannot assign requested address", "network is down",
		"network is unreachable", "connection aborted", "connection reset by peer", "no buffer space available", "connection timed out",
		"connection refused", "host is down", "no route to host", "stale file handle", "disk quota exceeded", "endpoint is not connected",
		"out of memory",
	} {
		if strings.Contains(lower, text) {
			return true
		}
	}
	return false
}

// endedBadly looks for an exit status or a signal that is no good end.
func endedBadly(masked string) bool {
	var before []byte
	for token := range bytes.FieldsSeq([]byte(masked)) {
		if isStatus(before, token) {
			name, value := status(before, token)
			number, end, named := bytes.Cut(bytes.TrimRight(value, ".:-!?"), []byte("/"))
			n, err := strconv.Atoi(string(number))
			if err == nil && (named && isBadName(string(end)) || !named && isBadEnd(string(name), n)) {
				return true
			}
		}
		before = token
	}
	return false
}

// isStatus says whether token is or has an exit status, a signal or an errno.
func isStatus(before, token []byte) bool {
	if !slices.ContainsFunc(token, isDigit) {
		return false
	}
	name, value := status(before, token)
	return namesStatus(string(name)) && len(value) > 0 && statusLength(string(value)) > 0
}

// status takes "status=203/EXEC" apart, or "status" and "203".
func status(before, token []byte) (name, value []byte) {
	const around = "()[]{},;'\""
	name, value, found := bytes.Cut(token, []byte("="))
	if !found {
		name, value = before, token
	}
	return bytes.Trim(name, around), bytes.Trim(value, around)
}

// isBadEnd knows what is not one: the status 0, an HTTP status of success or
// redirection, and signals that ask a program to stop or to read its
// configuration.
func isBadEnd(name string, n int) bool {
	if strings.EqualFold(name, "signal") {
		return n == 4 || n >= 6 && n <= 9 || n == 11 // ILL, ABRT, BUS, FPE, KILL, SEGV of signal(7)
	}
	return n != 0 && (n < 200 || n >= 400)
}

// isBadName is isBadEnd for what systemd calls an end: 203/EXEC, 15/TERM.
func isBadName(end string) bool {
	switch end {
	case "SUCCESS", "HUP", "INT", "TERM", "PIPE": // SuccessExitStatus= of systemd.service(5)
		return false
	}
	return true
}
