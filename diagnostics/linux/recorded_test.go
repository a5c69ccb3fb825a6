package linux

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/secondline-ops/secondline/diagnostics"
)

// want is the status of a recorded case with some of its fields; a name such
// as "files.0.path" goes down into lists.
type want struct {
	status diagnostics.Status
	fields map[string]any
}

func wants() map[string]want {
	type f = map[string]any
	ok, invalid := diagnostics.OK, func(file string, line int64) want {
		return want{diagnostics.OK, f{"known": true, "valid": false, "file": file, "line": line}}
	}
	return map[string]want{
		"disk.filesystems": {ok, f{
			"filesystems.#": 11, "filesystems.0.mount": "/", "filesystems.0.device": "/dev/vda",
			"filesystems.5.mount": "/srv/broken", "filesystems.5.read_only": true,
			"filesystems.7.mount": "/srv/my disk", "filesystems.7.inodes_free": int64(0), "filesystems.7.read_only": false,
		}},
		"disk.usage-spaces": {ok, f{
			"mount": "/srv/my disk", "type": "ext4", "size": int64(7254016), "used": int64(16384), "available": int64(6651904),
			"reserved": int64(585728), "inodes": int64(64), "inodes_used_percent": 100.0, "read_only": false,
		}},
		"disk.usage-emergency_ro": {ok, f{"mount": "/srv/broken", "read_only": true}},
		"disk.usage-absent":       {diagnostics.Absent, nil},
		"disk.growers": {ok, f{
			"files.#": 2, "files.0.path": "/srv/full/log/orders.log.1", "files.0.open_for_write": false, "files.0.log": true,
			"files.1.path": "/srv/full/log/orders.log", "files.1.open_for_write": true, "files.1.size": int64(102400),
			"log_bytes": int64(819200), "files_bytes": int64(831488), "complete": true,
		}},
		"disk.growers-user": {ok, f{"complete": false}},
		"disk.deleted_open": {ok, f{
			"files.#": 1, "files.0.comm": "sleep", "files.0.unit": "orders.service", "files.0.fd": int64(9),
			"files.0.path": "/srv/full/log/gone.log", "files.0.append": true, "bytes": int64(307200), "complete": true,
		}},
		"disk.deleted_open-none": {ok, f{"files.#": 0, "bytes": int64(0), "complete": true}},
		"disk.deleted_open-user": {ok, f{"files.#": 0, "complete": false}},
		"disk.inode_dirs":        {ok, f{"dirs.0.path": "/srv/my disk/sess/a b", "dirs.0.entries": int64(51)}},
		"dir.usage": {ok, f{
			"exists": true, "bytes": int64(819200), "files": int64(2), "complete": true,
			"newest_at": time.Date(2026, 11, 22, 0, 37, 31, 368646231, time.UTC),
		}},
		"dir.usage-absent": {ok, f{"exists": false, "bytes": int64(0)}},
		"file.stat":        {ok, f{"exists": true, "mode": "0644", "uid": int64(0), "is_dir": false}},
		"log.tail":         {ok, f{"exists": true, "lines.#": 50}},
		"unit.status-active": {ok, f{
			"exists": true, "active_state": "active", "restarts": int64(0), "main_pid": int64(51),
			"exec_start":   "/usr/sbin/nginx -g daemon on; master_process on;",
			"active_since": time.Date(2026, 11, 22, 0, 26, 29, 0, time.UTC),
		}},
		"unit.status-failed": {ok, f{
			"active_state": "failed", "result": "exit-code", "exec_main_code": "exited", "exec_main_status": int64(3), "restarts": int64(5),
		}},
		"unit.status-absent": {ok, f{"exists": false, "load_state": "not-found"}},
		"unit.status-mount":  {ok, f{"exists": true, "sub_state": "mounted"}},
		"unit.failed": {ok, f{
			"units.#": 3, "units.0.unit": "crashy.service", "units.0.restarts": int64(5),
			"units.1.unit": "looping.service", "units.1.sub_state": "auto-restart",
		}},
		"package.updates": {ok, f{
			"pending": int64(2), "security": int64(1), "updates.#": 2, "updates.0.package": "label-fonts", "updates.0.from": "1.0",
			"updates.0.to": "1.0+deb12u1", "updates.0.security": true, "updates.1.to": "1.1", "updates.1.security": false,
		}},
		"package.updates-none": {ok, f{"pending": int64(0), "security": int64(0), "updates.#": 0}},
		"unit.journal-crash": {ok, f{
			"start_limit_hit": true, "restart_counter": int64(5), "address_in_use": false, "last_error": "config error: no such table",
		}},
		"unit.journal-none":               {ok, f{"lines.#": 0, "start_limit_hit": false}},
		"unit.journal-user":               {diagnostics.Denied, nil},
		"unit.journal-port":               {ok, f{"address_in_use": true, "start_limit_hit": false}},
		"config.validate-nginx":           invalid("/etc/nginx/conf.d/bad.conf", 1),
		"config.validate-nginx-user":      invalid("/etc/nginx/conf.d/bad.conf", 1),
		"config.validate-nginx-valid":     {ok, f{"known": true, "valid": true, "message": "", "validator": "nginx -t"}},
		"config.validate-sshd":            invalid("/etc/ssh/sshd_config", 123),
		"config.validate-sshd-valid":      {ok, f{"known": true, "valid": true}},
		"config.validate-haproxy":         invalid("/etc/haproxy/haproxy.cfg", 35),
		"config.validate-named":           invalid("/etc/bind/named.conf", 12),
		"config.validate-sudo":            invalid("/etc/sudoers", 55),
		"config.validate-apache2":         invalid("/etc/apache2/apache2.conf", 226),
		"config.validate-unbound":         invalid("/etc/unbound/unbound.conf.d/x.conf", 3),
		"config.validate-postfix":         invalid("/etc/postfix/main.cf", 25),
		"config.validate-php-fpm":         invalid("/etc/php/8.2/fpm/pool.d/www.conf", 491),
		"config.validate-dnsmasq":         invalid("/etc/dnsmasq.conf", 2),
		"config.validate-unit-wrong":      invalid("/etc/systemd/system/bad.service", 4),
		"config.validate-unit-no-program": invalid("", 0),
		"config.validate-unit-fine":       {ok, f{"known": false, "valid": true}},
		"config.validate-unit-absent":     {diagnostics.Absent, nil},
		// An ordinary user may not read what the validator needs: that is no broken configuration.
		"config.validate-nginx-valid-user": {diagnostics.Denied, nil},
		"config.validate-sshd-valid-user":  {diagnostics.Denied, nil},
		"config.validate-sudo-user":        {diagnostics.Denied, nil},
		"config.validate-squid-missing":    {diagnostics.Failed, nil},
		"process.match": {ok, f{
			"running": true, "pids.0": "182", "pid_file_exists": true, "pid_file_pid": int64(182), "stale_pid_file": false,
		}},
		"process.match-stale": {ok, f{"running": false, "pids.#": 0, "pid_file_pid": int64(99999), "stale_pid_file": true}},
		"process.top":         {ok, f{"zombies": int64(1), "d_state": int64(0)}},
		"net.listeners": {ok, f{
			"listeners.#": 4, "listeners.0.address": "0.0.0.0", "listeners.0.port": int64(22), "listeners.0.process": "sshd",
			"listeners.0.unit": "ssh.service", "listeners.3.address": "::", "listeners.3.unit": "nginx.service",
		}},
		"net.listeners-user": {ok, f{"listeners.#": 4, "listeners.0.pid": int64(0), "listeners.0.unit": ""}},
		"host.cpu":           {ok, f{"cpus": int64(2), "interrupt_cpu": int64(1), "packets_dropped": int64(0)}},
		"host.ceilings":      {ok, f{"file_max": int64(2466186), "pid_max": int64(4194304), "groups.#": 0, "users.#": 0}},
		"host.ceilings-byhand_cgroup": {ok, f{ // the users are real, the files of the cgroups are not
			"groups.0.unit": "label-server.service", "groups.0.used_percent": 100.0, "groups.0.refused": int64(312), "groups.1.limit": int64(0),
			"users.0.uid": int64(1234), "users.0.threads": int64(37), "users.0.limit": int64(40), "users.0.used_percent": 92.5,
		}},
		// A file system was frozen, a process stopped, and 60 children were not waited for.
		"process.states": {ok, f{
			"blocked.#": 1, "blocked.0.comm": "dd", "blocked.0.waits_in": "percpu_rwsem_wait", "stopped.0.comm": "sleep", "stopped.0.traced": false,
			"zombies": int64(60), "parents.#": 1, "parents.0.zombies": int64(60),
		}},
		"process.states-none":       {ok, f{"blocked.#": 0, "stopped.#": 0, "parents.#": 0, "zombies": int64(0)}},
		"process.files":             {ok, f{"processes.#": 3, "processes.0.sockets": int64(0)}},
		"process.files-socket_leak": {ok, f{"processes.0.comm": "python3", "processes.0.limit": int64(64), "processes.0.hard_limit": int64(256), "processes.0.sockets": int64(60)}},
		"kernel.settings":           {ok, f{"drift.#": 0, "choking.#": 0}},
		"kernel.settings-few_ports": {ok, f{
			"drift.#": 1, "drift.0.key": "net.core.somaxconn", "drift.0.declared": "4096", "drift.0.live": "128",
			"choking.#": 1, "choking.0.key": "net.ipv4.ip_local_port_range", "choking.0.file": "/etc/sysctl.d/60-source-ports.conf",
		}},
		"kernel.installed":              {ok, f{"newest": "", "newer_installed": false, "modules_missing": false}},
		"kernel.installed-byhand_newer": {ok, f{"newest": "6.1.0-28-amd64", "newer_installed": true, "modules_missing": true, "reboot_required": true}},
		"package.state":                 {ok, f{"broken.#": 0, "interrupted": false, "locked": false}},
		"package.state-unpacked":        {ok, f{"broken.#": 1, "broken.0.package": "shop-tools", "broken.0.state": "unpacked", "locked": false}},
		"package.state-locked":          {ok, f{"locked": true, "holder_pid": int64(141), "holder": "apt-get - upgrade", "holder_state": "S", "holder_seconds": int64(3)}},
		"package.changes": {ok, f{
			"changes.#": 3, "changes.0.package": "redis-server", "changes.0.from": "", "runs.0.unattended": false, "runs.0.packages.#": 4,
		}},
		"package.changes-byhand_unattended": {ok, f{
			"changes.0.at": time.Date(2026, 11, 22, 5, 12, 3, 0, time.UTC), "runs.#": 1, "runs.0.unattended": true, "runs.0.packages.0": "redis-server",
			"runs.0.ended_at": time.Date(2026, 11, 22, 5, 12, 9, 0, time.UTC),
		}},
		"unit.settings-byhand_env": {ok, f{
			"result": "resources", "environment_files.#": 2, "environment_files.0.optional": true, "missing_file": "/etc/orders/orders.env", "file_state": "enabled",
		}},
		"unit.settings-byhand_masked": {ok, f{"load_state": "masked", "masked_at": time.Date(2026, 11, 22, 13, 1, 9, 0, time.UTC)}},
		"unit.settings-byhand_socket": {ok, f{"port": int64(8099), "triggers.0": "ticket-hook.service", "missing_file": ""}},
		"unit.dependents-byhand": {ok, f{
			"units.#": 2, "units.0.unit": "orders.service", "units.0.leaf": "srv-receipts.mount", "units.0.through": "",
			"units.1.unit": "orders-report.service", "units.1.leaf": "srv-receipts.mount", "units.1.through": "orders.service",
		}},
		"unit.dependents-byhand_none": {ok, f{"units.#": 0}},
		"unit.timers-byhand": {ok, f{
			"timers.#": 2, "timers.0.timer": "orders-sweep.timer", "timers.0.active_state": "inactive", "timers.0.next_known": false, "timers.0.was_started": true,
			"timers.1.next_known": true, "timers.1.job_state": "failed", "timers.1.job_status": int64(2), "cron": "cron.service", "cron_state": "active",
			"ignored.#": 3, "ignored.0.path": "/etc/cron.d/backup.sh", "ignored.1.path": "/etc/cron.d/copy-settings", "ignored.2.path": "/etc/cron.d/report",
		}},
		"unit.switched_off-byhand": {ok, f{
			"units.#": 2, "units.0.unit": "nginx.service", "units.0.how": "masked", "units.0.age_seconds": int64(1131), "units.1.unit": "redis-server.service", "units.1.how": "disabled",
		}},
		"unit.sockets-byhand": {ok, f{"sockets.#": 1, "sockets.0.socket": "ticket-hook.socket", "sockets.0.service": "ticket-hook.service", "sockets.0.port": int64(8099)}},
		"host.locale":         {ok, f{"zone": "Etc/UTC", "zones_differ": false, "language": "", "language_missing": false, "collation_complaint": ""}},
		"host.locale-byhand_collation": {ok, f{
			"zone": "Europe/Berlin", "declared_zone": "America/New_York", "zones_differ": true, "language": "de_DE.UTF-8", "language_missing": true,
			"collation_complaint": `2026-11-22 13:10:00 UTC [77] app@orders WARNING:  database "orders" has a collation version mismatch`,
		}},
		"unit.throttling-none":   {ok, f{"units.#": 0, "groups": int64(0)}},
		"process.progress-loop":  {ok, f{"read": int64(0), "written": int64(0), "calls": int64(0), "cpu_seconds": 0.09, "age_seconds": int64(2)}},
		"process.progress-gzip":  {ok, f{"read": int64(2129920), "written": int64(2097152), "age_seconds": int64(4)}},
		"process.progress-gone":  {diagnostics.Absent, nil},
		"unit.throttling-byhand": {ok, f{"units.#": 1, "units.0.unit": "label-server.service", "units.0.throttled": int64(18), "groups": int64(2)}},
		"host.load":              {ok, f{"cpus": int64(2), "load1": 7.61, "mem_total": int64(25276510208), "uptime_seconds": int64(2588)}},
		"kernel.log": {ok, f{
			"source": "dmesg", "events.#": 5, "events.0.kind": "segfault", "events.0.object": "python3", "events.0.pid": int64(1333334),
			"events.1.kind": "pids_rejected", "events.1.object": "/ca.slice", "events.2.kind": "oom_kill_cgroup", "events.2.age_seconds": int64(33),
			"events.3.kind": "fs_readonly", "events.3.object": "loop0", "events.4.kind": "fs_error", "events.4.count": int64(2), "events.4.last_hour": int64(2),
			"oom_kills.#": 1, "oom_kills.0.in_cgroup": true, "oom_kills.0.cgroup": "/ca.slice", "oom_kills.0.unit": "orders.service",
			"oom_kills.0.process": "python3", "oom_kills.0.rss": int64(69173248), "oom_kills.0.largest": "python3", "oom_kills.0.largest_pid": int64(1332771),
		}},
		"kernel.log-user":  {diagnostics.Denied, nil},
		"http.get":         {ok, f{"reachable": true, "status": int64(200), "error": ""}},
		"http.get-404":     {ok, f{"reachable": true, "status": int64(404)}},
		"http.get-refused": {ok, f{"reachable": false, "status": int64(0)}},
		"http.get-no-name": {ok, f{"reachable": false}},
	}
}

