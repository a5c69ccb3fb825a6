package sql_test

import (
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/internal/remote/remotetest"
)

// startPostgres starts a private server that is reached by a socket in the
// folder, which it returns. PostgreSQL does not run as root.
func startPostgres(t *testing.T) (socket string) {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		remotetest.Need(t, "initdb")
		return ""
	}
	remotetest.Need(t, "psql")
	bin := filepath.Dir(found[len(found)-1])
	folder, err := os.MkdirTemp("/tmp", "sl-pg") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	run := func(name string, args ...string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(bin, name), args...)
		cmd.Dir, cmd.Stderr = folder, t.Output()
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: serverUser(t, folder)}
		return cmd
	}
	data := filepath.Join(folder, "data")
	if err := run("initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N").Run(); err != nil {
		t.Fatalf("initdb: %v", err)
	}
	postmaster := run("postgres", "-D", data, "-k", folder, "-c", "listen_addresses=", "-c", "fsync=off")
	if err := postmaster.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = postmaster.Process.Signal(syscall.SIGQUIT) // at once: a test may have left a session
		_ = postmaster.Wait()
	})
	await(t, func() error { _, err := psql(folder, "SELECT 1"); return err })
	return folder
}

// await asks until somebody answers; a server has no way to tell when it does.
func await(t *testing.T, ask func() error) {
	t.Helper()
	limit := time.After(time.Minute)
	for {
		err := ask()
		if err == nil {
			return
		}
		select {
		case <-limit:
			t.Fatalf("the server did not start: %v", err)
		case <-time.After(30 * time.Millisecond):
		}
	}
}

// psql asks the server behind the action's back.
func psql(socket, statement string) (string, error) {
	out, err := exec.Command("psql", "-X", "-At", "-h", socket, "-U", "postgres", "-c", statement).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func serverUser(t *testing.T, folder string) *syscall.Credential {
	t.Helper()
	if os.Getuid() != 0 {
		return nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		t.Skipf("no user postgres: %v", err)
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err1 != nil || err2 != nil {
		t.Fatalf("user postgres has uid %q, gid %q", u.Uid, u.Gid)
	}
	if err := os.Chown(folder, uid, gid); err != nil {
		t.Fatal(err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// startRedis starts a private server that is reached by the socket it returns.
func startRedis(t *testing.T) (socket string) {
	t.Helper()
	remotetest.Need(t, "redis-server", "redis-cli")
	folder, err := os.MkdirTemp("/tmp", "sl-redis")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	socket = filepath.Join(folder, "s")
	server := exec.Command("redis-server", "--port", "0", "--unixsocket", socket, "--dir", folder, "--save", "")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = server.Process.Kill(), server.Wait() })
	await(t, func() error { return exec.Command("redis-cli", "-e", "-s", socket, "PING").Run() })
	return socket
}
