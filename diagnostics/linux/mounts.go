package linux

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/secondline-ops/secondline/diagnostics"
)

const (
	mountinfoPath     = "/proc/self/mountinfo"
	maxMountinfoBytes = 4 << 20
	maxMounts         = 5000 // finding what covers what takes time with their square
)

// mount is one line of mountinfo, see proc(5).
type mount struct {
	id, parent string
	dev        string // major:minor
	root       string // the directory of the file system that is mounted
	point      string
	fstype     string
	source     string
	readOnly   bool
	options    string // of the mount and of the file system, parted by commas
}

// parseMounts reads mountinfo: "36 35 98:0 /root /point rw,noatime master:1 - ext3 /dev/sda rw,errors=continue".
func parseMounts(data []byte) ([]mount, error) {
	var mounts []mount
	for line := range bytes.Lines(data) {
		left, right, ok := strings.Cut(strings.TrimSuffix(string(line), "\n"), " - ")
		head, tail := strings.Fields(left), strings.Split(right, " ")
		if !ok || len(head) < 6 || len(tail) < 3 || line[len(line)-1] != '\n' || len(mounts) == maxMounts {
			return nil, cannotTell(diagnostics.Failed, "mountinfo: line %d is not understood", len(mounts)+1)
		}
		mounts = append(mounts, mount{
			id: head[0], parent: head[1], dev: head[2],
			root: unescape(head[3]), point: unescape(head[4]),
			fstype: tail[0], source: unescape(tail[1]),
			readOnly: isReadOnly(head[5]) || isReadOnly(tail[2]),
			options:  head[5] + "," + tail[2],
		})
	}
	if len(mounts) == 0 {
		return nil, cannotTell(diagnostics.Failed, "mountinfo is empty")
	}
	return mounts, nil
}

const emergencyRO = "emergency_ro"

// has reports whether it is mounted with the option.
func (m mount) has(option string) bool { return slices.Contains(strings.Split(m.options, ","), option) }

// isReadOnly reports whether mount options forbid writing. An ext4 that met an
// error may say emergency_ro and leave rw as it was (measured on Linux 6.18).
func isReadOnly(options string) bool {
	list := strings.Split(options, ",")
	return slices.Contains(list, "ro") || slices.Contains(list, emergencyRO)
}

// unescape undoes the \ooo of the kernel's mangle() for space, tab, newline,
// backslash and number sign.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) && isOctal(s[i+1]) && isOctal(s[i+2]) && isOctal(s[i+3]) {
			out.WriteByte((s[i+1]-'0')<<6 | (s[i+2]-'0')<<3 | (s[i+3] - '0'))
			i += 3
			continue
		}
		out.WriteByte(s[i])
	}
	return out.String()
}

func isOctal(c byte) bool { return c >= '0' && c <= '7' }

// mountTree is the mounts as the kernel walks them.
type mountTree struct {
	tops     []mount            // mounted on nothing that is shown
	children map[string][]mount // by the id of what they are mounted on
}

func growTree(mounts []mount) mountTree {
	ids := make(map[string]bool, len(mounts))
	for _, m := range mounts {
		ids[m.id] = true
	}
	tree := mountTree{children: map[string][]mount{}}
	for _, m := range mounts {
		if m.parent == m.id || !ids[m.parent] {
			tree.tops = append(tree.tops, m)
			continue
		}
		tree.children[m.parent] = append(tree.children[m.parent], m)
	}
	return tree
}

// holding returns the mount that a path without links lies on. A mount that
// another one covers is never found.
func (t mountTree) holding(path string) (mount, bool) {
	at, found := nearest(t.tops, path)
	for range t.children { // each turn goes one mount down; a ring of parents ends too
		next, deeper := nearest(t.children[at.id], path)
		if !deeper {
			break
		}
		at = next
	}
	return at, found
}

// nearest returns the mount that a walk to path meets first.
func nearest(mounts []mount, path string) (mount, bool) {
	first, found := mount{}, false
	for _, m := range mounts {
		if within(path, m.point) && (!found || len(m.point) < len(first.point)) {
			first, found = m, true
		}
	}
	return first, found
}

// within reports whether path is dir or below it.
func within(path, dir string) bool {
	return path == dir || dir == "/" || strings.HasPrefix(path, dir+"/")
}

// pseudo reports whether a file system of the type holds no files of its own,
// or is an image that is full by nature.
func pseudo(fstype string) bool {
	switch fstype {
	case "proc", "sysfs", "cgroup", "cgroup2", "devpts", "mqueue", "debugfs", "tracefs", "securityfs", "pstore",
		"bpf", "configfs", "fusectl", "hugetlbfs", "autofs", "binfmt_misc", "rpc_pipefs", "nsfs", "efivarfs",
		"selinuxfs", "ramfs", "nfsd", "sockfs", "pipefs", "fuse.lxcfs", "fuse.portal", "fuse.gvfsd-fuse",
		"squashfs", "iso9660", "erofs", "cramfs", "udf":
		return true
	}
	return false
}

// overNetwork reports whether a file system of the type may never answer,
// because its server does not.
func overNetwork(fstype string) bool {
	switch fstype {
	case "nfs", "nfs4", "cifs", "smb3", "smbfs", "ceph", "glusterfs", "lustre", "9p", "afs", "gfs2", "ocfs2", "beegfs":
		return true
	}
	return strings.HasPrefix(fstype, "fuse")
}

// measurable returns one mount for each file system that has a size: the one
// of its whole tree, and of those the one nearest to the top, much as df(1)
// chooses.
func measurable(mounts []mount) []mount {
	tree := growTree(mounts)
	best := map[string]mount{}
	for _, m := range mounts {
		if at, ok := tree.holding(m.point); !ok || at.id != m.id || pseudo(m.fstype) || isLayer(m) {
			continue
		}
		if old, seen := best[m.dev]; !seen || rank(m) < rank(old) {
			best[m.dev] = m
		}
	}
	return slices.SortedFunc(maps.Values(best), func(a, b mount) int {
		return cmp.Or(strings.Compare(a.point, b.point), strings.Compare(a.dev, b.dev))
	})
}

// isLayer reports whether the mount is the root of a container seen from
// outside: its space is that of the file system below, which is shown anyway.
func isLayer(m mount) bool { return m.fstype == "overlay" && m.point != "/" }

// rank orders the mounts of one file system, the one to show first.
func rank(m mount) int {
	if m.root == "/" {
		return len(m.point)
	}
	return maxPathBytes + len(m.point)
}
