package catalogue

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/secondline-ops/secondline/internal/fault"
)

// shelf is a data folder in which commits are pinned without Git.
type shelf struct {
	testing.TB
	data string
	n    int
}

func newShelf(t *testing.T) *shelf { return &shelf{TB: t, data: t.TempDir()} }

func (s *shelf) folder() Folder { return In(s.data) }

func (s *shelf) lock() *Locked {
	s.Helper()
	l, err := s.folder().Lock()
	if err != nil {
		s.Fatal(err)
	}
	return l
}

func (s *shelf) pins() []Pin {
	s.Helper()
	pins, err := s.folder().Pins()
	if err != nil {
		s.Fatal(err)
	}
	return pins
}

// draft is a commit with one runbook of the text.
func (s *shelf) draft(l *Locked, commit, text string) *Draft {
	s.Helper()
	d, err := l.NewDraft(func(_, tree string) (Commit, error) {
		file := filepath.Join(tree, RunbooksDir, "a.yaml")
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(text), 0o600)); err != nil {
			return Commit{}, err
		}
		digest, err := digestOf(os.DirFS(tree))
		return Commit{ID: strings.Repeat(commit, 40), Subject: text, Digest: digest}, err
	})
	if err != nil {
		s.Fatal(err)
	}
	return d
}

func (s *shelf) put(l *Locked, act Act, d *Draft, p Pin) {
	s.Helper()
	s.n++
	pins := s.pins()
	if err := l.Put(pins, Next(pins, p, act, "ada", time.Unix(int64(s.n), 0)), d); err != nil {
		s.Fatal(err)
	}
}

func pinOf(d *Draft) Pin {
	return Pin{Commit: d.ID, Subject: d.Subject, Digest: d.Digest, URL: "/srv/x.git", Ref: "main"}
}

// pull pins a commit as "catalogue pull" does.
func (s *shelf) pull(commit, text string) {
	s.Helper()
	l := s.lock()
	d := s.draft(l, commit, text)
	s.put(l, Pulled, d, pinOf(d))
	if err := errors.Join(d.Discard(), l.Unlock()); err != nil {
		s.Fatal(err)
	}
}

func (s *shelf) rollBack() {
	s.Helper()
	p, err := BeforeLast(s.pins())
	if err != nil {
		s.Fatal(err)
	}
	l := s.lock()
	s.put(l, RolledBack, nil, p)
	if err := l.Unlock(); err != nil {
		s.Fatal(err)
	}
}

// want checks which text is in force.
func (s *shelf) want(text string) {
	s.Helper()
	tree, err := s.folder().Open(s.pins()[0])
	if err != nil {
		s.Fatal(err)
	}
	got, err := fs.ReadFile(tree.Runbooks, "a.yaml")
	if err != nil || string(got) != text || tree.Causes != nil {
		s.Errorf("%q is in force (%v), want %q", got, err, text)
	}
}

func TestRollbackGoesBackOneFurtherEachTime(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	if _, err := BeforeLast(s.pins()); !fault.Is(err, fault.NotFound) {
		t.Error(err)
	}
	for _, c := range []string{"a", "b", "c"} {
		s.pull(c, "text "+c)
	}
	s.rollBack()
	s.want("text b")
	s.rollBack()
	s.want("text a")
	if _, err := BeforeLast(s.pins()); !fault.Is(err, fault.NotFound) {
		t.Errorf("further back: %v", err)
	}
	p, err := FindPin(s.pins(), "ccccccc")
	if err != nil {
		t.Fatal(err)
	}
	l := s.lock()
	s.put(l, Used, nil, p)
	s.want("text c")
	_ = l.Unlock()
	s.rollBack()
	s.want("text a")
	var acts []string
	for _, p := range s.pins() {
		acts = append(acts, p.Commit[:1]+" "+string(p.Act))
	}
	if d := cmp.Diff([]string{"a rolled_back", "c used", "a rolled_back", "b rolled_back", "c pulled", "b pulled", "a pulled"}, acts); d != "" {
		t.Error(d)
	}
}

func TestSameFilesInTwoCommitsAreNoLoop(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	s.pull("a", "text a")
	s.pull("b", "same")
	s.pull("c", "same")
	s.rollBack()
	if got := s.pins()[0].Commit[:1]; got != "b" {
		t.Errorf("rolled back to %s", got)
	}
	s.rollBack()
	s.want("text a")
}

