package catalogue

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/internal/remote/local"
)

// repo is a real Git repository.
type repo struct {
	testing.TB
	dir, home string
}

func newRepo(t *testing.T) *repo {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		if os.Getenv("SECONDLINE_REQUIRE_REAL") == "1" {
			t.Fatal(err)
		}
		t.Skip("git is missing")
	}
	r := &repo{t, t.TempDir(), t.TempDir()}
	r.git("init", "--quiet", "--initial-branch=main")
	return r
}

func (r *repo) git(args ...string) string {
	r.Helper()
	cmd := exec.Command("git", append([]string{"-C", r.dir, "-c", "user.name=Ada", "-c", "user.email=ada@example.com"}, args...)...)
	cmd.Env = []string{"HOME=" + r.home, "PATH=" + os.Getenv("PATH"), "GIT_CONFIG_NOSYSTEM=1"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.Fatalf("git %s: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func (r *repo) write(name, text string) {
	r.Helper()
	file := filepath.Join(r.dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		r.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		r.Fatal(err)
	}
}

// commit commits all that is there and returns its id.
func (r *repo) commit(subject string, options ...string) string {
	r.Helper()
	r.git("add", "--all")
	r.git(append([]string{"commit", "--quiet", "--allow-empty", "-m", subject}, options...)...)
	return r.git("rev-parse", "HEAD")
}

func (r *repo) fetcher() Fetcher {
	return Fetcher{Runner: local.New(), Env: map[string]string{"HOME": r.home}, Timeout: time.Minute}
}

// fetch fetches into a new folder.
func (r *repo) fetch(src Source) (Commit, fs.FS, error) {
	r.Helper()
	if src.URL == "" {
		src.URL = r.dir
	}
	tree := r.TempDir()
	c, err := r.fetcher().Fetch(context.Background(), src, r.TempDir(), tree)
	return c, os.DirFS(tree), err
}

func names(t testing.TB, tree fs.FS) (list []string) {
	t.Helper()
	if err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			list = append(list, name)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return list
}

func wantKind(t testing.TB, err error, kind fault.Kind, words string) {
	t.Helper()
	if fault.KindOf(err) != kind || err != nil && !strings.Contains(err.Error(), words) {
		t.Errorf("%v is %q, want %q with %q", err, fault.KindOf(err), kind, words)
	}
}

func TestFetchTakesTheFilesOfTheRefAsTheyAre(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	r.write(".gitattributes", "*.yaml text eol=crlf filter=evil ident\n")
	r.write("ops/runbooks/web/rotate.yaml", "a: $Id$\n")
	r.write("ops/runbooks/web/rotate.yaml.sig", "signature\n")
	r.write("ops/runbooks/testdata/rotate/cured/case.yaml", "x\n")
	r.write("ops/runbooks/.hidden/x.yaml", "x\n")
	r.write("ops/runbooks/README.md", "x\n")
	r.write("ops/causes/full.yml", "c\n")
	r.write("runbooks/elsewhere.yaml", "x\n")
	first := r.commit("first")
	r.git("tag", "-a", "-m", "release", "v1")
	r.write("ops/runbooks/web/rotate.yaml", "b\n")
	second := r.commit("second: rotate \x1b[31msooner\n\nwith a body")

	main, tree, err := r.fetch(Source{Ref: "main", Path: "ops"})
	if err != nil {
		t.Fatal(err)
	}
	if got := names(t, tree); !slices.Equal(got, []string{"causes/full.yml", "runbooks/web/rotate.yaml", "runbooks/web/rotate.yaml.sig"}) {
		t.Errorf("files %q", got)
	}
	if main.ID != second || !strings.HasPrefix(main.Subject, "second: rotate") || strings.Contains(main.Subject, "body") || main.Signer != "" {
		t.Errorf("%+v", main)
	}
	head, _, err := r.fetch(Source{Path: "ops"})
	if err != nil || head != main {
		t.Errorf("HEAD: %+v %v", head, err)
	}
	tag, tree, err := r.fetch(Source{Ref: "v1", Path: "ops"})
	if err != nil || tag.ID != first || tag.Digest == main.Digest {
		t.Errorf("tag: %+v %v", tag, err)
	}
	if text, err := fs.ReadFile(tree, "runbooks/web/rotate.yaml"); err != nil || string(text) != "a: $Id$\n" {
		t.Errorf("git has had a say in the bytes: %q %v", text, err)
	}
	if _, _, err := r.fetch(Source{Ref: "main", Path: "nowhere"}); !fault.Is(err, fault.NotFound) {
		t.Errorf("another path: %v", err)
	}
	_, _, err = r.fetch(Source{Ref: "gone", Path: "ops"})
	wantKind(t, err, fault.Unreachable, "gone")
}

func TestFetchStartsNothingOfTheUsersConfiguration(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	r.write("runbooks/a.yaml", "a\n")
	r.commit("first")
	ran := filepath.Join(r.home, "ran")
	r.write("hook", "#!/bin/sh\ntouch "+ran+"\n")
	hooks := filepath.Join(r.home, "hooks")
	if err := os.Mkdir(hooks, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"post-checkout", "reference-transaction", "post-index-change", "fsmonitor"} {
		if err := os.WriteFile(filepath.Join(hooks, name), []byte("#!/bin/sh\ntouch "+ran+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	config := fmt.Sprintf("[core]\n\thooksPath = %s\n\tfsmonitor = %s/fsmonitor\n[init]\n\ttemplateDir = %s\n", hooks, hooks, r.home)
	if err := os.WriteFile(filepath.Join(r.home, ".gitconfig"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.fetch(Source{}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(ran); err == nil {
		t.Error("a hook has run")
	}
}

func TestFetchRefusesLinksAndSubmodules(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]func(*repo){
		"link": func(r *repo) {
			if err := os.Symlink("/etc/passwd", filepath.Join(r.dir, "runbooks", "b.yaml")); err != nil {
				t.Error(err)
			}
		},
		"link to a folder": func(r *repo) {
			if err := os.Symlink("/etc", filepath.Join(r.dir, "runbooks", "more")); err != nil {
				t.Error(err)
			}
		},
		"submodule": func(r *repo) {
			r.git("update-index", "--add", "--cacheinfo", "160000,"+r.git("rev-parse", "HEAD")+",runbooks/sub")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRepo(t)
			r.write("runbooks/a.yaml", "a\n")
			r.commit("first")
			make(r)
			if name != "submodule" {
				r.git("add", "--all")
			}
			r.git("commit", "--quiet", "-m", "second")
			_, tree, err := r.fetch(Source{})
			wantKind(t, err, fault.Invalid, "a link or a submodule")
			if got := names(t, tree); len(got) > 0 {
				t.Errorf("written all the same: %q", got)
			}
		})
	}
}

func TestFetchIsBounded(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	r.write("runbooks/a.yaml", "a\n")
	// Random-looking, so that it cannot be packed small.
	var big strings.Builder
	for i := range 1 << 18 {
		fmt.Fprintf(&big, "%x", (uint64(i)*0x9E3779B97F4A7C15)>>17)
	}
	r.write("big", big.String())
	r.commit("first")
	f := r.fetcher()
	f.MaxBytes = 1 << 10
	_, err := f.Fetch(t.Context(), Source{URL: r.dir}, t.TempDir(), t.TempDir())
	wantKind(t, err, fault.TooLarge, "sends more than")

	// Whoever opens a pipe that nobody writes to waits for ever.
	if err := unix.Mkfifo(filepath.Join(r.dir, ".git", "packed-refs"), 0o600); err != nil {
		t.Fatal(err)
	}
	f = r.fetcher()
	f.Timeout = time.Second
	_, err = f.Fetch(t.Context(), Source{URL: r.dir}, t.TempDir(), t.TempDir())
	wantKind(t, err, fault.Timeout, "")
}

func TestListingOfTooManyFilesIsRefused(t *testing.T) {
	t.Parallel()
	line := func(i, size int) string {
		return fmt.Sprintf("100644 blob %040d %7d\trunbooks/r%d.yaml\x00", i, size, i)
	}
	var many strings.Builder
	for i := range MaxTreeFiles + 1 {
		many.WriteString(line(i, 1))
	}
	_, err := filesIn([]byte(many.String()), "")
	wantKind(t, err, fault.TooLarge, "files")
	_, err = filesIn([]byte(line(1, MaxTreeBytes)+line(2, 1)), "")
	wantKind(t, err, fault.TooLarge, "MiB")
	for _, name := range []string{"runbooks/../../x.yaml", "/etc/x.yaml", "runbooks/a\nb.yaml", `runbooks\x.yaml`} {
		_, err = filesIn([]byte("100644 blob 00 1\t"+name+"\x00"), "")
		wantKind(t, err, fault.Invalid, "cannot be taken")
	}
}

func TestSourceNamesWhatCannotBeUsed(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"https://git.example/x.git", "ssh://git@git.example:2222/x.git", "git@git.example:ops/x.git", "/srv/x.git", "file:///srv/x.git", "https://ada@git.example/x",
	} {
		if err := (Source{URL: url, Ref: "release/1.0", Path: "a/b"}).Validate(); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
	for _, url := range []string{
		"", "http://git.example/x.git", "git://git.example/x", "ext::sh -c touch% /tmp/x", "-oProxyCommand=x", "--upload-pack=x", "ssh://-oProxyCommand=x/x",
		"x.git", "../x", "https://ada:secret@git.example/x", "file://other/x", "git@git.example:-x", "git@-x:x", "a\nb", "https:///x", "ada@x::y",
	} {
		err := (Source{URL: url}).Validate()
		wantKind(t, err, fault.Invalid, "catalogue.git.url")
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the password is shown: %v", err)
		}
	}
	for _, s := range []Source{{Ref: "--upload-pack=x"}, {Ref: "a..b"}, {Ref: "a:b"}, {Ref: "a b"}, {Ref: "@{1}"}, {Path: "../x"}, {Path: "/etc"}, {Path: "a//b"}, {Signers: "x"}} {
		s.URL = "/srv/x.git"
		wantKind(t, s.Validate(), fault.Invalid, "catalogue.git")
	}
	if _, err := (Fetcher{Runner: local.New()}).Fetch(t.Context(), Source{URL: "ext::x"}, t.TempDir(), t.TempDir()); !fault.Is(err, fault.Invalid) {
		t.Errorf("fetched all the same: %v", err)
	}
}

// keys makes a key by ssh-keygen and returns it with its line of allowed signers.
func keys(t *testing.T, name string) (path, line string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), name)
	if out, err := exec.CommandContext(t.Context(), "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	public, err := os.ReadFile(path + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	return path, name + "@example.com " + string(public)
}

func TestFetchTakesOnlyWhatAnAllowedSignerSigned(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	r.write("runbooks/a.yaml", "a\n")
	ada, line := keys(t, "ada")
	eve, _ := keys(t, "eve")
	allowed := filepath.Join(t.TempDir(), "allowed")
	if err := os.WriteFile(allowed, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	src := Source{Signers: allowed}
	r.commit("unsigned")
	_, _, err := r.fetch(src)
	wantKind(t, err, fault.Denied, "not signed by an allowed signer")

	signed := func(key string) []string {
		return []string{"-c", "gpg.format=ssh", "-c", "user.signingKey=" + key}
	}
	r.git(append(signed(ada), "commit", "--quiet", "--allow-empty", "-S", "-m", "of ada")...)
	c, _, err := r.fetch(src)
	if err != nil || c.Signer != "ada@example.com" {
		t.Errorf("%+v %v", c, err)
	}
	r.git(append(signed(eve), "commit", "--quiet", "--allow-empty", "-S", "-m", "of eve")...)
	_, tree, err := r.fetch(src)
	wantKind(t, err, fault.Denied, "not signed by an allowed signer")
	if got := names(t, tree); len(got) > 0 {
		t.Errorf("written all the same: %q", got)
	}
	_, _, err = r.fetch(Source{Signers: filepath.Join(t.TempDir(), "gone")})
	wantKind(t, err, fault.NotFound, "catalogue.git.signers")
}

func TestGitThatIsMissingIsSaid(t *testing.T) {
	t.Parallel()
	_, err := Fetcher{Runner: missing{local.New()}}.Fetch(t.Context(), Source{URL: "/srv/x.git"}, t.TempDir(), t.TempDir())
	wantKind(t, err, fault.NotFound, "start git")
}

// missing is a machine without git.
type missing struct{ *local.Transport }

func (m missing) Run(ctx context.Context, cmd remote.Command) (remote.Result, error) {
	cmd.Argv = append([]string{"git-is-missing"}, cmd.Argv[1:]...)
	return m.Transport.Run(ctx, cmd)
}
