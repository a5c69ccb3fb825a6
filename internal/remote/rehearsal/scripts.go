package rehearsal

// The scripts are constants, and everything that differs is an argument: Gate
// knows a command of a rehearsal by its script.
//
// How a rehearsal is built. A mount namespace of its own has as its root a
// read-only overlay over the host's file systems as they are (the pristine
// tree), and the host's own mounts are gone from it. In /run lies a tmpfs, with
// the upper sides of the second tree, /run/s, the same overlay for writing. Only
// in this second tree, with namespaces, capabilities and privileges taken away,
// is a step carried out. All programs that need root's power are those of the
// pristine tree, which no step can have changed; and whoever breaks out of
// /run/s by chroot(2) is in the pristine tree, and nowhere else. The namespace
// lives as long as a process in it does: a sleep(1). With its last process,
// everything of it is gone.

// Exit statuses of the scripts, which no program of theirs has, and what they say then.
const (
	exitMissing = 66
	exitOver    = 67
	saysOver    = "secondline: this rehearsal is over"
)

// openScript builds the namespace that it is started in. Its arguments are the
// token, the size of the tmpfs, how long the sleep keeps it, and for each file
// system a word (overlay, absent), its flags (- for none), and its place. The
// first is the root.
const openScript = `set -eu
export LC_ALL=C
umask 022
token=$1 size=$2 life=$3
shift 3
for program in mount umount pivot_root unshare nsenter setpriv setsid chroot stat find diff cmp id mknod tar grep; do
	command -v "$program" >/dev/null 2>&1 || { printf '%s\n' "$program" >&2; exit 66; }
done
mount -t tmpfs -o "size=$size,nr_inodes=100k,mode=0755,nosuid,nodev" secondline-rehearsal /run
mkdir /run/empty /run/t /run/s /run/up /run/work /run/own /run/own/lock /run/dev /run/shm /run/old /run/seen
chmod 1777 /run/shm /run/own/lock
(umask 077; printf %s "$token" > /run/token)
n=0
while [ $# -gt 0 ]; do
	kind=$1 flags=$2 point=$3
	shift 3
	[ "$flags" != - ] || flags=rw
	at=${point%/}
	if [ "$kind" = absent ]; then
		[ ! -d "/run/s$at" ] || mount -t tmpfs -o ro,nosuid,nodev,size=4k,mode=0755 absent "/run/s$at"
	elif [ -d "$point" ]; then
		mkdir "/run/up/$n" "/run/work/$n"
		chmod "$(stat -c %a -- "$point")" "/run/up/$n"
		chown "$(stat -c %u:%g -- "$point")" "/run/up/$n"
		touch -r "$point" "/run/up/$n"
		mount -t overlay -o "ro,nosuid,nodev,lowerdir=$point:/run/empty" pristine "/run/t$at"
		mount -t overlay -o "$flags,nosuid,nodev,index=off,metacopy=off,redirect_dir=off,lowerdir=$point,upperdir=/run/up/$n,workdir=/run/work/$n" rehearsal "/run/s$at"
		printf '%s' "$point" > "/run/up/$n.point"
		n=$((n + 1))
	elif [ -f "$point" ]; then
		for tree in t s; do
			mount --bind "$point" "/run/$tree$at"
			mount -o remount,bind,ro,nosuid,nodev "/run/$tree$at"
		done
	fi
done
mount -t tmpfs -o size=64k,mode=0755,nosuid,noexec dev /run/dev
for node in null:3 zero:5 full:7 random:8 urandom:9; do
	mknod -m 666 "/run/dev/${node%:*}" c 1 "${node#*:}"
done
mknod -m 666 /run/dev/tty c 5 0
mkdir /run/dev/shm
for link in fd:fd stdin:fd/0 stdout:fd/1 stderr:fd/2; do
	ln -s "/proc/self/${link#*:}" "/run/dev/${link%:*}"
done
mount -o remount,ro /run/dev
mount --bind /run/shm /run/dev/shm
mount --rbind /run/dev /run/t/dev
mount --rbind /run/dev /run/s/dev
mount --bind /run/own /run/s/run
mount --bind /run /run/t/run
mount --move /run/s /run/t/run/s
mount -t proc proc /run/t/proc
cd /run/t
pivot_root . run/old
cd /
umount -l /run/old
umount /proc
setsid sleep "$life" </dev/null >/dev/null 2>&1 &
printf 'holder %s\n' "$!"
`

