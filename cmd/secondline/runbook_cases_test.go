package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/runbooks/cases"
)

// libraryCases is where the cases of the shipped runbooks lie. They are tried
// here, where the real probes are known.
const libraryCases = "../../runbooks/library/testdata"

func libraryBench(t *testing.T) *testBench {
	t.Helper()
	b := &testBench{}
	if err := b.load(nil, nil); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestShippedRunbooksPassTheirRecordedCases(t *testing.T) {
	t.Parallel()
	b := libraryBench(t)
	found, err := b.findCases([]string{libraryCases})
	if err != nil {
		t.Fatal(err)
	}
	cured := false
	for _, f := range found {
		got := b.try(t.Context(), f.dir, nil)
		if !got.OK || filepath.Base(filepath.Dir(f.dir)) != got.Runbook {
			t.Errorf("%s (%s):\n%s", f.dir, got.Runbook, strings.Join(got.Problems, "\n"))
		}
		cured = cured || filepath.Base(f.dir) == "cured"
	}
	if !cured {
		t.Error("no case carries a runbook out")
	}
}

// TestAnEditedCaseFailsUntilItIsUpdated changes what the host answered.
func TestAnEditedCaseFailsUntilItIsUpdated(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "case")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(libraryCases, "free-space-by-rotation", "not-full-any-more"))); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, cases.CaseFile)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	edited := strings.Replace(string(text), "refused: ", "refused: not ", 1)
	if err := os.WriteFile(file, []byte(edited), 0o600); err != nil {
		t.Fatal(err)
	}
	command := func(args ...string) (int, string) {
		var out strings.Builder
		env := &environment{stdin: strings.NewReader(""), stdout: &out, stderr: &out, getenv: func(string) string { return "" }}
		code := execute(context.Background(), env, append([]string{"runbook", "test", "--plugin", "", dir}, args...))
		return code, out.String()
	}
	if code, out := command(); code != 1 || !strings.Contains(out, "FAIL  "+dir) || !strings.Contains(out, "-     refused: ") || !strings.Contains(out, "1 cases, 1 failed") {
		t.Errorf("exit %d:\n%s", code, out)
	}
	if code, out := command("--update"); code != 0 || !strings.Contains(out, "wrote "+dir) {
		t.Errorf("exit %d:\n%s", code, out)
	}
	if after, err := os.ReadFile(file); err != nil || string(after) != string(text) {
		t.Errorf("it was updated to:\n%s%v", after, err)
	}
	if code, out := command(); code != 0 || !strings.Contains(out, "ok    "+dir) {
		t.Errorf("exit %d:\n%s", code, out)
	}
	// A recording without its last lines has no answer, and that is no expectation.
	host := filepath.Join(dir, cases.HostFile)
	lines, err := os.ReadFile(host)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(host, lines[:strings.Index(string(lines), "\n")+1], 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out := command("--update"); code != 1 || !strings.Contains(out, "not in the recording: stat /var/log/orders") {
		t.Errorf("exit %d:\n%s", code, out)
	}
}

// TestRecordChangesNothingUnlessItIsTold records on this machine.
func TestRecordChangesNothingUnlessItIsTold(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	book, marker := filepath.Join(dir, "touch.yaml"), filepath.Join(dir, "marker")
	text := `apiVersion: secondline/v1
kind: Runbook
metadata: {name: touch, title: Make a file}
spec:
  inputs: {file: {type: path}}
  probes: {file: {probe: file.stat, with: {path: "${inputs.file}"}}}
  steps:
    - {id: make, run: [touch, "${inputs.file}"], verify: {that: file.exists, within: 5s}, undo: none}
`
	if err := os.WriteFile(book, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	command := func(args ...string) (int, string) {
		var out strings.Builder
		env := &environment{stdin: strings.NewReader("y\n"), stdout: &out, stderr: io.Discard, getenv: func(string) string { return "" }}
		return execute(context.Background(), env, append([]string{"runbook"}, args...)), out.String()
	}
	at := func(name string) string { return filepath.Join(dir, "testdata", "touch", name) }
	record := []string{"record", book, "--plugin", "", "--on", "local", "--input", "file=" + marker, "--case"}
	if code, out := command(append(record, at("planned"))...); code != 0 || !strings.Contains(out, "nothing was changed") {
		t.Errorf("exit %d:\n%s", code, out)
	}
	if code, _ := command(append(record, at("refused"), "--act")...); code != 4 { // nobody is at a terminal
		t.Errorf("exit %d", code)
	}
	guard := filepath.Join(dir, "guard.yaml")
	if err := os.WriteFile(guard, []byte("mode: observe\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _ := command(append(record, at("refused"), "--act", "--yes", "--guard", guard)...); code != 4 {
		t.Errorf("exit %d", code)
	}
	if _, err := os.Stat(marker); err == nil {
		t.Error("it acted")
	}
	if _, err := os.Stat(at("refused")); err == nil {
		t.Error("it wrote a case of what was refused")
	}
	if code, out := command(append(record, at("acted"), "--act", "--yes")...); code != 0 || !strings.Contains(out, "the run ended verified") {
		t.Errorf("exit %d:\n%s", code, out)
	}
	if _, err := os.Stat(marker); err != nil {
		t.Error("it did not act")
	}
	if code, _ := command(append(record, at("acted"))...); code == 0 {
		t.Error("it wrote over a case")
	}
	if err := os.Remove(marker); err != nil { // no host is asked now
		t.Fatal(err)
	}
	if code, out := command("test", "--plugin", "", book); code != 0 || !strings.Contains(out, "2 cases, 0 failed") {
		t.Errorf("exit %d:\n%s", code, out)
	}
	if _, err := os.Stat(marker); err == nil {
		t.Error("a test acted")
	}
}
