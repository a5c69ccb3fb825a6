package stories

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/examples/lab/servers"
	"github.com/secondline-ops/secondline/examples/lab/servers/serverstest"
)

const alertmanagerURL = "http://127.0.0.1:9093"

const storyInventory = `
entities:
  - id: app1
    kind: host
    address: %s
    via: ssh
    agent: site-a
    user: root
    aliases: ["app1:9100"]
    budgets:
      - {path: /var/tmp/exports, size: 1MiB, delete: ["*.csv"], keep: 1, min_age: 1m}
    processes:
      - {name: worker, pid_file: /run/worker.pid, match: [/bin/sh, /usr/local/bin/worker], start: [/usr/local/bin/worker-start]}
  - {id: db1, kind: host, address: %s, via: ssh, agent: site-a, user: root, jump: app1, aliases: ["db1:9100"]}
`

const storyConfig = `
listen: 127.0.0.1:7420
agent_listen: 127.0.0.1:7421
data_dir: data
inventory: inventory.yaml
policy:
  max_hold: 2s
  grants:
    - {runbook: clean-directory-over-budget, target: app1, level: auto, by: lab, expires: %[1]s}
    - {runbook: free-space-by-rotation, target: db1, level: suggest, by: lab, expires: %[1]s}
notify:
  webhooks:
    - {name: on-call, url: "http://%[2]s/hook", secret_file: hook-secret}
`

const storyAlertmanager = `
route: {receiver: secondline, group_by: ['...'], group_wait: 1s, group_interval: 1s, repeat_interval: 1h}
receivers:
  - name: secondline
    webhook_configs:
      - url: http://127.0.0.1:7420/v1/signals/alertmanager
        send_resolved: true
        http_config: {authorization: {type: Bearer, credentials_file: data/webhook-token}}
`

// storyLab is a site: two servers, one only reached through the other, an
// Alertmanager, a controller, one agent for the site, and a person's webhook.
type storyLab struct {
	*installation
	lab  *servers.Lab
	app  *servers.Host
	db   *servers.Host
	hook *inbox
}

