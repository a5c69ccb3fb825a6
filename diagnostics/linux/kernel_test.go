package linux

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/diagnostics"
)

// Lines of kernels 4.18 to 6.18, from their sources and from reports of their users.
func TestComplaintsOfTheKernelAreKnown(t *testing.T) {
	t.Parallel()
	known := newClassifier()
	for text, want := range map[string]complaint{
		"Out of memory: Killed process 812 (my (app) total-vm:1kB) total-vm:9kB, anon-rss:8kB, file-rss:0kB":               {"oom_kill", "my (app", 812},
		"Out of memory: Kill process 812 (java) score 901 or sacrifice child":                                              {"oom_kill", "java", 812},
		"Memory cgroup out of memory: Killed process 9 (a) total-vm:1kB, anon-rss:1kB, file-rss:0kB, shmem-rss:0kB, UID:0": {"oom_kill_cgroup", "a", 9},
		"kworker/u8:0: page allocation failure: order:5, mode:0x40dc0(GFP_KERNEL|__GFP_COMP|__GFP_ZERO), nodemask=(null)":  {"page_allocation_failure", "kworker/u8:0", 0},
		"EXT4-fs error (device sda1): ext4_lookup:1703: inode #2: comm ls: deleted inode referenced: 12":                   {"fs_error", "sda1", 0},
		"EXT4-fs (dm-3): Remounting filesystem read-only":                                                                  {"fs_readonly", "dm-3", 0},
		"Aborting journal on device dm-3-8.":                                                                               {"fs_error", "dm-3", 0},
		"JBD2: Error -5 detected when updating journal superblock for sdb1-8.":                                             {"fs_error", "sdb1", 0},
		"XFS (sdb1): Corruption of in-memory data detected.  Shutting down filesystem":                                     {"fs_readonly", "sdb1", 0},
		"XFS (dm-0): Metadata corruption detected at xfs_inode_buf_verify+0x14/0x100 [xfs], xfs_inode block 0x40":          {"fs_error", "dm-0", 0},
		`XFS (sdb): metadata I/O error in "xlog_iodone" at daddr 0x40 len 64 error 5`:                                      {"fs_error", "sdb", 0},
		"XFS (sdb): Filesystem has been shut down due to log error (0x2).":                                                 {"fs_readonly", "sdb", 0},
		"BTRFS info (device sdb1: state EA): forced readonly":                                                              {"fs_readonly", "sdb1:", 0},
		"BTRFS: error (device sdb1) in btrfs_commit_transaction:2200: errno=-5 IO failure":                                 {"fs_error", "sdb1", 0},
		"blk_update_request: I/O error, dev sda, sector 1234 op 0x0:(READ) flags 0x80700 phys_seg 1 prio class 0":          {"io_error", "sda", 0},
		"I/O error, dev nvme0n1, sector 1234 op 0x1:(WRITE) flags 0x0 phys_seg 1 prio class 2":                             {"io_error", "nvme0n1", 0},
		"blk_update_request: critical medium error, dev sdc, sector 99 op 0x0:(READ) flags 0x0 phys_seg 1 prio class 0":    {"medium_error", "sdc", 0},
		"Buffer I/O error on dev sdc1, logical block 12, async page read":                                                  {"io_error", "sdc1", 0},
		"ata1.00: failed command: READ FPDMA QUEUED":                                                                       {"ata_error", "ata1.00", 0},
		"nvme nvme0: I/O 832 QID 3 timeout, aborting":                                                                      {"nvme_error", "nvme0", 0},
		"nvme nvme0: I/O tag 832 (1340) opcode 0x2 (I/O Cmd) QID 3 timeout, aborting req_op:READ(0) size:4096":             {"nvme_error", "nvme0", 0},
		"md/raid1:md0: Disk failure on sdb1, disabling device.":                                                            {"raid_disk_failed", "md0", 0},
		"md: kicking non-fresh sdb1 from array!":                                                                           {"raid_member_kicked", "sdb1", 0},
		"device-mapper: thin: 253:4: switching pool to out-of-data-space (queue IO) mode":                                  {"thin_pool_full", "253:4", 0},
		"nfs: server nas1 not responding, still trying":                                                                    {"nfs_not_responding", "nas1", 0},
		"nfs: server nas1 OK": {"nfs_ok", "nas1", 0},
		`CIFS: VFS: \\files1 has not responded in 180 seconds. Reconnecting...`:                                                           {"cifs_not_responding", "files1", 0},
		"INFO: task kworker/0:1:123 blocked for more than 122 seconds.":                                                                   {"hung_task", "kworker/0:1", 123},
		"watchdog: BUG: soft lockup - CPU#3 stuck for 22s! [qemu:77]":                                                                     {"soft_lockup", "CPU#3", 0},
		"NMI watchdog: Watchdog detected hard LOCKUP on cpu 2":                                                                            {"hard_lockup", "cpu 2", 0},
		"rcu: INFO: rcu_sched self-detected stall on CPU":                                                                                 {"rcu_stall", "rcu_sched", 0},
		"BUG: kernel NULL pointer dereference, address: 0000000000000008":                                                                 {"oops", "", 0},
		"kernel BUG at mm/slub.c:305!":                                                                                                    {"oops", "", 0},
		"general protection fault, probably for non-canonical address 0xdead000000000108: 0000 [#1] SMP PTI":                              {"oops", "", 0},
		"nginx[4711]: segfault at 0 ip 00007f1 sp 00007ffc error 4 in libc.so.6[7f6e4ae44000+156000]":                                     {"segfault", "nginx", 4711},
		"traps: node[88] trap invalid opcode ip:55d sp:7ff error:0 in node[55d+1000]":                                                     {"segfault", "node", 88},
		"traps: my app[88] general protection fault ip:55d sp:7ff error:0 in libc.so.6[55d+1000]":                                         {"segfault", "my app", 88},
		"EDAC MC0: 1 CE memory read error on CPU_SrcID#0_Ha#0_Chan#1_DIMM#0 (channel:1 slot:0 page:0x1)":                                  {"edac_ce", "MC0", 0},
		"EDAC MC1: 1 UE memory scrubbing error on CPU_SrcID#1":                                                                            {"edac_ue", "MC1", 0},
		"mce: [Hardware Error]: Machine check events logged":                                                                              {"hardware_error", "", 0},
		"{1}[Hardware Error]: Hardware error from APEI Generic Hardware Error Source: 0":                                                  {"hardware_error", "", 0},
		"mce: CPU3: Package temperature above threshold, cpu clock throttled (total events = 12)":                                         {"temperature", "CPU3", 0},
		"nf_conntrack: nf_conntrack: table full, dropping packet":                                                                         {"conntrack_full", "", 0},
		"neighbour: arp_cache: neighbor table overflow!":                                                                                  {"neighbour_table_full", "arp_cache", 0},
		"igb 0000:02:00.0 eno1: igb: eno1 NIC Link is Down":                                                                               {"link_down", "eno1", 0},
		"e1000e 0000:00:19.0 eth0: NIC Link is Up 1000 Mbps Full Duplex, Flow Control: None":                                              {"link_up", "eth0", 0},
		"mlx5_core 0000:3b:00.0 ens1f0: Link down":                                                                                        {"link_down", "ens1f0", 0},
		"bond0: (slave eth1): link status definitely down, disabling slave":                                                               {"link_down", "bond0", 0},
		"TCP: request_sock_TCP: Possible SYN flooding on port 0.0.0.0:8080. Sending cookies.":                                             {"syn_flood", "8080", 0},
		"TCP: request_sock_TCP: Possible SYN flooding on port 80. Sending cookies.  Check SNMP counters.":                                 {"syn_flood", "80", 0},
		"IPv4: martian source 10.0.0.1 from 10.0.0.2, on dev eth0":                                                                        {"martian", "eth0", 0},
		"cgroup: fork rejected by pids controller in /system.slice/x.service":                                                             {"pids_rejected", "/system.slice/x.service", 0},
		"VFS: file-max limit 1024 reached":                                                                                                {"file_max", "", 0},
		`audit: type=1400 audit(1.2:3): apparmor="DENIED" operation="open" profile="/usr/sbin/mysqld" name="/data/x" pid=9 comm="mysqld"`: {"apparmor_denied", "/usr/sbin/mysqld", 0},
		`audit: type=1400 audit(1.2:3): avc:  denied  { read } for  pid=19 comm="httpd" name="x" tclass=file permissive=0`:                {"selinux_denied", "httpd", 19},
		"clocksource: timekeeping watchdog on CPU1: Marking clocksource 'tsc' as unstable because the skew is too large:":                 {"clocksource_unstable", "tsc", 0},
		"random: crng init done": {"random_ready", "", 0},
	} {
		if got, ok := known.classify(text); !ok || got != want {
			t.Errorf("%s\n is %+v, want %+v", text, got, want)
		}
	}
}

