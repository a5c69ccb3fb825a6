package remotetest

import (
	"bufio"
	"cmp"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Postgres is a private PostgreSQL server that is reached by its socket.
type Postgres struct {
	Socket string // folder
	Data   string // folder
	User   string // the system user that it runs as, and its superuser; "-" is the user of the test

	bin    string
	port   string // "" is the usual one
	as     *syscall.Credential
	server *exec.Cmd
}

// StartPostgres starts a server for the test, with settings such as
// "max_connections=10". Where there is no PostgreSQL the test is skipped, or
// fails under SECONDLINE_REQUIRE_REAL=1. It does not run as root, so that as
// root there must be a system user postgres.
func StartPostgres(t testing.TB, settings ...string) *Postgres {
	t.Helper()
	p := newPostgres(t)
	if err := p.command("initdb", "-D", p.Data, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N").Run(); err != nil {
		t.Fatalf("initdb: %v", err)
	}
	p.start(t, settings)
	return p
}

// StartReplica starts a server that follows p, as its replication slot of the name.
func (p *Postgres) StartReplica(t testing.TB, slot string, settings ...string) *Postgres {
	t.Helper()
	r := newPostgres(t)
	copied := r.command("pg_basebackup", "-h", p.Socket, "-p", cmp.Or(p.port, "5432"), "-D", r.Data, "-R", "-X", "stream", "-C", "-S", slot, "-c", "fast")
	if err := copied.Run(); err != nil {
		t.Fatalf("pg_basebackup: %v", err)
	}
	r.start(t, settings)
	return r
}

func newPostgres(t testing.TB) *Postgres {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // never an error for a pattern that is right
	if len(found) == 0 {
		Need(t, "initdb")
		t.Skip("initdb is outside of /usr/lib/postgresql")
	}
	Need(t, "psql")
	folder, err := os.MkdirTemp("/tmp", "sl-pg") //nolint:usetesting // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	p := &Postgres{Socket: folder, Data: filepath.Join(folder, "data"), User: "-", bin: filepath.Dir(slices.Max(found))}
	if os.Getuid() == 0 {
		p.become(t, "postgres")
	}
	return p
}

func (p *Postgres) become(t testing.TB, name string) {
	t.Helper()
	u, err := user.Lookup(name)
	if err != nil {
		t.Skip(err)
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err1 != nil || err2 != nil {
		t.Fatalf("user %s has uid %q, gid %q", name, u.Uid, u.Gid)
	}
	if err := os.Chown(p.Socket, int(uid), int(gid)); err != nil {
		t.Fatal(err)
	}
	p.User, p.as = name, &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

func (p *Postgres) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(p.bin, program), args...)
	cmd.Dir = p.Socket
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.as, Pdeathsig: syscall.SIGKILL}
	return cmd
}

func (p *Postgres) start(t testing.TB, settings []string) {
	t.Helper()
	args := []string{"-D", p.Data, "-k", p.Socket, "-c", "listen_addresses=", "-c", "fsync=off"}
	for _, s := range settings {
		args = append(args, "-c", s)
		if port, ok := strings.CutPrefix(s, "port="); ok {
			p.port = port
		}
	}
	p.server = p.command("postgres", args...)
	if err := p.server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	await(t, time.Minute, func() error { _, err := p.Ask("SELECT 1"); return err })
}

// Stop ends the server at once, and waits for it. It may be called twice.
func (p *Postgres) Stop() {
	if p.server == nil {
		return
	}
	_ = p.server.Process.Signal(syscall.SIGQUIT)
	_ = p.server.Wait()
	p.server = nil
}

func (p *Postgres) psql(args ...string) *exec.Cmd {
	cmd := p.command("psql", slices.Concat([]string{"-X", "-At", "-h", p.Socket, "-d", "postgres"}, args)...)
	cmd.Path, _ = exec.LookPath("psql") // newPostgres has seen it
	if p.port != "" {
		cmd.Args = append(cmd.Args, "-p", p.port)
	}
	return cmd
}

// Ask runs one statement and returns what it printed.
func (p *Postgres) Ask(statement string) (string, error) {
	out, err := p.psql("-c", statement).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// Session holds a session of an application open for the rest of the test, which
// was given the statements. It waits until the session is there, and not until
// they have answered.
func (p *Postgres) Session(t testing.TB, application, statements string) {
	t.Helper()
	cmd := p.psql()
	cmd.Env = []string{"PGAPPNAME=" + application}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if _, err := in.Write([]byte("\\echo connected\n" + statements + "\n")); err != nil {
		t.Fatal(err)
	}
	answers := bufio.NewReader(out)
	if line, err := answers.ReadString('\n'); line != "connected\n" {
		t.Fatalf("psql said %q, %v", line, err)
	}
	go func() { _, _ = io.Copy(io.Discard, answers) }() // until the session ends: nothing that it says blocks it
}

// Await asks, for a minute at most, until the statement prints what is wanted: a
// server has no way to tell when it has come so far.
func (p *Postgres) Await(t testing.TB, statement, want string) {
	t.Helper()
	p.await(t, time.Minute, statement, want)
}

// AwaitLong is Await for five minutes.
func (p *Postgres) AwaitLong(t testing.TB, statement, want string) {
	t.Helper()
	p.await(t, 5*time.Minute, statement, want)
}

func (p *Postgres) await(t testing.TB, patience time.Duration, statement, want string) {
	t.Helper()
	await(t, patience, func() error {
		got, err := p.Ask(statement)
		if err == nil && got != want {
			err = notYetError(statement + " is " + got + ", not " + want)
		}
		return err
	})
}

type notYetError string

// Error implements error.
func (e notYetError) Error() string { return string(e) }

// await asks until it is so.
func await(t testing.TB, patience time.Duration, ask func() error) {
	t.Helper()
	limit := time.After(patience)
	for {
		err := ask()
		if err == nil {
			return
		}
		select {
		case <-limit:
			t.Fatalf("after %s: %v", patience, err)
		case <-time.After(30 * time.Millisecond):
		}
	}
}

// StartRedis starts a private Redis with the arguments, reached by the port that
// it returns.
func StartRedis(t testing.TB, port int, args ...string) {
	t.Helper()
	Need(t, "redis-server", "redis-cli")
	folder, err := os.MkdirTemp("/tmp", "sl-redis") //nolint:usetesting // as for PostgreSQL
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	text := strconv.Itoa(port)
	server := exec.Command("redis-server", slices.Concat([]string{"--port", text, "--bind", "127.0.0.1", "--dir", folder, "--save", ""}, args)...)
	server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = server.Process.Kill(), server.Wait() })
	await(t, time.Minute, func() error { return exec.Command("redis-cli", "-e", "-p", text, "PING").Run() })
}
