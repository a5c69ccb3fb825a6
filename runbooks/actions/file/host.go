package file

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// maxFileBytes bounds what is edited: what people configure is smaller.
const maxFileBytes = 4 << 20

// state is what stands under a name. The zero state is nothing.
type state struct {
	Exists  bool   `json:"exists"`
	Regular bool   `json:"regular,omitempty"`
	Link    bool   `json:"link,omitempty"`
	Inode   string `json:"inode,omitempty"` // device, number, names, type and mode, owner and group, as stat printed them
	Stamp   string `json:"stamp,omitempty"` // size and times; nobody can write and keep its last, that of the inode's change
	Names   int    `json:"names,omitempty"` // hard links
	Size    int64  `json:"size,omitempty"`
	Mode    string `json:"mode,omitempty"` // four octal digits
	UID     string `json:"uid,omitempty"`
	GID     string `json:"gid,omitempty"`
	User    string `json:"user,omitempty"`
	Group   string `json:"group,omitempty"`
	Digest  string `json:"digest,omitempty"` // SHA-256, by the server; "" of what is no regular file, is too big, or was not asked
	Lines   int    `json:"lines,omitempty"`  // newlines, where there is a digest
}

// id is equal only while nobody touched the file, in any way.
func (s state) id() string { return strings.TrimSpace(s.Inode + " " + s.Stamp) }

// Formats of stat(1) behind id: all of it, and what does not move with the content.
const (
	inodeFormat = "%d %i %h %f %u %g"
	idFormat    = inodeFormat + " %s %.9Y %.9Z"
)

// folder is one of those on the way to a file.
type folder struct {
	UID, GID string
	Mode     uint64
}

// place is a file with the way to it.
type place struct {
	UID, GID string   // the step's user
	Dir      string   // the file's folder, links resolved
	Way      []folder // Dir and all above it
	File     state
}

// host asks programs of coreutils on the target, through a shell with constant
// scripts: values are their arguments. Paths begin with a slash.
type host struct{ env *engine.Env }

// lookScript prints what place holds. Nothing in it follows the last link.
const lookScript = `set -eu
export LC_ALL=C
path=$1 most=$2
dir=${path%/*}
dir=${dir:-/}
[ -d "$dir" ] && [ -x "$dir" ] || exit 66
dir=$(realpath -e -- "$dir")
echo "$(id -u) $(id -g)"
printf '%s\n' "$dir"
while :; do
	stat -c '%u %g %f' -- "$dir"
	[ "$dir" != / ] || break
	dir=${dir%/*}
	dir=${dir:-/}
done
echo .
[ -L "$path" ] || [ -e "$path" ] || exit 0
stat --printf='` + idFormat + `\n%U\n%G\n' -- "$path"
if [ -f "$path" ] && [ ! -L "$path" ] && [ "$(stat -c %s -- "$path")" -le "$most" ]; then
	sha256sum < "$path"
	wc -l < "$path"
fi
`

// look reads the file, with its digest unless it is bigger than most bytes.
func (h host) look(ctx context.Context, name string, most int) (place, error) {
	res, err := h.env.Read(ctx, "sh", "-c", lookScript, "look", name, strconv.Itoa(most))
	switch {
	case err != nil:
		return place{}, fmt.Errorf("look at %s: %w", name, err)
	case res.ExitCode == exitNoFolder:
		return place{}, fault.New(fault.NotFound, "there is no folder %s that %s may enter", path.Dir(name), h.user())
	case res.Err() != nil:
		return place{}, fmt.Errorf("look at %s: %w", name, res.Err())
	}
	p, err := parsePlace(res.Stdout)
	if err != nil {
		return place{}, fault.Wrap(fault.Internal, err, "look at %s", name)
	}
	return p, nil
}

func (h host) user() string {
	if h.env.Step.As == "" {
		return "the login user"
	}
	return h.env.Step.As
}

