package process

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// Signal is the name of a signal, without SIG.
type Signal string

// The signals that a step can send.
const (
	Term      Signal = "TERM"
	Hup       Signal = "HUP"
	Interrupt Signal = "INT"
	User1     Signal = "USR1"
	User2     Signal = "USR2"
	Quit      Signal = "QUIT"
	Kill      Signal = "KILL"
	Stop      Signal = "STOP"
	Cont      Signal = "CONT"
)

func signals() []Signal {
	return []Signal{Term, Hup, Interrupt, User1, User2, Quit, Kill, Stop, Cont}
}

// ends reports whether the signal is sent so that the process ends.
func (s Signal) ends() bool {
	return s == Term || s == Interrupt || s == Quit || s == Kill
}

// opposite is the signal that takes this one back, "" when none does.
func (s Signal) opposite() Signal {
	switch s {
	case Stop:
		return Cont
	case Cont:
		return Stop
	case Term, Hup, Interrupt, User1, User2, Quit, Kill:
	}
	return ""
}

// leavesTrace reports whether it can be seen that the signal did not arrive, so
// that it may be sent again. A program that was told to end may be about to,
// and may take a second such signal for an order to hurry.
func (s Signal) leavesTrace() bool { return s == Kill || s == Stop || s == Cont }

// bit is the signal in the masks of /proc/PID/status: 1<<(number-1), numbers as
// signal(7) has them for x86 and ARM; on MIPS, Alpha and SPARC USR1, USR2, STOP
// and CONT differ, and this project builds for neither.
func (s Signal) bit() uint64 {
	number := map[Signal]int{Hup: 1, Interrupt: 2, Quit: 3, Kill: 9, User1: 10, User2: 12, Term: 15, Cont: 18, Stop: 19}[s]
	return 1 << (number - 1)
}

// holds reports whether the process is already as the signal would make it.
// All but two signals are deeds.
func (s Signal) holds(r reading) bool {
	switch s {
	case Stop:
		return r.State == "T"
	case Cont:
		return r.State != "T"
	case Term, Hup, Interrupt, User1, User2, Quit, Kill:
	}
	return false
}

// mayGoTo refuses a signal that must not, or need not, be sent to the process.
func (s Signal) mayGoTo(r reading) error {
	deny := func(format string, args ...any) *fault.Error {
		return fault.New(fault.Denied, "process %d %s", r.PID, fmt.Sprintf(format, args...))
	}
	caught, ignored := r.Caught&s.bit() != 0, r.Ignored&s.bit() != 0
	switch {
	case r.PID < 2:
		return deny("is init, and is never signalled")
	case r.kernelThread():
		return deny("is a thread of the kernel")
	case r.Ancestor:
		return deny("is what this agent, or its session, lives by").WithHint("restart an agent or an sshd with the action unit")
	case r.gone():
		return fault.New(fault.NotFound, "process %d has ended", r.PID)
	case r.Exe == "":
		return deny("has a program that cannot be read").WithHint("let the step run as: root, or as the process's own user")
	case r.State == "t":
		return deny("is being traced by a debugger")
	case ignored && s != Kill && s != Stop && s != Cont:
		return deny("ignores %s", s)
	case !caught && (s == Hup || s == User1 || s == User2):
		return deny("has no handler for %s, which would end it", s).WithHint("to end it, send TERM")
	}
	return nil
}

func (s Signal) diff(r reading) string {
	text := fmt.Sprintf("--- process %d, begun at tick %d, of uid %d: %s\n", r.PID, r.Start, r.UID, r.command())
	switch {
	case s.ends():
		return text + fmt.Sprintf("-running\n+ended, by %s\n", s)
	case s == Stop:
		return text + "-running\n+stopped, by STOP\n"
	case s == Cont:
		return text + "-stopped\n+running, by CONT\n"
	}
	return text + fmt.Sprintf("+%s\n", s)
}

func (s Signal) inWords(p saved) string {
	name := fmt.Sprintf("process %d (%s)", p.Process.PID, p.Program)
	switch {
	case s.ends():
		return name + " is gone"
	case s == Stop:
		return name + " is stopped"
	case s == Cont:
		return name + " is not stopped"
	}
	return name + " is still the same and alive"
}

