package linux

import (
	"strings"
	"testing"
)

func TestReleasesAreComparedByNumber(t *testing.T) {
	t.Parallel()
	inOrder := []string{"", "4.19.0-27-amd64", "5.10.0-9-amd64", "6.1.0-9-amd64", "6.1.0-28-amd64", "6.1.0-28-amd64-dbg", "6.10.3", "6.18.44"}
	for i := range inOrder {
		for j := range inOrder {
			got := compareReleases(inOrder[i], inOrder[j])
			if (got < 0) != (i < j) || (got == 0) != (i == j) {
				t.Errorf("%q against %q: %d", inOrder[i], inOrder[j], got)
			}
		}
	}
}

func TestKeysOfSysctlAreFoundBelowProc(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"net.ipv4.ip_forward": "net/ipv4/ip_forward", "-net.core.somaxconn ": "net/core/somaxconn", "net/ipv4/conf/eth0.100/rp_filter": "net/ipv4/conf/eth0.100/rp_filter",
		"net.ipv4.conf.eth0/100.rp_filter": "net/ipv4/conf/eth0.100/rp_filter", "kernel.pid_max": "kernel/pid_max",
		"net.ipv4.conf.*.rp_filter": "", "": "", "/etc/passwd": "", "..": "", "../../etc/shadow": "", "a b": "", "net/../../etc/shadow": "",
	} {
		if got := sysctlKey(name); got != want {
			t.Errorf("%q is %q, want %q", name, got, want)
		}
	}
}

func TestTheLastFileOfSysctlCounts(t *testing.T) {
	t.Parallel()
	settings, err := parseDeclared([]byte(
		"/usr/lib/sysctl.d/10-a.conf:kernel.pid_max=1\n/etc/sysctl.d/10-a.conf:kernel.pid_max=2\n" +
			"/etc/sysctl.d/50-b.conf:fs.file-max = 5\n/usr/lib/sysctl.d/20-c.conf:fs.file-max = 6\n" +
			"/usr/lib/sysctl.d/90-d.conf:net.core.somaxconn=7\n/etc/sysctl.conf:net.core.somaxconn=8\nend\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []declared{
		{"fs/file-max", "5", "/etc/sysctl.d/50-b.conf"}, {"kernel/pid_max", "2", "/etc/sysctl.d/10-a.conf"}, {"net/core/somaxconn", "8", "/etc/sysctl.conf"},
	}
	if len(settings) != len(want) {
		t.Fatalf("settings %v", settings)
	}
	for i := range want {
		if settings[i] != want[i] {
			t.Errorf("got %v, want %v", settings[i], want[i])
		}
	}
}

func TestFewValuesChoke(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		key, value string
		chokes     bool
	}{
		{"net/ipv4/ip_local_port_range", "61000 61005", true},
		{"net/ipv4/ip_local_port_range", "32768 60999", false},
		{"net/ipv4/ip_local_port_range", "junk", false},
		{"kernel/pid_max", "32768", false},
		{"kernel/pid_max", "300", true},
		{"net/core/somaxconn", "128", false},
		{"vm/swappiness", "0", false},
	} {
		if got := chokes(c.key, c.value) != ""; got != c.chokes {
			t.Errorf("%s = %s: %v", c.key, c.value, got)
		}
	}
}

func TestPortsOfSockets(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]int64{
		"Listen=0.0.0.0:8099 (Stream)": 8099, "Listen=[::]:22 (Stream)": 22, "Listen=/run/x.sock (Stream)": 0, "Listen=65536 (Stream)": 0, "Id=a:80": 0, "": 0,
	} {
		if got := listenPort(line); got != want {
			t.Errorf("%q is port %d, want %d", line, got, want)
		}
	}
}

// The lock of dpkg is found by device and inode, not by what a line ends with.
func TestOnlyTheHolderOfTheLockIsTakenForIt(t *testing.T) {
	t.Parallel()
	c := readRecorded(t, "package.state-locked")
	for i, raw := range c.raws {
		if raw.Name == rawLocks {
			c.raws[i].Data = []byte("1: POSIX  ADVISORY  WRITE 1 00:00:1 0 EOF\n2: -> POSIX  ADVISORY  WRITE 9 fe:00:2 0 EOF\n")
		}
	}
	value, status := checkParsed(t, c.probe, c.raws, c.args)
	if !status.Tells() || value["locked"] != false {
		t.Errorf("%s, %v", status, value)
	}
}

// Named is only what is a second later what it was before.
func TestWhatMovesIsNotBlocked(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(text string) string{
		"they ended": func(string) string { return "end\n" },
		"they run": func(text string) string {
			return strings.NewReplacer(") D ", ") R ", ") Z ", ") R ", ") T ", ") R ").Replace(text)
		},
		"other processes by now": func(text string) string { return strings.ReplaceAll(text, " 0 0 20 0 1 0 ", " 0 0 20 0 1 0 9") },
	} {
		c := readRecorded(t, "process.states")
		for i, raw := range c.raws {
			if raw.Name == rawLinger {
				c.raws[i].Data = []byte(change(string(raw.Data)))
			}
		}
		value, status := checkParsed(t, c.probe, c.raws, c.args)
		if !status.Tells() || value["zombies"] != int64(0) || value["blocked_count"] != int64(0) || len(value["stopped"].([]any)) != 0 { //nolint:forcetypeassert // conform says so
			t.Errorf("%s: %s, %v", name, status, value)
		}
	}
}

// A parent in vfork(2) is in state D, and hangs on nothing but its child.
func TestAParentInVforkDoesNotHang(t *testing.T) {
	t.Parallel()
	c := readRecorded(t, "process.states")
	for i, raw := range c.raws {
		if raw.Name == rawLinger {
			c.raws[i].Data = []byte(strings.ReplaceAll(string(raw.Data), "percpu_rwsem_wait", "kernel_clone"))
		}
	}
	if value, _ := checkParsed(t, c.probe, c.raws, c.args); value["blocked_count"] != int64(0) || value["zombies"] != int64(60) {
		t.Errorf("%v", value)
	}
}

func FuzzSysctlKey(f *testing.F) {
	f.Add("net.ipv4.conf.eth0/100.rp_filter")
	f.Add("../../etc/shadow")
	f.Fuzz(func(t *testing.T, name string) {
		if key := sysctlKey(name); key != "" && checkPath(argPath, "/proc/sys/"+key) != nil {
			t.Errorf("%q leads to %q", name, key)
		}
	})
}
