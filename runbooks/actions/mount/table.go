package mount

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/secondline-ops/secondline/internal/fault"
)

// entry is a line of /proc/self/mountinfo (proc(5)).
type entry struct {
	ID      int    `json:"id"`
	Device  string `json:"device"` // major:minor
	Point   string `json:"point"`
	Options string `json:"options"` // of this mount
	Type    string `json:"type"`
	Source  string `json:"source"`
	Super   string `json:"super"` // options of the file system, which other mounts may share
}

// automount is the file system that stands in for one which is mounted when it
// is first used (autofs(5)).
const automount = "autofs"

// readOnly reports whether nothing can be written: by either kind of options,
// or since the kernel has stopped all writing after an error (emergency_ro, as
// ext4 says since Linux 6.15; "ro" before).
func (e entry) readOnly() bool {
	return e.has("ro") || e.has("emergency_ro")
}

func (e entry) has(option string) bool {
	return slices.Contains(strings.Split(e.Options+","+e.Super, ","), option)
}

// remountOptions are those that a remount has to repeat, since it clears what
// is not said (mount(2), MS_REMOUNT), with the one that is to change.
func (e entry) remountOptions(mode string) string {
	options := []string{"remount", mode}
	ofMount := []string{"nosuid", "nodev", "noexec", "noatime", "nodiratime", "relatime", "nosymfollow"}
	ofSuper := []string{"sync", "dirsync", "mand", "lazytime"}
	for o := range strings.SplitSeq(e.Options, ",") {
		if slices.Contains(ofMount, o) {
			options = append(options, o)
		}
	}
	for o := range strings.SplitSeq(e.Super, ",") {
		if slices.Contains(ofSuper, o) {
			options = append(options, o)
		}
	}
	return strings.Join(options, ",")
}

// parseMounts reads /proc/self/mountinfo. A line that is not understood is an
// error: it may be the one that counts.
func parseMounts(text string) ([]entry, error) {
	var all []entry
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		dash := slices.Index(fields, "-")
		if dash < 6 || len(fields) < dash+3 {
			return nil, fault.New(fault.Internal, "mountinfo holds the line %q", line)
		}
		id, err := strconv.Atoi(fields[0])
		if err != nil {
			return nil, fault.New(fault.Internal, "mountinfo holds the line %q", line)
		}
		e := entry{
			ID: id, Device: fields[2], Point: unescape(fields[4]), Options: fields[5],
			Type: fields[dash+1], Source: unescape(fields[dash+2]),
		}
		if len(fields) > dash+3 { // an empty source leaves one field less
			e.Super = fields[dash+3]
		}
		all = append(all, e)
	}
	return all, nil
}

// declaration is what says that something is to be mounted at a point.
type declaration struct {
	Unit    string `json:"unit,omitempty"` // of systemd; "" is a line of /etc/fstab
	Source  string `json:"source"`
	Type    string `json:"type"`
	Options string `json:"options"`
}

func (d declaration) has(option string) bool {
	return slices.Contains(strings.Split(d.Options, ","), option)
}

// fits reports whether a mounted file system may be the declared one, by its type.
func (d declaration) fits(e entry) bool {
	if d.Type == "" || d.Type == "auto" || d.Type == "none" || d.has("bind") || d.has("rbind") {
		return true
	}
	return slices.ContainsFunc(strings.Split(d.Type, ","), func(t string) bool {
		switch {
		case e.Type == "nfs4":
			return t == "nfs" || t == "nfs4"
		case strings.HasPrefix(e.Type, "fuse"): // what a helper mounts, under a name of its choice
			return strings.HasPrefix(t, "fuse") || e.Type == "fuse."+t || e.Type == "fuseblk"
		}
		return t == e.Type
	})
}

func (d declaration) words() string {
	if d.Unit != "" {
		return d.Unit
	}
	return "/etc/fstab"
}

// parseTable finds the lines of fstab(5) for a point.
func parseTable(text, point string) []declaration {
	var found []declaration
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 3 || strings.HasPrefix(fields[0], "#") || fields[2] == "swap" {
			continue
		}
		if at := unescape(fields[1]); !path.IsAbs(at) || path.Clean(at) != point {
			continue
		}
		d := declaration{Source: unescape(fields[0]), Type: fields[2]}
		if len(fields) > 3 {
			d.Options = fields[3]
		}
		found = append(found, d)
	}
	return found
}

// parseUnit finds what counts in the text of systemctl cat: of two settings of
// the same name, the later.
func parseUnit(unit, text string) declaration {
	d := declaration{Unit: unit}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch value = strings.TrimSpace(value); strings.TrimSpace(key) {
		case "What":
			d.Source = value
		case "Type":
			d.Type = value
		case "Options":
			d.Options = value
		}
	}
	return d
}

// unescape takes back what the kernel and fstab(5) write for bytes that would
// end a field: \040 and other octal numbers of three digits.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// unitName is the name of the mount unit of a point, as systemd-escape --path
// makes it (systemd.unit(5)).
func unitName(point string) string {
	const hex = "0123456789abcdef"
	inside := strings.Trim(point, "/")
	if inside == "" {
		return "-.mount"
	}
	var b strings.Builder
	for i := range len(inside) {
		switch c := inside[i]; {
		case c == '/':
			b.WriteByte('-')
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == ':', c == '_', c == '.' && i > 0:
			b.WriteByte(c)
		default:
			b.WriteString(`\x`)
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
	return b.String() + ".mount"
}
