package host

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/secondline-ops/secondline/plugins/mock"
)

// agent starts a plugin, says which process it is, and waits to be killed.
func agent(dir string) {
	entries, err := Bundled("mock")
	if err != nil {
		panic(err)
	}
	entries[0].Allow = mock.Allow()
	h, err := New(Options{Dir: dir, Entries: entries})
	if err != nil {
		panic(err)
	}
	if _, err := h.Probes(context.Background()); err != nil {
		panic(err)
	}
	fmt.Println(h.Status()[0].PID)
	_, _ = os.Stdin.Read(make([]byte, 1))
}

func TestPluginDiesWithAKilledAgent(t *testing.T) {
	t.Parallel()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, "agent", socketDir(t))
	cmd.Stderr = t.Output()
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	ended := pidfd(t, strings.TrimSpace(line))
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	ended()
	if err := cmd.Wait(); err == nil {
		t.Error("the agent was not killed")
	}
}

func TestKillEndsWhatThePluginStarted(t *testing.T) {
	t.Parallel()
	const script = `sleep 1000 >/dev/null 2>&1 & echo $!; read -r line <"$FIFO"`
	for name, end := range map[string]func(c *command, fifo string) error{
		"while the plugin runs":    func(c *command, _ string) error { return c.Kill(context.Background()) },
		"after it ended by itself": func(_ *command, fifo string) error { return os.WriteFile(fifo, []byte("go\n"), 0) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fifo := filepath.Join(t.TempDir(), "fifo")
			if err := unix.Mkfifo(fifo, 0o600); err != nil {
				t.Fatal(err)
			}
			sum, err := Checksum("/bin/sh")
			if err != nil {
				t.Fatal(err)
			}
			s := newStarter()
			defer s.stop()
			c := newCommand(Entry{Name: "shell", Path: "/bin/sh", Args: []string{"-c", script}, SHA256: sum}, s)
			c.cmd.Env = []string{"PATH=/usr/bin:/bin", "FIFO=" + fifo}
			if err := c.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			line, err := bufio.NewReader(c.Stdout()).ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			ended := pidfd(t, strings.TrimSpace(line))
			if err := end(c, fifo); err != nil {
				t.Fatal(err)
			}
			ended()
			_ = c.Wait(t.Context()) // by signal or not is the case's own business
			if err := c.Kill(t.Context()); err != nil {
				t.Errorf("kill after the end: %v", err)
			}
		})
	}
}

func TestStartIsRefusedAfterKill(t *testing.T) {
	t.Parallel()
	sum, err := Checksum("/bin/true")
	if err != nil {
		t.Fatal(err)
	}
	s := newStarter()
	defer s.stop()
	c := newCommand(Entry{Name: "true", Path: "/bin/true", SHA256: sum}, s)
	if err := c.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context()); err == nil {
		t.Error("started though it was killed first")
	}
}
