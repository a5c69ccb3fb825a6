package sysctl_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/actions/internal/actiontest"
	"github.com/secondline-ops/secondline/runbooks/actions/sysctl"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// ports and buffers are keys that every network namespace has for itself.
const (
	ports   = "net.ipv4.ip_local_port_range"
	buffers = "net.ipv4.tcp_rmem"
	inFile  = "/90-secondline-" + ports + ".conf"
	helped  = "!flag.exists"
	failed  = "flag.exists"
)

// kernel is this machine's, with a network namespace, an /etc/sysctl.d and an
// /etc/sysctl.conf of its own.
type kernel struct {
	remote.Runner
	t     *testing.T
	dir   string // is /etc/sysctl.d there
	kept  string
	enter []string
}

func newKernel(t *testing.T) *kernel {
	t.Helper()
	root := t.TempDir()
	k := &kernel{Runner: actiontest.Local().Runner, t: t, dir: filepath.Join(root, "sysctl.d"), kept: filepath.Join(root, "lib")}
	net := filepath.Join(root, "net")
	if err := errors.Join(os.Mkdir(k.dir, 0o755), os.Mkdir(k.kept, 0o755), os.WriteFile(net, nil, 0o600), os.WriteFile(filepath.Join(root, "sysctl.conf"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("unshare", "--net="+net, "true").CombinedOutput(); err != nil {
		if os.Getenv("SECONDLINE_REQUIRE_REAL") == "1" {
			t.Fatalf("no namespaces here: %s", out)
		}
		t.Skipf("no namespaces here: %s", out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", net).CombinedOutput(); err != nil {
			t.Errorf("%s", out)
		}
	})
	k.enter = []string{
		"nsenter", "--net=" + net, "--", "unshare", "--mount", "--", "sh", "-c",
		`mount --bind "$1/sysctl.d" /etc/sysctl.d; mount --bind "$1/lib" /var/lib; mount --bind "$1/sysctl.conf" /etc/sysctl.conf; shift; exec "$@"`, "sh", root,
	}
	return k
}

func (k *kernel) Run(ctx context.Context, cmd remote.Command) (remote.Result, error) {
	cmd.Argv = append(slices.Clone(k.enter), cmd.Argv...)
	return k.Runner.Run(ctx, cmd)
}

// value is what the kernel shows, with the line feed.
func (k *kernel) value(key string) string {
	k.t.Helper()
	return k.sh(`cat "/proc/sys/$1"`, strings.ReplaceAll(key, ".", "/"))
}

func (k *kernel) set(key, value string) {
	k.t.Helper()
	k.sh(`printf '%s\n' "$2" >"/proc/sys/$1"`, strings.ReplaceAll(key, ".", "/"), value)
}

func (k *kernel) sh(script string, args ...string) string {
	k.t.Helper()
	argv := append(append(slices.Clone(k.enter), "sh", "-c", script, "sh"), args...)
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		k.t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return string(out)
}

// file is what a file of /etc/sysctl.d holds, "" when it is not there.
func (k *kernel) file(name string) string {
	k.t.Helper()
	text, err := os.ReadFile(filepath.Join(k.dir, name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		k.t.Fatal(err)
	}
	return string(text)
}

func (k *kernel) write(name, text string) {
	k.t.Helper()
	if err := os.WriteFile(filepath.Join(k.dir, name), []byte(text), 0o600); err != nil {
		k.t.Fatal(err)
	}
}

func (k *kernel) story(part, that string) *actiontest.Story {
	k.t.Helper()
	spec := "  inputs:\n    value: {type: string}\n  probes:\n    flag: {probe: file.text, with: {path: /nonexistent}}\n  steps:\n    - id: act\n      sysctl: " + part +
		"\n      verify: {within: 200ms, that: '" + that + "'}\n"
	return actiontest.New(k.t, sysctl.Action{}, &actiontest.Host{Runner: k}, spec, map[string]string{"value": "2000 3000"})
}

const portsPart = `{key: ` + ports + `, value: "${inputs.value}", persist: true}`

func TestAValueIsSetAndNotTwice(t *testing.T) {
	t.Parallel()
	k := newKernel(t)
	s := k.story(`{key: `+buffers+`, value: "4096  131072 6291456"}`, helped)
	p := s.Plan()
	if !strings.Contains(p.Steps[0].Diff, "+4096 131072 6291456\n") || p.Steps[0].Noop {
		t.Errorf("plan %+v", p.Steps[0])
	}
	s.Want(s.RunPlan(p), runbooks.RunVerified, "")
	if got := k.value(buffers); got != "4096\t131072\t6291456\n" {
		t.Errorf("got %q", got)
	}
	again := k.story(`{key: `+buffers+`, value: "4096 131072   6291456"}`, helped)
	if p := again.Plan(); !p.Steps[0].Noop || p.Steps[0].Diff != "" {
		t.Errorf("the second time: %+v", p.Steps[0])
	}
	again.Want(again.Run(), runbooks.RunVerified, "")
	if n := len(again.Host.Writes()); n != 0 || k.file(inFile) != "" {
		t.Errorf("the second time: %d writes", n)
	}
}

func TestAValueIsKeptOverABoot(t *testing.T) {
	t.Parallel()
	k := newKernel(t)
	s := k.story(portsPart, helped)
	s.Want(s.Run(), runbooks.RunVerified, "")
	if got := k.file(inFile); k.value(ports) != "2000\t3000\n" || !strings.HasSuffix(got, "\n"+ports+" = 2000 3000\n") {
		t.Errorf("value %q, file %q", k.value(ports), got)
	}
	k.set(ports, "4000 5000")
	k.sh("sysctl --system") // what happens at a boot
	if got := k.value(ports); got != "2000\t3000\n" {
		t.Errorf("after a boot: %q", got)
	}
	again := k.story(portsPart, helped)
	again.Want(again.Run(), runbooks.RunVerified, "")
	if n := len(again.Host.Writes()); n != 0 {
		t.Errorf("the second time: %d writes", n)
	}
	if err := os.Remove(filepath.Join(k.dir, inFile)); err != nil { // half of it holds
		t.Fatal(err)
	}
	half := k.story(portsPart, helped)
	if p := half.Plan(); p.Steps[0].Noop || strings.Contains(p.Steps[0].Diff, "--- "+ports+"\n") {
		t.Errorf("half: %+v", p.Steps[0])
	}
	half.Want(half.Run(), runbooks.RunVerified, "")
	if n := len(half.Host.Writes()); n != 1 {
		t.Errorf("half: %d writes", n)
	}
}

func TestWhatWasThereBeforeIsPutBackToTheLetter(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]string{"no file": "", "a file": "# Written by secondline for one key; a runbook may rewrite it.\n" + ports + " = 7 8\n# and \ta note"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newKernel(t)
			if before != "" {
				k.write(inFile, before)
			}
			was := k.value(ports)
			s := k.story(portsPart, failed)
			s.Want(s.Run(), runbooks.RunUndone, "")
			if k.value(ports) != was || k.file(inFile) != before {
				t.Errorf("value %q, was %q; file %q, was %q", k.value(ports), was, k.file(inFile), before)
			}
			left, err := filepath.Glob(k.dir + "/*")
			aside, err2 := filepath.Glob(k.kept + "/secondline-backups/*/undone")
			if err := errors.Join(err, err2); err != nil || len(left)+len(aside) != 1 || (len(left) == 1) != (before != "") {
				t.Errorf("left %q, put aside %q, %v", left, aside, err)
			}
		})
	}
}

