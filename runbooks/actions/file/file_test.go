package file_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/actions/file"
	"github.com/secondline-ops/secondline/runbooks/actions/internal/actiontest"
	"github.com/secondline-ops/secondline/runbooks/engine"
)

// desk is a folder with a file, and a step for it.
type desk struct {
	*actiontest.Story
	t    *testing.T
	dir  string
	path string // of the file that the step edits
	kept string
}

// newDesk parses the part with PATH, DIR and KEPT standing for real places.
func newDesk(t *testing.T, part string, more ...string) *desk {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{t: t, dir: filepath.Join(root, "etc"), kept: filepath.Join(root, "kept")}
	d.path = filepath.Join(d.dir, "orders.ini")
	if err := os.Mkdir(d.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	spec := "  inputs:\n    path: {type: path}\n    text: {type: string, default: info}\n  steps:\n    - id: edit\n      file: " + part +
		"\n      verify: {within: 100ms}\n" + strings.Join(more, "")
	spec = strings.NewReplacer("PATH", `"${inputs.path}"`, "DIR", d.dir).Replace(spec)
	d.Story = actiontest.New(t, file.Action{Kept: d.kept}, actiontest.Local(), spec, map[string]string{"path": d.path})
	return d
}

func (d *desk) write(name, text string, mode os.FileMode) string {
	d.t.Helper()
	path := filepath.Join(d.dir, name)
	if err := errors.Join(os.WriteFile(path, []byte(text), mode), os.Chmod(path, mode)); err != nil {
		d.t.Fatal(err)
	}
	return path
}

func (d *desk) ini(text string) *desk {
	d.write("orders.ini", text, 0o640)
	return d
}

func (d *desk) text() string {
	d.t.Helper()
	data, err := os.ReadFile(d.path)
	if errors.Is(err, os.ErrNotExist) {
		return "(gone)"
	}
	if err != nil {
		d.t.Fatal(err)
	}
	return string(data)
}

// alone complains about anything beside the file, such as a new one left behind.
func (d *desk) alone() {
	d.t.Helper()
	entries, err := os.ReadDir(d.dir)
	if err != nil {
		d.t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != filepath.Base(d.path) {
			d.t.Errorf("%q was left behind", e.Name())
		}
	}
}

func (d *desk) refused(kind fault.Kind, because string) error {
	d.t.Helper()
	_, err := d.TryPlan()
	if !fault.Is(err, kind) || !strings.Contains(fmt.Sprint(err), because) {
		d.t.Errorf("got %v, want %s with %q", err, kind, because)
	}
	if w := d.Host.Writes(); len(w) > 0 {
		d.t.Errorf("planning wrote: %v", w)
	}
	return err
}

const setLevel = `{path: PATH, set: {key: http.loglevel, value: "${inputs.text}"}}`

func TestAKeyIsSetAndNothingElseChanges(t *testing.T) {
	t.Parallel()
	d := newDesk(t, setLevel).ini("# orders\n[db]\nloglevel = debug\n\n[http]\nport = 80\nloglevel = debug # too much\n; the end\n")
	if err := os.Chtimes(d.path, time.Unix(1, 0), time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	p := d.Plan()
	for _, want := range []string{"-loglevel = debug # too much\n+loglevel = info # too much\n", "--- " + d.path + " mode 0640 owner "} {
		if !strings.Contains(p.Steps[0].Diff, want) {
			t.Errorf("the diff lacks %q:\n%s", want, p.Steps[0].Diff)
		}
	}
	if again := d.Plan(); again.Digest != p.Digest {
		t.Error("the plan of an unchanged world has another digest")
	}
	d.Want(d.RunPlan(p), runbooks.RunVerified, "")
	if got, want := d.text(), "# orders\n[db]\nloglevel = debug\n\n[http]\nport = 80\nloglevel = info # too much\n; the end\n"; got != want {
		t.Errorf("got %q", got)
	}
	if info, err := os.Stat(d.path); err != nil || info.ModTime().Unix() == 1 {
		t.Errorf("a program that looks at the time would not see the change: %v, %v", info, err)
	}
	d.alone()
	writes := len(d.Host.Writes())
	d.Journal = &actiontest.Journal{}
	d.Deps.Journal = d.Journal
	p = d.Plan()
	d.Want(d.RunPlan(p), runbooks.RunVerified, "")
	if !p.Steps[0].Noop || len(d.Host.Writes()) != writes {
		t.Error("the second time was no noop")
	}
}

func TestEveryFormDoesWhatItSays(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		part, before, after string
	}{
		"content":             {`{path: PATH, content: "new\n"}`, "old\n", "new\n"},
		"content, no file":    {`{path: PATH, content: "new\n", mode: 0600}`, "", "new\n"},
		"empty content":       {`{path: PATH, content: ""}`, "old\n", ""},
		"line at the end":     {`{path: PATH, line: "b c"}`, "a", "a\nb c\n"},
		"line that is there":  {`{path: PATH, line: "a"}`, "x\na\n", "x\na\n"},
		"line in place":       {`{path: PATH, line: "Port 22", match: '^#?Port\s'}`, "#Port 1\nX y\n", "Port 22\nX y\n"},
		"line behind another": {`{path: PATH, line: "b", after: '^a'}`, "a1\na2\nz\n", "a1\na2\nb\nz\n"},
		"gone":                {`{path: PATH, absent: true}`, "x\n", "(gone)"},
		"not text, one line":  {`{path: PATH, line: "k=2", match: '^k='}`, "\xff\xfe\nk=1\n\xe9t\xe9", "\xff\xfe\nk=2\n\xe9t\xe9"},
		"dos":                 {`{path: PATH, line: "b", after: a}`, "a\r\nc\r\n", "a\r\nb\r\nc\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, tt.part)
			if tt.before != "" {
				d.ini(tt.before)
			}
			p := d.Plan()
			d.Want(d.RunPlan(p), runbooks.RunVerified, "")
			if got := d.text(); got != tt.after {
				t.Errorf("got %q, want %q; planned\n%s", got, tt.after, p.Steps[0].Diff)
			}
			if p.Steps[0].Noop != (tt.before == tt.after) {
				t.Errorf("noop %t", p.Steps[0].Noop)
			}
			d.alone()
		})
	}
}

