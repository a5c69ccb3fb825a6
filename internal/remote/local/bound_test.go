package local

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/internal/remote"
)

// programs makes a folder with the programs, each a link to what is named, or a
// file that may be executed.
func programs(t *testing.T, links map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, to := range links {
		var err error
		if file := filepath.Join(dir, name); to == "" {
			err = os.WriteFile(file, []byte("#!/bin/sh\n"), 0o700)
		} else {
			err = os.Symlink(to, file)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestWithoutTimeoutOnlyReadsAreStarted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		links map[string]string
		class remote.Class
		names string // what the error says is missing
	}{
		"with coreutils":      {map[string]string{"timeout": "", "act": ""}, "", ""},
		"without":             {map[string]string{"act": ""}, remote.NotExist, "timeout(1)"},
		"with busybox":        {map[string]string{"busybox": "", "timeout": "busybox", "act": ""}, remote.NotExist, "timeout(1)"},
		"without the program": {map[string]string{"timeout": ""}, remote.NotExist, "act"},
	} {
		path := programs(t, c.links)
		cmd := remote.Command{Argv: []string{"act"}}
		file, err := findProgram(cmd, cmd.Launch(cmd.Argv), path)
		if got := classOf(err); got != c.class || err == nil && file != filepath.Join(path, "timeout") {
			t.Errorf("%s: got %q, %v", name, file, err)
		}
		if err != nil && !strings.Contains(err.Error(), c.names) {
			t.Errorf("%s: %v does not name %s", name, err, c.names)
		}
		cmd.Effect = remote.Read
		_, err = findProgram(cmd, cmd.Launch(cmd.Argv), path)
		if _, there := c.links["act"]; there != (err == nil) {
			t.Errorf("%s: a read: %v", name, err)
		}
	}
}

func TestADirectoryIsNotStarted(t *testing.T) {
	t.Parallel()
	if _, err := run(t, remote.Command{Argv: []string{t.TempDir()}}); classOf(err) != remote.NotPermitted {
		t.Error(err)
	}
}

// The agent stood still, so that timeout(1) was the first to end the command.
func TestWhatTimeoutEndedHasTimedOut(t *testing.T) {
	t.Parallel()
	c := exec.Command("sh", "-c", "exit 124")
	err := c.Run()
	cmd := remote.Command{Argv: []string{"act"}, Timeout: time.Second}
	if _, err := exitOf(remote.Result{Took: 2 * time.Second}, c.ProcessState, err, cmd); classOf(err) != remote.TimedOut {
		t.Errorf("got %v", err)
	}
	if res, err := exitOf(remote.Result{Took: time.Second / 2}, c.ProcessState, err, cmd); err != nil || res.ExitCode != 124 {
		t.Errorf("its own exit status: %+v, %v", res, err)
	}
}
