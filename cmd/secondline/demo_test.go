package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/internal/fault"
)

// The demo is run as a user runs it, with the real controller, agent and SSH
// server, and it must end well, say so, and leave nothing but the bundle.
func TestDemoTellsItsThreeStories(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	var out, errOut bytes.Buffer
	env := &environment{stdin: strings.NewReader(""), stdout: &out, stderr: &errOut, getenv: func(string) string { return "" }}
	if code := execute(t.Context(), env, []string{"demo"}); code != fault.ExitDone {
		t.Fatalf("exit code %d\n%s\n%s", code, out.String(), errOut.String())
	}
	for _, want := range []string{
		"confirmed: A directory holds more than its budget", "the demo says yes", "the symptom was measured gone and stayed gone",
		"confirmed: A supervised process is gone", "incident 3 handed to a person", "claims hold, all files intact, signature valid",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not say %q", want)
		}
	}
	held := regexp.MustCompile(`(\d+) of (\d+) claims hold`).FindStringSubmatch(out.String())
	if held == nil || held[1] != held[2] || held[1] == "0" {
		t.Errorf("claims: %v", held)
	}
	left, err := filepath.Glob(filepath.Join(tmp, "secondline-demo-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	bundles, err := filepath.Glob(filepath.Join(tmp, "secondline-bundle-*", "incident-*.tar.gz"))
	if err != nil || len(bundles) != 1 {
		t.Fatalf("bundles: %v, %v", bundles, err)
	}
	if info, err := os.Stat(bundles[0]); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the bundle: %v, %v", info, err)
	}
}
