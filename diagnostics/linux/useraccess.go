package linux

import (
	"context"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/remote"
)

const (
	rawGroups     = "groups"
	rawUID        = "uid"
	maxDenied     = 4  // paths that are looked at
	maxComponents = 12 // of each
	deniedReach   = time.Hour
)

// ownPlaces are where a service keeps what is its own, by its user's name: a
// file that fell to root gets the owner of one of these.
func ownPlaces(user string) []string {
	return []string{"/var/log/" + user, "/var/lib/" + user, "/var/cache/" + user, "/var/spool/" + user}
}

func unitAccess() probe {
	reader := newComplaintReader()
	return probe{
		spec: diagnostics.Spec{
			Name:  "unit.access",
			Title: "Files that a unit was denied, against the user it runs as",
			Doc: "The last 100 lines of the unit's journal with \"Permission denied\" (EACCES) and a path, at most an hour old; User= of the unit, id(1), and lstat(2) of " +
				"each part of the path, at most 4 paths: what the permission bits let that user do (path_resolution(7)). Access control lists and capabilities are not looked at.",
			Inputs: unitInput(),
			Outputs: []expr.Field{
				str("user", "as which it runs; root when it is not said"),
				integer("uid", "its number"),
				list("denied", "paths of the messages, newest first",
					str("path", "of the message"),
					str("message", "the newest line about it"),
					integer("age_seconds", "of that line"),
					boolean("exists", "the whole path is there"),
					str("blocked", "the part of it that keeps the user out now, or the path itself when its user may not both read and write it; \"\" when nothing does"),
					str("why", "not searchable, not readable, not writable; \"\" when nothing keeps the user out"),
					integer("owner", "uid of blocked, or of the path"),
					str("mode", "of that: 0640"),
					str("like", "a directory that belongs to the user, as the path's own would; \"\" when none was found")),
			},
			CostSeconds: 0.3,
		},
		read: func(ctx context.Context, rec *diagnostics.Recorder, args diagnostics.Args) error {
			unit, err := unitName(args[argUnit])
			if err != nil {
				return err
			}
			rec.Run(ctx, rawShow, command("systemctl", "show", "--no-pager", "-p", "User,Group,SupplementaryGroups", "--", unit))
			rec.Run(ctx, rawJournal, command("sh", "-c", journalScript, "sh", "-b", "--no-pager", "-o", "json", "-n", "100", "--since=-1h",
				"--output-fields=MESSAGE,PRIORITY,_PID", "--unit="+unit))
			in := readings{raws: rec.Raws()}
			user, err := in.unitUser()
			if err != nil {
				return nil //nolint:nilerr // Parse says so
			}
			denied, err := in.deniedPaths(reader)
			if err != nil || len(denied) == 0 {
				return nil //nolint:nilerr // Parse says so
			}
			rec.Run(ctx, rawUID, command("id", "-u", "--", user))
			rec.Run(ctx, rawGroups, command("id", "-G", "--", user))
			seen := map[string]bool{}
			look := func(p string) {
				if !seen[p] {
					seen[p] = true
					rec.Stat(ctx, "stat "+p, p)
				}
			}
			for _, d := range denied {
				for _, p := range components(d.file) {
					look(p)
				}
			}
			for _, p := range ownPlaces(user) {
				look(p)
			}
			return nil
		},
		parse: func(in readings) (diagnostics.Value, error) { return parseUnitAccess(in, reader) },
	}
}

// unitUser is the user of the unit.
func (in readings) unitUser() (string, error) {
	data, err := in.output(rawShow)
	if err != nil {
		return "", err
	}
	blocks := properties(data)
	if len(blocks) != 1 {
		return "", cannotTell(diagnostics.Failed, "show: %d units in place of one", len(blocks))
	}
	user, said := blocks[0]["User"]
	switch {
	case !said:
		return "", cannotTell(diagnostics.Failed, "show: the unit has no user")
	case user == "":
		return "root", nil
	case strings.ContainsAny(user, "/\x00 ") || len(user) > 32:
		return "", cannotTell(diagnostics.Failed, "show: %q is no user", clip(user, maxCommand))
	}
	return user, nil
}

// deniedPaths are the paths that the unit was denied, newest first.
func (in readings) deniedPaths(reader complaintReader) ([]told, error) {
	raw, err := in.ran(rawJournal)
	if err != nil {
		return nil, err
	}
	entries, err := parseEntries(raw.Data)
	if err != nil {
		return nil, err
	}
	if raw.ExitCode != 0 {
		return nil, cannotTell(diagnostics.Failed, "journal: exit status %d: %s", raw.ExitCode, raw.Error)
	}
	var denied []told
	for _, e := range slices.Backward(entries) {
		age := max(0, raw.At.Sub(e.at))
		file, _, _ := reader.about(e.message)
		known := slices.ContainsFunc(denied, func(t told) bool { return t.file == file })
		if age > deniedReach || file == "" || file == "/" || known || kindOf("", e.message) != "permission_denied" || len(denied) == maxDenied {
			continue
		}
		denied = append(denied, told{file: file, message: e.message, age: age})
	}
	return denied, nil
}

