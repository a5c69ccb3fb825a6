package remotetest

import (
	"os"
	"os/exec"
	"testing"
)

// Need skips a test one of whose real programs is not installed, or fails it
// under SECONDLINE_REQUIRE_REAL=1.
func Need(t testing.TB, programs ...string) {
	t.Helper()
	for _, name := range programs {
		_, err := exec.LookPath(name)
		switch {
		case err == nil:
		case os.Getenv("SECONDLINE_REQUIRE_REAL") == "1":
			t.Fatal(err)
		default:
			t.Skip(err)
		}
	}
}
