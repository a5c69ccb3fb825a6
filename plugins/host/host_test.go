package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/plugins"
	"github.com/secondline-ops/secondline/plugins/mock"
)

// TestMain lets the test binary be the plugin, too: "plugin serve mock KNOB...",
// and an agent that is to be killed: "agent DIR".
func TestMain(m *testing.M) {
	if len(os.Args) > 3 && os.Args[1] == "plugin" && os.Args[3] == "mock" {
		mock.Serve(os.Args[4:]...)
		return
	}
	if len(os.Args) == 3 && os.Args[1] == "agent" {
		agent(os.Args[2])
		return
	}
	goleak.VerifyTestMain(m)
}

// clock is the time of a Host under test.
type clock struct{ offset atomic.Int64 }

func (c *clock) now() time.Time       { return time.Now().Add(time.Duration(c.offset.Load())) }
func (c *clock) skip(d time.Duration) { c.offset.Add(int64(d)) }
func (c *clock) options(o Options) Options {
	o.Now = c.now
	return o
}

// files is a Runner that reads files of this machine and refuses the rest.
type files struct {
	remote.Runner // nil: a call that is not below panics
	started       chan struct{}
	block         <-chan struct{}
}

func (f files) Target() string { return "here" }

func (f files) ReadFile(ctx context.Context, path string, maxBytes int) (data []byte, truncated bool, err error) {
	if f.block != nil {
		f.started <- struct{}{}
		select {
		case <-f.block:
		case <-ctx.Done():
			return nil, false, ctx.Err()
		}
	}
	data, err = os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		err = &remote.Error{Class: remote.NotExist, Err: err}
	}
	return data[:min(len(data), maxBytes)], len(data) > maxBytes, err
}

func entry(t *testing.T, knobs ...mock.Knob) Entry {
	t.Helper()
	entries, err := Bundled("mock")
	if err != nil {
		t.Fatal(err)
	}
	entries[0].Allow = mock.Allow()
	for _, k := range knobs {
		entries[0].Args = append(entries[0].Args, string(k))
	}
	return entries[0]
}

// known is the plugin whose probes are known beforehand.
func known(t *testing.T) Entry {
	t.Helper()
	e := entry(t)
	_, probes := mock.Plugin()
	for _, p := range probes {
		e.Probes = append(e.Probes, p.Spec())
	}
	return e
}

func open(t *testing.T, o Options) *Host {
	t.Helper()
	o.Dir = socketDir(t)
	o.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	h, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		left, err := os.ReadDir(o.Dir)
		if err != nil || len(left) > 0 {
			t.Errorf("left in the socket folder: %v, %v", left, err)
		}
	})
	return h
}

// socketDir is not t.TempDir, whose names are too long for sockets.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sl")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func probes(t *testing.T, h *Host) []diagnostics.Probe {
	t.Helper()
	got, err := h.Probes(t.Context())
	if err != nil || len(got) != 1 {
		t.Fatalf("Probes: %d, %v; want 1", len(got), err)
	}
	return got
}

func textFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(path, []byte("one two\nthree\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// pidfd holds a process so that waiting for its end needs no polling.
func pidfd(t *testing.T, pid string) (wait func()) {
	t.Helper()
	n, err := strconv.Atoi(pid)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.PidfdOpen(n, 0)
	if err != nil {
		t.Fatalf("open process %d: %v", n, err)
	}
	return func() {
		t.Helper()
		defer unix.Close(fd)
		for {
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 120_000)
			if errors.Is(err, unix.EINTR) {
				continue
			}
			if err != nil || n != 1 {
				t.Errorf("process %s did not end: %v", pid, err)
			}
			return
		}
	}
}

func TestProbeOfPluginReadsThroughTheRunnerAndParses(t *testing.T) {
	t.Parallel()
	e := entry(t)
	h := open(t, Options{Entries: []Entry{e}})
	p := probes(t, h)[0]
	if got := p.Spec().Name; got != "mock.lines" {
		t.Errorf("name is %q", got)
	}
	if got := p.(interface{ PluginRef() string }).PluginRef(); got != "mock@"+e.SHA256 {
		t.Errorf("reference is %q", got)
	}
	args := diagnostics.Args{"path": textFile(t)}
	raws, err := p.Read(t.Context(), files{}, args)
	if err != nil || len(raws) != 1 {
		t.Fatalf("Read: %v, %v", raws, err)
	}
	sealed := raws[0]
	sealed.Seal()
	if raws[0].SHA256 != sealed.SHA256 || raws[0].Bytes != 14 || !bytes.Equal(raws[0].Data, []byte("one two\nthree\n")) {
		t.Errorf("raw is %+v", raws[0])
	}
	v, status, err := p.Parse(raws, args)
	if err != nil || status != diagnostics.OK {
		t.Fatalf("Parse: %s, %v", status, err)
	}
	if v["lines"] != int64(2) || fmt.Sprint(v["words"]) != "[one two]" || v["pid"] == int64(os.Getpid()) {
		t.Errorf("value is %v", v)
	}
	if at, ok := v["modified_at"].(time.Time); !ok || !at.Equal(raws[0].At.Truncate(time.Second)) {
		t.Errorf("time became %v", v["modified_at"])
	}

	raws, err = p.Read(t.Context(), files{}, diagnostics.Args{"path": "/no/such/file"})
	if err != nil || len(raws) != 1 || raws[0].Status != diagnostics.Absent {
		t.Errorf("a missing file reads as %v, %v", raws, err)
	}
}

func TestPluginProcessIsApartFromTheAgent(t *testing.T) {
	t.Setenv("SECONDLINE_TEST_SECRET", "hunter2")
	h := open(t, Options{Entries: []Entry{entry(t)}})
	probes(t, h)
	pid := h.Status()[0].PID
	env, err := os.ReadFile("/proc/" + pid + "/environ")
	if err != nil {
		t.Fatal(err)
	}
	for v := range strings.SplitSeq(strings.TrimRight(string(env), "\x00"), "\x00") {
		name, _, _ := strings.Cut(v, "=")
		if !strings.HasPrefix(name, "PLUGIN_") && name != "SECONDLINE_PLUGIN" {
			t.Errorf("the plugin sees %s", name)
		}
	}
	n, err := strconv.Atoi(pid)
	if err != nil {
		t.Fatal(err)
	}
	if group, err := unix.Getpgid(n); err != nil || group != n {
		t.Errorf("process group is %d, %v; want its own", group, err)
	}
	if info, err := os.Stat(h.dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("socket folder is %v, %v", info.Mode(), err)
	}
}

func TestMisbehavingPluginFailsItsOwnReadingOnly(t *testing.T) {
	t.Parallel()
	for knob, want := range map[mock.Knob]struct {
		kind  fault.Kind
		text  string
		dies  bool
		reads bool // what is wrong shows only when it parses
	}{
		mock.CrashRead:  {kind: fault.Unreachable, text: "died", dies: true},
		mock.Hang:       {kind: fault.Timeout, text: "ignored its deadline", dies: true},
		mock.Slow:       {kind: fault.Timeout, text: "deadline exceeded"},
		mock.Huge:       {kind: fault.TooLarge, text: "more than its limit"},
		mock.FloodHost:  {kind: fault.Internal, text: "more than 1000 calls in one read"},
		mock.PanicRead:  {kind: fault.Internal, text: "panicking, as asked"},
		mock.Garbage:    {kind: fault.Internal, text: "nonsense", reads: true},
		mock.PanicParse: {kind: fault.Internal, text: "panicking, as asked", reads: true},
	} {
		t.Run(string(knob), func(t *testing.T) {
			t.Parallel()
			var c clock
			o := Options{Entries: []Entry{entry(t)}}
			if want.kind == fault.Timeout {
				o.CallTimeout = 4 * time.Second
			}
			h := open(t, c.options(o))
			p := probes(t, h)[0]
			before := h.Status()[0].PID
			ended := pidfd(t, before)

			args := diagnostics.Args{"path": textFile(t), "knob": string(knob)}
			raws, err := p.Read(t.Context(), files{}, args)
			if err == nil != want.reads {
				t.Errorf("Read: %v", err)
			}
			if err == nil {
				var v diagnostics.Value
				var status diagnostics.Status
				if v, status, err = p.Parse(raws, args); v != nil || status.Tells() {
					t.Errorf("it told something: %v, %s", v, status)
				}
			}
			if !fault.Is(err, want.kind) || !strings.Contains(err.Error(), want.text) {
				t.Errorf("error is %q of kind %s", err, fault.KindOf(err))
			}
			if want.dies {
				ended()
				if _, err := p.Read(t.Context(), files{}, args); err == nil || !strings.Contains(err.Error(), "held back") {
					t.Errorf("started again without a pause: %v", err)
				}
				c.skip(firstBackoff)
			}

			args = diagnostics.Args{"path": textFile(t)}
			raws, err = p.Read(t.Context(), files{}, args)
			if err != nil || len(raws) != 1 || raws[0].Status != diagnostics.OK {
				t.Errorf("the next reading: %v, %v", raws, err)
			}
			if died := h.Status()[0].PID != before; died != want.dies {
				t.Errorf("process replaced: %t, want %t", died, want.dies)
			}
		})
	}
}

func TestRefusesPlugin(t *testing.T) {
	t.Parallel()
	open666 := filepath.Join(t.TempDir(), "plugin")
	if err := os.WriteFile(open666, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open666, 0o777); err != nil {
		t.Fatal(err)
	}
	sum, err := Checksum(open666)
	if err != nil {
		t.Fatal(err)
	}
	other := entry(t)
	other.SHA256 = strings.Repeat("0", 64)
	readsNothing, otherProbes := entry(t), known(t)
	readsNothing.Allow = plugins.Capabilities{plugins.CapabilityRead}
	otherProbes.Probes[0].Doc += " And more."
	for name, c := range map[string]struct {
		entry Entry
		kind  fault.Kind
		text  string
	}{
		"another file than configured": {other, fault.Denied, "sha256 differs"},
		"writable by anyone":           {Entry{Name: "mock", Path: open666, SHA256: sum, Allow: mock.Allow()}, fault.Denied, "anyone may write"},
		"not there":                    {Entry{Name: "mock", Path: "/no/such/plugin", SHA256: sum, Allow: mock.Allow()}, fault.NotFound, "no such file"},
		"nonsense declared":            {entry(t, mock.BadSpec), fault.Denied, "declared twice"},
		"a capability there is not":    {entry(t, mock.AsksWrite), fault.Denied, `capability "write" is none of`},
		"more than it may":             {readsNothing, fault.Denied, `asks for ["file:/**"], which is not allowed`},
		"other probes than known":      {otherProbes, fault.Denied, "other probes than it is known for"},
		"another name":                 {entry(t, mock.OtherName), fault.Denied, "somebody_else"},
		"exits early":                  {entry(t, mock.ExitEarly), fault.Unreachable, "start plugin mock"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := open(t, Options{Entries: []Entry{c.entry}})
			got, err := h.Probes(t.Context())
			if len(c.entry.Probes) > 0 && err == nil { // it is started only to read
				_, err = got[0].Read(t.Context(), files{}, diagnostics.Args{"path": "/etc/hostname"})
				got = nil
			}
			if !fault.Is(err, c.kind) || !strings.Contains(err.Error(), c.text) || len(got) > 0 {
				t.Errorf("got %v, %v (%s)", got, err, fault.KindOf(err))
			}
			if s := h.Status()[0]; s.Running || s.Failures != 1 {
				t.Errorf("status is %+v", s)
			}
		})
	}
}

