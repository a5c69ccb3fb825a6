// Package local is the transport to the machine that this process runs on.
// Commands get a process group of their own and are ended with all of it; reads
// never start a process. A read that hangs (a dead NFS server puts it into D
// state, which nothing ends) is left behind, a bounded number of times.
package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secondline-ops/secondline/internal/remote"
)

// waitDelay is how long output is read after the program has ended: a child
// that holds the pipe open must not hold us.
const waitDelay = 2 * time.Second

// maxAbandoned bounds reads that hang. Beyond it, reads are refused: the
// machine is in a state in which looking makes it worse.
const maxAbandoned = 16

// searchPath is where programs are looked for, whatever this process was
// started with.
const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Transport is the local machine. Safe for concurrent use.
type Transport struct {
	abandoned atomic.Int32
	login     string
	home      string
}

var _ remote.Transport = (*Transport)(nil)

// New returns the transport.
func New() *Transport {
	t := &Transport{home: "/"}
	if u, err := user.Current(); err == nil {
		t.login, t.home = u.Username, u.HomeDir
	}
	return t
}

// Target implements remote.Runner.
func (t *Transport) Target() string { return "localhost" }

// Close implements remote.Transport.
func (t *Transport) Close() error { return nil }

// Run implements remote.Runner.
func (t *Transport) Run(ctx context.Context, cmd remote.Command) (remote.Result, error) {
	if err := cmd.Validate(); err != nil {
		return remote.Result{}, err
	}
	if err := ctx.Err(); err != nil {
		return remote.Result{}, &remote.Error{Class: remote.Refused, Err: err}
	}
	cmd = cmd.WithDefaults()
	if cmd.As == t.login {
		cmd.As = ""
	}
	argv := t.argv(cmd)
	program, err := findProgram(cmd, argv, searchPath)
	if err != nil {
		return remote.Result{}, err
	}
	c := &exec.Cmd{Path: program, Args: argv, Env: t.environment(cmd), Stdin: bytes.NewReader(cmd.Stdin), WaitDelay: waitDelay}
	out, errOut := &bounded{max: cmd.MaxOutputBytes, also: cmd.Watch.Stdout}, &bounded{max: cmd.MaxOutputBytes, also: cmd.Watch.Stderr}
	c.Stdout, c.Stderr = out, errOut
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	res := remote.Result{StartedAt: time.Now()}
	if err := c.Start(); err != nil {
		return res, startError(argv[0], err)
	}
	ended, isStuck := t.awaitEnd(ctx, c.Process.Pid, cmd)
	if isStuck {
		t.abandoned.Add(1)
		go func() {
			_ = c.Wait()
			t.abandoned.Add(-1)
		}()
		return res, &remote.Error{Class: remote.TimedOut, Err: ended, Hint: "the process does not end even when killed: look for a disk or a network file system that does not answer"}
	}
	err = c.Wait()
	res.Took = time.Since(res.StartedAt)
	res.Stdout, res.Stderr = out.Bytes(), errOut.Bytes()
	res.Truncated = out.cut || errOut.cut
	if ended != nil {
		return res, &remote.Error{Class: remote.TimedOut, Err: ended}
	}
	return exitOf(res, c.ProcessState, err, cmd)
}

// findProgram returns the file to be started for the argv. Where that is
// timeout(1), the command's own program must be there and executable, too:
// a later exit status of 126 or 127 would not tell whether it was.
func findProgram(cmd remote.Command, argv []string, path string) (string, error) {
	file, err := lookPath(argv[0], path)
	if cmd.As != "" || !cmd.Bounded() {
		if err != nil {
			return "", startError(argv[0], err)
		}
		return file, nil
	}
	if err := executable(cmd.Argv[0], path); err != nil {
		return "", startError(cmd.Argv[0], err)
	}
	// busybox is one program under many names. Its timeout ends one process only.
	if real, linkErr := filepath.EvalSymlinks(file); err != nil || linkErr != nil || filepath.Base(real) == "busybox" {
		return "", remote.NoBound()
	}
	return file, nil
}

