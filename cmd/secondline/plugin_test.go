package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/plugins/host"
)

// plugin runs "secondline plugin" and returns its exit code with all it said.
func plugin(t *testing.T, args ...string) (code int, out string) {
	t.Helper()
	var b bytes.Buffer
	env := nowhere(&b)
	env.stderr = &b
	code = execute(t.Context(), env, append([]string{"plugin"}, args...))
	return code, b.String()
}

func TestPluginListKnowsTheBundledOnesWithoutStartingThem(t *testing.T) {
	t.Parallel()
	code, out := plugin(t, "list", "-o", "json")
	var list []pluginInfo
	if err := json.Unmarshal([]byte(out), &list); code != 0 || err != nil {
		t.Fatalf("%d, %v: %s", code, err, out)
	}
	var names []string
	for _, p := range list {
		names = append(names, p.Name)
		if len(p.SHA256) != 64 || p.Protocol != 1 || len(p.Probes) == 0 || p.Problem != "" || !slices.Contains(p.Capabilities, "read") {
			t.Errorf("%+v", p)
		}
	}
	if !slices.Equal(names, []string{"dns", "nginx", "postgres", "redis", "tls"}) {
		t.Errorf("bundled are %q", names)
	}
	if code, out := plugin(t, "list"); code != 0 || !strings.Contains(out, "run:psql") || !strings.Contains(out, "protocol 1") {
		t.Errorf("%d: %s", code, out)
	}
}

func TestEveryBundledPluginPassesVerify(t *testing.T) {
	t.Parallel()
	for _, name := range bundledPlugins() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if code, out := plugin(t, "verify", name); code != 0 || !strings.Contains(out, "keeps the contract") || strings.Contains(out, "WRONG") {
				t.Errorf("%d: %s", code, out)
			}
		})
	}
}

func TestPluginVerifyNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for knob, want := range map[string]string{
		"always_liar": `it says "ok"`, "always_hang": "had not come back", "asks_write": "is none of read", "exit_early": "leaving early", "": "keeps the contract",
	} {
		t.Run(knob, func(t *testing.T) {
			t.Parallel()
			args := []string{"verify", self, "--name", "mock", "--", "plugin", "serve", "mock"}
			if knob != "" {
				args = append(args, knob)
			}
			code, out := plugin(t, args...)
			if good := knob == ""; (code == 0) != good || !strings.Contains(out, want) && knob != "exit_early" {
				t.Errorf("%d: %s", code, out)
			}
		})
	}
	if code, out := plugin(t, "verify", self, "--name", "mock", "--sha256", strings.Repeat("0", 64), "--", "plugin", "serve", "mock"); code != 1 || !strings.Contains(out, "sha256 differs") {
		t.Errorf("another file: %d: %s", code, out)
	}
	if code, out := plugin(t, "verify", "nosuch"); code != 5 || !strings.Contains(out, `there is no plugin "nosuch"`) {
		t.Errorf("%d: %s", code, out)
	}
}

// mockFile is a plugin file with the mock, which may do what is given.
func mockFile(t *testing.T, more string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	sum, err := host.Checksum(self)
	if err != nil {
		t.Fatal(err)
	}
	text := "plugins:\n  - name: mock\n    path: " + self + "\n    args: [plugin, serve, mock]\n    sha256: " + sum + "\n" + more
	file := filepath.Join(t.TempDir(), "plugins.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestPluginOfTheFileReadsWhatItMayAndNothingElse(t *testing.T) {
	t.Parallel()
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("one\ntwo\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		more string
		code int
		want string
	}{
		"may":                {"    allow: [read, \"file:/**\"]\n", 0, `"lines": 2`},
		"asks for more":      {"    allow: [read, \"file:/etc/**\"]\n", 4, "which is not allowed"},
		"another host":       {"    allow: [read, \"file:/**\"]\n    hosts: [\"db*\"]\n", 4, "may not be lent"},
		"no such capability": {"    allow: [read, everything]\n", 2, `capability "everything" is none of`},
		"no allow":           {"", 2, "allow"},
		"unknown key":        {"    allow: [read]\n    sandbox: true\n", 2, "sandbox"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, out := plugin(t, "run", "mock", "lines", "path="+text, "--plugin-file", mockFile(t, c.more), "-o", "json")
			if code != c.code || !strings.Contains(out, c.want) {
				t.Errorf("%d: %s", code, out)
			}
		})
	}
	file := mockFile(t, "    allow: [read, \"file:/**\"]\n")
	if code, out := plugin(t, "list", "--plugin-file", file); code != 0 || !strings.Contains(out, "mock.lines") {
		t.Errorf("%d: %s", code, out)
	}
	if code, out := plugin(t, "run", "mock", "nothing", "--plugin-file", file); code != 5 {
		t.Errorf("a probe that there is not: %d: %s", code, out)
	}
	if code, out := plugin(t, "run", "mock", "lines", "--plugin-file", file); code != 2 || !strings.Contains(out, "needs path=") {
		t.Errorf("without what it needs: %d: %s", code, out)
	}
	if code, out := plugin(t, "list", "--plugin-file", "/no/such/file"); code != 2 {
		t.Errorf("no file: %d: %s", code, out)
	}
}