func TestBadPluginDoesNotHideTheGoodOnes(t *testing.T) {
	t.Parallel()
	bad := entry(t)
	bad.Name = "bad"
	h := open(t, Options{Entries: []Entry{bad, entry(t)}})
	got, err := h.Probes(t.Context())
	if !fault.Is(err, fault.Denied) || len(got) != 1 || got[0].Spec().Name != "mock.lines" {
		t.Errorf("got %d probes, %v", len(got), err)
	}
}

// A plugin that floods its standard error costs a bounded piece of memory, and
// still answers.
func TestFloodOfStandardErrorIsBounded(t *testing.T) {
	t.Parallel()
	h := open(t, Options{Entries: []Entry{entry(t, mock.FloodStderr)}})
	h.opts.Logger = slog.New(slog.DiscardHandler)
	p := probes(t, h)[0]
	args := diagnostics.Args{"path": textFile(t)}
	for range 20 {
		raws, err := p.Read(t.Context(), files{}, args)
		if err != nil || len(raws) != 1 {
			t.Fatalf("%v, %v", raws, err)
		}
	}
	var words lastWords
	words.logger = h.opts.Logger
	for range 100 {
		_, _ = words.Write(make([]byte, 1<<16))
	}
	if len(words.tail) > maxLastWords {
		t.Errorf("%d bytes are kept", len(words.tail))
	}
}

