package remotetest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/internal/remote/local"
	"github.com/secondline-ops/secondline/internal/remote/remotetest"
)

// strict stands for a test that uses a Host, and notes that it was failed.
type strict struct {
	testing.TB
	failures []string
}

func (s *strict) Helper() {}
func (s *strict) Errorf(format string, args ...any) {
	s.failures = append(s.failures, fmt.Sprintf(format, args...))
}

func TestWhatIsNotScriptedFails(t *testing.T) {
	t.Parallel()
	s := &strict{TB: t}
	h := remotetest.New(s).OnRun(remotetest.Argv("df", "*"), remote.Result{Stdout: []byte("x")}).OnFile("/a", "abc")
	if _, err := h.Run(t.Context(), remote.Command{Argv: []string{"df", "-P"}}); err != nil || len(s.failures) != 0 {
		t.Errorf("scripted: %v, %v", err, s.failures)
	}
	_, err1 := h.Run(t.Context(), remote.Command{Argv: []string{"df"}})
	_, _, err2 := h.ReadFile(t.Context(), "/b", 10)
	_, err3 := h.Stat(t.Context(), "/a")
	if err1 == nil || err2 == nil || err3 == nil || len(s.failures) != 3 {
		t.Errorf("got %v, %v, %v, failures %v", err1, err2, err3, s.failures)
	}
	if got := fmt.Sprint(h.Calls()); got != "[run df -P run df read-file /b stat /a]" {
		t.Errorf("calls: %s", got)
	}
	if data, more, err := h.ReadFile(t.Context(), "/a", 2); string(data) != "ab" || !more || err != nil {
		t.Errorf("got %q, %v, %v", data, more, err)
	}
}

// asked is everything that can be asked, in a form that can be compared.
func asked(t *testing.T, r remote.Runner, dir string) []string {
	t.Helper()
	var out []string
	note := func(what string, v any, err error) {
		out = append(out, fmt.Sprintf("%s: %+v, %s", what, v, remotetest.ClassOf(err)))
	}
	for _, argv := range [][]string{{"cat", dir + "/count"}, {"sh", "-c", "echo \xff >&2; exit 3"}, {"/no/such"}} {
		res, err := r.Run(t.Context(), remote.Command{Argv: argv})
		note("run", fmt.Sprintf("%q %q %d %q", res.Stdout, res.Stderr, res.ExitCode, res.Signal), err)
	}
	for _, name := range []string{"a", "new\nline :*", ".hidden", "none"} {
		data, more, err := r.ReadFile(t.Context(), filepath.Join(dir, name), 4)
		note("read", fmt.Sprintf("%q %v", data, more), err)
	}
	info, err := r.Stat(t.Context(), dir)
	note("stat", fmt.Sprint(info.Inode, info.Mode), err)
	_, err = r.Stat(t.Context(), dir+"/none")
	note("stat", "", err)
	fsInfo, err := r.Statfs(t.Context(), dir)
	note("statfs", fsInfo.Total, err)
	list, more, err := r.ReadDir(t.Context(), dir, 2)
	note("list", fmt.Sprint(len(list), more), err)
	return out
}

func TestReplayAnswersAsTheServerDid(t *testing.T) {
	t.Parallel()
	dir, to := t.TempDir(), t.TempDir()
	for name, content := range map[string]string{"a": "123\xff56", "new\nline :*": "x", ".hidden": "", "count": "1"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	rec := remotetest.Record(local.New(), to)
	want := asked(t, rec, dir)
	if err := os.WriteFile(filepath.Join(dir, "count"), []byte("2"), 0o600); err != nil {
		t.Fatal(err)
	}
	want = append(want, asked(t, rec, dir)...)
	if err := rec.Finish(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	replay, err := remotetest.Recorded(os.DirFS(to))
	if err != nil {
		t.Fatal(err)
	}
	got := append(asked(t, replay, dir), asked(t, replay, dir)...)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	// Not looked at is not the same as not there.
	_, _, err = replay.ReadFile(t.Context(), "/never/read", 10)
	if remotetest.ClassOf(err) != remote.Unreachable {
		t.Errorf("got %v", err)
	}
}
