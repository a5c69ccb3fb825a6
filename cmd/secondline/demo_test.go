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
	for _, not := range []string{"map[", "incident 1 is resolved:"} {
		if strings.Contains(out.String(), not) {
			t.Errorf("it says %q", not)
		}
	}
	if !regexp.MustCompile(`secondline approve run-\S+ --plan sha256:\S+ --url http://\S+ --token-file \S+admin-token`).MatchString(out.String()) {
		t.Error("what it says to type for a yes is not whole")
	}
	for line := range strings.Lines(out.String()) {
		const reason = "the symptom was measured gone and stayed gone"
		if strings.Contains(line, reason) && !strings.HasSuffix(strings.TrimSpace(line), reason) {
			t.Errorf("it tells again what it has just told: %s", line)
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
	check := []string{"bundle", "verify", bundles[0], "--key", filepath.Join(filepath.Dir(bundles[0]), "bundle-key.pub")}
	if !strings.Contains(out.String(), "secondline "+strings.Join(check, " ")) {
		t.Errorf("it does not say how to check the bundle: secondline %s", strings.Join(check, " "))
	}
	if text, _, code := said(t, check...); code != fault.ExitDone || !strings.Contains(text, "signature valid") {
		t.Errorf("the bundle, when it is checked as told: exit code %d\n%s", code, text)
	}
}