func TestRecordedOutputsAreUnderstood(t *testing.T) {
	t.Parallel()
	expected := wants()
	maps.Copy(expected, hostFaultWants())
	maps.Copy(expected, networkWants())
	for _, c := range allRecorded(t) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w, known := expected[c.name]
			if !known {
				t.Fatal("nothing is expected of this recording")
			}
			value, status := checkParsed(t, c.probe, c.raws, c.args)
			if status != w.status {
				t.Fatalf("status %s, want %s", status, w.status)
			}
			for name, wanted := range w.fields {
				if diff := cmp.Diff(wanted, dig(map[string]any(value), name)); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
			}
		})
	}
	for name := range expected {
		readRecorded(t, name)
	}
}

// dig goes down by names and indices; "#" is the length of a list.
func dig(v any, name string) any {
	for part := range strings.SplitSeq(name, ".") {
		switch x := v.(type) {
		case map[string]any:
			v = x[part]
		case []any:
			if part == "#" {
				return len(x)
			}
			i := int(part[0] - '0')
			if i >= len(x) {
				return nil
			}
			v = x[i]
		}
	}
	return v
}

// spare are readings without which the rest still says what it says.
func spare(c, name string) bool {
	return c == "disk.deleted_open-none" && name == rawDetails || strings.HasPrefix(name, "psi_") || strings.HasPrefix(name, "limits_") || name == rawSliceV1 || c == "unit.throttling-byhand" && name == rawSlice || spareForHostFaults(c, name) || spareForNetworks(c, name) ||
		slices.Contains([]string{rawConfigFile, rawUser, rawWriters, rawCgroups, netSizes(0)}, name)
}