// acl is a POSIX ACL as Linux stores it (acl(5), linux/posix_acl_xattr.h):
// version 2, then tag, permissions and id of each entry: user::rw-,
// user:1234:r--, group::r--, mask::r--, other::---.
var acl = []byte{
	2, 0, 0, 0,
	1, 0, 6, 0, 255, 255, 255, 255,
	2, 0, 4, 0, 0xd2, 4, 0, 0,
	4, 0, 4, 0, 255, 255, 255, 255,
	16, 0, 4, 0, 255, 255, 255, 255,
	32, 0, 0, 0, 255, 255, 255, 255,
}

func attributesOf(t *testing.T, path string) string {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("%o %d:%d", st.Mode, st.Uid, st.Gid)
	for _, name := range []string{"system.posix_acl_access", "user.note"} {
		value := make([]byte, 200)
		n, err := syscall.Getxattr(path, name, value)
		if err != nil {
			text += fmt.Sprintf(" %s %v", name, err)
			continue
		}
		text += fmt.Sprintf(" %s %x", name, value[:n])
	}
	return text
}

func TestOwnerModeACLAndExtendedAttributesAreKeptAndRestored(t *testing.T) {
	t.Parallel()
	d := newDesk(t, setLevel, "      undo: none\n").ini("[http]\nloglevel=debug\n")
	if os.Geteuid() != 0 {
		t.Skip("only root gives files away")
	}
	err := errors.Join(os.Chown(d.path, 1234, 2345), syscall.Setxattr(d.path, "system.posix_acl_access", acl, 0), syscall.Setxattr(d.path, "user.note", []byte("mine"), 0))
	if err != nil {
		t.Skipf("this file system keeps no attributes: %v", err)
	}
	before := attributesOf(t, d.path)
	d.Want(d.Run(), runbooks.RunVerified, "")
	if got := attributesOf(t, d.path); got != before || d.text() != "[http]\nloglevel=info\n" {
		t.Errorf("got  %s\nwant %s\n%s", got, before, d.text())
	}
}

