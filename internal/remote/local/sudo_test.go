package local

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/internal/remote"
)

func TestTreeUnderSudoIsKilledAndNothingElse(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("sudo"); err != nil || os.Geteuid() != 0 {
		t.Skip("sudo is not installed, or the test does not run as root")
	}
	bystander := exec.Command("sleep", "300")
	bystander.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}, Setpgid: true}
	if err := bystander.Start(); err != nil {
		t.Fatal(err)
	}
	res, err := run(t, remote.Command{
		Argv: []string{"sh", "-c", `trap "" TERM; (trap "" TERM; sleep 301 & echo $!; sleep 302) & echo $!; wait; sleep 303`}, As: "nobody", Timeout: 5 * time.Second,
	})
	if classOf(err) != remote.TimedOut || strings.Count(string(res.Stdout), "\n") != 2 {
		t.Fatalf("got %+v, %v", res, err)
	}
	for field := range strings.FieldsSeq(string(res.Stdout)) {
		if pid, err := strconv.Atoi(field); err != nil || !zombie(pid) {
			t.Errorf("process %q still runs", field)
		}
	}
	_ = syscall.Kill(bystander.Process.Pid, syscall.SIGUSR1)
	if err := bystander.Wait(); err == nil || bystander.ProcessState.String() != "signal: user defined signal 1" {
		t.Errorf("a process of the same user that is none of ours was ended: %v", bystander.ProcessState)
	}
}

// The children of a shell are found with their start times, and another
// process is not taken for one of them.
func TestDescendantsAreToldFromOthers(t *testing.T) {
	t.Parallel()
	c := exec.Command("sh", "-c", "sleep 300 & echo started; wait")
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL); _ = c.Wait() }()
	if _, err := out.Read(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	list := descendants(c.Process.Pid)
	if len(list) != 1 || len(stillThere(list)) != 1 {
		t.Fatalf("got %v", list)
	}
	list[0].born += "0" // the number was given to another process
	if got := stillThere(list); len(got) != 0 {
		t.Errorf("got %v", got)
	}
}
