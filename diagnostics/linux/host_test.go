package linux

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
)

// These tests read this machine and compare with what another way says.

func run(t *testing.T, argv ...string) string {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v: %s", argv, err, out)
	}
	return string(out)
}

// mountExt4 mounts a small ext4 with the number of inodes; it is gone after the
// test, at the latest when a probe of another test has let go of it (-l).
func mountExt4(t *testing.T, megabytes, inodes int) string {
	t.Helper()
	_, err := exec.LookPath("mkfs.ext4")
	requireReal(t, os.Getuid() == 0 && err == nil, "root with mkfs.ext4")
	image, point := filepath.Join(t.TempDir(), "image"), filepath.Join(t.TempDir(), "my mount")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, int64(megabytes)<<20); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(point, 0o755); err != nil {
		t.Fatal(err)
	}
	run(t, "mkfs.ext4", "-q", "-F", "-N", strconv.Itoa(inodes), image)
	if out, err := exec.Command("mount", "-o", "loop", image, point).CombinedOutput(); err != nil {
		requireReal(t, false, "a loop device ("+strings.TrimSpace(string(out))+")")
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", point).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	return point
}

func write(t *testing.T, path string, size int) {
	t.Helper()
	if err := os.WriteFile(path, bytes.Repeat([]byte("x"), size), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestDiskProbesAgreeWithDF(t *testing.T) {
	t.Parallel()
	point := mountExt4(t, 16, 64)
	dir := filepath.Join(point, "app")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "app.log"), 3<<20)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	run(t, "sync", "-f", point)
	usage, status := readHere(t, "disk.usage", diagnostics.Args{"mount": link})
	if status != diagnostics.OK || usage["mount"] != point || usage["read_only"] != false {
		t.Fatalf("%s %v", status, usage)
	}
	df := strings.Fields(strings.Split(run(t, "df", "-B1", "--output=size,used,avail,itotal,iavail", point), "\n")[1])
	for i, name := range []string{"size", "used", "available", "inodes", "inodes_free"} {
		if got := fmt.Sprint(usage[name]); got != df[i] {
			t.Errorf("%s is %s, df says %s", name, got, df[i])
		}
	}
	all, status := readHere(t, "disk.filesystems", nil)
	at := slices.IndexFunc(all["filesystems"].([]any), func(f any) bool { return f.(map[string]any)["mount"] == point })
	if !status.Tells() && status != diagnostics.Truncated || at < 0 {
		t.Fatalf("disk.filesystems: %s, the mount at %d", status, at)
	}
	if one := all["filesystems"].([]any)[at].(map[string]any); fmt.Sprint(one) != fmt.Sprint(map[string]any(usage)) {
		t.Errorf("disk.filesystems says %v, disk.usage %v", one, usage)
	}
	run(t, "mount", "-o", "remount,ro", point)
	if usage, _ := readHere(t, "disk.usage", diagnostics.Args{"mount": point}); usage["read_only"] != true {
		t.Error("remounted read-only is not seen")
	}
	if _, status := readHere(t, "disk.usage", diagnostics.Args{"mount": filepath.Join(point, "nowhere")}); status != diagnostics.Absent {
		t.Errorf("a path that is not there: %s", status)
	}
}

func TestInodesAreCountedWhereTheyAre(t *testing.T) {
	t.Parallel()
	point := mountExt4(t, 8, 64)
	dir := filepath.Join(point, "se\nss")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	files := 0
	for ; ; files++ {
		if err := os.WriteFile(filepath.Join(dir, strconv.Itoa(files)), nil, 0o600); err != nil {
			break
		}
	}
	usage, _ := readHere(t, "disk.usage", diagnostics.Args{"mount": point})
	if usage["inodes"] != int64(64) || usage["inodes_free"] != int64(0) || usage["inodes_used_percent"] != 100.0 {
		t.Errorf("%v", usage)
	}
	dirs, status := readHere(t, "disk.inode_dirs", diagnostics.Args{"mount": point})
	top := dirs["dirs"].([]any)[0].(map[string]any)
	if status != diagnostics.OK || top["path"] != dir || top["entries"] != int64(files) {
		t.Errorf("%s %v, want %d in %q", status, top, files, dir)
	}
}

