package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/internal/fault"
)

const goneCause = `id: file-gone
title: A file is gone
entity: host
prior: 0.5
symptoms:
  holds: "!file.exists"
  say: it is gone
needs:
  file: {probe: file.stat, with: {path: /nonexistent/file}}
evidence:
  - {id: gone, that: "!file.exists", seen_if_cause: 0.99, seen_otherwise: 0.01, group: g, role: required, say: it is gone, otherwise: it is there}
`

// gone diagnoses this machine with a cause about a file that is not there, and
// returns the bundle and the folder with the cause.
func gone(t *testing.T, host string) (file, causes string) {
	t.Helper()
	dir := t.TempDir()
	file, causes = filepath.Join(dir, "gone.tar.gz"), filepath.Join(dir, "causes")
	if err := os.Mkdir(causes, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(causes, "gone.yaml"), []byte(goneCause), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, errOut, code := said(t, "diagnose", "--local", host, "--causes", causes, "--bundle", file); code != fault.ExitDone {
		t.Fatalf("exit code %d\n%s\n%s", code, out, errOut)
	}
	return file, causes
}

func TestABundleIsAnalyzedAndComparedOffline(t *testing.T) {
	file, causes := gone(t, "x")
	out, errOut, code := said(t, "bundle", "analyze", file, "--causes", causes)
	if code != fault.ExitDone || !strings.Contains(out, "file-gone on x") || !strings.Contains(out, "nothing differs") {
		t.Errorf("the same causes: exit code %d\n%s%s", code, out, errOut)
	}
	out, _, code = said(t, "bundle", "analyze", file)
	if code != fault.ExitDone || !strings.Contains(out, "file-gone on x is gone; it was") {
		t.Errorf("without the cause: exit code %d\n%s", code, out)
	}
	if out, _, code = said(t, "bundle", "diff", file, file); code != fault.ExitDone || !strings.Contains(out, "nothing differs") {
		t.Errorf("diff: exit code %d\n%s", code, out)
	}
	if out, _, code = said(t, "bundle", "diff", file, file, "-o", "json"); code != fault.ExitDone || !json.Valid([]byte(out)) {
		t.Errorf("diff -o json: exit code %d\n%s", code, out)
	}
}

const whenGone = `apiVersion: secondline/v1
kind: Runbook
metadata: {name: put-back, title: Put the file back}
spec:
  cures: [file-gone]
  targets: {max: 1}
  probes:
    file: {probe: file.stat, with: {path: PATH}}
  require:
    - {that: "!file.exists", because: the file is there}
  steps:
    - id: look
      run: [uptime]
      effect: read
`

// What was read decides: the same runbook that asks for another file, which
// nobody had looked at, is refused, and nothing is looked at now.
func TestABundleIsReplayedAgainstWhatWasRead(t *testing.T) {
	file, _ := gone(t, "x")
	dir := t.TempDir()
	runbook := func(path string) string {
		name := filepath.Join(dir, "put-back.yaml")
		if err := os.WriteFile(name, []byte(strings.ReplaceAll(whenGone, "PATH", path)), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	out, errOut, code := said(t, "bundle", "replay", file, "--runbook", runbook("/nonexistent/file"))
	if code != fault.ExitDone || !strings.Contains(out, "Its preconditions hold") || !strings.Contains(out, "file-gone on x") {
		t.Errorf("what was read: exit code %d\n%s%s", code, out, errOut)
	}
	out, errOut, code = said(t, "bundle", "replay", file, "--runbook", runbook("/etc/hostname"))
	if code != fault.ExitRefused || !strings.Contains(out, "It would have been refused") || !strings.Contains(out, `nobody had read: reading file.stat path="/etc/hostname"`) {
		t.Errorf("what nobody read: exit code %d\n%s%s", code, out, errOut)
	}
}

func TestABundleIsHandedOnWithPseudonyms(t *testing.T) {
	file, _ := gone(t, "payroll-7")
	dir := t.TempDir()
	to, key := filepath.Join(dir, "out.tar.gz"), filepath.Join(dir, "our.key")
	out, errOut, code := said(t, "bundle", "redact", file, "-o", to, "--pseudonyms", key)
	if code != fault.ExitDone {
		t.Fatalf("exit code %d\n%s%s", code, out, errOut)
	}
	if report, _, _ := said(t, "bundle", "show", to, "-o", "json"); strings.Contains(report, "payroll-7") || !strings.Contains(report, "host-") {
		t.Errorf("the report names the host:\n%s", report)
	}
	if out, _, code := said(t, "bundle", "verify", to, "--unsigned"); code != fault.ExitDone {
		t.Errorf("verify: exit code %d\n%s", code, out)
	}
	names, err := os.ReadFile(to + ".names.json")
	if err != nil || !strings.Contains(string(names), "payroll-7") {
		t.Errorf("the names: %v\n%s", err, names)
	}
	for _, secret := range []string{key, to + ".names.json"} {
		if info, err := os.Stat(secret); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", secret, info.Mode(), err)
		}
	}
	before, _ := os.ReadFile(key)
	if _, _, code := said(t, "bundle", "redact", file, "-o", to, "--pseudonyms", key); code != fault.ExitDone {
		t.Errorf("again: exit code %d", code)
	}
	if after, _ := os.ReadFile(key); string(after) != string(before) {
		t.Error("the key was made anew")
	}
	if _, _, code := said(t, "bundle", "redact", file, "-o", filepath.Join(dir, "small.tar.gz"), "--max", "1KiB"); code == fault.ExitDone {
		t.Error("a budget that holds no report was met")
	}
	if _, err := os.Stat(filepath.Join(dir, "small.tar.gz")); err == nil {
		t.Error("what failed left a file")
	}
}