// executable returns an error when the program is not there, or may not be executed.
func executable(program, path string) error {
	file, err := lookPath(program, path)
	if err != nil {
		return err
	}
	info, err := os.Stat(file)
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fs.ErrPermission
	}
	return unix.Access(file, unix.X_OK)
}

// awaitEnd waits until the program has ended, and ends its whole process group
// when it takes too long or ctx is over; then it says why, and whether the
// program is there still. It does not reap the program: as long as nobody does, no other process can have its group's number.
func (t *Transport) awaitEnd(ctx context.Context, pid int, cmd remote.Command) (why error, isStuck bool) {
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		for {
			err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
			if !errors.Is(err, unix.EINTR) {
				return
			}
		}
	}()
	limit := time.NewTimer(cmd.Timeout)
	defer limit.Stop()
	select {
	case <-exited:
		return nil, false
	case <-limit.C:
		why = fmt.Errorf("it took longer than %s and was ended: %w", cmd.Timeout, context.DeadlineExceeded)
	case <-ctx.Done():
		why = context.Cause(ctx)
	}
	var below []process
	if cmd.As != "" {
		below = descendants(pid)
	}
	t.signal(pid, "TERM", syscall.SIGTERM, below, cmd.As)
	limit.Reset(remote.KillGrace)
	select {
	case <-exited:
	case <-limit.C:
	}
	t.signal(pid, "KILL", syscall.SIGKILL, stillThere(below), cmd.As)
	limit.Reset(waitDelay)
	select {
	case <-exited:
		return why, false
	case <-limit.C: // in D state
		return why, true
	}
}

// signal signals the group of pid. What runs under sudo is in a group of
// timeout(1)'s, and may be out of reach but for sudo. kill(1) gets single
// processes, never a negative number: the kill of procps reads "-KILL -123" as
// process -1, which is every process there is.
func (t *Transport) signal(pid int, name string, sig syscall.Signal, below []process, as string) {
	if len(below) > 0 {
		argv := []string{"-n", "-u", as, "--", "kill", "-s", name, "--"}
		for _, p := range below {
			argv = append(argv, strconv.Itoa(p.pid))
		}
		ctx, cancel := context.WithTimeout(context.Background(), remote.KillGrace)
		defer cancel()
		if sudo, err := lookPath("sudo", searchPath); err == nil {
			_ = exec.CommandContext(ctx, sudo, argv...).Run()
		}
	}
	_ = syscall.Kill(-pid, sig)
}

// process is a running one: its number can be given anew, but not with the same
// start time.
type process struct {
	pid  int
	born string
}

// maxTree bounds the processes under sudo that are ended one by one.
const maxTree = 500

// descendants returns the processes below pid, from proc(5), .../children.
func descendants(pid int) []process {
	var out []process
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, file := range tasks {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		for field := range strings.FieldsSeq(string(text)) {
			child, err := strconv.Atoi(field)
			if born := startTime(child); err == nil && born != "" && len(out) < maxTree {
				out = append(append(out, process{child, born}), descendants(child)...)
			}
		}
	}
	return out
}

// stillThere returns those of the processes that live, and what they have
// started since.
func stillThere(list []process) []process {
	var out []process
	for _, p := range list {
		if startTime(p.pid) == p.born {
			out = append(append(out, p), descendants(p.pid)...)
		}
	}
	return out
}

// startTime is field 22 of /proc/<pid>/stat (proc(5)), "" for no process. The
// name, field 2, ends with the last ")".
func startTime(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if err != nil || len(fields) < 20 {
		return ""
	}
	return fields[19]
}

// argv is what is started for the command.
func (t *Transport) argv(cmd remote.Command) []string {
	program := cmd.Argv
	if cmd.As != "" && len(cmd.Env) > 0 { // sudo starts with an environment of its own
		program = slices.Concat([]string{"env"}, variables(cmd.Env), program)
	}
	return cmd.Launch(program)
}

