package bench

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// printed is what the script prints with these records in their parts.
func printed(parts map[string][]string) []byte {
	out := []string{"state\t2"}
	for _, name := range stateParts() {
		out = append(append(out, parts[name]...), "done\t"+name)
	}
	return []byte(strings.Join(append(out, "end\t"), "\x00") + "\x00")
}

const digest = "920e2adfc551a81617764f0f07ae25919b53f48556bf83e82fb909bc96d73921"

func wholeState() map[string][]string {
	return map[string][]string{
		"unit": {
			"unit\tactive\trunning\t2\tabc123\tenabled\tnginx.service",
			"unit\tactive\twaiting\t\tdef456\tenabled\tlogrotate.timer",
		},
		"process": {
			"self\t50",
			"exe\t/proc/7\t/usr/sbin/nginx (deleted)", "exe\t/proc/50\t/usr/bin/dash", "exe\t/proc/51\t/usr/bin/find",
			"exe\t/proc/80\t/usr/sbin/sshd", "exe\t/proc/81\t/usr/sbin/sshd", "exe\t/proc/82\t/usr/bin/sleep",
			"arg\t/proc/80/cmdline:sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups", "arg\t/proc/81/cmdline:sshd: root@notty",
			"stat\t80 (sshd) S 1 0 0 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5 1 1",
			"stat\t81 (sshd) S 80 0 0 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 6 1 1",
			"exe\t/proc/83\t/usr/sbin/sshd", "stat\t83 (sshd) S 80 0 0 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 8 1 1",
			"arg\t/proc/83/cmdline:sshd: /usr/sbin/sshd -D [listener] 1 of 10-100 startups",
			"stat\t82 (sleep) S 81 0 0 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 7 1 1",
			"exe\t/proc/9\t", "exe\t/proc/60\t/usr/bin/bash", "exe\t/proc/70\t/usr/bin/gone",
			"stat\t7 (ng) (inx\n) S 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4711 1 1\n",
			"stat\t9 (kworker) S 2 0 0 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 1 1 1",
			"stat\t50 (sh) S 1 0 0 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 2 1 1",
			"stat\t51 (find) S 50 0 0 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 3 1 1",
			"stat\t60 (bash) S 1 0 0 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4 1 1",
			"arg\t/proc/7/cmdline:nginx:", "arg\t/proc/7/cmdline:-g a:b",
			"cgroup\t/proc/7/cgroup:9:name=systemd:/system.slice/nginx.service", "cgroup\t/proc/7/cgroup:0::/",
			"cgroup\t/proc/60/cgroup:0::/user.slice/user-0.slice/session-3.scope",
		},
		"file": {
			"dir\t755\t0\t0\t/etc", "file\t12\t1700000000.5\t644\t0\t4\t/etc/a\tb\nc",
			"link\t/etc/l", "target\t../x", "link\t/etc/empty", "target\t",
		},
		"hash":  {"sha256\t" + digest + "  /etc/a\tb\nc", "sha256\t" + digest + "  /etc/came-later"},
		"mount": {"mount\t23 27 0:22 / /var rw,relatime shared:1 - ext4 /dev/loop3 rw,emergency_ro", "mount\t24 27 0:23 / /var rw - tmpfs none rw"},
		"sysctl": {
			"sysctl\t/proc/sys/net/ipv4/ip_forward:1",
			"sysctl\t/proc/sys/net/ipv4/many:a", "sysctl\t/proc/sys/net/ipv4/many:b:c",
		},
		"socket": {
			"socket\ttcp\t0100007F:0050", "socket\ttcp6\t00000000000000000000000001000000:1F90",
			"socket\tudp\t00000000:0035", "socket\tudp\t00000000:C000", "socket\tunix\t/run/x.sock",
		},
		"user":      {"user\troot:x:0:0:root:/root:/bin/bash"},
		"interface": {"interface\t1500\t0x1003\thost0"},
		"route":     {"route\teth0 00000000 010200C0 0003 0 00000000"},
		"firewall":  {"firewall\t" + digest},
		"package":   {"package\t1.22 ii \tnginx:amd64"},
	}
}

