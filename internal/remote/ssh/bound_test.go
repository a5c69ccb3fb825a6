package ssh

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/secondline-ops/secondline/internal/remote"
)

// A server without coreutils: the login shell finds no timeout(1), or that of
// busybox, which refuses what it does not know.
func TestWithoutTimeoutOnlyReadsAreStarted(t *testing.T) {
	t.Parallel()
	for name, timeout := range map[string]string{
		"missing": "", "busybox": "#!/bin/sh\necho \"timeout: unrecognized option '$1'\" >&2\nexit 1\n",
	} {
		dir := t.TempDir()
		files := map[string]string{"act": "#!/bin/sh\necho acted\n"}
		if timeout != "" {
			files["timeout"] = timeout
		}
		for name, text := range files {
			// A child forked meanwhile would hold the file open for writing until its own
			// exec, and that of the file would fail with ETXTBSY (https://go.dev/issue/22315).
			syscall.ForkLock.RLock()
			err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700)
			syscall.ForkLock.RUnlock()
			if err != nil {
				t.Fatal(err)
			}
		}
		login := func(effect remote.Effect) string {
			script := commandScript(remote.Command{Argv: []string{"act"}, Effect: effect}.WithDefaults())
			shell := exec.CommandContext(t.Context(), "/bin/sh", "-c", work{script: script}.line("mark"))
			shell.Env = []string{"PATH=" + dir}
			out, _ := shell.CombinedOutput()
			return string(out)
		}
		if got := login(remote.Write); got != "mark unbounded\n" {
			t.Errorf("%s: a write: %q", name, got)
		}
		if got := login(remote.Read); !strings.HasSuffix(got, "\nacted\n") {
			t.Errorf("%s: a read: %q", name, got)
		}
	}
}

func TestAServerWithoutTimeoutIsNamedWithWhatIsMissing(t *testing.T) {
	t.Parallel()
	s := &session{stdout: &marked{word: "unbounded"}, stderr: &bounded{}, ended: ending{exited: true, status: 127}}
	tr := &Transport{host: Host{Name: "web1"}}
	err := tr.judge(work{doing: "run rm"}, s)
	e, ok := errors.AsType[*remote.Error](err)
	if !ok || e.Class != remote.NotExist || e.Class.MayHaveRun() || e.Target != "web1" || !strings.Contains(e.Error(), "timeout(1)") || !strings.Contains(e.Hint, "coreutils") {
		t.Errorf("got %v", err)
	}
}
