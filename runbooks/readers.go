package runbooks

import (
	"path"
	"slices"
)

// Readers lists the programs that a run step may start with effect read: those
// of coreutils, procps and util-linux that cannot change a server, whatever
// their arguments are. The list is short on purpose. Programs that open what
// they are given are not on it (cat of a device, a pipe or a tape is no
// reading), nor those with one option that writes (sort -o, date -s, ss -K).
func Readers() []string {
	return []string{"df", "free", "id", "ls", "nproc", "ps", "readlink", "realpath", "stat", "uname", "uptime"}
}

// OnlyReads reports whether the command surely changes nothing: its program is
// one of Readers, found in $PATH or where the system keeps it.
func OnlyReads(argv []string) bool {
	if len(argv) == 0 {
		return false
	}
	dir, program := path.Split(argv[0])
	return slices.Contains([]string{"", "/bin/", "/usr/bin/"}, dir) && slices.Contains(Readers(), program)
}
