package servers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestSweepRemovesWhatAKilledOwnerLeft runs this test binary once more as the
// owner of a lab and kills it, which runs no cleanup at all.
func TestSweepRemovesWhatAKilledOwnerLeft(t *testing.T) {
	needLab(t)
	if cache := os.Getenv(orphanCache); cache != "" {
		orphan(t, cache)
		return
	}
	mine := openLab(t) // builds the image, and must survive the sweep
	cache := filepath.Join(DefaultCache(), "sweep-"+strconv.Itoa(os.Getpid()))
	if err := os.Mkdir(cache, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if left, err := mountsBelow(cache); err != nil || len(left) > 0 {
			t.Errorf("%s stays: %v, %v", cache, left, err)
			return
		}
		_ = os.RemoveAll(cache)
	})
	owner, err := StartProcess(t.Context(), ProcessOptions{
		Name: "owner", Argv: []string{os.Args[0], "-test.run=^TestSweepRemovesWhatAKilledOwnerLeft$", "-test.v"},
		Env: []string{orphanCache + "=" + cache}, Log: filepath.Join(t.TempDir(), "owner.log"),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = owner.Kill() }()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var ready []string
	if err := Poll(ctx, "the owner's host", func() (bool, error) {
		ready, _ = filepath.Glob(filepath.Join(labsDir(cache), prefix+"*", "ready"))
		return len(ready) == 1, nil
	}); err != nil {
		log, _ := os.ReadFile(owner.Log)
		t.Fatalf("%v\n%s", err, log)
	}
	dir := filepath.Dir(ready[0])
	var pids []int
	entries, err := os.ReadDir(filepath.Join(dir, pidsDir))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}

	if err := Sweep(ctx, cache); err != nil {
		t.Fatal(err)
	}
	if len(pids) != 3 || !alive(pids[0]) || !alive(pids[1]) || !alive(pids[2]) {
		t.Fatalf("sweeping ended a lab whose owner lives, or not all of it was recorded: %v", pids)
	}
	if err := owner.Kill(); err != nil {
		t.Fatal(err)
	}
	if !alive(pids[0]) {
		t.Fatal("the owner took its lab with it, so that this test shows nothing")
	}
	if err := Sweep(ctx, cache); err != nil {
		t.Fatal(err)
	}
	nothingLeft(t, dir, pids)
	if _, err := os.Stat(mine.Dir); err != nil {
		t.Errorf("the sweep took a lab that lives: %v", err)
	}
}

// orphan makes a lab with a host, a disk and a process, says so, and waits to
// be killed.
func orphan(t *testing.T, cache string) {
	// The image comes from the real cache; only the lab's folder is elsewhere.
	image, err := buildImage(t.Context(), DefaultCache())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(image, filepath.Join(cache, filepath.Base(image))); err != nil {
		t.Fatal(err)
	}
	l, err := Open(t.Context(), cache)
	if err != nil {
		t.Fatal(err)
	}
	h, err := l.AddHost(t.Context(), HostOptions{Name: "orphan"})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.AddDisk(t.Context(), "/mnt", 16<<20); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Start(t.Context(), ProcessOptions{Name: "sleeper", Argv: []string{"sleep", "1000"}}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(l.Dir, "ready"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	<-t.Context().Done()
}

// TestRecordedProcessIsEndedOnlyIfItIsTheSame guards against numbers that were
// used again.
func TestRecordedProcessIsEndedOnlyIfItIsTheSame(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p, err := StartProcess(t.Context(), ProcessOptions{Name: "sleeper", Argv: []string{"sleep", "1000"}, Log: filepath.Join(dir, "log")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Kill() }()
	pids := filepath.Join(dir, pidsDir)
	if err := os.Mkdir(pids, 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(pids, strconv.Itoa(p.PID()))
	if err := os.WriteFile(file, []byte(strconv.Itoa(p.PID())+" 1\n"), 0o600); err != nil { // started at another time
		t.Fatal(err)
	}
	if err := killRecorded(t.Context(), pids); err != nil || syscall.Kill(p.PID(), 0) != nil || !alive(p.PID()) {
		t.Fatalf("a process of the same number and another start was ended (%v)", err)
	}
	if err := recordPID(pids, filepath.Base(file), p.PID()); err != nil {
		t.Fatal(err)
	}
	if err := killRecorded(t.Context(), pids); err != nil || alive(p.PID()) {
		t.Fatalf("the recorded process lives (%v)", err)
	}
	for _, text := range []string{"", "x 1", "1 5", "-7 5", "0 0"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := killRecorded(t.Context(), pids); err == nil {
			t.Errorf("%q was taken for a process", text)
		}
	}
}

// TestSweepWaitsForALabThatIsJustBeingMade: between the making of its folder and
// the note who owns it a lab looks like one that nobody owns.
func TestSweepWaitsForALabThatIsJustBeingMade(t *testing.T) {
	t.Parallel()
	cache := t.TempDir()
	labs := labsDir(cache)
	made, nobodys := filepath.Join(labs, prefix+"made"), filepath.Join(labs, prefix+"nobodys")
	for _, dir := range []string{made, nobodys} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	unlock, err := lockLabs(labs)
	if err != nil {
		t.Fatal(err)
	}
	swept := make(chan error, 1)
	go func() { swept <- Sweep(t.Context(), cache) }()
	info, err := os.Stat(labs)
	if err != nil {
		t.Fatal(err)
	}
	inode := fmt.Sprintf(":%d ", info.Sys().(*syscall.Stat_t).Ino)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := Poll(ctx, "the sweep at the lock", func() (bool, error) {
		if len(swept) > 0 {
			return false, errors.New("it did not wait")
		}
		locks, err := os.ReadFile("/proc/locks") // "->" marks one who waits, see proc_locks(5)
		for line := range strings.Lines(string(locks)) {
			if strings.Contains(line, "->") && strings.Contains(line, inode) {
				return true, nil
			}
		}
		return false, err
	}); err != nil {
		t.Fatal(err)
	}
	if err := recordPID(made, ownerFile, os.Getpid()); err != nil {
		t.Fatal(err)
	}
	unlock()
	if err := <-swept; err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(made); err != nil {
		t.Errorf("a lab with an owner was swept away: %v", err)
	}
	if _, err := os.Stat(nobodys); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder that nobody owns, made just now, stays: %v", err)
	}
}

// TestOnlyRootIsToldWhichLabsThereAre: to others the folder would look empty, and
// "no lab is up" would be a lie.
func TestOnlyRootIsToldWhichLabsThereAre(t *testing.T) {
	t.Parallel()
	const nobody = 65534
	got := make(chan error, 1)
	go func() {
		// Of this thread alone, which ends with this goroutine.
		runtime.LockOSThread()
		if os.Geteuid() == 0 {
			if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, nobody, nobody, nobody); errno != 0 {
				got <- nil
				return
			}
		}
		_, err := Kept("/no/such/cache")
		got <- err
	}()
	if err := <-got; err == nil || !strings.Contains(err.Error(), "root") {
		t.Errorf("got %v, want that it needs root", err)
	}
}
