package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/secondline-ops/secondline/controller"
	"github.com/secondline-ops/secondline/controller/catalogue"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/diagnostics/causes"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/sshsig"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/actions"
	"github.com/secondline-ops/secondline/runbooks/library"
)

// runbookNamespace is what the signature of a runbook is for (ssh-keygen -n).
const runbookNamespace = "secondline-runbook"

// signatureSuffix is what ssh-keygen -Y sign adds to the name of a file.
const signatureSuffix = ".sig"

// source is where the configuration has causes and runbooks fetched from.
func (g gitConfig) source() catalogue.Source {
	return catalogue.Source{URL: g.URL, Ref: g.Ref, Path: g.Path, Signers: g.Signers}
}

// catalogue loads what is in force: what is shipped, the folders, and the pinned
// commit, which is nil when there is none.
func (c controllerConfig) catalogue(probes *diagnostics.ProbeSet) (*catalogue.Pin, *controller.Catalogue, error) {
	pin, tree, err := c.pinned()
	if err != nil {
		return nil, nil, err
	}
	cat, err := c.loadCatalogue(tree, probes)
	return pin, cat, err
}

// pinned returns the pin in force with its files.
func (c controllerConfig) pinned() (*catalogue.Pin, catalogue.Tree, error) {
	if c.Catalogue.Git == (gitConfig{}) {
		return nil, catalogue.Tree{}, nil
	}
	if err := c.Catalogue.Git.source().Validate(); err != nil {
		return nil, catalogue.Tree{}, err
	}
	folder := catalogue.In(c.DataDir)
	pins, err := folder.Pins()
	if err != nil || len(pins) == 0 {
		return nil, catalogue.Tree{}, err
	}
	if err := c.Catalogue.Git.admits(pins[0]); err != nil {
		return nil, catalogue.Tree{}, err
	}
	tree, err := folder.Open(pins[0])
	return &pins[0], tree, err
}

// admits refuses what was pinned when no signature was asked for.
func (g gitConfig) admits(p catalogue.Pin) error {
	if g.Signers != "" && p.Signer == "" {
		return fault.New(fault.Denied, "the pinned commit %.12s was pulled without asking for its signature, which catalogue.git.signers does", p.Commit).
			WithHint("pull it again: secondline catalogue pull")
	}
	return nil
}

// loadCatalogue loads what would be in force with the tree.
func (c controllerConfig) loadCatalogue(tree catalogue.Tree, probes *diagnostics.ProbeSet) (*controller.Catalogue, error) {
	src := controller.CatalogueSource{
		Causes: append([]fs.FS{causes.FS()}, folders(c.Causes)...), Runbooks: []fs.FS{library.FS()}, Signed: folders(c.Runbooks),
		Probes: probes, Decoders: actions.Decoders(),
	}
	if tree.Causes != nil {
		src.Causes = append(src.Causes, tree.Causes)
	}
	if tree.Runbooks != nil {
		src.Signed = append(slices.Clip(src.Signed), tree.Runbooks)
	}
	if c.RunbookSigners != "" {
		signers, err := readSigners(c.RunbookSigners)
		if err != nil {
			return nil, fmt.Errorf("runbook_signers: %w", err)
		}
		now := time.Now()
		src.Vouch = func(dir fs.FS, rb *runbooks.Runbook) error {
			_, err := signerOf(dir, rb.File, rb.Source, signers, now)
			return err
		}
	}
	return controller.LoadCatalogue(src)
}

func readSigners(path string) (*sshsig.Signers, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fault.Wrap(fault.NotFound, err, "read the allowed signers")
	}
	signers, err := sshsig.ParseSigners(data, time.Local)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return signers, nil
}

// unvouchedError says that a signature holds, or is not there, and that nobody
// who is allowed has signed.
type unvouchedError struct{ error }

func (e unvouchedError) Unwrap() error { return e.error }

// signerOf returns who signed the file, whose signature lies beside it.
func signerOf(dir fs.FS, file string, data []byte, signers *sshsig.Signers, now time.Time) (sshsig.Signer, error) {
	if info, err := fs.Stat(dir, file+signatureSuffix); err == nil && !info.Mode().IsRegular() {
		return sshsig.Signer{}, unvouchedError{fault.New(fault.Denied, "%s%s is no regular file", file, signatureSuffix)}
	}
	armored, err := fs.ReadFile(dir, file+signatureSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return sshsig.Signer{}, unvouchedError{fault.New(fault.Denied, "%s is not signed: there is no %s%s", file, file, signatureSuffix).
			WithHint("whoever may sign does so with: secondline runbook sign --key KEY FILE")}
	}
	if err != nil {
		return sshsig.Signer{}, fmt.Errorf("read the signature: %w", err)
	}
	key, err := sshsig.Verify(armored, data, runbookNamespace)
	if err != nil {
		return sshsig.Signer{}, fault.Wrap(fault.Denied, err, "%s%s does not sign %[1]s as it is", file, signatureSuffix).
			WithHint("the file was changed after it was signed, or signed for something else than %s; sign it again", runbookNamespace)
	}
	signer, err := signers.Find(key, runbookNamespace, now)
	if err != nil {
		return sshsig.Signer{}, unvouchedError{fault.Wrap(fault.Denied, err, "%s", file).WithHint("the allowed signers say who may sign, and until when")}
	}
	return signer, nil
}
