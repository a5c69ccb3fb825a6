package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/secondline-ops/secondline/internal/remote/ssh/sshtest"
)

// storyWithin bounds each wait of a story.
const storyWithin = 3 * time.Minute

func TestMain(m *testing.M) {
	// An agent starts the bundled plugins as this very binary.
	if len(os.Args) > 2 && os.Args[1] == "plugin" && os.Args[2] == "serve" {
		os.Exit(run())
	}
	testscript.Main(m, map[string]func(){"secondline": func() { os.Exit(run()) }})
}

func TestStories(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			home := filepath.Join(env.WorkDir, "home")
			env.Setenv("HOME", home)
			env.Setenv("XDG_STATE_HOME", "")
			return os.Mkdir(home, 0o700)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "until": until, "controller": startController, "agent": startScriptAgent, "sshd": startSSHD,
			"expand": expand, "capture": capture,
		},
		Condition: func(cond string) (bool, error) {
			if cond == "require_real" {
				return os.Getenv("SECONDLINE_REQUIRE_REAL") == "1", nil
			}
			return false, fmt.Errorf("there is no condition %q", cond)
		},
		RequireExplicitExec: true,
	})
}

// exits runs a command that is to end with the code: exits CODE COMMAND ARGS….
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND ARGS…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	if got := runCode(ts, args[1:]); got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func runCode(ts *testscript.TestScript, args []string) int {
	err := ts.Exec(args[0], args[1:]...)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	ts.Check(err)
	return 0
}

// expand writes a file with the variables of another filled in: expand FROM TO.
func expand(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(os.Expand(ts.ReadFile(args[0]), ts.Getenv)), 0o600))
}

// capture makes what the last command wrote the value of a variable: capture NAME.
func capture(ts *testscript.TestScript, _ bool, args []string) {
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile("stdout")))
}

// until runs a command again until its output matches: until REGEXP COMMAND ARGS….
func until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until REGEXP COMMAND ARGS…")
	}
	want := regexp.MustCompile("(?m)" + args[0])
	ctx, cancel := context.WithTimeout(context.Background(), storyWithin)
	defer cancel()
	again := time.NewTicker(200 * time.Millisecond)
	defer again.Stop()
	for {
		runCode(ts, args[1:])
		if want.MatchString(ts.ReadFile("stdout")) {
			return
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			ts.Fatalf("%q did not come", args[0])
		}
	}
}

// background runs a command line of ours in this process until the story ends,
// and waits for a line of its standard error to match. A TestScript is for one
// goroutine: what was written is logged when all others have ended.
func background(ts *testscript.TestScript, ready *regexp.Regexp, args ...string) []string {
	ctx, cancel := context.WithCancel(context.Background())
	vars := map[string]string{"HOME": ts.Getenv("HOME")}
	reader, writer := io.Pipe()
	var all sync.WaitGroup
	all.Go(func() {
		execute(ctx, &environment{
			stdin: strings.NewReader(""), stdout: io.Discard, stderr: writer, getenv: func(name string) string { return vars[name] },
		}, args)
		_ = writer.Close() // a pipe: it cannot fail
	})
	var written []string
	found := make(chan []string, 1)
	all.Go(func() {
		defer close(found)
		for lines := bufio.NewScanner(reader); lines.Scan(); {
			written = append(written, lines.Text())
			if m := ready.FindStringSubmatch(lines.Text()); m != nil {
				select {
				case found <- m:
				default:
				}
			}
		}
	})
	stop := sync.OnceFunc(func() {
		cancel()
		all.Wait()
		ts.Logf("%s wrote:\n%s", args[0], strings.Join(written, "\n"))
	})
	ts.Defer(stop)
	select {
	case m, ok := <-found:
		if ok {
			return m
		}
	case <-time.After(storyWithin):
	}
	stop()
	ts.Fatalf("%s did not come up", strings.Join(args, " "))
	return nil
}

// startController starts a real controller: controller FLAGS…. Commands after
// it talk to it as its admin.
func startController(ts *testscript.TestScript, _ bool, args []string) {
	data := ts.MkAbs("controller")
	m := background(ts, regexp.MustCompile(`^people: (\S+)\s+agents: (\S+)`),
		append([]string{"controller", "--listen", "127.0.0.1:0", "--agent-listen", "127.0.0.1:0", "--data-dir", data}, args...)...)
	ts.Setenv("SECONDLINE_URL", m[1])
	ts.Setenv("AGENTS", m[2])
	ts.Setenv("SECONDLINE_TOKEN_FILE", filepath.Join(data, "admin-token"))
}

// startScriptAgent runs an enrolled agent: agent STATE GUARD. The guard file may
// name $WORK.
func startScriptAgent(ts *testscript.TestScript, _ bool, args []string) {
	guard := os.Expand(ts.ReadFile(args[1]), ts.Getenv)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(guard), 0o600))
	background(ts, regexp.MustCompile(`agent started`),
		"agent", "run", "--controller", ts.Getenv("AGENTS"), "--state", ts.MkAbs(args[0]), "--guard", ts.MkAbs(args[1]))
}

// startSSHD starts a real SSH server on this machine.
func startSSHD(ts *testscript.TestScript, _ bool, _ []string) {
	dir := ts.MkAbs("sshd")
	ts.Check(os.Mkdir(dir, 0o700))
	s, err := sshtest.StartOpenSSH(context.Background(), dir)
	if errors.Is(err, sshtest.ErrNoOpenSSH) {
		if os.Getenv("SECONDLINE_REQUIRE_REAL") == "1" {
			ts.Fatalf("OpenSSH server: %v", err)
		}
		s, err = sshtest.StartInProcess(context.Background(), dir)
	}
	ts.Check(err)
	ts.Defer(s.Stop)
	ts.Setenv("SSH_USER", s.User)
	ts.Setenv("SSH_HOST", s.Host)
	ts.Setenv("SSH_PORT", strconv.Itoa(s.Port))
	ts.Setenv("SSH_KEY", s.KeyPath)
	ts.Setenv("KNOWN_HOSTS", s.KnownHostsPath)
}
