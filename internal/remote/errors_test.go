package remote_test

import (
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/internal/remote"
)

func TestAFailedCommandIsToldWithItsFirstComplaint(t *testing.T) {
	t.Parallel()
	for stderr, want := range map[string]string{
		"":    "exit status 1",
		" \n": "exit status 1",
		"System has not been booted with systemd as init system (PID 1). Can't operate.\nFailed to connect to bus: Host is down\n": "exit status 1: System has not been booted with systemd as init system (PID 1). Can't operate.",
		"\xff\n": "exit status 1: \uFFFD",
	} {
		if got := (remote.Result{ExitCode: 1, Stderr: []byte(stderr)}).Err(); got == nil || got.Error() != want {
			t.Errorf("%q: got %v, want %s", stderr, got, want)
		}
	}
	long := remote.Result{ExitCode: 1, Stderr: []byte(strings.Repeat("x", 10_000))}
	if got := long.Err().Error(); len(got) > 400 {
		t.Errorf("got %d bytes", len(got))
	}
}
