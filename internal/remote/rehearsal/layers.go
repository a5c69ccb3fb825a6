package rehearsal

import (
	"path"
	"slices"
	"strconv"
	"strings"
)

// maxLayers bounds the file systems of a rehearsal; what is more is absent. A
// host of containers has hundreds.
const maxLayers = 60

// layer is a file system of the host as a rehearsal has it.
type layer struct {
	Point  string
	Absent bool   // its place is empty, and nothing can be written there
	Flags  string // of the mount, beside those that all have: "", "ro", "noexec", "ro,noexec"
}

// mount is a line of mountinfo, proc_pid_mountinfo(5).
type mount struct {
	id, parent int
	point      string
	options    []string
	kind       string
}

// parseMounts reads mountinfo. Lines that it does not understand are left out.
func parseMounts(text string) []mount {
	var all []mount
	for line := range strings.Lines(text) {
		own, of, ok := strings.Cut(strings.TrimSpace(line), " - ")
		fields, fs := strings.Fields(own), strings.Fields(of)
		if !ok || len(fields) < 6 || len(fs) < 1 {
			continue
		}
		id, idErr := strconv.Atoi(fields[0])
		parent, parentErr := strconv.Atoi(fields[1])
		point := unescape(fields[4])
		known := func(m mount) bool { return m.id == id }
		if idErr != nil || parentErr != nil || !path.IsAbs(point) || slices.ContainsFunc(all, known) {
			continue
		}
		all = append(all, mount{id: id, parent: parent, point: point, options: strings.Split(fields[5], ","), kind: fs[0]})
	}
	return all
}

// unescape reads the octal escapes of blanks and backslashes in mountinfo.
func unescape(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+4 <= len(text) {
			if n, err := strconv.ParseUint(text[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(text[i])
	}
	return b.String()
}

// visible returns the mounts that a path leads to, each before what is mounted
// in it: not those that another one covers.
func visible(all []mount) []mount {
	in, points := map[int][]mount{}, map[int]string{}
	for _, m := range all {
		points[m.id] = m.point
	}
	var out []mount
	for _, m := range all {
		parent, known := points[m.parent]
		switch {
		case known && m.parent != m.id && within(m.point, parent):
			in[m.parent] = append(in[m.parent], m)
		case m.point == "/":
			out = []mount{m}
		}
	}
	var walk func(m mount) []mount
	walk = func(m mount) []mount {
		here, below := in[m.id], []mount{m}
		for _, c := range here {
			if c.point == m.point { // mounted over it
				return walk(c)
			}
		}
		for i, c := range here {
			covered := func(other mount) bool { return other.point != c.point && within(c.point, other.point) }
			again := func(later mount) bool { return later.point == c.point }
			if !slices.ContainsFunc(here, covered) && !slices.ContainsFunc(here[i+1:], again) {
				below = append(below, walk(c)...)
			}
		}
		return below
	}
	if len(out) == 0 {
		return nil
	}
	return walk(out[0])
}

// within reports whether the path is the folder or below it.
func within(name, folder string) bool {
	return name == folder || strings.HasPrefix(name, strings.TrimSuffix(folder, "/")+"/")
}

// layers says what becomes of the file systems of a host, "/" first, each before
// those that are mounted in it. Those of the kernel, and /run and /dev, are not
// among them: a rehearsal has its own.
func layers(mounts []mount) []layer {
	var out []layer
	for _, m := range visible(mounts) {
		if slices.ContainsFunc([]string{"/proc", "/sys", "/dev", "/run"}, func(own string) bool { return within(m.point, own) }) {
			continue
		}
		if slices.ContainsFunc(out, func(l layer) bool { return l.Absent && within(m.point, l.Point) }) {
			continue
		}
		l := layer{Point: m.point, Absent: len(out) >= maxLayers || !isLocal(m) || strings.ContainsAny(m.point, `:,\`+"\n") || path.Clean(m.point) != m.point}
		for _, flag := range []string{"ro", "noexec"} {
			if !l.Absent && slices.Contains(m.options, flag) {
				l.Flags = strings.TrimPrefix(l.Flags+","+flag, ",")
			}
		}
		out = append(out, l)
	}
	return out
}

// isLocal reports whether an overlay can lie over the file system: it is on this
// host, and the kernel takes it for the lower side. Overlays are those of
// containers, but for the root of a host that is one itself.
func isLocal(m mount) bool {
	switch m.kind {
	case "ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs", "jfs", "reiserfs", "bcachefs", "tmpfs", "ramfs", "squashfs", "erofs":
		return true
	}
	return m.kind == "overlay" && m.point == "/"
}
