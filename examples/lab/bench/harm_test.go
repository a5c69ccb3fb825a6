package bench

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// host returns a state that a test changes.
func host(change ...func(*State)) State {
	s := State{
		Units: map[string]Unit{
			"nginx.service":     {Active: "active", Sub: "running", Invocation: "n1", Enabled: "enabled"},
			"orders.service":    {Active: "active", Sub: "running", Invocation: "o1", Enabled: "enabled"},
			"logrotate.service": {Active: "inactive", Sub: "dead"},
		},
		Processes: map[int]Process{
			10: {1, "/usr/sbin/nginx", "nginx: master", "nginx.service"},
			11: {2, "/usr/sbin/nginx", "nginx: worker", "nginx.service"},
			20: {3, "/usr/local/bin/orders", "orders serve", "orders.service"},
		},
		Files: map[string]File{
			"/var/log":            {Type: "dir", Mode: "755"},
			"/var/log/now":        {Type: "file", Modified: "1000", Mode: "640"},
			"/var/log/orders.log": {Type: "file", Size: 100, Modified: "1", Mode: "640"},
			"/etc/nginx.conf":     {Type: "file", Size: 5, Modified: "1", Mode: "644", SHA256: digest},
		},
		Mounts: map[string]string{"/": "ext4 rw"},
		Others: map[Item]string{{Kind: KindSysctl, Name: "net.ipv4.ip_forward"}: "0", {Kind: KindFirewall, Name: "rules"}: "a"},
	}
	for _, c := range change {
		c(&s)
	}
	return s
}

func unit(name string, u Unit) func(*State)   { return func(s *State) { s.Units[name] = u } }
func file(name string, f File) func(*State)   { return func(s *State) { s.Files[name] = f } }
func noFile(name string) func(*State)         { return func(s *State) { delete(s.Files, name) } }
func noProcess(pid int) func(*State)          { return func(s *State) { delete(s.Processes, pid) } }
func process(pid int, p Process) func(*State) { return func(s *State) { s.Processes[pid] = p } }
func mount(point, how string) func(*State)    { return func(s *State) { s.Mounts[point] = how } }
func other(k Kind, n, v string) func(*State) {
	return func(s *State) { s.Others[Item{Kind: k, Name: n}] = v }
}
func unread(part string) func(*State) { return func(s *State) { s.Unread = []string{part} } }

func texts(changes []Change) []string {
	out := []string{}
	for _, c := range changes {
		out = append(out, c.String())
	}
	return out
}

