package catalogue

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"

	"github.com/secondline-ops/secondline/internal/fault"
)

// TestOnlyFilesHaveADigest: what a link names can change without it, and what a
// pipe says is never over.
func TestOnlyFilesHaveADigest(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(dir string) error{
		"a link to a file":   func(dir string) error { return os.Symlink("a.yaml", filepath.Join(dir, "b.yaml")) },
		"a link to a folder": func(dir string) error { return os.Symlink("/etc", filepath.Join(dir, "b.yaml")) },
		"a link to nothing":  func(dir string) error { return os.Symlink("nowhere", filepath.Join(dir, "b.yaml")) },
		"a pipe":             func(dir string) error { return unix.Mkfifo(filepath.Join(dir, "b.yaml"), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "a.yaml"), []byte("a\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			whole, err := digestOf(os.DirFS(dir))
			if err != nil || !strings.HasPrefix(whole, "sha256:") {
				t.Fatalf("%q, %v", whole, err)
			}
			if err := spoil(dir); err != nil {
				t.Fatal(err)
			}
			digest, err := digestOf(notOpened{os.DirFS(dir)})
			if !fault.Is(err, fault.Invalid) || digest != "" || !strings.Contains(err.Error(), "b.yaml does not belong there") {
				t.Errorf("%q, %v", digest, err)
			}
		})
	}
}

// notOpened has a file that must not be opened: a pipe would wait for its writer.
type notOpened struct{ fs.FS }

func (n notOpened) Open(name string) (fs.File, error) {
	if name == "b.yaml" {
		return nil, fs.ErrPermission
	}
	return n.FS.Open(name)
}

func TestTooManyFilesHaveNoDigest(t *testing.T) {
	t.Parallel()
	tree := fstest.MapFS{}
	for i := range MaxTreeFiles {
		tree[strings.Repeat("a", 1+i/26/26)+string(rune('a'+i/26%26))+string(rune('a'+i%26))] = &fstest.MapFile{}
	}
	if len(tree) != MaxTreeFiles {
		t.Fatalf("%d files", len(tree))
	}
	if _, err := digestOf(tree); err != nil {
		t.Errorf("%d files: %v", MaxTreeFiles, err)
	}
	tree["one-more"] = &fstest.MapFile{}
	if _, err := digestOf(tree); !fault.Is(err, fault.Invalid) {
		t.Errorf("one more: %v", err)
	}
}
