package pkg_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/internal/remote/remotetest"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/actions/internal/actiontest"
	pkg "github.com/secondline-ops/secondline/runbooks/actions/package"
)

// debian is a real dpkg and a real apt with a database, a cache and a
// repository of their own. Its packages hold no files.
type debian struct {
	t     *testing.T
	dir   string
	env   map[string]string
	index strings.Builder
}

func newDebian(t *testing.T) *debian {
	t.Helper()
	remotetest.Need(t, "dpkg", "dpkg-deb", "apt-get", "apt-mark")
	if os.Getuid() != 0 {
		t.Skip("dpkg configures as root only")
	}
	d := &debian{t: t, dir: t.TempDir()}
	for _, dir := range []string{"db/info", "db/updates", "db/triggers", "state/lists/partial", "cache/archives/partial", "etc/apt.conf.d", "etc/preferences.d", "etc/sources.list.d", "repo", "log"} {
		if err := os.MkdirAll(filepath.Join(d.dir, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	d.write("db/status", "")
	d.write("etc/sources.list", "deb [trusted=yes] file:"+d.dir+"/repo ./\n")
	d.write("apt.conf", strings.ReplaceAll(`
Dir::State "DIR/state"; Dir::State::status "DIR/db/status"; Dir::Cache "DIR/cache"; Dir::Etc "DIR/etc"; Dir::Log "DIR/log";
APT::Sandbox::User "root"; DPkg::Options {"--admindir=DIR/db";};
`, "DIR", d.dir))
	d.env = map[string]string{"APT_CONFIG": filepath.Join(d.dir, "apt.conf"), "DPKG_ADMINDIR": filepath.Join(d.dir, "db")}
	return d
}

func (d *debian) write(name, text string) {
	d.t.Helper()
	if err := os.WriteFile(filepath.Join(d.dir, name), []byte(text), 0o644); err != nil {
		d.t.Fatal(err)
	}
}

// deb puts a package into the repository, and returns its file.
func (d *debian) deb(name, version, more, postinst string) string {
	d.t.Helper()
	tree := filepath.Join(d.dir, "tree-"+name+"-"+version)
	if err := os.MkdirAll(filepath.Join(tree, "DEBIAN"), 0o755); err != nil {
		d.t.Fatal(err)
	}
	control := fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: Nobody <n@example.com>\n%sDescription: test\n", name, version, more)
	if err := os.WriteFile(filepath.Join(tree, "DEBIAN/control"), []byte(control), 0o644); err != nil {
		d.t.Fatal(err)
	}
	if postinst != "" {
		if err := os.WriteFile(filepath.Join(tree, "DEBIAN/postinst"), []byte("#!/bin/sh\n"+postinst+"\n"), 0o755); err != nil {
			d.t.Fatal(err)
		}
	}
	file := filepath.Join(d.dir, "repo", fmt.Sprintf("%s_%s_all.deb", name, version))
	d.run("dpkg-deb", "--build", "--root-owner-group", tree, file)
	data, err := os.ReadFile(file)
	if err != nil {
		d.t.Fatal(err)
	}
	fmt.Fprintf(&d.index, "%sFilename: ./%s\nSize: %d\nSHA256: %x\n\n", control, filepath.Base(file), len(data), sha256.Sum256(data))
	d.write("repo/Packages", d.index.String())
	d.run("apt-get", "-qq", "update")
	return file
}

// cache puts the file where apt keeps what it has fetched.
func (d *debian) cache(file string) {
	d.t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		d.t.Fatal(err)
	}
	d.write(filepath.Join("cache/archives", filepath.Base(file)), string(data))
}

func (d *debian) try(argv ...string) (string, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	for name, value := range d.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (d *debian) run(argv ...string) string {
	d.t.Helper()
	out, err := d.try(argv...)
	if err != nil {
		d.t.Fatalf("%q: %v\n%s", argv, err, out)
	}
	return out
}

// is returns what dpkg says of a package: "install installed 1.0".
func (d *debian) is(name string) string {
	out, err := d.try("dpkg-query", "--show", "--showformat=${db:Status-Want} ${db:Status-Status} ${Version}", name)
	if err != nil || strings.HasPrefix(out, "unknown not-installed") {
		return "missing"
	}
	return out
}

func spec(part string, more ...string) string {
	return "\n  inputs: {name: {type: string, default: alpha}}\n  probes: {out: {probe: file.text, with: {path: /etc/hosts}}}\n  steps:\n    - id: act\n" +
		"      package: {" + part + "}\n      timeout: 1m\n      verify: {within: 300ms" + strings.Join(more, "") + "}\n"
}

const never = `, that: 'out.text == "never"'`

func (d *debian) story(part string, more ...string) *actiontest.Story {
	d.t.Helper()
	s := actiontest.New(d.t, pkg.Action{}, actiontest.Local(), spec(part, more...), nil)
	s.Host.Env = d.env
	return s
}

func (d *debian) want(name, state string) {
	d.t.Helper()
	if got := d.is(name); got != state {
		d.t.Errorf("%s is %q, want %q", name, got, state)
	}
}

func TestAPackageIsInstalledWithWhatItNeedsAndNothingElse(t *testing.T) {
	t.Parallel()
	d := newDebian(t)
	d.deb("alpha", "1.0", "Depends: beta\nRecommends: gamma\n", "")
	d.deb("beta", "2:1.5", "", "")
	d.deb("gamma", "1", "", "")
	s := d.story(`name: "${inputs.name}", state: installed`)
	p := s.Plan()
	if got, want := p.Steps[0].Diff, "--- package alpha\n-not-installed\n+installed at 1.0\n--- package beta\n+installed at 2:1.5\n"; got != want {
		t.Errorf("the plan shows %q, want %q", got, want)
	}
	if got := fmt.Sprint(p.Steps[0].Touches, p.Steps[0].Undo); got != "[package alpha package beta]none: a package that is new stays: to remove it could take others along" {
		t.Errorf("touches and undo: %s", got)
	}
	s.Want(s.RunPlan(p), runbooks.RunVerified, "")
	d.want("alpha", "install installed 1.0")
	d.want("beta", "install installed 2:1.5")
	d.want("gamma", "missing")
	for range 2 {
		again := d.story("name: alpha, state: installed, version: '1.0'")
		again.Want(again.Run(), runbooks.RunVerified, "")
		if len(again.Host.Writes()) != 0 {
			t.Error("it was installed again")
		}
	}
}

func TestNothingIsRemovedAndNothingElseUpgraded(t *testing.T) {
	t.Parallel()
	d := newDebian(t)
	d.run("dpkg", "-i", d.deb("old", "1.0", "", ""), d.deb("beta", "1.0", "", ""))
	d.deb("alpha", "1.0", "Conflicts: old\n", "")
	d.deb("delta", "1.0", "Depends: beta (>= 2)\n", "")
	d.deb("beta", "2.0", "", "")
	for name, why := range map[string]string{"alpha": "", "delta": "would also bring beta from 1.0 to 2.0", "nosuch": "Unable to locate"} {
		s := d.story("name: " + name + ", state: installed")
		if _, err := s.TryPlan(); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v", name, err)
		}
	}
	d.want("old", "install installed 1.0")
	d.want("beta", "install installed 1.0")
}

func TestAVersionIsTakenBackFromTheCache(t *testing.T) {
	t.Parallel()
	d := newDebian(t)
	old := d.deb("alpha", "1.0", "", "")
	d.run("dpkg", "-i", old)
	d.deb("alpha", "2.0", "", "")
	s := d.story("name: alpha, state: installed, version: '2.0'", never)
	if undo := s.Plan().Steps[0].Undo; undo != "none: the file of version 1.0 is not in the cache of apt" {
		t.Errorf("undo %q", undo)
	}
	d.cache(old)
	s = d.story("name: alpha, state: installed, version: '2.0'", never)
	res := s.Run()
	s.Want(res, runbooks.RunUndone, "")
	d.want("alpha", "install installed 1.0")
	if n := len(s.Host.Writes()); n != 2 {
		t.Errorf("%d commands wrote", n)
	}
	// Somebody else's upgrade in between is theirs.
	d.deb("alpha", "3.0", "", "")
	s = d.story("name: alpha, state: installed, version: '2.0'", never)
	upgraded := false
	s.Host.After = func(cmd remote.Command) error {
		if !upgraded && cmd.Effect != remote.Read {
			upgraded = true
			d.run("apt-get", "-y", "-qq", "install", "alpha=3.0")
		}
		return nil
	}
	s.Want(s.Run(), runbooks.RunRefuted, "somebody else has brought alpha to 3.0")
	d.want("alpha", "install installed 3.0")
}

func TestAHalfConfiguredPackageIsConfigured(t *testing.T) {
	t.Parallel()
	d := newDebian(t)
	gate := filepath.Join(d.dir, "gate")
	for _, name := range []string{"alpha", "beta"} {
		if out, err := d.try("dpkg", "-i", d.deb(name, "1.0", "", "test -e "+gate)); err == nil {
			t.Fatalf("it was configured: %s", out)
		}
	}
	d.want("alpha", "install half-configured 1.0")
	s := d.story("name: alpha, state: configured")
	s.Want(s.Run(), runbooks.RunRefuted, "exit status 1") // the reason is still there
	d.write("gate", "")
	s = d.story("name: alpha, state: configured")
	s.Want(s.Run(), runbooks.RunVerified, "")
	d.want("alpha", "install installed 1.0")
	d.want("beta", "install half-configured 1.0") // of which nobody spoke
	if p := d.story("name: alpha, state: configured").Plan(); !p.Steps[0].Noop {
		t.Error("it would be configured again")
	}
	if _, err := d.story("name: beta, state: installed").TryPlan(); err == nil || !strings.Contains(err.Error(), "first bring it into state: configured") {
		t.Errorf("beta: %v", err)
	}
}

func TestAHoldIsSetAndTakenBack(t *testing.T) {
	t.Parallel()
	d := newDebian(t)
	d.run("dpkg", "-i", d.deb("alpha", "1.0", "", ""))
	s := d.story("name: alpha, state: held", never)
	s.Want(s.Run(), runbooks.RunUndone, "")
	d.want("alpha", "install installed 1.0")
	s = d.story("name: alpha, state: held")
	s.Want(s.Run(), runbooks.RunVerified, "")
	d.want("alpha", "hold installed 1.0")
	d.deb("alpha", "2.0", "", "")
	if _, err := d.story("name: alpha, state: installed, version: '2.0'").TryPlan(); err == nil || !strings.Contains(err.Error(), "held at 1.0") {
		t.Errorf("a held package: %v", err)
	}
	s = d.story("name: alpha, state: unheld")
	s.Want(s.Run(), runbooks.RunVerified, "")
	d.want("alpha", "install installed 1.0")
	if _, err := d.story("name: nosuch, state: held").TryPlan(); err == nil {
		t.Error("a package that is not there was planned to be held")
	}
}

func TestAfterACrashAPackageIsLookedAt(t *testing.T) {
	t.Parallel()
	d := newDebian(t)
	d.deb("alpha", "1.0", "", "")
	for dieAt := 1; dieAt <= 5; dieAt++ {
		_, _ = d.try("dpkg", "--purge", "alpha")
		s := d.story("name: alpha, state: installed")
		res := s.Crash(dieAt)
		if n := len(s.Host.Writes()); res.Status != runbooks.RunVerified || n != 1 {
			t.Errorf("killed at %d: %s (%s), %d commands wrote", dieAt, res.Status, res.Why, n)
		}
		d.want("alpha", "install installed 1.0")
	}
	d.run("dpkg", "--purge", "alpha")
	s := d.story("name: alpha, state: installed")
	s.Host.After = func(cmd remote.Command) error {
		if cmd.Effect == remote.Read {
			return nil
		}
		return &remote.Error{Class: remote.Lost}
	}
	s.Want(s.Run(), runbooks.RunVerified, "")
}

func TestAWorldThatChangedSinceIsLeftAlone(t *testing.T) {
	t.Parallel()
	d := newDebian(t)
	d.deb("alpha", "1.0", "", "")
	s := d.story("name: alpha, state: installed")
	p := s.Plan()
	d.deb("alpha", "2.0", "", "")
	s.Want(s.RunPlan(p), runbooks.RunRefused, "command was")
	d.want("alpha", "missing")
}

func TestWhatIsNoPackageIsRefused(t *testing.T) {
	t.Parallel()
	for _, part := range []string{
		"name: alpha", "name: alpha, state: removed", "name: alpha-, state: installed", "name: -y, state: installed", `name: "a b", state: installed`,
		`name: "*", state: held`, "name: Alpha, state: held", "name: ./x.deb, state: installed", "name: alpha=1, state: installed", `name: "${nobody}", state: held`,
		"name: alpha, state: held, version: '1'", "name: alpha, state: installed, version: -1", "name: alpha, state: installed, version: '1 2'",
		"name: alpha, state: installed, version: '1/stable'", "name: alpha, state: installed, force: true",
	} {
		if _, err := actiontest.Parse(pkg.Action{}, spec(part)); err == nil {
			t.Errorf("%s was accepted", part)
		}
	}
	for _, word := range []string{"alpha beta", "../x", "alpha-", "*", "a;b", "é"} {
		s := actiontest.New(t, pkg.Action{}, actiontest.Local(), spec(`name: "${inputs.name}", state: installed`), map[string]string{"name": word})
		if _, err := s.TryPlan(); err == nil {
			t.Errorf("%q was planned", word)
		}
	}
}