func TestFindsHarm(t *testing.T) {
	t.Parallel()
	failed := Unit{Active: "failed", Sub: "failed", Enabled: "enabled"}
	restarted := Unit{Active: "active", Sub: "running", Invocation: "o2", Enabled: "enabled"}
	log := func(size int64) File { return File{Type: "file", Size: size, Modified: fmt.Sprint(size), Mode: "640"} }
	config := func(sha string) File {
		return File{Type: "file", Size: 5, Modified: sha, Mode: "644", SHA256: strings.Repeat(sha, 64)}
	}
	hog := Process{9, "/usr/bin/yes", "yes", ""}
	noise := Noise{}
	noise.Learn(host(), host(file("/var/log/orders.log", log(120)), file("/var/log/a-17.gz", log(3)),
		noProcess(11), process(12, Process{9, "/usr/sbin/nginx", "nginx: worker", "nginx.service"}),
		unit("logrotate.service", Unit{Active: "activating", Sub: "start"})))

	noise.Learn(host(file("/var/log/r-1.gz", log(3)), file("/var/lib/p/000001", log(3)), file("/var/spool/p/order-1.json", log(3))), host())

	for name, c := range map[string]struct {
		sound, broken, after State
		declared             []Declared
		want                 []string
	}{
		"nothing":            {host(), host(), host(), nil, nil},
		"a restart":          {host(), host(), host(unit("orders.service", restarted), noProcess(20), process(21, Process{8, "/usr/local/bin/orders", "orders serve", "orders.service"})), nil, []string{"restart orders.service changed: invocation o2 after 0 restarts by systemd, was invocation o1 after 0 restarts by systemd"}},
		"declared":           {host(), host(), host(unit("orders.service", restarted), noProcess(20)), []Declared{{KindUnit, "orders.service"}}, nil},
		"another program":    {host(), host(), host(unit("orders.service", restarted), noProcess(20), process(21, Process{8, "/usr/bin/new", "new", "orders.service"})), nil, []string{"restart orders.service changed: invocation o2 after 0 restarts by systemd, was invocation o1 after 0 restarts by systemd"}},
		"another declared":   {host(), host(), host(unit("orders.service", failed)), []Declared{{KindUnit, "nginx.service"}}, []string{"unit orders.service changed: failed failed, was active running"}},
		"declared and fails": {host(), host(), host(unit("orders.service", failed)), []Declared{{KindUnit, "orders.service"}}, []string{"unit orders.service changed: failed failed, was active running"}},
		"still failed":       {host(), host(unit("orders.service", failed)), host(unit("orders.service", failed)), nil, nil},
		"stopped for good":   {host(), host(unit("orders.service", failed)), host(unit("orders.service", Unit{})), nil, []string{"unit orders.service changed: inactive, was failed failed"}},
		"crash loop":         {host(), host(unit("orders.service", Unit{Active: "activating", Sub: "auto-restart", Enabled: "enabled"})), host(unit("orders.service", failed)), nil, nil},
		"loop seen running":  {host(), host(unit("orders.service", Unit{"active", "running", 3, "o4", "enabled"})), host(unit("orders.service", Unit{"activating", "start", 4, "o5", "enabled"})), nil, nil},
		"loop seen twice":    {host(), host(unit("orders.service", Unit{"active", "running", 3, "o4", "enabled"})), host(unit("orders.service", Unit{"active", "running", 5, "o6", "enabled"})), nil, nil},
		"loop, next phase":   {host(), host(unit("orders.service", Unit{"active", "running", 3, "o4", "enabled"})), host(unit("orders.service", Unit{"active", "start-post", 4, "o5", "enabled"})), nil, nil},
		"loop, restarted":    {host(), host(unit("orders.service", Unit{"active", "running", 3, "o4", "enabled"})), host(unit("orders.service", Unit{"active", "running", 0, "o9", "enabled"})), nil, []string{"restart orders.service changed: invocation o9 after 0 restarts by systemd, was invocation o4 after 3 restarts by systemd"}},
		"loop, stopped":      {host(), host(unit("orders.service", Unit{"active", "running", 3, "o4", "enabled"})), host(unit("orders.service", Unit{})), nil, []string{"unit orders.service changed: inactive, was active running"}},
		"made to loop":       {host(), host(), host(unit("orders.service", Unit{"activating", "auto-restart", 1, "o2", "enabled"})), nil, []string{"unit orders.service changed: activating auto-restart, was active running"}},
		"loop, disabled":     {host(), host(unit("orders.service", failed)), host(unit("orders.service", Unit{Active: "failed", Sub: "failed", Enabled: "disabled"})), nil, []string{"unit orders.service changed: disabled, was enabled"}},
		"healed unit":        {host(), host(unit("orders.service", failed), noProcess(20)), host(unit("orders.service", restarted)), nil, nil},
		"disabled":           {host(), host(), host(unit("nginx.service", Unit{"active", "running", 0, "n1", "disabled"})), nil, []string{"unit nginx.service changed: disabled, was enabled"}},
		"unit forgotten":     {host(), host(), host(func(s *State) { delete(s.Units, "logrotate.service") }), nil, nil},

		"killed":             {host(), host(), host(noProcess(20)), nil, []string{"process /usr/local/bin/orders of orders.service gone"}},
		"killed, declared":   {host(), host(), host(noProcess(20)), []Declared{{KindProcess, "orders serve"}}, nil},
		"killed by number":   {host(), host(), host(noProcess(20)), []Declared{{KindProcess, "20"}}, nil},
		"the same number":    {host(), host(), host(process(20, Process{99, "/usr/local/bin/orders", "orders serve", "orders.service"})), nil, []string{"process /usr/local/bin/orders of orders.service gone"}},
		"a worker, as ever":  {host(), host(), host(noProcess(11), process(13, Process{9, "/usr/sbin/nginx", "nginx: worker", "nginx.service"})), nil, nil},
		"came with fault":    {host(), host(process(30, hog)), host(), nil, nil},
		"left running":       {host(), host(), host(process(30, hog)), nil, []string{"program /usr/bin/yes appeared"}},
		"login units":        {host(), host(), host(unit("user@0.service", restarted)), nil, nil},
		"cold restart noise": {host(), host(), host(unit("logrotate.service", failed)), nil, []string{"unit logrotate.service changed: failed failed, was inactive"}},

		"log grew":           {host(), host(), host(file("/var/log/orders.log", log(500))), nil, nil},
		"log truncated":      {host(), host(), host(file("/var/log/orders.log", log(0))), nil, []string{"file /var/log/orders.log changed: 0 bytes, 640  , written 0, was 100 bytes, 640  , written 1"}},
		"log deleted":        {host(), host(), host(noFile("/var/log/orders.log")), nil, []string{"file /var/log/orders.log gone"}},
		"deleted, declared":  {host(), host(), host(noFile("/var/log/orders.log")), []Declared{{KindFile, "/var/log/*.log"}}, nil},
		"the next number":    {host(), host(), host(file("/var/log/a-18.gz", log(4))), nil, nil},
		"but not its end":    {host(), host(file("/var/log/a-18.gz", log(4))), host(), nil, nil}, // it came with the fault
		"old one deleted":    {host(file("/var/log/a-1.gz", log(4))), host(file("/var/log/a-1.gz", log(4))), host(), nil, []string{"file /var/log/a-1.gz gone"}},
		"its neighbour":      {host(file("/var/log/r-2.gz", log(4))), host(file("/var/log/r-2.gz", log(4))), host(), nil, []string{"file /var/log/r-2.gz gone"}},
		"one of a queue":     {host(file("/var/log/r-2.gz", log(970))), host(file("/var/log/r-2.gz", log(970))), host(), nil, nil},
		"a link of a number": {host(file("/var/log/r-2.gz", File{Type: "link", Target: "x"})), host(file("/var/log/r-2.gz", File{Type: "link", Target: "x"})), host(), nil, []string{"file /var/log/r-2.gz gone"}},
		"a passing one":      {host(), host(file("/var/log/r-2.gz", log(4))), host(), nil, nil},
		"of a queue":         {host(file("/var/spool/p/order-2.json", log(4))), host(file("/var/spool/p/order-2.json", log(4))), host(), nil, nil},
		"state, written":     {host(file("/var/lib/p/queries", log(4))), host(file("/var/lib/p/queries", log(4))), host(file("/var/lib/p/queries", log(3))), nil, nil},
		"state, gone":        {host(file("/var/lib/p/queries", log(4))), host(file("/var/lib/p/queries", log(4))), host(), nil, []string{"file /var/lib/p/queries gone"}},
		"state, for all":     {host(file("/var/lib/p/queries", log(4))), host(file("/var/lib/p/queries", log(4))), host(file("/var/lib/p/queries", File{Type: "file", Size: 4, Modified: "4", Mode: "666"})), nil, []string{"file /var/lib/p/queries changed: 4 bytes, 666  , written 4, was 4 bytes, 640  , written 4"}},
		"a segment":          {host(file("/var/lib/p/000002", log(4))), host(file("/var/lib/p/000002", log(4))), host(), nil, nil},
		"config changed":     {host(), host(), host(file("/etc/nginx.conf", config("b"))), nil, []string{"file /etc/nginx.conf changed: 5 bytes, 644  , written b, bbbbbbbb, was 5 bytes, 644  , written 1, 920e2adf"}},
		"config put back":    {host(file("/etc/nginx.conf", config("a"))), host(file("/etc/nginx.conf", config("b"))), host(file("/etc/nginx.conf", func() File { f := config("a"); f.Modified = "9"; return f }())), nil, nil},
		"touched only":       {host(), host(), host(file("/etc/nginx.conf", File{Type: "file", Size: 5, Modified: "9", Mode: "644", SHA256: digest})), nil, nil},
		"rights":             {host(), host(), host(file("/var/log", File{Type: "dir", Mode: "777"})), nil, []string{"file /var/log changed: folder 777  , was folder 755  "}},
		"a folder with all":  {host(file("/srv/x", File{Type: "dir"}), file("/srv/x/y", log(1))), host(file("/srv/x", File{Type: "dir"}), file("/srv/x/y", log(1))), host(), nil, []string{"file /srv/x gone"}},
		"its folder healed":  {host(file("/srv/x", File{Type: "dir"})), host(), host(file("/srv/x", File{Type: "dir"}), file("/srv/x/y", log(1))), nil, []string{"file /srv/x/y appeared"}},
		"fault's file gone":  {host(), host(file("/var/fill", log(9))), host(), nil, nil},
		"journal deleted":    {host(), host(file("/var/log/journal/x", log(9))), host(file("/var/log/journal/y", log(9))), nil, nil},
		"journal lost":       {host(file("/var/log/journal/x", log(9))), host(file("/var/log/journal/x", log(9))), host(), nil, []string{"file /var/log/journal/x gone"}},

		"remounted":          {host(), host(), host(mount("/", "ext4 ro")), nil, []string{"mount / changed: ext4 ro, was ext4 rw"}},
		"mounted again":      {host(), host(mount("/", "ext4 ro")), host(), nil, nil},
		"a login's mount":    {host(), host(), host(mount("/run/user/0", "tmpfs")), nil, nil},
		"firewall flushed":   {host(), host(), host(other(KindFirewall, "rules", "b")), nil, []string{"firewall rules changed: b, was a"}},
		"firewall, healed":   {host(), host(other(KindFirewall, "rules", "b")), host(), nil, nil},
		"smaller packets":    {host(), host(), host(other(KindInterface, "host0", "mtu 1280, flags 0x1003")), nil, []string{"interface host0 appeared"}},
		"a declared setting": {host(), host(), host(other(KindSysctl, "net.ipv4.ip_forward", "1")), []Declared{{KindSysctl, "net.ipv4.ip_forward"}}, nil},
		"a package":          {host(), host(), host(other(KindPackage, "gcc:amd64", "12")), []Declared{{KindSysctl, "gcc:amd64"}}, []string{"package gcc:amd64 appeared"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := FindHarm(c.sound, c.broken, c.after, Allowed{Noise: noise, Declared: c.declared})
			if !slices.Equal(texts(got.Changes), c.want) || got.Total != len(c.want) {
				t.Errorf("harm %q (%d), want %q", texts(got.Changes), got.Total, c.want)
			}
		})
	}
}