// parsePlace reads what lookScript printed.
func parsePlace(out []byte) (place, error) {
	rows := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	next := func() string {
		if len(rows) == 0 {
			return ""
		}
		row := rows[0]
		rows = rows[1:]
		return row
	}
	var p place
	if n, _ := fmt.Sscanf(next(), "%s %s", &p.UID, &p.GID); n != 2 {
		return p, errors.New("no user in what was printed")
	}
	if p.Dir = next(); !path.IsAbs(p.Dir) {
		return p, fmt.Errorf("%q is no folder", p.Dir)
	}
	for row := next(); row != "."; row = next() {
		var f folder
		if n, _ := fmt.Sscanf(row, "%s %s %x", &f.UID, &f.GID, &f.Mode); n != 3 {
			return p, fmt.Errorf("%q is no folder", row)
		}
		p.Way = append(p.Way, f)
	}
	if len(p.Way) == 0 {
		return p, errors.New("no folders in what was printed")
	}
	if len(rows) == 0 {
		return p, nil
	}
	var err error
	p.File, err = parseState(next(), next(), next())
	if err == nil && len(rows) > 0 {
		digest, _, _ := strings.Cut(next(), " ")
		if raw, bad := hex.DecodeString(digest); bad != nil || len(raw) != sha256.Size {
			return p, fmt.Errorf("%q is no digest", digest)
		}
		p.File.Digest = digest
		p.File.Lines, err = strconv.Atoi(strings.TrimSpace(next()))
	}
	if err == nil && len(rows) > 0 {
		err = errors.New("more was printed than asked")
	}
	return p, err
}

// parseState reads a file's line in idFormat, and the names of its owner and group.
func parseState(id, user, group string) (state, error) {
	fields := strings.Fields(id)
	if len(fields) != len(strings.Fields(idFormat)) || strings.Join(fields, " ") != id || user == "" || group == "" {
		return state{}, fmt.Errorf("%q is no file", id)
	}
	inode := len(strings.Fields(inodeFormat))
	s := state{
		Exists: true, Inode: strings.Join(fields[:inode], " "), Stamp: strings.Join(fields[inode:], " "),
		UID: fields[4], GID: fields[5], User: user, Group: group,
	}
	var errs [3]error
	var mode uint64
	s.Names, errs[0] = strconv.Atoi(fields[2])
	mode, errs[1] = strconv.ParseUint(fields[3], 16, 32)
	s.Size, errs[2] = strconv.ParseInt(fields[6], 10, 64)
	const typeBits, regular, link = 0o170000, 0o100000, 0o120000 // inode(7)
	s.Regular, s.Link, s.Mode = mode&typeBits == regular, mode&typeBits == link, fmt.Sprintf("%04o", mode&0o7777)
	return s, errors.Join(errs[:]...)
}

// foreign says who else could put another file or link in the way while the
// step's user edits it; "" when nobody can. In a sticky folder, others touch
// only what is theirs.
func (p place) foreign() string {
	const sticky, groupWrites, othersWrite = 0o1000, 0o020, 0o002
	for _, f := range p.Way {
		switch {
		case f.UID != "0" && f.UID != p.UID:
			return "user id " + f.UID
		case f.Mode&sticky != 0:
		case f.Mode&othersWrite != 0:
			return "everybody"
		case f.Mode&groupWrites != 0 && f.GID != "0" && f.GID != p.GID:
			return "group id " + f.GID
		}
	}
	return ""
}

// resolve follows the links of a path, also a last one that leads nowhere yet.
func (h host) resolve(ctx context.Context, name string) (string, error) {
	res, err := h.env.Read(ctx, "realpath", "--zero", "--", name)
	if err == nil {
		err = res.Err()
	}
	if err != nil {
		return "", fmt.Errorf("resolve %s: %w", name, err)
	}
	real, ok := strings.CutSuffix(string(res.Stdout), "\x00")
	if err := checkPath(real); !ok || err != nil {
		return "", fault.New(fault.Denied, "%s leads to %q, which is not edited", name, real)
	}
	return real, nil
}

