package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/internal/remote/ssh/sshtest"
)

// tutorialWithin bounds one command of the tutorial, and how long one that only
// looks is asked again until it sees what the page says.
const tutorialWithin = 3 * time.Minute

// TestTutorial does what docs/tutorial.md says: it writes the files that the
// page shows, runs every command as it stands there, and compares what comes
// out, where "…" is anything. Only three names are filled in: the home of the
// login on the server, the server (a private sshd on loopback, as "web1" in
// ~/.ssh/config) and the controller's addresses, whose ports are free ones.
func TestTutorial(t *testing.T) {
	t.Parallel()
	followPage(t, filepath.Join("..", "..", "docs", "tutorial.md"))
}

// TestInstallingWhatCannotWork does the same with a page of what goes wrong when
// an agent is installed, and what must then be said and left.
func TestInstallingWhatCannotWork(t *testing.T) {
	t.Parallel()
	followPage(t, filepath.Join("testdata", "install.md"))
}

// followPage does what a page says, and looks that nothing is left of it.
func followPage(t *testing.T, page string) {
	t.Helper()
	if os.Geteuid() == 0 {
		asLogin(t, page)
		return
	}
	if copied := os.Getenv("SECONDLINE_TUTORIAL"); copied != "" { // set by asLogin
		page = copied
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	s := newTourist(t)
	for _, b := range blocks(string(text)) {
		s.follow(b)
	}
	if left, err := os.ReadDir(filepath.Join(s.home, ".local", "lib")); err != nil || len(left) > 0 {
		t.Errorf("left on the server: %v, %v", left, err)
	}
	if left := below(s.home); len(left) > 0 {
		t.Errorf("still running on the server: %v", left)
	}
}

// asLogin runs the test again as somebody who is not root: what root installs
// goes to /usr/local and /etc of this machine. The account exists only in a
// mount namespace of that process.
func asLogin(t *testing.T, page string) {
	t.Helper()
	const id = 64123                      // belongs to nobody: Debian gives it to no one (Debian Policy 9.2.2)
	dir, err := os.MkdirTemp("", "tour-") // readable by the account, unlike what t.TempDir makes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, from := range map[string]string{"secondline.test": self, "tutorial.md": page, "passwd": "/etc/passwd"} {
		data, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if name == "passwd" {
			data = fmt.Appendf(data, "ops:x:%d:%d::%s:/bin/sh\n", id, id, dir)
		}
		// A child forked meanwhile would hold the program open for writing until its
		// own exec, and ours would fail with ETXTBSY (https://go.dev/issue/22315).
		syscall.ForkLock.RLock()
		err = os.WriteFile(filepath.Join(dir, name), data, 0o755)
		syscall.ForkLock.RUnlock()
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(dir, id, id); err != nil {
		t.Fatal(err)
	}
	const noNamespace = 77
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", `mount --bind passwd /etc/passwd || exit 77
exec setpriv --reuid="$0" --regid="$0" --clear-groups -- ./secondline.test -test.run "^$1\$" -test.v`, strconv.Itoa(id), t.Name())
	cmd.Dir = dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "USER=ops", "TMPDIR=" + dir, "SECONDLINE_TUTORIAL=tutorial.md",
		"SECONDLINE_REQUIRE_REAL=" + os.Getenv("SECONDLINE_REQUIRE_REAL"),
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	exit, _ := errors.AsType[*exec.ExitError](err)
	switch {
	case errors.Is(err, syscall.EPERM), exit != nil && exit.ExitCode() == noNamespace:
		t.Skipf("root without the right to make a mount namespace: %v %s", err, out)
	case err != nil:
		t.Fatalf("%v\n%s", err, out)
	case strings.Contains(string(out), "--- SKIP: "+t.Name()):
		t.Skipf("%s", out)
	}
	t.Logf("%s", out)
}

// tourist follows the tutorial in a home of its own.
type tourist struct {
	t    *testing.T
	home string
	env  []string
	// page and here are what the page says and what that is here.
	page, here []string
}

func newTourist(t *testing.T) *tourist {
	t.Helper()
	if _, err := exec.LookPath("ssh"); err != nil {
		t.Skip("OpenSSH client: not installed")
	}
	home, err := os.MkdirTemp("", "t") // short, for the plugin's socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, pid := range below(home) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		_ = os.RemoveAll(home)
	})
	sshd := filepath.Join(home, ".sshd")
	for _, dir := range []string{".sshd", ".ssh", "bin"} {
		if err := os.Mkdir(filepath.Join(home, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	server, err := sshtest.StartOpenSSH(t.Context(), sshd)
	if errors.Is(err, sshtest.ErrNoOpenSSH) {
		if _, serr := os.Stat("/usr/sbin/sshd"); serr == nil && os.Getenv("SECONDLINE_REQUIRE_REAL") == "1" {
			t.Fatalf("OpenSSH server: %v", err)
		}
		t.Skipf("OpenSSH server: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	s := &tourist{
		t: t, home: home, page: []string{"/home/ops"}, here: []string{home},
		env: []string{
			"HOME=" + home, "PATH=" + filepath.Join(home, "bin") + ":" + os.Getenv("PATH"), "USER=" + server.User, "LANG=C.UTF-8",
			"SECONDLINE_LISTEN=127.0.0.1:0", "SECONDLINE_AGENT_LISTEN=127.0.0.1:0",
		},
	}
	s.furnish(server, sshd)
	return s
}

// furnish makes the server "web1". A login there gets this home, too, whatever
// home its account has; and ssh(1) reads the account's files, not those of $HOME.
func (s *tourist) furnish(server *sshtest.Server, sshd string) {
	s.t.Helper()
	key, err := os.ReadFile(filepath.Join(sshd, "authorized_keys"))
	if err != nil {
		s.t.Fatal(err)
	}
	known, err := os.ReadFile(server.KnownHostsPath)
	if err != nil {
		s.t.Fatal(err)
	}
	login := fmt.Sprintf(`command="cd '%s' && HOME='%s' exec /bin/sh -c \"$SSH_ORIGINAL_COMMAND\"" %s`, s.home, s.home, key)
	for name, text := range map[string]string{
		".sshd/authorized_keys": login,
		".ssh/known_hosts":      string(known),
		".ssh/config":           fmt.Sprintf("Host web1\n  HostName %s\n  Port %d\n  User %s\n  IdentityFile %s\n", server.Host, server.Port, server.User, server.KeyPath),
		"bin/ssh":               "#!/bin/sh\nexec /usr/bin/ssh -F \"$HOME/.ssh/config\" -o UserKnownHostsFile=\"$HOME/.ssh/known_hosts\" \"$@\"\n",
	} {
		if err := os.WriteFile(filepath.Join(s.home, name), []byte(text), 0o700); err != nil {
			s.t.Fatal(err)
		}
	}
}

// block is a fenced part of the page.
type block struct {
	line  int
	info  string
	lines []string
}

func blocks(text string) (all []block) {
	open := false
	for i, line := range strings.Split(text, "\n") {
		info, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && open:
			open = false
		case fence:
			open = true
			all = append(all, block{line: i + 1, info: info})
		case open:
			b := &all[len(all)-1]
			b.lines = append(b.lines, line)
		}
	}
	return all
}

// follow does what a block says: a file is written, commands are run.
func (s *tourist) follow(b block) {
	s.t.Helper()
	if name, ok := strings.CutPrefix(b.info, "yaml file="); ok {
		path := filepath.Join(s.home, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			s.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(s.filledIn(strings.Join(b.lines, "\n")+"\n")), 0o600); err != nil {
			s.t.Fatal(err)
		}
		return
	}
	if b.info != "console" && b.info != "console background" {
		s.t.Fatalf("line %d: a block of kind %q is not tried out", b.line, b.info)
	}
	if len(b.lines) == 0 || !strings.HasPrefix(b.lines[0], "$ ") {
		s.t.Fatalf("line %d: the block begins with no command", b.line)
	}
	for i, line := range b.lines {
		command, ok := strings.CutPrefix(line, "$ ")
		if !ok {
			continue
		}
		next := slices.IndexFunc(b.lines[i+1:], func(l string) bool { return strings.HasPrefix(l, "$ ") })
		want := b.lines[i+1:]
		if next >= 0 {
			want = want[:next]
		}
		where := fmt.Sprintf("line %d: $ %s", b.line+i+1, command)
		if setting, ok := strings.CutPrefix(command, "export "); ok { // for all that comes after it
			s.env = append(s.env, os.Expand(setting, func(name string) string { return map[string]string{"PWD": s.home}[name] }))
			continue
		}
		if b.info == "console background" {
			s.background(where, s.filledIn(command), want)
			continue
		}
		s.try(where, s.filledIn(command), want)
	}
}

func (s *tourist) filledIn(text string) string {
	for i, page := range s.page {
		text = strings.ReplaceAll(text, page, s.here[i])
	}
	return text
}

func (s *tourist) asOnPage(text string) string {
	for i, here := range s.here {
		text = strings.ReplaceAll(text, here, s.page[i])
	}
	return text
}

// try runs a command and compares. What only looks is asked again, as a reader
// would who is a little early.
func (s *tourist) try(where, command string, want []string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), tutorialWithin)
	defer cancel()
	looks := regexp.MustCompile(`^secondline (incident (show|why|list)|agents list|runbook show|signal (list|show))( |$)[^|;&]*$`).MatchString(command)
	began, pattern := time.Now(), expectation(want)
	again := time.NewTicker(300 * time.Millisecond)
	defer again.Stop()
	last := ""
	for {
		cmd := s.command(ctx, command)
		out, err := cmd.CombinedOutput()
		got := s.asOnPage(string(out))
		if err == nil && pattern.MatchString(trimLines(got)) {
			s.t.Logf("%s (%s)\n%s", where, time.Since(began).Round(100*time.Millisecond), got)
			return
		}
		if ctx.Err() != nil && last != "" { // this one was cut off
			got = last
		}
		last = got
		if !looks || ctx.Err() != nil {
			s.t.Fatalf("%s: %v\nwrote:\n%s\nnot:\n%s", where, err, got, strings.Join(want, "\n"))
		}
		select {
		case <-again.C:
		case <-ctx.Done():
		}
	}
}

func (s *tourist) command(ctx context.Context, command string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", command)
	cmd.Dir, cmd.Env = s.home, s.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	return cmd
}

// background runs the controller, as in a terminal of its own, until the tour ends.
func (s *tourist) background(where, command string, want []string) {
	s.t.Helper()
	cmd := s.command(context.WithoutCancel(s.t.Context()), "exec "+command+" 2>&1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	started, ended := make(chan string, 1), make(chan struct{})
	pattern := expectation(want)
	go func() {
		defer close(ended)
		var all strings.Builder
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			all.WriteString(lines.Text() + "\n")
			if strings.HasPrefix(lines.Text(), "people: ") {
				select {
				case started <- all.String():
				default:
				}
			}
		}
	}()
	s.t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		<-ended
		if err := cmd.Wait(); err != nil {
			s.t.Errorf("%s: ended with %v", where, err)
		}
	})
	select {
	case got := <-started:
		addresses := regexp.MustCompile(`(?m)^people: http://(\S+)\s+agents: (\S+)`).FindStringSubmatch(got)
		s.page, s.here = append(s.page, "127.0.0.1:7420", "ctl.example:7421"), append(s.here, addresses[1:]...)
		s.env = append(s.env, "SECONDLINE_URL=http://"+addresses[1])
		if got = s.asOnPage(got); !pattern.MatchString(trimLines(got)) {
			s.t.Fatalf("%s\nwrote:\n%s\nnot:\n%s", where, got, strings.Join(want, "\n"))
		}
	case <-ended:
		s.t.Fatalf("%s: ended at once", where)
	case <-time.After(tutorialWithin):
		s.t.Fatalf("%s: did not come up", where)
	}
}

// expectation makes a pattern of lines of the page: "…" is anything on the
// line, or any lines when it stands alone.
func expectation(lines []string) *regexp.Regexp {
	var p strings.Builder
	p.WriteString(`^`)
	for _, line := range lines {
		line = strings.TrimRight(line, " ")
		if line == "…" {
			p.WriteString(`(?:[^\n]*\n)*?`)
			continue
		}
		p.WriteString(strings.ReplaceAll(regexp.QuoteMeta(line), "…", `[^\n]*`) + `\n`)
	}
	return regexp.MustCompile(p.String() + `$`)
}

func trimLines(text string) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	if len(lines) == 1 && lines[0] == "" {
		return ""
	}
	return strings.Join(lines, "\n") + "\n"
}

// below returns the processes whose program lies below the folder.
func below(dir string) (pids []int) {
	links, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, link := range links {
		program, err := os.Readlink(link)
		if err != nil || !strings.HasPrefix(program, dir+"/") {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(link))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}