func TestNoComplaintIsMadeOfWhatIsNone(t *testing.T) {
	t.Parallel()
	known := newClassifier()
	for _, text := range []string{
		"blk_update_request: I/O error, dev fd0, sector 0 op 0x0:(READ) flags 0x0 phys_seg 1 prio class 0", // no floppy in it
		"Buffer I/O error on dev sr0, logical block 0, async page read",
		"ata3: SATA link down (SStatus 0 SControl 300)", // an empty port, at each boot
		"EXT4-fs (loop0): re-mounted c2999d16-729f-4ecd-9a84-54dc23d0d1ea ro.",
		"mce: CPU0: Thermal monitoring enabled (TM1)", "EDAC MC: Ver: 3.0.0",
		`audit: type=1400 audit(1.2:3): apparmor="STATUS" operation="profile_load" name="x"`,
		`audit: type=1400 audit(1.2:3): avc:  denied  { read } for  pid=19 comm="httpd" tclass=file permissive=1`,
		// A program chose its name (15 bytes at most) to pass for another complaint.
		"Out of memory: [12]: segfault at 0 ip",
	} {
		got, ok := known.classify(text)
		if ok && got.kind != "segfault" {
			t.Errorf("%s\n is %+v", text, got)
		}
	}
}

func ring(uptime string, lines ...string) []diagnostics.Raw {
	raw := diagnostics.Raw{
		Name: rawKernel, Status: diagnostics.OK, At: time.Unix(1_800_000_000, 0).UTC(),
		Data: []byte(strings.Join(lines, "\n") + "\nend 0 " + uptime + "\n"),
	}
	raw.Seal()
	return []diagnostics.Raw{raw}
}

