package local

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/internal/remote"
)

func run(t *testing.T, cmd remote.Command) (remote.Result, error) {
	t.Helper()
	if cmd.Timeout == 0 {
		cmd.Timeout = time.Minute
	}
	if cmd.MaxOutputBytes == 0 {
		cmd.MaxOutputBytes = 1 << 16
	}
	return New().Run(t.Context(), cmd)
}

func TestRunTellsExitSignalAndStreamsApart(t *testing.T) {
	t.Parallel()
	res, err := run(t, remote.Command{Argv: []string{"sh", "-c", "echo out; echo err >&2; exit 3"}})
	if err != nil || res.ExitCode != 3 || string(res.Stdout) != "out\n" || string(res.Stderr) != "err\n" {
		t.Errorf("got %+v, %v", res, err)
	}
	res, err = run(t, remote.Command{Argv: []string{"sh", "-c", "kill -TERM $$"}})
	if err != nil || res.Signal != "TERM" || res.ExitCode != -1 {
		t.Errorf("got %+v, %v", res, err)
	}
}

func TestArgumentsStayArguments(t *testing.T) {
	t.Parallel()
	hostile := []string{"$(reboot)", "a b", "'", `"`, "new\nline", "-rf", "", "ü\xff"}
	res, err := run(t, remote.Command{Argv: append([]string{"printf", "%s\\0"}, hostile...)})
	if err != nil || string(res.Stdout) != strings.Join(hostile, "\x00")+"\x00" {
		t.Errorf("got %q, %v", res.Stdout, err)
	}
}

// A child that ignores TERM and holds the pipe is ended with its group.
func TestTimeoutEndsTheWholeTree(t *testing.T) {
	t.Parallel()
	pidFile := filepath.Join(t.TempDir(), "pid")
	const limit = 3 * time.Second // until then the child has written its number, also on a busy machine
	start := time.Now()
	_, err := run(t, remote.Command{
		Argv:    []string{"sh", "-c", `trap "" TERM; (trap "" TERM; echo $$ > "$1"; exec sleep 300) & sleep 300`, "sh", pidFile},
		Timeout: limit,
	})
	e, ok := errors.AsType[*remote.Error](err)
	if !ok || e.Class != remote.TimedOut || !e.Class.MayHaveRun() {
		t.Fatalf("got %v, want timed out", err)
	}
	if took := time.Since(start); took > limit+remote.KillGrace+waitDelay+30*time.Second {
		t.Errorf("it took %s", took)
	}
	raw, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, 0); err == nil && !zombie(pid) {
		t.Errorf("process %d of the tree still runs", pid)
	}
}

func zombie(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err != nil || strings.Contains(string(stat), ") Z ")
}

func TestOutputIsBoundedAndTheProgramNotStopped(t *testing.T) {
	t.Parallel()
	res, err := run(t, remote.Command{Argv: []string{"sh", "-c", "head -c 1000000 /dev/zero; echo done >&2"}, MaxOutputBytes: 100})
	if err != nil || len(res.Stdout) != 100 || !res.Truncated || string(res.Stderr) != "done\n" {
		t.Errorf("got %d bytes, truncated %v, stderr %q, %v", len(res.Stdout), res.Truncated, res.Stderr, err)
	}
}

func TestReadsAreClassified(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	tr := New()
	if _, _, err := tr.ReadFile(t.Context(), filepath.Join(dir, "none"), 10); classOf(err) != remote.NotExist {
		t.Errorf("missing: %v", err)
	}
	if _, _, err := tr.ReadFile(t.Context(), fifo, 10); classOf(err) != remote.InvalidCall {
		t.Errorf("fifo: %v", err)
	}
	data, more, err := tr.ReadFile(t.Context(), "/proc/self/status", 20)
	if err != nil || len(data) != 20 || !more {
		t.Errorf("proc: %d bytes, more %v, %v", len(data), more, err)
	}
	if _, err := run(t, remote.Command{Argv: []string{"/no/such/program"}}); classOf(err) != remote.NotExist {
		t.Errorf("program: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := tr.Stat(ctx, dir); err == nil {
		_ = err // a read that was already done may win the race; what counts is that it returned
	}
}

func classOf(err error) remote.Class {
	if e, ok := errors.AsType[*remote.Error](err); ok {
		return e.Class
	}
	return ""
}

func TestReadDirIsBounded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for i := range 5 {
		if err := os.WriteFile(filepath.Join(dir, "f"+strconv.Itoa(i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	list, more, err := New().ReadDir(t.Context(), dir, 3)
	if err != nil || len(list) != 3 || !more {
		t.Errorf("got %d, more %v, %v", len(list), more, err)
	}
}
