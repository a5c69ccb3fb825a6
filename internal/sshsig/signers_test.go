package sshsig

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/internal/fault"
)

func program(t *testing.T, name string) string {
	t.Helper()
	found, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("SECONDLINE_REQUIRE_REAL") == "1" {
			t.Fatal(err)
		}
		t.Skip(name + " is missing")
	}
	return found
}

// keygen runs the real ssh-keygen.
func keygen(t *testing.T, stdin string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program(t, "ssh-keygen"), args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// allowed is a key and the line that allows it.
func allowed(t *testing.T, dir, options string) (*Key, string) {
	t.Helper()
	key, err := OpenKey(filepath.Join(dir, "key"))
	if err != nil {
		t.Fatal(err)
	}
	return key, strings.Join(strings.Fields("ada@example.com "+options+" "+key.Public().String()), " ") + "\n"
}

func TestSignersAgreeWithSSHKeygen(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 6, 15, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		options string
		good    bool
		says    string
	}{
		"no options":           {"", true, ""},
		"its namespace":        {`namespaces="git,secondline-*"`, true, ""},
		"another namespace":    {`namespaces="git"`, false, "ada@example.com may not sign for secondline-runbook"},
		"excluded":             {`namespaces="!secondline-runbook,*"`, false, "may not sign"},
		"still valid":          {`valid-after="20260101",valid-before="20270101Z"`, true, ""},
		"expired":              {`valid-before="20260615110000Z"`, false, "the key of ada@example.com has expired on 2026-06-15T11:00:00Z"},
		"not yet":              {`valid-after="202606151300Z"`, false, "counts only from 2026-06-15T13:00:00Z on"},
		"at the last moment":   {`valid-before="20260615120000Z"`, true, ""},
		"both, and in capital": {`NAMESPACES="*",valid-before="20270101"`, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			key, line := allowed(t, dir, c.options)
			signers, err := ParseSigners([]byte("# who may\n\n"+line), time.UTC)
			if err != nil {
				t.Fatal(err)
			}
			_, err = signers.Find(key.Public(), "secondline-runbook", now)
			if (err == nil) != c.good || err != nil && (!fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("ours: %v", err)
			}
			sig, err := key.Sign("secondline-runbook", []byte("text"))
			if err != nil {
				t.Fatal(err)
			}
			out, err := keygen(t, "text", "-Y", "verify", "-n", "secondline-runbook", "-f", write(t, dir+"/allowed", line), "-I", "ada@example.com",
				"-s", write(t, dir+"/sig", string(sig)), "-Overify-time=20260615120000Z")
			if (err == nil) != c.good {
				t.Errorf("ssh-keygen: %v %s", err, out)
			}
		})
	}
}

func TestSignersWhatSSHKeygenSignsIsVerified(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	key, line := allowed(t, dir, "")
	file := write(t, dir+"/file", "text")
	if out, err := keygen(t, "", "-Y", "sign", "-n", "secondline-runbook", "-f", dir+"/key", file); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	sig, err := os.ReadFile(file + ".sig")
	if err != nil {
		t.Fatal(err)
	}
	who, err := Verify(sig, []byte("text"), "secondline-runbook")
	if err != nil {
		t.Fatal(err)
	}
	signers, err := ParseSigners([]byte(line), time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	found, err := signers.Find(who, "secondline-runbook", time.Now())
	if err != nil || found.Principals != "ada@example.com" || !found.Key.Equal(key.Public()) {
		t.Errorf("%+v %v", found, err)
	}
	other, err := OpenKey(dir + "/other")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := signers.Find(other.Public(), "secondline-runbook", time.Now()); !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), other.Public().Fingerprint()) {
		t.Errorf("a stranger: %v", err)
	}
	if _, err := signers.Find(PublicKey{}, "secondline-runbook", time.Now()); !fault.Is(err, fault.Denied) {
		t.Errorf("nobody: %v", err)
	}
}

