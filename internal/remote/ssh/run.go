package ssh

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/internal/remote"
)

const (
	// drainDelay is how long nothing may come, after the command has ended, until
	// its output counts as read: a child that it left behind may hold the other
	// end for ever. A command whose first word has not come yet gets maxIdle times that.
	drainDelay = 2 * time.Second
	maxIdle    = 5
	// killTimeout bounds each of the two looks at a tree that is to be ended.
	killTimeout = 5 * time.Second
	// maxTree bounds the processes under sudo that are ended one by one.
	maxTree = 500
	// smallOutput is the limit where little is wanted.
	smallOutput = 64 << 10
	// maxLine is MAX_ARG_STRLEN of Linux: sshd passes the line as one argument.
	maxLine = 128<<10 - 1
)

// Run implements remote.Runner.
func (t *Transport) Run(ctx context.Context, cmd remote.Command) (remote.Result, error) {
	if err := cmd.Validate(); err != nil {
		return remote.Result{}, err
	}
	cmd = cmd.WithDefaults()
	if cmd.As == t.host.User {
		cmd.As = ""
	}
	doing := "run " + cmd.Argv[0]
	result, err := t.execute(ctx, work{doing: doing, script: commandScript(cmd), as: cmd.As, stdin: cmd.Stdin, timeout: cmd.Timeout, limit: cmd.MaxOutputBytes, watch: cmd.Watch})
	if err == nil && cmd.CutOff(result) {
		return result, &remote.Error{
			Class: remote.TimedOut, Target: t.host.Name, Doing: doing,
			Err: fmt.Errorf("it took longer than %s, and timeout(1) ended it: %w", cmd.Timeout, context.DeadlineExceeded),
		}
	}
	if err == nil && cmd.As != "" && result.ExitCode == 1 && remote.SudoRefused(result.Stderr) {
		line, _, _ := strings.Cut(strings.TrimSpace(string(result.Stderr)), "\n")
		return result, &remote.Error{
			Class: remote.NotPermitted, Target: t.host.Name, Doing: doing, Err: errors.New(line),
			Hint: remote.SudoHint(t.host.User, cmd.As, cmd.Argv),
		}
	}
	return result, err
}

// commandScript is what the login shell is given: it looks for the program, and
// for what bounds it, and becomes that, so that the process id it printed is the
// one of the whole group. The timeout of busybox, which ends one process only,
// knows no --version.
func commandScript(cmd remote.Command) string {
	argv := cmd.Argv
	if len(cmd.Env) > 0 {
		env := []string{"env"}
		for _, name := range slices.Sorted(maps.Keys(cmd.Env)) {
			env = append(env, name+"="+cmd.Env[name])
		}
		argv = append(env, argv...)
	}
	program, bound := cmd.Argv[0], ""
	switch {
	case cmd.As != "":
		program = "sudo"
	case cmd.Bounded():
		bound = "timeout --version >/dev/null 2>&1 || say unbounded; "
	}
	quoted := remote.Quote([]string{program})
	check := fmt.Sprintf("command -v %s >/dev/null 2>&1 || say missing", quoted)
	if strings.Contains(program, "/") {
		check = fmt.Sprintf("[ -x %s ] || { [ -e %s ] && say denied || say missing; }", quoted, quoted)
	}
	return check + "; " + bound + `say "$$"; exec ` + remote.Quote(cmd.Launch(argv))
}

// work is one thing to be executed by the login shell.
type work struct {
	doing   string
	script  string // says (say) the process id, or missing, denied or unbounded, before anything else
	as      string
	stdin   []byte
	timeout time.Duration
	limit   int  // of standard output in bytes, and of standard error
	isRead  bool // one of our own scripts, whose standard error is read by us only
	watch   *remote.Watch
	beside  *connection // whose spare sessions are used: it ends other work
}

// errLimit leaves room for the reason of a failure where little output is wanted.
func (w work) errLimit() int {
	if w.isRead {
		return smallOutput
	}
	return w.limit
}

// line returns the whole line for the login shell. What start-up files print
// comes before the marker and is dropped. The administrators' folders are
// added to the path, where the tools of a diagnosis are.
func (w work) line(marker string) string {
	return `export LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"; ` +
		`say() { printf '%s %s\n' ` + marker + ` "$1"; case $1 in missing|denied|unbounded) exit 127;; esac; }; ` + w.script
}

// execute runs the work in a session of its own, and ends its process tree
// when it takes too long or ctx ends.
func (t *Transport) execute(ctx context.Context, w work) (remote.Result, error) {
	marker := "secondline-" + rand.Text()
	line := w.line(marker)
	if len(line) > maxLine {
		return remote.Result{}, t.failed(w, remote.InvalidCall, fmt.Errorf("the quoted command has %d bytes, the limit is %d", len(line), maxLine))
	}
	ctx, cancel := context.WithTimeoutCause(ctx, w.timeout, fmt.Errorf("it took longer than %s: %w", w.timeout, context.DeadlineExceeded))
	defer cancel()
	ch, err := t.open(ctx, w.beside)
	if err != nil {
		return remote.Result{}, err
	}
	started := t.dialer.o.Now()
	s := startSession(t, ch, line, marker, w)
	select {
	case <-s.done:
		err = t.judge(w, s)
	case <-ctx.Done():
		t.end(ctx, s, w)
		err = t.failed(w, remote.TimedOut, context.Cause(ctx))
	}
	result := s.result()
	result.StartedAt, result.Took = started, t.dialer.o.Now().Sub(started)
	return result, err
}

