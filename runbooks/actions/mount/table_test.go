package mount

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/secondline-ops/secondline/internal/fault"
)

func TestMountinfoIsUnderstood(t *testing.T) {
	t.Parallel()
	text := `21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro
40 21 8:17 / /srv/a\040b\134c\011d rw,nosuid,relatime shared:2 master:3 - ext4 /dev/sdb1 rw,emergency_ro
41 21 0:50 / /mnt ro - tmpfs  rw,size=1k
42 21 0:51 / /auto rw - autofs systemd-1 rw
`
	all, err := parseMounts(text)
	if err != nil {
		t.Fatal(err)
	}
	want := entry{ID: 40, Device: "8:17", Point: "/srv/a b\\c\td", Options: "rw,nosuid,relatime", Type: "ext4", Source: "/dev/sdb1", Super: "rw,emergency_ro"}
	if diff := cmp.Diff(want, all[1]); diff != "" {
		t.Error(diff)
	}
	for i, readOnly := range []bool{false, true, true, false} {
		if all[i].readOnly() != readOnly {
			t.Errorf("%s is read-only: %t", all[i].Point, all[i].readOnly())
		}
	}
	for _, bad := range []string{"x", "1 2 3:4 / /mnt rw tmpfs", "x 1 8:1 / / rw - ext4 /dev/sda1 rw", "21 1 8:1 / / rw - ext4"} {
		if _, err := parseMounts(bad); err == nil {
			t.Errorf("%q was understood", bad)
		}
	}
	here, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if all, err = parseMounts(string(here)); err != nil || len(all) != strings.Count(string(here), "\n") {
		t.Errorf("here: %d mounts, %v", len(all), err)
	}
}

func TestWhatIsAroundAPoint(t *testing.T) {
	t.Parallel()
	all := []entry{
		{ID: 1, Device: "8:1", Point: "/", Type: "ext4"},
		{ID: 2, Point: "/srv", Type: automount, Device: "0:9"},
		{ID: 3, Device: "8:2", Point: "/srv", Type: "ext4"},
		{ID: 4, Device: "0:4", Point: "/srv/in", Type: "tmpfs"},
		{ID: 5, Device: "8:2", Point: "/export", Type: "ext4"},
		{ID: 6, Device: "0:6", Point: "/srv2", Type: "tmpfs"},
		{ID: 7, Device: "0:7", Point: "/twice", Type: "tmpfs"},
		{ID: 8, Device: "0:8", Point: "/twice", Type: "tmpfs"},
	}
	w, err := around(all, "/srv")
	if err != nil || w.mounted == nil || w.mounted.ID != 3 || !cmp.Equal(w.below, []string{"/srv/in"}) || !cmp.Equal(w.shared, []string{"/export"}) {
		t.Errorf("%+v, %v", w, err)
	}
	if _, err := around(all, "/twice"); !fault.Is(err, fault.Denied) {
		t.Errorf("one over the other: %v", err)
	}
	if w, err := around(all, "/none"); err != nil || w.mounted != nil {
		t.Errorf("%+v, %v", w, err)
	}
}

func TestFstabIsUnderstood(t *testing.T) {
	t.Parallel()
	const text = "# /dev/x /srv ext4\n\nUUID=1 /srv/a\\040b/ ext4 rw,noatime 0 2 # data\n/dev/sdb none swap sw\n/dev/sdc /srv/swap swap sw\nhost:/e /net nfs\n/dev/d /srv/a\\040b xfs ro\nshort /srv\n"
	if got := parseTable(text, "/net"); !cmp.Equal(got, []declaration{{Source: "host:/e", Type: "nfs"}}) {
		t.Errorf("%+v", got)
	}
	if got := parseTable(text, "/srv/a b"); len(got) != 2 || got[0].Options != "rw,noatime" || !got[1].has("ro") {
		t.Errorf("%+v", got)
	}
	for _, none := range []string{"/srv", "/srv/swap", "none", "/"} {
		if got := parseTable(text, none); got != nil {
			t.Errorf("%s: %+v", none, got)
		}
	}
	unit := parseUnit("srv.mount", "# /etc/systemd/system/srv.mount\n[Mount]\nWhat=/dev/a\nType=xfs\nOptions=ro\n\n# drop-in\n[Mount]\n Options = rw , noatime\n")
	if unit != (declaration{Unit: "srv.mount", Source: "/dev/a", Type: "xfs", Options: "rw , noatime"}) {
		t.Errorf("%+v", unit)
	}
}

