package linux

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// kernelKind is a complaint of the kernel. The mark is looked for first, because
// a regular expression for each line and kind would take long.
type kernelKind struct {
	kind   string // "" for what looks like a complaint and is none
	mark   string
	detail string // an expression that must match; its groups "object" and "pid" are taken
}

// kernelMessages are the messages of Linux 4.18 to 6.18; the first that fits
// counts. They are anchored wherever a name from outside (of a process, a file)
// may stand in the line, so that it cannot pass for another message.
func kernelMessages() []kernelKind {
	return slices.Concat(memoryMessages(), fileSystemMessages(), deviceMessages(), processorMessages(), networkMessages(), limitMessages())
}

func memoryMessages() []kernelKind {
	return []kernelKind{
		// mm/oom_kill.c
		{"oom_kill_cgroup", "Memory cgroup out of memory: Kill", `^Memory cgroup out of memory: Kill(ed)? process (?P<pid>\d+) \((?P<object>.*?)\)`},
		{"oom_kill", "Out of memory: Kill", `^Out of memory: Kill(ed)? process (?P<pid>\d+) \((?P<object>.*?)\)`},
		{"oom_no_victim", "Out of memory and no killable processes", ``},
		{"page_allocation_failure", "page allocation failure", `^(?P<object>.*?): page allocation failure: order:\d+`},
	}
}

func fileSystemMessages() []kernelKind {
	return []kernelKind{
		// fs/ext4/super.c, fs/jbd2, fs/xfs, fs/btrfs
		{"fs_error", "EXT4-fs error", `^EXT4-fs error \(device (?P<object>[^)\s]+)\)`},
		{"fs_error", "EXT4-fs (", `^EXT4-fs \((?P<object>[^)\s]+)\): I/O error while writing superblock`},
		{"fs_readonly", "Remounting filesystem read-only", `^EXT[234]-fs \((?P<object>[^)\s]+)\): Remounting filesystem read-only`},
		{"fs_error", "Aborting journal", `^Aborting journal on device (?P<object>\S+?)(-8)?\.?$`},
		{"fs_error", "JBD2: ", `^JBD2: (Error|Detected IO errors).* (?P<object>\S+?)-8\.?$`},
		{"fs_readonly", "XFS (", `^XFS \((?P<object>[^)\s]+)\): (Filesystem has been shut down|xfs_do_force_shutdown|.*Shutting down filesystem)`},
		{"fs_error", "XFS (", `^XFS \((?P<object>[^)\s]+)\): (.*[Cc]orruption|Internal error|[Mm]etadata I/O error|.*log I/O error)`},
		{"fs_readonly", "forced readonly", `^BTRFS.*\(device (?P<object>[^)\s]+)[^)]*\).*: forced readonly`},
		{"fs_error", "BTRFS", `^BTRFS:? (error|critical) \(device (?P<object>[^)\s]+)`},
	}
}

func deviceMessages() []kernelKind {
	return []kernelKind{
		// block/blk-core.c, drivers/{ata,nvme,md}; a floppy or CD drive without a medium is no fault
		{"", " error, dev ", ` error, dev (fd|sr)\d`},
		{"medium_error", "critical medium error", `^(blk_update_request: |print_req_error: )?critical medium error, dev (?P<object>\S+), sector`},
		{"io_error", " error, dev ", `^(blk_update_request: |print_req_error: )?[\w/ ]+ error, dev (?P<object>\S+), sector`},
		{"", "Buffer I/O error", `^Buffer I/O error on dev(ice)? (fd|sr)\d`},
		{"io_error", "Buffer I/O error", `^Buffer I/O error on dev(ice)? (?P<object>[^\s,]+)`},
		{"ata_error", "failed command", `^(?P<object>ata\d+(\.\d+)?): failed command:`},
		{"nvme_error", "nvme ", `^nvme (?P<object>nvme\d+): (I/O .*timeout|controller is down|Device not ready|Removing after probe failure|Disabling device after reset failure)`},
		{"raid_disk_failed", "Disk failure on", `^md/raid[^:]*:(?P<object>[^:]+): Disk failure on `},
		{"raid_member_kicked", "kicking non-fresh", `^md: kicking non-fresh (?P<object>\S+) from array`},
		{"thin_pool_full", "device-mapper: thin", `^device-mapper: thin: (?P<object>[^:]+:[^:]+): (switching pool to (out-of-data-space|read-only)|.*no free (data|metadata) space|reached low water mark for metadata)`},
		{"nfs_not_responding", "not responding", `^nfs: server (?P<object>\S+) not responding`},
		{"nfs_ok", "nfs: server", `^nfs: server (?P<object>\S+) OK`},
		{"cifs_not_responding", "has not responded", `^CIFS: .*?\\+(?P<object>[^\s\\]+) has not responded in`},
	}
}

