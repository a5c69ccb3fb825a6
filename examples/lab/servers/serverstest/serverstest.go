// Package serverstest opens labs for tests.
package serverstest

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/examples/lab/servers"
)

// requireReal set to 1 makes a test fail whose real parts are missing.
const requireReal = "SECONDLINE_REQUIRE_REAL"

// Open returns an empty lab that ends with the test. On a machine that cannot
// run one, or lacks one of the programs, the test is skipped; in CI it fails.
// The base image may have to be built first, which takes minutes.
func Open(t *testing.T, programs ...string) *servers.Lab {
	t.Helper()
	Need(t, programs...)
	l, err := servers.Open(t.Context(), servers.DefaultCache())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// Need skips a test on a machine that cannot run a lab or lacks one of the
// programs; in CI it fails.
func Need(t *testing.T, programs ...string) {
	t.Helper()
	missing := servers.Missing()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			missing = append(missing, p)
		}
	}
	switch {
	case len(missing) == 0:
	case os.Getenv(requireReal) == "1":
		t.Fatalf("this machine has no %s, and %s=1 asks for it", strings.Join(missing, ", no "), requireReal)
	default:
		t.Skipf("this machine has no %s", strings.Join(missing, ", no "))
	}
}
