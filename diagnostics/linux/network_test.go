package linux

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/remote"
)

// networkWants is what the recordings about networks, certificates, accounts
// and web servers mean. Those of a network were made in namespaces with the
// fault really there; "byhand" ones are written in the form of the program.
func networkWants() map[string]want {
	type f = map[string]any
	ok := diagnostics.OK
	return map[string]want{
		"net.counters-quiet":        {ok, f{"listen_overflows": int64(0), "in_missing": int64(0), "reverse_path_drops": int64(0), "interfaces.0.name": "eth0", "interfaces.0.up": true, "interfaces.0.mtu": int64(1400), "interfaces.1.up": false}},
		"dns.servers-fine":          {ok, f{"silent": int64(0), "configured": true, "servers.0.answers": true, "servers.0.said": "NXDOMAIN"}},
		"net.counters-overflow":     {ok, f{"listen_overflows": int64(22), "listen_drops": int64(22), "syn_retrans": int64(12), "interfaces.#": 0, "conntrack_max": int64(262144)}},
		"net.counters-dropped":      {ok, f{"retrans_segs": int64(1), "syn_retrans": int64(1), "in_missing": int64(0)}},
		"net.counters-lossy":        {ok, f{"retrans_segs": int64(58), "syn_retrans": int64(0), "in_missing": int64(0), "interfaces.0.name": "v0", "interfaces.0.up": true}},
		"net.counters-reverse_path": {ok, f{"reverse_path_drops": int64(19), "in_missing": int64(0), "interfaces.#": 2, "interfaces.0.state": "up"}},
		"net.tcp-lossy":             {ok, f{"destinations.#": 1, "destinations.0.repeating": int64(5), "destinations.0.established": int64(8)}},
		"net.tcp-backlog":           {ok, f{"backlogs.#": 1, "backlogs.0.port": int64(8080), "backlogs.0.waiting": int64(2), "backlogs.0.limit": int64(1), "backlogs.0.full": true}},
		"net.tcp-ports":             {ok, f{"local_ports": int64(6), "destinations.0.ports_used": int64(6), "destinations.0.ports_percent": 100.0, "destinations.0.time_wait": int64(6)}},
		"net.tcp-unanswered":        {ok, f{"destinations.#": 1, "destinations.0.address": "10.77.0.14", "destinations.0.port": int64(5432), "destinations.0.unanswered": int64(1)}},
		"firewall.rules-drops":      {ok, f{"drops_by_policy": true, "rules.#": 2, "rules.0.hook": "output", "rules.0.port_low": int64(1024), "rules.0.port_high": int64(65535), "rules.1.counted": false, "rules.1.packets": int64(0)}},
		"dns.servers-mixed":         {ok, f{"silent": int64(2), "servers.0.said": "NOERROR", "servers.1.said": "port closed", "servers.1.refused": true, "servers.2.said": "no answer", "options": "timeout:2"}},
		"dns.servers-silent":        {ok, f{"silent": int64(2), "configured": true, "dangling": false}},
		"dns.overrides-stale":       {ok, f{"names.#": 2, "names.0.name": "db1.lab.internal", "names.0.address": "10.77.0.40", "names.0.dns.0": "10.77.0.14", "names.0.differs": true, "names.1.differs": false}},
		"dns.name-found":            {ok, f{"resolved": true, "addresses.0": "10.77.0.40", "servers.0.dns.0": "10.77.0.14", "servers.1.said": "port closed"}},
		"dns.name-unknown":          {ok, f{"resolved": false, "servers.0.said": "NXDOMAIN", "servers.0.dns.#": 0}},
		"dns.name-silent":           {ok, f{"resolved": false, "servers.1.said": "no answer"}},
		"tls.file-expired":          {ok, f{"exists": true, "expired": true, "serial": "17", "chain_length": int64(1), "names.0": "orders.lab.internal"}},
		"tls.file-chain":            {ok, f{"expired": false, "chain_length": int64(2), "chain_fits": true, "self_signed": false}},
		"tls.file-absent":           {ok, f{"exists": false}},
		"tls.served-expired":        {ok, f{"answers": true, "expired": true, "name_matches": true}},
		"tls.served-name":           {ok, f{"answers": true, "expired": false, "name_matches": false}},
		"tls.served-refused":        {ok, f{"answers": false, "error": "Connection refused"}},
		"tls.served-plain":          {ok, f{"answers": false, "error": "it answers, and not with a certificate"}},
		"tls.key_pair-matches":      {ok, f{"matches": true}},
		"tls.key_pair-other":        {ok, f{"matches": false}},
		"web.config-lab":            {ok, f{"sites.#": 1, "sites.0.address": "127.0.0.1:443", "sites.0.certificate": "/etc/nginx/tls/orders.crt", "backends.#": 2, "backends.0.down": false, "backends.1.down": true, "complete": true}},
		"web.errors-lab":            {ok, f{"faults.#": 2, "faults.0.kind": "upstream_slow", "faults.0.upstream": "127.0.0.1:9001", "faults.1.kind": "upstream_refused", "faults.1.recent": int64(2), "faults.1.age_seconds": int64(12)}},
		"account.state-aged":        {ok, f{"exists": true, "password_expired": true, "account_expired": false}},
		"account.state-ended":       {ok, f{"password_expired": false, "account_expired": true}},
		"account.state-fine":        {ok, f{"exists": true, "password_expired": false, "account_expired": false}},
		"account.state-absent":      {ok, f{"exists": false}},
		"ssh.modes-open":            {ok, f{"bad": "/srv/home/x", "mode": "0775", "why": "writable by others"}},
		"ssh.modes-other":           {ok, f{"bad": "/srv/home/y/.ssh", "why": "owned by another user"}},
		"ssh.modes-fine":            {ok, f{"exists": true, "bad": ""}},
		"ssh.modes-absent":          {ok, f{"exists": false}},
		"sudo.state-fine":           {ok, f{"rules_accepted": true, "setuid": true}},
		"sudo.state-syntax":         {ok, f{"rules_accepted": false, "file": "/etc/sudoers.d/deploy", "line": int64(1)}},
		"sudo.state-no-setuid":      {ok, f{"setuid": false}},
		"log.recent-byhand_user":    {diagnostics.Denied, nil},
		"log.recent-byhand_none":    {ok, f{"complaints.#": 0, "complete": true}},
		"log.recent-byhand": {ok, f{
			"complete": true, "complaints.0.kind": "account_locked", "complaints.0.user": "mia", "complaints.1.kind": "key_mismatch",
			"complaints.1.path": "/etc/nginx/tls/orders.key", "complaints.2.kind": "name_temporary", "complaints.3.kind": "host_key_changed",
			"complaints.4.kind": "sudo", "complaints.5.kind": "no_route", "complaints.5.peer": "10.77.0.40:5432", "complaints.5.count": int64(2),
			"complaints.5.age_seconds": int64(400), "complaints.6.kind": "ssh_modes", "complaints.6.path": "/home/x", "complaints.7.kind": "password_expired",
			"complaints.7.user": "ops", "complaints.8.kind": "permission_denied", "complaints.8.path": "/var/log/orders/orders.log", "complaints.#": 9,
		}},
		"time.sync-byhand_chrony":  {ok, f{"kept": true, "running": true, "synchronised": true, "has_source": true, "source": "192.168.0.1", "unit": "chrony.service"}},
		"time.sync-byhand_stopped": {ok, f{"kept": true, "running": false, "synchronised": false, "unit": "systemd-timesyncd.service"}},
		// Its own condition keeps it from starting there: the host keeps the clock.
		"time.sync-byhand_container": {ok, f{"kept": false, "running": false}},
		"unit.exporters-byhand":      {ok, f{"units.#": 1, "units.0.unit": "prometheus-node-exporter.service", "units.0.meant_to_run": true, "units.0.active_state": "inactive"}},
		"unit.access-byhand_none":    {ok, f{"denied.#": 0, "user": "orders"}},
		"unit.access-byhand_log": {ok, f{
			"uid": int64(990), "denied.0.path": "/var/log/orders/orders.log", "denied.0.blocked": "/var/log/orders/orders.log", "denied.0.why": "not readable",
			"denied.0.owner": int64(0), "denied.0.mode": "0600", "denied.0.like": "/var/log/orders",
		}},
		"unit.access-byhand_spool": {ok, f{
			"denied.0.blocked": "/var/spool/orders", "denied.0.why": "not writable", "denied.0.exists": false, "denied.0.owner": int64(0), "denied.0.like": "/var/log/orders",
		}},
	}
}

