package sshsig

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/secondline-ops/secondline/internal/fault"
)

func TestSignatureIsForTheseBytesAndThisNamespace(t *testing.T) {
	t.Parallel()
	key, err := OpenKey(filepath.Join(t.TempDir(), "key"))
	if err != nil {
		t.Fatal(err)
	}
	sig, err := key.Sign("a", []byte("message"))
	if err != nil {
		t.Fatal(err)
	}
	if who, err := Verify(sig, []byte("message"), "a"); err != nil || !who.Equal(key.Public()) {
		t.Errorf("good: %v %v", who, err)
	}
	for name, c := range map[string]struct {
		sig       []byte
		message   string
		namespace string
	}{
		"message": {sig, "massage", "a"}, "namespace": {sig, "message", "b"}, "empty": {nil, "message", "a"}, "cut": {sig[:len(sig)/2], "message", "a"},
	} {
		if _, err := Verify(c.sig, []byte(c.message), c.namespace); !fault.Is(err, fault.Denied) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if (PublicKey{}).Equal(PublicKey{}) {
		t.Error("nobody equals nobody")
	}
}

func TestKeyIsMadeOnceAndKept(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key")
	prints := make([]string, 8)
	var wait sync.WaitGroup
	for i := range prints {
		wait.Go(func() {
			if key, err := OpenKey(path); err != nil {
				t.Error(err)
			} else {
				prints[i] = key.Public().Fingerprint()
			}
		})
	}
	wait.Wait()
	for _, p := range prints {
		if p != prints[0] || p == "" {
			t.Errorf("several keys: %q", prints)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v %v", info.Mode(), err)
	}
	line, err := os.ReadFile(path + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	if public, err := ParsePublicKey(line); err != nil || public.Fingerprint() != prints[0] {
		t.Errorf("public key: %v", err)
	}
	if list, _ := os.ReadDir(filepath.Dir(path)); len(list) != 2 {
		t.Errorf("left behind: %v", list)
	}
	os.Chmod(path, 0o644)
	if _, err := OpenKey(path); !fault.Is(err, fault.Denied) {
		t.Errorf("a key for all to read: %v", err)
	}
}

func TestOpenSSHReadsTheKey(t *testing.T) {
	t.Parallel()
	keygen, err := exec.LookPath("ssh-keygen")
	if err != nil {
		if os.Getenv("SECONDLINE_REQUIRE_REAL") == "1" {
			t.Fatal(err)
		}
		t.Skip("ssh-keygen is missing")
	}
	path := filepath.Join(t.TempDir(), "key")
	key, err := OpenKey(path)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), keygen, "-y", "-f", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	if public, err := ParsePublicKey(out); err != nil || !public.Equal(key.Public()) {
		t.Errorf("ssh-keygen reads another key: %s, %v", out, err)
	}
}

func FuzzVerify(f *testing.F) {
	f.Add([]byte("-----BEGIN SSH SIGNATURE-----\nU1NIU0lH\n-----END SSH SIGNATURE-----\n"))
	f.Fuzz(func(t *testing.T, sig []byte) {
		if _, err := Verify(sig, []byte("m"), "n"); err == nil {
			t.Error("a made up signature is good")
		}
	})
}