// environment is small and the same everywhere: programs speak English, find
// the administrators' tools, and learn nothing of what this process was given.
func (t *Transport) environment(cmd remote.Command) []string {
	env := []string{"LC_ALL=C", "PATH=" + searchPath, "HOME=" + t.home, "USER=" + t.login, "LOGNAME=" + t.login}
	return append(env, variables(cmd.Env)...)
}

func variables(env map[string]string) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(env)) {
		out = append(out, name+"="+env[name])
	}
	return out
}

// lookPath finds a program in the folders of path; exec.LookPath would search
// the PATH of this process.
func lookPath(program, path string) (string, error) {
	if strings.Contains(program, "/") {
		return program, nil
	}
	for _, dir := range filepath.SplitList(path) {
		file := filepath.Join(dir, program)
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return file, nil
		}
	}
	return "", exec.ErrNotFound
}

func startError(program string, err error) error {
	class := remote.InvalidCall
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, exec.ErrNotFound):
		class = remote.NotExist
	case errors.Is(err, fs.ErrPermission):
		class = remote.NotPermitted
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.ENOMEM): // fork refused: the host has no room
		class = remote.Refused
	}
	return &remote.Error{Class: class, Err: fmt.Errorf("start %s: %w", program, err)}
}

func exitOf(res remote.Result, state *os.ProcessState, err error, cmd remote.Command) (remote.Result, error) {
	if state == nil {
		return res, &remote.Error{Class: remote.Lost, Err: err}
	}
	status, _ := state.Sys().(syscall.WaitStatus)
	res.ExitCode = state.ExitCode() // -1 for a signal
	if status.Signaled() {
		res.Signal = signalName(status.Signal())
	}
	if cmd.CutOff(res) {
		return res, &remote.Error{Class: remote.TimedOut, Err: fmt.Errorf("it took longer than %s, and timeout(1) ended it: %w", cmd.Timeout, context.DeadlineExceeded)}
	}
	if cmd.As != "" && res.ExitCode == 1 && remote.SudoRefused(res.Stderr) {
		return res, &remote.Error{
			Class: remote.NotPermitted, Err: errors.New(strings.TrimSpace(firstLine(res.Stderr))),
			Hint: remote.SudoHint("the agent's user", cmd.As, cmd.Argv),
		}
	}
	return res, nil
}

func firstLine(b []byte) string {
	line, _, _ := strings.Cut(string(b), "\n")
	return line
}

func signalName(s syscall.Signal) string {
	names := map[syscall.Signal]string{
		syscall.SIGKILL: "KILL", syscall.SIGTERM: "TERM", syscall.SIGINT: "INT", syscall.SIGHUP: "HUP", syscall.SIGQUIT: "QUIT",
		syscall.SIGSEGV: "SEGV", syscall.SIGABRT: "ABRT", syscall.SIGBUS: "BUS", syscall.SIGFPE: "FPE", syscall.SIGILL: "ILL",
		syscall.SIGPIPE: "PIPE", syscall.SIGALRM: "ALRM", syscall.SIGUSR1: "USR1", syscall.SIGUSR2: "USR2",
	}
	if n, ok := names[s]; ok {
		return n
	}
	return fmt.Sprintf("%d", int(s))
}

// bounded keeps the first max bytes and goes on taking the rest, so that the
// program is not stopped by a full pipe.
type bounded struct {
	bytes.Buffer
	max  int
	cut  bool
	also func([]byte) // sees everything
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.also != nil {
		b.also(p)
	}
	if room := b.max - b.Len(); room < len(p) {
		b.cut = true
		if room > 0 {
			b.Buffer.Write(p[:room])
		}
		return len(p), nil
	}
	return b.Buffer.Write(p)
}

// ReadFrom hides bytes.Buffer's, which knows no bound.
func (b *bounded) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{b}, r)
}
