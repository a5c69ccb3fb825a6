package catalogue

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"

	"github.com/secondline-ops/secondline/internal/fault"
)

// digestOf returns "sha256:" and the hex digest of all files: their names, in
// order, and their bytes, each with its length, so that no two trees have the
// same one.
func digestOf(tree fs.FS) (string, error) {
	sum := sha256.New()
	add := func(size int64, r io.Reader) error {
		if err := binary.Write(sum, binary.BigEndian, size); err != nil {
			return err
		}
		_, err := io.Copy(sum, r)
		return err
	}
	files := 0
	err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error { // in the order of names
		if err != nil || entry.IsDir() {
			return err
		}
		if files++; files > MaxTreeFiles || !entry.Type().IsRegular() {
			return fault.New(fault.Invalid, "%s does not belong there", name)
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		f, err := tree.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := binary.Write(sum, binary.BigEndian, int64(len(name))); err != nil {
			return err
		}
		if _, err := io.WriteString(sum, name); err != nil {
			return err
		}
		return add(info.Size(), io.LimitReader(f, info.Size()+1)) // one more, so that a file that grows is not taken for whole
	})
	if err != nil {
		return "", fmt.Errorf("read the files of the catalogue: %w", err)
	}
	return "sha256:" + hex.EncodeToString(sum.Sum(nil)), nil
}
