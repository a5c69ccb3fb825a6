package main

import (
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/internal/fault"
)

// TestNobodyGrantsEverythingForEver: acting unasked is granted for one runbook,
// by somebody, until a time.
func TestNobodyGrantsEverythingForEver(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, file string
		flags      []string
		want       string
	}{
		{"in the file", "policy: {level: auto}", nil, "policy.grants"},
		{"by flag", "{}", []string{"--policy-level", "auto"}, "policy.grants"},
		{"no such level", "policy: {level: yolo}", nil, "observe, suggest, approve"},
	} {
		if code, out := checked(t, c.file, nil, c.flags...); code != fault.ExitUsage || !strings.Contains(out, c.want) {
			t.Errorf("%s: exit %d, %q", c.name, code, out)
		}
	}
	granted := "policy: {grants: [{runbook: restart-crashed-unit, level: auto, by: ada, expires: 2099-01-01T00:00:00Z}]}"
	if code, out := checked(t, granted, nil); code != fault.ExitDone {
		t.Errorf("a grant: exit %d, %q", code, out)
	}
}