func TestAnUndoLeavesTheChangeOfAnotherAlone(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(k *kernel){
		"value": func(k *kernel) { k.set(ports, "5000 6000") },
		"file":  func(k *kernel) { k.write(inFile, "# mine\n") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newKernel(t)
			s := k.story(portsPart, failed)
			var value, text string
			s.Deps.OnEvent = func(e engine.Event) {
				if e.Status == runbooks.StepUndoing {
					change(k)
					value, text = k.value(ports), k.file(inFile)
				}
			}
			s.Want(s.Run(), runbooks.RunRefuted, "left as it is")
			if k.value(ports) != value || k.file(inFile) != text {
				t.Errorf("value %q, file %q", k.value(ports), k.file(inFile))
			}
		})
	}
}

func TestAChangedWorldIsLeftAlone(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(k *kernel){
		"value": func(k *kernel) { k.set(ports, "5000 6000") },
		"file": func(k *kernel) {
			k.write(inFile, "# Written by secondline for one key; a runbook may rewrite it.\n# changed\n")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newKernel(t)
			s := k.story(portsPart, helped)
			s.Deps.OnEvent = func(e engine.Event) {
				if e.Status == runbooks.StepRunning {
					change(k)
				}
			}
			s.Want(s.Run(), runbooks.RunFailed, "changed since the plan")
			if n := len(s.Host.Writes()); n != 0 {
				t.Errorf("%d writes", n)
			}
			s = k.story(portsPart, helped)
			p := s.Plan()
			k.set(ports, "7000 8000")
			s.Want(s.RunPlan(p), runbooks.RunRefused, "")
		})
	}
}

