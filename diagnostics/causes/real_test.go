package causes_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/diagnostics/linux"
	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/remote"
)

func recording() bool { return flag.Lookup("record").Value.String() == "true" }

func TestMain(m *testing.M) {
	flag.Bool("record", false, "injure small file systems for real and record the cases anew (needs root)")
	flag.Parse()
	os.Exit(m.Run())
}

// here is this machine as a remote.Runner, for recording and nothing else.
type here struct{}

func (here) Target() string { return "web1" }

func (here) Run(ctx context.Context, cmd remote.Command) (remote.Result, error) {
	c := exec.CommandContext(ctx, cmd.Argv[0], cmd.Argv[1:]...)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		return remote.Result{}, classify(err)
	}
	return remote.Result{Stdout: out.Bytes(), Stderr: errs.Bytes(), ExitCode: c.ProcessState.ExitCode()}, nil
}

func classify(err error) error {
	class := remote.BrokenServer
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, exec.ErrNotFound):
		class = remote.NotExist
	case errors.Is(err, fs.ErrPermission):
		class = remote.NotPermitted
	}
	return &remote.Error{Class: class, Err: err}
}

func (here) ReadFile(_ context.Context, path string, maxBytes int) ([]byte, bool, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, false, classify(err)
	}
	return data[:min(len(data), maxBytes)], len(data) > maxBytes, nil
}

func (here) Stat(_ context.Context, path string) (remote.FileInfo, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return remote.FileInfo{}, classify(err)
	}
	st, _ := info.Sys().(*syscall.Stat_t)
	return remote.FileInfo{
		Name: info.Name(), Size: info.Size(), Blocks: st.Blocks, Mode: info.Mode(), UID: st.Uid, GID: st.Gid,
		Dev: st.Dev, Inode: st.Ino, ModifiedAt: info.ModTime(),
	}, nil
}

func (here) Statfs(_ context.Context, path string) (remote.FSInfo, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(path, &st); err != nil {
		return remote.FSInfo{}, classify(err)
	}
	size := uint64(st.Bsize)
	return remote.FSInfo{
		Total: st.Blocks * size, Free: st.Bfree * size, Available: st.Bavail * size, Inodes: st.Files, InodesFree: st.Ffree,
	}, nil
}

func (here) ReadDir(context.Context, string, int) ([]remote.FileInfo, bool, error) {
	return nil, false, classify(errors.New("not needed for recording"))
}

const injuredMount = "/srv/data" // what the file system is called in the record

// TestDiskCausesOnRealFileSystems injures ext4 file systems of 64 MB, each in its
// own way, reads them with the built-in probes, and ranks. With -record, the
// facts become the recorded cases.
func TestDiskCausesOnRealFileSystems(t *testing.T) {
	needRoot(t)
	fill := func(path string, megabytes int) func(*testing.T, string) {
		return func(t *testing.T, mount string) {
			_ = write(t, filepath.Join(mount, path), megabytes).Close()
		}
	}
	for _, c := range []struct {
		file   string
		about  string
		alert  string
		want   wanted
		injure []func(t *testing.T, mount string)
	}{
		{
			"disk-full-logs/one-open-log.json", "one log, still open, fills the file system", "HostOutOfDiskSpace",
			wanted{Cause: "disk-full-logs", Object: map[string]string{"mount": injuredMount}, Band: diagnostics.Confirmed},
			[]func(*testing.T, string){fill("db/base", 5), holdOpen("log/orders.log", 50)},
		},
		{
			"disk-full-logs/rotated-logs.json", "rotated logs that nobody deletes fill the file system", "NodeFilesystemAlmostOutOfSpace",
			wanted{Cause: "disk-full-logs", Object: map[string]string{"mount": injuredMount}, Band: diagnostics.Confirmed},
			[]func(*testing.T, string){fill("log/orders.log.1", 18), fill("log/orders.log.2", 18), fill("log/orders.log.3", 18)},
		},
		{
			"disk-full-deleted-open/deleted-log.json", "the log was deleted, and its writer still has it open", "HostOutOfDiskSpace",
			wanted{Cause: "disk-full-deleted-open", Object: map[string]string{"mount": injuredMount, "file": injuredMount + "/log/orders.log"}, Band: diagnostics.Confirmed},
			[]func(*testing.T, string){holdOpen("log/orders.log", 54), remove("log/orders.log")},
		},
		{
			"inode-exhaustion/sessions.json", "thousands of empty session files", "HostOutOfInodes",
			wanted{Cause: "inode-exhaustion", Object: map[string]string{"mount": injuredMount}, Band: diagnostics.Confirmed},
			[]func(*testing.T, string){many("sessions", 3900)},
		},
		{
			"decoys/full-of-data.json", "full, but of the data of a database: no cause here", "HostOutOfDiskSpace",
			wanted{Unknown: true},
			[]func(*testing.T, string){fill("db/base", 54)},
		},
		{
			"decoys/healthy.json", "a healthy file system, and an alert that names it", "HostOutOfDiskSpace",
			wanted{Unknown: true},
			[]func(*testing.T, string){fill("log/orders.log", 10)},
		},
	} {
		t.Run(c.file, func(t *testing.T) {
			mount := smallFileSystem(t)
			for _, injure := range c.injure {
				injure(t, mount)
			}
			examine(t, c.file, mount, recorded{
				About: c.about, Made: "recorded from a real ext4 of 64 MB by TestDiskCausesOnRealFileSystems", Want: c.want,
				Subject: diagnostics.Subject{
					Entity: entity.Entity{ID: "web1", Kind: entity.Host}, Onset: time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC),
					Hints: map[string]string{"alertname": c.alert, "mount": injuredMount},
				},
			})
		})
	}
}

