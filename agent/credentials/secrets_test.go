package credentials

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/secondline-ops/secondline/internal/fault"
)

func TestASecretIsAFileThatNobodyElseReads(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := Secrets{Dir: dir}
	write := func(name, text string, mode os.FileMode) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct{ text, want string }{
		"plain": {"a-long-value\n", "a-long-value"}, "no-newline": {"a-long-value", "a-long-value"}, "two-newlines": {"a-long-value\n\n", "a-long-value\n"},
		"dos": {"a-long-value\r\n", "a-long-value"}, "lines": {"first\nsecond-line\n", "first\nsecond-line"}, "largest": {strings.Repeat("x", maxSecretBytes), strings.Repeat("x", maxSecretBytes)},
	} {
		write(name, c.text, 0o400)
		got, err := s.Get(t.Context(), name)
		if err != nil || got.Reveal() != c.want {
			t.Errorf("%s: %.30q, %v", name, got.Reveal(), err)
		}
		if err := s.Has(t.Context(), name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	write("group", "tell-tale-value", 0o640)
	write("others", "tell-tale-value", 0o604)
	write("large", strings.Repeat("x", maxSecretBytes+1), 0o600)
	if err := os.Symlink("plain", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		kind fault.Kind
		says string
	}{
		"group": {fault.Denied, "open to others"}, "others": {fault.Denied, "open to others"}, "large": {fault.TooLarge, "more than 65536"},
		"link": {fault.Denied, "is a link"}, "pipe": {fault.Denied, "is a pipe"}, "folder": {fault.Denied, "is a folder"},
		"missing": {fault.NotFound, "this agent has no secret missing"}, "../plain": {fault.Invalid, "not the name"}, "": {fault.Invalid, "not the name"},
	} {
		_, get := s.Get(t.Context(), name)
		for deed, err := range map[string]error{"has": s.Has(t.Context(), name), "get": get} {
			if !fault.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "tell-tale") {
				t.Errorf("%s %q: %v", deed, name, err)
			}
		}
	}
	if _, err := (Secrets{Dir: dir, FromSystemd: true}).Get(t.Context(), "group"); err != nil {
		t.Errorf("an access list of systemd: %v", err)
	}
	if _, err := (Secrets{Dir: dir, FromSystemd: true}).Get(t.Context(), "others"); err == nil {
		t.Error("open to all, and taken from systemd")
	}
}

func TestASecretThatCouldNotBeHiddenIsRefused(t *testing.T) {
	t.Parallel()
	s := Secrets{Dir: t.TempDir()}
	for _, text := range []string{"", "\n", "abc", "redacted", "known", "password\n", "bin\x00ary-value", "latin-\xe9-value"} {
		if err := os.WriteFile(filepath.Join(s.Dir, "it"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Get(t.Context(), "it"); !fault.Is(err, fault.Invalid) || len(text) > 4 && strings.Contains(err.Error(), strings.TrimSpace(text)) {
			t.Errorf("%q: %v", text, err)
		}
		if err := s.Has(t.Context(), "it"); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q is planned and would then be refused: %v", text, err)
		}
	}
}

func TestASecretOfSomebodyElseIsRefused(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root to make a file of somebody else")
	}
	s := Secrets{Dir: t.TempDir()}
	path := filepath.Join(s.Dir, "it")
	if err := os.WriteFile(path, []byte("a-long-value"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), "it"); !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), "belongs to the user 65534") {
		t.Errorf("got %v", err)
	}
}
