package remotetest

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/internal/remote"
)

const (
	patience  = 60 * time.Second // after which a test is stuck
	treeLives = 5 * time.Second  // until its timeout: time to grow, also on a busy machine
	outputMax = 1 << 20
)

// Exercise is the conformance suite for transports that reach the machine on
// which the test runs: what a test writes to its folder, the transport sees.
func Exercise(t *testing.T, open func(t *testing.T) remote.Transport) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, remote.Transport){
		"ExitStatusIsAResult":        testExitStatus,
		"SignalIsTold":               testSignal,
		"ArgumentsStayArguments":     testArguments,
		"EnvironmentStaysData":       testEnvironment,
		"StdinIsRead":                testStdin,
		"UnreadStdinDoesNotHang":     testUnreadStdin,
		"OutputIsBounded":            testBounded,
		"OutputIsSeenMeanwhile":      testWatch,
		"TimeoutEndsTheTree":         testTimeout,
		"StubbornTreeIsKilled":       testStubborn,
		"CancelEndsTheTree":          testCancel,
		"LeftChildDoesNotHang":       testLeftChild,
		"MissingProgram":             testMissingProgram,
		"MalformedIsRefused":         testMalformed,
		"ManyAtOnce":                 testManyAtOnce,
		"ReadFile":                   testReadFile,
		"ReadFileRefusesOtherKinds":  testReadFileKinds,
		"StatAgreesWithTheKernel":    testStat,
		"StatfsAgreesWithTheKernel":  testStatfs,
		"ReadDirWithHostileNames":    testReadDir,
		"ReadDirIsBounded":           testReadDirBounded,
		"MissingPathsAreNotExist":    testMissingPaths,
		"DeniedPathsAreNotPermitted": testDenied,
		"RelativePathsAreRefused":    testRelative,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

func run(t *testing.T, tr remote.Transport, cmd remote.Command) remote.Result {
	t.Helper()
	cmd.Timeout, cmd.Effect = patience, remote.Write
	if cmd.MaxOutputBytes == 0 {
		cmd.MaxOutputBytes = outputMax
	}
	r, err := tr.Run(t.Context(), cmd)
	if err != nil {
		t.Fatalf("run %q: %v", cmd.Argv, err)
	}
	return r
}

// ClassOf returns the class of the error, "" for another one.
func ClassOf(err error) remote.Class {
	if e, ok := errors.AsType[*remote.Error](err); ok {
		return e.Class
	}
	return ""
}

func wantClass(t *testing.T, err error, want remote.Class) {
	t.Helper()
	if got := ClassOf(err); got != want {
		t.Errorf("got class %q (%v), want %q", got, err, want)
	}
}

func testExitStatus(t *testing.T, tr remote.Transport) {
	r := run(t, tr, remote.Command{Argv: []string{"sh", "-c", "echo out; echo err >&2; exit 3"}})
	if r.ExitCode != 3 || r.Signal != "" || string(r.Stdout) != "out\n" || string(r.Stderr) != "err\n" || r.Truncated || r.StartedAt.IsZero() {
		t.Errorf("got %+v", r)
	}
	r = run(t, tr, remote.Command{Argv: []string{"sh", "-c", "echo no such file: not found >&2; exit 127"}})
	if r.ExitCode != 127 {
		t.Errorf("a script that exits 127 did run: got %+v", r)
	}
}

func testSignal(t *testing.T, tr remote.Transport) {
	for _, name := range []string{"KILL", "TERM"} {
		r := run(t, tr, remote.Command{Argv: []string{"sh", "-c", "kill -" + name + " $$"}})
		if r.Signal != name || r.ExitCode != -1 {
			t.Errorf("got %+v, want signal %s", r, name)
		}
	}
}

func testArguments(t *testing.T, tr remote.Transport) {
	hostile := []string{
		"$(touch /tmp/never)", "`id`", "a  b", "", "'", `"`, `\`, `'\''`, "new\nline", "tab\t", "*", "~", "-n", "--", "$HOME", "!!", "ü", "\xff\xfe", "a;b|c&d>e", "#x", "\r", "\x01\x7f",
	}
	r := run(t, tr, remote.Command{Argv: append([]string{"printf", `%s\0`}, hostile...)})
	if want := strings.Join(hostile, "\x00") + "\x00"; string(r.Stdout) != want {
		t.Errorf("\n got %q\nwant %q", r.Stdout, want)
	}
}

func testEnvironment(t *testing.T, tr remote.Transport) {
	env := map[string]string{"A_1": "x'; touch /tmp/never; '$(id)\n\"=\xff", "IFS": "p", "_E": "", "UID": "7"}
	r := run(t, tr, remote.Command{Argv: []string{"env", "-0"}, Env: env})
	got := strings.Split(string(r.Stdout), "\x00")
	for name, value := range env {
		found := false
		for _, line := range got {
			found = found || line == name+"="+value
		}
		if !found {
			t.Errorf("%s=%q is not in %q", name, value, got)
		}
	}
	if !strings.Contains("\x00"+string(r.Stdout), "\x00LC_ALL=C\x00") {
		t.Errorf("LC_ALL is not C in %q", r.Stdout)
	}
	for _, bad := range []string{"", "1A", "A-B", "A=B", "A B", "A\nB"} {
		_, err := tr.Run(t.Context(), remote.Command{Argv: []string{"true"}, Env: map[string]string{bad: "x"}, Timeout: patience, MaxOutputBytes: 10})
		wantClass(t, err, remote.InvalidCall)
	}
}

func testStdin(t *testing.T, tr remote.Transport) {
	in := []byte(strings.Repeat("0123456789\x00\xff\n", 40_000))
	r := run(t, tr, remote.Command{Argv: []string{"cat"}, Stdin: in})
	if string(r.Stdout) != string(in) {
		t.Errorf("got %d bytes, want %d", len(r.Stdout), len(in))
	}
	if r := run(t, tr, remote.Command{Argv: []string{"cat"}}); len(r.Stdout) != 0 {
		t.Errorf("got %q, want nothing", r.Stdout)
	}
}

func testUnreadStdin(t *testing.T, tr remote.Transport) {
	r := run(t, tr, remote.Command{Argv: []string{"sh", "-c", "exec <&-; echo done"}, Stdin: make([]byte, 8<<20)})
	if string(r.Stdout) != "done\n" || r.ExitCode != 0 {
		t.Errorf("got %+v", r)
	}
}

func testBounded(t *testing.T, tr remote.Transport) {
	r := run(t, tr, remote.Command{Argv: []string{"sh", "-c", "head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2; exit 4"}, MaxOutputBytes: 1000})
	if len(r.Stdout) != 1000 || len(r.Stderr) != 1000 || !r.Truncated || r.ExitCode != 4 {
		t.Errorf("got %d and %d bytes, truncated %v, exit code %d", len(r.Stdout), len(r.Stderr), r.Truncated, r.ExitCode)
	}
	r = run(t, tr, remote.Command{Argv: []string{"printf", "%s", strings.Repeat("x", 1000)}, MaxOutputBytes: 1000})
	if len(r.Stdout) != 1000 || r.Truncated {
		t.Errorf("got %d bytes, truncated %v: exactly the limit is not truncated", len(r.Stdout), r.Truncated)
	}
}

// tree starts a command whose processes all hold a fifo open, and returns what
// waits until none of them is left.
func tree(t *testing.T, prelude string) (argv []string, started, ended func()) {
	t.Helper()
	fifo := filepath.Join(t.TempDir(), "alive")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	begun, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		f, err := os.Open(fifo)
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		if _, err := f.Read(make([]byte, 1)); err == nil {
			close(begun)
		}
		_, _ = io.Copy(io.Discard, f)
	}()
	await := func(c <-chan struct{}, what string) func() {
		return func() {
			t.Helper()
			select {
			case <-c:
			case <-time.After(patience):
				t.Fatalf("the tree has not %s after %s", what, patience)
			}
		}
	}
	// Three levels: the shell, a child, and the child's child.
	script := prelude + `; exec 9>"$1"; (` + prelude + `; sleep 300 & echo x >&9; sleep 300) & echo visible; wait; sleep 300`
	return []string{"sh", "-c", script, "sh", fifo}, await(begun, "begun"), await(over, "ended")
}

func testTimeout(t *testing.T, tr remote.Transport) {
	argv, _, ended := tree(t, ":")
	began := time.Now()
	r, err := tr.Run(t.Context(), remote.Command{Argv: argv, Timeout: treeLives, MaxOutputBytes: 100})
	wantClass(t, err, remote.TimedOut)
	if took := time.Since(began); took < treeLives || took > patience/2 {
		t.Errorf("it took %s", took)
	}
	if string(r.Stdout) != "visible\n" {
		t.Errorf("got %q of the output so far", r.Stdout)
	}
	ended()
}

func testStubborn(t *testing.T, tr remote.Transport) {
	argv, _, ended := tree(t, `trap "" TERM HUP INT`)
	_, err := tr.Run(t.Context(), remote.Command{Argv: argv, Timeout: treeLives, MaxOutputBytes: 100})
	wantClass(t, err, remote.TimedOut)
	ended()
}

func testCancel(t *testing.T, tr remote.Transport) {
	ctx, cancel := context.WithCancel(t.Context())
	argv, started, ended := tree(t, ":")
	go func() {
		started()
		cancel()
	}()
	_, err := tr.Run(ctx, remote.Command{Argv: argv, Timeout: patience, MaxOutputBytes: 100})
	wantClass(t, err, remote.TimedOut)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want a cancelled context in it", err)
	}
	ended()
	if _, err := tr.Run(ctx, remote.Command{Argv: []string{"true"}, Timeout: patience, MaxOutputBytes: 100}); err == nil {
		t.Error("a command was run with a cancelled context")
	}
}

// A daemon that the command leaves behind holds its output open.
func testLeftChild(t *testing.T, tr remote.Transport) {
	began := time.Now()
	r := run(t, tr, remote.Command{Argv: []string{"sh", "-c", "sleep 40 & echo $!; exit 5"}})
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("it took %s", took)
	}
	if r.ExitCode != 5 {
		t.Errorf("got %+v", r)
	}
	run(t, tr, remote.Command{Argv: []string{"sh", "-c", "kill " + strings.TrimSpace(string(r.Stdout)) + " 2>/dev/null; true"}})
}

func testMissingProgram(t *testing.T, tr remote.Transport) {
	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plain, []byte("echo hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	for program, class := range map[string]remote.Class{
		"/no/such/program": remote.NotExist, "no-such-program-here": remote.NotExist, "no such; touch /tmp/never": remote.NotExist, plain: remote.NotPermitted,
	} {
		_, err := tr.Run(t.Context(), remote.Command{Argv: []string{program, "x"}, Timeout: patience, MaxOutputBytes: 100})
		wantClass(t, err, class)
	}
}

func testMalformed(t *testing.T, tr remote.Transport) {
	for _, cmd := range []remote.Command{
		{},
		{Argv: []string{""}},
		{Argv: []string{"echo", "a\x00b"}},
		{Argv: []string{"-x"}},
		{Argv: []string{"true"}, As: "-x"},
		{Argv: []string{"true"}, As: "a b"},
		{Argv: []string{"true"}, Env: map[string]string{"A": "\x00"}},
		{Argv: []string{"echo", strings.Repeat("x", remote.MaxCommandBytes)}},
	} {
		cmd.Timeout, cmd.MaxOutputBytes = patience, 100
		_, err := tr.Run(t.Context(), cmd)
		wantClass(t, err, remote.InvalidCall)
	}
}

func testManyAtOnce(t *testing.T, tr remote.Transport) {
	const n = 40 // more than one connection has sessions
	errs := make(chan error, n)
	for range n {
		go func() {
			r, err := tr.Run(t.Context(), remote.Command{Argv: []string{"sh", "-c", "echo x; sleep 0.2"}, Timeout: patience, MaxOutputBytes: 100})
			if err == nil && string(r.Stdout) != "x\n" {
				err = errors.New("got " + string(r.Stdout))
			}
			errs <- err
		}()
	}
	for range n {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func testReadFile(t *testing.T, tr remote.Transport) {
	name := filepath.Join(t.TempDir(), "it's a \"file\"\nwith $(lines)")
	content := strings.Repeat("a\x00\xff\n", 5000)
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	data, truncated, err := tr.ReadFile(t.Context(), name, len(content))
	if err != nil || truncated || string(data) != content {
		t.Errorf("got %d bytes, truncated %v, %v", len(data), truncated, err)
	}
	data, truncated, err = tr.ReadFile(t.Context(), name, 7)
	if err != nil || !truncated || string(data) != content[:7] {
		t.Errorf("got %q, truncated %v, %v", data, truncated, err)
	}
	data, _, err = tr.ReadFile(t.Context(), "/proc/version", 1000) // its size is 0
	if err != nil || !strings.HasPrefix(string(data), "Linux version") {
		t.Errorf("got %q, %v", data, err)
	}
}

func testReadFileKinds(t *testing.T, tr remote.Transport) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, fifo, "/dev/zero"} {
		_, _, err := tr.ReadFile(t.Context(), path, 100)
		wantClass(t, err, remote.InvalidCall)
	}
}

func testStat(t *testing.T, tr remote.Transport) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "file\n1"), filepath.Join(dir, "link")
	if err := os.WriteFile(file, []byte("12345"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, 0o640|fs.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/a b\nc\n", link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, link, dir, "/dev/null", "/"} {
		got, err := tr.Stat(t.Context(), path)
		if err != nil {
			t.Errorf("stat %q: %v", path, err)
			continue
		}
		compareInfo(t, path, got)
	}
}

// compareInfo holds what the transport said of the path against lstat(2).
func compareInfo(t *testing.T, path string, got remote.FileInfo) {
	t.Helper()
	real, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	st, ok := real.Sys().(*syscall.Stat_t)
	if !ok {
		t.Fatalf("lstat of %q gave a %T", path, real.Sys())
	}
	target, _ := os.Readlink(path)
	if got.Name != filepath.Base(path) || got.Size != real.Size() || got.Mode != real.Mode() || !got.ModifiedAt.Equal(real.ModTime()) || got.LinkTarget != target ||
		got.UID != st.Uid || got.GID != st.Gid || got.Dev != uint64(st.Dev) || got.Inode != st.Ino || got.Links != uint64(st.Nlink) || got.Blocks != st.Blocks { //nolint:unconvert // differs by architecture
		t.Errorf("%q: got %+v, the kernel says %v %v %s %+v, target %q", path, got, real.Mode(), real.Size(), real.ModTime(), st, target)
	}
}

func testStatfs(t *testing.T, tr remote.Transport) {
	dir := t.TempDir()
	got, err := tr.Statfs(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	size := uint64(st.Frsize)
	if got.Total != st.Blocks*size || got.Inodes != st.Files || got.Available > got.Free || got.Free > got.Total {
		t.Errorf("got %+v, the kernel says %+v", got, st)
	}
}

func testReadDir(t *testing.T, tr remote.Transport) {
	dir := t.TempDir()
	names := []string{".hidden", "a b", "new\nline\n", "quote'\"", "$(id)", "-rf", "\xff", "*"}
	for i, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), make([]byte, i), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "sub", "below"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("to\nnowhere", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	entries, truncated, err := tr.ReadDir(t.Context(), dir, 100)
	if err != nil || truncated || len(entries) != len(names)+2 {
		t.Fatalf("got %d entries, truncated %v, %v", len(entries), truncated, err)
	}
	for _, e := range entries {
		compareInfo(t, filepath.Join(dir, e.Name), e)
	}
	if entries, truncated, err := tr.ReadDir(t.Context(), filepath.Join(dir, "sub", "..", "sub"), 1); err != nil || truncated || len(entries) != 1 {
		t.Errorf("got %v, truncated %v, %v", entries, truncated, err)
	}
	if err := os.Remove(filepath.Join(dir, "sub", "below")); err != nil {
		t.Fatal(err)
	}
	if entries, truncated, err := tr.ReadDir(t.Context(), filepath.Join(dir, "sub"), 10); err != nil || truncated || len(entries) != 0 {
		t.Errorf("empty folder: got %v, truncated %v, %v", entries, truncated, err)
	}
	_, _, err = tr.ReadDir(t.Context(), filepath.Join(dir, "a b"), 10)
	if class := ClassOf(err); class != remote.InvalidCall && class != remote.NotExist {
		t.Errorf("listing a file: got %v", err)
	}
}

func testReadDirBounded(t *testing.T, tr remote.Transport) {
	dir := t.TempDir()
	for i := range 30 {
		if err := os.WriteFile(filepath.Join(dir, strings.Repeat("n", 200)+string(rune('a'+i))), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	entries, truncated, err := tr.ReadDir(t.Context(), dir, 7)
	if err != nil || !truncated || len(entries) != 7 {
		t.Errorf("got %d entries, truncated %v, %v", len(entries), truncated, err)
	}
}

func testMissingPaths(t *testing.T, tr remote.Transport) {
	for _, path := range []string{filepath.Join(t.TempDir(), "none: Permission denied"), "/etc/passwd/x"} {
		_, err := tr.Stat(t.Context(), path)
		wantClass(t, err, remote.NotExist)
		_, err = tr.Statfs(t.Context(), path)
		wantClass(t, err, remote.NotExist)
		_, _, err = tr.ReadFile(t.Context(), path, 10)
		wantClass(t, err, remote.NotExist)
		_, _, err = tr.ReadDir(t.Context(), path, 10)
		wantClass(t, err, remote.NotExist)
	}
}

func testDenied(t *testing.T, tr remote.Transport) {
	if os.Geteuid() == 0 {
		t.Skip("root is denied nothing")
	}
	dir := filepath.Join(t.TempDir(), "closed")
	if err := os.Mkdir(dir, 0); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, filepath.Join(dir, "x")} {
		_, _, err := tr.ReadDir(t.Context(), path, 10)
		wantClass(t, err, remote.NotPermitted)
	}
	_, err := tr.Stat(t.Context(), filepath.Join(dir, "x"))
	wantClass(t, err, remote.NotPermitted)
	_, _, err = tr.ReadFile(t.Context(), filepath.Join(dir, "x"), 10)
	wantClass(t, err, remote.NotPermitted)
}

func testRelative(t *testing.T, tr remote.Transport) {
	for _, path := range []string{"", "x", "-rf", "/a\x00b"} {
		_, _, err := tr.ReadFile(t.Context(), path, 10)
		wantClass(t, err, remote.InvalidCall)
		_, err = tr.Stat(t.Context(), path)
		wantClass(t, err, remote.InvalidCall)
	}
}
