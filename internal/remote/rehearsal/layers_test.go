package rehearsal

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// mountinfo of a server with what there can be (proc_pid_mountinfo(5)).
const mountinfo = `22 27 0:21 / /proc rw,nosuid - proc proc rw
23 27 0:22 / /sys rw - sysfs sysfs rw
24 27 0:5 / /dev rw - devtmpfs udev rw
25 24 0:23 / /dev/shm rw - tmpfs tmpfs rw
26 27 0:24 / /run rw - tmpfs tmpfs rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
28 27 254:1 / /var rw,noexec - xfs /dev/vdb rw
29 28 254:2 / /var/log ro,relatime - btrfs /dev/vdc rw
30 27 0:40 / /mnt/nfs rw - nfs4 srv:/x rw
31 30 254:9 / /mnt/nfs/below rw - ext4 /dev/vdd rw
32 27 0:41 / /home rw - autofs systemd-1 rw
33 27 0:42 / /boot/efi rw - vfat /dev/vda1 rw
34 27 254:5 / /old rw - ext4 /dev/vde rw
35 34 254:6 / /old rw - ext4 /dev/vdf rw
36 34 254:7 / /old/hidden rw - ext4 /dev/vdg rw
37 27 254:8 / /tmp/deep rw - ext4 /dev/vdh rw
38 27 0:43 / /tmp rw - tmpfs tmpfs rw
39 27 0:44 / /a\040b rw - ext4 /dev/vdi rw
40 27 0:45 / /c:d rw - ext4 /dev/vdj rw
41 28 0:46 / /var/lib/docker/overlay2/x/merged rw - overlay overlay rw
42 26 0:47 / /run/user/1000 rw - tmpfs tmpfs rw
garbage
43 x 0:1 / / rw - ext4 x rw
`

func TestLayersOfAServer(t *testing.T) {
	t.Parallel()
	got := layers(parseMounts(mountinfo))
	want := []layer{
		{Point: "/"},
		{Point: "/var", Flags: "noexec"},
		{Point: "/var/log", Flags: "ro"},
		{Point: "/var/lib/docker/overlay2/x/merged", Absent: true},
		{Point: "/mnt/nfs", Absent: true}, // and nothing below it is asked for: it may hang
		{Point: "/home", Absent: true},
		{Point: "/boot/efi", Absent: true},
		{Point: "/old"}, // the upper of two, without what only the lower has
		{Point: "/tmp"}, // and not what it covers
		{Point: "/a b"},
		{Point: "/c:d", Absent: true}, // an overlay takes a colon for the end of its lower side
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTheRootOfAContainerIsALayer(t *testing.T) {
	t.Parallel()
	got := layers(parseMounts("1 0 0:50 / / rw - overlay overlay rw\n2 1 0:51 / /etc/hosts rw - ext4 /dev/vda rw\n"))
	if diff := cmp.Diff([]layer{{Point: "/"}, {Point: "/etc/hosts"}}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := layers(parseMounts("")); len(got) != 0 {
		t.Errorf("of nothing: %v", got)
	}
}

func TestLayersAreBounded(t *testing.T) {
	t.Parallel()
	text := "1 0 0:50 / / rw - ext4 /dev/vda rw\n"
	for i := range 2 * maxLayers {
		text += fmt.Sprintf("%d 1 0:%d / /m%d rw - ext4 x rw\n", i+2, i+60, i)
	}
	absent := 0
	for _, l := range layers(parseMounts(text)) {
		if l.Absent {
			absent++
		}
	}
	if absent != maxLayers+1 {
		t.Errorf("%d are absent", absent)
	}
}

func FuzzLayers(f *testing.F) {
	f.Add(mountinfo)
	f.Add("1 1 0:1 / / rw - ext4 x rw\n2 3 0:1 / /a rw - ext4 x rw\n3 2 0:1 / /a rw - ext4 x rw\n")
	f.Fuzz(func(t *testing.T, text string) {
		seen := []string{}
		for _, l := range layers(parseMounts(text)) {
			if slices.Contains(seen, l.Point) {
				t.Errorf("%q twice", l.Point)
			}
			seen = append(seen, l.Point)
			if !l.Absent && (!path.IsAbs(l.Point) || strings.ContainsAny(l.Point, ":,\\\n") || within(l.Point, "/run")) {
				t.Errorf("an overlay over %q", l.Point)
			}
		}
	})
}

func FuzzWhatWasPrinted(f *testing.F) {
	f.Add([]byte("=/\x00d \x00d etc\x00f etc/a b\x00=/run\x00d \x00"))
	f.Add([]byte("f 644 0 0 5 77 1.5 \x00/run/s/etc/x\x00\x00l 777 0 0 1 78 2.5 \x00/run/s/l\x00to\x00"))
	f.Fuzz(func(t *testing.T, out []byte) {
		w, err := parseWritten(out)
		if err == nil {
			for _, folder := range w.folders {
				if !path.IsAbs(folder) {
					t.Errorf("folder %q", folder)
				}
			}
		}
		all := map[string]entry{}
		if parseEntries(all, tree, out) == nil {
			for name := range all {
				if !path.IsAbs(name) || own(name) {
					t.Errorf("file %q", name)
				}
			}
		}
	})
}
