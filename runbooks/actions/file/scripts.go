package file

import "github.com/secondline-ops/secondline/runbooks/actions/internal/kept"

// Exit statuses of the scripts, from those that no program of theirs has
// (sysexits.h).
const (
	exitNoFolder = 66
	exitChanged  = 75
)

// prelude begins every script that writes. Nothing is ever deleted: what stands
// in the way is moved to the folder in which the step keeps what was before.
const prelude = `set -eu
export LC_ALL=C
umask 077
path=$1 new=$2 keep=$3 was=$4 format=$5
shift 5
fail() { printf '%s\n' "$1" >&2; exit 1; }
same() { [ "$(stat -c "$format" -- "$path" 2>/dev/null || :)" = "$was" ] || exit 75; }
digest() { sha256sum < "$1" | cut -c 1-64; }
label() { stat -c %C -- "$1" 2>/dev/null || :; }
aside() { { [ ! -e "$1" ] && [ ! -L "$1" ]; } || mv -f -T -- "$1" "$keep/$2"; }
settle() { sync -- "${path%/*}/"; }
`

// keepScript makes the folder of this step, private to its user, and copies
// what is there with all its attributes. The folder comes before anything can
// go wrong: undo tells by it how far the step came.
const keepScript = `before=$1 attributes=$2
` + kept.Script + `same
if [ -n "$was" ]; then
	cp --remove-destination $attributes --preserve=all,xattr --no-dereference -T -- "$path" "$keep/before"
	[ -n "$attributes" ] || [ "$(digest "$keep/before")" = "$before" ] || exit 75
	sync -- "$keep/before"
fi
sync -- "$keep" "$root"
shift 2
`

// stageScript writes the new file beside the old one. A file of the same name
// is what a crash has left. The content comes first: writing would take
// attributes away again.
const stageScript = keepScript + `head=$1 tail=$2 after=$3 mode=$4 owner=$5
aside "$new" stale
trap 'status=$?; [ "$status" = 0 ] || aside "$new" failed || :; exit "$status"' EXIT
set -C
{
	[ "$head" = 0 ] || head -n "$head" -- "$path"
	cat
	[ "$tail" = 0 ] || tail -n "+$tail" -- "$path"
} > "$new"
set +C
if [ -n "$was" ]; then
	cp --attributes-only --preserve=all,xattr -T -- "$path" "$new"
	[ "$(label "$path")" = "$(label "$new")" ] || fail "the security label of $path cannot be kept"
	touch -- "$new"
fi
[ -z "$owner" ] || chown -- "$owner" "$new"
[ -z "$mode" ] || chmod -- "$mode" "$new"
sync -- "$new"
[ "$(digest "$new")" = "$after" ] || fail "$new is not what was planned"
`

// commitScript puts the new file in the place of the old one. From the file
// "begun" on, undo has something to take back.
const commitScript = `after=$1
[ "$(digest "$new")" = "$after" ] || fail "$new was changed while it was checked"
same
: > "$keep/begun"
sync -- "$keep/begun" "$keep"
if [ -n "$was" ]; then
	mv -f -T -- "$new" "$path"
else
	mv -n -T -- "$new" "$path"
	[ ! -e "$new" ] || exit 75
fi
settle
`

// discardScript takes away a new file that was not to be.
const discardScript = `aside "$new" rejected
`

// removeScript moves the file away. What was not planned goes back.
const removeScript = keepScript + `same
: > "$keep/begun"
sync -- "$keep/begun" "$keep"
mv -f -T -- "$path" "$keep/removed"
if [ "$(digest "$keep/removed")" != "$before" ]; then
	mv -n -T -- "$keep/removed" "$path"
	exit 75
fi
settle
`

// attributesScript changes mode and owner in place.
const attributesScript = keepScript + `mode=$1 owner=$2
same
: > "$keep/begun"
sync -- "$keep/begun" "$keep"
[ -z "$owner" ] || chown -- "$owner" "$path"
chmod -- "$mode" "$path"
sync -- "$path" || :
`

// untouchedScript says whether the step was kept from beginning: then what is
// there now is not its doing.
const untouchedScript = `[ -d "$1" ] && [ ! -e "$1/begun" ]`

// restoreScript takes a step back. What it finds must still be the step's own
// work, else somebody has changed it since.
const restoreScript = `kind=$1 before=$2 after=$3
[ -e "$keep/begun" ] || fail "what was kept in $keep is gone"
same
case $kind in
create)
	[ "$(digest "$path")" = "$after" ] || exit 75
	mv -f -T -- "$path" "$keep/undone"
	;;
attributes)
	cp --attributes-only --preserve=mode,ownership,xattr -T -- "$keep/before" "$path"
	;;
*)
	[ "$(digest "$keep/before")" = "$before" ] || fail "what was kept in $keep has changed"
	[ -z "$was" ] || [ "$(digest "$path")" = "$after" ] || exit 75
	aside "$new" stale
	cp --preserve=all,xattr -T -- "$keep/before" "$new"
	sync -- "$new"
	same
	if [ -n "$was" ]; then
		mv -f -T -- "$new" "$path"
	else
		mv -n -T -- "$new" "$path"
		[ ! -e "$new" ] || exit 75
	fi
	;;
esac
settle
`