// needRoot skips, or fails where real parts are required, without the right to
// mount.
func needRoot(t *testing.T) {
	t.Helper()
	_, err := exec.LookPath("mkfs.ext4")
	if err == nil && os.Geteuid() == 0 {
		return
	}
	if os.Getenv("SECONDLINE_REQUIRE_REAL") == "1" {
		t.Fatalf("mounting a file system is not possible: %v, uid %d", err, os.Geteuid())
	}
	t.Skip("mounting a file system needs root and mkfs.ext4")
}

func smallFileSystem(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	image, mount := filepath.Join(dir, "image"), filepath.Join(dir, "mount")
	for _, argv := range [][]string{
		{"truncate", "-s", "64M", image},
		{"mkfs.ext4", "-q", "-m", "0", "-N", "4096", image},
		{"mkdir", mount},
		{"mount", "-o", "loop", image, mount},
	} {
		if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", argv[0], err, out)
		}
	}
	t.Cleanup(func() { // -l: a probe of another package's test may be looking at it
		if out, err := exec.Command("umount", "-l", mount).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	return mount
}

func write(t *testing.T, path string, megabytes int) *os.File {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err == nil {
		_, err = f.Write(make([]byte, megabytes<<20))
	}
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func holdOpen(path string, megabytes int) func(*testing.T, string) {
	return func(t *testing.T, mount string) {
		f := write(t, filepath.Join(mount, path), megabytes)
		t.Cleanup(func() { _ = f.Close() })
	}
}

func remove(path string) func(*testing.T, string) {
	return func(t *testing.T, mount string) {
		if err := os.Remove(filepath.Join(mount, path)); err != nil {
			t.Fatal(err)
		}
	}
}

func many(dir string, n int) func(*testing.T, string) {
	return func(t *testing.T, mount string) {
		for i := range n {
			_ = write(t, filepath.Join(mount, dir, fmt.Sprintf("sess_%d", i)), 0).Close()
		}
	}
}

// examine collects the facts about the one file system, and compares the ranking
// with the truth.
func examine(t *testing.T, file, mount string, c recorded) {
	t.Helper()
	mine := &diagnostics.Collector{Probes: onlyMount(t, mount), Now: func() time.Time { return c.Subject.Onset.Add(time.Minute) }}
	cat, _ := catalogue(t)
	asked := c.Subject // the alert names the file system as it is called here
	asked.Hints = map[string]string{"alertname": c.Subject.Hints["alertname"], "mount": mount}
	facts, err := mine.Collect(t.Context(), here{}, cat.All(), asked)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range facts {
		if strings.HasPrefix(f.Probe, "disk.") {
			f.Raws, f.Took = []diagnostics.Raw{}, 0
			c.Facts = append(c.Facts, f)
		}
	}
	data, err := json.MarshalIndent(c, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	// Nothing else of this machine may be in the record.
	text := strings.ReplaceAll(string(data), mount, injuredMount)
	c = recorded{}
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	check(t, cat, c)
	if recording() {
		save(t, filepath.Join("testdata", file), text+"\n")
	}
}

func save(t *testing.T, path, text string) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(path), 0o750)
	if err == nil {
		err = os.WriteFile(path, []byte(text), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// onlyMount is the built-in probes for disks, with a list of file systems that
// has only the one.
func onlyMount(t *testing.T, mount string) *diagnostics.ProbeSet {
	t.Helper()
	var probes []diagnostics.Probe
	for _, p := range linux.Probes(time.Now) {
		switch name := p.Spec().Name; {
		case name == "disk.filesystems":
			probes = append(probes, filtered{p, mount})
		case strings.HasPrefix(name, "disk."):
			probes = append(probes, p)
		}
	}
	set, err := diagnostics.NewProbeSet(probes)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

type filtered struct {
	diagnostics.Probe
	mount string
}

func (f filtered) Parse(raws []diagnostics.Raw, args diagnostics.Args) (diagnostics.Value, diagnostics.Status, error) {
	value, status, err := f.Probe.Parse(raws, args)
	kept := []any{}
	all, _ := value["filesystems"].([]any)
	for _, one := range all {
		if fields, ok := one.(map[string]any); ok && fields["mount"] == f.mount {
			kept = append(kept, one)
		}
	}
	return diagnostics.Value{"filesystems": kept}, status, err
}
