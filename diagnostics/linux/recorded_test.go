package linux

import (
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
		"host.load":          {ok, f{"cpus": int64(2), "load1": 7.61, "mem_total": int64(25276510208), "uptime_seconds": int64(2588)}},
		"http.get":           {ok, f{"reachable": true, "status": int64(200), "error": ""}},
		"http.get-404":       {ok, f{"reachable": true, "status": int64(404)}},
		"http.get-refused":   {ok, f{"reachable": false, "status": int64(0)}},
		"http.get-no-name":   {ok, f{"reachable": false}},
	}
}

func TestRecordedOutputsAreUnderstood(t *testing.T) {
	t.Parallel()
	expected := wants()
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
	return c == "disk.deleted_open-none" && name == rawDetails || strings.HasPrefix(name, "psi_") ||
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
	switch raw {
	case rawList, rawJournal, rawSockets, rawTail, rawPIDFile:
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