func openStoryLab(t *testing.T) *storyLab {
	t.Helper()
	l := serverstest.Open(t, "prometheus-alertmanager", "amtool")
	s := &storyLab{lab: l, hook: newInbox(t, l)}
	var wait sync.WaitGroup
	var errs [2]error
	wait.Go(func() { s.app, errs[0] = l.AddHost(t.Context(), servers.HostOptions{Name: "app1"}) })
	wait.Go(func() { s.db, errs[1] = l.AddHost(t.Context(), servers.HostOptions{Name: "db1"}) })
	wait.Wait()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, address string) (net.Conn, error) { return l.Dial(ctx, address) }}
	t.Cleanup(transport.CloseIdleConnections)
	expires := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	if err := os.WriteFile(filepath.Join(l.Dir, "hook-secret"), []byte("lab-secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.installation = newInstallation(t, installation{
		dir: l.Dir, url: "http://127.0.0.1:7420", agentAddr: "127.0.0.1:7421", start: l.Start, command: l.Command,
		agentArgs: []string{"--known-hosts", l.KnownHosts(), "--identity", l.SSHKey(), "--ssh-config", filepath.Join(l.Dir, "none")},
		client:    &http.Client{Transport: transport},
	}, fmt.Sprintf(storyConfig, expires, s.hook.address), fmt.Sprintf(storyInventory, s.app.Address, s.db.Address), "mode: act\n")
	ctx := t.Context()
	for _, step := range []func() error{
		func() error { return s.startController(ctx) },
		func() error { return s.enrolAgent(ctx, "site-a") },
		func() error { return s.startAgent(ctx) },
		func() error { return s.startAlertmanager(ctx) },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (s *storyLab) startAlertmanager(ctx context.Context) error {
	config := s.path("alertmanager.yml")
	if err := os.WriteFile(config, []byte(storyAlertmanager), 0o600); err != nil {
		return err
	}
	if _, err := s.lab.Start(ctx, servers.ProcessOptions{Name: "alertmanager", Dir: s.dir, Argv: []string{
		"prometheus-alertmanager", "--config.file=" + config, "--storage.path=" + s.path("am"), "--web.listen-address=127.0.0.1:9093", "--cluster.listen-address=",
	}}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return servers.Poll(ctx, "Alertmanager", func() (bool, error) {
		_, err := servers.Output(s.lab.Command(ctx, "amtool", "--alertmanager.url="+alertmanagerURL, "alert", "query"))
		return err == nil, nil
	})
}

// fire has the alert sent by Alertmanager and returns the incident that the
// signal opened.
func (s *storyLab) fire(t *testing.T, labels ...string) string {
	t.Helper()
	s.amtool(t, labels...)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	id := ""
	if err := servers.Poll(ctx, fmt.Sprintf("an incident for %v", labels), func() (bool, error) {
		signals, err := s.signals(ctx)
		if err != nil {
			return false, nil
		}
		for _, sig := range signals {
			if sig.IncidentID != nil && hasLabels(sig.Labels, labels) {
				id = *sig.IncidentID
			}
		}
		return id != "", nil
	}); err != nil {
		t.Fatal(err)
	}
	return id
}

// sourceSaysResolved ends the alert at its source.
func (s *storyLab) sourceSaysResolved(t *testing.T, labels ...string) {
	t.Helper()
	s.amtool(t, append([]string{"--end=" + time.Now().Add(-time.Second).UTC().Format(time.RFC3339)}, labels...)...)
}

func (s *storyLab) amtool(t *testing.T, args ...string) {
	t.Helper()
	cmd := s.lab.Command(t.Context(), append([]string{"amtool", "--alertmanager.url=" + alertmanagerURL, "alert", "add"}, args...)...)
	if _, err := servers.Output(cmd); err != nil {
		t.Fatal(err)
	}
}

func hasLabels(got map[string]string, want []string) bool {
	for _, w := range want {
		if name, value, _ := strings.Cut(w, "="); got[name] != value {
			return false
		}
	}
	return true
}

// cured waits for an incident to be resolved and checks what every cure must
// have: a measurement, a verified run, no person called.
func (s *storyLab) cured(t *testing.T, id, cause, runbook string) incidentView {
	t.Helper()
	v := s.until(t.Context(), t, id, "a resolved incident", func(v incidentView) bool { return v.Status == "resolved" || v.Status == "escalated" })
	if v.Status != "resolved" || v.Unverified || v.Measured == nil || v.Measured.Gone != "true" {
		t.Fatalf("incident is %s, unverified %v, measured %+v\n%s", v.Status, v.Unverified, v.Measured, s.timeline(t.Context(), id))
	}
	if v.Cause != cause || v.Band != "confirmed" || len(v.Runs) != 1 || v.Runs[0].Runbook != runbook || v.Runs[0].Status != "verified" {
		t.Errorf("cause %s (%s), runs %+v\n%s", v.Cause, v.Band, v.Runs, s.timeline(t.Context(), id))
	}
	return v
}

// planned waits until the plan of an incident waits for a person, and returns
// its digest and the diffs in it.
func (s *storyLab) planned(t *testing.T, id, runbook string) (digest, diff string) {
	t.Helper()
	v := s.until(t.Context(), t, id, "a plan that waits for approval", func(v incidentView) bool {
		return v.Status == "awaiting_approval" || v.Status == "escalated" || v.Status == "resolved"
	})
	if v.Status != "awaiting_approval" || len(v.Runs) != 1 || v.Runs[0].Runbook != runbook {
		t.Fatalf("incident is %s, runs %+v\n%s", v.Status, v.Runs, s.timeline(t.Context(), id))
	}
	var p planView
	if err := s.get(t.Context(), "/v1/runs/"+v.Runs[0].ID+"/plan", &p); err != nil {
		t.Fatal(err)
	}
	if p.Plan == nil || p.Plan.Digest == "" {
		t.Fatalf("no plan for run %s", v.Runs[0].ID)
	}
	for _, step := range p.Plan.Steps {
		diff += step.Diff
	}
	return p.Plan.Digest, diff
}

func (s *storyLab) approve(t *testing.T, id, digest string) {
	t.Helper()
	if _, err := s.cli(t.Context(), "approve", id, "--plan", digest, "--why", "seen"); err != nil {
		t.Fatal(err)
	}
}

// script runs shell text on a host.
func script(t *testing.T, h *servers.Host, text string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := h.Script(ctx, text)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// TestStoryOnRealServers runs whole stories against real servers, one after the other on
// one site, as faults come in real life.
func TestStoryOnRealServers(t *testing.T) {
	s := openStoryLab(t)
	for _, story := range []struct {
		name string
		tell func(*testing.T, *storyLab)
	}{
		{"a crashed unit is started again, with a person's yes", crashLoop},
		{"a disk full of logs is freed", diskFullOfLogs},
		{"a directory over its budget is cleaned without asking", directoryOverBudget},
		{"a process that is gone is started once", processGone},
		{"a broken configuration is handed to people with a proof", brokenConfiguration},
		{"a source that is wrong does not close an incident", sourceIsWrong},
		{"a look at a server without a controller", diagnoseOverSSH},
	} {
		t.Run(story.name, func(t *testing.T) { story.tell(t, s) })
	}
}

func crashLoop(t *testing.T, s *storyLab) {
	script(t, s.app, `
cat >/usr/local/bin/app <<'END'
#!/bin/sh
test ! -e /run/dependency-is-down || { echo 'cannot reach the dependency' >&2; exit 3; }
exec sleep infinity
END
chmod 755 /usr/local/bin/app
cat >/etc/systemd/system/app.service <<'END'
[Unit]
StartLimitIntervalSec=300
StartLimitBurst=3
[Service]
ExecStart=/usr/local/bin/app
Restart=on-failure
RestartSec=100ms
END
systemctl daemon-reload
touch /run/dependency-is-down
systemctl start app.service || true
timeout 20 sh -c 'until journalctl -u app.service | grep -q "Start request repeated too quickly"; do sleep 0.1; done'
rm /run/dependency-is-down`)
	id := s.fire(t, "alertname=SystemdUnitFailed", "instance=app1:9100", "name=app.service", "severity=critical")
	digest, diff := s.planned(t, id, "restart-crashed-unit")
	if !strings.Contains(diff, "app.service") {
		t.Errorf("the plan does not show what it would change: %q", diff)
	}
	// Nothing may happen before somebody says yes, and yes to exactly this.
	if out, err := s.cli(t.Context(), "approve", id, "--plan", "sha256:"+strings.Repeat("0", 64)); err == nil {
		t.Errorf("another plan was approved: %s", out)
	}
	if state := script(t, s.app, "systemctl show -P ActiveState app.service"); state != "failed" {
		t.Fatalf("before the approval the unit is %s", state)
	}
	s.approve(t, id, digest)
	s.cured(t, id, "crash-loop-and-start-limit", "restart-crashed-unit")
	if state := script(t, s.app, "systemctl show -P ActiveState app.service"); state != "active" {
		t.Errorf("the incident is resolved and the unit is %s", state)
	}
}

func diskFullOfLogs(t *testing.T, s *storyLab) {
	if err := s.app.AddDisk(t.Context(), "/var/log/orders", 64<<20, "-m", "0"); err != nil {
		t.Fatal(err)
	}
	script(t, s.app, fillWithLogs("/var/log/orders"))
	id := s.fire(t, "alertname=NodeFilesystemAlmostOutOfSpace", "instance=app1:9100", "mountpoint=/var/log/orders", "severity=critical")
	digest, diff := s.planned(t, id, "free-space-by-rotation")
	if !strings.Contains(diff, "/var/log/orders/orders.log.9") {
		t.Errorf("the plan does not name what it would delete: %q", diff)
	}
	s.approve(t, id, digest)
	s.cured(t, id, "disk-full-logs", "free-space-by-rotation")
	if left := script(t, s.app, "ls /var/log/orders"); left != "lost+found\norders.log\norders.log.1\norders.log.2\nreport.pdf" {
		t.Errorf("left: %q, want the live log, the two newest rotated ones, and what is no log", left)
	}
}

// fillWithLogs fills a file system of 64 MiB: rotated logs of yesterday, the
// log that is written now, and a file that is no log.
func fillWithLogs(dir string) string {
	return `cd ` + dir + `
for i in 9 8 7 6 5 4 3 2 1; do
	head -c 6000000 /dev/zero | tr '\0' x >orders.log.$i
	touch -d "$i hours ago 15 minutes ago" orders.log.$i
done
head -c 1000000 /dev/zero | tr '\0' x >orders.log
head -c 1000 /dev/zero >report.pdf
test "$(df --output=pcent . | tail -n 1 | tr -dc 0-9)" -ge 92`
}

func directoryOverBudget(t *testing.T, s *storyLab) {
	script(t, s.app, `mkdir -p /var/tmp/exports
cd /var/tmp/exports
for i in 1 2 3 4; do head -c 500000 /dev/zero >$i.csv; touch -d "$i hours ago" $i.csv; done
echo keep >README`)
	id := s.fire(t, "alertname=DirectoryOverBudget", "instance=app1:9100", "severity=warning")
	s.cured(t, id, "directory-over-budget", "clean-directory-over-budget")
	if left := script(t, s.app, "ls /var/tmp/exports"); left != "1.csv\nREADME" {
		t.Errorf("left: %q, want the newest, and what the rule does not name", left)
	}
	events, err := s.events(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(events, func(e eventView) bool { return e.Reason == "allowed_by_policy" }) {
		t.Errorf("nothing says that policy allowed it\n%s", s.timeline(t.Context(), id))
	}
}

func processGone(t *testing.T, s *storyLab) {
	script(t, s.app, `
cat >/usr/local/bin/worker <<'END'
#!/bin/sh
while :; do sleep 1000; done
END
cat >/usr/local/bin/worker-start <<'END'
#!/bin/sh
echo start >>/root/worker-starts
setsid /usr/local/bin/worker </dev/null >/dev/null 2>&1 &
echo $! >/run/worker.pid
END
chmod 755 /usr/local/bin/worker /usr/local/bin/worker-start
echo 999999 >/run/worker.pid`)
	id := s.fire(t, "alertname=ProcessGone", "instance=app1:9100", "process=worker", "severity=critical")
	digest, _ := s.planned(t, id, "start-supervised-process")
	s.approve(t, id, digest)
	s.cured(t, id, "process-gone", "start-supervised-process")
	if starts := script(t, s.app, "cat /root/worker-starts; pgrep -fc '^/bin/sh /usr/local/bin/worker$'"); starts != "start\n1" {
		t.Errorf("starts and processes: %q, want one of each", starts)
	}
}

func brokenConfiguration(t *testing.T, s *storyLab) {
	script(t, s.db, `systemctl start nginx.service
printf 'server {\n  listen 8080\n}\n' >/etc/nginx/conf.d/shop.conf
! systemctl restart nginx.service`)
	id := s.fire(t, "alertname=SystemdUnitFailed", "instance=db1:9100", "name=nginx.service", "severity=critical")
	v := s.until(t.Context(), t, id, "a called person and a bundle", func(v incidentView) bool {
		return v.Status == "resolved" || v.Status == "escalated" && v.BundleURL != ""
	})
	if v.Status != "escalated" || v.Cause != "bad-config-generic" || v.Band != "confirmed" || len(v.Runs) != 0 {
		t.Errorf("incident is %s, cause %s (%s), runs %+v\n%s", v.Status, v.Cause, v.Band, v.Runs, s.timeline(t.Context(), id))
	}
	if state := script(t, s.db, "systemctl show -P ActiveState nginx.service"); state != "failed" {
		t.Errorf("a person was called, and the unit is %s: somebody touched it", state)
	}
	message := s.hook.await(t, id)
	if !strings.Contains(message, "nginx.service") && !strings.Contains(message, "SystemdUnitFailed") {
		t.Errorf("the message does not say what it is about: %s", message)
	}
	status, bundle, err := s.call(t.Context(), http.MethodGet, "/v1/incidents/"+id+"/bundle", nil)
	if err != nil || status != http.StatusOK {
		t.Fatalf("GET bundle: %d, %v", status, err)
	}
	file := s.path("bundle.tar.gz")
	if err := os.WriteFile(file, bundle, 0o600); err != nil {
		t.Fatal(err)
	}
	said, err := s.cli(t.Context(), "bundle", "verify", file, "--key", s.path("data/bundle-key.pub"))
	if err != nil || !allClaimsHold(said) || !strings.Contains(said, "signature valid") {
		t.Errorf("bundle verify: %v: %s", err, said)
	}
	t.Logf("bundle verify: %s", strings.TrimSpace(said))
}

// allClaimsHold looks for "N of N claims hold" with N above zero.
func allClaimsHold(text string) bool {
	before, _, ok := strings.Cut(text, " claims hold")
	if !ok {
		return false
	}
	words := strings.Fields(before)
	n := len(words)
	return n >= 3 && words[n-2] == "of" && words[n-1] == words[n-3] && words[n-1] != "0"
}

// sourceIsWrong needs an incident that a person has: on db1 the runbook may
// only be suggested.
func sourceIsWrong(t *testing.T, s *storyLab) {
	if err := s.db.AddDisk(t.Context(), "/var/log/billing", 64<<20, "-m", "0"); err != nil {
		t.Fatal(err)
	}
	script(t, s.db, fillWithLogs("/var/log/billing"))
	alert := []string{"alertname=NodeFilesystemAlmostOutOfSpace", "instance=db1:9100", "mountpoint=/var/log/billing", "severity=critical"}
	id := s.fire(t, alert...)
	v := s.until(t.Context(), t, id, "a called person", func(v incidentView) bool { return v.Status == "escalated" || v.Status == "resolved" })
	if v.Status != "escalated" || v.Cause != "disk-full-logs" {
		t.Fatalf("incident is %s, cause %s\n%s", v.Status, v.Cause, s.timeline(t.Context(), id))
	}
	const reason = "source_says_resolved_but_symptom_holds"
	s.sourceSaysResolved(t, alert...)
	s.until(t.Context(), t, id, reason, func(v incidentView) bool {
		if v.Status == "resolved" {
			t.Fatalf("resolved while the disk is full\n%s", s.timeline(t.Context(), id))
		}
		events, err := s.events(t.Context(), id)
		return err == nil && slices.ContainsFunc(events, func(e eventView) bool { return e.Reason == reason })
	})
	v, err := s.incident(t.Context(), id)
	if err != nil || v.Status != "escalated" || v.Measured == nil || v.Measured.Gone != "false" {
		t.Errorf("incident is %s, measured %+v, %v", v.Status, v.Measured, err)
	}
	if files := script(t, s.db, "ls /var/log/billing | wc -l"); files != "12" {
		t.Errorf("%s files: somebody deleted what may only be suggested", files)
	}
}

// diagnoseOverSSH is the first thing that a new user does: no controller.
func diagnoseOverSSH(t *testing.T, s *storyLab) {
	out, err := s.cli(t.Context(), "diagnose", "root@"+s.db.Address, "--known-hosts", s.lab.KnownHosts(), "--identity", s.lab.SSHKey(), "-o", "json")
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid([]byte(out)) || !strings.Contains(out, `"bad-config-generic"`) || !strings.Contains(out, `"disk-full-logs"`) {
		t.Errorf("the broken nginx and the full disk are not both in it: %s", out)
	}
}

// inbox is a person's webhook inside the lab.
type inbox struct {
	address string

	mu sync.Mutex // guards below
	// got are the bodies that came.
	got []string
}

func newInbox(t *testing.T, l *servers.Lab) *inbox {
	t.Helper()
	b := &inbox{}
	ln, err := l.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.address = ln.Addr().String()
	server := &http.Server{Handler: b, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan error, 1)
	go func() { done <- server.Serve(ln) }()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	return b
}

func (b *inbox) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	var buf strings.Builder
	if err := r.Write(&buf); err != nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.got = append(b.got, buf.String())
}

// await returns the first message about the incident.
func (b *inbox) await(t *testing.T, incident string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	found := ""
	if err := servers.Poll(ctx, "a message about "+incident, func() (bool, error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, m := range b.got {
			if strings.Contains(m, incident) {
				found = m
			}
		}
		return found != "", nil
	}); err != nil {
		t.Fatalf("%v; came: %q", err, b.got)
	}
	return found
}
