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

// Read reads an archive that anybody may have made. Sizes, counts and names are
// bounded, and everything that is not a plain file of its own name is refused.
// What it says is not checked: that is Verify.
func Read(r io.Reader) (*Bundle, error) {
	unzipped, err := gzip.NewReader(r)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "read bundle")
	}
	archive := tar.NewReader(io.LimitReader(unzipped, maxTotalBytes+maxFiles*2048))
	b := &Bundle{files: map[string][]byte{}}
	found := map[string][]byte{}
	root, total := "", 0
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fault.Wrap(fault.Invalid, err, "read bundle")
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
		if len(found) >= maxFiles+2 || header.Size > maxFileBytes || total+int(header.Size) > maxTotalBytes {
			return nil, fault.New(fault.TooLarge, "the bundle has more than %d files or %d MiB", maxFiles, maxTotalBytes>>20)
		}
		// Grows with what is there, not with what the header promises.
		var data bytes.Buffer
		if _, err := io.Copy(&data, io.LimitReader(archive, maxFileBytes)); err != nil {
			return nil, fault.Wrap(fault.Invalid, err, "read %q", name)
		}
		found[name] = data.Bytes()
		total += data.Len()
	}
	b.sealed, b.signature = found[manifestFile], found[signatureFile]
	delete(found, manifestFile)
	delete(found, signatureFile)
	b.files = found
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

// entryName returns the name below the one folder that all entries share.
func entryName(h *tar.Header, root *string) (string, error) {
	if h.Typeflag != tar.TypeReg {
		return "", fault.New(fault.Invalid, "the bundle has %q, which is not a plain file", h.Name)
	}
	name := strings.TrimPrefix(h.Name, "./")
	top, rest, ok := strings.Cut(name, "/")
	if len(name) > maxNameBytes || !ok || top == "" || top == ".." || rest == "" || path.Clean("/"+rest) != "/"+rest ||
		strings.ContainsAny(name, "\\\x00") {
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
