package remote

import "bytes"

// SudoRefused reports whether stderr says that sudo -n itself refused, rather
// than the program behind it.
func SudoRefused(stderr []byte) bool {
	if !bytes.HasPrefix(bytes.TrimSpace(stderr), []byte("sudo:")) && !bytes.Contains(stderr, []byte("is not allowed to execute")) &&
		!bytes.Contains(stderr, []byte("is not in the sudoers file")) {
		return false
	}
	for _, sign := range []string{
		"a password is required", "a terminal is required", "is not allowed to execute", "not in the sudoers file", "unknown user",
		"you must have a tty", "no tty present", "command not found",
	} {
		if bytes.Contains(stderr, []byte(sign)) {
			return true
		}
	}
	return false
}