// judge says how a session ended that ended by itself.
func (t *Transport) judge(w work, s *session) error {
	switch end := s.end(); {
	case end.refused:
		return t.failed(w, remote.Refused, errors.New("the server refused to start it"))
	case end.said == "missing":
		return t.failed(w, remote.NotExist, errors.New("the program is not there"))
	case end.said == "denied":
		return t.failed(w, remote.NotPermitted, errors.New("the program may not be executed"))
	case end.said == "unbounded":
		e := remote.NoBound()
		e.Target, e.Doing = t.host.Name, w.doing
		return e
	case !end.exited:
		return t.failed(w, remote.Lost, errors.New("the connection broke before the command ended"))
	case end.said == "":
		e := t.failed(w, remote.BrokenServer, errors.New("the login shell did not start the command"))
		e.Hint = "give the account a POSIX shell, /bin/sh for choice"
		return e
	}
	return nil
}

func (t *Transport) failed(w work, class remote.Class, err error) *remote.Error {
	return &remote.Error{Class: class, Target: t.host.Name, Doing: w.doing, Err: err}
}

// end ends the tree of a session: TERM to its group, a grace, KILL to what is
// left. It signals by kill(1) over a second session: sshd refuses the signal
// request for root (session.c, "session signalling requires privilege
// separation"). What runs under sudo is in a group of timeout(1)'s, found below
// the session's process before it is gone.
func (t *Transport) end(ctx context.Context, s *session, w work) {
	defer t.wg.Go(func() { _ = s.ch.Close() }) // a write to a connection that hangs is not waited for
	if w.beside != nil {                       // what ends others is not ended in turn
		return
	}
	grace := time.NewTimer(remote.KillGrace)
	defer grace.Stop()
	select { // the command was sent: its process id is under way
	case <-s.stdout.found:
	case <-s.done:
	case <-grace.C:
	}
	pid := s.pid()
	if pid == "" {
		return
	}
	ctx = context.WithoutCancel(ctx)
	var below []process
	if w.as != "" {
		below = t.processes(ctx, s, "walk "+pid)
	}
	t.signal(ctx, s, w, "TERM", below)
	grace.Reset(remote.KillGrace)
	select {
	case <-s.done:
	case <-grace.C:
	}
	if len(below) > 0 {
		below = t.processes(ctx, s, stillThere(below))
	}
	t.signal(ctx, s, w, "KILL", below)
}

// signal sends a signal to the group of a session and to the processes below.
// Who is gone by then is no failure.
//
// The form is "kill -s NAME -- number" and no other: dash does not know
// "-NAME --", and the kill of procps reads "-NAME -123" as process -1, which is
// every process there is. Through sudo it is that program, not the shell's, and
// gets no negative number at all.
func (t *Transport) signal(ctx context.Context, s *session, w work, name string, below []process) {
	script := "kill -s " + name + " -- -" + s.pid()
	if len(below) > 0 {
		argv := []string{"sudo", "-n", "-u", w.as, "--", "kill", "-s", name, "--"}
		for _, p := range below {
			argv = append(argv, p.pid)
		}
		script = remote.Quote(argv) + "; " + script
	}
	_, _ = t.execute(ctx, work{doing: "end " + w.doing, script: `say "$$"; ` + script, timeout: killTimeout, limit: smallOutput, beside: s.ch.conn})
}

// process is one on the server: its number can be given anew, but not with the
// same start time.
type process struct{ pid, born string }

// processScript prints, one a line, the number of a process and its start time,
// field 22 of /proc/<pid>/stat (proc(5)); the name, field 2, ends with the last ")".
const processScript = `say "$$"; born() { s=$(cat /proc/"$1"/stat 2>/dev/null) || return; s=${s##*) }; p=$1; set -- $s; echo "$p ${20}"; }; ` +
	`walk() { for c in $(cat /proc/"$1"/task/*/children 2>/dev/null); do born "$c"; walk "$c"; done; }; `

// stillThere looks again at processes, and for what they have started since.
func stillThere(list []process) string {
	var b strings.Builder
	for _, p := range list {
		fmt.Fprintf(&b, `[ "$(born %[1]s)" = "%[1]s %[2]s" ] && { echo "%[1]s %[2]s"; walk %[1]s; }; `, p.pid, p.born)
	}
	return b.String()
}

func (t *Transport) processes(ctx context.Context, s *session, script string) []process {
	result, err := t.execute(ctx, work{
		doing: "look for the processes to end", script: processScript + script, beside: s.ch.conn, timeout: killTimeout, limit: smallOutput,
	})
	if err != nil {
		return nil
	}
	var out []process
	for line := range strings.Lines(string(result.Stdout)) {
		fields := strings.Fields(line)
		if len(fields) == 2 && isNumber(fields[0]) && isNumber(fields[1]) && len(out) < maxTree {
			out = append(out, process{fields[0], fields[1]})
		}
	}
	return out
}

func isNumber(text string) bool {
	return text != "" && len(text) < 20 && text[0] != '0' && strings.Trim(text, "0123456789") == ""
}
