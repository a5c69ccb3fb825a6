// Package rehearsal carries commands out on a server as if for real, and keeps
// nothing of it: in private namespaces, over an overlay of the server's file
// systems whose changed side lies in its memory. Programs, files, users and exit
// statuses are the real ones; what one command writes the next one reads.
//
// No service, network, device, process or setting of the server is reached.
// So what a program asks of them fails, and is not what it would be. Not private
// are the processor, the memory up to a bound, the clock, and keys that the kernel
// keeps for a user (keyrings(7)). Files that the server itself changes meanwhile
// may be seen old or new. Sockets and devices of the real /run and /dev are not
// there, nor are network file systems.
//
// On the server a rehearsal is one process that sleeps, with a mount namespace
// of its own. The kernel takes everything away with it: when it is closed, and
// else by itself after Life.
package rehearsal

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
)

const (
	// Life is how long a rehearsal lasts that nobody closes. A command that runs
	// by then goes on, up to its own time-out.
	Life = 30 * time.Minute
	// MaxBytes bounds what the commands of a rehearsal write, in the server's memory.
	MaxBytes = 256 << 20

	openTimeout  = 30 * time.Second
	closeTimeout = 20 * time.Second
	root         = "root"
)

// ErrNotRehearsed is in the errors of what a rehearsal does not have.
var ErrNotRehearsed = errors.New("not rehearsed")

// notRehearsed is the error of a question that a rehearsal has no true answer to.
func notRehearsed(doing, format string, args ...any) error {
	return &remote.Error{Class: remote.NotPermitted, Doing: doing, Err: fmt.Errorf("%w: %s", ErrNotRehearsed, fmt.Sprintf(format, args...))}
}

// Rehearsal is a Runner of a server in which nothing is kept. It is safe for
// concurrent use.
type Rehearsal struct {
	server remote.Runner
	as     string // by whom namespaces are made: "" when root logs in
	login  account
	token  string
	holder string // process id on the server
	absent []string

	mu       sync.Mutex // guards below
	accounts map[string]account
	seen     map[string]entry // at the last look, by path
	closed   bool
}

var _ remote.Transport = (*Rehearsal)(nil)

// account is whom a command runs as.
type account struct{ name, uid, gid, groups, home string }

// Open makes a rehearsal on the server, whose gate has to let Gate pass. It needs
// root, by login or by sudo -n, and a kernel and tools that make namespaces and
// overlays; without them it returns a fault that says what is missing.
func Open(ctx context.Context, server remote.Runner) (*Rehearsal, error) {
	r := &Rehearsal{server: server, token: rand.Text(), accounts: map[string]account{}, seen: map[string]entry{}}
	var err error
	if r.login, err = r.account(ctx, ""); err != nil {
		return nil, err
	}
	if r.login.uid != "0" {
		r.as = root
	}
	res, err := server.Run(ctx, remote.Command{Argv: []string{"cat", "/proc/self/mountinfo"}, As: r.as, Effect: remote.Read})
	if err == nil {
		err = res.Err()
	}
	if err != nil {
		return nil, needs(err, "look at the file systems as root")
	}
	argv := []string{r.token, strconv.Itoa(MaxBytes), strconv.Itoa(int(Life.Seconds()))}
	for _, l := range layers(parseMounts(string(res.Stdout))) {
		word, flags := "overlay", l.Flags
		if flags == "" {
			flags = "-"
		}
		if l.Absent {
			word = "absent"
			r.absent = append(r.absent, l.Point)
		}
		argv = append(argv, word, flags, l.Point)
	}
	argv = append([]string{"unshare", "--mount", "--propagation", "private", "--", "sh", "-c", openScript, "rehearse"}, argv...)
	res, err = server.Run(ctx, remote.Command{Argv: argv, As: r.as, Timeout: openTimeout})
	if err != nil {
		return nil, needs(err, "open a rehearsal")
	}
	if err := r.opened(res); err != nil {
		return nil, err
	}
	res, err = r.Run(ctx, remote.Command{Argv: []string{"true"}, Timeout: openTimeout})
	if err == nil {
		err = res.Err()
	}
	if err != nil {
		return nil, errors.Join(needs(err, "try the rehearsal"), r.Close())
	}
	return r, nil
}