func TestUndoRestoresByteForByteWithAttributes(t *testing.T) {
	t.Parallel()
	for name, part := range map[string]string{
		"set": setLevel, "content": `{path: PATH, content: "new\n", mode: 0600, owner: "1:1"}`, "absent": `{path: PATH, absent: true}`,
		"mode": `{path: PATH, mode: 0600, owner: "1:1"}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if os.Geteuid() != 0 {
				t.Skip("only root gives files away")
			}
			// A condition that never holds refutes the step.
			d := newDesk(t, part)
			d.Binding.Runbook.Steps[0].Verify.That = `inputs.text == "never"`
			d.ini("[http]\nloglevel=debug\n\xff")
			if err := errors.Join(os.Chown(d.path, 1234, 2345), syscall.Setxattr(d.path, "system.posix_acl_access", acl, 0)); err != nil {
				t.Skipf("this file system keeps no attributes: %v", err)
			}
			info, _ := os.Stat(d.path)
			before, text := attributesOf(t, d.path), d.text()
			res := d.Run()
			d.Want(res, runbooks.RunUndone, "")
			now, err := os.Stat(d.path)
			if err != nil {
				t.Fatal(err)
			}
			if got := attributesOf(t, d.path); got != before || d.text() != text || !now.ModTime().Equal(info.ModTime()) {
				t.Errorf("got  %s %q %s\nwant %s %q %s", got, d.text(), now.ModTime(), before, text, info.ModTime())
			}
			d.alone()
		})
	}
}

func TestUndoOfANewFileTakesItAway(t *testing.T) {
	t.Parallel()
	d := newDesk(t, `{path: PATH, content: x}`)
	d.Binding.Runbook.Steps[0].Verify.That = `inputs.text == "never"`
	d.Want(d.Run(), runbooks.RunUndone, "")
	if d.text() != "(gone)" {
		t.Errorf("got %q", d.text())
	}
	d.alone()
}

func TestUndoLeavesWhatSomebodyElseHasChanged(t *testing.T) {
	t.Parallel()
	for name, part := range map[string]string{
		"set": setLevel, "content": `{path: PATH, content: x}`, "absent": `{path: PATH, absent: true}`, "mode": `{path: PATH, mode: 0600}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, part).ini("[http]\nloglevel=debug\n")
			d.Binding.Runbook.Steps[0].Verify.That = `inputs.text == "never"`
			d.Deps.OnEvent = func(e engine.Event) {
				if e.Status == runbooks.StepUndoing {
					d.write("orders.ini", "theirs", 0o644)
				}
			}
			d.Want(d.Run(), runbooks.RunRefuted, "changed by somebody else")
			if d.text() != "theirs" {
				t.Errorf("got %q", d.text())
			}
		})
	}
}

func TestAnUndoWhoseCopyIsGoneIsStuck(t *testing.T) {
	t.Parallel()
	d := newDesk(t, setLevel).ini("[http]\nloglevel=debug\n")
	d.Binding.Runbook.Steps[0].Verify.That = `inputs.text == "never"`
	d.Deps.OnEvent = func(e engine.Event) {
		if e.Status == runbooks.StepUndoing {
			if err := os.RemoveAll(d.kept); err != nil {
				t.Error(err)
			}
		}
	}
	res := d.Run()
	d.Want(res, runbooks.RunRefuted, "is gone")
	if res.Steps[0].Status != runbooks.StepStuck || d.text() != "[http]\nloglevel=info\n" {
		t.Errorf("%s, %q", res.Steps[0].Status, d.text())
	}
}

func TestAnUndoThatDidNotRestoreIsStuck(t *testing.T) {
	t.Parallel()
	d := newDesk(t, setLevel).ini("[http]\nloglevel=debug\n")
	d.Binding.Runbook.Steps[0].Verify.That = `inputs.text == "never"`
	d.Host.After = func(cmd remote.Command) error {
		if cmd.Effect != remote.Read && cmd.Argv[3] == "restore" {
			return os.Chmod(d.path, 0o600)
		}
		return nil
	}
	res := d.Run()
	d.Want(res, runbooks.RunRefuted, "is not what it was")
	if res.Steps[0].Status != runbooks.StepStuck {
		t.Errorf("the step is %s", res.Steps[0].Status)
	}
}

