package library_test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/redact"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/internal/remote/local"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/actions"
	"github.com/secondline-ops/secondline/runbooks/engine"
	"github.com/secondline-ops/secondline/runbooks/library"
)

// probes declares what the shipped runbooks read, as diagnostics/linux does;
// the two packages do not know each other. cmd/secondline loads the library
// against the real probes.
type probes map[string][2][]expr.Field

func (p probes) Fields(probe string) (inputs, outputs []expr.Field, ok bool) {
	f, ok := p[probe]
	return f[0], f[1], ok
}

func (p probes) Names() []string {
	return slices.Sorted(maps.Keys(p))
}

func field(name string, t expr.Type) expr.Field { return expr.Field{Name: name, Type: t} }

func specs() probes {
	str, num, part, yes, at := expr.String, expr.Int, expr.Double, expr.Bool, expr.Timestamp
	path := []expr.Field{field("path", str)}
	unit := []expr.Field{field("unit", str)}
	return probes{
		"disk.usage": {{field("mount", str)}, {
			field("mount", str), field("size", num), field("used", num), field("available", num), field("used_percent", part), field("inodes_used_percent", part),
			field("read_only", yes),
		}},
		"dir.usage": {path, {field("exists", yes), field("bytes", num), field("files", num), field("complete", yes)}},
		"file.stat": {path, {field("exists", yes), field("size", num), field("uid", num), field("gid", num), field("modified_at", at), field("is_dir", yes)}},
		"log.tail":  {path, {field("exists", yes), listOf("lines")}},
		"unit.status": {unit, {
			field("load_state", str), field("active_state", str), field("sub_state", str), field("result", str), field("restarts", num),
			field("main_pid", num), field("fragment_path", str), field("active_since", at), field("need_daemon_reload", yes),
		}},
		"config.validate": {unit, {field("known", yes), field("valid", yes)}},
		"process.match":   {{field("pid_file", str), field("match", str)}, {field("running", yes), field("stale_pid_file", yes)}},
		"process.top": {nil, {
			listOf("processes", field("pid", num), field("command", str), field("user_seconds", part), field("system_seconds", part)), field("zombies", num),
		}},
		"net.listeners":   {nil, {listOf("listeners", field("port", num), field("process", str), field("unit", str))}},
		"host.load":       {nil, {field("load1", part), field("cpus", num)}},
		"package.updates": {nil, {field("pending", num), field("security", num)}},
		"http.get":        {{field("url", str)}, {field("reachable", yes), field("status", num), field("error", str)}},
	}
}

func listOf(name string, elem ...expr.Field) expr.Field {
	return expr.Field{Name: name, Type: expr.List, Elem: elem}
}

