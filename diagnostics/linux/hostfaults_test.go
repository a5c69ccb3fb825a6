package linux

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/diagnostics"
)

// hostFaultWants is what is expected of the recordings of space, memory and boots.
// Those named byhand were written after the kernel's and the tools' sources,
// because the fault cannot be had here: no RAID, no such disk, no network file
// system, systemd or reboot.
func hostFaultWants() map[string]want {
	type f = map[string]any
	ok := diagnostics.OK
	return map[string]want{
		"memory.detail": {ok, f{
			"total": int64(25276510208), "transparent_huge_pages": "madvise", "swapped_in": 0.0, "pressure_full": 0.0, "huge_total": int64(0),
		}},
		"disk.mounts-emergency_ro": {ok, f{
			"mounts.#": 2, "mounts.0.mount": "/", "mounts.0.emergency": false, "mounts.0.fstab": "rw", "mounts.0.kernel_name": "vda",
			"mounts.1.mount": "/srv/data", "mounts.1.emergency": true, "mounts.1.read_only": true, "mounts.1.fstab": "rw", "mounts.1.errors": int64(1),
			"mounts.1.kernel_name": "loop0", "mounts.1.network": false,
		}},
		"unit.memory-byhand_v2": {ok, f{
			"exists": true, "limited": true, "limit": int64(62914560), "used": int64(56623104), "used_percent": 90.0, "oom_kills": int64(2),
		}},
		"unit.memory-byhand_v1_unlimited": {ok, f{"exists": true, "limited": false, "limit": int64(0), "used": int64(56623104), "oom_kills": int64(1)}},
		"unit.memory-byhand_down":         {ok, f{"exists": false, "used": int64(0)}},
		"raid.status-none":                {ok, f{"arrays.#": 0}},
		"raid.status-byhand_degraded": {ok, f{
			"arrays.#": 3, "arrays.0.array": "md0", "arrays.0.level": "raid1", "arrays.0.degraded": true, "arrays.0.wanted": int64(2), "arrays.0.working": int64(1),
			"arrays.0.failed": "sdb1", "arrays.0.members": "sdb1 sda1", "arrays.0.activity": "",
			"arrays.1.degraded": true, "arrays.1.activity": "recovery", "arrays.1.activity_percent": 12.6, "arrays.1.failed": "",
			"arrays.2.array": "md127", "arrays.2.active": false, "arrays.2.degraded": false,
		}},
		"raid.status-byhand_check": {ok, f{
			"arrays.#": 1, "arrays.0.level": "raid1", "arrays.0.degraded": false, "arrays.0.activity": "check", "arrays.0.activity_percent": 3.4,
		}},
		"core.dumps": {ok, f{
			"dumps.#": 2, "dumps.0.program": "my.app", "dumps.0.mount": "/var/lib", "dumps.1.program": "", "dumps.1.path": "/var/crash/_usr_bin_x.0.crash",
			"mounts.#": 2, "mounts.0.mount": "/var/lib", "mounts.0.bytes": int64(303104), "mounts.0.last_day": int64(1), "complete": true,
		}},
		"journal.usage": {ok, f{
			"persistent": true, "mount": "/var/log/journal", "files": int64(4), "bytes": int64(327680), "broken": int64(1), "broken_last_day": int64(1), "complete": true,
		}},
		"boot.history":                     {ok, f{"known": false, "cut": false, "in_order": false, "age_seconds": int64(49366)}},
		"boot.history-byhand_cut":          {ok, f{"known": true, "cut": true, "in_order": false, "panicked": true, "last_message": "200 GET /", "age_seconds": int64(1200)}},
		"boot.history-byhand_order":        {ok, f{"known": true, "cut": false, "in_order": true, "panicked": false, "last_message": "Journal stopped"}},
		"boot.history-byhand_journal_only": {ok, f{"known": true, "cut": false, "in_order": true}},
		"logrotate.state-byhand_failed": {ok, f{
			"installed": true, "scheduled": true, "service_failed": true, "service_result": "exit-code", "service_status": int64(1), "last_run_age_seconds": int64(49188),
		}},
		"logrotate.state-byhand_redhat_off": {ok, f{
			"installed": true, "scheduled": false, "timer_state": "inactive", "service_failed": false, "last_run_age_seconds": int64(826788),
		}},
		"logrotate.state-byhand_none": {ok, f{"installed": false, "scheduled": false, "last_run_at": nil}},
		"fstab.check-wrong": {ok, f{
			"errors.#": 4, "errors.0.mount": "", "errors.0.message": "/etc/fstab: parse error at line 5 -- ignored", "errors.2.mount": "/srv/my-data",
			"errors.2.message": "unreachable on boot required source: UUID=aaaa-bbbb", "errors.3.mount": "none", "warnings": int64(2),
		}},
		"disk.io": {ok, f{"devices.#": 1, "devices.0.name": "vda", "devices.0.queued": int64(34), "processes.0.comm": "sh", "all_processes": false}},
		"disk.smart-byhand_pending": {ok, f{
			"passed": true, "pending": int64(24), "uncorrectable": int64(8), "reported_uncorrectable": int64(31), "reallocated": int64(16), "serial": "ZC11ABCD", "hours": int64(40211),
		}},
		"disk.smart-byhand_nvme": {ok, f{"passed": false, "critical_warning": int64(4), "uncorrectable": int64(17), "used_percent": int64(131)}},
		"disk.smart-byhand_user": {diagnostics.Denied, nil},
		"disk.smart-missing":     {diagnostics.Failed, nil},
		"quota.report-byhand_full": {ok, f{
			"reports": int64(3), "near.#": 3, "near.0.mount": "/home", "near.0.kind": "user", "near.0.account": "#1000", "near.0.used": int64(2 << 30), "near.0.full": true,
			"near.1.account": "#1002", "near.1.full": false, "near.2.kind": "project", "near.2.mount": "/srv/web", "near.2.files": int64(100000), "near.2.full": true,
		}},
		"quota.report-byhand_user": {diagnostics.Denied, nil},
		"pool.usage-byhand_full": {ok, f{
			"thin.#": 1, "thin.0.pool": "vg0/pool0", "thin.0.data_percent": 100.0, "btrfs.#": 1, "btrfs.0.mount": "/srv/data", "btrfs.0.size": int64(100<<30 + 17<<20),
			"btrfs.0.unallocated": int64(1 << 20), "btrfs.0.metadata": int64(4 << 30), "btrfs.0.metadata_used": int64(4<<30 - 4096), "btrfs.0.data_used": int64(60 << 30),
		}},
		"pool.usage-byhand_none":    {ok, f{"thin.#": 0, "btrfs.#": 0}},
		"memory.nodes":              {ok, f{"nodes.#": 1, "nodes.0.node": "node0", "nodes.0.total": int64(23582691328), "zone_reclaim": false}},
		"mount.answers":             {ok, f{"answers": true, "stale": false, "error": ""}},
		"mount.answers-byhand_hung": {ok, f{"answers": false, "stale": false, "error": "no answer within 3 seconds"}},
		"mount.answers-byhand_stale": {ok, f{
			"answers": false, "stale": true, "error": "stat: cannot read file system information for '/srv/nas': Stale file handle\n",
		}},
	}
}

