package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/secondline-ops/secondline/internal/fault"
)

func TestReadRefusesHostileArchives(t *testing.T) {
	t.Parallel()
	entry := func(name string, kind byte) []tar.Header {
		return []tar.Header{{Name: name, Typeflag: kind, Linkname: "/etc/passwd"}}
	}
	for name, c := range map[string]struct {
		headers []tar.Header
		kind    fault.Kind
	}{
		"up":          {entry("a/../../x", tar.TypeReg), fault.Invalid},
		"absolute":    {entry("/etc/x", tar.TypeReg), fault.Invalid},
		"dots":        {entry("../x", tar.TypeReg), fault.Invalid},
		"link":        {entry("a/x", tar.TypeSymlink), fault.Invalid},
		"hard link":   {entry("a/x", tar.TypeLink), fault.Invalid},
		"device":      {entry("a/x", tar.TypeChar), fault.Invalid},
		"block":       {entry("a/x", tar.TypeBlock), fault.Invalid},
		"pipe":        {entry("a/x", tar.TypeFifo), fault.Invalid},
		"sparse":      {entry("a/x", tar.TypeGNUSparse), fault.Invalid},
		"escape":      {entry("a/\x1b[2Jx", tar.TypeReg), fault.Invalid},
		"line's end":  {entry("a/x\ny", tar.TypeReg), fault.Invalid},
		"backslash":   {entry("a/..\\x", tar.TypeReg), fault.Invalid},
		"respelled":   {[]tar.Header{{Name: "a/x"}, {Name: "./a/x"}}, fault.Invalid},
		"huge name":   {entry("a/"+strings.Repeat("x", 500<<10), tar.TypeReg), fault.Invalid},
		"no folder":   {entry("x", tar.TypeReg), fault.Invalid},
		"two folders": {[]tar.Header{{Name: "a/x"}, {Name: "b/x"}}, fault.Invalid},
		"twice":       {[]tar.Header{{Name: "a/x"}, {Name: "a/x"}}, fault.Invalid},
		"long name":   {entry("a/"+strings.Repeat("x", 300), tar.TypeReg), fault.Invalid},
		"no manifest": {entry("a/x", tar.TypeReg), fault.Invalid},
		"huge":        {[]tar.Header{{Name: "a/x", Size: 1 << 40}}, fault.TooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b bytes.Buffer
			z := gzip.NewWriter(&b)
			w := tar.NewWriter(z)
			for _, h := range c.headers {
				if err := w.WriteHeader(&h); err != nil {
					t.Fatal(err)
				}
			}
			w.Flush()
			z.Close()
			if _, err := Read(&b); !fault.Is(err, c.kind) {
				t.Errorf("got %v, want %s", err, c.kind)
			}
		})
	}
}

// stream is an archive without end, made while it is read; made counts its entries.
func stream(t *testing.T, h tar.Header, data []byte, made *atomic.Int64) io.Reader {
	t.Helper()
	in, out := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		z := gzip.NewWriter(out)
		w := tar.NewWriter(z)
		for err := error(nil); err == nil; {
			entry := h
			entry.Name = fmt.Sprintf(h.Name, made.Add(1))
			entry.Size = int64(len(data))
			if err = w.WriteHeader(&entry); err == nil {
				_, err = w.Write(data)
			}
		}
		out.CloseWithError(errors.Join(w.Close(), z.Close()))
	}()
	t.Cleanup(func() { in.Close(); <-done })
	return in
}

// Archives that unpack to very much, or never end, are refused soon, and are
// not held in memory until then.
func TestReadIsBounded(t *testing.T) {
	t.Parallel()
	small := bounds{files: 50, fileBytes: 1 << 20, totalBytes: 4 << 20, rawBytes: 5 << 20}
	for name, c := range map[string]struct {
		header tar.Header
		data   []byte
		most   int64 // entries that may be read; gzip's buffers hold some more
	}{
		"a bomb of files":     {tar.Header{Name: "a/%d"}, make([]byte, 1<<20), 10},
		"files without end":   {tar.Header{Name: "a/%d"}, nil, 10_000},
		"folders without end": {tar.Header{Name: "a/%d/", Typeflag: tar.TypeDir}, nil, 10_000},
		"headers without end": {tar.Header{Name: "a/%d", PAXRecords: map[string]string{"SECONDLINE.x": strings.Repeat("x", 900<<10)}}, nil, 20},
	} {
		var made atomic.Int64
		if _, err := read(stream(t, c.header, c.data, &made), small); !fault.Is(err, fault.TooLarge) {
			t.Errorf("%s: %v", name, err)
		}
		if n := made.Load(); n > c.most {
			t.Errorf("%s: %d entries were read", name, n)
		}
	}
}

// A million files are refused by the bounds that hold outside of tests.
func TestReadRefusesAMillionFiles(t *testing.T) {
	t.Parallel()
	var made atomic.Int64
	if _, err := Read(stream(t, tar.Header{Name: "a/%d"}, nil, &made)); !fault.Is(err, fault.TooLarge) {
		t.Errorf("got %v", err)
	}
	if n := made.Load(); n > 100_000 {
		t.Errorf("%d entries were read", n)
	}
}

// Behind the end of an archive stands nothing: other programs may unpack it,
// and nobody has verified it.
func TestReadRefusesWhatFollowsTheEnd(t *testing.T) {
	t.Parallel()
	archive, _ := written(t, assemble(t, newWorld(t, "x")), nil)
	unzip := func() []byte {
		z, err := gzip.NewReader(bytes.NewReader(archive))
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(z)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	zip := func(data []byte) []byte {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		z.Write(data)
		z.Close()
		return b.Bytes()
	}
	for name, c := range map[string]struct {
		archive []byte
		refused bool
	}{
		"as it was":            {zip(unzip()), false},
		"padded":               {zip(append(unzip(), make([]byte, 8192)...)), false},
		"a second archive":     {zip(append(unzip(), unzip()...)), true},
		"a second member":      {append(bytes.Clone(archive), archive...), true},
		"something else":       {append(bytes.Clone(archive), "more"...), true},
		"without its checksum": {archive[:len(archive)-4], true},
	} {
		if _, err := Read(bytes.NewReader(c.archive)); (err != nil) != c.refused || err != nil && !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("no archive"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var zipped bytes.Buffer
		z := gzip.NewWriter(&zipped)
		z.Write(data)
		z.Close()
		b, err := Read(&zipped)
		if err == nil {
			Verify(b, asked(t))
		}
	})
}
