package company

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/examples/lab/servers"
)

// buildDir is for this test binary as the process that is killed while it builds.
const buildDir = "SECONDLINE_LAB_BUILD"

// TestABuildEndsWithItsProcess guards "down" after a crash: a build that goes on
// would make the folder of the removed lab anew. This test binary runs once more
// and is killed in the middle of a build that never ends.
func TestABuildEndsWithItsProcess(t *testing.T) {
	if dir := os.Getenv(buildDir); dir != "" {
		c := &Company{Lab: &servers.Lab{Dir: dir}, o: Options{Repository: dir}}
		t.Fatal(c.build(t.Context()))
	}
	dir := t.TempDir()
	compiler := "#!/bin/sh\necho $$ $GOTMPDIR >" + dir + "/new && mv " + dir + "/new " + dir + "/builds\nexec sleep 1000\n"
	if err := os.WriteFile(filepath.Join(dir, "go"), []byte(compiler), 0o700); err != nil {
		t.Fatal(err)
	}
	up, err := servers.StartProcess(t.Context(), servers.ProcessOptions{
		Name: "up", Argv: []string{os.Args[0], "-test.run=^TestABuildEndsWithItsProcess$"},
		Env: []string{buildDir + "=" + dir, "PATH=" + dir + ":" + os.Getenv("PATH")}, Log: filepath.Join(t.TempDir(), "log"),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = up.Kill() }()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var text []byte
	if err := servers.Poll(ctx, "the build", func() (bool, error) {
		var err error
		text, err = os.ReadFile(filepath.Join(dir, "builds"))
		return err == nil, nil
	}); err != nil {
		t.Fatal(err)
	}
	number, temporary, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	pid, err := strconv.Atoi(number)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Kill(pid, syscall.SIGKILL) }()
	if temporary != dir {
		t.Errorf("a killed build leaves its files in %q and not in the folder of the lab", temporary)
	}
	if err := up.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := servers.Poll(ctx, "the end of the build", func() (bool, error) {
		stat, err := os.ReadFile("/proc/" + number + "/stat")
		return err != nil || strings.Contains(string(stat), ") Z "), nil // nobody may have reaped it
	}); err != nil {
		t.Error(err)
	}
}