func TestAFileThatChangedSinceItsPlanIsLeftAlone(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(d *desk) error
		want   runbooks.RunStatus
	}{
		"other text":       {func(d *desk) error { d.ini("[http]\nloglevel=warn\n"); return nil }, runbooks.RunUndone},
		"same text, saved": {func(d *desk) error { d.ini("[http]\nloglevel=debug\n"); return nil }, runbooks.RunUndone},
		"another mode":     {func(d *desk) error { return os.Chmod(d.path, 0o600) }, runbooks.RunUndone},
		"gone":             {func(d *desk) error { return os.Remove(d.path) }, runbooks.RunUndone},
	} {
		for _, doing := range []string{"write", "replace"} {
			t.Run(name+" before "+doing, func(t *testing.T) {
				t.Parallel()
				d := newDesk(t, setLevel).ini("[http]\nloglevel=debug\n")
				var left string
				d.Host.Before = func(cmd remote.Command) error {
					if cmd.Effect == remote.Read || cmd.Argv[3] != doing {
						return nil
					}
					err := tt.change(d)
					left = d.text()
					return err
				}
				d.Want(d.Run(), tt.want, "no longer what it was when this was planned")
				if d.text() != left {
					t.Errorf("got %q, want %q", d.text(), left)
				}
			})
		}
	}
}

func TestADriftedWorldRefusesTheRun(t *testing.T) {
	t.Parallel()
	d := newDesk(t, setLevel).ini("[http]\nloglevel=debug\n")
	p := d.Plan()
	d.ini("[http]\nloglevel=debug\nmore=1\n")
	d.Want(d.RunPlan(p), runbooks.RunRefused, "no longer what was approved")
	if len(d.Host.Writes()) > 0 {
		t.Error("it wrote")
	}
}

func TestAfterACrashAnywhereTheFileIsWholeAndEditedOnce(t *testing.T) {
	t.Parallel()
	for n := 1; n <= 5; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, `{path: PATH, line: again}`).ini("a\n")
			d.Want(d.Crash(n), runbooks.RunVerified, "")
			if d.text() != "a\nagain\n" {
				t.Errorf("got %q", d.text())
			}
			d.alone()
		})
	}
}

func TestWhatACrashLeftIsMovedAwayByTheNextRun(t *testing.T) {
	t.Parallel()
	d := newDesk(t, `{path: PATH, content: "new\n"}`).ini("old\n")
	victim := d.write("victim", "precious", 0o600)
	if err := os.Symlink(victim, filepath.Join(d.dir, ".secondline-new.orders.ini")); err != nil {
		t.Fatal(err)
	}
	d.Want(d.Run(), runbooks.RunVerified, "")
	if data, _ := os.ReadFile(victim); string(data) != "precious" || d.text() != "new\n" {
		t.Errorf("victim %q, file %q", data, d.text())
	}
	if err := os.Remove(victim); err != nil {
		t.Fatal(err)
	}
	d.alone()
}

func TestALostConnectionBehindEachCommandIsLookedAt(t *testing.T) {
	t.Parallel()
	for doing, want := range map[string]runbooks.RunStatus{"write": runbooks.RunUnknown, "replace": runbooks.RunVerified} {
		t.Run(doing, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, setLevel).ini("[http]\nloglevel=debug\n")
			d.Host.After = func(cmd remote.Command) error {
				if cmd.Effect != remote.Read && cmd.Argv[3] == doing {
					return &remote.Error{Class: remote.Lost}
				}
				return nil
			}
			d.Want(d.Run(), want, "")
			if text := d.text(); text != "[http]\nloglevel=debug\n" && text != "[http]\nloglevel=info\n" {
				t.Errorf("got %q", text)
			}
		})
	}
}

