// Package kept says where actions keep, on the host itself, what a step is about
// to change: in a folder that only the step's user may enter, one below it for
// each step. Nothing in it is ever deleted by an action; a host's owner may.
package kept

import (
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// Root returns the folder for a user, by number: root's lies where programs keep
// their state, that of others where everybody may make one.
func Root(uid string) string {
	if uid == "0" {
		return "/var/lib/secondline-backups"
	}
	return "/var/tmp/secondline-backups-" + uid
}

// Name names the folder of one step: by the time of its plan, and by what it is about.
func Name(plannedAt time.Time, what string) string {
	sum := sha256.Sum256([]byte(what))
	return plannedAt.UTC().Format("20060102T150405.000000000") + "-" + hex.EncodeToString(sum[:4])
}

// Script is shell text, for a script with "set -eu" and "umask 077", that makes
// the folder $keep inside its root, and refuses a root that others may enter:
// 41c0 is a directory of mode 0700 (inode(7)).
const Script = `root=${keep%/*}
mkdir -p -- "$root"
if [ "$(stat -c '%u %f' -- "$root")" != "$(id -u) 41c0" ]; then
	printf '%s\n' "$root is not a folder of this user alone" >&2
	exit 1
fi
mkdir -p -- "$keep"
`
