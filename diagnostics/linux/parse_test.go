package linux

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
)

// Linux 6.18, /proc/net/tcp and tcp6 of a host with sshd, a local port and an
// open connection.
const (
	procNetTCP = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1804 1 0000000000000000 100 0 0 10 0
   1: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1805 1 0000000000000000 100 0 0 10 0
   2: 0100007F:B3A2 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 1806 1 0000000000000000 20 4 30 10 -1
`
	procNetTCP6 = `  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000001000000:0016 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1807 1 0000000000000000 100 0 0 10 0
`
	procNetEmpty = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
)

func parse(t *testing.T, probe string, args diagnostics.Args, raws ...diagnostics.Raw) (diagnostics.Value, diagnostics.Status) {
	t.Helper()
	return checkParsed(t, probeNamed(t, probe), raws, args)
}

func okRaw(name, data string) diagnostics.Raw {
	return diagnostics.Raw{Name: name, Status: diagnostics.OK, Data: []byte(data)}
}

func exited(name string, code int, data string) diagnostics.Raw {
	return diagnostics.Raw{Name: name, Status: diagnostics.OK, ExitCode: code, Data: []byte(data), Error: data}
}

func TestListenersWithoutSS(t *testing.T) {
	t.Parallel()
	raws := []diagnostics.Raw{
		{Name: rawSockets, Status: diagnostics.Absent, Error: "no such file"},
		okRaw("tcp", procNetTCP), okRaw("tcp6", procNetTCP6), okRaw("udp", procNetEmpty),
		{Name: "udp6", Status: diagnostics.Absent},
	}
	value, status := parse(t, "net.listeners", nil, raws...)
	var got []string
	for _, l := range value["listeners"].([]any) {
		m := l.(map[string]any)
		got = append(got, m["proto"].(string)+" "+m["address"].(string))
	}
	want := []string{"tcp 0.0.0.0", "tcp ::1", "tcp 127.0.0.1"}
	if status != diagnostics.OK || !slices.Equal(got, want) {
		t.Errorf("%s %v, want %v", status, got, want)
	}
	raws[2] = diagnostics.Raw{Name: "tcp6", Status: diagnostics.Denied}
	if _, status := parse(t, "net.listeners", nil, raws...); status.Tells() {
		t.Errorf("without tcp6 the fact is %s", status)
	}
}

func TestOwnerOfASocketCannotBeForged(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		text, process string
		pid           int64
	}{
		"one":                 {`("sshd",pid=55,fd=3))`, "sshd", 55},
		"workers":             {`("nginx",pid=52,fd=5),("nginx",pid=51,fd=5))`, "nginx", 51},
		"held by systemd":     {`("systemd",pid=1,fd=44),("cupsd",pid=900,fd=3))`, "cupsd", 900},
		"only systemd":        {`("systemd",pid=1,fd=44))`, "systemd", 1},
		"name closes":         {`("a",pid=1,fd=3))",pid=77,fd=5))`, "", 0},
		"name adds a process": {`("a",pid=1,fd=3),",pid=77,fd=5))`, "", 0},
		"cut":                 {`("sshd",pid=55,fd=3`, "", 0},
		"none":                {``, "", 0},
		"garbage":             {`("a",pid=1,fd=3x,("b",pid=2,fd=4))`, "", 0},
		"no number":           {`("sshd",pid=-3,fd=3))`, "", 0},
	}
	for name, c := range cases {
		if process, pid := owner(c.text); process != c.process || pid != c.pid {
			t.Errorf("%s: %q, %d; want %q, %d", name, process, pid, c.process, c.pid)
		}
	}
}