func TestWhatFitsADeclaration(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		declared, options, mounted string
		want                       bool
	}{
		{"ext4", "", "ext4", true},
		{"ext4", "", "xfs", false},
		{"auto", "", "vfat", true},
		{"none", "bind", "ext4", true},
		{"ext3", "bind", "ext4", true},
		{"nfs", "", "nfs4", true},
		{"xfs,ext4", "", "ext4", true},
		{"sshfs", "", "fuse.sshfs", true},
		{"fuse", "", "fuse.sshfs", true},
		{"ext4", "", "fuse.sshfs", false},
		{"ntfs-3g", "", "fuseblk", true},
		{"nfs", "", "cifs", false},
	} {
		if got := (declaration{Type: tt.declared, Options: tt.options}).fits(entry{Type: tt.mounted}); got != tt.want {
			t.Errorf("%s at %s: %t", tt.mounted, tt.declared, got)
		}
	}
}

func TestARemountRepeatsWhatItWouldClear(t *testing.T) {
	t.Parallel()
	e := entry{Options: "rw,nosuid,nodev,noexec,relatime", Super: "rw,sync,errors=remount-ro,emergency_ro"}
	if got, want := e.remountOptions("ro"), "remount,ro,nosuid,nodev,noexec,relatime,sync"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestUnitNamesAreThoseOfSystemd(t *testing.T) {
	t.Parallel()
	points := []string{"/", "/srv", "/srv/a b", "/srv/a-b", "/.hidden", "/a/.b", "/é", `/a\b`, "/a:b_c.d", "/-x", "/1/2/3"}
	tool, err := exec.LookPath("systemd-escape")
	if err != nil {
		t.Skip("systemd-escape is not installed")
	}
	for _, p := range points {
		out, err := exec.Command(tool, "--path", "--suffix=mount", p).Output()
		if want := strings.TrimSpace(string(out)); err != nil || unitName(p) != want {
			t.Errorf("%s: got %s, want %s, %v", p, unitName(p), want, err)
		}
	}
}

func TestUsersAreFound(t *testing.T) {
	t.Parallel()
	text := "777\x00/proc/12/cwd\x00/srv\x00" + "500\x00/proc/13/fd/4\x00/srv/x\x00" + "700\x00/proc/14/fd/5\x00/srv/y (deleted)\x00" +
		"777\x00/proc/15/root\x00/srv2\x00" + "700\x00/proc/16/fd/1\x00/srvx\x00" + "700\x00/proc/xx/fd/1\x00/srv/z\x00" + "rest"
	if got := usersIn(text, "/srv", false); !cmp.Equal(got, []use{{12, `cwd "/srv"`}, {13, `fd/4 "/srv/x"`}, {14, `fd/5 "/srv/y (deleted)"`}}, cmp.AllowUnexported(use{})) {
		t.Errorf("users: %v", got)
	}
	if got := usersIn(text, "/srv", true); len(got) != 1 || got[0].pid != 14 {
		t.Errorf("writers: %v", got)
	}
	maps := "/proc/12/maps:7f00-7f01 r--p 00000000 08:02 11                         /srv/lib x.so\n/proc/13/maps:7f00-7f01 rw-p 0 0:0 0 [stack] /srv/\n/proc/14/maps:1-2 r--p 0 0:0 0  /usr/srv/x\n"
	if got := mappersIn(maps, "/srv"); len(got) != 1 || got[0] != (use{12, `maps "/srv/lib x.so"`}) {
		t.Errorf("mappers: %v", got)
	}
}

func FuzzParseMounts(f *testing.F) {
	f.Add("40 21 8:17 / /a\\040b rw - ext4 /dev/sdb1 rw\n")
	f.Add("40 21 8:17 / /a\\9 rw -\n")
	f.Fuzz(func(t *testing.T, text string) {
		all, err := parseMounts(text)
		for _, e := range all {
			if err == nil && (e.Device == "" || e.Type == "") {
				t.Errorf("half an entry: %+v", e)
			}
		}
	})
}

func FuzzParseTable(f *testing.F) {
	f.Add("/dev/a /srv ext4 rw 0 0\n", "/srv")
	f.Fuzz(func(t *testing.T, text, point string) {
		for _, d := range parseTable(text, point) {
			if d.Type == "swap" || d.Source == "" {
				t.Errorf("%+v", d)
			}
		}
		parseUnit("x", text)
		usersIn(text, point, true)
		mappersIn(text, point)
	})
}
