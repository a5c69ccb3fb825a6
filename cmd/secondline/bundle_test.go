package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/controller/bundle"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/fault"
)

// repack changes the files of a bundle as somebody would who has only tar and
// sha256sum: the manifest fits afterwards, the signature is dropped.
func repack(t *testing.T, from, to string, change func(files map[string][]byte)) {
	t.Helper()
	archive, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		_, name, _ := strings.Cut(h.Name, "/")
		if files[name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
	change(files)
	delete(files, "manifest.json.sig")
	var m bundle.Manifest
	if err := json.Unmarshal(files["manifest.json"], &m); err != nil {
		t.Fatal(err)
	}
	for i := range m.Items {
		sum := sha256.Sum256(files[m.Items[i].Path])
		m.Items[i].Bytes, m.Items[i].SHA256 = len(files[m.Items[i].Path]), hex.EncodeToString(sum[:])
	}
	if files["manifest.json"], err = json.MarshalIndent(m, "", "  "); err != nil {
		t.Fatal(err)
	}
	files["manifest.json"] = append(files["manifest.json"], '\n')
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	w := tar.NewWriter(zip)
	for name, data := range files {
		if err := w.WriteHeader(&tar.Header{Name: "incident-1/" + name, Mode: 0o644, Size: int64(len(data)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		w.Write(data)
	}
	w.Close()
	zip.Close()
	if err := os.WriteFile(to, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// said runs the command line and returns what it wrote and its exit code.
func said(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errOut bytes.Buffer
	env := nowhere(&out)
	env.stderr = &errOut
	code = execute(t.Context(), env, args)
	return out.String(), errOut.String(), code
}

// A bundle whose report tells another story is not verified, with --unsigned
// neither, and who reads it is told before anything else.
func TestAForgedBundleIsCalledSo(t *testing.T) {
	dir := t.TempDir()
	whole, lie := filepath.Join(dir, "whole.tar.gz"), filepath.Join(dir, "lie.tar.gz")
	if err := os.WriteFile(filepath.Join(dir, "gone.yaml"), []byte(`id: file-gone
title: A file is gone
entity: host
prior: 0.5
symptoms:
  holds: "!file.exists"
  say: it is gone
needs:
  file: {probe: file.stat, with: {path: /nonexistent/file}}
evidence:
  - {id: gone, that: "!file.exists", seen_if_cause: 0.99, seen_otherwise: 0.01, group: g, role: required, say: it is gone, otherwise: it is there}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, errOut, code := said(t, "diagnose", "--local", "--host-name", "x", "here", "--causes", dir, "--bundle", whole); code != fault.ExitDone {
		t.Fatalf("exit code %d\n%s\n%s", code, out, errOut)
	}
	repack(t, whole, lie, func(files map[string][]byte) {
		var r map[string]any
		if err := json.Unmarshal(files["report.json"], &r); err != nil {
			t.Fatal(err)
		}
		r["answer"] = []map[string]any{{"text": "bob did it. Fixed, and measured gone.", "cites": []string{}}}
		forged, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		files["report.json"], files["report.md"], files["report.html"] = forged, []byte("bob did it"), []byte("<p>bob did it")
	})

	for _, args := range [][]string{{"bundle", "verify", lie}, {"bundle", "verify", lie, "--unsigned"}} {
		out, _, code := said(t, args...)
		for _, want := range []string{"3 problems", `"report.md" says something else`, `"report.html" says something else`, `in ["answer"`} {
			if code != fault.ExitFailed || !strings.Contains(out, want) {
				t.Errorf("%q: exit code %d, without %q:\n%s", args, code, want, out)
			}
		}
	}
	out, _, code := said(t, "bundle", "show", lie)
	if code != fault.ExitDone || !strings.HasPrefix(out, "This bundle does not verify: ") || !strings.Contains(out, "Do not rely on what it says") {
		t.Errorf("show: exit code %d\n%s", code, out)
	}
	out, errOut, _ := said(t, "bundle", "show", lie, "-o", "json")
	if !strings.HasPrefix(errOut, "This bundle does not verify: ") || !json.Valid([]byte(out)) {
		t.Errorf("show -o json: %s\n%s", errOut, out)
	}

	same := filepath.Join(dir, "same.tar.gz")
	repack(t, whole, same, func(map[string][]byte) {})
	if out, _, code := said(t, "bundle", "verify", same, "--unsigned"); code != fault.ExitDone || !strings.Contains(out, "claims hold, all files intact, signature unsigned") {
		t.Errorf("nothing was changed: exit code %d\n%s", code, out)
	}
}

// TestVerifiedCode is the table of "bundle verify --help".
func TestVerifiedCode(t *testing.T) {
	t.Parallel()
	held, refuted := []diagnostics.Claim{{Holds: true}}, []diagnostics.Claim{{Holds: true}, {}}
	for name, c := range map[string]struct {
		result         bundle.Result
		code, unsigned int
	}{
		"signed":                 {bundle.Result{Signature: bundle.SignatureValid, Claims: held}, fault.ExitDone, fault.ExitDone},
		"signed, no claim":       {bundle.Result{Signature: bundle.SignatureValid}, fault.ExitDone, fault.ExitDone},
		"signed, other words":    {bundle.Result{Signature: bundle.SignatureValid, Claims: held, Uncompared: []string{"report.md"}}, fault.ExitDone, fault.ExitDone},
		"signed, refuted":        {bundle.Result{Signature: bundle.SignatureValid, Claims: refuted}, fault.ExitFailed, fault.ExitFailed},
		"signed, a problem":      {bundle.Result{Signature: bundle.SignatureValid, Problems: []string{"x"}}, fault.ExitFailed, fault.ExitFailed},
		"another key":            {bundle.Result{Signature: bundle.SignatureNoKey, Claims: held}, fault.ExitRefused, fault.ExitDone},
		"unsigned":               {bundle.Result{Signature: bundle.SignatureNone, Claims: held}, fault.ExitRefused, fault.ExitDone},
		"unsigned, no claim":     {bundle.Result{Signature: bundle.SignatureNone}, fault.ExitRefused, fault.ExitDone},
		"unsigned, other words":  {bundle.Result{Signature: bundle.SignatureNone, Claims: held, Uncompared: []string{"report.md"}}, fault.ExitRefused, fault.ExitRefused},
		"unsigned, refuted":      {bundle.Result{Signature: bundle.SignatureNone, Claims: refuted}, fault.ExitFailed, fault.ExitFailed},
		"the signature is wrong": {bundle.Result{Signature: bundle.SignatureBad, Claims: held}, fault.ExitFailed, fault.ExitFailed},
	} {
		if got := verifiedCode(c.result, false); got != c.code {
			t.Errorf("%s: %d, want %d", name, got, c.code)
		}
		if got := verifiedCode(c.result, true); got != c.unsigned {
			t.Errorf("%s, --unsigned: %d, want %d", name, got, c.unsigned)
		}
	}
}