func TestAValidatorDecidesAboutTheNewFile(t *testing.T) {
	t.Parallel()
	part := func(text string) string {
		return `{path: PATH, content: "` + text + `", mode: 0600, validate: [grep, --quiet, "^good", "${file}"]}`
	}
	d := newDesk(t, part(`good\n`)).ini("old\n")
	d.Want(d.Run(), runbooks.RunVerified, "")
	if d.text() != "good\n" {
		t.Errorf("got %q", d.text())
	}
	d = newDesk(t, part(`bad\n`)).ini("old\n")
	d.Want(d.Run(), runbooks.RunUndone, "was not accepted")
	if d.text() != "old\n" {
		t.Errorf("got %q", d.text())
	}
	d.alone()
	d = newDesk(t, `{path: PATH, content: "new\n", validate: [sh, -c, 'echo more >> "$1"', sh, "${file}"]}`).ini("old\n")
	d.Want(d.Run(), runbooks.RunUndone, "was changed while it was checked")
	if d.text() != "old\n" {
		t.Errorf("got %q", d.text())
	}
}

// mountSmall makes the desk's folder a file system of its own, of 64 KiB.
func (d *desk) mountSmall() {
	d.t.Helper()
	if err := syscall.Mount("tmpfs", d.dir, "tmpfs", 0, "size=64k,mode=755"); err != nil {
		d.t.Skipf("no file system can be mounted here: %v", err)
	}
	d.t.Cleanup(func() { _ = syscall.Unmount(d.dir, syscall.MNT_DETACH) })
}