// components are the path and what is above it, from the top.
func components(p string) []string {
	list := []string{p}
	for p != "/" && len(list) < maxComponents {
		p = path.Dir(p)
		list = append(list, p)
	}
	slices.Reverse(list)
	return list
}

// person is whom the kernel asks about: path_resolution(7).
type person struct {
	uid    uint32
	groups []uint32
}

// may reports whether the permission bits let the person do all of rwx.
func (p person) may(info remote.FileInfo, rwx fs.FileMode) bool {
	bits := info.Mode.Perm()
	switch {
	case p.uid == 0:
		return true
	case info.UID == p.uid:
		bits >>= 6
	case slices.Contains(p.groups, info.GID):
		bits >>= 3
	}
	return bits&rwx == rwx
}

func (in readings) person() (person, error) {
	var p person
	for i, name := range []string{rawUID, rawGroups} {
		data, err := in.output(name)
		if err != nil {
			return p, err
		}
		numbers := strings.Fields(string(data))
		if len(numbers) == 0 {
			return p, cannotTell(diagnostics.Failed, "%s: no number", name)
		}
		for _, text := range numbers {
			n, err := strconv.ParseUint(text, 10, 32)
			if err != nil {
				return p, cannotTell(diagnostics.Failed, "%s: no number", name)
			}
			if i == 0 {
				p.uid = uint32(n)
			} else {
				p.groups = append(p.groups, uint32(n))
			}
		}
	}
	return p, nil
}

func parseUnitAccess(in readings, reader complaintReader) (diagnostics.Value, error) {
	user, err := in.unitUser()
	if err != nil {
		return nil, err
	}
	denied, err := in.deniedPaths(reader)
	if err != nil {
		return nil, err
	}
	list, value := []any{}, diagnostics.Value{"user": user, "uid": int64(0)}
	if len(denied) > 0 {
		who, err := in.person()
		if err != nil {
			return nil, err
		}
		value["uid"] = int64(who.uid)
		for _, d := range denied {
			entry, err := in.look(who, d)
			if err != nil {
				return nil, err
			}
			entry["like"] = in.like(user, who.uid, d.file)
			list = append(list, entry)
		}
	}
	value["denied"] = list
	return value, nil
}

// look says what of the path keeps the person out now.
func (in readings) look(who person, d told) (map[string]any, error) {
	entry := map[string]any{
		"path": d.file, "message": clip(d.message, maxLineBytes), "age_seconds": int64(d.age.Seconds()),
		"exists": true, "blocked": "", "why": "", "owner": int64(0), "mode": "",
	}
	for _, p := range components(d.file) {
		info, err := in.info("stat " + p)
		if isStatus(err, diagnostics.Absent) {
			entry["exists"] = false
			dir, err := in.info("stat " + path.Dir(p))
			if err == nil && !who.may(dir, 0o3) { // it may not be made there
				entry["blocked"], entry["why"], entry["owner"], entry["mode"] = path.Dir(p), "not writable", int64(dir.UID), octalMode(dir.Mode)
			}
			return entry, nil
		}
		if err != nil {
			return nil, err
		}
		if info.Mode&fs.ModeSymlink != 0 {
			entry["exists"] = false
			return entry, nil // where it leads was not looked at
		}
		entry["owner"], entry["mode"] = int64(info.UID), octalMode(info.Mode)
		why := ""
		switch {
		case info.Mode.IsDir() && !who.may(info, 0o1):
			why = "not searchable"
		case p != d.file: // the rest decides
		case !who.may(info, 0o4):
			why = "not readable"
		case !who.may(info, 0o2):
			why = "not writable"
		}
		if why != "" {
			entry["blocked"], entry["why"] = p, why
			return entry, nil
		}
	}
	return entry, nil
}

// like is a directory of the user: the nearest above the path, else one of its
// usual places.
func (in readings) like(user string, uid uint32, file string) string {
	if uid == 0 {
		return ""
	}
	above := components(file)
	slices.Reverse(above)
	for _, p := range append(above[1:], ownPlaces(user)...) {
		if info, err := in.info("stat " + p); err == nil && info.UID == uid && info.Mode.IsDir() && p != file {
			return p
		}
	}
	return ""
}