// prelude begins what is carried out in the namespace: it must be the right one,
// since a number of a process may be given anew. Before that nothing is changed.
const prelude = `set -eu
export LC_ALL=C
[ "$(cat /run/token 2>/dev/null)" = "$1" ] || { echo '` + saysOver + `' >&2; exit 67; }
shift
`

// enterScript carries a command out in the tree for writing, in namespaces of
// its own. Its arguments, behind the token, are user:group, the groups, the
// folder to be in, and the command.
const enterScript = prelude + `exec unshare --mount --propagation private --pid --fork --kill-child --net --ipc --uts -- sh -c '` + insideScript + `' inside "$@"
`

// insideScript is the first process of the new namespaces. When it ends, the
// kernel ends all others in them, so that no step leaves a process behind. The
// session of its own takes the terminal away, into which could be typed.
// Capabilities are those that changing files needs; a new one of a later kernel
// is not among them.
const insideScript = `set -eu
who=$1 groups=$2 cwd=$3
shift 3
mount -t proc -o ro,nosuid,nodev,noexec proc /proc
mount --bind /proc /run/s/proc
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs /run/s/sys
exec 3<&0
trap "exit 143" TERM
setsid setpriv --bounding-set=-all,+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap,+net_bind_service,+sys_chroot,+setfcap --inh-caps=-all --no-new-privs -- chroot --userspec="$who" --groups="$groups" /run/s sh -c "cd -- \"\$0\" 2>/dev/null || :; exec \"\$@\"" "$cwd" "$@" <&3 3<&- &
wait "$!"
`

// listScript prints what the upper sides hold: for each file system its place
// behind an "=", then its entries.
const listScript = prelude + `cd /run/up
for point in *.point; do
	printf '=%s\0' "$(cat "$point")"
	find "${point%.point}" -printf '%y %P\0'
done
printf '=/run\0'
find /run/own -printf '%y %P\0'
`

// entriesScript prints what lies in folders of a tree, which is its first
// argument behind the token.
const entriesScript = prelude + `tree=$1 status=0
shift
for folder; do
	[ ! -d "$tree$folder" ] || find "$tree$folder" -mindepth 1 -maxdepth 1 -printf '%y %m %U %G %s %i %C@ \0%p\0%l\0' || status=$?
done
exit "$status"
`

// opaqueScript prints which of the folders hide what was in them before: they were
// removed and made again. Overlays mark them by an attribute (overlayfs.rst,
// "whiteouts and opaque directories"), and of the programs that are on every server
// tar is the one that reads it.
const opaqueScript = prelude + `cd /run/up
for folder; do
	for point in *.point; do
		top=$(cat "$point")
		upper=./${point%.point}/${folder#"${top%/}/"}
		if [ -d "$upper" ] && tar --xattrs --xattrs-include=trusted.overlay.opaque --no-recursion -cf - -- "$upper" 2>/dev/null | grep -q trusted.overlay.opaque; then
			printf '%s\0' "$folder"
		fi
	done
done
`

// compareScript compares a file of the tree for writing with what it was when it
// was compared last, or else in the pristine tree: exit status 0 says that they
// are the same. Of small files it prints the difference, and keeps a copy. Its
// arguments are the path, and how many bytes are small and shown.
const compareScript = prelude + `path=$1 small=$2 shown=$3
old=$path new=/run/s$path
case $path in /run/*) old=/dev/null new=/run/own${path#/run} ;; esac
[ ! -f "/run/seen$path" ] || old=/run/seen$path
[ -f "$old" ] || old=/dev/null
status=0
cmp -s -- "$old" "$new" || status=1
if [ "$status" = 1 ] && [ "$(stat -c %s -- "$old")" -le "$small" ] && [ "$(stat -c %s -- "$new")" -le "$small" ]; then
	diff -u --label "$path" --label "$path" -- "$old" "$new" | head -c "$shown" || :
	mkdir -p -- "/run/seen${path%/*}"
	cp -- "$new" "/run/seen$path"
fi
exit "$status"
`

// closeScript ends the process that keeps the namespace, if it is still that
// one. Its arguments are the token and the process.
const closeScript = `[ "$(nsenter --target "$2" --mount cat /run/token 2>/dev/null)" = "$1" ] || exit 0
kill -s KILL "$2"
`
