package mount_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/runbooks/actions/internal/actiontest"
)

// island is a world of its own on this machine, with its own mounts and
// processes, and everything else as it is, so that real programs may be let
// loose in it. What is mounted or started in it ends with it.
type island struct {
	remote.Runner
	t     *testing.T
	enter []string // what stands before every command
}

// newIsland starts an island. Where that cannot be, the test is skipped, or
// fails where CI says that everything is installed.
func newIsland(t *testing.T) *island {
	t.Helper()
	need(t, "unshare", "nsenter")
	i := &island{Runner: actiontest.Local().Runner, t: t}
	pid, line := i.start([]string{"unshare", "--mount", "--pid", "--fork", "--mount-proc", "sh", "-c", "echo ready; exec sleep 600"})
	if line != "ready\n" {
		missing(t, "namespaces are")
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%[1]d/task/%[1]d/children", pid)) // the first of them is init there
	if err != nil {
		t.Fatal(err)
	}
	i.enter = []string{"nsenter", "--target", strings.TrimSpace(string(children)), "--mount", "--pid", "--"}
	return i
}

// Run implements remote.Runner.
func (i *island) Run(ctx context.Context, cmd remote.Command) (remote.Result, error) {
	cmd.Argv = append(slices.Clone(i.enter), cmd.Argv...)
	return i.Runner.Run(ctx, cmd)
}

// sh runs a script there and returns what it says. A failure ends the test.
func (i *island) sh(script string, args ...string) string {
	i.t.Helper()
	argv := append(append(slices.Clone(i.enter), "sh", "-c", script, "sh"), args...)
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		i.t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return string(out)
}

// hold runs a script there and then keeps its process alive until the test ends.
func (i *island) hold(script string, args ...string) {
	i.t.Helper()
	argv := append(slices.Clone(i.enter), "sh", "-c", script+"; echo ready; exec sleep 600", "sh")
	if _, line := i.start(append(argv, args...)); line != "ready\n" {
		i.t.Fatalf("%s: %q", script, line)
	}
}

// start starts a process that says a line when it is ready.
func (i *island) start(argv []string) (pid int, line string) {
	i.t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		i.t.Fatal(err)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // with what it starts itself
	if err := cmd.Start(); err != nil {
		i.t.Fatal(err)
	}
	i.t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	})
	line, err = bufio.NewReader(out).ReadString('\n')
	if err != nil {
		line = err.Error()
	}
	return cmd.Process.Pid, line
}

// need skips a test whose real program is not installed, or fails it where CI
// says that everything is.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, name := range programs {
		if _, err := exec.LookPath(name); err != nil {
			missing(t, name+" is")
		}
	}
}

func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("SECONDLINE_REQUIRE_REAL") == "1" {
		t.Fatalf("%s not to be had here", what)
	}
	t.Skipf("%s not to be had here", what)
}