// TestADeletedOpenFileIsFound runs alone: what another test forks holds the same
// files open until its exec, and would be found as well.
func TestADeletedOpenFileIsFound(t *testing.T) {
	point := mountExt4(t, 16, 64)
	path := filepath.Join(point, "gone (deleted) really.log")
	write(t, path, 2<<20)
	appending, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer appending.Close()
	plain, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	kept := filepath.Join(point, "kept (deleted)")
	write(t, kept, 4096)
	open, err := os.Open(kept)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	run(t, "sync", "-f", point)

	before, _ := readHere(t, "disk.growers", diagnostics.Args{"mount": point})
	first := before["files"].([]any)[0].(map[string]any)
	if first["path"] != path || first["open_for_write"] != true || first["log"] != true || first["size"] != int64(2<<20) {
		t.Errorf("growers: %v", first)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	value, status := readHere(t, "disk.deleted_open", diagnostics.Args{"mount": point})
	if status != diagnostics.OK || value["bytes"] != int64(2<<20) {
		t.Fatalf("%s %v", status, value)
	}
	appends := map[int64]bool{}
	for _, f := range value["files"].([]any) {
		m := f.(map[string]any)
		if m["pid"] != int64(os.Getpid()) || m["path"] != path || m["size"] != int64(2<<20) || !strings.HasPrefix(os.Args[0], "/") || m["comm"] == "" {
			t.Errorf("%v", m)
		}
		appends[m["fd"].(int64)] = m["append"].(bool)
	}
	if len(appends) != 2 || !appends[int64(appending.Fd())] || appends[int64(plain.Fd())] {
		t.Errorf("append by descriptor: %v", appends)
	}
	if elsewhere, _ := readHere(t, "disk.deleted_open", diagnostics.Args{"mount": "/proc"}); len(elsewhere["files"].([]any)) != 0 {
		t.Errorf("on another file system: %v", elsewhere)
	}
}

func TestAFileThatVanishesIsNoComplaint(t *testing.T) {
	t.Parallel()
	for start, want := range map[string]string{
		filepath.Join(t.TempDir(), "gone"): "end 1 0\n", "/dev/null/x": "end 1 1\n", os.DevNull: os.DevNull + "\x00end 0 0\n",
	} {
		res, err := here().Run(t.Context(), findCommand(boundedFind, start, "-printf", `%p\0`))
		if err != nil || string(res.Stdout) != want {
			t.Errorf("%s: %q, want %q (%v)", start, res.Stdout, want, err)
		}
	}
}

func TestDirUsageAgreesWithDU(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a"), 100_000)
	if err := os.Link(filepath.Join(dir, "a"), filepath.Join(dir, "b")); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "c", "d\ne"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "c", "d\ne", "f"), 5000)
	newest := time.Now().Add(-time.Hour).Truncate(time.Second)
	for _, name := range []string{"a", "c/d\ne/f"} {
		if err := os.Chtimes(filepath.Join(dir, name), newest, newest); err != nil {
			t.Fatal(err)
		}
	}
	run(t, "sync", "-f", dir)
	value, status := readHere(t, "dir.usage", diagnostics.Args{"path": dir})
	du := strings.Fields(run(t, "du", "-x", "-s", "-B1", dir))[0]
	if status != diagnostics.OK || fmt.Sprint(value["bytes"]) != du || value["files"] != int64(2) || value["complete"] != true {
		t.Errorf("%s %v, du says %s", status, value, du)
	}
	if at, ok := value["newest_at"].(time.Time); !ok || !at.Equal(newest) {
		t.Errorf("newest %v, want %v", value["newest_at"], newest)
	}
	if value, _ := readHere(t, "dir.usage", diagnostics.Args{"path": filepath.Join(dir, "x")}); value["exists"] != false {
		t.Errorf("%v", value)
	}
}