// spareForHostFaults are readings without which the rest still says what it says.
func spareForHostFaults(c, name string) bool {
	probe, _, _ := strings.Cut(c, "-")
	return probe == "boot.history" && name != rawUptime || probe == "disk.io" && name == rawIONames
}

// TestNoAnswerIsNotAFailedReading: only the time limit says that the server does
// not answer; a reading that failed otherwise says nothing of it.
func TestNoAnswerIsNotAFailedReading(t *testing.T) {
	t.Parallel()
	c := readRecorded(t, "mount.answers-byhand_hung")
	for status, wanted := range map[diagnostics.Status]diagnostics.Status{
		diagnostics.TimedOut: diagnostics.OK, diagnostics.Failed: diagnostics.Failed, diagnostics.Denied: diagnostics.Denied,
	} {
		c.raws[0].Status = status
		if _, got := checkParsed(t, c.probe, c.raws, c.args); got != wanted {
			t.Errorf("%s becomes %s, want %s", status, got, wanted)
		}
	}
}

// A swap that was used since the boot and is quiet now moves nothing.
func TestRatesAreOfNow(t *testing.T) {
	t.Parallel()
	c := readRecorded(t, "memory.detail")
	text := string(c.raws[0].Data)
	first, second := strings.Index(text, "/proc/vmstat:pswpin "), strings.LastIndex(text, "/proc/vmstat:pswpin ")
	if first < 0 || second <= first {
		t.Fatal("the counter is not there twice")
	}
	put := func(before, after string) diagnostics.Value {
		line := func(s string) string { _, rest, _ := strings.Cut(s, "\n"); return rest }
		raw := c.raws[0]
		raw.Data = []byte(text[:first] + "/proc/vmstat:pswpin " + before + "\n" + line(text[first:second][0:]) + "/proc/vmstat:pswpin " + after + "\n" + line(text[second:]))
		value, status := checkParsed(t, c.probe, []diagnostics.Raw{raw}, nil)
		if status != diagnostics.OK {
			t.Fatalf("%s", status)
		}
		return value
	}
	if value := put("90000000", "90000000"); value["swapped_in"] != 0.0 {
		t.Errorf("quiet: %v bytes a second", value["swapped_in"])
	}
	if rate, _ := put("90000000", "90001000")["swapped_in"].(float64); rate < 3.9e6 || rate > 4.2e6 {
		t.Errorf("a thousand pages a second are %v bytes", rate)
	}
	if value := put("90000000", "12"); value["swapped_in"] != 0.0 {
		t.Errorf("a counter that fell: %v", value["swapped_in"])
	}
}