// judge is the verdict on a reading.
func (s saved) judge(now reading) engine.Reading {
	there := s.Process.is(now)
	text := fmt.Sprintf("process %d (%s) is in state %s", s.Process.PID, s.Program, now.State)
	if !there {
		text = fmt.Sprintf("process %d (%s) is gone", s.Process.PID, s.Program)
	}
	answer := func(ok bool) engine.Reading {
		if ok {
			return engine.Reading{Truth: expr.True, Text: text}
		}
		return engine.Reading{Truth: expr.False, Text: text}
	}
	switch {
	case s.Signal.ends() && there && now.State == "D":
		return engine.Unknown(text + ": it takes no signal until its disk or network file system answers")
	case s.Signal.ends():
		return answer(!there)
	case !there:
		return answer(false)
	case s.Signal == Stop || s.Signal == Cont:
		return answer(s.Signal.holds(now))
	}
	return answer(true)
}

// happened says whether the signal was sent. That a process ended, stopped or
// went on is seen; who did it is not, and not asked. HUP, USR1 and USR2 leave
// nothing behind that could be seen from outside.
func (s saved) happened(now reading) engine.Reading {
	got := s.judge(now)
	switch {
	case s.Signal == Hup || s.Signal == User1 || s.Signal == User2:
		return engine.Unknown(fmt.Sprintf("%s, and whether it was sent %s cannot be seen", got.Text, s.Signal))
	case got.Truth == expr.False && s.Signal.ends() && !s.Signal.leavesTrace():
		return engine.Unknown(fmt.Sprintf("%s, and may be about to end by %s", got.Text, s.Signal))
	}
	return got
}

const (
	notTheSame = 75              // exit status of sendScript when it has sent nothing (EX_TEMPFAIL, sysexits.h)
	turn       = time.Second / 5 // of its waiting
)

// sendScript sends the signal $5 to the process of the number $1, the beginning
// $2, the boot $3 and the program $4, and waits at most $6 turns for $7. Read
// and kill are built into every POSIX shell: between the last look and the
// signal nothing is started.
const sendScript = statScript + `
pid=$1 start=$2 boot=$3 exe=$4 signal=$5 turns=$6 want=$7
leave() {
	echo "$1" >&2
	exit 75
}
IFS= read -r now </proc/sys/kernel/random/boot_id
[ "$now" = "$boot" ] || leave "the host has been booted again"
up=$$
while [ "$up" -gt 0 ]; do
	[ "$up" != "$pid" ] || leave "it is what this command lives by"
	look "$up" || break
	up=$parent
done
[ "$(readlink "/proc/$pid/exe")" = "$exe" ] || leave "it is gone, or runs another program"
look "$pid" && [ "$began" = "$start" ] || leave "it is gone, and its number may belong to another"
kill -s "$signal" "$pid" || exit
while [ "$turns" -gt 0 ]; do
	look "$pid" && [ "$began" = "$start" ] || exit 0
	case $want/$state in
	gone/Z | gone/X | stopped/T) exit 0 ;;
	going/T) ;;
	going/*) exit 0 ;;
	esac
	sleep 0.2
	turns=$((turns - 1))
done
`

// send runs sendScript. What it did not send is an error of kind Denied.
func send(ctx context.Context, env *engine.Env, s saved, signal Signal) (remote.Result, error) {
	wait, want := time.Duration(0), "nothing"
	switch {
	case signal.ends():
		wait, want = s.GoneWithin, "gone"
	case signal == Stop:
		wait, want = stopsWithin, "stopped"
	case signal == Cont:
		wait, want = stopsWithin, "going"
	}
	p := s.Process
	res, err := env.Act(ctx, "sh", "-c", sendScript, "sh", strconv.Itoa(p.PID), strconv.FormatUint(p.Start, 10), p.Boot, p.Exe,
		string(signal), strconv.Itoa(int(wait/turn)), want)
	switch {
	case err != nil:
		return res, err
	case res.ExitCode == notTheSame:
		return res, fault.New(fault.Denied, "process %d was not sent %s: %s", p.PID, signal, strings.TrimSpace(string(res.Stderr)))
	}
	return res, res.Err()
}