func processorMessages() []kernelKind {
	return []kernelKind{
		// kernel/hung_task.c, kernel/watchdog.c, kernel/rcu
		{"hung_task", "blocked for more than", `^INFO: task (?P<object>.*):(?P<pid>\d+) blocked (in I/O wait )?for more than \d+ seconds`},
		{"soft_lockup", "BUG: soft lockup", `^(NMI )?(watchdog: )?BUG: soft lockup - (?P<object>CPU#\d+)`},
		{"hard_lockup", "Watchdog detected hard LOCKUP", `^(NMI )?watchdog: .*Watchdog detected hard LOCKUP on (?P<object>cpu \d+)`},
		{"hard_lockup", "Watchdog detected hard LOCKUP", `^(NMI )?watchdog: Watchdog detected hard LOCKUP on (?P<object>cpu \d+)`},
		{"rcu_stall", "rcu", `^(rcu: )?INFO: (?P<object>rcu_\w+) (self-)?detected (expedited )?stall`},
		{"panic", "Kernel panic", `^Kernel panic - not syncing`},
		{"oops", "BUG: ", `^BUG: (kernel NULL pointer dereference|unable to handle)`},
		{"oops", "kernel BUG at", `^kernel BUG at `},
		{"oops", "Oops", `^(Internal error: )?Oops\b`},
		// arch/x86/mm/fault.c and kernel/traps.c: a program, not the kernel
		{"segfault", "segfault at", `^(?P<object>.*)\[(?P<pid>\d+)\]: segfault at `},
		{"segfault", "traps: ", `^traps: (?P<object>.*)\[(?P<pid>\d+)\] (general protection|trap )`},
		{"oops", "general protection fault", `^general protection fault`},
		{"edac_ue", "EDAC", `^EDAC (?P<object>\w+): \d+ UE `},
		{"edac_ce", "EDAC", `^EDAC (?P<object>\w+): \d+ CE `},
		{"hardware_error", "[Hardware Error]", `^(mce: |\{\d+\})?\[Hardware Error\]: `},
		{"temperature", "temperature above threshold", `^(mce: )?(?P<object>CPU\d+): .*temperature above threshold`},
		{"temperature", "critical temperature reached", `^thermal (?P<object>\S+): .*critical temperature reached`},
	}
}

func networkMessages() []kernelKind {
	return []kernelKind{
		// net
		{"conntrack_full", "table full, dropping packet", `^(nf_conntrack|ip_conntrack): .*table full, dropping packet`},
		{"neighbour_table_full", "neighbor table overflow", `^(neighbour: )?(?P<object>\w+): neighbor table overflow`},
		{"link_down", "ink status definitely down", `^(?P<object>[^:]+):.*link status definitely down`},
		{"link_down", "ink", `(?P<object>[^\s:]+): (\w+: \S+ )?(NIC )?Link (is )?[Dd]own\b`},
		{"link_up", "ink", `(?P<object>[^\s:]+): (\w+: \S+ )?(NIC )?Link (is )?[Uu]p\b`},
		{"syn_flood", "Possible SYN flooding", `^(TCP: )?\w+: Possible SYN flooding on port (\S*:)?(?P<object>\d+)`},
		{"tcp_memory", "out of memory -- consider tuning tcp_mem", `^TCP: out of memory -- consider tuning tcp_mem`},
		{"martian", "martian source", `martian source .* on dev (?P<object>\S+)`},
	}
}

func limitMessages() []kernelKind {
	return []kernelKind{
		// kernel/cgroup/pids.c, fs/file_table.c, security
		{"pids_rejected", "fork rejected by pids controller", `^cgroup: fork rejected by pids controller in (?P<object>.+)$`},
		{"file_max", "file-max limit", `^VFS: file-max limit \d+ reached`},
		{"apparmor_denied", `apparmor="DENIED"`, `\bapparmor="DENIED" .*?\bprofile="?(?P<object>[^" ]+)`},
		{"selinux_denied", "avc:  denied", `\bavc:  denied  .* pid=(?P<pid>\d+) comm="?(?P<object>[^" ]+).* permissive=0`},
		{"clocksource_unstable", "Marking clocksource", `Marking clocksource '?(?P<object>\w+)'? as unstable`},
		{"random_ready", "crng init done", `^random: crng init done`},
	}
}

// kernelKinds returns the kinds, in the order of the alphabet.
func kernelKinds() []string {
	var kinds []string
	for _, m := range kernelMessages() {
		if m.kind != "" {
			kinds = append(kinds, m.kind)
		}
	}
	slices.Sort(kinds)
	return slices.Compact(kinds)
}

// classifier knows the messages, and compiles an expression when it is first needed.
type classifier struct {
	messages []kernelKind
	compiled map[string]*regexp.Regexp
}

func newClassifier() classifier {
	return classifier{messages: kernelMessages(), compiled: map[string]*regexp.Regexp{}}
}

func (c classifier) expression(text string) *regexp.Regexp {
	re := c.compiled[text]
	if re == nil {
		re = regexp.MustCompile(text)
		c.compiled[text] = re
	}
	return re
}

// complaint is what a line of the kernel is about.
type complaint struct {
	kind, object string
	pid          int64
}

// classify says what a line complains about; false when it does not, or only
// about what is no fault.
func (c classifier) classify(text string) (complaint, bool) {
	for _, m := range c.messages {
		if !strings.Contains(text, m.mark) {
			continue
		}
		re := c.expression(m.detail)
		groups := re.FindStringSubmatch(text)
		if groups == nil {
			continue
		}
		found := complaint{kind: m.kind}
		if i := re.SubexpIndex("object"); i >= 0 {
			found.object = groups[i]
		}
		if i := re.SubexpIndex("pid"); i >= 0 {
			found.pid, _ = strconv.ParseInt(groups[i], 10, 32) // no number is no pid
		}
		return found, m.kind != ""
	}
	return complaint{}, false
}