func TestFileProbesFollowOnlyWhereTheyMay(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var long strings.Builder
	for i := range 20000 {
		fmt.Fprintf(&long, "line %d\n", i)
	}
	if err := os.WriteFile(filepath.Join(dir, "log"), []byte(long.String()+"last\xff"), 0o640); err != nil {
		t.Fatal(err)
	}
	value, status := readHere(t, "log.tail", diagnostics.Args{"path": filepath.Join(dir, "log")})
	lines := value["lines"].([]any)
	if status != diagnostics.OK || len(lines) != 50 || lines[49] != "last\uFFFD" || lines[0] != "line 19951" {
		t.Errorf("%s, %d lines: %v", status, len(lines), lines)
	}
	link := filepath.Join(dir, "link.log")
	if err := os.Symlink("/etc/shadow", link); err != nil {
		t.Fatal(err)
	}
	if raws, err := probeNamed(t, "log.tail").Read(t.Context(), here(), diagnostics.Args{"path": link}); !fault.Is(err, fault.Denied) || raws != nil {
		t.Errorf("through a link to /etc/shadow: %v", err)
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	h := here()
	raws, err := probeNamed(t, "log.tail").Read(t.Context(), h, diagnostics.Args{"path": pipe})
	if err != nil || slices.ContainsFunc(h.commands, func(c remote.Command) bool { return c.Argv[0] == "tail" }) {
		t.Errorf("a pipe was read: %v", err)
	}
	if _, status := checkParsed(t, probeNamed(t, "log.tail"), raws, diagnostics.Args{"path": pipe}); status != diagnostics.Failed {
		t.Errorf("a pipe: %s", status)
	}
	if value, status := readHere(t, "file.stat", diagnostics.Args{"path": filepath.Join(dir, "log")}); status != diagnostics.OK ||
		value["mode"] != "0640" || value["exists"] != true || value["uid"] != int64(os.Getuid()) {
		t.Errorf("%s %v", status, value)
	}
	if value, _ := readHere(t, "file.stat", diagnostics.Args{"path": filepath.Join(dir, "none")}); value["exists"] != false {
		t.Errorf("%v", value)
	}
}

func TestProcessesOfThisMachine(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("sleep", "3600.25")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	pidFile := filepath.Join(t.TempDir(), "x.pid")
	if err := os.WriteFile(pidFile, []byte(strconv.Itoa(pid)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := diagnostics.Args{"pid_file": pidFile, "match": `["sleep","3600.25"]`}
	value, status := readHere(t, "process.match", args)
	if status != diagnostics.OK || value["running"] != true || value["stale_pid_file"] != false || fmt.Sprint(value["pids"]) != fmt.Sprintf("[%d]", pid) {
		t.Errorf("%s %v", status, value)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	waitUntilZombie(t, pid) // killed and not waited for
	value, status = readHere(t, "process.match", args)
	if status != diagnostics.OK || value["running"] != false || value["stale_pid_file"] != true {
		t.Errorf("a zombie runs: %s %v", status, value)
	}
	top, status := readHere(t, "process.top", nil)
	if n, ok := top["zombies"].(int64); status != diagnostics.OK || !ok || n < 1 {
		t.Errorf("%s, %v zombies", status, top["zombies"])
	}
	_ = cmd.Wait()
}

func TestALivingProcessIsNeverCalledGone(t *testing.T) {
	t.Parallel()
	script := filepath.Join(t.TempDir(), "worker")
	// A child forked meanwhile would hold the file open for writing until its own
	// exec, and ours would fail with ETXTBSY (https://go.dev/issue/22315).
	syscall.ForkLock.RLock()
	err := os.WriteFile(script, []byte("#!/bin/sh -e\necho ready\nread forever\n"), 0o700)
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(script, "serve")
	if _, err := cmd.StdinPipe(); err != nil { // never written to: it waits
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = errors.Join(cmd.Process.Kill(), cmd.Wait()) })
	if _, err := out.Read(make([]byte, 16)); err != nil { // the script runs, so the kernel has replaced the arguments
		t.Fatal(err)
	}
	pidFile := filepath.Join(t.TempDir(), "x.pid")
	if err := os.WriteFile(pidFile, []byte(strconv.Itoa(cmd.Process.Pid)), 0o600); err != nil {
		t.Fatal(err)
	}
	value, status := readHere(t, "process.match", diagnostics.Args{"pid_file": pidFile, "match": `["` + script + `","serve"]`})
	if status != diagnostics.OK || value["running"] != true || value["stale_pid_file"] != false || value["pid_file_alive"] != true {
		t.Errorf("a script that its first line starts: %s %v", status, value)
	}
	value, status = readHere(t, "process.match", diagnostics.Args{"pid_file": pidFile, "match": `["/opt/renamed"]`})
	why, _ := value["running"].(expr.Unknown)
	if _, unknown := value["stale_pid_file"].(expr.Unknown); status != diagnostics.OK || !unknown || value["pid_file_alive"] != true {
		t.Errorf("%s %v", status, value)
	}
	for _, part := range []string{script, "/opt/renamed", strconv.Itoa(cmd.Process.Pid)} {
		if !strings.Contains(why.Why, part) {
			t.Errorf("%q does not say %s", why.Why, part)
		}
	}
}

// waitUntilZombie waits for the end of a child without reaping it.
func waitUntilZombie(t *testing.T, pid int) {
	t.Helper()
	const pPID, wExited, wNowait = 1, 4, 0x01000000 // linux/wait.h
	var info [128]byte
	_, _, errno := syscall.Syscall6(syscall.SYS_WAITID, pPID, uintptr(pid), uintptr(unsafe.Pointer(&info)), wExited|wNowait, 0, 0)
	if errno != 0 {
		t.Fatal(errno)
	}
}

func TestTheSpinningProcessIsOnTop(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("sh", "-c", "while :; do :; done")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	value, status := readHere(t, "process.top", nil)
	if status != diagnostics.OK {
		t.Fatal(status)
	}
	for _, p := range value["processes"].([]any) {
		m := p.(map[string]any)
		if m["pid"] == int64(cmd.Process.Pid) {
			if m["user_seconds"].(float64) <= 0 || m["user_seconds"].(float64) > 1.5 || m["ppid"] != int64(os.Getpid()) || m["command"] != "sh -c while :; do :; done" {
				t.Errorf("%v", m)
			}
			return
		}
	}
	t.Errorf("%v", value["processes"])
}

func TestListenersOfThisMachine(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := int64(l.Addr().(*net.TCPAddr).Port)
	check := func(value diagnostics.Value, status diagnostics.Status, pid int64) {
		t.Helper()
		found := false
		for _, e := range value["listeners"].([]any) {
			m := e.(map[string]any)
			if m["port"] == port && m["address"] == "127.0.0.1" && m["proto"] == "tcp" && m["pid"] == pid {
				found = true
			}
		}
		if status != diagnostics.OK || !found {
			t.Errorf("%s: port %d of %d is not in %v", status, port, pid, value)
		}
	}
	value, status := readHere(t, "net.listeners", nil)
	check(value, status, int64(os.Getpid()))

	raws := []diagnostics.Raw{{Name: rawSockets, Status: diagnostics.Absent}}
	rec := diagnostics.Record(here(), time.Now)
	for _, f := range procNet() {
		raws = append(raws, rec.File(t.Context(), f.file, "/proc/net/"+f.file, maxProcNetBytes))
	}
	value, status = checkParsed(t, probeNamed(t, "net.listeners"), raws, nil)
	check(value, status, 0)
}

func TestLoadOfThisMachine(t *testing.T) {
	t.Parallel()
	value, status := readHere(t, "host.load", nil)
	cpus, _ := strconv.ParseInt(strings.TrimSpace(run(t, "nproc", "--all")), 10, 64)
	var info syscall.Sysinfo_t
	if err := syscall.Sysinfo(&info); err != nil {
		t.Fatal(err)
	}
	if status != diagnostics.OK || value["cpus"].(int64) > cpus || value["cpus"].(int64) < 1 ||
		value["mem_total"] != int64(info.Totalram)*int64(info.Unit) || value["uptime_seconds"].(int64) > info.Uptime+1 {
		t.Errorf("%s %v; %d processors, %+v", status, value, cpus, info)
	}
}

func TestHTTPFromThisMachine(t *testing.T) {
	t.Parallel()
	_, err := exec.LookPath("curl")
	requireReal(t, err == nil, "curl")
	asked := make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.RequestURI
		if r.URL.Path == "/moved" {
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
			return
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer server.Close()
	value, status := readHere(t, "http.get", diagnostics.Args{"url": server.URL + "/a?b=[1-3]'$(x)"})
	if status != diagnostics.OK || value["status"] != int64(503) || value["reachable"] != true {
		t.Errorf("%s %v", status, value)
	}
	value, _ = readHere(t, "http.get", diagnostics.Args{"url": server.URL + "/moved"})
	if value["status"] != int64(302) || len(asked) != 2 {
		t.Errorf("%v, asked %d times", value, len(asked))
	}
	server.Close()
	value, status = readHere(t, "http.get", diagnostics.Args{"url": server.URL})
	if status != diagnostics.OK || value["reachable"] != false || value["error"] == "" {
		t.Errorf("%s %v", status, value)
	}
}