func TestUnitOfAProcess(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		cgroup string
		want   string
	}{
		"version 2":           {"0::/system.slice/nginx.service", "nginx.service"},
		"version 1":           {"9:name=systemd:/system.slice/orders.service\n4:memory:/\n0::/", "orders.service"},
		"hybrid":              {"9:name=systemd:/system.slice/a.service\n0::/system.slice/a.service", "a.service"},
		"sub group":           {"0::/system.slice/docker.service/payload/x.service", "docker.service"},
		"template":            {"0::/system.slice/system-postgresql.slice/postgresql@15-main.service", "postgresql@15-main.service"},
		"session":             {"0::/user.slice/user-0.slice/session-3.scope", "session-3.scope"},
		"init":                {"0::/init.scope", "init.scope"},
		"user manager":        {"0::/user.slice/user-1.slice/user@1.service/app.slice/x.service", "user@1.service"},
		"none":                {"0::/", ""},
		"colon in the name":   {"0::/system.slice/a:b.service", "a:b.service"},
		"not a name":          {"0::/system.slice/a b.service", ""},
		"container by docker": {"0::/system.slice/docker-4f5e.scope", "docker-4f5e.scope"},
		"empty":               {"", ""},
	}
	for name, c := range cases {
		if got := cgroupUnit(strings.Split(c.cgroup, "\n")); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestAProcessNameIsOnlyAName(t *testing.T) {
	t.Parallel()
	fields := " S 7 7 7 0 -1 4194560 1 0 0 0 30 40 0 0 20 0 3 0 500 1000 25 18446744073709551615 0 0 0 0 0 0 0 0 0"
	for _, comm := range []string{"sh", "a b", "x) R 1", "((", "", "a\nb", ") S 1 (("} {
		s, ok := parseStat(12, "12 ("+comm+")"+fields)
		if !ok || s.comm != comm || s.state != "S" || s.ppid != 7 || s.user != 30 || s.system != 40 || s.threads != 3 || s.startedAt != 500 || s.pages != 25 {
			t.Errorf("%q: %+v, %v", comm, s, ok)
		}
	}
	for _, bad := range []string{"", "12 (sh", "13 (sh)" + fields, "12 (sh) S 7 7"} {
		if s, ok := parseStat(12, bad); ok {
			t.Errorf("%q gave %+v", bad, s)
		}
	}
}

func TestAMountThatIsCoveredHoldsNothing(t *testing.T) {
	t.Parallel()
	mounts, err := parseMounts([]byte(`1 0 8:1 / / rw - ext4 /dev/sda1 rw
2 1 8:2 / /srv rw - ext4 /dev/sdb1 rw
3 2 8:3 / /srv/data rw - ext4 /dev/sdc1 rw
4 2 8:4 / /srv rw - ext4 /dev/sdd1 rw
5 1 8:5 / /with\040space\134x ro,relatime - ext4 /dev/sde1 rw
6 1 8:1 /home /bind rw - ext4 /dev/sda1 rw
7 1 0:5 / /proc rw - proc proc rw
8 1 0:9 / /mnt rw - nfs4 srv:/x rw
9 1 0:10 / /var/lib/docker/overlay2/x/merged rw - overlay overlay rw
`))
	if err != nil {
		t.Fatal(err)
	}
	tree := growTree(mounts)
	for path, want := range map[string]string{
		"/": "1", "/srvx": "1", "/srv": "4", "/srv/data/x": "4", `/with space\x/y`: "5", "/bind/a": "6", "/proc/1": "7", "/mnt": "8",
	} {
		if m, ok := tree.holding(path); !ok || m.id != want {
			t.Errorf("%s lies on %s, want %s", path, m.id, want)
		}
	}
	var shown []string
	for _, m := range measurable(mounts) {
		shown = append(shown, m.point)
	}
	if diff := cmp.Diff([]string{"/", "/mnt", "/srv", `/with space\x`}, shown); diff != "" {
		t.Errorf("measurable (-want +got):\n%s", diff)
	}
	near, far := nearAndFar(measurable(mounts))
	if len(near) != 3 || len(far) != 1 || far[0] != "/mnt" {
		t.Errorf("near %v, far %v", near, far)
	}
	for _, cut := range []string{"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 8:2 / /sr", "", "x\n"} {
		if m, err := parseMounts([]byte(cut)); err == nil {
			t.Errorf("%q gave %v", cut, m)
		}
	}
	ring, err := parseMounts([]byte("1 2 8:1 / / rw - x y rw\n2 1 8:2 / / rw - x y rw\n"))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := growTree(ring).holding("/a"); ok {
		t.Error("a ring of mounts holds something")
	}
}

func TestADeadServerLeavesTheOtherFilesystems(t *testing.T) {
	t.Parallel()
	info := "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n8 1 0:9 / /mnt rw - nfs4 srv:/x rw\n"
	value, status := parse(t, "disk.filesystems", nil,
		okRaw(rawMounts, info), okRaw(rawSizes, "1000 400 300 4096 50 20 /\x00"),
		diagnostics.Raw{Name: netSizes(0), Status: diagnostics.TimedOut})
	if status != diagnostics.Truncated || dig(map[string]any(value), "filesystems.#") != 1 {
		t.Fatalf("%s %v", status, value)
	}
	got := value["filesystems"].([]any)[0].(map[string]any)
	want := map[string]any{
		"mount": "/", "device": "/dev/sda1", "type": "ext4", "size": int64(4096000), "used": int64(2457600),
		"available": int64(1228800), "reserved": int64(409600), "used_percent": 100.0 * 600 / 900,
		"inodes": int64(50), "inodes_free": int64(20), "inodes_used_percent": 60.0, "read_only": false,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestValidatorsThatPutTheLineApart(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		output string
		want   location
	}{
		"amtool 0.25": {
			"Checking '/etc/am.yml'  FAILED: yaml: unmarshal errors:\n  line 3: field foo not found in type config.plain\n\namtool: error: failed",
			location{"line 3: field foo not found in type config.plain", "/etc/am.yml", 3},
		},
		"promtool": {
			"Checking /etc/p.yml\n  FAILED: parsing YAML file /etc/p.yml: yaml: unmarshal errors:\n  line 7: field x not found in type config.plain\n",
			location{"line 7: field x not found in type config.plain", "/etc/p.yml", 7},
		},
		"squid":                 {"2026/01/01 FATAL: Bungled /etc/squid/squid.conf line 3: foo", location{"2026/01/01 FATAL: Bungled /etc/squid/squid.conf line 3: foo", "/etc/squid/squid.conf", 3}},
		"visudo 1.8":            {">>> /etc/sudoers: syntax error near line 28 <<<", location{">>> /etc/sudoers: syntax error near line 28 <<<", "/etc/sudoers", 28}},
		"an address is no file": {"cannot bind 10.0.0.1:80", location{message: "cannot bind 10.0.0.1:80"}},
		"nothing":               {"\n \n", location{}},
	}
	locate := newLocator()
	for name, c := range cases {
		if got := locate.find(c.output); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

func TestSystemctlThatCannotAsk(t *testing.T) {
	t.Parallel()
	const answer = "System has not been booted with systemd as init system (PID 1). Can't operate.\nFailed to connect to bus: Host is down\n"
	for _, probe := range []string{"unit.status", "unit.failed"} {
		args := diagnostics.Args{}
		if probe == "unit.status" {
			args["unit"] = "nginx"
		}
		if _, status := parse(t, probe, args, exited(rawShow, 1, answer), exited(rawList, 1, answer)); status != diagnostics.Failed {
			t.Errorf("%s: %s", probe, status)
		}
	}
}

func TestJournalThatShowsNotAll(t *testing.T) {
	t.Parallel()
	line := `{"__REALTIME_TIMESTAMP":"1795307189593908","MESSAGE":"Start request repeated too quickly.","_PID":"1"}` + "\n"
	args := diagnostics.Args{"unit": "x"}
	cases := map[string]struct {
		output string
		want   diagnostics.Status
	}{
		"whole": {line, diagnostics.OK},
		"hint":  {"Hint: You are currently not seeing messages from other users and the system.\n      Users in groups 'adm'\n" + line, diagnostics.Denied},
		"none":  {"No journal files were found.\n-- No entries --\n", diagnostics.Failed},
		"cut":   {line + `{"__REALTIME`, diagnostics.Failed},
	}
	for name, c := range cases {
		if _, status := parse(t, "unit.journal", args, okRaw(rawJournal, c.output)); status != c.want {
			t.Errorf("%s: %s, want %s", name, status, c.want)
		}
	}
	bytesMessage := `{"__REALTIME_TIMESTAMP":"1","MESSAGE":[255,104,105],"_PID":"7"}` + "\n"
	started := `{"__REALTIME_TIMESTAMP":"2","MESSAGE":"Started x.service.","_PID":"1"}` + "\n"
	value, _ := parse(t, "unit.journal", args, okRaw(rawJournal, line+bytesMessage+started))
	if value["start_limit_hit"] != false {
		t.Error("a start after the start limit does not end it")
	}
	if got := dig(map[string]any(value), "lines.1.message"); got != "\uFFFDhi" {
		t.Errorf("message of bytes: %q", got)
	}
	forged := `{"__REALTIME_TIMESTAMP":"1","MESSAGE":"Start request repeated too quickly.","_PID":"7"}` + "\n"
	if value, _ := parse(t, "unit.journal", args, okRaw(rawJournal, forged)); value["start_limit_hit"] != false {
		t.Error("a line of the unit itself passes for one of systemd")
	}
}

func TestProcessesAreMatchedExactly(t *testing.T) {
	t.Parallel()
	const list = "/proc/1/cmdline:init\x00" +
		"/proc/20/cmdline:/usr/sbin/mysqld\x00/proc/20/cmdline:--a=b\x00" +
		"/proc/21/cmdline:/usr/sbin/mysqld-exporter\x00" +
		"/proc/22/cmdline:sh\x00/proc/22/cmdline:/proc/23/cmdline:/usr/sbin/mysqld\x00" +
		"/proc/24/cmdline:/usr/sbin/mysqld --a=b\x00" +
		"/proc/30/cmdline:/bin/sh\x00/proc/30/cmdline:-eu\x00/proc/30/cmdline:/opt/worker\x00/proc/30/cmdline:one\x00" +
		"/proc/31/cmdline:sh\x00/proc/31/cmdline:-n\x00/proc/31/cmdline:/opt/checked\x00" +
		"/proc/32/cmdline:vim\x00/proc/32/cmdline:/opt/edited\x00"
	unknown := func(why string) expr.Unknown { return expr.Unknown{Why: why} }
	const noPID = "there is no process id in the pid file"
	cases := map[string]struct {
		match, pidFile, state string
		running, stale, alive any
		pids                  []any
	}{
		"the program alone":             {match: `["/usr/sbin/mysqld"]`, running: true, stale: false, alive: false, pids: []any{"20"}},
		"with its pid file":             {match: `["/usr/sbin/mysqld","--a=b"]`, pidFile: "20\n/var/lib/mysql\n", running: true, stale: false, alive: true, pids: []any{"20"}},
		"nobody has the pid":            {match: `["/opt/other"]`, pidFile: "99", running: false, stale: true, alive: false},
		"it runs, and its file is old":  {match: `["/usr/sbin/mysqld"]`, pidFile: "99\n", running: true, stale: true, alive: false, pids: []any{"20"}},
		"only its pid file, alive":      {pidFile: "22", running: true, stale: false, alive: true, pids: []any{"22"}},
		"only its pid file, gone":       {pidFile: "99", running: false, stale: true, alive: false},
		"a zombie":                      {match: `["/opt/other"]`, pidFile: "99", state: "99 (a) Z b) Z 1 1", running: false, stale: true, alive: false},
		"neither file nor process":      {match: `["/opt/other"]`, running: false, stale: false, alive: false},
		"a script by its path":          {match: `["/opt/worker"]`, pidFile: "30", running: true, stale: false, alive: true, pids: []any{"30"}},
		"a script with an argument":     {match: `["/opt/worker","one"]`, running: true, stale: false, alive: false, pids: []any{"30"}},
		"a script with another":         {match: `["/opt/worker","two"]`, running: false, stale: false, alive: false},
		"a file without a pid":          {pidFile: "garbage", running: unknown(noPID), stale: unknown(noPID), alive: unknown(noPID)},
		"an empty file, and no process": {match: `["/opt/other"]`, pidFile: "\n", running: unknown(noPID), stale: unknown(noPID), alive: unknown(noPID)},
		"alive with another argument": {
			match: `["/usr/sbin/mysqld","--a"]`, pidFile: "20", alive: true,
			running: unknown(`the pid file names process 20, which runs as ["/usr/sbin/mysqld" "--a=b"]; its match is ["/usr/sbin/mysqld" "--a"]`),
			stale:   unknown(`the pid file names process 20, which runs as ["/usr/sbin/mysqld" "--a=b"]; its match is ["/usr/sbin/mysqld" "--a"]`),
		},
		"alive, and another one runs": { // who has the pid is not told, but that it runs is
			match: `["/usr/sbin/mysqld"]`, pidFile: "21\n", running: true, alive: true, pids: []any{"20"},
			stale: unknown(`the pid file names process 21, which runs as ["/usr/sbin/mysqld-exporter"]; its match is ["/usr/sbin/mysqld"]`),
		},
		"alive without arguments": {
			match: `["/opt/other"]`, pidFile: "99", state: "99 (nginx) S 1 1", alive: true,
			running: unknown(`the pid file names process 99, which is alive and shows no arguments; its match is ["/opt/other"]`),
			stale:   unknown(`the pid file names process 99, which is alive and shows no arguments; its match is ["/opt/other"]`),
		},
		"a script that may only be checked": {
			match: `["/opt/checked"]`, stale: false, alive: false,
			running: unknown(`it could be process 31, which runs as ["sh" "-n" "/opt/checked"]; its match is ["/opt/checked"]`),
		},
		"by a program that is no interpreter": {
			match: `["/opt/edited"]`, stale: false, alive: false,
			running: unknown(`it could be process 32, which runs as ["vim" "/opt/edited"]; its match is ["/opt/edited"]`),
		},
		"a name without a path": {
			match: `["worker"]`, stale: false, alive: false,
			running: unknown(`it could be process 30, which runs as ["/bin/sh" "-eu" "/opt/worker" "one"]; its match is ["worker"]`),
		},
	}
	for name, c := range cases {
		args, raws := diagnostics.Args{"match": c.match}, []diagnostics.Raw{okRaw(rawCmdlines, list)}
		if c.pidFile != "" {
			args["pid_file"], raws = "/run/x.pid", append(raws, okRaw(rawPIDFile, c.pidFile))
		}
		pid := strconv.FormatInt(firstPID([]byte(c.pidFile)), 10)
		switch {
		case c.state != "":
			raws = append(raws, okRaw(rawPIDState, c.state))
		case strings.Contains(list, "/proc/"+pid+"/"):
			raws = append(raws, okRaw(rawPIDState, pid+" (x) S 1 1"))
		default:
			raws = append(raws, diagnostics.Raw{Name: rawPIDState, Status: diagnostics.Absent})
		}
		pids := append([]any{}, c.pids...)
		value, status := parse(t, "process.match", args, raws...)
		got := []any{value["running"], value["stale_pid_file"], value["pid_file_alive"], value["pids"]}
		if want := []any{c.running, c.stale, c.alive, pids}; status != diagnostics.OK || !cmp.Equal(got, want) {
			t.Errorf("%s: %s %s", name, status, cmp.Diff(want, got))
		}
	}
	hidden := okRaw(rawCmdlines, "/proc/20/cmdline:/usr/sbin/mysqld\x00")
	if _, status := parse(t, "process.match", diagnostics.Args{"match": `["nothing"]`}, hidden); status != diagnostics.Denied {
		t.Errorf("with hidden processes: %s", status)
	}
}

func TestWhatLooksLikeALog(t *testing.T) {
	t.Parallel()
	for p, want := range map[string]bool{
		"/var/log/messages": true, "/srv/x.log": true, "/srv/x.log.1": true, "/srv/x.log.2.gz": true, "/srv/x.log-20260801": true,
		"/srv/x.err": true, "/run/log/journal/1/system.journal": true,
		"/srv/catalog": false, "/srv/x.logs": false, "/srv/x.log.txt": false, "/var/logs/x": false, "/srv/blog.db": false, "/srv/x.login": false,
	} {
		if got := isLog(p); got != want {
			t.Errorf("%s: %v", p, got)
		}
	}
}

func TestGrowersKeepRoomForWhatGrowsNow(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	files := []file{{path: "/new", bytes: 1, modified: at.Add(-time.Minute)}}
	for range 100 {
		files = append(files, file{path: "/old", bytes: 1000, modified: at.Add(-48 * time.Hour)})
	}
	chosen := mostInteresting(files, at)
	if len(chosen) != maxGrowers || chosen[maxGrowers-1].path != "/new" {
		t.Errorf("%d files, last %s", len(chosen), chosen[len(chosen)-1].path)
	}
}

func TestMalformedArgumentsAreRefused(t *testing.T) {
	t.Parallel()
	invalid := []struct {
		probe string
		args  diagnostics.Args
	}{
		{"disk.usage", nil},
		{"disk.usage", diagnostics.Args{"mount": "relative"}},
		{"disk.usage", diagnostics.Args{"mount": "/a/../b"}},
		{"disk.usage", diagnostics.Args{"mount": "/a\x00"}},
		{"disk.usage", diagnostics.Args{"mount": "/", "other": "x"}},
		{"disk.growers", diagnostics.Args{"mount": "--help"}},
		{"dir.usage", diagnostics.Args{"path": "/" + strings.Repeat("a", 5000)}},
		{"log.tail", diagnostics.Args{"path": "/a/"}},
		{"unit.status", diagnostics.Args{"unit": "a b"}},
		{"unit.status", diagnostics.Args{"unit": "*"}},
		{"unit.status", diagnostics.Args{"unit": "a;reboot"}},
		{"unit.status", diagnostics.Args{"unit": ".service"}},
		{"unit.journal", diagnostics.Args{"unit": strings.Repeat("a", 256)}},
		{"config.validate", diagnostics.Args{"unit": "nginx/../x"}},
		{"process.match", diagnostics.Args{}},
		{"process.match", diagnostics.Args{"match": "mysqld"}},
		{"process.match", diagnostics.Args{"match": "[]"}},
		{"process.match", diagnostics.Args{"pid_file": "x.pid"}},
		{"http.get", diagnostics.Args{"url": "file:///etc/passwd"}},
		{"http.get", diagnostics.Args{"url": "http://user:pw@host/"}},
		{"http.get", diagnostics.Args{"url": "http://host/a b"}},
		{"http.get", diagnostics.Args{"url": "http:///x"}},
		{"http.get", diagnostics.Args{"url": "-o/etc/x"}},
	}
	for _, c := range invalid {
		if raws, err := probeNamed(t, c.probe).Read(t.Context(), refusing{t}, c.args); !fault.Is(err, fault.Invalid) || raws != nil {
			t.Errorf("%s %v: %v", c.probe, c.args, err)
		}
	}
	for _, probe := range []string{"file.stat", "dir.usage", "log.tail"} {
		for _, p := range []string{
			"/etc/shadow", "/etc/gshadow-", "/root/.ssh/id_ed25519", "/root/.ssh/config", "/home/x/.ssh", "/etc/ssl/private/a.pem",
			"/etc/ssl/private", "/etc/ssh/ssh_host_rsa_key", "/srv/id_rsa",
		} {
			if raws, err := probeNamed(t, probe).Read(t.Context(), refusing{t}, diagnostics.Args{"path": p}); !fault.Is(err, fault.Denied) || raws != nil {
				t.Errorf("%s %s: %v", probe, p, err)
			}
		}
	}
	for _, p := range []string{"/proc/1/environ", "/dev/sda", "/sys/x"} {
		if _, err := probeNamed(t, "log.tail").Read(t.Context(), refusing{t}, diagnostics.Args{"path": p}); !fault.Is(err, fault.Denied) {
			t.Errorf("log.tail %s: %v", p, err)
		}
	}
	for _, p := range []string{"/etc/ssh/ssh_host_rsa_key.pub", "/var/log/idle.log", "/etc/shadowed", "/srv/id_rsa.pub"} {
		if holdsSecret(p) {
			t.Errorf("%s is no secret", p)
		}
	}
}

func TestAWalkThatWasEndedIsNotComplete(t *testing.T) {
	t.Parallel()
	dir := okRaw(rawPath, `{"name":"x"}`)
	target := okRaw(rawReal, "/srv/x\x00")
	for _, c := range []struct {
		end      string
		status   diagnostics.Status
		complete bool
	}{
		{"end 0 0", diagnostics.OK, true},
		{"end 1 0", diagnostics.OK, true}, // a file vanished
		{"end 1 3", diagnostics.OK, false},
		{"end 0 1", diagnostics.OK, false},
		{"end 124 0", diagnostics.OK, false},
		{"end 137 0", diagnostics.OK, false},
		{"end 127 1", diagnostics.Failed, false}, // no timeout(1), or no find(1)
		{"end  0", diagnostics.Failed, false},
		{"", diagnostics.Failed, false},
	} {
		value, status := parse(t, "dir.usage", diagnostics.Args{"path": "/srv/x"}, dir, target, okRaw(rawSum, "4096 1 1795307189.5\n"+c.end+"\n"))
		if status != c.status || status == diagnostics.OK && value["complete"] != c.complete {
			t.Errorf("%q: %s %v", c.end, status, value)
		}
	}
}

func TestALogWithTwoNamesCountsOnce(t *testing.T) {
	t.Parallel()
	files := []file{
		{path: "/srv/a.log", inode: "7", bytes: 100},
		{path: "/srv/b.log", inode: "7", bytes: 100},
		{path: "/srv/c.log", inode: "8", bytes: 10},
		{path: "/srv/data", inode: "9", bytes: 1000},
	}
	if got := logBytes(files); got != 110 {
		t.Errorf("%d bytes of logs, want 110", got)
	}
}

func TestTheNextProcessOfAPIDStartsFromNothing(t *testing.T) {
	t.Parallel()
	stat := func(pid, user, started string) string {
		return "/proc/" + pid + "/stat:" + pid + " (x) R 1 1 1 0 -1 0 0 0 0 0 " + user + " 0 0 0 20 0 1 0 " + started + " 1000 2 0\n"
	}
	sample, err := parseSamples([]byte("4096\n10.00 5.00\n" + stat("1", "100", "0") + stat("9", "100", "50") +
		"12.00 6.00\n" + stat("1", "200", "0") + stat("9", "300", "1100") + "end\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := sample.processes[1].userSeconds; got != 0.5 {
		t.Errorf("100 ticks in 2 seconds are %v", got)
	}
	if got := sample.processes[9].userSeconds; got != 0 {
		t.Errorf("the successor inherits %v", got)
	}
	if got := sample.processes[9].rss; got != 8192 {
		t.Errorf("rss %d", got)
	}
}

func TestUpdatesOfOtherArchives(t *testing.T) {
	t.Parallel()
	value, status := parse(t, "package.updates", nil, exited(rawUpgrade, 0,
		"3 upgraded, 0 newly installed, 0 to remove and 2 not upgraded.\n"+
			"Inst libc6 [2.35-0ubuntu3.4] (2.35-0ubuntu3.8 Ubuntu:22.04/jammy-updates, Ubuntu:22.04/jammy-security [amd64]) []\n"+
			"Inst linux-image-6.1 (6.1.1 Debian:12/stable [amd64])\nInst my-security-tool [1] (2 local:1/stable [all])\nConf x (1)\n"))
	if status != diagnostics.OK || value["pending"] != int64(3) || value["security"] != int64(1) {
		t.Errorf("%s: %v", status, value)
	}
	for name, raw := range map[string]diagnostics.Raw{
		"a broken host": exited(rawUpgrade, 100, "E: dpkg was interrupted"), "another tool": exited(rawUpgrade, 0, "Inst\nInst what is this\n"),
		"no apt": exited(rawUpgrade, 127, ""), "cut": exited(rawUpgrade, 0, "2 upgraded, 0 newly installed, 0 to remove\nInst a [1] (2 x [all])\n"),
	} {
		if value, status := parse(t, "package.updates", nil, raw); status != diagnostics.Failed {
			t.Errorf("%s: %s, %v", name, status, value)
		}
	}
}