func TestABrokenReadingIsNeverAnAnswer(t *testing.T) {
	t.Parallel()
	breakages := map[string]func(r *diagnostics.Raw){
		"failed":    func(r *diagnostics.Raw) { r.Status, r.Error, r.Data = diagnostics.Failed, "connection lost", nil },
		"timed out": func(r *diagnostics.Raw) { r.Status, r.Error, r.Data = diagnostics.TimedOut, "no answer", nil },
		"denied":    func(r *diagnostics.Raw) { r.Status, r.Error, r.Data = diagnostics.Denied, "not allowed", nil },
		"not started": func(r *diagnostics.Raw) {
			r.ExitCode, r.Error, r.Data = exitNotFound, "sh: no such program", []byte("sh: no such program\n")
		},
		"empty": func(r *diagnostics.Raw) { r.Data = nil },
		"refused half way": func(r *diagnostics.Raw) {
			if slices.Contains([]string{rawShow, rawList, rawReal, rawSamples, rawTail}, r.Name) {
				r.ExitCode, r.Error = 1, "no more"
				return
			}
			r.Status, r.Data = diagnostics.Failed, nil
		},
	}
	for _, c := range allRecorded(t) {
		if _, status, _ := c.probe.Parse(c.raws, c.args); status != diagnostics.OK {
			continue
		}
		for i, raw := range c.raws {
			isFile := strings.HasPrefix(raw.Command, "read ") || strings.HasPrefix(raw.Command, "stat /") || strings.HasPrefix(raw.Command, "statfs ")
			for name, breakIt := range breakages {
				if raw.Name == rawAnswer && name == "timed out" { // that is the answer
					continue
				}
				if spare(c.name, raw.Name) || name == "not started" && isFile || emptyMeansNone(c.name, raw.Name, name) || raw.Status != diagnostics.OK {
					continue
				}
				raws := slices.Clone(c.raws)
				breakIt(&raws[i])
				if _, status := checkParsed(t, c.probe, raws, c.args); status.Tells() {
					t.Errorf("%s: %s is %s, and the fact %s", c.name, raw.Name, name, status)
				}
			}
			if c.raws = slices.Clone(c.raws); !spare(c.name, raw.Name) {
				without := slices.Delete(slices.Clone(c.raws), i, i+1)
				if _, status := checkParsed(t, c.probe, without, c.args); status.Tells() {
					t.Errorf("%s: without %s the fact is %s", c.name, raw.Name, status)
				}
			}
		}
	}
}