func load(t *testing.T) *runbooks.Catalogue {
	t.Helper()
	c, err := runbooks.LoadCatalogue(library.FS(), runbooks.ParseOptions{Decoders: actions.Decoders(), Probes: specs()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestShippedRunbooksCureTheirCauses(t *testing.T) {
	t.Parallel()
	c := load(t)
	want := map[string][]string{
		"cron-or-timer-not-running": {"rerun-failed-job", "start-stopped-timer"}, "crash-loop-and-start-limit": {"remove-stale-pid-file", "restart-crashed-unit"},
		"directory-over-budget": {"clean-directory-over-budget"}, "disk-full-deleted-open": {"reopen-deleted-log"},
		"disk-full-logs": {"free-space-by-rotation", "truncate-growing-log"}, "exporter-or-agent-down-not-the-host": {"start-stopped-exporter"},
		"failed-dependency": {"start-after-dependency"}, "full-of-cores-or-crashdumps": {"clean-core-dumps"},
		"hosts-override-or-stale-dns": {"flush-name-cache"}, "inode-exhaustion": {"clean-inodes-by-rule"}, "journald-full-or-corrupt": {"vacuum-journal"},
		"lb-health-or-drain-wrong": {"return-backend-to-rotation"}, "package-half-configured": {"configure-unpacked-package"},
		"port-conflict": {"stop-port-intruder"}, "postgres-connections-full": {"end-idle-connections"}, "postgres-lock-wait": {"end-forgotten-transaction"},
		"process-gone": {"start-supervised-process"}, "runaway-cpu-process": {"end-runaway-process"}, "socket-activation-broken": {"restore-socket-activation"},
		"stuck-but-alive": {"restart-stuck-unit", "stop-endless-redis-script"}, "tls-cert-expired": {"serve-renewed-certificate"},
		"unit-masked-or-disabled-after-upgrade": {"start-disabled-unit"}, "upstream-down-502": {"end-maintenance-page"},
		"wrong-file-permission-or-owner": {"give-back-file-of-root"}, "zombie-pile-up": {"restart-parent-of-zombies"},
	}
	got := map[string][]string{}
	for _, rb := range c.All() {
		for _, cause := range rb.Cures {
			got[cause] = append(got[cause], rb.Name)
		}
		if rb.File != rb.Name+".yaml" {
			t.Errorf("%s is in %s", rb.Name, rb.File)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("causes and their cures (-want +got):\n%s", diff)
	}
}

func TestShippedRunbooksAreCareful(t *testing.T) {
	t.Parallel()
	for _, rb := range load(t).All() {
		if len(rb.Require) == 0 {
			t.Errorf("%s acts without asking whether the symptom is still there", rb.Name)
		}
		if !slices.Contains(rb.Locks, "host") {
			t.Errorf("%s does not lock its host", rb.Name)
		}
		if !strings.HasPrefix(string(rb.Source), "# ") {
			t.Errorf("%s does not say on top why it is safe", rb.Name)
		}
		for _, in := range rb.Inputs {
			if in.Description == "" {
				t.Errorf("%s does not say what %s is", rb.Name, in.Name)
			}
		}
		if rb.Escalate.To == "" || rb.Escalate.Say == "" || rb.Owner == "" {
			t.Errorf("%s does not say what people are told", rb.Name)
		}
		if last := rb.Steps[len(rb.Steps)-1]; last.Effect != runbooks.Read && last.Verify.Hold < 10*time.Second {
			t.Errorf("%s believes a reading that held for %s", rb.Name, last.Verify.Hold)
		}
		for _, s := range rb.Steps {
			if s.Effect == runbooks.Irreversible && rb.Autonomy != runbooks.Approve {
				t.Errorf("%s does without a person what cannot be taken back", rb.Name)
			}
		}
	}
}

// TestShippedRunbooksBind gives each runbook the hypothesis object that its
// cause has, and looks at the inputs that come of it.
func TestShippedRunbooksBind(t *testing.T) {
	t.Parallel()
	c := load(t)
	host := entity.Entity{
		ID: "db1", Kind: entity.Host,
		Budgets:   []entity.Budget{{Path: "/srv/spool", Bytes: 1 << 20, Delete: []string{"*.tmp"}, Keep: 3, MinAge: 90 * time.Second}},
		Processes: []entity.Process{{Name: "worker", Match: []string{"/bin/worker"}, Start: []string{"/bin/worker", "--daemon"}}},
	}
	for name, one := range map[string]struct {
		object map[string]any
		want   map[string]string // nil: refused
	}{
		"free-space-by-rotation/var":     {map[string]any{"mount": "/var"}, map[string]string{"mount": "/var", "logs": "/var/log", "limit": "85", "keep": "2"}},
		"free-space-by-rotation/log":     {map[string]any{"mount": "/var/log/orders"}, map[string]string{"mount": "/var/log/orders", "logs": "/var/log/orders", "limit": "85", "keep": "2"}},
		"free-space-by-rotation/hostile": {map[string]any{"mount": "/var/log/../../etc"}, nil},
		"reopen-deleted-log/one": {map[string]any{"mount": "/var", "unit": "orders.service", "file": "/var/log/o"}, map[string]string{
			"mount": "/var", "unit": "orders.service", "file": "/var/log/o", "limit": "85",
		}},
		"reopen-deleted-log/no unit":   {map[string]any{"mount": "/var", "unit": "", "file": "/var/log/o"}, nil},
		"clean-inodes-by-rule/one":     {map[string]any{"mount": "/tmp"}, map[string]string{"mount": "/tmp", "limit": "85"}},
		"restart-crashed-unit/one":     {map[string]any{"unit": "orders"}, map[string]string{"unit": "orders.service"}},
		"restart-crashed-unit/hostile": {map[string]any{"unit": "--all"}, nil},
		"clean-directory-over-budget/one": {map[string]any{"path": "/srv/spool"}, map[string]string{
			"path": "/srv/spool", "budget": "1048576", "patterns": `["*.tmp"]`, "keep": "3", "min_age": "1m30s",
		}},
		"clean-directory-over-budget/no budget": {map[string]any{"path": "/etc"}, nil},
		"start-supervised-process/one": {map[string]any{"name": "worker"}, map[string]string{
			"name": "worker", "start": `["/bin/worker","--daemon"]`, "match": `["/bin/worker"]`, "pid_file": "",
		}},
		"start-supervised-process/unknown": {map[string]any{"name": "bash"}, nil},
		"clean-core-dumps/of the kernel":   {map[string]any{"mount": "/var/crash"}, map[string]string{"mount": "/var/crash", "folder": "/var/crash", "limit": "85"}},
		"clean-core-dumps/of systemd":      {map[string]any{"mount": "/var"}, map[string]string{"mount": "/var", "folder": "/var/lib/systemd/coredump", "limit": "85"}},
		"stop-port-intruder/one": {map[string]any{"unit": "nginx", "intruder": "apache2", "port": "443"}, map[string]string{
			"unit": "nginx.service", "intruder": "apache2.service", "port": "443",
		}},
		"stop-port-intruder/no port":     {map[string]any{"unit": "nginx", "intruder": "apache2", "port": "https"}, nil},
		"stop-port-intruder/no intruder": {map[string]any{"unit": "nginx", "port": "443"}, nil},
		"end-runaway-process/one": {map[string]any{"program": "/usr/bin/perl", "argument": "/opt/report"}, map[string]string{
			"program": "/usr/bin/perl", "argument": "/opt/report", "share": "50",
		}},
		"return-backend-to-rotation/one": {
			map[string]any{"file": "/etc/nginx/conf.d/shop.conf", "server": "app2.example.com:8080", "health": "http://app2.example.com:8080/health"},
			map[string]string{
				"unit": "nginx.service", "file": "/etc/nginx/conf.d/shop.conf", "server": "app2.example.com:8080", "parameters": "max_fails=1",
				"health": "http://app2.example.com:8080/health",
			},
		},
		"return-backend-to-rotation/more than a server": {map[string]any{
			"file": "/etc/nginx/conf.d/shop.conf", "server": "app2; include /tmp/x", "health": "http://app2/health",
		}, nil},
		"configure-unpacked-package/an option": {map[string]any{"package": "--force-all"}, nil},
		"configure-unpacked-package/a path":    {map[string]any{"package": "../shop"}, nil},
		"end-runaway-process/a name":           {map[string]any{"program": "perl", "argument": "/opt/report"}, nil},
		"end-runaway-process/an option":        {map[string]any{"program": "/usr/bin/perl", "argument": "-e"}, nil},
		"end-forgotten-transaction/one":        {map[string]any{"database": "orders"}, map[string]string{"database": "orders", "idle_seconds": "60"}},
		"give-back-file-of-root/one": {map[string]any{"path": "/var/log/a/b.log", "like": "/var/log/a", "unit": "a"}, map[string]string{
			"path": "/var/log/a/b.log", "like": "/var/log/a", "unit": "a.service",
		}},
		"give-back-file-of-root/out of its folder": {map[string]any{"path": "/var/log/../../etc/shadow", "like": "/var/log/a", "unit": "a"}, nil},
		"vacuum-journal/one":                       {map[string]any{"mount": "/var"}, map[string]string{"mount": "/var", "keep": "524288000", "limit": "85"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rb, ok := c.Find(name[:slices.Index([]byte(name), '/')])
			if !ok {
				t.Fatal("no such runbook")
			}
			_, shown, err := runbooks.BindInputs(rb, nil, map[string]any{
				runbooks.VarEntity: host.Vars(), runbooks.VarTarget: map[string]any{"id": "db1", "address": "", "user": ""},
				runbooks.VarHypothesis: map[string]any{"cause": rb.Cures[0], "entity": "db1", "band": "confirmed", "object": one.object, "evidence": []any{}},
			})
			if one.want == nil {
				if !fault.Is(err, fault.Invalid) {
					t.Errorf("bound: %v, %v", shown, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(one.want, shown); diff != "" {
				t.Errorf("inputs (-want +got):\n%s", diff)
			}
		})
	}
}

// Read implements engine.ProbeReader: a process lives that could be the one.
func (p probes) Read(context.Context, remote.Runner, string, map[string]string) (map[string]any, error) {
	return map[string]any{"running": expr.Unknown{Why: "the pid file names process 7, which runs otherwise"}}, nil
}

// TestNoSecondCopyIsStarted asks what is asked before a start, and again after
// a crash, while nobody can tell whether the process runs.
func TestNoSecondCopyIsStarted(t *testing.T) {
	t.Parallel()
	rb, _ := load(t).Find("start-supervised-process")
	host := entity.Entity{ID: "db1", Kind: entity.Host, Processes: []entity.Process{
		{Name: "worker", PIDFile: "/run/worker.pid", Match: []string{"/bin/worker"}, Start: []string{"/bin/start-worker"}},
	}}
	binding := engine.Binding{Runbook: rb, Entity: host, Target: host, Hypothesis: map[string]any{
		"cause": rb.Cures[0], "entity": "db1", "band": "confirmed", "object": map[string]any{"name": "worker"}, "evidence": map[string]any{},
	}}
	all := specs()
	deps := engine.Deps{Actions: actions.All(), Probes: all, Specs: all, Now: time.Now}
	runner := remote.Open(local.New(), remote.Options{Gate: remote.ReadOnly(), Redactor: redact.New()}) // a start would fail
	plan, err := engine.Plan(t.Context(), runner, binding, deps)
	if err != nil || !strings.Contains(plan.Refused, "names process 7") {
		t.Errorf("refused: %q, %v", plan.Refused, err)
	}
	if ask := rb.Steps[0].Repeat.Ask; ask != "process.running" { // what that gives is up to the probe: cannot tell
		t.Errorf("after a crash it asks %q", ask)
	}
}

func TestLibraryHoldsOnlyRunbooks(t *testing.T) {
	t.Parallel()
	if err := fstest.TestFS(library.FS(), "free-space-by-rotation.yaml"); err != nil {
		t.Error(err)
	}
}
