package runbooks

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
)

// MaxRunbooks bounds how many files a catalogue takes.
const MaxRunbooks = 2000

// TestDataDir is the folder beside runbooks that holds what they are tested with.
const TestDataDir = "testdata"

// Catalogue is a set of runbooks with unique names. It does not change after
// it was loaded and is safe for concurrent use.
type Catalogue struct {
	byName map[string]*Runbook
	names  []string // sorted
}

// LoadCatalogue parses every .yaml and .yml file below the root of fsys. It
// reports the mistakes of all files at once, and takes none when there are any:
// half a catalogue would act differently from the one that was reviewed. Files
// are read on all processors, so fsys and the decoders are safe for concurrent
// use.
func LoadCatalogue(fsys fs.FS, o ParseOptions) (*Catalogue, error) {
	c := &Catalogue{byName: map[string]*Runbook{}}
	files, err := ListFiles(fsys)
	if err != nil {
		return nil, err
	}
	if o.Language == nil {
		o.Language = new(expr.Language)
	}
	loaded := make([]loadedFile, len(files))
	known := map[string]*Runbook{}
	for waiting := everyIndex(files); len(waiting) > 0; {
		loadFiles(fsys, files, loaded, waiting, known, o)
		for _, i := range waiting {
			if rb := loaded[i].rb; rb != nil {
				known[rb.Name] = rb
			}
		}
		// Those that call one which has been read by now are read again.
		waiting = slices.DeleteFunc(everyIndex(files), func(i int) bool { return known[loaded[i].missing] == nil })
	}
	var errs []error
	for _, f := range loaded {
		if f.err != nil {
			errs = append(errs, f.err)
			continue
		}
		errs = append(errs, c.add(f.rb))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	slices.Sort(c.names)
	return c, nil
}

// loadedFile is what became of one file.
type loadedFile struct {
	rb      *Runbook
	err     error
	missing string // a runbook that it calls, and that is not known; "" when there is none
}

func everyIndex(files []string) []int {
	all := make([]int, len(files))
	for i := range files {
		all[i] = i
	}
	return all
}

// loadFiles reads the files of the indices into the list.
func loadFiles(fsys fs.FS, files []string, into []loadedFile, indices []int, known map[string]*Runbook, o ParseOptions) {
	next := make(chan int)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for i := range next {
				into[i] = loadOne(fsys, files[i], known, o)
			}
		})
	}
	for _, i := range indices {
		next <- i
	}
	close(next)
	workers.Wait()
}

func loadOne(fsys fs.FS, file string, known map[string]*Runbook, o ParseOptions) loadedFile {
	var one loadedFile
	inner := o
	inner.Called = func(name string) (*Runbook, bool) {
		rb, ok := known[name]
		if !ok {
			rb, ok = o.called(name)
		}
		if !ok {
			one.missing = name
		}
		return rb, ok
	}
	one.rb, one.err = loadFile(fsys, file, inner)
	return one
}

// NewCatalogue returns the catalogue of the runbooks, which may come from
// several folders. A name that is there twice is refused.
func NewCatalogue(list []*Runbook) (*Catalogue, error) {
	c := &Catalogue{byName: map[string]*Runbook{}}
	var errs []error
	for _, rb := range list {
		errs = append(errs, c.add(rb))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	slices.Sort(c.names)
	return c, nil
}

func (c *Catalogue) add(rb *Runbook) error {
	if first, ok := c.byName[rb.Name]; ok {
		return fault.New(fault.Conflict, "%s: runbook %s is already in %s", rb.File, rb.Name, first.File)
	}
	c.byName[rb.Name] = rb
	c.names = append(c.names, rb.Name)
	return nil
}

// ListFiles returns the files that LoadCatalogue reads, by their names in fsys.
// Hidden files and folders are none, and neither is what is in a folder
// "testdata": recorded cases lie there.
func ListFiles(fsys fs.FS) ([]string, error) {
	var files []string
	err := fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		hidden := strings.HasPrefix(entry.Name(), ".") && name != "."
		if entry.IsDir() && (hidden || entry.Name() == TestDataDir) {
			return fs.SkipDir
		}
		if ext := path.Ext(name); entry.IsDir() || hidden || ext != ".yaml" && ext != ".yml" {
			return nil
		}
		if len(files) == MaxRunbooks {
			return fault.New(fault.TooLarge, "catalogue has more than %d runbooks", MaxRunbooks)
		}
		files = append(files, name)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list runbooks: %w", err)
	}
	return files, nil
}

func loadFile(fsys fs.FS, name string, o ParseOptions) (_ *Runbook, err error) {
	defer func() {
		if r := recover(); r != nil { // of a decoder; no file may take the process down
			err = fault.New(fault.Internal, "read runbook %s: %v", name, r)
		}
	}()
	f, err := fsys.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open runbook: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	data, err := io.ReadAll(io.LimitReader(f, MaxFileBytes+1)) // one more than allowed, so that Parse refuses it
	if err != nil {
		return nil, fmt.Errorf("read runbook %s: %w", name, err)
	}
	return Parse(name, data, o)
}

// Find returns the runbook of the name.
func (c *Catalogue) Find(name string) (*Runbook, bool) {
	rb, ok := c.byName[name]
	return rb, ok
}

// ForCause returns the runbooks that cure the cause, by name.
func (c *Catalogue) ForCause(id string) []*Runbook {
	found := []*Runbook{}
	for _, rb := range c.All() {
		if slices.Contains(rb.Cures, id) {
			found = append(found, rb)
		}
	}
	return found
}

// All returns every runbook, by name.
func (c *Catalogue) All() []*Runbook {
	all := make([]*Runbook, 0, len(c.names))
	for _, name := range c.names {
		all = append(all, c.byName[name])
	}
	return all
}