// emptyMeansNone is for commands that print nothing when there is nothing.
func emptyMeansNone(c, raw, breakage string) bool {
	if breakage != "empty" {
		return false
	}
	if networkEmptyIsNone(c, raw) {
		return true
	}
	switch raw {
	case rawLocks, rawHolderArgs, rawTimezone, rawLocaleOld, rawList, rawJournal, rawSockets, rawTail, rawPIDFile:
		return true
	case rawValidator: // exit status 0, and no word of complaint
		return strings.HasSuffix(c, "-valid") || strings.HasSuffix(c, "-fine")
	}
	return false
}

func TestACutReadingIsNeverWhole(t *testing.T) {
	t.Parallel()
	for _, c := range allRecorded(t) {
		if _, status, _ := c.probe.Parse(c.raws, c.args); status != diagnostics.OK {
			continue
		}
		for i, raw := range c.raws {
			if spare(c.name, raw.Name) || raw.Name == rawPIDFile || raw.Status != diagnostics.OK {
				continue
			}
			for _, said := range []diagnostics.Status{diagnostics.Truncated, diagnostics.OK} {
				raws := slices.Clone(c.raws)
				raws[i].Status, raws[i].Truncated, raws[i].Data = said, true, raw.Data[:len(raw.Data)/2]
				value, status := checkParsed(t, c.probe, raws, c.args)
				if complete, has := value["complete"]; status.Tells() && (!has || complete == true) {
					t.Errorf("%s: %s is cut, and the fact %s, complete: %v", c.name, raw.Name, status, complete)
				}
			}
		}
	}
}