// A host that ran out of memory as a whole: the list of processes names the
// largest, which is not the one that was killed.
func TestTheLargestProcessIsToldFromTheOneThatWasKilled(t *testing.T) {
	t.Parallel()
	p := probeNamed(t, "kernel.log")
	value, _ := checkParsed(t, p, ring("1000.00",
		"<4>[  900.000000] sshd invoked oom-killer: gfp_mask=0x140cca(GFP_HIGHUSER_MOVABLE|__GFP_COMP), order=0, oom_score_adj=0",
		"<6>[  900.000001] Tasks state (memory values in pages):",
		"<6>[  900.000002] [  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name",
		"<6>[  900.000003] [    312]     0   312     6000      200    77824        0         -1000 sshd",
		"<6>[  900.000004] [    700]   999   700   900000   700000   577824        0          -900 my daemon",
		"<6>[  900.000005] [    812]   998   812   300000    99800   577824        0             0 java",
		"<6>[  900.000006] oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task_memcg=/system.slice/app.service,task=java,pid=812,uid=998",
		"<3>[  900.000007] Out of memory: Killed process 812 (java) total-vm:1200000kB, anon-rss:399000kB, file-rss:100kB, shmem-rss:100kB, UID:998 pgtables:564kB oom_score_adj:0",
	), nil)
	for name, want := range map[string]any{
		"oom_kills.#": 1, "oom_kills.0.in_cgroup": false, "oom_kills.0.cgroup": "", "oom_kills.0.unit": "app.service",
		"oom_kills.0.process": "java", "oom_kills.0.rss": int64(399200 << 10), "oom_kills.0.age_seconds": int64(99),
		"oom_kills.0.largest": "my daemon", "oom_kills.0.largest_pid": int64(700), "oom_kills.0.largest_percent": 87.5,
		"events.0.kind": "oom_kill", "events.0.object": "java",
	} {
		if got := dig(map[string]any(value), name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}

// The form of Linux 3.10, with which the Red Hat family 7 runs.
func TestKillsOfOldKernelsAreUnderstood(t *testing.T) {
	t.Parallel()
	value, _ := checkParsed(t, probeNamed(t, "kernel.log"), ring("1000.00",
		"<4>[  900.000000] java invoked oom-killer: gfp_mask=0xd0, order=0, oom_score_adj=0",
		"<6>[  900.000001] Task in /system.slice/app.service killed as a result of limit of /system.slice",
		"<6>[  900.000002] [ pid ]   uid  tgid total_vm      rss nr_ptes swapents oom_score_adj name",
		"<6>[  900.000003] [  812]   998   812   300000    99800     564        0             0 java",
		"<3>[  900.000004] Memory cgroup out of memory: Kill process 812 (java) score 901 or sacrifice child",
		"<3>[  900.000005] Killed process 812 (java), UID 998, total-vm:1200000kB, anon-rss:399000kB, file-rss:200kB, shmem-rss:0kB",
	), nil)
	for name, want := range map[string]any{
		"oom_kills.#": 1, "oom_kills.0.in_cgroup": true, "oom_kills.0.cgroup": "/system.slice", "oom_kills.0.unit": "app.service",
		"oom_kills.0.rss": int64(399200 << 10), "oom_kills.0.largest": "java", "events.0.kind": "oom_kill_cgroup", "events.0.pid": int64(812),
	} {
		if got := dig(map[string]any(value), name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}

func TestOnlyTheKernelsOwnLinesCount(t *testing.T) {
	t.Parallel()
	value, status := checkParsed(t, probeNamed(t, "kernel.log"), ring("7200.00",
		"<5>[    0.000000] Linux version 6.1.0-18-amd64",
		"<12>[  100.000000] Out of memory: Killed process 1 (x) total-vm:1kB, anon-rss:1kB", // echo ... > /dev/kmsg
		"<6>[ 3000.000000] nginx[4711]: segfault at 0 ip 1 sp 2 error 4",
		"Out of memory: Killed process 1 (x) total-vm:1kB, anon-rss:1kB",
	), nil)
	if status != diagnostics.OK || value["covered_seconds"] != int64(7200) || value["since_boot"] != true || len(value["oom_kills"].([]any)) != 0 {
		t.Errorf("%s %v", status, value)
	}
	if dig(map[string]any(value), "events.0.last_hour") != int64(0) || dig(map[string]any(value), "events.#") != 1 {
		t.Errorf("%v", value["events"])
	}
}

// The lines of journalctl are written by hand after recorded ones of other units.
func TestTheJournalIsAskedWhereTheRingBufferIsNotEnough(t *testing.T) {
	t.Parallel()
	p := probeNamed(t, "kernel.log")
	at := time.Unix(1_800_000_000, 0).UTC()
	said := func(age time.Duration, message string) string {
		return fmt.Sprintf(`{"__REALTIME_TIMESTAMP":"%d","PRIORITY":"3","MESSAGE":%q}`, at.Add(-age).UnixMicro(), message)
	}
	journal := diagnostics.Raw{Name: rawKernelLog, Status: diagnostics.OK, At: at, Data: []byte(strings.Join([]string{
		said(3*time.Hour, "Linux version 6.1.0"), said(2*time.Hour, "EXT4-fs error (device sda1): x"), said(time.Minute, "I/O error, dev sda, sector 1"),
	}, "\n") + "\n")}
	journal.Seal()
	denied := ring("9000.00")[0]
	denied.Data = []byte("dmesg: read kernel buffer failed: Operation not permitted\nend 1 9000.00\n")
	for name, raws := range map[string][]diagnostics.Raw{
		"denied":      {denied, journal},
		"overwritten": append(ring("9000.00", "<6>[ 8999.000000] IPv4: dropped"), journal),
	} {
		value, status := checkParsed(t, p, raws, nil)
		if status != diagnostics.OK || value["source"] != "journal" || value["covered_seconds"] != int64(3*3600) || value["since_boot"] != true || dig(map[string]any(value), "events.#") != 2 {
			t.Errorf("%s: %s %v", name, status, value)
		}
	}
	if _, status := checkParsed(t, p, []diagnostics.Raw{denied}, nil); status != diagnostics.Denied {
		t.Errorf("denied, and no journal: %s", status)
	}
}
