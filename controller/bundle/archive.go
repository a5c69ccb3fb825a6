package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"unicode"

	"github.com/secondline-ops/secondline/internal/fault"
)

// Write writes the bundle as a .tar.gz: the same bundle gives the same bytes.
// A nil signer leaves it unsigned; a signer that fails fails the bundle.
func Write(w io.Writer, b *Bundle, signer Signer) error {
	signature := b.signature
	if signer != nil {
		armored, err := signer.Sign(Namespace, b.sealed)
		if err != nil {
			return fmt.Errorf("sign bundle: %w", err)
		}
		signature = armored
	}
	zip := gzip.NewWriter(w)
	archive := tar.NewWriter(zip)
	put := func(name string, data []byte) error {
		err := archive.WriteHeader(&tar.Header{
			Name: fmt.Sprintf("incident-%d/%s", b.Number(), name), Mode: 0o644, Size: int64(len(data)), ModTime: b.manifest.MadeAt.Truncate(1e9),
			Typeflag: tar.TypeReg, Format: tar.FormatPAX,
		})
		if err == nil {
			_, err = archive.Write(data)
		}
		if err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
		return nil
	}
	// The manifest and its signature come first: who reads a stream knows what to expect.
	if err := put(manifestFile, b.sealed); err != nil {
		return err
	}
	if signature != nil {
		if err := put(signatureFile, signature); err != nil {
			return err
		}
	}
	for _, name := range b.Files() {
		if err := put(name, b.files[name]); err != nil {
			return err
		}
	}
	if err := errors.Join(archive.Close(), zip.Close()); err != nil {
		return fmt.Errorf("finish bundle: %w", err)
	}
	return nil
}

// bounds are what is read of an archive at most.
type bounds struct {
	files      int
	fileBytes  int64
	totalBytes int64
	rawBytes   int64 // unpacked, with all headers and padding
}

// Read reads an archive that anybody may have made. Sizes, counts and names are
// bounded, and everything that is not a plain file of its own name is refused,
// with an error of kind Invalid or TooLarge. What it says is not checked: that
// is Verify.
func Read(r io.Reader) (*Bundle, error) {
	return read(r, bounds{files: maxFiles, fileBytes: maxFileBytes, totalBytes: maxTotalBytes, rawBytes: maxTotalBytes + maxFiles*2048})
}

func read(r io.Reader, most bounds) (*Bundle, error) {
	found, err := unpack(r, most)
	if err != nil {
		return nil, err
	}
	b := &Bundle{sealed: found[manifestFile], signature: found[signatureFile], files: found}
	delete(found, manifestFile)
	delete(found, signatureFile)
	if b.sealed == nil {
		return nil, fault.New(fault.Invalid, "the bundle has no %s", manifestFile)
	}
	if err := json.Unmarshal(b.sealed, &b.manifest); err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "read %s", manifestFile)
	}
	if b.manifest.Schema != Schema {
		return nil, fault.New(fault.Invalid, "the bundle is of schema %q, not %s", b.manifest.Schema, Schema)
	}
	return b, nil
}

// unpack returns the files of an archive by their names.
func unpack(r io.Reader, most bounds) (map[string][]byte, error) {
	unzipped, err := gzip.NewReader(r)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "read bundle")
	}
	bounded := &io.LimitedReader{R: unzipped, N: most.rawBytes}
	failed := func(err error, what string) error {
		if bounded.N <= 0 {
			return fault.New(fault.TooLarge, "the bundle unpacks to more than %d bytes", most.rawBytes)
		}
		return fault.Wrap(fault.Invalid, err, "read %s", what)
	}
	archive := tar.NewReader(bounded)
	found := map[string][]byte{}
	root, total := "", int64(0)
	for entries := 0; ; entries++ {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, failed(err, "bundle")
		}
		// Manifest and signature come on top; so do a few folders.
		if entries >= most.files+most.files/10+2 || header.Size > most.fileBytes || total+header.Size > most.totalBytes {
			return nil, fault.New(fault.TooLarge, "the bundle has more than %d files or %d MiB", most.files, most.totalBytes>>20)
		}
		if header.Typeflag == tar.TypeDir {
			continue // somebody unpacked it and packed it again
		}
		name, err := entryName(header, &root)
		if err != nil {
			return nil, err
		}
		if _, twice := found[name]; twice {
			return nil, fault.New(fault.Invalid, "the bundle has %q twice", name)
		}
		// Grows with what is there, not with what the header promises.
		var data bytes.Buffer
		if _, err := io.Copy(&data, io.LimitReader(archive, most.fileBytes)); err != nil {
			return nil, failed(err, fmt.Sprintf("%q", name))
		}
		found[name] = data.Bytes()
		total += int64(data.Len())
	}
	if err := onlyZeros(bounded); err != nil || bounded.N <= 0 {
		return nil, failed(err, "the end of the bundle")
	}
	return found, nil
}

// onlyZeros reads to the end, with gzip's checksum: some programs would unpack
// what stands behind the end of an archive, where nothing is verified.
func onlyZeros(r io.Reader) error {
	block := make([]byte, 32<<10)
	for {
		n, err := r.Read(block)
		if len(bytes.Trim(block[:n], "\x00")) > 0 {
			return errors.New("something follows the end of the archive")
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// entryName returns the name below the one folder that all entries share.
func entryName(h *tar.Header, root *string) (string, error) {
	if h.Typeflag != tar.TypeReg {
		return "", fault.New(fault.Invalid, "the bundle has %q, which is not a plain file", h.Name)
	}
	name := strings.TrimPrefix(h.Name, "./")
	top, rest, ok := strings.Cut(name, "/")
	if len(name) > maxNameBytes || !ok || top == "" || top == ".." || rest == "" || path.Clean("/"+rest) != "/"+rest ||
		strings.ContainsRune(name, '\\') || strings.ContainsFunc(name, unicode.IsControl) {
		return "", fault.New(fault.Invalid, "the bundle has a file of the name %q, which is refused", h.Name)
	}
	if *root == "" {
		*root = top
	}
	if *root != top {
		return "", fault.New(fault.Invalid, "the bundle has the folders %q and %q", *root, top)
	}
	return rest, nil
}
