package remote_test

import (
	"slices"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/internal/remote"
)

func TestWhatMayChangeAServerIsStartedUnderTimeout(t *testing.T) {
	t.Parallel()
	program := []string{"rm", "--", "-a b'", ""}
	for name, c := range map[string]struct {
		cmd  remote.Command
		want []string
	}{
		"a write":              {remote.Command{}, []string{"timeout", "-k", "5s", "31s"}},
		"a part of a second":   {remote.Command{Timeout: 1500 * time.Millisecond}, []string{"timeout", "-k", "5s", "3s"}},
		"a write under sudo":   {remote.Command{As: "root", Timeout: time.Minute}, []string{"sudo", "-n", "-u", "root", "--", "timeout", "-k", "5s", "61s"}},
		"a read under sudo":    {remote.Command{As: "root", Effect: remote.Read}, []string{"sudo", "-n", "-u", "root", "--", "timeout", "-k", "5s", "31s"}},
		"a read as login user": {remote.Command{Effect: remote.Read}, nil},
	} {
		cmd := c.cmd
		cmd.Argv = program
		if got, want := cmd.WithDefaults().Launch(program), slices.Concat(c.want, program); !slices.Equal(got, want) {
			t.Errorf("%s:\n got %q\nwant %q", name, got, want)
		}
	}
}

func TestTheEndThatTimeoutPutIsToldFromAProgramsOwn(t *testing.T) {
	t.Parallel()
	const limit = time.Minute
	write, read := remote.Command{Timeout: limit}, remote.Command{Timeout: limit, Effect: remote.Read}
	for name, c := range map[string]struct {
		cmd  remote.Command
		r    remote.Result
		want bool
	}{
		"ended by timeout(1)":         {write, remote.Result{ExitCode: 124, Took: limit + time.Second}, true},
		"killed by timeout(1)":        {write, remote.Result{ExitCode: -1, Signal: "KILL", Took: limit + 6*time.Second}, true},
		"killed under sudo":           {write, remote.Result{ExitCode: 137, Took: limit + 6*time.Second}, true},
		"its own 124":                 {write, remote.Result{ExitCode: 124, Took: limit - 1}, false},
		"killed by somebody else":     {write, remote.Result{ExitCode: -1, Signal: "KILL", Took: time.Second}, false},
		"done at the last moment":     {write, remote.Result{Took: limit + time.Second}, false},
		"failed at the last moment":   {write, remote.Result{ExitCode: 1, Took: limit + time.Second}, false},
		"a read, which has no bound":  {read, remote.Result{ExitCode: 124, Took: limit + time.Second}, false},
		"a read under sudo, that has": {remote.Command{Timeout: limit, Effect: remote.Read, As: "root"}, remote.Result{ExitCode: 124, Took: limit}, true},
	} {
		if got := c.cmd.CutOff(c.r); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestEndsWithinCountsTheGrace(t *testing.T) {
	t.Parallel()
	for timeout, want := range map[time.Duration]time.Duration{
		time.Second: 7 * time.Second, 1500 * time.Millisecond: 8 * time.Second, 2 * time.Hour: remote.MaxTimeout + 6*time.Second,
	} {
		if got := remote.EndsWithin(timeout); got != want {
			t.Errorf("%s: got %s, want %s", timeout, got, want)
		}
	}
}
