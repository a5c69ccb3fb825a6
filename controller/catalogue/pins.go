package catalogue

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secondline-ops/secondline/internal/fault"
)

// MaxPins is how many pins are remembered, the one in force included. What no
// pin names any more is deleted.
const MaxPins = 20

const (
	stateFile     = "pinned.json"
	lockFile      = "lock"
	unfinished    = ".new-"
	folderDigits  = 12 // of the digest in the name of a folder: one commit may be taken with two values of Source.Path
	minPrefix     = 7  // digits of a commit that people have to give, as git shows them
	maxStateBytes = 1 << 20
)

// Act is how a commit came into force.
type Act string

// The acts.
const (
	Pulled     Act = "pulled"
	Used       Act = "used"
	RolledBack Act = "rolled_back"
)

// Pin is a commit that was put into force: where it came from, what its files
// are, and by whom.
type Pin struct {
	Commit  string    `json:"commit"`
	Subject string    `json:"subject"`
	URL     string    `json:"url"`
	Ref     string    `json:"ref"`
	Path    string    `json:"path"`
	Digest  string    `json:"digest"`           // of the files
	Signer  string    `json:"signer,omitempty"` // of the commit; "" when no signature was asked for
	At      time.Time `json:"at"`
	By      string    `json:"by"`
	Act     Act       `json:"act"`
	// Before is the Digest of the pin that a rollback returns to; "" for none.
	Before string `json:"before,omitempty"`
}

// Tree is the files of a pin.
type Tree struct {
	Causes   fs.FS // nil when it has none
	Runbooks fs.FS // nil when it has none
}

// Folder is where pins and their files are kept, in a controller's data folder.
// Reading is safe at any time, also while another process changes it; whoever
// changes it holds the lock.
type Folder struct{ dir string }

// In returns the folder in the data folder. It need not exist.
func In(dataDir string) Folder { return Folder{filepath.Join(dataDir, "catalogue")} }

// state is the content of the state file: one file, replaced as a whole, so that
// the pin and its history are always of one piece.
type state struct {
	Version int   `json:"version"`
	Pins    []Pin `json:"pins"` // newest first; the first is in force
}

// Pins returns the remembered pins, newest first. The first is in force; none
// means that nothing was pinned yet.
func (f Folder) Pins() ([]Pin, error) {
	file := filepath.Join(f.dir, stateFile)
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the pinned catalogue: %w", err)
	}
	var s state
	if len(data) > maxStateBytes || json.Unmarshal(data, &s) != nil || s.Version != 1 || slices.ContainsFunc(s.Pins, func(p Pin) bool { return !p.isWhole() }) {
		return nil, fault.New(fault.Invalid, "%s is damaged, or a newer version wrote it", file).
			WithHint("restore it from a backup, or remove it and pull again: secondline catalogue pull")
	}
	return s.Pins, nil
}

// isWhole reports whether a pin can name a folder.
func (p Pin) isWhole() bool {
	hex, ok := strings.CutPrefix(p.Digest, "sha256:")
	return isCommit(p.Commit) && ok && len(hex) > folderDigits && strings.Trim(hex, "0123456789abcdef") == ""
}

func (p Pin) folder() string {
	return p.Commit + "-" + strings.TrimPrefix(p.Digest, "sha256:")[:folderDigits]
}

// Open returns the files of the pin. Files that are missing, or are not those
// that were pinned, are a fault of kind Conflict.
func (f Folder) Open(p Pin) (Tree, error) {
	dir := filepath.Join(f.dir, p.folder())
	digest, err := digestOf(os.DirFS(dir))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Tree{}, fault.New(fault.Conflict, "the files of the pinned catalogue %.12s are missing: %s", p.Commit, dir).
			WithHint("fetch them again: secondline catalogue pull; or take an earlier one: secondline catalogue rollback")
	case err != nil:
		return Tree{}, err
	case digest != p.Digest:
		return Tree{}, fault.New(fault.Conflict, "the files in %s are not those that were pinned: they have %s, and %s was pinned", dir, digest, p.Digest).
			WithHint("somebody changed them; fetch them again: secondline catalogue pull; or take an earlier one: secondline catalogue rollback")
	}
	return treeAt(dir), nil
}

func treeAt(dir string) (t Tree) {
	sub := func(name string) fs.FS {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || !info.IsDir() {
			return nil
		}
		return os.DirFS(filepath.Join(dir, name))
	}
	return Tree{Causes: sub(CausesDir), Runbooks: sub(RunbooksDir)}
}

// FindPin returns the newest pin of the commit, of which the first digits are enough.
func FindPin(pins []Pin, commit string) (Pin, error) {
	var found *Pin
	for i, p := range pins {
		if len(commit) < minPrefix || !strings.HasPrefix(p.Commit, commit) {
			continue
		}
		if found != nil && found.Commit != p.Commit {
			return Pin{}, fault.New(fault.Invalid, "%s stands for more than one pinned commit", commit).WithHint("give more of its digits")
		}
		if found == nil {
			found = &pins[i]
		}
	}
	if found == nil {
		return Pin{}, fault.New(fault.NotFound, "no commit %q was pinned here", commit).
			WithHint("secondline catalogue log lists them; give at least %d digits", minPrefix)
	}
	return *found, nil
}

// BeforeLast returns the pin that a rollback from the first one returns to.
// Rolling back again goes further back.
func BeforeLast(pins []Pin) (Pin, error) {
	if len(pins) == 0 {
		return Pin{}, fault.New(fault.NotFound, "nothing was pinned yet").WithHint("secondline catalogue pull")
	}
	for _, p := range pins[1:] {
		if p.Digest == pins[0].Before {
			return p, nil
		}
	}
	return Pin{}, fault.New(fault.NotFound, "no catalogue is remembered from before %.12s", pins[0].Commit).
		WithHint("secondline catalogue log lists what can be used: secondline catalogue use COMMIT")
}

