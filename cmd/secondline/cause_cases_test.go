package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCausesAreTriedAgainstRecordedFacts(t *testing.T) {
	t.Parallel()
	healthy, err := os.ReadFile("../../diagnostics/causes/testdata/decoys/healthy.json")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	put := func(name string, data []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	try := func(args ...string) (int, string) {
		var out bytes.Buffer
		code := execute(t.Context(), nowhere(&out), append([]string{"cause"}, args...))
		return code, out.String()
	}
	if code, out := try("test", dir); code != 5 {
		t.Errorf("an empty folder: %d, %s", code, out)
	}
	put("healthy.json", healthy)
	if code, out := try("test", dir); code != 0 || !strings.Contains(out, "1 cases, 0 failed") {
		t.Errorf("a healthy host: %d, %s", code, out)
	}
	put("wrong.json", bytes.Replace(healthy, []byte(`"want": {`), []byte(`"want": {"cause": "disk-full-logs", "band": "confirmed",`), 1))
	if code, out := try("test", dir); code != 1 || !strings.Contains(out, "FAILED") || !strings.Contains(out, "2 cases, 1 failed") {
		t.Errorf("a wrong truth: %d, %s", code, out)
	}
	if code, out := try("explain", "disk-full-deleted-open"); code != 0 || !strings.Contains(out, "disk.deleted_open as open, of each candidate") || !strings.Contains(out, "deleted-hold-most (proof, group content)") {
		t.Errorf("explained: %d, %s", code, out)
	}
	if code, out := try("explain", "disk-full-deleted"); code != 5 {
		t.Errorf("a misspelt one: %d, %s", code, out)
	}
}