// opened reads what openScript said.
func (r *Rehearsal) opened(res remote.Result) error {
	said := strings.TrimSpace(string(res.Stderr))
	switch {
	case res.ExitCode == exitMissing:
		return fault.New(fault.Denied, "there is no %s on %s, which a rehearsal needs", said, r.server.Target()).
			WithHint("install util-linux, coreutils, findutils, diffutils and tar there")
	case res.Err() != nil:
		return fault.Wrap(fault.Denied, res.Err(), "open a rehearsal on %s", r.server.Target()).
			WithHint("it needs namespaces and overlay file systems of the kernel; in most containers there are none")
	}
	for line := range strings.Lines(string(res.Stdout)) {
		if pid, ok := strings.CutPrefix(strings.TrimSpace(line), "holder "); ok && isNumber(pid) {
			r.holder = pid
			return nil
		}
	}
	return fault.New(fault.Internal, "open a rehearsal: %q names no process", res.Stdout)
}

func isNumber(text string) bool {
	n, err := strconv.ParseUint(text, 10, 32)
	return err == nil && n > 1
}

// needs says of an error what a rehearsal asks of a server.
func needs(err error, doing string) error {
	hint := "a rehearsal needs root on the server, by login or by sudo -n for: unshare, nsenter, cat and sh"
	if e, ok := errors.AsType[*remote.Error](err); ok && e.Fault() != fault.Denied {
		hint = e.Hint
	}
	kind := fault.KindOf(err)
	if e, ok := errors.AsType[*remote.Error](err); ok {
		kind = e.Fault()
	}
	return fault.Wrap(kind, err, "%s", doing).WithHint("%s", hint)
}

// Target implements remote.Runner.
func (r *Rehearsal) Target() string { return r.server.Target() }

// Absent lists the places whose file systems the rehearsal does not have.
func (r *Rehearsal) Absent() []string { return slices.Clone(r.absent) }

// Run implements remote.Runner. Commands that only read see what was written
// before. Those that ask about processes, services or room on a disk, of which
// a rehearsal has others, are refused with ErrNotRehearsed.
func (r *Rehearsal) Run(ctx context.Context, cmd remote.Command) (remote.Result, error) {
	if err := cmd.Validate(); err != nil {
		return remote.Result{}, err
	}
	if cmd.Effect == remote.Read {
		switch {
		case readsKernel(cmd.Argv):
			return r.server.Run(ctx, cmd)
		case !readsFiles(cmd.Argv[0]):
			return remote.Result{}, notRehearsed("run "+cmd.Argv[0], "%s asks about more than files", cmd.Argv[0])
		}
	}
	who := r.login
	if cmd.As != "" && cmd.As != r.login.name {
		var err error
		if who, err = r.account(ctx, cmd.As); err != nil {
			return remote.Result{}, err
		}
	}
	argv := []string{r.token, who.uid + ":" + who.gid, who.groups, who.home, "env", "HOME=" + who.home, "USER=" + who.name, "LOGNAME=" + who.name}
	for name, value := range cmd.Env {
		argv = append(argv, name+"="+value)
	}
	cmd.Argv = append(r.enter(enterScript), append(argv, cmd.Argv...)...)
	cmd.As, cmd.Env, cmd.Effect = r.as, nil, remote.Write
	return r.judge(r.server.Run(ctx, cmd))
}

// enter begins the argv of what is carried out in the namespace.
func (r *Rehearsal) enter(script string) []string {
	return []string{"nsenter", "--target", r.holder, "--mount", "--", "sh", "-c", script, "rehearse"}
}

// judge tells the end of the rehearsal from an exit status of a command.
func (r *Rehearsal) judge(res remote.Result, err error) (remote.Result, error) {
	over := res.ExitCode == exitOver && bytes.HasPrefix(res.Stderr, []byte(saysOver)) ||
		res.ExitCode == 1 && bytes.HasPrefix(res.Stderr, []byte("nsenter: cannot open /proc/"+r.holder+"/ns/"))
	if err != nil || !over {
		return res, err
	}
	return remote.Result{}, notRehearsed("", "the rehearsal is over, which lasts %s at most", Life)
}