func TestPluginNewInGoBuildsAndPassesVerify(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if code, out := plugin(t, "new", "rooms", "--dir", dir); code != 0 {
		t.Fatal(out)
	}
	folder := filepath.Join(dir, "rooms")
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	// As "go get" would do, from here in place of the network.
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, "go.sum"), sums, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	const module = "github.com/secondline-ops/secondline"
	for _, argv := range [][]string{
		{"go", "mod", "edit", "-require=" + module + "@v0.0.0", "-replace=" + module + "=" + root},
		{"go", "build", "-mod=mod", "-o", "rooms", "."},
	} {
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Dir, cmd.Env = folder, append(os.Environ(), "GOPROXY=off", "GOFLAGS=")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", argv, err, out)
		}
	}
	if code, out := plugin(t, "verify", filepath.Join(folder, "rooms")); code != 0 || !strings.Contains(out, "file:/proc/loadavg") {
		t.Errorf("%d: %s", code, out)
	}
	if code, out := plugin(t, "new", "rooms", "--dir", dir); code != 4 || !strings.Contains(out, "is there already") {
		t.Errorf("written over: %d: %s", code, out)
	}
}

func TestPluginNewInPythonIsTheExampleAndPassesVerify(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if code, out := plugin(t, "new", "load", "--language", "python", "--dir", dir); code != 0 {
		t.Fatal(out)
	}
	file := filepath.Join(dir, "load.py")
	made, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if example, err := os.ReadFile("../../examples/plugins/load.py"); err != nil || !bytes.Equal(example, made) {
		t.Errorf("examples/plugins/load.py is not what \"plugin new load --language python\" writes: %v", err)
	}
	if err := exec.Command("/usr/bin/python3", "-c", "import grpc").Run(); err != nil {
		if os.Getenv("SECONDLINE_REQUIRE_REAL") == "1" {
			t.Fatalf("python3-grpcio: %v", err)
		}
		t.Skipf("python3-grpcio is not installed: %v", err)
	}
	code, out := plugin(t, "verify", "--plain", file, "-o", "json")
	var v verifiedPlugin
	if err := json.Unmarshal([]byte(out), &v); code != 0 || err != nil || !v.OK {
		t.Fatalf("%d, %v: %s", code, err, out)
	}
	entry := filepath.Join(dir, "plugins.yaml") // verify has said what belongs there
	if err := os.WriteFile(entry, []byte(v.Entry), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out := plugin(t, "run", "load", "load", "--plugin-file", entry, "-o", "json"); code != 0 || !strings.Contains(out, `"fifteen"`) {
		t.Errorf("%d: %s", code, out)
	}
	if err := os.WriteFile(file, append(made, "# changed\n"...), 0o755); err != nil {
		t.Fatal(err)
	}
	if code, out := plugin(t, "run", "load", "load", "--plugin-file", entry); code == 0 || !strings.Contains(out, "sha256 differs") {
		t.Errorf("changed: %d: %s", code, out)
	}
}

func TestPluginNewRefusesNonsense(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{"is no name of a plugin": {"../x"}, "no skeleton": {"x", "--language", "cobol"}} {
		if code, out := plugin(t, append([]string{"new"}, args...)...); code != 2 || !strings.Contains(out, want) {
			t.Errorf("%q: %d: %s", args, code, out)
		}
	}
}