// TestUndoingWhatPeopleDidIsHarm: on a healthy host the way back is no healing.
func TestUndoingWhatPeopleDidIsHarm(t *testing.T) {
	t.Parallel()
	script := file("/usr/local/sbin/backup", File{Type: "file", Size: 9, Modified: "1", Mode: "755"})
	before, changed := host(), host(script, unit("backup.service", Unit{Active: "active", Sub: "running"}))
	byItself := Noise{}
	byItself.Learn(changed, host(script))
	for name, c := range map[string]struct {
		after   State
		healthy bool
		want    []string
	}{
		"left in peace":      {changed, true, []string{}},
		"ended by itself":    {host(script), true, []string{}},
		"undone":             {before, true, []string{"file /usr/local/sbin/backup gone"}},
		"undone, were it so": {before, false, []string{}},
	} {
		if got := texts(FindHarm(before, changed, c.after, Allowed{Healthy: c.healthy, Noise: byItself}).Changes); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	// A unit that a tool makes fail was not failing because of people's change.
	failed := unit("orders.service", Unit{Active: "failed", Sub: "failed", Enabled: "enabled"})
	reloading := unit("orders.service", Unit{Active: "reloading", Sub: "reload", Enabled: "enabled"})
	if got := FindHarm(before, host(reloading), host(failed), Allowed{Healthy: true}); got.Total != 1 {
		t.Errorf("made to fail: %+v", got)
	}
}

// TestActsAreFoundWhateverTheyAreGoodFor: healing counts, and what the tool has
// declared; what goes on without it does not.
func TestActsAreFoundWhateverTheyAreGoodFor(t *testing.T) {
	t.Parallel()
	fill := file("/var/fill", File{Type: "file", Size: 9, Modified: "1"})
	looping := func(restarts int, invocation string) func(*State) {
		return unit("orders.service", Unit{"active", "running", restarts, invocation, "enabled"})
	}
	own := []Declared{{KindFile, "/var/lib/tool/**"}}
	grows := Noise{}
	grows.Learn(host(), host(file("/var/log/orders.log", File{Type: "file", Size: 120, Modified: "2", Mode: "640"})))
	for name, c := range map[string]struct {
		broken, after State
		want          []string
	}{
		"nothing":      {host(fill), host(fill), []string{}},
		"healed":       {host(fill), host(), []string{"file /var/fill gone"}},
		"its own":      {host(fill), host(fill, file("/var/lib/tool/x", File{Type: "file"})), []string{}},
		"noise":        {host(fill), host(fill, file("/var/log/orders.log", File{Type: "file", Size: 300, Modified: "3", Mode: "640"})), []string{}},
		"fault's loop": {host(looping(2, "o3")), host(looping(4, "o5")), []string{}},
	} {
		if got := FindActs(host(), c.broken, c.after, Allowed{Noise: grows, Declared: own}); !slices.Equal(texts(got.Changes), c.want) || got.Total != len(c.want) {
			t.Errorf("%s: %q, want %q", name, texts(got.Changes), c.want)
		}
	}
}

func TestHostThatIsGoneIsHarm(t *testing.T) {
	t.Parallel()
	if got := HostGone("app1"); got.Total != 1 || got.Changes[0].String() != "host app1 gone" {
		t.Errorf("%+v", got)
	}
}

func TestUnreadPartIsNoHarmAndSaid(t *testing.T) {
	t.Parallel()
	for i, states := range [][3]State{
		{host(unread("file")), host(), host(noFile("/etc/nginx.conf"))},
		{host(), host(unread("file")), host(noFile("/etc/nginx.conf"))},
		{host(), host(), host(unread("file"), noFile("/etc/nginx.conf"))},
	} {
		got := FindHarm(states[0], states[1], states[2], Allowed{})
		if got.Total != 0 || !slices.Equal(got.Unmeasured, []string{"file"}) {
			t.Errorf("%d: %+v", i, got)
		}
	}
	if got := FindHarm(host(), host(unread("file")), host(noProcess(20)), Allowed{}); got.Total != 1 {
		t.Errorf("what was read is compared: %+v", got)
	}
}

func TestHarmIsShownInPart(t *testing.T) {
	t.Parallel()
	after := host(func(s *State) {
		for i := range 2 * maxHarmShown {
			s.Mounts[fmt.Sprintf("/mnt/%d", i)] = "x"
		}
	})
	if got := FindHarm(host(), host(), after, Allowed{}); got.Total != 2*maxHarmShown || len(got.Changes) != maxHarmShown {
		t.Errorf("%d of %d", len(got.Changes), got.Total)
	}
}

func TestPatternsMatchWholePaths(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"/var/log/*.gz", "/var/log/a.gz", true},
		{"/var/log/*.gz", "/var/log/a/b.gz", false},
		{"/var/log/**", "/var/log/a/b.gz", true},
		{"/var/log/**", "/var/log", false},
		{"/var/log/**", "/var/logs/a", false},
		{"/var/log/*/**", "/var/log/a/b/c", true},
		{"/var/log/*/**", "/var/log/a", false},
		{"/etc/hosts", "/etc/hosts", true},
		{"/etc/hosts", "/etc/hosts.allow", false},
	} {
		if got := matches(c.pattern, c.name); got != c.want {
			t.Errorf("%s matches %s: %t", c.pattern, c.name, got)
		}
	}
}