// spareForNetworks are readings of these probes that may say nothing.
func spareForNetworks(c, name string) bool {
	return strings.HasPrefix(c, "unit.access") && slices.Contains(ownPlaces("orders"), strings.TrimPrefix(name, "stat ")) ||
		c == "ssh.modes-absent"
}

// networkEmptyIsNone are files that may be empty, and programs that print
// nothing when they find nothing.
func networkEmptyIsNone(c, raw string) bool {
	return slices.Contains([]string{rawResolvConf, rawHosts}, raw) || raw == rawGetent && c != "dns.name-found" || raw == rawSudo
}

func TestErrorLogsAreReadInTheirOwnZone(t *testing.T) {
	t.Parallel()
	read := time.Date(2026, 11, 22, 13, 40, 0, 0, time.UTC)
	log := webLogFile{"/var/log/x/error.log", "x.service", read.Add(-20 * time.Second)}
	cases := map[string]struct {
		text, kind, upstream string
		recent               int64
	}{
		"nginx, two hours east":   {"2026/11/22 15:39:40 [alert] 7#7: 768 worker_connections are not enough\n", "worker_limit", "", 1},
		"apache, five hours west": {"[Sun Nov 22 08:39:40.123456 2026] [mpm_event:error] [pid 1:tid 2] AH00484: server reached MaxRequestWorkers setting, consider raising the MaxRequestWorkers setting\n", "worker_limit", "", 1},
		"php-fpm":                 {"[22-Nov-2026 13:39:40] WARNING: [pool www] server reached pm.max_children setting (5), consider raising it\n", "worker_limit", "", 1},
		"a socket":                {`2026/11/22 13:39:40 [crit] 7#7: *1 connect() to unix:/run/php.sock failed (13: Permission denied) while connecting to upstream, client: 1.2.3.4, upstream: "fastcgi://unix:/run/php.sock:", host: "a"` + "\n", "upstream_denied", "unix:/run/php.sock", 1},
		"six minutes old":         {"2026/11/22 13:33:40 [alert] 7#7: 768 worker_connections are not enough\n2026/11/22 13:39:40 [warn] 7#7: something else\n", "worker_limit", "", 0},
	}
	for name, c := range cases {
		found := newWebErrorReader().troubles(log, []byte(c.text), read)
		if len(found) != 1 || found[0].kind != c.kind || found[0].upstream != c.upstream || found[0].recent != c.recent {
			t.Errorf("%s: %+v", name, found)
		}
	}
}

