package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/secondline-ops/secondline/internal/fault"
)

// signedRepo is a real repository with a catalogue, whose commits ada signs.
type signedRepo struct {
	*testing.T
	dir, home, key string
}

func newSignedRepo(t *testing.T) *signedRepo {
	t.Helper()
	for _, program := range []string{"git", "ssh-keygen"} {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("SECONDLINE_REQUIRE_REAL") == "1" {
				t.Fatal(err)
			}
			t.Skip(program + " is missing")
		}
	}
	r := &signedRepo{T: t, dir: t.TempDir(), home: t.TempDir()}
	r.key = filepath.Join(r.home, "ada")
	r.do("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "ada", "-f", r.key)
	r.do("git", "init", "--quiet", "--initial-branch=main", r.dir)
	return r
}

func (r *signedRepo) do(argv ...string) string {
	r.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = []string{"HOME=" + r.home, "PATH=" + os.Getenv("PATH"), "GIT_CONFIG_NOSYSTEM=1"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.Fatalf("%s: %v\n%s", argv, err, out)
	}
	return strings.TrimSpace(string(out))
}

// commit commits a runbook of the name and returns the commit.
func (r *signedRepo) commit(name string, sign bool) string {
	r.Helper()
	r.write(filepath.Join(r.dir, "runbooks", name+".yaml"), "apiVersion: secondline/v1\nkind: Runbook\nmetadata: {name: "+name+
		", title: Look}\nspec:\n  steps:\n    - {id: look, effect: read, run: [df, -P]}\n")
	git := []string{"git", "-C", r.dir, "-c", "user.name=Ada", "-c", "user.email=ada@example.com"}
	r.do(append(git, "add", "--all")...)
	git = append(git, "-c", "gpg.format=ssh", "-c", "user.signingKey="+r.key, "commit", "--quiet", "-m", "with "+name)
	if sign {
		git = append(git, "-S")
	}
	r.do(git...)
	return r.do("git", "-C", r.dir, "rev-parse", "HEAD")
}

func (r *signedRepo) write(file, text string) {
	r.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		r.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		r.Fatal(err)
	}
}

// catalogueOf runs a command on the catalogue and returns its exit code and all
// that it wrote. Nothing listens where it would tell the controller.
func catalogueOf(t *testing.T, home, config string, args ...string) (int, string) {
	t.Helper()
	var out bytes.Buffer
	env := &environment{stdin: strings.NewReader(""), stdout: &out, stderr: &out, getenv: func(name string) string {
		return map[string]string{"HOME": home, "SECONDLINE_URL": "http://127.0.0.1:1"}[name]
	}}
	code := execute(t.Context(), env, append([]string{"catalogue", "--config", config}, args...))
	return code, out.String()
}

// TestWhatWasPinnedWithoutASignatureIsNotTakenWhenOneIsAskedFor: not by going back
// to it, not by looking at it, and not by pulling the same commit again.
func TestWhatWasPinnedWithoutASignatureIsNotTakenWhenOneIsAskedFor(t *testing.T) {
	t.Parallel()
	r := newSignedRepo(t)
	data, conf := t.TempDir(), t.TempDir()
	public, err := os.ReadFile(r.key + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	r.write(filepath.Join(conf, "allowed"), "ada@example.com "+string(public))
	trusting, careful := filepath.Join(conf, "trusting.yaml"), filepath.Join(conf, "careful.yaml")
	r.write(trusting, fmt.Sprintf("data_dir: %s\nplugins: []\ncatalogue:\n  git: {url: %q, ref: main}\n", data, r.dir))
	r.write(careful, fmt.Sprintf("data_dir: %s\nplugins: []\ncatalogue:\n  git: {url: %q, ref: main, signers: %q}\n", data, r.dir, filepath.Join(conf, "allowed")))
	want := func(config string, code int, words string, args ...string) {
		t.Helper()
		if got, out := catalogueOf(t, r.home, config, args...); got != code || !strings.Contains(out, words) {
			t.Errorf("%s: exit code %d, want %d with %q:\n%s", args, got, code, words, out)
		}
	}
	const unasked = "was pulled without asking for its signature"

	first := r.commit("one", false)
	want(trusting, fault.ExitDone, "with one", "pull")
	second := r.commit("two", true)
	want(trusting, fault.ExitDone, "with two", "pull")
	want(trusting, fault.ExitDone, "removed", "diff", first)

	// From now on signatures are asked for.
	for _, commit := range []string{first, second} {
		want(careful, fault.ExitRefused, unasked, "use", commit)
		want(careful, fault.ExitRefused, unasked, "diff", commit)
	}
	want(careful, fault.ExitRefused, unasked, "rollback")

	// The commit that is pinned is signed, and nobody has looked: it is pinned anew.
	want(careful, fault.ExitDone, "with two", "pull")
	want(careful, fault.ExitDone, "no runbook and no cause changes", "use", second)
	if _, out := catalogueOf(t, r.home, careful, "log", "-o", "json"); !strings.Contains(out, "ada@example.com") {
		t.Errorf("who signed it is not remembered:\n%s", out)
	}
	want(careful, fault.ExitRefused, unasked, "use", first)

	third := r.commit("three", false)
	want(careful, fault.ExitRefused, "not signed by an allowed signer", "pull")
	want(careful, fault.ExitNotFound, "no commit", "use", third)
}