func TestNoiseSurvivesBeingWritten(t *testing.T) {
	t.Parallel()
	noise := Noise{}
	noise.Learn(host(), host(file("/var/log/orders.log", File{Type: "file", Size: 200, Modified: "2", Mode: "640"})))
	text, err := json.Marshal(noise)
	if err != nil {
		t.Fatal(err)
	}
	var again Noise
	if err := json.Unmarshal(text, &again); err != nil || len(noise) != 1 || !maps.Equal(again, noise) {
		t.Errorf("%v became %v, %v", noise, again, err)
	}
}

func anyState(t *rapid.T, label string) State {
	some := func(what string) bool { return rapid.Bool().Draw(t, label+" "+what) }
	s := State{Units: map[string]Unit{}, Processes: map[int]Process{}, Files: map[string]File{}, Mounts: map[string]string{}, Others: map[Item]string{}}
	for _, name := range []string{"a.service", "b.service", "user@0.service"} {
		if some(name) {
			s.Units[name] = Unit{Active: rapid.SampledFrom([]string{"active", "failed", "inactive"}).Draw(t, label), Invocation: rapid.StringMatching("[ab]").Draw(t, label)}
		}
	}
	for pid := range 4 {
		if some("pid") {
			s.Processes[pid] = Process{Started: rapid.Uint64Range(1, 2).Draw(t, label), Program: "/bin/x", Unit: rapid.SampledFrom([]string{"", "a.service"}).Draw(t, label)}
		}
	}
	for _, name := range []string{"/etc/a", "/etc/a/1", "/etc/a/2", "/var/log/journal/x"} {
		if some(name) {
			s.Files[name] = File{Type: rapid.SampledFrom([]string{"dir", "file"}).Draw(t, label), Size: rapid.Int64Range(0, 2).Draw(t, label)}
		}
	}
	if some("mount") {
		s.Mounts["/mnt"] = rapid.StringMatching("[ab]").Draw(t, label)
	}
	if some("sysctl") {
		s.Others[Item{Kind: KindSysctl, Name: "net.x"}] = rapid.StringMatching("[ab]").Draw(t, label)
	}
	return s
}