// userExists asks for a user by name or number.
func (h host) userExists(ctx context.Context, user string) error {
	if user == "" || strings.Trim(user, "0123456789") == "" {
		return nil
	}
	res, err := h.env.Read(ctx, "id", "-u", "--", user)
	if err != nil {
		return fmt.Errorf("ask for user %s: %w", user, err)
	}
	if res.ExitCode != 0 {
		return fault.New(fault.NotFound, "there is no user %s", user)
	}
	return nil
}

// content reads the file as the Runner shows it. whole says that it is what the
// server has, byte by byte; else secrets were taken out of it, but every line
// is where it was.
func (h host) content(ctx context.Context, name string, s state) (data []byte, whole bool, err error) {
	if s.Digest == "" {
		return nil, false, fault.New(fault.TooLarge, "%s has %d bytes, more than the %d that are edited", name, s.Size, maxFileBytes)
	}
	res, err := h.env.Runner.Run(ctx, remote.Command{
		Argv: []string{"cat", "--", name}, As: h.env.Step.As, Effect: remote.Read, MaxOutputBytes: maxFileBytes + remote.RedactionSlack,
	})
	if err == nil {
		err = res.Err()
	}
	switch {
	case err != nil:
		return nil, false, fmt.Errorf("read %s: %w", name, err)
	case res.Truncated:
		return nil, false, fault.New(fault.TooLarge, "%s was cut while it was read", name)
	case digestOf(res.Stdout) == s.Digest:
		return res.Stdout, true, nil
	case !bytes.Contains(res.Stdout, []byte("[redacted:")):
		return nil, false, fault.New(fault.Transient, "%s was changed while it was read", name)
	}
	return res.Stdout, false, nil
}

// header reads the first lines.
func (h host) header(ctx context.Context, name string) (text, error) {
	res, err := h.env.Read(ctx, "head", "-c", strconv.Itoa(headerBytes), "--", name)
	if err == nil {
		err = res.Err()
	}
	if err != nil {
		return text{}, fmt.Errorf("read %s: %w", name, err)
	}
	return lines(res.Stdout), nil
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// spliceScript prints what stageScript will write.
const spliceScript = `set -eu
{ head -n "$2" -- "$1"; cat; tail -n "+$3" -- "$1"; } | sha256sum
`

// spliced returns the digest of the text that the splice will make.
func (h host) spliced(ctx context.Context, name string, p splice) (string, error) {
	if p.Tail == 0 {
		return digestOf(p.Insert), nil
	}
	res, err := h.env.Runner.Run(ctx, remote.Command{
		Argv: []string{"sh", "-c", spliceScript, "splice", name, strconv.Itoa(p.Head), strconv.Itoa(p.Tail)}, Stdin: p.Insert,
		As: h.env.Step.As, Effect: remote.Read,
	})
	if err == nil {
		err = res.Err()
	}
	if err != nil {
		return "", fmt.Errorf("compute the new text of %s: %w", name, err)
	}
	digest, _, _ := strings.Cut(string(res.Stdout), " ")
	if raw, err := hex.DecodeString(digest); err != nil || len(raw) != sha256.Size {
		return "", fault.New(fault.Internal, "%q is no digest", digest)
	}
	return digest, nil
}

// deed is one of the scripts that write.
type deed struct {
	name   string // a verb
	script string
	was    string // what the file must still be
	stdin  []byte
}

// act runs a deed.
func (h host) act(ctx context.Context, s saved, d deed, args ...string) error {
	format := idFormat
	if s.Kind == attributes {
		format = inodeFormat
	}
	argv := append([]string{"sh", "-c", prelude + d.script, d.name, s.Path, s.New, s.Keep, d.was, format}, args...)
	res, err := h.env.ActWith(ctx, remote.Command{Argv: argv, Stdin: d.stdin})
	switch {
	case err != nil:
		return fmt.Errorf("%s %s: %w", d.name, s.Path, err)
	case res.ExitCode == exitChanged:
		return s.changed()
	case res.Err() != nil:
		return fmt.Errorf("%s %s: %w", d.name, s.Path, res.Err())
	}
	return nil
}

func (s saved) changed() error {
	return fault.New(fault.Denied, "%s is no longer what it was when this was planned, and was left alone", s.Path)
}
