package main

import (
	"os"
	"path/filepath"
	"testing"
)

// TestServiceWithoutHomeFindsItsKeys: an agent as a service of systemd has no
// HOME, and the keys that its administrator gave it.
func TestServiceWithoutHomeFindsItsKeys(t *testing.T) {
	t.Parallel()
	if home := withHome(func(string) string { return "" })("HOME"); !filepath.IsAbs(home) {
		t.Errorf("without HOME the home is %q", home)
	}
	if home := withHome(func(string) string { return "/elsewhere" })("HOME"); home != "/elsewhere" {
		t.Errorf("HOME is not heeded: %q", home)
	}
	if shell := withHome(func(string) string { return "" })("SHELL"); shell != "" {
		t.Errorf("SHELL is %q", shell)
	}
	home := t.TempDir()
	key := filepath.Join(home, ".ssh", "id_ed25519")
	if err := os.MkdirAll(filepath.Dir(key), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(key, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	env := &environment{getenv: func(name string) string { return map[string]string{"HOME": home}[name] }}
	if files := usualIdentities(env); len(files) != 1 || files[0] != key {
		t.Errorf("got %q", files)
	}
}