func TestNginxOfOneLineAndApache(t *testing.T) {
	t.Parallel()
	w := &webReader{}
	w.line("/etc/nginx/nginx.conf", "server { listen 8443 ssl; server_name _ a.example.org; ssl_certificate tls/a.crt; ssl_certificate_key $k; }")
	w.line("/etc/nginx/conf.d/b.conf", "upstream u { server 10.0.0.1:80; server unix:/run/x.sock down; }")
	w.line("/etc/nginx/conf.d/b.conf", "server {")
	w.line("/etc/nginx/conf.d/b.conf", "listen 80;")
	w.line("/etc/apache2/sites-enabled/c.conf", "<VirtualHost *:443>")
	w.line("/etc/apache2/sites-enabled/c.conf", "  ServerName c.example.org:443")
	w.line("/etc/apache2/sites-enabled/c.conf", `  SSLCertificateFile "/etc/ssl/certs/c.pem"`)
	w.line("/etc/apache2/sites-enabled/c.conf", "</VirtualHost>")
	w.flush()
	if len(w.sites) != 2 || w.sites[0].certificate != "/etc/nginx/tls/a.crt" || w.sites[0].key != "" || w.sites[0].address != "127.0.0.1:8443" ||
		!slices.Equal(w.sites[0].names, []string{"a.example.org"}) || w.sites[1].unit != "apache2.service" || w.sites[1].certificate != "/etc/ssl/certs/c.pem" {
		t.Errorf("%+v", w.sites)
	}
	if len(w.backends) != 2 || w.backends[0]["down"] != false || w.backends[1]["down"] != true || w.backends[1]["server"] != "unix:/run/x.sock" {
		t.Errorf("%+v", w.backends)
	}
}

