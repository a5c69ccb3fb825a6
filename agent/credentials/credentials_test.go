package credentials

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/internal/remote/remotetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func identity(t *testing.T, name string, now func() time.Time) (job.Identity, *ecdsa.PrivateKey) {
	t.Helper()
	ca, err := job.OpenCA(t.TempDir(), now)
	if err != nil {
		t.Fatal(err)
	}
	key, csr, err := job.NewRequest(name)
	if err != nil {
		t.Fatal(err)
	}
	cert, _, err := ca.IssueAgent(name, csr)
	if err != nil {
		t.Fatal(err)
	}
	return job.Identity{Name: name, CA: ca.Certificate(), Certificate: tls.Certificate{Certificate: [][]byte{cert}, PrivateKey: key}}, key
}

func TestAnIdentityIsKeptAndOnlyItsOwnerMayReadIt(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "state")
	id, key := identity(t, "web1", time.Now)
	if err := Save(dir, id, key); err != nil {
		t.Fatal(err)
	}
	got, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got.Name != "web1" || string(got.CA) != string(id.CA) || string(got.Certificate.Certificate[0]) != string(id.Certificate.Certificate[0]) || !key.Equal(got.Certificate.PrivateKey) {
		t.Errorf("it came back as another one: %s", got.Name)
	}
	next, nextKey := identity(t, "web1", time.Now)
	if err := Save(dir, next, nextKey); err != nil { // replaced, whole
		t.Fatal(err)
	}
	if got, err = Load(dir); err != nil || !nextKey.Equal(got.Certificate.PrivateKey) {
		t.Errorf("the new one was not kept: %v", err)
	}
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder has mode %v, %v", info.Mode(), err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 2 {
		t.Fatalf("left in the folder: %v, %v", files, err)
	}
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, %v", f.Name(), info.Mode(), err)
		}
	}
}

func TestLoadSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	_, err := Load(t.TempDir())
	e, ok := errors.AsType[*fault.Error](err)
	if !ok || e.Kind != fault.NotFound || !strings.Contains(e.Hint, "enroll") {
		t.Errorf("not enrolled: %v", err)
	}
	for name, spoil := range map[string]func(dir string) error{
		"a torn identity": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, identityFile), []byte("-----BEGIN"), 0o600)
		},
		"a torn authority":    func(dir string) error { return os.WriteFile(filepath.Join(dir, authority), nil, 0o600) },
		"a missing authority": func(dir string) error { return os.Remove(filepath.Join(dir, authority)) },
	} {
		dir := t.TempDir()
		id, key := identity(t, "web1", time.Now)
		if err := errors.Join(Save(dir, id, key), spoil(dir)); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(dir); err == nil || fault.Is(err, fault.NotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRenewalIsDueAtTwoThirdsOfTheLife(t *testing.T) {
	t.Parallel()
	made := time.Now()
	id, _ := identity(t, "web1", func() time.Time { return made })
	const day = 24 * time.Hour
	for age, want := range map[time.Duration]bool{0: false, 15 * day: false, 19 * day: false, 21 * day: true, 40 * day: true} {
		r := Renewer{Now: func() time.Time { return made.Add(age) }}
		if r.Due(id) != want {
			t.Errorf("after %s: %t", age, !want)
		}
	}
}

func keyring(t *testing.T, sshd *remotetest.SSHD) *Keyring {
	t.Helper()
	k, err := NewKeyring(Options{KnownHosts: sshd.Options.KnownHosts, Identities: sshd.Options.Identities, User: sshd.User, Logger: sshd.Options.Logger})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for range 2 {
			if err := k.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	return k
}

func over(sshd *remotetest.SSHD, id string) entity.Entity {
	return entity.Entity{ID: id, Kind: entity.Host, Via: "ssh", Address: sshd.Host, Port: sshd.Port}
}

func echo(t *testing.T, tr remote.Transport) {
	t.Helper()
	res, err := tr.Run(t.Context(), remote.Command{Argv: []string{"echo", "hi"}, Timeout: time.Minute, MaxOutputBytes: 100})
	if err != nil || string(res.Stdout) != "hi\n" {
		t.Errorf("got %q, %v", res.Stdout, err)
	}
}

func TestOneConnectionServesAllWhoWantTheServer(t *testing.T) {
	t.Parallel()
	sshd := remotetest.StartInProcess(t)
	k := keyring(t, sshd)
	var (
		mu   sync.Mutex
		seen = map[remote.Transport]bool{}
		wg   sync.WaitGroup
	)
	for i := range 20 {
		wg.Go(func() {
			e := over(sshd, "web1")
			e.Labels = map[string]string{"n": string(rune('a' + i))} // what does not matter for the way
			tr, err := k.Reach(t.Context(), job.Target{Entity: e})
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			seen[tr] = true
			mu.Unlock()
		})
	}
	wg.Wait()
	if len(seen) != 1 {
		t.Fatalf("%d transports", len(seen))
	}
	for tr := range seen {
		echo(t, tr)
		sshd.DropConnections()
		echo(t, tr) // a broken connection is dialled again
	}
}

// TestAServerThatDoesNotAnswerKeepsNobodyWaiting dials one that takes the
// connection and says nothing.
func TestAServerThatDoesNotAnswerKeepsNobodyWaiting(t *testing.T) {
	t.Parallel()
	sshd := remotetest.StartInProcess(t)
	k := keyring(t, sshd)
	mute, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	addr := mute.Addr().(*net.TCPAddr)
	dead := entity.Entity{ID: "dead", Kind: entity.Host, Via: "ssh", Address: "127.0.0.1", Port: addr.Port}
	patience, cancel := context.WithCancel(t.Context())
	given := make(chan error, 1)
	go func() {
		_, err := k.Reach(patience, job.Target{Entity: dead})
		given <- err
	}()
	conn, err := mute.Accept() // it is being dialled now
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	tr, err := k.Reach(t.Context(), job.Target{Entity: over(sshd, "web1")})
	if err != nil {
		t.Fatal(err)
	}
	echo(t, tr)
	select {
	case err := <-given:
		t.Fatalf("the dead one answered: %v", err)
	default:
	}
	cancel()
	if err := <-given; !fault.Is(err, fault.Transient) {
		t.Errorf("whose patience ended got %v", err)
	}
}

func TestAFailedDialIsTriedAgain(t *testing.T) {
	t.Parallel()
	sshd := remotetest.StartInProcess(t)
	k := keyring(t, sshd)
	gone, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := entity.Entity{ID: "gone", Kind: entity.Host, Via: "ssh", Address: "127.0.0.1", Port: gone.Addr().(*net.TCPAddr).Port}
	_ = gone.Close()
	for range 2 {
		if _, err := k.Reach(t.Context(), job.Target{Entity: e}); err == nil {
			t.Error("nobody listens there")
		}
	}
	if len(k.open) != 0 {
		t.Error("a dial that failed is kept")
	}
}

func TestClosingEndsAlsoTheJumps(t *testing.T) {
	t.Parallel()
	sshd := remotetest.StartInProcess(t)
	k := keyring(t, sshd)
	jump := over(sshd, "jump1")
	tr, err := k.Reach(t.Context(), job.Target{Entity: over(sshd, "web1"), Jump: &jump})
	if err != nil {
		t.Fatal(err)
	}
	echo(t, tr)
	if err := k.Close(); err != nil { // what it leaves open, goleak finds
		t.Error(err)
	}
	if _, err := k.Reach(t.Context(), job.Target{Entity: over(sshd, "web1")}); !fault.Is(err, fault.Conflict) {
		t.Errorf("after Close: %v", err)
	}
}

func TestThisMachineNeedsNoConnection(t *testing.T) {
	t.Parallel()
	k, err := NewKeyring(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	tr, err := k.Reach(t.Context(), job.Target{Entity: entity.Entity{ID: "web1"}})
	if err != nil {
		t.Fatal(err)
	}
	echo(t, tr)
}