func TestSignersThatCannotBeReadAreRefusedWithTheirLine(t *testing.T) {
	t.Parallel()
	_, line := allowed(t, t.TempDir(), "")
	for name, text := range map[string]string{
		"no key": "ada@example.com\n", "half a key": "ada@example.com ssh-ed25519 AAAA\n", "authority": strings.Replace(line, "ssh-", "cert-authority ssh-", 1),
		"date": strings.Replace(line, "ssh-", `valid-before="soon" ssh-`, 1), "unknown option": strings.Replace(line, "ssh-", "no-pty ssh-", 1),
		"no such day": strings.Replace(line, "ssh-", `valid-before="20261399" ssh-`, 1),
	} {
		if _, err := ParseSigners([]byte(line+text), time.UTC); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A key of another kind belongs to somebody who signs something else.
	dir := t.TempDir()
	if out, err := keygen(t, "", "-q", "-t", "ecdsa", "-N", "", "-f", dir+"/key"); err != nil {
		t.Fatal(err, out)
	}
	ecdsa, err := os.ReadFile(dir + "/key.pub")
	if err != nil {
		t.Fatal(err)
	}
	if s, err := ParseSigners(append([]byte("eve "), ecdsa...), time.UTC); err != nil || len(s.list) != 0 {
		t.Errorf("ecdsa: %v %v", s, err)
	}
	if _, err := ParseSigners(bytes.Repeat([]byte("#"), maxSignersBytes+1), time.UTC); !fault.Is(err, fault.TooLarge) {
		t.Errorf("large: %v", err)
	}
}

// A key with a passphrase signs by the real ssh-agent that holds it.
func TestReadKeySignsByTheAgent(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := dir + "/key"
	if out, err := keygen(t, "", "-q", "-t", "ed25519", "-N", "secret", "-f", path); err != nil {
		t.Fatal(err, out)
	}
	socket, err := os.MkdirTemp("/tmp", "agent") // the name of a socket has 108 bytes (unix(7))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(socket) })
	socket += "/s"
	ctx, cancel := context.WithCancel(t.Context())
	agent := exec.CommandContext(ctx, program(t, "ssh-agent"), "-D", "-a", socket)
	out, err := agent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); _ = agent.Wait() })
	if _, err := out.Read(make([]byte, 1)); err != nil { // it says where it listens
		t.Fatal(err)
	}
	key, err := ReadKey(path, socket)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := key.Sign("n", []byte("m")); !fault.Is(err, fault.Denied) {
		t.Errorf("the agent has no key yet: %v", err)
	}
	ask := write(t, dir+"/ask", "#!/bin/sh\necho secret\n")
	os.Chmod(ask, 0o700)
	add := exec.CommandContext(t.Context(), program(t, "ssh-add"), path)
	add.Env = []string{"SSH_AUTH_SOCK=" + socket, "SSH_ASKPASS=" + ask, "SSH_ASKPASS_REQUIRE=force", "PATH=" + os.Getenv("PATH")}
	if text, err := add.CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, text)
	}
	sig, err := key.Sign("n", []byte("m"))
	if err != nil {
		t.Fatal(err)
	}
	if who, err := Verify(sig, []byte("m"), "n"); err != nil || !who.Equal(key.Public()) {
		t.Errorf("%v", err)
	}
	if key, err := ReadKey(path, ""); err != nil {
		t.Error(err)
	} else if _, err := key.Sign("n", nil); !fault.Is(err, fault.Invalid) {
		t.Errorf("without an agent: %v", err)
	}
}

func TestReadKeyMakesNone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key")
	if _, err := ReadKey(path, ""); !fault.Is(err, fault.NotFound) {
		t.Error(err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a key was made")
	}
}

func FuzzParseSigners(f *testing.F) {
	f.Add(`ada,"bo b"@x namespaces="git" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ example`)
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSigners([]byte(text), time.UTC)
		if err != nil {
			return
		}
		for _, signer := range s.list {
			if signer.Key.Fingerprint() == "" || signer.Principals == "" {
				t.Error("a signer without a key or a name")
			}
		}
	})
}