func TestAFullOrReadOnlyFileSystemLeavesTheOldFile(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("0123456789abcdef", 6000)
	d := newDesk(t, `{path: PATH, content: "`+big+`"}`)
	d.mountSmall()
	d.ini("old\n")
	d.Want(d.Run(), runbooks.RunUndone, "exit status 1")
	if d.text() != "old\n" {
		t.Errorf("got %q", d.text())
	}
	d.alone()
	d = newDesk(t, `{path: PATH, content: "new\n"}`)
	d.mountSmall()
	d.ini("old\n")
	p := d.Plan()
	if err := syscall.Mount("", d.dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	d.Want(d.RunPlan(p), runbooks.RunUndone, "exit status")
	if d.text() != "old\n" {
		t.Errorf("got %q", d.text())
	}
	d.alone()
}

func TestWhatIsKeptMayLieOnAnotherFileSystem(t *testing.T) {
	t.Parallel()
	for _, part := range []string{`{path: PATH, absent: true}`, `{path: PATH, content: new}`} {
		d := newDesk(t, part)
		d.mountSmall()
		d.ini("old\n")
		d.Binding.Runbook.Steps[0].Verify.That = `inputs.text == "never"`
		d.Want(d.Run(), runbooks.RunUndone, "")
		if d.text() != "old\n" {
			t.Errorf("got %q", d.text())
		}
		d.alone()
	}
}

func TestLinksAreFollowedOnlyWhenSaid(t *testing.T) {
	t.Parallel()
	const part = `{path: PATH, line: x`
	d := newDesk(t, part+"}")
	d.write("real.ini", "a\n", 0o600)
	if err := os.Symlink("real.ini", d.path); err != nil {
		t.Fatal(err)
	}
	d.refused(fault.Denied, "symbolic link")

	d = newDesk(t, part+", follow: true}")
	real := d.write("real.ini", "a\n", 0o600)
	if err := os.Symlink("real.ini", d.path); err != nil {
		t.Fatal(err)
	}
	d.Want(d.Run(), runbooks.RunVerified, "")
	link, err := os.Readlink(d.path)
	if data, _ := os.ReadFile(real); string(data) != "a\nx\n" || link != "real.ini" {
		t.Errorf("%q, link %q, %v", data, link, err)
	}

	d = newDesk(t, part+"}").ini("a\n")
	if err := os.Symlink(d.dir, d.dir+"-link"); err != nil {
		t.Fatal(err)
	}
	d.Binding.Given["path"] = d.dir + "-link/orders.ini"
	d.refused(fault.Denied, "is really "+d.path)
}

func TestWhatIsNotSafeToEditIsRefused(t *testing.T) {
	t.Parallel()
	const line = `{path: PATH, line: x}`
	for name, tt := range map[string]struct {
		part    string
		prepare func(d *desk) error
		kind    fault.Kind
		because string
	}{
		"a folder":    {line, func(d *desk) error { return os.Mkdir(d.path, 0o700) }, fault.Denied, "no regular file"},
		"a pipe":      {line, func(d *desk) error { return syscall.Mkfifo(d.path, 0o600) }, fault.Denied, "no regular file"},
		"nothing":     {line, func(*desk) error { return nil }, fault.NotFound, "there is no file"},
		"no folder":   {`{path: DIR/no/such, content: x}`, func(*desk) error { return nil }, fault.NotFound, "there is no folder"},
		"two names":   {line, func(d *desk) error { d.ini("a\n"); return os.Link(d.path, d.path+"2") }, fault.Denied, "2 names"},
		"set-user-ID": {line, func(d *desk) error { d.ini("a\n"); return os.Chmod(d.path, 0o755|os.ModeSetuid) }, fault.Denied, "set-user-ID"},
		"everybody's": {line, func(d *desk) error { d.ini("a\n"); return os.Chmod(d.dir, 0o777) }, fault.Denied, "everybody"},
		"somebody's":  {line, func(d *desk) error { d.ini("a\n"); return os.Chown(d.dir, 1234, 1234) }, fault.Denied, "user id 1234"},
		"a group's": {line, func(d *desk) error {
			d.ini("a\n")
			return errors.Join(os.Chown(d.dir, 0, 1234), os.Chmod(d.dir, 0o775))
		}, fault.Denied, "group id 1234"},
		"too big":           {line, func(d *desk) error { d.ini("a\n"); return os.Truncate(d.path, 5<<20) }, fault.TooLarge, "more than"},
		"NUL bytes":         {line, func(d *desk) error { d.ini("a\x00b\n"); return nil }, fault.Denied, "no text"},
		"no user":           {`{path: PATH, owner: no-such-user}`, func(d *desk) error { d.ini("a\n"); return nil }, fault.NotFound, "no user"},
		"no such section":   {`{path: PATH, set: {key: a.b, value: c}}`, func(d *desk) error { d.ini("[x]\n"); return nil }, fault.NotFound, "sections"},
		"no place for it":   {`{path: PATH, line: x, after: y}`, func(d *desk) error { d.ini("a\n"); return nil }, fault.NotFound, "where the line belongs"},
		"a secret":          {`{path: PATH, set: {key: password, value: x}}`, func(d *desk) error { d.ini("password = hunter22\n"); return nil }, fault.Denied, "secret"},
		"a line of secrets": {`{path: PATH, line: "password = hunter22"}`, func(d *desk) error { d.ini("a\n"); return nil }, fault.Denied, "holds a secret"},
		"a value of lines":  {`{path: PATH, set: {key: a, value: x}}`, func(d *desk) error { d.ini("a = 1 \\\n 2\n"); return nil }, fault.Denied, "several lines"},
		"a private key": {line, func(d *desk) error {
			d.ini("-----BEGIN PRIVATE KEY-----\nMII\nMII\n-----END PRIVATE KEY-----\n")
			return nil
		}, fault.Denied, "private key"},
		"not a key file":    {`{path: PATH, set: {key: a, value: x}}`, func(d *desk) error { d.ini("{\"a\": 1}\nserver {\n"); return nil }, fault.Denied, "no list of keys"},
		"a hostile content": {`{path: "/etc/x\ny", content: x}`, func(*desk) error { return nil }, fault.Invalid, "printable"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if os.Geteuid() != 0 {
				t.Skip("only root gives files away")
			}
			if strings.HasPrefix(name, "a hostile") {
				_, err := actiontest.Parse(file.Action{}, "  steps:\n    - id: edit\n      file: "+tt.part+"\n")
				if err == nil || !strings.Contains(err.Error(), tt.because) {
					t.Errorf("got %v", err)
				}
				return
			}
			d := newDesk(t, tt.part)
			if err := tt.prepare(d); err != nil {
				t.Fatal(err)
			}
			d.refused(tt.kind, tt.because)
		})
	}
}