func TestParsesAState(t *testing.T) {
	t.Parallel()
	got, err := ParseState(printed(wholeState()))
	if err != nil {
		t.Fatal(err)
	}
	want := State{
		Units: map[string]Unit{
			"nginx.service":   {Active: "active", Sub: "running", Restarts: 2, Invocation: "abc123", Enabled: "enabled"},
			"logrotate.timer": {Active: "active", Sub: "waiting", Invocation: "def456", Enabled: "enabled"},
		},
		Processes: map[int]Process{
			7:  {Started: 4711, Program: "/usr/sbin/nginx", Command: "nginx: -g a:b", Unit: "nginx.service"},
			80: {Started: 5, Program: "/usr/sbin/sshd", Command: "sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups"},
		},
		Files: map[string]File{
			"/etc":         {Type: "dir", Mode: "755", UID: "0", GID: "0"},
			"/etc/a\tb\nc": {Type: "file", Size: 12, Modified: "1700000000.5", Mode: "644", UID: "0", GID: "4", SHA256: digest},
			"/etc/l":       {Type: "link", Target: "../x"},
			"/etc/empty":   {Type: "link"},
		},
		Mounts: map[string]string{"/var": "ext4 /dev/loop3 / rw,relatime rw,emergency_ro; tmpfs none / rw rw"},
		Others: map[Item]string{
			{Kind: KindSysctl, Name: "net.ipv4.ip_forward"}:                   "1",
			{Kind: KindSysctl, Name: "net.ipv4.many"}:                         "a\nb:c",
			{Kind: KindSocket, Name: "tcp 127.0.0.1:80"}:                      "listens",
			{Kind: KindSocket, Name: "tcp [::1]:8080"}:                        "listens",
			{Kind: KindSocket, Name: "udp 0.0.0.0:53"}:                        "listens",
			{Kind: KindSocket, Name: "unix /run/x.sock"}:                      "listens",
			{Kind: KindUser, Name: "root"}:                                    "x:0:0:root:/root:/bin/bash",
			{Kind: KindInterface, Name: "host0"}:                              "mtu 1500, flags 0x1003",
			{Kind: KindRoute, Name: "eth0 00000000 010200C0 0003 0 00000000"}: "is there",
			{Kind: KindFirewall, Name: "rules"}:                               digest,
			{Kind: KindPackage, Name: "nginx:amd64"}:                          "1.22 ii ",
		},
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Error(diff)
	}
}

func TestRefusesAStateThatIsNotWhole(t *testing.T) {
	t.Parallel()
	whole := printed(wholeState())
	with := func(part, record string) []byte {
		parts := wholeState()
		parts[part] = append(parts[part], record)
		return printed(parts)
	}
	for name, text := range map[string][]byte{
		"nothing":                  nil,
		"cut off":                  whole[:len(whole)-2],
		"cut off at a record":      whole[:bytes.LastIndex(whole[:len(whole)-1], []byte{0})+1],
		"another format":           bytes.Replace(whole, []byte("state\t2"), []byte("state\t1"), 1),
		"a part is missing":        bytes.Replace(whole, []byte("done\tmount\x00"), nil, 1),
		"the last part is missing": bytes.Replace(whole, []byte("done\tpackage\x00"), nil, 1),
		"another part instead":     bytes.Replace(whole, []byte("done\tmount\x00"), []byte("done\tmoon\x00"), 1),
		"a part twice":             with("mount", "done\tmount"),
		"too long":                 make([]byte, MaxStateBytes+1),
		"a record of others":       with("unit", "weather\tfine"),
		"no fields":                with("unit", "unit"),
		"too few fields":           with("unit", "unit\tactive\tx.service"),
		"restarts":                 with("unit", "unit\ta\tb\tmany\tc\td\tx.service"),
		"size":                     with("file", "file\tbig\t1\t644\t0\t0\t/x"),
		"a target alone":           with("file", "target\t/x"),
		"a digest":                 with("hash", "sha256\tabc  /x"),
		"a mount":                  with("mount", "mount\t/dev/sda1 /"),
		"a stat":                   with("process", "stat\t7 (x) S 1"),
		"a process":                with("process", "exe\t/etc/7\t/bin/x"),
		"an interface":             with("interface", "interface\t1500\thost0"),
		"an address":               with("socket", "socket\ttcp\tlocalhost:80"),
	} {
		if _, err := ParseState(text); err == nil {
			t.Errorf("%s: it was accepted", name)
		}
	}
}

func TestUnreadPartsAreSaid(t *testing.T) {
	t.Parallel()
	s, err := ParseState(bytes.Replace(printed(nil), []byte("done\tfirewall"), []byte("\x00failed\tfirewall"), 1))
	if err != nil || !slices.Equal(s.Unread, []string{"firewall"}) {
		t.Errorf("unread %q, %v", s.Unread, err)
	}
	cut := []byte("file\t12\t1756469376.0000\x00failed\tfile")
	if s, err = ParseState(bytes.Replace(printed(nil), []byte("done\tfile"), cut, 1)); err != nil || len(s.Unread) != 1 || s.Unread[0] != "file" {
		t.Errorf("a part that was cut off: unread %v, %v", s.Unread, err)
	}
}

