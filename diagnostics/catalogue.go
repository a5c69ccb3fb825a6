package diagnostics

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/yamlx"
)

// maxCauseBytes bounds a cause file.
const maxCauseBytes = 256 << 10

// Catalogue is a set of causes. It does not change and is safe for concurrent
// use.
type Catalogue struct {
	causes []*Cause // in the order of their ids
}

// NewCatalogue returns the catalogue of the causes. Two of one id are an error.
func NewCatalogue(causes []*Cause) (*Catalogue, error) {
	sorted := slices.SortedFunc(slices.Values(causes), func(a, b *Cause) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.File, b.File))
	})
	var problems []error
	for i := 1; i < len(sorted); i++ {
		if sorted[i].ID == sorted[i-1].ID {
			problems = append(problems, fault.New(fault.Invalid, "%s: cause %q is already in %s", sorted[i].File, sorted[i].ID, sorted[i-1].File))
		}
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return &Catalogue{causes: sorted}, nil
}

// LoadCatalogue reads every *.yaml file at the top of fsys as a cause. All
// mistakes of all files are reported at once.
func LoadCatalogue(fsys fs.FS, probes *ProbeSet) (*Catalogue, error) {
	files, err := fs.Glob(fsys, "*.yaml")
	if err != nil {
		return nil, fmt.Errorf("list causes: %w", err)
	}
	var causes []*Cause
	var problems []error
	for _, file := range files {
		cause, err := loadCause(fsys, file, probes)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		causes = append(causes, cause)
	}
	cat, err := NewCatalogue(causes)
	if err := errors.Join(append(problems, err)...); err != nil {
		return nil, err
	}
	return cat, nil
}

func loadCause(fsys fs.FS, file string, probes *ProbeSet) (*Cause, error) {
	info, err := fs.Stat(fsys, file)
	if err != nil {
		return nil, fmt.Errorf("read cause: %w", err)
	}
	if info.Size() > maxCauseBytes {
		return nil, fault.New(fault.TooLarge, "%s has %d bytes, more than %d", file, info.Size(), maxCauseBytes)
	}
	data, err := fs.ReadFile(fsys, file)
	if err != nil {
		return nil, fmt.Errorf("read cause: %w", err)
	}
	return ParseCause(path.Base(file), data, probes)
}

// Find returns the cause of the id, or an error of kind NotFound.
func (c *Catalogue) Find(id string) (*Cause, error) {
	ids := make([]string, len(c.causes))
	for i, cause := range c.causes {
		if ids[i] = cause.ID; cause.ID == id {
			return cause, nil
		}
	}
	err := fault.New(fault.NotFound, "there is no cause %q", id)
	if near := yamlx.Suggest(id, ids); near != "" {
		err = err.WithHint("did you mean %q?", near)
	}
	return nil, err
}

// Forbidden returns what no cure of a cause may do, by the cause's id.
func (c *Catalogue) Forbidden() map[string][]string {
	all := map[string][]string{}
	for _, cause := range c.causes {
		all[cause.ID] = cause.Forbids
	}
	return all
}

// All returns the causes in the order of their ids.
func (c *Catalogue) All() []*Cause { return slices.Clone(c.causes) }
