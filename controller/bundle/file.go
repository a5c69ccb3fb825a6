package bundle

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// WriteFile writes the bundle to a file, whole or not at all: when anything goes
// wrong, signing too, no file of that name is made or changed, and nothing is
// left beside it.
func WriteFile(path string, b *Bundle, signer Signer) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".bundle-*")
	if err != nil {
		return fmt.Errorf("write bundle: %w", err)
	}
	err = Write(tmp, b, signer)
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write bundle: %w", err), os.Remove(tmp.Name()))
	}
	return nil
}
