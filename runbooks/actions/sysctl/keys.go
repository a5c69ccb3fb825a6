package sysctl

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// allowedKeys are patterns of path.Match over a key's path below /proc/sys; one
// that ends with "/" allows all that is below it.
func allowedKeys() []string {
	return []string{
		"net/", "vm/", "fs/",
		"kernel/pid_max", "kernel/threads-max", "kernel/sem", "kernel/msg*", "kernel/shm*", "kernel/keys/*", "kernel/numa_balancing",
		"kernel/printk", "kernel/printk_ratelimit*", "kernel/sched_autogroup_enabled", "kernel/sched_rt_runtime_us", "kernel/hung_task_*",
	}
}

// refusal is a key that is never set, or never to a value, and why.
type refusal struct {
	key   string // a pattern, as in allowedKeys
	value string // "" is any
	why   string
}

// The reasons that several keys share.
const (
	runsProgram = "it names a program that the kernel runs as root"
	isDeed      = "writing it is a deed, and no setting that could be read or taken back"
	isDefence   = "it is a defence against attackers"
	canPanic    = "it lets the kernel stop the whole host"
	oneWay      = "it cannot be taken back before the next boot"
)

func refusals() []refusal {
	return []refusal{
		{"kernel/core_pattern", "", runsProgram},
		{"kernel/modprobe", "", runsProgram},
		{"kernel/hotplug", "", runsProgram},
		{"kernel/poweroff_cmd", "", runsProgram},
		{"kernel/usermodehelper/*", "", runsProgram},
		{"kernel/*_handler", "", runsProgram},
		{"kernel/*_helper", "", runsProgram},
		{"fs/binfmt_misc/*", "", runsProgram},
		{"kernel/modules_disabled", "", oneWay},
		{"kernel/kexec_load_disabled", "", oneWay},
		{"kernel/unprivileged_bpf_disabled", "", oneWay},
		{"kernel/*panic*", "", canPanic},
		{"fs/xfs/panic_mask", "", canPanic},
		{"vm/panic_on_oom", "", canPanic},                                                        // faults.md 19
		{"vm/overcommit_memory", "2", "programs that run would be refused memory that they had"}, // faults.md 19
		{"vm/drop_caches", "", isDeed},
		{"vm/compact_memory", "", isDeed},
		{"vm/stat_refresh", "", isDeed},
		{"net/*/route/flush", "", isDeed},
		{"net/netfilter/nf_conntrack_max", "0", "nothing would be bounded"},
		{"net/ipv4/tcp_syncookies", "0", isDefence},   // faults.md 81
		{"net/ipv4/conf/*/rp_filter", "0", isDefence}, // faults.md 82
		{"net/core/bpf_jit_harden", "", isDefence},
		{"fs/protected_*", "", isDefence},
		{"fs/verity/*", "", isDefence},
		{"fs/suid_dumpable", "", isDefence},
		{"vm/mmap_min_addr", "", isDefence},
		{"vm/mmap_rnd_bits", "", isDefence},
		{"vm/mmap_rnd_compat_bits", "", isDefence},
		{"vm/unprivileged_userfaultfd", "", isDefence},
	}
}

// keyPath is where a key lies below /proc/sys. Between dots, a slash stands for
// a dot (sysctl.d(5)): net.ipv4.conf.eth0/100.rp_filter.
func keyPath(key string) string {
	return strings.Map(func(r rune) rune {
		switch r {
		case '.':
			return '/'
		case '/':
			return '.'
		}
		return r
	}, key)
}

// checkKey refuses what is no key, and a key that is never set.
func checkKey(key string) error {
	if !regexp.MustCompile(`^[a-z][a-z0-9_]*(\.[A-Za-z0-9_:@/-]+)+$`).MatchString(key) || len(key) > 255 {
		return fmt.Errorf("%q is not a sysctl key written with dots", key)
	}
	name := keyPath(key)
	for part := range strings.SplitSeq(name, "/") {
		if part == "." || part == ".." {
			return fmt.Errorf("%q is not a sysctl key", key)
		}
	}
	for _, r := range refusals() {
		if r.value == "" && matches(r.key, name) {
			return fmt.Errorf("%s is never set: %s", key, r.why)
		}
	}
	if !slices.ContainsFunc(allowedKeys(), func(p string) bool { return matches(p, name) }) {
		return fmt.Errorf("%s is not among the keys that a runbook may set: %s", key, strings.ReplaceAll(strings.Join(allowedKeys(), " "), "/", "."))
	}
	return nil
}

// checkValue refuses what is no value of one line, and one that a key is never
// set to.
func checkValue(key, value string) error {
	if normal(value) == "" || len(value) > 1024 || !regexp.MustCompile(`^[\t -~]*$`).MatchString(value) {
		return fmt.Errorf("%q is not a value of one line", value)
	}
	for _, r := range refusals() {
		if r.value != "" && matches(r.key, keyPath(key)) && r.value == normal(value) {
			return fmt.Errorf("%s is never set to %s: %s", key, r.value, r.why)
		}
	}
	return nil
}

func matches(pattern, name string) bool {
	if below, ok := strings.CutSuffix(pattern, "/"); ok {
		return strings.HasPrefix(name, below+"/")
	}
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}

// normal is a value with its numbers apart by one blank: the kernel shows tabs.
func normal(value string) string { return strings.Join(strings.Fields(value), " ") }
