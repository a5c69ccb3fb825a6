package main

import (
	"context"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

// postgresServer is a real PostgreSQL of one test: private data folder, unix
// socket only.
type postgresServer struct {
	url, bin, folder string
	credential       *syscall.Credential
	running          *exec.Cmd
}

// newPostgres makes a cluster that is not started yet.
func newPostgres(t *testing.T) *postgresServer {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		unavailable(t, "no initdb in /usr/lib/postgresql")
	}
	// Not t.TempDir: the path of a unix socket holds 107 bytes (unix(7)), and
	// the server's user must be able to reach it.
	folder, err := os.MkdirTemp("", "orders")
	if err != nil {
		t.Fatal(err)
	}
	p := &postgresServer{bin: filepath.Dir(found[len(found)-1]), folder: folder}
	p.url = (&url.URL{Scheme: "postgres", Path: "/postgres", RawQuery: url.Values{"host": {folder}, "user": {"postgres"}}.Encode()}).String()
	t.Cleanup(func() {
		p.stop(t)
		if err := os.RemoveAll(folder); err != nil {
			t.Error(err)
		}
	})
	p.credential = serverUser(t, folder)
	if err := p.command(t, "initdb", "-D", "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N").Run(); err != nil {
		t.Fatalf("initdb: %v", err)
	}
	return p
}

func (p *postgresServer) start(t *testing.T) {
	t.Helper()
	// fsync off: a killed server is not this test's business.
	p.running = p.command(t, "postgres", "-D", "data", "-k", p.folder, "-c", "listen_addresses=", "-c", "fsync=off")
	if err := p.running.Start(); err != nil {
		t.Fatal(err)
	}
	poll(t, "postgres to start", func() bool {
		conn, err := pgx.Connect(t.Context(), p.url)
		if err != nil {
			return false
		}
		return conn.Close(t.Context()) == nil
	})
}

func (p *postgresServer) stop(t *testing.T) {
	t.Helper()
	if p.running == nil {
		return
	}
	if err := p.running.Process.Signal(syscall.SIGINT); err != nil { // fast shutdown
		t.Error(err)
	}
	if err := p.running.Wait(); err != nil {
		t.Errorf("postgres: %v", err)
	}
	p.running = nil
}

func (p *postgresServer) command(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), filepath.Join(p.bin, name), args...)
	cmd.Dir, cmd.Stderr = p.folder, t.Output()
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.credential}
	return cmd
}

func unavailable(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("SECONDLINE_REQUIRE_REAL") == "1" {
		t.Fatal(why)
	}
	t.Skip("needs PostgreSQL: " + why)
}

// serverUser gives the folder to somebody who is not root: postgres refuses to
// run as root.
func serverUser(t *testing.T, folder string) *syscall.Credential {
	t.Helper()
	if os.Getuid() != 0 {
		return nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		unavailable(t, err.Error())
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