func TestSecretsStayAndAreNeverShown(t *testing.T) {
	t.Parallel()
	const before = "[db]\npassword = hunter22\nport = 1\n[x]\ntoken=glpat-abcdefghijklmnopqrst\n"
	d := newDesk(t, `{path: PATH, set: {key: db.port, value: 2}}`).ini(before)
	p := d.Plan()
	if strings.Contains(p.Steps[0].Diff, "hunter22") || !strings.Contains(p.Steps[0].Diff, "+port = 2\n") {
		t.Errorf("the diff:\n%s", p.Steps[0].Diff)
	}
	d.Want(d.RunPlan(p), runbooks.RunVerified, "")
	if got := d.text(); got != strings.Replace(before, "port = 1", "port = 2", 1) {
		t.Errorf("got %q", got)
	}
	d = newDesk(t, `{path: PATH, content: "password = hunter33\n"}`).ini(before)
	if p := d.Plan(); strings.Contains(p.Steps[0].Diff, "hunter") {
		t.Errorf("the diff:\n%s", p.Steps[0].Diff)
	}
}

func TestWhatConfigurationManagementOwnsIsRefusedWithThePatch(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		part, text string
		patterns   []string
	}{
		"puppet":   {setLevel, "# This file is managed by Puppet. DO NOT EDIT.\n[http]\nloglevel=debug\n", nil},
		"ansible":  {setLevel, "#\n# Ansible managed: do not change\n[http]\nloglevel=debug\n", nil},
		"chef":     {setLevel, "; Generated by Chef for h1\n[http]\nloglevel=debug\n", nil},
		"salt":     {setLevel, "# File managed with SaltStack\n[http]\nloglevel=debug\n", nil},
		"cfengine": {setLevel, "# maintained by CFEngine\n[http]\nloglevel=debug\n", nil},
		"block":    {setLevel, "[http]\n# BEGIN ANSIBLE MANAGED BLOCK\nloglevel=debug\n# END ANSIBLE MANAGED BLOCK\n" + strings.Repeat("#\n", 30), nil},
		"mode":     {`{path: PATH, mode: 0600}`, "# managed by puppet\n", nil},
		"gone":     {`{path: PATH, absent: true}`, "# managed by puppet\n", nil},
		"pattern":  {setLevel, "[http]\nloglevel=debug\n", []string{"/nothing", "*/orders.ini", "PATH"}},
		"folder":   {setLevel, "[http]\nloglevel=debug\n", []string{"DIR"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, tt.part).ini(tt.text)
			for _, p := range tt.patterns {
				d.Deps.ManagedFiles = append(d.Deps.ManagedFiles, strings.NewReplacer("DIR", d.dir, "PATH", d.path).Replace(p))
			}
			err := d.refused(fault.Denied, "the patch would be:\n--- "+d.path)
			if tt.part == setLevel && !strings.Contains(err.Error(), "+loglevel=info\n") {
				t.Errorf("got %v", err)
			}
		})
	}
	d := newDesk(t, setLevel).ini("# the salt of the earth, and a chef's choice\n[http]\n# BEGIN ANSIBLE MANAGED BLOCK\n# END ANSIBLE MANAGED BLOCK\nloglevel=debug\n")
	d.Plan()
}

func TestHostileNamesAreOnlyNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"-rf", "a b", `'"`, "$(id)", "`id`", "*", "?[a]", `back\slash`, "é", ";reboot", "--help.conf"} {
		d := newDesk(t, `{path: PATH, line: "$(id) `+"`id`"+` '\"\\ %s --"}`)
		d.path = d.write(name, "a\n", 0o600)
		d.Binding.Given["path"] = d.path
		d.Want(d.Run(), runbooks.RunVerified, "")
		if got := d.text(); got != "a\n$(id) `id` '\"\\ %s --\n" {
			t.Errorf("%q: got %q", name, got)
		}
		d.alone()
	}
}

func TestABigTextGoesByStandardInput(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("0123456789abcdef ", 12_000) // 200 KiB
	d := newDesk(t, `{path: PATH, content: "`+big+`"}`).ini("old\n")
	d.Want(d.Run(), runbooks.RunVerified, "")
	if d.text() != big {
		t.Error("the text is another")
	}
}