func TestAFileThatIsReadLaterRefuses(t *testing.T) {
	t.Parallel()
	k := newKernel(t)
	plan := func() error { _, err := k.story(portsPart, helped).TryPlan(); return err }
	k.write("99-other.conf", "net.ipv4.ip_local_port_range = 1 2\n")
	if err := plan(); !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), "99-other.conf is read later") {
		t.Errorf("got %v", err)
	}
	k.write("99-other.conf", "net/ipv4/ip_local_port_range =2000\t3000\n")
	k.write("10-other.conf", "net.ipv4.ip_local_port_range = 1 2\n")
	if err := plan(); err != nil {
		t.Errorf("got %v", err)
	}
	for name, make := range map[string]func() error{
		"not written by a runbook": func() error { return os.WriteFile(filepath.Join(k.dir, inFile), []byte("# mine\n"), 0o600) },
		"not a regular file":       func() error { return os.Symlink("10-other.conf", filepath.Join(k.dir, inFile)) },
	} {
		if err := make(); err != nil {
			t.Fatal(err)
		}
		if err := plan(); !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want %q", err, name)
		}
		if err := os.Remove(filepath.Join(k.dir, inFile)); err != nil {
			t.Fatal(err)
		}
	}
	s := k.story(portsPart, helped)
	s.Deps.ManagedFiles = []string{"/etc/sysctl.d/*"}
	if _, err := s.TryPlan(); !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), "configuration management") {
		t.Errorf("got %v", err)
	}
}

func TestAValueThatTheKernelDoesNotTakeIsNotVerified(t *testing.T) {
	t.Parallel()
	k := newKernel(t)
	was := k.value(ports)
	s := k.story(`{key: `+ports+`, value: "9 1", persist: true}`, helped)
	res := s.Run()
	if res.Status == runbooks.RunVerified || k.value(ports) != was || k.file(inFile) != "" {
		t.Errorf("%s: %s; value %q, file %q", res.Status, res.Why, k.value(ports), k.file(inFile))
	}
}

func TestALostConnectionAndACrashAreResolvedByLooking(t *testing.T) {
	t.Parallel()
	k := newKernel(t)
	s := k.story(portsPart, helped)
	writes := 0
	s.Host.After = func(cmd remote.Command) error {
		if cmd.Effect == remote.Read {
			return nil
		}
		if writes++; writes < 2 {
			return nil
		}
		return &remote.Error{Class: remote.Lost} // behind the second deed
	}
	s.Want(s.Run(), runbooks.RunVerified, "")
	for dieAt := 1; dieAt <= 4; dieAt++ {
		k := newKernel(t)
		s := k.story(portsPart, helped)
		s.Want(s.Crash(dieAt), runbooks.RunVerified, "")
		if n := len(s.Host.Writes()); n != 2 || k.value(ports) != "2000\t3000\n" {
			t.Errorf("killed at %d: %d writes, value %q", dieAt, n, k.value(ports))
		}
	}
}

func TestDecodingSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for part, why := range map[string]string{
		"{key: vm.swappiness}": "value",
		"{value: 1}":           "key",
		"{key: kernel.core_pattern, value: '|/bin/sh'}":              "runs as root",
		"{key: kernel.sysrq, value: 1}":                              "not among",
		"{key: vm.overcommit_memory, value: 2}":                      "never set to 2",
		"{key: vm.swappiness, value: [1, 2]}":                        "one text",
		`{key: vm.swappiness, value: "1\n2"}`:                        "one line",
		"{key: vm.swappiness, value: 1, persist: maybe}":             "",
		"{key: vm.swappiness, value: 1, file: /etc/sysctl.d/x.conf}": "file",
		`{key: vm.swappiness, value: "${inputs.x}"}`:                 "unknown name",
	} {
		if _, err := actiontest.Parse(sysctl.Action{}, "  steps:\n    - id: act\n      sysctl: "+part+"\n"); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v, want %q", part, err, why)
		}
	}
	s := actiontest.New(t, sysctl.Action{}, actiontest.Local(), "  inputs:\n    key: {type: string}\n  steps:\n    - id: act\n      sysctl: {key: \"${inputs.key}\", value: 1}\n", nil)
	for _, key := range []string{"kernel.modprobe", "vm.$(id)", "net.//.kernel.modprobe", "vm.*", "vm.no_such_key"} {
		s.Binding.Given = map[string]string{"key": key}
		if _, err := s.TryPlan(); err == nil {
			t.Errorf("%s was planned", key)
		}
	}
}