func TestFindPinWantsEnoughDigitsOfOneCommit(t *testing.T) {
	t.Parallel()
	pins := []Pin{{Commit: "aaaaaaab"}, {Commit: "aaaaaaac"}, {Commit: "aaaaaaab", Subject: "older"}}
	for text, kind := range map[string]fault.Kind{"aaaaaaa": fault.Invalid, "aaaaaa": fault.NotFound, "bbbbbbb": fault.NotFound, "": fault.NotFound, "aaaaaaab": ""} {
		p, err := FindPin(pins, text)
		if fault.KindOf(err) != kind || err == nil && p.Subject != "" {
			t.Errorf("%q: %v %v", text, p, err)
		}
	}
}

func TestHistoryIsBoundedAndWhatItForgetsIsDeleted(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	for i := range MaxPins + 3 {
		s.pull(fmt.Sprintf("%x", i%16), fmt.Sprintf("text %d", i))
	}
	if n := len(s.pins()); n != MaxPins {
		t.Errorf("%d pins", n)
	}
	for _, p := range s.pins() {
		if _, err := s.folder().Open(p); err != nil {
			t.Error(err)
		}
	}
	entries, err := os.ReadDir(filepath.Join(s.data, "catalogue"))
	if err != nil || len(entries) != MaxPins+2 { // the state and the lock
		t.Errorf("%d entries, %v", len(entries), err)
	}
}

func TestFilesThatWereChangedAreRefused(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(dir string) error{
		"a byte":        func(dir string) error { return os.WriteFile(dir+"/runbooks/a.yaml", []byte("text b"), 0o600) },
		"one file more": func(dir string) error { return os.WriteFile(dir+"/runbooks/b.yaml", nil, 0o600) },
		"another name":  func(dir string) error { return os.Rename(dir+"/runbooks/a.yaml", dir+"/runbooks/b.yaml") },
		"gone":          func(dir string) error { return os.Remove(dir + "/runbooks/a.yaml") },
		"a link":        func(dir string) error { return os.Symlink("/etc/passwd", dir+"/runbooks/b.yaml") },
		"all gone":      os.RemoveAll,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShelf(t)
			s.pull("a", "text a")
			p := s.pins()[0]
			if err := change(filepath.Join(s.data, "catalogue", p.folder())); err != nil {
				t.Fatal(err)
			}
			if _, err := s.folder().Open(p); err == nil || fault.Is(err, fault.Internal) {
				t.Errorf("opened: %v", err)
			}
			l := s.lock()
			if err := l.Put(s.pins(), p, nil); err == nil {
				t.Error("pinned without its files")
			}
			_ = l.Unlock()
			s.pull("a", "text a") // fetched again, they are right again
			s.want("text a")
		})
	}
}

func TestStateThatIsDamagedIsSaidAndNotTakenForNone(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	s.pull("a", "text a")
	file := filepath.Join(s.data, "catalogue", stateFile)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		"", "{", string(whole[:len(whole)/2]), strings.Replace(string(whole), `"version": 1`, `"version": 2`, 1),
		strings.Replace(string(whole), strings.Repeat("a", 40), "../../../etc", 1), strings.Replace(string(whole), "sha256:", "sha256:..", 1),
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.folder().Pins(); !fault.Is(err, fault.Invalid) {
			t.Errorf("%.40q: %v", text, err)
		}
	}
}

func TestOneAtATime(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	l := s.lock()
	if _, err := s.folder().Lock(); !fault.Is(err, fault.Conflict) {
		t.Errorf("locked twice: %v", err)
	}
	if err := l.Unlock(); err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(s.data, "catalogue", unfinished+"left", "tree")
	if err := os.MkdirAll(left, 0o700); err != nil {
		t.Fatal(err)
	}
	_ = s.lock().Unlock()
	if _, err := os.Stat(left); err == nil {
		t.Error("what an interrupted pull left is there still")
	}
}

func TestFolderOfAnotherUserIsRefused(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	if err := os.Chown(s.data, 12345, -1); err != nil {
		t.Skip("only root gives files away")
	}
	_, err := s.folder().Lock()
	wantKind(t, err, fault.Denied, "uid 12345")
}

func TestDraftThatFailsLeavesNothing(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	l := s.lock()
	if _, err := l.NewDraft(func(_, _ string) (Commit, error) { return Commit{}, errors.New("no") }); err == nil {
		t.Error("no error")
	}
	entries, err := os.ReadDir(filepath.Join(s.data, "catalogue"))
	if err != nil || len(entries) != 1 {
		t.Errorf("%v %v", entries, err)
	}
}
