package company

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/examples/lab/servers"
)

//go:embed files
var files embed.FS

// role is what makes a host of the company. Its files come from the folder files.
type role struct {
	host    string
	address string
	// files: path on the host -> name below files.
	files map[string]string
	// programs: path on the host -> name of a program of the lab.
	programs map[string]string
	units    []string // enabled
	// prepare is run by sh before the first boot, once after it.
	prepare string
	once    string
	// agent says that Secondline's agent is installed on it.
	agent bool
}

// Names of programs that the lab builds.
const (
	programOrders     = "orders"
	programSecondline = "secondline"
)

// Host names that other things rest on.
const (
	// Monitor is where Prometheus, Alertmanager and Secondline's controller run.
	Monitor = "mon"

	mon  = Monitor
	lb1  = "lb1"
	dns1 = "dns1"
)

// roles are the hosts of the company. The one that answers names comes first,
// and the one whose database the others use second.
func roles() []role {
	app := role{
		files: map[string]string{
			"/etc/systemd/system/orders.service": "app/orders.service", "/etc/orders/orders.env": "app/orders.env", "/etc/logrotate.d/orders": "app/logrotate-orders",
			"/etc/tmpfiles.d/orders.conf": "app/orders-tmpfiles.conf", "/etc/systemd/system/orders-sweep.service": "app/orders-sweep.service",
			"/etc/systemd/system/orders-sweep.timer": "app/orders-sweep.timer",
		},
		programs: map[string]string{"/usr/local/bin/orders": programOrders},
		units:    []string{"orders.service", "orders-sweep.timer", "logrotate.timer"}, agent: true,
		prepare: `useradd --system --home-dir /var/lib/orders --shell /usr/sbin/nologin orders
chgrp orders /etc/orders/orders.env
chmod 640 /etc/orders/orders.env`,
	}
	app1, app2 := app, app
	app1.host, app1.address = "app1", "10.77.0.12"
	app2.host, app2.address = "app2", "10.77.0.13"
	return []role{
		{
			host: dns1, address: nameServer, agent: true, units: []string{"dnsmasq.service"},
			files: map[string]string{"/etc/systemd/system/dnsmasq.service": "dns/dnsmasq.service"},
		},
		{
			host: "db1", address: "10.77.0.14",
			units: []string{"postgresql.service", "prometheus-postgres-exporter.service", "nftables.service"},
			files: map[string]string{
				"/etc/postgresql/15/main/conf.d/lab.conf": "db/lab.conf", "/etc/postgresql/15/main/pg_hba.conf": "db/pg_hba.conf",
				"/etc/nftables.conf": "db/nftables.conf", "/etc/default/prometheus-postgres-exporter": "db/postgres-exporter.default",
			},
			once: `cd /
su postgres -c "psql -v ON_ERROR_STOP=1 -qc \"create role orders login password 'orders'\" -c 'create database orders owner orders' -c 'create role prometheus login in role pg_monitor'"
systemctl restart prometheus-postgres-exporter.service`,
		},
		{
			host: "cache1", address: "10.77.0.15", units: []string{"redis-server.service", "prometheus-redis-exporter.service"},
			files:   map[string]string{"/etc/redis/lab.conf": "cache/lab.conf"},
			prepare: "echo 'include /etc/redis/lab.conf' >>/etc/redis/redis.conf",
		},
		{host: "jump1", address: "10.77.0.17", agent: true},
		app1, app2,
		{
			host: lb1, address: "10.77.0.11", agent: true, units: []string{"nginx.service"},
			files:   map[string]string{"/etc/nginx/sites-enabled/orders": "lb/nginx-orders.conf"},
			prepare: "rm -f /etc/nginx/sites-enabled/default",
		},
		{
			host: mon, address: "10.77.0.10", agent: true,
			prepare: "useradd --system --home-dir /var/lib/secondline --shell /usr/sbin/nologin secondline",
			once: `timeout 20 sh -c 'until test -s /var/lib/secondline/webhook-token; do sleep 0.1; done'
install -m 640 -g prometheus /var/lib/secondline/webhook-token /etc/prometheus/secondline-token`,
			units: []string{"secondline-controller.service", "prometheus.service", "prometheus-alertmanager.service", "prometheus-blackbox-exporter.service"},
			files: map[string]string{
				"/etc/prometheus/prometheus.yml": "mon/prometheus.yml", "/etc/prometheus/rules.yml": "mon/rules.yml",
				"/etc/prometheus/alertmanager.yml": "mon/alertmanager.yml", "/etc/prometheus/blackbox.yml": "mon/blackbox.yml",
				"/etc/default/prometheus": "mon/prometheus.default", "/etc/default/prometheus-alertmanager": "mon/alertmanager.default",
				"/etc/systemd/system/orders-traffic.service": "mon/orders-traffic.service",
				"/etc/secondline/inventory.yaml":             "mon/inventory.yaml", "/etc/secondline/controller.yaml": "mon/controller.yaml",
			},
			programs: map[string]string{"/usr/local/bin/orders": programOrders, "/usr/local/bin/secondline": programSecondline},
		},
	}
}