func TestPermissionBitsAsTheKernelReadsThem(t *testing.T) {
	t.Parallel()
	file := remote.FileInfo{Mode: 0o640, UID: 5, GID: 6}
	for _, c := range []struct {
		who  person
		want bool
	}{{person{uid: 5}, true}, {person{uid: 9, groups: []uint32{6}}, false}, {person{uid: 9}, false}, {person{uid: 0}, true}} {
		if got := c.who.may(file, 0o6); got != c.want {
			t.Errorf("%+v: %v", c.who, got)
		}
	}
	// The owner's bits count for the owner, also where the others have more.
	if (person{uid: 5}).may(remote.FileInfo{Mode: 0o077, UID: 5}, 0o4) {
		t.Error("the owner reads a file of mode 0077")
	}
}

func TestIptablesRules(t *testing.T) {
	t.Parallel()
	p := probeNamed(t, "firewall.rules")
	look := ":INPUT DROP [3:180]\n[12:720] -A INPUT -p tcp -m tcp --dport 5432 -j DROP\n[5:9] -A f2b-sshd -s 10.0.0.9/32 -j REJECT --reject-with icmp-port-unreachable\n[9:9] -A INPUT -i lo -j ACCEPT\n"
	raw := diagnostics.Raw{Name: rawSamples, Status: diagnostics.OK, Data: []byte(look + "sample\n" + strings.Replace(look, "[12:720]", "[14:840]", 1) + "sample\n")}
	value, status := checkParsed(t, p, []diagnostics.Raw{raw}, nil)
	if status != diagnostics.OK || dig(map[string]any(value), "rules.0.packets") != int64(2) || dig(map[string]any(value), "rules.0.port_low") != int64(5432) ||
		dig(map[string]any(value), "rules.#") != 2 || value["drops_by_policy"] != true {
		t.Errorf("%s %v", status, value)
	}
	raw.ExitCode, raw.Data = 1, []byte("Operation not permitted (you must be root)\n")
	if _, status := checkParsed(t, p, []diagnostics.Raw{raw}, nil); status != diagnostics.Denied {
		t.Errorf("an ordinary user: %s", status)
	}
}

func FuzzDNSMessage(f *testing.F) {
	f.Add([]byte("\x53\x4c\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00\x01a\x00\x00\x01\x00\x01\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x0a\x4d\x00\x0e"))
	f.Fuzz(func(t *testing.T, msg []byte) {
		var a answer
		if !a.read(msg) && len(a.addresses) > 0 {
			t.Error("addresses from a message that is none")
		}
		if len(a.addresses) > 64 || a.rcode < 0 || a.rcode > 15 {
			t.Errorf("%+v", a)
		}
	})
}

func FuzzComplaint(f *testing.F) {
	r := newComplaintReader()
	f.Add("sudo", "ops : parse error in /etc/sudoers near line 3")
	f.Add("orders", "open '/a/../b': permission denied [::1]:80")
	f.Fuzz(func(t *testing.T, program, message string) {
		file, _, user := r.about(message)
		if file != "" && checkPath("", file) != nil || user != "" && checkUser(user) != nil {
			t.Errorf("%q, %q", file, user)
		}
		_ = kindOf(program, message)
	})
}

func FuzzWebConfig(f *testing.F) {
	f.Add("/etc/nginx/nginx.conf", "server { listen [::]:443 ssl; server_name a.b; ssl_certificate x; }")
	f.Fuzz(func(t *testing.T, file, text string) {
		w := &webReader{}
		w.line(file, text)
		w.line("/etc/httpd/conf.d/x", text)
		w.flush()
		for _, s := range w.sites {
			if checkAddress(s.address) != nil || checkPath("", s.certificate) != nil {
				t.Errorf("%+v", s)
			}
		}
	})
}