func TestReadingAndWritingIsCountedPerSecond(t *testing.T) {
	t.Parallel()
	sample := func(uptime, read, written, busy, mine string) string {
		return "/proc/diskstats:   8       0 sda 100 0 " + read + " 1000 200 0 " + written + " 4000 3 " + busy + " 5000\n/proc/uptime:" + uptime + " 1.00\n" +
			"/proc/1/io:read_bytes: 5\n/proc/1/io:write_bytes: 5\n/proc/812/io:read_bytes: " + mine + "\n/proc/812/io:write_bytes: 0\n"
	}
	raw := diagnostics.Raw{
		Name: rawIO, Status: diagnostics.OK,
		Data: []byte(sample("100.00", "4000", "8000", "9000", "1000000") + sample("102.00", "8000", "8000", "10800", "5000000") + "/proc/900/io:read_bytes: 99999999\nend\n"),
	}
	value, status := checkParsed(t, probeNamed(t, "disk.io"), []diagnostics.Raw{raw}, nil)
	if status != diagnostics.OK {
		t.Fatal(status)
	}
	for name, want := range map[string]any{
		"devices.#": 1, "devices.0.read": 1024000.0, "devices.0.written": 0.0, "devices.0.busy_percent": 90.0, "devices.0.queued": int64(3),
		// Process 900 began meanwhile: what it did before is not of this second. Process 1 did nothing.
		"processes.#": 1, "processes.0.pid": int64(812), "processes.0.read": 2000000.0, "processes.0.part_percent": 100.0, "all_processes": true,
	} {
		if got := dig(map[string]any(value), name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}

// TestAnErrorOfAFileSystemIsSeen makes a real ext4 stop writing.
func TestAnErrorOfAFileSystemIsSeen(t *testing.T) {
	point := mountExt4(t, 8, 64)
	run(t, "mount", "-o", "remount,errors=remount-ro", point)
	find := func() map[string]any {
		value, status := readHere(t, "disk.mounts", nil)
		for _, m := range value["mounts"].([]any) {
			if m := m.(map[string]any); m["mount"] == point && status == diagnostics.OK {
				return m
			}
		}
		t.Fatalf("%s: %v", status, value)
		return nil
	}
	before := find()
	if before["read_only"] != false || before["emergency"] != false || before["errors"] != int64(0) {
		t.Errorf("before: %v", before)
	}
	device := before["kernel_name"].(string)
	if err := os.WriteFile("/sys/fs/ext4/"+device+"/trigger_fs_error", []byte("x"), 0); err != nil {
		requireReal(t, false, "a kernel that lets ext4 errors be made ("+err.Error()+")")
	}
	if after := find(); after["read_only"] != true || after["errors"] != int64(1) {
		t.Errorf("after: %v", after)
	}
	value, status := readHere(t, "kernel.log", nil)
	if status != diagnostics.OK {
		t.Skipf("the kernel's log: %s", status)
	}
	events := value["events"].([]any)
	if !slices.ContainsFunc(events, func(e any) bool {
		m := e.(map[string]any)
		return m["kind"] == "fs_error" && m["object"] == device && m["age_seconds"].(int64) < 60
	}) {
		t.Errorf("no error of %s in %v", device, events)
	}
}
