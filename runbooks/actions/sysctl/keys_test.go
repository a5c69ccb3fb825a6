package sysctl

import (
	"path"
	"strings"
	"testing"
)

func TestKeysThatMayBeSet(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{
		"net.ipv4.ip_local_port_range": "net/ipv4/ip_local_port_range", "vm.swappiness": "vm/swappiness", "fs.file-max": "fs/file-max",
		"kernel.pid_max": "kernel/pid_max", "net.ipv4.conf.eth0/100.rp_filter": "net/ipv4/conf/eth0.100/rp_filter", "kernel.shmmax": "kernel/shmmax",
		"kernel.keys.maxkeys": "kernel/keys/maxkeys",
	} {
		if err := checkKey(key); err != nil || keyPath(key) != want {
			t.Errorf("%s: %v, at %s", key, err, keyPath(key))
		}
	}
}

func TestKeysThatAreNeverSet(t *testing.T) {
	t.Parallel()
	for key, why := range map[string]string{
		"kernel.core_pattern": "runs as root", "kernel.modprobe": "runs as root", "kernel.hotplug": "runs as root", "kernel.poweroff_cmd": "runs as root",
		"kernel.usermodehelper.bset": "runs as root", "kernel.some_handler": "runs as root", "fs.binfmt_misc.register": "runs as root",
		"kernel.panic": "stop the whole host", "kernel.hung_task_panic": "stop the whole host", "kernel.softlockup_panic": "stop the whole host", "vm.panic_on_oom": "stop the whole host",
		"kernel.modules_disabled": "before the next boot", "vm.drop_caches": "deed", "net.ipv4.route.flush": "deed", "fs.protected_symlinks": "defence",
		"kernel.sysrq": "not among", "kernel.hostname": "not among", "dev.cdrom.lock": "not among", "user.max_user_namespaces": "not among", "kernel.kptr_restrict": "not among",
		"net/ipv4/ip_forward": "written with dots", "vm": "written with dots", "": "written with dots", "vm.": "written with dots", "-vm.swappiness": "written with dots",
		"vm.*": "written with dots", "vm.a=b": "written with dots", "vm.a b": "written with dots", "vm.a\nb": "written with dots", "vm.$(id)": "written with dots",
		"net.//.kernel.core_pattern": "not a sysctl key", "net./.x": "not a sysctl key", "vm..x": "written with dots",
		"vm." + strings.Repeat("a", 300): "written with dots",
	} {
		if err := checkKey(key); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: %v, want %q", key, err, why)
		}
	}
}

func TestValuesThatAreNeverSet(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ key, value, why string }{
		{"vm.overcommit_memory", " 2 ", "never set to 2"},
		{"net.ipv4.tcp_syncookies", "0", "defence"},
		{"net.ipv4.conf.all.rp_filter", "0", "defence"},
		{"vm.swappiness", "", "one line"},
		{"vm.swappiness", " \t", "one line"},
		{"vm.swappiness", "1\n2", "one line"},
		{"vm.swappiness", "é", "one line"},
		{"vm.swappiness", strings.Repeat("1", 2000), "one line"},
	} {
		if err := checkValue(tt.key, tt.value); err == nil || !strings.Contains(err.Error(), tt.why) {
			t.Errorf("%s = %q: %v", tt.key, tt.value, err)
		}
	}
	for _, value := range []string{"1", "-1", "4096\t87380  6291456", "bbr"} {
		if err := checkValue("net.ipv4.tcp_rmem", value); err != nil {
			t.Errorf("%q: %v", value, err)
		}
	}
}

func TestFilesOfDifferentKeysDiffer(t *testing.T) {
	t.Parallel()
	a, b := fileName("net.ipv4.conf.eth0/1.x"), fileName("net.ipv4.conf.eth0.1.x")
	if a == b || path.Dir(a) != folder || path.Dir(b) != folder {
		t.Errorf("%s and %s", a, b)
	}
}

func TestWhatOtherFilesSet(t *testing.T) {
	t.Parallel()
	text := "/etc/sysctl.d/10-a.conf\x00# vm.swappiness = 1\n/etc/sysctl.d/10-a.conf\x00;vm.swappiness=1\n/usr/lib/sysctl.d/99-b.conf\x00 vm/swappiness =  2\n" +
		"/etc/sysctl.conf\x00-vm.swappiness=3\n/etc/sysctl.d/95-c.conf\x00vm.*=4\n/etc/sysctl.d/95-c.conf\x00vm.swappiness_x=5\n/etc/sysctl.d/20-d.conf\x00-vm.swappiness\n" +
		"/etc/sysctl.d/20-d.conf\x00\n=\n/run/sysctl.d/10-e.conf\x00vm.swappiness=6\n"
	got := map[string]bool{}
	for _, s := range settings(text, "vm.swappiness") {
		got[s.value] = s.isReadAfter(fileName("vm.swappiness"))
	}
	want := map[string]bool{"2": true, "3": true, "4": true, "6": false}
	if len(got) != len(want) {
		t.Errorf("got %v", got)
	}
	for value, after := range want {
		if got[value] != after {
			t.Errorf("%s is read after: %t", value, got[value])
		}
	}
	if s := settings("f\x00net.ipv4.conf.eth0/1.x=1\ng\x00net/ipv4/conf/eth0.1/x=2\nh\x00net.ipv4.conf.eth0.1.x=3\n", "net.ipv4.conf.eth0/1.x"); len(s) != 2 {
		t.Errorf("got %v", s)
	}
}

func FuzzKey(f *testing.F) {
	f.Add("net.ipv4.conf.eth0/100.rp_filter")
	f.Add("vm./../x")
	f.Fuzz(func(t *testing.T, key string) {
		if checkKey(key) != nil {
			return
		}
		at := "/proc/sys/" + keyPath(key)
		if path.Clean(at) != at || path.Dir(fileName(key)) != folder || strings.ContainsAny(key, " =*\n") {
			t.Errorf("%q is at %q, and in %q", key, at, fileName(key))
		}
	})
}

func FuzzSettings(f *testing.F) {
	f.Add("/etc/sysctl.conf\x00vm.swappiness=1\n", "vm.swappiness")
	f.Fuzz(func(t *testing.T, text, key string) {
		for _, s := range settings(text, key) {
			if strings.Contains(s.value, "\n") {
				t.Errorf("%q", s.value)
			}
		}
	})
}
