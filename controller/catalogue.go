package controller

import (
	"errors"
	"io/fs"
	"slices"
	"time"

	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/runbooks"
)

// Catalogue is what the controller knows of causes and cures: the shipped ones
// and those of the owner's folders. It does not change; a reload makes another.
type Catalogue struct {
	Causes   *diagnostics.Catalogue
	Runbooks *runbooks.Catalogue
	docs     []job.Document // of all causes, as jobs carry them
}

// CatalogueSource says where causes and runbooks come from, and what they may use.
type CatalogueSource struct {
	Causes   []fs.FS
	Runbooks []fs.FS
	Probes   *diagnostics.ProbeSet
	Decoders []runbooks.Decoder
	// Vouch has to accept each runbook of the folders Signed, which are read
	// besides Runbooks. nil accepts all.
	Vouch  func(dir fs.FS, rb *runbooks.Runbook) error
	Signed []fs.FS
}

// LoadCatalogue reads everything and reports all mistakes at once. With any
// mistake there is no catalogue: half of one would decide differently from the
// one that was reviewed.
func LoadCatalogue(src CatalogueSource) (*Catalogue, error) {
	var errs []error
	var causes []*diagnostics.Cause
	for _, dir := range src.Causes {
		c, err := diagnostics.LoadCatalogue(dir, src.Probes)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		causes = append(causes, c.All()...)
	}
	all, err := diagnostics.NewCatalogue(causes)
	if err != nil {
		return nil, errors.Join(append(errs, err)...)
	}
	var books []*runbooks.Runbook
	o := runbooks.ParseOptions{Decoders: src.Decoders, Probes: diagnostics.SpecsOf(src.Probes), Forbidden: all.Forbidden()}
	before := runbooks.Shelf{} // of the folders before
	o.Called = before.Find
	for i, dir := range slices.Concat(src.Runbooks, src.Signed) {
		c, err := runbooks.LoadCatalogue(dir, o)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		books = append(books, c.All()...)
		before.Put(c.All()...)
		if i >= len(src.Runbooks) {
			errs = append(errs, src.vouched(dir, c))
		}
	}
	allBooks, err := runbooks.NewCatalogue(books)
	errs = append(errs, err)
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	c := &Catalogue{Causes: all, Runbooks: allBooks}
	for _, cause := range all.All() {
		if !cause.Diagnosed() {
			continue // no agent can do anything with it
		}
		c.docs = append(c.docs, job.Document{Name: cause.File, Digest: cause.Digest, Body: cause.Source})
	}
	return c, nil
}

// vouched asks for each runbook of the folder whether somebody vouches for it.
func (src CatalogueSource) vouched(dir fs.FS, c *runbooks.Catalogue) error {
	if src.Vouch == nil {
		return nil
	}
	var errs []error
	for _, rb := range c.All() {
		errs = append(errs, src.Vouch(dir, rb))
	}
	return errors.Join(errs...)
}

// Cures reports whether the runbook exists and is for the cause.
func (c *Catalogue) Cures(runbook, cause string) bool {
	rb, ok := c.Runbooks.Find(runbook)
	return ok && slices.Contains(rb.Cures, cause)
}

// Measurable reports whether the cause says how its symptom is measured.
func (c *Catalogue) Measurable(cause string) bool {
	found, err := c.Causes.Find(cause)
	return err == nil && found.Symptoms.Holds != ""
}

// Measurement returns the cause's file, and how long its symptom must stay gone.
func (c *Catalogue) Measurement(cause string) (job.Document, time.Duration, bool) {
	found, err := c.Causes.Find(cause)
	if err != nil || !found.Diagnosed() {
		return job.Document{}, 0, false
	}
	return job.Document{Name: found.File, Digest: found.Digest, Body: found.Source}, found.Symptoms.Hold, true
}

// CauseDocuments returns the files of all causes.
func (c *Catalogue) CauseDocuments() []job.Document { return c.docs }

// RunbookDocument returns the file of a runbook.
func (c *Catalogue) RunbookDocument(name string) (job.Document, bool) {
	rb, ok := c.Runbooks.Find(name)
	if !ok {
		return job.Document{}, false
	}
	return documentOf(rb), true
}

// CalledDocuments returns the files of the runbooks that the one of the name
// calls, none before those that it calls itself.
func (c *Catalogue) CalledDocuments(name string) []job.Document {
	rb, ok := c.Runbooks.Find(name)
	if !ok {
		return nil
	}
	var docs []job.Document
	for _, called := range rb.Called() {
		docs = append(docs, documentOf(called))
	}
	return docs
}

func documentOf(rb *runbooks.Runbook) job.Document {
	return job.Document{Name: rb.File, Digest: rb.Digest, Body: rb.Source}
}
