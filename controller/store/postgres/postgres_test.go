package postgres_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx", to make databases

	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/controller/store/postgres"
	"github.com/secondline-ops/secondline/controller/store/storetest"
	"github.com/secondline-ops/secondline/internal/fault"
)

func TestConforms(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	storetest.Exercise(t, func(t *testing.T) storetest.Place {
		dsn := server.database(t)
		return func(t *testing.T) store.Store { return open(t, dsn) }
	})
	t.Run("two controllers", func(t *testing.T) {
		t.Parallel()
		twoControllers(t, server.database(t))
	})
}

func open(t *testing.T, dsn string) store.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), dsn, postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// twoControllers start on an empty database at once, and then fight for jobs.
func twoControllers(t *testing.T, dsn string) {
	ctx := t.Context()
	stores := make([]store.Store, 2)
	opened := make(chan error, len(stores))
	for i := range stores {
		go func() {
			var err error
			stores[i], err = postgres.Open(ctx, dsn, postgres.Options{})
			opened <- err
		}()
	}
	for range stores {
		if err := <-opened; err != nil {
			t.Fatal(err)
		}
	}
	const jobs = 200
	for i := range jobs {
		for _, s := range stores { // both try to add the same work
			if err := s.Update(ctx, func(tx store.Tx) error {
				_, err := tx.Enqueue(ctx, store.Job{ID: fmt.Sprintf("j%d", i), Key: fmt.Sprintf("k%d", i), Queue: "q"})
				return err
			}); err != nil {
				t.Fatal(err)
			}
		}
	}
	got := make(chan []string, len(stores))
	for n, s := range stores {
		go func() {
			var mine []string
			for {
				list, err := s.ClaimJobs(ctx, "q", fmt.Sprint(n), time.Unix(1, 0), time.Unix(100, 0), 7)
				if err != nil {
					t.Errorf("ClaimJobs: %v", err)
				}
				if len(list) == 0 {
					got <- mine
					return
				}
				for _, j := range list {
					mine = append(mine, j.ID)
				}
			}
		}()
	}
	all := slices.Concat(<-got, <-got)
	slices.Sort(all)
	if len(all) != jobs || len(slices.Compact(all)) != jobs {
		t.Fatalf("%d jobs were given, want each of %d once", len(all), jobs)
	}
	for _, s := range stores {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestSaysWhatIsWrongWithTheAddress(t *testing.T) {
	t.Parallel()
	_, err := postgres.Open(t.Context(), "postgres://u:hunter2@[bad", postgres.Options{})
	if !fault.Is(err, fault.Invalid) || strings.Contains(fmt.Sprintf("%+v", err), "hunter2") {
		t.Fatalf("an unreadable address: %v", err)
	}
	_, err = postgres.Open(t.Context(), "host="+t.TempDir()+" user=u password=hunter2", postgres.Options{})
	if !fault.Is(err, fault.Unreachable) || strings.Contains(err.Error(), "hunter2") {
		t.Fatalf("nobody there: %v", err)
	}
}

// server is a PostgreSQL of this test: private data folder, unix socket only.
type server struct {
	socket    string
	databases atomic.Int64
}

func unavailable(t *testing.T, why string, args ...any) {
	t.Helper()
	if os.Getenv("SECONDLINE_REQUIRE_REAL") == "1" {
		t.Fatalf(why, args...)
	}
	t.Skipf("needs PostgreSQL: "+why, args...)
}

func startServer(t *testing.T) *server {
	t.Helper()
	bin := programs(t)
	// Not t.TempDir: the path of a unix socket holds 107 bytes (unix(7)), and
	// the server's user must be able to reach it.
	folder, err := os.MkdirTemp("", "slpg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(folder); err != nil {
			t.Error(err)
		}
	})
	credential := serverUser(t, folder)
	run := func(name string, args ...string) *exec.Cmd {
		cmd := exec.CommandContext(context.WithoutCancel(t.Context()), filepath.Join(bin, name), args...)
		cmd.Dir, cmd.Stdout, cmd.Stderr = folder, t.Output(), t.Output()
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
		return cmd
	}
	data := filepath.Join(folder, "data")
	initdb := run("initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N")
	initdb.Stdout = nil
	if err := initdb.Run(); err != nil {
		t.Fatalf("initdb: %v", err)
	}
	// fsync off: a killed server is not this suite's business, and it runs often.
	postmaster := run("postgres", "-D", data, "-k", folder, "-c", "listen_addresses=", "-c", "fsync=off",
		"-c", "max_connections=300", "-c", "autovacuum=off")
	if err := postmaster.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := postmaster.Process.Signal(syscall.SIGINT); err != nil { // fast shutdown
			t.Error(err)
		}
		if err := postmaster.Wait(); err != nil {
			t.Errorf("postgres: %v", err)
		}
	})
	s := &server{socket: folder}
	s.await(t)
	return s
}

// programs is the folder of initdb and postgres: that of the newest version
// where Debian puts it, else the one in the path.
func programs(t *testing.T) string {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) > 0 {
		return filepath.Dir(found[len(found)-1])
	}
	initdb, err := exec.LookPath("initdb")
	if err != nil {
		unavailable(t, "%v", err)
	}
	initdb, err = filepath.EvalSymlinks(initdb)
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Dir(initdb)
}

// await asks until the server answers; it has no way to tell when it does.
func (s *server) await(t *testing.T) {
	t.Helper()
	db := s.connect(t)
	defer func() { _ = db.Close() }()
	deadline, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	for {
		err := db.PingContext(deadline)
		if err == nil {
			return
		}
		select {
		case <-deadline.Done():
			t.Fatalf("postgres did not start within three minutes: %v", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (s *server) connect(t *testing.T) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", fmt.Sprintf("host=%s user=postgres database=postgres", s.socket))
	if err != nil {
		t.Fatal(err)
	}
	return db
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
		unavailable(t, "no user postgres: %v", err)
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

// database makes an empty database.
func (s *server) database(t *testing.T) string {
	t.Helper()
	db := s.connect(t)
	defer func() { _ = db.Close() }()
	name := fmt.Sprintf("store%d", s.databases.Add(1))
	if _, err := db.ExecContext(t.Context(), "CREATE DATABASE "+name+" TEMPLATE template0"); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("host=%s user=postgres database=%s", s.socket, name)
}
