package remote

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// BoundSlack is what a server adds to a command's time-out before it ends the
// command itself: who asked for the command is to be the first who ends it, and
// sees what it printed until then.
const BoundSlack = time.Second

// Exit statuses of timeout(1): what it says of a command that it has ended, and
// of one that it had to KILL, when a shell or sudo tells of it.
const (
	exitTimedOut = 124
	exitKilled   = 128 + 9
)

// Bounded reports whether the server itself has to end the command when its
// time is over: who asked for it may be dead by then, or cut off, and neither
// ends what was started. That holds for what may change the server, and for all
// that runs under sudo, which the login user may not signal.
func (c Command) Bounded() bool { return c.Effect != Read || c.As != "" }

// Launch returns the argv that a transport starts for the command, whose
// defaults are set. The program is c.Argv, or that behind env(1) where the
// environment has to be carried along. A bounded one runs under timeout(1) of
// coreutils, which sends TERM and, after KillGrace, KILL to the whole process
// group; as another user, it does so under sudo that never asks, in the exact
// form that a sudoers rule has to allow. Not reached is what has moved to
// another process group, and what ignores TERM below a program that obeys it.
func (c Command) Launch(program []string) []string {
	if !c.Bounded() {
		return program
	}
	argv := []string{"timeout", "-k", inSeconds(KillGrace), inSeconds(c.Timeout + BoundSlack)}
	if c.As != "" {
		argv = append([]string{"sudo", "-n", "-u", c.As, "--"}, argv...)
	}
	return append(argv, program...)
}

// CutOff reports whether the result tells of an end that the server has put to
// the command, because who asked for it did not do so in time (it stood still).
// A program that exits like timeout(1) within its time has done so by itself.
func (c Command) CutOff(r Result) bool {
	ended := r.ExitCode == exitTimedOut || r.ExitCode == exitKilled || r.Signal == "KILL"
	return c.Bounded() && ended && r.Took >= c.Timeout
}

// EndsWithin returns how long after its beginning a bounded command of the
// time-out is at work at most, whoever is left to end it.
func EndsWithin(timeout time.Duration) time.Duration {
	return roundUp(min(timeout, MaxTimeout)+BoundSlack) + KillGrace
}

// NoBound is the error of a transport for a bounded command on a server without
// the program that would end it.
func NoBound() *Error {
	return &Error{
		Class: NotExist, Err: errors.New("there is no timeout(1) of coreutils, without which nothing is started that may change the server"),
		Hint: "install coreutils on the server; the timeout of busybox ends one process, not its group",
	}
}

func roundUp(d time.Duration) time.Duration {
	return time.Duration(math.Ceil(d.Seconds())) * time.Second
}

func inSeconds(d time.Duration) string { return fmt.Sprintf("%ds", int64(roundUp(d).Seconds())) }