// Next returns the pin that puts p into force over the pins there are.
func Next(pins []Pin, p Pin, act Act, by string, at time.Time) Pin {
	p.Act, p.By, p.At = act, by, at.UTC()
	if act != RolledBack && len(pins) > 0 {
		p.Before = pins[0].Digest
	}
	return p
}

// Locked is a Folder that this process alone may change until Unlock.
type Locked struct {
	Folder
	file *os.File
}

// Lock makes the folder and takes its lock, which ends with the process at the
// latest. It refuses with Conflict when another process has it, and with Denied
// when the data folder is another user's: what was pinned for a controller must
// be readable for it. What a killed process left is removed.
func (f Folder) Lock() (*Locked, error) {
	if info, err := os.Stat(filepath.Dir(f.dir)); err == nil {
		if owner, ok := info.Sys().(*syscall.Stat_t); ok && int(owner.Uid) != os.Geteuid() {
			return nil, fault.New(fault.Denied, "%s is the folder of another user (uid %d)", filepath.Dir(f.dir), owner.Uid).
				WithHint("run this as the user of the controller: sudo -u '#%d' secondline catalogue …", owner.Uid)
		}
	}
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of the catalogue: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(f.dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the catalogue: %w", err)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = file.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fault.New(fault.Conflict, "somebody else is changing the catalogue at this moment").WithHint("wait for it")
		}
		return nil, fmt.Errorf("lock the catalogue: %w", err)
	}
	l := &Locked{f, file}
	left, err := filepath.Glob(filepath.Join(f.dir, unfinished+"*"))
	for _, dir := range left {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("remove what an interrupted pull left: %w", err), l.Unlock())
	}
	return l, nil
}

// Unlock gives the lock back. It says so to the kernel: a child that another
// goroutine is about to start has the file open, too, until it executes.
func (l *Locked) Unlock() error {
	return errors.Join(unix.Flock(int(l.file.Fd()), unix.LOCK_UN), l.file.Close())
}

// Draft is a commit that was fetched and is not in force.
type Draft struct {
	Commit
	Tree
	dir string // of this draft alone
}

// Discard removes the draft's files, unless they are pinned by now.
func (d *Draft) Discard() error { return os.RemoveAll(d.dir) }

func (d *Draft) tree() string { return filepath.Join(d.dir, "tree") }

// NewDraft makes room for a commit, and has fetch fill it.
func (l *Locked) NewDraft(fetch func(scratch, tree string) (Commit, error)) (_ *Draft, err error) {
	dir, err := os.MkdirTemp(l.dir, unfinished)
	if err != nil {
		return nil, fmt.Errorf("make room for the catalogue: %w", err)
	}
	d := &Draft{dir: dir}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Discard())
		}
	}()
	if err := os.Mkdir(d.tree(), 0o700); err != nil {
		return nil, fmt.Errorf("make room for the catalogue: %w", err)
	}
	if d.Commit, err = fetch(d.dir, d.tree()); err != nil {
		return nil, err
	}
	d.Tree = treeAt(d.tree())
	return d, nil
}

// Put puts the pin into force; draft holds its files when they are not in the
// folder yet. At whatever moment the process dies, the one before or the new
// one is in force, with its files.
func (l *Locked) Put(pins []Pin, p Pin, draft *Draft) error {
	if draft != nil {
		if err := l.keep(p, draft); err != nil {
			return err
		}
	}
	if _, err := l.Open(p); err != nil {
		return err
	}
	next := append([]Pin{p}, pins...)
	next = next[:min(len(next), MaxPins)]
	if err := l.writeState(state{Version: 1, Pins: next}); err != nil {
		return err
	}
	return l.prune(next)
}

// keep gives the draft's files their place. What is there already under the name
// and has another content is of no use to anybody: Open refuses it.
func (l *Locked) keep(p Pin, draft *Draft) error {
	if _, err := l.Open(p); err == nil {
		return nil
	}
	place := filepath.Join(l.dir, p.folder())
	if err := os.RemoveAll(place); err != nil {
		return fmt.Errorf("keep the catalogue: %w", err)
	}
	if err := os.Rename(draft.tree(), place); err != nil {
		return fmt.Errorf("keep the catalogue: %w", err)
	}
	return syncFolder(l.dir)
}

func (l *Locked) writeState(s state) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the pinned catalogue: %w", err)
	}
	tmp, err := os.CreateTemp(l.dir, unfinished) // mode 0600
	if err != nil {
		return fmt.Errorf("write the pinned catalogue: %w", err)
	}
	_, err = tmp.Write(append(data, '\n'))
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), filepath.Join(l.dir, stateFile))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write the pinned catalogue: %w", err), os.Remove(tmp.Name()))
	}
	return syncFolder(l.dir)
}

// prune removes the files that no pin names any more.
func (l *Locked) prune(pins []Pin) error {
	wanted := map[string]bool{}
	for _, p := range pins {
		wanted[p.folder()] = true
	}
	entries, err := os.ReadDir(l.dir)
	if err != nil {
		return fmt.Errorf("look for old catalogues: %w", err)
	}
	for _, e := range entries {
		commit, _, _ := strings.Cut(e.Name(), "-")
		if e.IsDir() && isCommit(commit) && !wanted[e.Name()] {
			err = errors.Join(err, os.RemoveAll(filepath.Join(l.dir, e.Name())))
		}
	}
	return err
}