// guardFile lets agents delete where they may without one, cores, and what the
// budgets of the inventory are about.
const guardFile = "mode: act\ncleanup_roots: [/var/log, /var/tmp, /var/cache, /var/crash, /var/spool/orders]\n"

const (
	nameServer = "10.77.0.16"
	domain     = "lab.internal"
)

// furnish writes what belongs to the role into the host before it boots.
func (c *Company) furnish(ctx context.Context, r role, h *servers.Host) error {
	texts, err := c.texts(r)
	if err != nil {
		return err
	}
	for name, text := range texts {
		mode := os.FileMode(0o644)
		if strings.HasSuffix(name, ".key") || strings.HasSuffix(name, "id_ed25519") {
			mode = 0o600
		}
		if err := h.WriteFile(name, text, mode); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	for name, program := range r.programs {
		if err := h.CopyFile(name, filepath.Join(c.Lab.Dir, "bin", program), 0o755); err != nil {
			return err
		}
	}
	return h.Prepare(ctx, "cat /usr/local/share/ca-certificates/lab.crt >>/etc/ssl/certs/ca-certificates.crt\n"+
		r.prepare+"\nsystemctl enable prometheus-node-exporter.service "+strings.Join(r.units, " "))
}

// texts returns the files of the role by their paths on the host.
func (c *Company) texts(r role) (map[string]string, error) {
	out := map[string]string{
		"/etc/resolv.conf":                         "nameserver " + nameServer + "\nsearch " + domain + "\n",
		"/usr/local/share/ca-certificates/lab.crt": string(c.trust.authority),
	}
	if r.agent {
		out["/etc/secondline/guard.yaml"] = guardFile
	}
	wanted := map[string]string{"/etc/default/prometheus-node-exporter": "host/node-exporter.default"}
	maps.Copy(wanted, r.files)
	for name, from := range wanted {
		text, err := fs.ReadFile(files, path.Join("files", from))
		if err != nil {
			return nil, err
		}
		out[name] = string(text)
	}
	switch r.host {
	case dns1:
		out["/etc/dnsmasq.conf"] = nameRecords()
	case lb1:
		out["/etc/nginx/tls/orders.crt"], out["/etc/nginx/tls/orders.key"] = string(c.trust.certificate), string(c.trust.key)
	case mon:
		unit, err := os.ReadFile(filepath.Join(c.o.Repository, "examples/systemd/secondline-controller.service"))
		if err != nil {
			return nil, fmt.Errorf("%w (run it in the folder of the repository)", err)
		}
		out["/etc/prometheus/lab-ca.pem"] = string(c.trust.authority)
		key, err := os.ReadFile(c.Lab.SSHKey())
		if err != nil {
			return nil, err
		}
		out["/etc/systemd/system/secondline-controller.service"] = string(unit)
		out["/root/.ssh/id_ed25519"] = string(key)
		if c.o.Auto {
			out["/etc/secondline/controller.yaml"] += autoGrants(c.o.Now())
		}
	}
	return out, nil
}

// autoGrants lets machines act in the lab without being asked, for a day: what
// nobody should write for servers that matter on their first day.
func autoGrants(now time.Time) string {
	var text strings.Builder
	text.WriteString("  grants:\n")
	for _, r := range []string{
		"clean-directory-over-budget", "clean-inodes-by-rule", "flush-name-cache", "free-space-by-rotation", "reopen-deleted-log", "restart-crashed-unit",
		"serve-renewed-certificate", "start-stopped-exporter", "start-supervised-process", "stop-endless-redis-script",
	} {
		fmt.Fprintf(&text, "    - {runbook: %s, level: auto, by: lab, expires: %s}\n", r, now.Add(24*time.Hour).UTC().Format(time.RFC3339))
	}
	return text.String()
}

// nameRecords is what dnsmasq serves: every host, and the name of the service.
func nameRecords() string {
	var out strings.Builder
	out.WriteString("no-resolv\nno-hosts\nbind-interfaces\ninterface=host0\nlisten-address=127.0.0.1\nlocal=/" + domain + "/\ndomain=" + domain + "\n")
	for _, r := range roles() {
		fmt.Fprintf(&out, "host-record=%s,%s.%s,%s\n", r.host, r.host, domain, r.address)
		if r.host == lb1 {
			fmt.Fprintf(&out, "host-record=orders.%s,%s\n", domain, r.address)
		}
	}
	return out.String()
}
