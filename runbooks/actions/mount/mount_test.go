package mount_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/actions/internal/actiontest"
	"github.com/secondline-ops/secondline/runbooks/actions/mount"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// world is an island with a mount point and its own /etc/fstab.
type world struct {
	*island
	dir   string
	point string
}

// options are those of what is mounted at the point, "" when nothing is.
func (i *world) options() string {
	i.t.Helper()
	return strings.TrimSpace(i.sh(`findmnt -n -o OPTIONS --mountpoint "$1" || :`, i.point))
}

// fstab writes the table; POINT stands for the point, as fstab(5) wants it.
func (i *world) fstab(text string) {
	i.t.Helper()
	point := strings.NewReplacer(`\`, `\134`, " ", `\040`).Replace(i.point)
	if err := os.WriteFile(filepath.Join(i.dir, "fstab"), []byte(strings.ReplaceAll(text, "POINT", point)), 0o600); err != nil {
		i.t.Fatal(err)
	}
}

func newWorld(t *testing.T, name string) *world {
	t.Helper()
	need(t, "findmnt", "mount", "umount")
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	i := &world{island: newIsland(t), dir: dir, point: filepath.Join(dir, name)}
	if err := os.Mkdir(i.point, 0o755); err != nil {
		t.Fatal(err)
	}
	i.fstab("tmpfs POINT tmpfs rw,nosuid,size=1m 0 0\n")
	i.sh(`mount --bind "$1" /etc/fstab`, filepath.Join(dir, "fstab"))
	return i
}

// holder is a process there that does something with the point.
func (i *world) holder(script string) {
	i.t.Helper()
	i.hold(script, i.point)
}

// story is a step on the island; that is what it verifies on top.
func (i *world) story(state, that string) *actiontest.Story {
	i.t.Helper()
	spec := "  inputs:\n    point: {type: path}\n  probes:\n    flag: {probe: file.text, with: {path: /nonexistent}}\n  steps:\n    - id: act\n      mount: {point: \"${inputs.point}\", state: " +
		state + "}\n      verify: {within: 300ms, that: '" + that + "'}\n"
	return actiontest.New(i.t, mount.Action{}, &actiontest.Host{Runner: i}, spec, map[string]string{"point": i.point})
}

const helped, failed = "!flag.exists", "flag.exists"

func TestEveryStateIsReachedOnceAndTakenBack(t *testing.T) {
	t.Parallel()
	const ro, rw = "mount -t tmpfs -o ro,nosuid,noexec x \"$1\"", "mount -t tmpfs -o rw,nosuid,noexec x \"$1\""
	for _, tt := range []struct{ state, before, want string }{
		{"mounted", ":", "rw,nosuid,relatime,size=1024k"},
		{"unmounted", `mount --target "$1"`, ""},
		{"remounted-ro", rw, "ro,nosuid,noexec,relatime"},
		{"remounted-rw", ro, "rw,nosuid,noexec,relatime"},
	} {
		t.Run(tt.state, func(t *testing.T) {
			t.Parallel()
			i := newWorld(t, "data")
			i.sh(tt.before, i.point)
			before := i.options()
			s := i.story(tt.state, failed)
			p := s.Plan()
			if p.Steps[0].Noop || !strings.Contains(p.Steps[0].Diff, "declared by /etc/fstab") {
				t.Errorf("plan %+v", p.Steps[0])
			}
			s.Want(s.RunPlan(p), runbooks.RunUndone, "")
			was, _, _ := strings.Cut(before, ",size")
			if got := i.options(); !strings.HasPrefix(got, was) || (got == "") != (before == "") {
				t.Errorf("taken back to %q, was %q", got, before)
			}
			s = i.story(tt.state, helped)
			s.Want(s.Run(), runbooks.RunVerified, "")
			if got := i.options(); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			again := i.story(tt.state, helped)
			if p := again.Plan(); !p.Steps[0].Noop {
				t.Errorf("the second time: %+v", p.Steps[0])
			}
			again.Want(again.Run(), runbooks.RunVerified, "")
			if n := len(again.Host.Writes()); n != 0 {
				t.Errorf("the second time: %d writes", n)
			}
		})
	}
}

func TestHostileNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a b", "-o remount,rw", "$(touch x)`id`", "it's \"q\"", `back\040slash`, "[*]?", "é"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := newWorld(t, name)
			s := i.story("mounted", helped)
			s.Want(s.Run(), runbooks.RunVerified, "")
			s = i.story("unmounted", helped)
			s.Want(s.Run(), runbooks.RunVerified, "")
			if got := i.options(); got != "" {
				t.Errorf("mounted: %s", got)
			}
		})
	}
}

// denied plans, and wants a refusal for the reason.
func (i *world) denied(state, why string) {
	i.t.Helper()
	if _, err := i.story(state, helped).TryPlan(); !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), why) {
		i.t.Errorf("%s: %v, want %q", state, err, why)
	}
}

func TestABusyPointIsRefusedByName(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{
		"cwd": `cd "$1"`, "fd/9": `exec 9<"$1/x"`, "exe": `cp "$(command -v sleep)" "$1/sleep"; { "$1/sleep" 600 & }`,
	} {
		t.Run(strings.ReplaceAll(name, "/", "-"), func(t *testing.T) {
			t.Parallel()
			i := newWorld(t, "data")
			i.sh(`mount --target "$1"; echo >"$1/x"`, i.point)
			i.holder(script)
			i.denied("unmounted", "sleep")
			i.denied("unmounted", name)
			if i.options() == "" {
				t.Error("it was unmounted")
			}
		})
	}
}

func TestAWriterKeepsAFileSystemWritable(t *testing.T) {
	t.Parallel()
	i := newWorld(t, "data")
	i.sh(`mount --target "$1"; echo >"$1/x"`, i.point)
	i.holder(`cd "$1"; exec 8<"$1/x"`)
	s := i.story("remounted-ro", helped)
	s.Want(s.Run(), runbooks.RunVerified, "")
	s = i.story("remounted-rw", helped)
	s.Want(s.Run(), runbooks.RunVerified, "")
	i.holder(`exec 9>>"$1/x"`)
	i.denied("remounted-ro", `fd/9 "`+i.point+`/x"`)
}

func TestWhatBecomesBusyAfterTheLastLookIsNotUnmountedByForce(t *testing.T) {
	t.Parallel()
	i := newWorld(t, "data")
	i.sh(`mount --target "$1"`, i.point)
	s := i.story("unmounted", helped)
	s.Host.Before = func(cmd remote.Command) error {
		if cmd.Effect != remote.Read {
			i.holder(`cd "$1"`)
		}
		return nil
	}
	s.Want(s.Run(), runbooks.RunUndone, "busy") // there was nothing to take back
	if n := len(s.Host.Writes()); i.options() == "" || n != 1 {
		t.Errorf("options %q, %d writes", i.options(), n)
	}
}

func TestAMountInUseIsNotTakenBack(t *testing.T) {
	t.Parallel()
	i := newWorld(t, "data")
	s := i.story("mounted", failed)
	s.Deps.OnEvent = func(e engine.Event) {
		if e.Status == runbooks.StepUndoing {
			i.holder(`cd "$1"`)
		}
	}
	s.Want(s.Run(), runbooks.RunRefuted, "in use by process")
	if i.options() == "" {
		t.Error("it was unmounted")
	}
}

func TestWhatWasMountedOtherwiseThanDeclaredCannotBePutBack(t *testing.T) {
	t.Parallel()
	i := newWorld(t, "data")
	i.sh(`mount -t tmpfs -o noexec x "$1"`, i.point)
	s := i.story("unmounted", failed)
	s.Want(s.Run(), runbooks.RunRefuted, "was rw,noexec,relatime, and is rw,nosuid,relatime")
}

func TestWhatIsNotDeclaredOnceIsRefused(t *testing.T) {
	t.Parallel()
	i := newWorld(t, "data")
	for text, why := range map[string]string{
		"": "declared neither", "# tmpfs POINT tmpfs rw\n": "declared neither", "/dev/x POINT swap sw\n": "declared neither",
		"tmpfs POINT tmpfs rw\ntmpfs POINT/ tmpfs ro\n": "declared 2 times",
	} {
		i.fstab(text)
		i.denied("mounted", why)
	}
	i.sh(`mount -t tmpfs x "$1"`, i.point)
	i.fstab("/dev/x POINT ext4 rw\n")
	i.denied("unmounted", "declares a ext4")
	i.fstab("tmpfs POINT tmpfs ro\n")
	i.sh(`mount -o remount,ro "$1"`, i.point)
	i.denied("remounted-rw", "declares that")
	i.fstab("tmpfs POINT tmpfs rw\n")
	i.sh(`mount -o remount,rw "$1"; mkdir "$1/sub"; mount -t tmpfs x "$1/sub"`, i.point)
	i.denied("unmounted", "other mounts: "+i.point+"/sub")
	i.sh(`umount "$1/sub"; mkdir -p "$1.too"; mount --bind "$1" "$1.too"`, i.point)
	i.denied("remounted-ro", "is also that at "+i.point+".too")
	i.sh(`mount -t tmpfs y "$1"`, i.point)
	i.denied("unmounted", "one over the other")
	i.sh(`umount "$1"; umount "$1"`, i.point)
	i.denied("remounted-ro", "nothing is mounted")
}

func TestALinkIsNoMountPoint(t *testing.T) {
	t.Parallel()
	i := newWorld(t, "real")
	link := filepath.Join(i.dir, "link")
	if err := os.Symlink(i.point, link); err != nil {
		t.Fatal(err)
	}
	i.point = link
	i.fstab("tmpfs POINT tmpfs rw\n")
	i.denied("mounted", "is really")
	i.point = filepath.Join(i.dir, "none")
	i.fstab("tmpfs POINT tmpfs rw\n")
	if _, err := i.story("mounted", helped).TryPlan(); err == nil {
		t.Error("a directory that is not there was planned")
	}
}

func TestAFileSystemWithErrorsStaysReadOnly(t *testing.T) {
	t.Parallel()
	need(t, "mkfs.ext4", "losetup")
	i := newWorld(t, "data")
	image := filepath.Join(i.dir, "image")
	i.sh(`truncate -s 8M "$1"; mkfs.ext4 -q "$1"`, image)
	i.fstab(image + " POINT ext4 loop,rw,errors=remount-ro 0 2\n")
	s := i.story("mounted", helped)
	s.Want(s.Run(), runbooks.RunVerified, "")
	for _, state := range []string{"remounted-ro", "remounted-rw"} { // no errors yet
		s = i.story(state, helped)
		s.Want(s.Run(), runbooks.RunVerified, "")
	}
	s = i.story("remounted-ro", failed)
	injure := func() {
		device := strings.TrimSpace(i.sh(`findmnt -n -o SOURCE --mountpoint "$1"`, i.point))
		i.sh(`echo 1 >"/sys/fs/ext4/${1#/dev/}/trigger_fs_error"`, device)
	}
	s.Deps.OnEvent = func(e engine.Event) {
		if e.Status == runbooks.StepUndoing {
			injure()
		}
	}
	s.Want(s.Run(), runbooks.RunRefuted, "has had errors")
	i.denied("remounted-rw", "has had errors")
	if p := i.story("remounted-ro", helped).Plan(); !p.Steps[0].Noop {
		t.Errorf("plan %+v", p.Steps[0])
	}
	i.sh(`umount "$1"`, i.point)
}

func TestAnotherFileSystemIsNotMadeWritable(t *testing.T) {
	t.Parallel()
	i := newWorld(t, "data")
	i.fstab("none POINT ramfs rw\n")
	i.sh(`mount -t ramfs -o ro x "$1"`, i.point)
	i.denied("remounted-rw", "cannot be told")
}

func TestAnAgentInItsOwnNamespaceIsRefused(t *testing.T) {
	t.Parallel()
	i := newWorld(t, "data")
	i.enter = append(i.enter, "unshare", "--mount", "--")
	i.denied("mounted", "namespace of its own")
}

func TestAMountUnitIsStarted(t *testing.T) {
	t.Parallel()
	i := newWorld(t, "data")
	i.fstab("")
	systemctl := filepath.Join(i.dir, "systemctl")
	unit := filepath.Join(i.dir, "unit")
	script := `#!/bin/sh
case "$1" in
show) echo LoadState=loaded; echo ActiveState=inactive; echo "FragmentPath=$(cat ` + unit + `)" ;;
cat) printf '[Mount]\nWhat=tmpfs\nType=tmpfs\nOptions=rw\n' ;;
start) mount -t tmpfs tmpfs "` + i.point + `" ;;
*) exit 9 ;;
esac
`
	if err := errors.Join(os.WriteFile(systemctl, []byte(script), 0o700), os.WriteFile(unit, []byte("/etc/systemd/system/x.mount"), 0o600)); err != nil {
		t.Fatal(err)
	}
	i.sh(`mount --bind "$1" "$(readlink -f "$(command -v systemctl)")"`, systemctl)
	s := i.story("mounted", failed)
	if p := s.Plan(); !slices.Contains(p.Steps[0].Argv, "systemctl") || !strings.Contains(p.Steps[0].Diff, "x2ddata.mount") && !strings.Contains(p.Steps[0].Diff, "data.mount") {
		t.Errorf("plan %+v", p.Steps[0])
	}
	s.Want(s.Run(), runbooks.RunUndone, "")
	for _, file := range []string{"/run/systemd/generator/x.mount", ""} {
		if err := os.WriteFile(unit, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		i.denied("mounted", "declared neither")
	}
}

func TestAChangedWorldIsLeftAlone(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(i *world){
		"declared otherwise": func(i *world) { i.fstab("tmpfs POINT tmpfs rw,size=9m\n") },
		"mounted meanwhile":  func(i *world) { i.sh(`mount -t tmpfs other "$1"`, i.point) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := newWorld(t, "data")
			s := i.story("mounted", helped)
			p := s.Plan()
			change(i)
			before := i.options()
			s.Want(s.RunPlan(p), runbooks.RunRefused, "")
			if got := i.options(); got != before || len(s.Host.Writes()) != 0 {
				t.Errorf("options %q", got)
			}
			i = newWorld(t, "late")
			s = i.story("mounted", helped)
			s.Deps.OnEvent = func(e engine.Event) {
				if e.Status == runbooks.StepRunning {
					change(i)
				}
			}
			s.Want(s.Run(), runbooks.RunFailed, "has changed since the plan")
			if n := len(s.Host.Writes()); n != 0 {
				t.Errorf("%d writes", n)
			}
		})
	}
}

func TestALostConnectionAndACrashAreResolvedByLooking(t *testing.T) {
	t.Parallel()
	i := newWorld(t, "data")
	s := i.story("mounted", helped)
	s.Host.After = func(cmd remote.Command) error {
		if cmd.Effect == remote.Read {
			return nil
		}
		return &remote.Error{Class: remote.Lost}
	}
	s.Want(s.Run(), runbooks.RunVerified, "")
	for dieAt := 1; dieAt <= 4; dieAt++ {
		for _, state := range []string{"unmounted", "mounted"} {
			s := i.story(state, helped)
			s.Want(s.Crash(dieAt), runbooks.RunVerified, "")
			if n := len(s.Host.Writes()); n != 1 || (i.options() == "") != (state == "unmounted") {
				t.Errorf("%s, killed at %d: %d writes, options %q", state, dieAt, n, i.options())
			}
		}
	}
}

func TestDecodingSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for part, why := range map[string]string{
		"{point: /srv}":                                "state",
		"{state: mounted}":                             "point",
		"{point: /srv, state: lazily-unmounted}":       "no mount state",
		"{point: srv, state: mounted}":                 "clean absolute",
		"{point: /srv/../etc, state: mounted}":         "clean absolute",
		`{point: "/srv\n", state: mounted}`:            "clean absolute",
		"{point: /, state: unmounted}":                 "no host lives",
		"{point: /proc/sys, state: unmounted}":         "no host lives",
		"{point: /usr, state: remounted-ro}":           "no host lives",
		"{point: /srv, state: mounted, options: rw}":   "options",
		"{point: /srv, state: unmounted, force: true}": "force",
		`{point: "${inputs.x}", state: mounted}`:       "unknown name",
	} {
		if _, err := actiontest.Parse(mount.Action{}, "  steps:\n    - id: act\n      mount: "+part+"\n"); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v, want %q", part, err, why)
		}
	}
}
