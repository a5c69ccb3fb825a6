package remotetest_test

import (
	"fmt"
	"testing"

	"github.com/secondline-ops/secondline/internal/remote"
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