func FuzzParseState(f *testing.F) {
	f.Add(printed(wholeState()))
	f.Add(printed(nil))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := ParseState(text)
		if err != nil {
			return
		}
		if changes := Diff(s, s, Allowed{}); len(changes) > 0 {
			t.Fatalf("a state differs from itself: %v", changes)
		}
	})
}

// stateOf runs the script on this machine.
func stateOf(t *testing.T, folders ...string) State {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", append([]string{"-s", "--"}, folders...)...)
	cmd.Stdin = strings.NewReader(StateScript)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	s, err := ParseState(out)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func recorded(t *testing.T, name string) State {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	s, err := ParseState(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestFindsWhatWasDoneToARealHost compares what the script printed on a Debian 12
// in systemd-nspawn (systemd 252) before and after, with "sh -s -- /etc/cron.d
// /var/log /etc/systemd/system", less sysctls and the mounts that name the
// machine outside. Between them a person restarted cron, stopped logind, killed
// dbus, deleted a cron file, mounted a tmpfs, added a user, and left a sleep
// running. The journal went on, which is no
// change.
func TestFindsWhatWasDoneToARealHost(t *testing.T) {
	t.Parallel()
	before, after := recorded(t, "bookworm-before.state"), recorded(t, "bookworm-after.state")
	if got := before.Units["cron.service"]; got.Active != "active" || got.Sub != "running" || got.Enabled != "enabled" || len(got.Invocation) != 32 {
		t.Errorf("cron is %+v", got)
	}
	got := texts(Diff(before, after, Allowed{}))
	want := []string{
		"file /etc/cron.d/e2scrub_all gone",
		"file /var/log/dpkg.log grew",
		"file /var/log/new appeared",
		"mount /mnt appeared",
		"program /usr/bin/sleep appeared",
		"restart cron.service changed: invocation b327cb78 after 0 restarts by systemd, was invocation f1800919 after 0 restarts by systemd",
		"unit dbus.service changed: failed failed, was active running",
		"unit dbus.socket changed: active listening, was active running",
		"unit systemd-logind.service changed: inactive, was active running",
		"user probe appeared",
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Error(diff)
	}
	if harm := FindHarm(before, after, before, Allowed{Declared: []Declared{{KindUnit, "cron.service"}}}); harm.Total != 0 {
		t.Errorf("all is as it was, and this is harm: %v", harm.Changes)
	}
}

// TestScriptReadsThisMachine runs the script for real, on a small folder: what is
// not there for it (systemd, packages of Debian) is unread, and never empty.
func TestScriptReadsThisMachine(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/etc/debian_version"); err != nil {
		t.Skip("real part missing: Debian")
	}
	folder := t.TempDir()
	odd := filepath.Join(folder, "odd\tname\nof\x01a file")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(odd, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	write("one")
	if err := os.Symlink("no\twhere\n", filepath.Join(folder, "link")); err != nil {
		t.Fatal(err)
	}
	before := stateOf(t, folder, "/etc/default")
	if got := before.Files[odd]; got.Size != 3 || got.Mode != "640" {
		t.Errorf("the file is %+v", got)
	}
	if got := before.Files[filepath.Join(folder, "link")]; got.Target != "no\twhere\n" {
		t.Errorf("the link is %+v", got)
	}
	if before.Others[Item{Kind: KindUser, Name: "root"}] == "" || before.Others[Item{Kind: KindSysctl, Name: "net.core.somaxconn"}] == "" {
		t.Error("no root or no sysctl was found")
	}
	if before.Mounts["/"] == "" && before.Mounts["/proc"] == "" {
		t.Errorf("mounts %v", before.Mounts)
	}
	if len(before.Processes) == 0 || slices.Contains(before.Unread, "process") {
		t.Errorf("%d processes, unread %q", len(before.Processes), before.Unread)
	}
	for _, p := range before.Processes {
		if strings.HasPrefix(p.Command, "sh -s -- ") && strings.Contains(p.Command, folder) {
			t.Errorf("the script found itself: %+v", p)
		}
	}
	hashed := false
	for name, f := range before.Files {
		hashed = hashed || strings.HasPrefix(name, "/etc/default/") && len(f.SHA256) == 64
	}
	if !hashed {
		t.Error("nothing below /etc/default was hashed")
	}
	write("longer")
	var got []Change
	for _, c := range Diff(before, stateOf(t, folder, "/etc/default"), Allowed{}) {
		if strings.HasPrefix(c.Name, folder) {
			got = append(got, c)
		}
	}
	if len(got) != 1 || got[0].Name != odd || got[0].Effect != Grew {
		t.Errorf("changes %v, want the file that grew", got)
	}
}