func TestWhatIsKeptIsPrivate(t *testing.T) {
	t.Parallel()
	d := newDesk(t, setLevel).ini("[http]\nloglevel=debug\n")
	d.Want(d.Run(), runbooks.RunVerified, "")
	info, err := os.Stat(d.kept)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
	copies, _ := filepath.Glob(d.kept + "/*/before")
	if len(copies) != 1 {
		t.Fatalf("kept %q", copies)
	}
	if data, _ := os.ReadFile(copies[0]); string(data) != "[http]\nloglevel=debug\n" {
		t.Errorf("kept %q", data)
	}
	d = newDesk(t, setLevel).ini("[http]\nloglevel=debug\n")
	if err := errors.Join(os.Mkdir(d.kept, 0o777), os.Chmod(d.kept, 0o777)); err != nil {
		t.Fatal(err)
	}
	d.Want(d.Run(), runbooks.RunUndone, "not a folder of this user alone")
	if d.text() != "[http]\nloglevel=debug\n" {
		t.Errorf("got %q", d.text())
	}
}

func TestDecodingSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for part, want := range map[string]string{
		`{path: /etc/x}`:                                                       "exactly one of",
		`{path: /etc/x, content: a, line: b}`:                                  "exactly one of",
		`{path: /etc/x, line: b, mode: 0600}`:                                  "beside content",
		`{path: /etc/x, absent: false}`:                                        "absent is true",
		`{path: etc/x, content: a}`:                                            "clean absolute path",
		`{path: /etc/../x, content: a}`:                                        "clean absolute path",
		`{path: /proc/sys/x, content: a}`:                                      "kernel",
		`{path: /etc/x, content: a, mode: 0666}`:                               "everybody",
		`{path: /etc/x, mode: "4755"}`:                                         "set-user-ID",
		`{path: /etc/x, mode: rw}`:                                             "octal",
		`{path: /etc/x, owner: "a b"}`:                                         "owner",
		`{path: /etc/x, content: a, after: b}`:                                 "belong to line",
		`{path: /etc/x, line: a, after: "("}`:                                  "missing closing",
		`{path: /etc/x, line: a, match: "${inputs.text}"}`:                     "pattern",
		`{path: /etc/x, line: "a\nb"}`:                                         "one line",
		`{path: /etc/x, set: {key: a}}`:                                        "value",
		`{path: /etc/x, set: {key: "a=b", value: c}}`:                          "not a key",
		`{path: /etc/x, set: {key: a, value: "c\nd"}}`:                         "value of one line",
		`{path: /etc/x, content: a, validate: [true]}`:                         "${file}",
		`{path: /etc/x, content: a, validate: ["${file}"]}`:                    "choose the program",
		`{path: /etc/x, content: a, validate: [sh, -c, "cat ${file}"]}`:        "code",
		`{path: /etc/x, content: a, validate: [x, "${fill}"]}`:                 "fill",
		`{path: "/etc/${file}", content: a}`:                                   "file",
		`{path: /etc/x, mode: 0600, validate: [x, "${file}"]}`:                 "new text",
		`{path: /etc/x, content: a, force: true}`:                              "force",
		`{path: /etc/x, content: a, validate: {run: [x]}}`:                     "list of arguments",
		`{path: /etc/x, content: a, validate: [x, "${file}", "${inputs.no}"]}`: "no",
	} {
		_, err := actiontest.Parse(file.Action{}, "  inputs:\n    text: {type: string, default: a}\n  steps:\n    - id: edit\n      file: "+part+"\n")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", part, err, want)
		}
	}
}

func TestStepsOfOtherUsersKeepElsewhere(t *testing.T) {
	t.Parallel()
	d := newDesk(t, setLevel).ini("[http]\nloglevel=debug\n")
	d.Deps.Actions = []engine.Action{file.Action{}}
	want := "/var/lib/secondline-backups"
	if uid := os.Geteuid(); uid != 0 {
		want = fmt.Sprintf("/var/tmp/secondline-backups-%d", uid)
	}
	if undo := d.Plan().Steps[0].Undo; !strings.HasSuffix(undo, "kept in "+want) {
		t.Errorf("got %q", undo)
	}
}