// readsKernel reports whether the command looks at processes where the kernel
// shows them: an action asks so who has a file open. It is asked of the server
// itself, whose processes a rehearsal does not change.
func readsKernel(argv []string) bool {
	switch argv[0] {
	case "find":
		return len(argv) > 1 && within(argv[1], "/proc")
	case "sh":
		return len(argv) > 2 && strings.Contains(argv[2], "/proc/")
	}
	return false
}

// readsFiles reports whether the program looks at nothing but files and users.
// sh is what actions begin their constant scripts with.
func readsFiles(program string) bool {
	return slices.Contains([]string{
		"cat", "find", "grep", "head", "id", "ls", "readlink", "realpath", "sh", "sha256sum", "tail", "wc", "getent", "test", "du",
	}, program)
}

// accountScript prints a user's numbers and home, its own when no name is given.
const accountScript = `set -eu
name=${1-}
[ -n "$name" ] || name=$(id -un)
printf '%s\n' "$name"
id -u -- "$name"
id -g -- "$name"
id -G -- "$name" | tr ' ' ,
getent passwd -- "$name" | cut -d : -f 6
`

// account asks the server itself who a user is: it may keep users where a
// rehearsal cannot ask.
func (r *Rehearsal) account(ctx context.Context, name string) (account, error) {
	r.mu.Lock()
	known, ok := r.accounts[name]
	r.mu.Unlock()
	if ok {
		return known, nil
	}
	argv := []string{"sh", "-c", accountScript, "account"}
	if name != "" {
		argv = append(argv, name)
	}
	res, err := r.server.Run(ctx, remote.Command{Argv: argv, Effect: remote.Read})
	if err == nil {
		err = res.Err()
	}
	if err != nil {
		return account{}, fmt.Errorf("ask who %s is: %w", orLogin(name), err)
	}
	rows := strings.Split(strings.TrimSuffix(string(res.Stdout), "\n"), "\n")
	if len(rows) < 5 || strings.Trim(rows[1]+rows[2], "0123456789") != "" || strings.Trim(rows[3], "0123456789,") != "" {
		return account{}, fault.New(fault.Internal, "ask who %s is: the server said %q", orLogin(name), res.Stdout)
	}
	a := account{name: rows[0], uid: rows[1], gid: rows[2], groups: rows[3], home: rows[4]}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.accounts[name] = a
	return a, nil
}

func orLogin(name string) string {
	if name == "" {
		return "the login user"
	}
	return name
}

// Close ends the rehearsal on the server. A command that still runs in it ends by
// its own time-out. It may be called twice.
func (r *Rehearsal) Close() error {
	r.mu.Lock()
	done := r.closed
	r.closed = true
	r.mu.Unlock()
	if done || r.holder == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	res, err := r.server.Run(ctx, remote.Command{
		Argv: []string{"sh", "-c", closeScript, "rehearse", r.token, r.holder}, As: r.as, Timeout: closeTimeout,
	})
	if err == nil {
		err = res.Err()
	}
	if err != nil {
		return fmt.Errorf("close the rehearsal, which ends by itself after %s: %w", Life, err)
	}
	return nil
}

// Gate lets the commands of rehearsals pass, which it knows by their constant
// scripts, and asks rest about all others.
func Gate(rest remote.Gate) remote.Gate { return gate{rest} }

type gate struct{ rest remote.Gate }

// Allow implements remote.Gate.
func (g gate) Allow(ctx context.Context, target string, cmd remote.Command) error {
	if isOurs(cmd.Argv) {
		return nil
	}
	return g.rest.Allow(ctx, target, cmd)
}

func isOurs(argv []string) bool {
	begins := func(words ...string) bool { return len(argv) > len(words) && slices.Equal(argv[:len(words)], words) }
	if begins("unshare", "--mount", "--propagation", "private", "--", "sh", "-c", openScript) || begins("sh", "-c", closeScript) {
		return true
	}
	if len(argv) < 8 || !isNumber(argv[2]) {
		return false
	}
	scripts := []string{enterScript, listScript, entriesScript, opaqueScript, compareScript}
	return slices.ContainsFunc(scripts, func(script string) bool {
		return begins("nsenter", "--target", argv[2], "--mount", "--", "sh", "-c", script)
	})
}