func TestExitEarlyShowsTheLastWords(t *testing.T) {
	t.Parallel()
	h := open(t, Options{Entries: []Entry{entry(t, mock.ExitEarly)}})
	_, err := h.Probes(t.Context())
	f, ok := errors.AsType[*fault.Error](err)
	if !ok || !strings.Contains(f.Hint, "leaving early, as asked") {
		t.Errorf("hint is %+v", f)
	}
}

func TestRefusesBadOptions(t *testing.T) {
	t.Parallel()
	sum := strings.Repeat("ab", 32)
	for name, entries := range map[string][]Entry{
		"name":          {{Name: "../x", Path: "/x", SHA256: sum}},
		"twice":         {{Name: "x", Path: "/x", SHA256: sum}, {Name: "x", Path: "/y", SHA256: sum}},
		"relative path": {{Name: "x", Path: "x", SHA256: sum}},
		"no checksum":   {{Name: "x", Path: "/x"}},
		"md5":           {{Name: "x", Path: "/x", SHA256: sum[:32]}},
	} {
		if _, err := New(Options{Entries: entries}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	long := filepath.Join(t.TempDir(), strings.Repeat("x", 60))
	if err := os.Mkdir(long, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{Dir: long}); !fault.Is(err, fault.Invalid) {
		t.Errorf("a folder too long for sockets: %v", err)
	}
	if left, err := os.ReadDir(long); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestHostIsLentForTheTimeOfAReadOnly(t *testing.T) {
	t.Parallel()
	h := open(t, Options{Entries: []Entry{entry(t)}})
	p := probes(t, h)[0]
	args := diagnostics.Args{"path": textFile(t), "knob": string(mock.Late)}
	if _, err := p.Read(t.Context(), files{}, args); err != nil {
		t.Fatal(err)
	}
	args["knob"] = string(mock.LateOutcome)
	_, err := p.Read(t.Context(), files{}, args)
	if err == nil || !strings.Contains(err.Error(), "the read that this call belongs to has ended") {
		t.Errorf("a call after its read: %v", err)
	}
}

func TestEndOfAReadCancelsWhatItStartedOnTheTarget(t *testing.T) {
	t.Parallel()
	h := open(t, Options{Entries: []Entry{entry(t)}})
	p := probes(t, h)[0]
	never := make(chan struct{})
	runner := files{started: make(chan struct{}, 1), block: never}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := p.Read(ctx, runner, diagnostics.Args{"path": textFile(t)})
		done <- err
	}()
	<-runner.started
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
	if s := h.Status()[0]; !s.Running || s.Failures != 0 {
		t.Errorf("a cancelled caller was held against the plugin: %+v", s)
	}
}

func TestStopsIdlePluginsAndStartsThemAgain(t *testing.T) {
	t.Parallel()
	var c clock
	h := open(t, c.options(Options{Entries: []Entry{entry(t)}}))
	p := probes(t, h)[0]
	ended := pidfd(t, h.Status()[0].PID)
	c.skip(DefaultIdleStop - time.Minute)
	h.stopIdle()
	if !h.Status()[0].Running {
		t.Error("stopped a minute too early")
	}
	c.skip(time.Minute)
	h.stopIdle()
	ended()
	if raws, err := p.Read(t.Context(), files{}, diagnostics.Args{"path": textFile(t)}); err != nil || raws[0].Status != diagnostics.OK {
		t.Errorf("after the idle stop: %v, %v", raws, err)
	}
}

func TestKeepsToMaxRunning(t *testing.T) {
	t.Parallel()
	h := open(t, Options{Entries: []Entry{entry(t)}, MaxRunning: 1})
	p := probes(t, h)[0]
	ended := pidfd(t, h.Status()[0].PID)
	other := &slot{entry: Entry{Name: "other"}}

	release := make(chan struct{})
	runner := files{started: make(chan struct{}, 1), block: release}
	done := make(chan error, 1)
	go func() {
		_, err := p.Read(context.Background(), runner, diagnostics.Args{"path": textFile(t)})
		done <- err
	}()
	<-runner.started
	if err := h.makeRoom(other); !fault.Is(err, fault.Overloaded) {
		t.Errorf("room beside a busy plugin: %v", err)
	}
	close(release)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := h.makeRoom(other); err != nil {
		t.Errorf("no room though the other is idle: %v", err)
	}
	ended()
}

func TestProbeIsToldLessThanItGets(t *testing.T) {
	t.Parallel()
	for limit, want := range map[time.Duration]time.Duration{
		time.Minute: 54 * time.Second, 5 * time.Second: 4 * time.Second, time.Second: time.Second / 2,
	} {
		if got := probeTimeout(context.Background(), limit); got != want {
			t.Errorf("of %s: %s, want %s", limit, got, want)
		}
	}
}

func TestImpatientCallerIsNotHeldAgainstThePlugin(t *testing.T) {
	t.Parallel()
	h := open(t, Options{Entries: []Entry{entry(t)}})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Probes(ctx); err == nil {
		t.Error("started for a caller that had gone")
	}
	if s := h.Status()[0]; s.Failures != 0 {
		t.Errorf("status is %+v", s)
	}
	probes(t, h)
}

func TestBackoffDoublesUpToItsBound(t *testing.T) {
	t.Parallel()
	var s slot
	h := &Host{}
	now := time.Unix(0, 0)
	for i, want := range []float64{1, 2, 4, 8, 16, 32, 60, 60} {
		h.fail(&s, now)
		if got := s.notBefore.Sub(now); got.Seconds() != want {
			t.Errorf("failure %d: %s", i+1, got)
		}
	}
	s.failures = 1 << 40
	if h.fail(&s, now); s.notBefore.Sub(now) != maxBackoff {
		t.Errorf("after very many: %s", s.notBefore.Sub(now))
	}
}

func TestCloseEndsEverythingAndFailsTheCallsUnderWay(t *testing.T) {
	t.Parallel()
	h := open(t, Options{Entries: []Entry{entry(t)}})
	p := probes(t, h)[0]
	ended := pidfd(t, h.Status()[0].PID)
	runner := files{started: make(chan struct{}, 1), block: make(chan struct{})}
	done := make(chan error, 1)
	go func() {
		_, err := p.Read(context.Background(), runner, diagnostics.Args{"path": "/etc/hostname"})
		done <- err
	}()
	<-runner.started
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	ended()
	if err := <-done; err == nil {
		t.Error("a read was answered by a plugin that was killed")
	}
	if _, err := p.Read(t.Context(), files{}, nil); err == nil {
		t.Error("read after Close")
	}
}

func TestManyReadsShareOneProcess(t *testing.T) {
	t.Parallel()
	h := open(t, Options{Entries: []Entry{entry(t)}})
	p := probes(t, h)[0]
	pid := h.Status()[0].PID
	path := textFile(t)
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() {
			args := diagnostics.Args{"path": path}
			raws, err := p.Read(t.Context(), files{}, args)
			if err != nil {
				t.Error(err)
				return
			}
			if v, _, err := p.Parse(raws, args); err != nil || v["lines"] != int64(2) {
				t.Errorf("%v, %v", v, err)
			}
		})
	}
	wg.Wait()
	if now := h.Status()[0].PID; now != pid {
		t.Errorf("process %s became %s", pid, now)
	}
}