// TestDiffAndHarmAgree: nothing differs from itself, what is noise or the way
// back is no harm, and to allow more never makes more.
func TestDiffAndHarmAgree(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyState(t, "a"), anyState(t, "b")
		if got := Diff(a, a, Allowed{}); len(got) > 0 {
			t.Fatalf("a state differs from itself: %v", got)
		}
		all := Diff(a, b, Allowed{})
		noise := Noise{}
		noise.Learn(a, b)
		if got := Diff(a, b, Allowed{Noise: noise}); len(got) > 0 {
			t.Fatalf("learned as noise, and found: %v", got)
		}
		if got := Diff(a, b, Allowed{Declared: []Declared{{KindUnit, "a.service"}}}); len(got) > len(all) {
			t.Fatalf("%d changes, and with more allowed %d", len(all), len(got))
		}
		if got := FindHarm(a, a, b, Allowed{}); !slices.Equal(texts(got.Changes), texts(all)) {
			t.Fatalf("harm of a host that was not broken is %v, and the changes are %v", got.Changes, all)
		}
		// Back to where it was. Only a restart cannot be undone.
		for _, c := range FindHarm(a, b, a, Allowed{}).Changes {
			if c.Kind != KindRestart {
				t.Fatalf("to heal is harm: %v", c)
			}
		}
	})
}
