package catalogue

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
)

// Bounds of one fetch. What is fetched is one commit without its past.
const (
	DefaultTimeout  = 2 * time.Minute
	MaxFetchedBytes = 256 << 20 // of the packed commit, with all that its repository holds beside the catalogue
	MaxTreeBytes    = 64 << 20  // of the files that are taken: 2,000 runbooks of 32 KiB
	MaxTreeFiles    = 5000      // runbooks.MaxRunbooks, their signatures, and causes
	maxSubjectBytes = 200
	batchBytes      = 8 << 20 // of files asked of git at once; far below remote.MaxOutputBytes
	sizeEvery       = 100 * time.Millisecond
)

// Fetcher fetches commits with the git of this machine. It runs git by a
// transport without a redactor: files are compared by their digests, and no
// managed server is involved.
type Fetcher struct {
	Runner   remote.Runner
	Env      map[string]string // what git and ssh need besides, such as SSH_AUTH_SOCK
	Timeout  time.Duration     // of the whole fetch; 0 means DefaultTimeout
	MaxBytes int64             // 0 means MaxFetchedBytes
}

// Commit is a commit that was fetched, with its files on the disk.
type Commit struct {
	ID      string
	Subject string // first line of its message, as its author wrote it
	Signer  string // who signed it; "" when no signature was asked for
	Digest  string // of the files
}

// Fetch fetches what the source's ref names now and writes its causes and
// runbooks below the empty folder tree. scratch is a folder for git, to be
// removed afterwards. A commit that is not signed by an allowed signer, where
// they are asked for, is a fault of kind Denied.
func (f Fetcher) Fetch(ctx context.Context, src Source, scratch, tree string) (Commit, error) {
	protocol, err := src.protocol()
	if err != nil {
		return Commit{}, err
	}
	if f.Timeout <= 0 {
		f.Timeout = DefaultTimeout
	}
	if f.MaxBytes <= 0 {
		f.MaxBytes = MaxFetchedBytes
	}
	ctx, cancel := context.WithTimeoutCause(ctx, f.Timeout, fault.New(fault.Timeout, "%s did not give its catalogue within %s", src.URL, f.Timeout))
	defer cancel()
	g := git{Fetcher: f, repo: filepath.Join(scratch, "repository.git"), protocol: protocol}
	if _, err := g.run(ctx, nil, "init", "--bare", "--quiet", "--template=", "--", g.repo); err != nil {
		return Commit{}, err
	}
	if err := g.fetch(ctx, src); err != nil {
		return Commit{}, err
	}
	out, err := g.run(ctx, nil, "rev-parse", "--verify", "--end-of-options", "FETCH_HEAD^{commit}")
	if err != nil {
		return Commit{}, err
	}
	c := Commit{ID: strings.TrimSpace(string(out))}
	if !isCommit(c.ID) {
		return Commit{}, fault.New(fault.Internal, "git calls the commit %q", c.ID)
	}
	if src.Signers != "" {
		if c.Signer, err = g.signer(ctx, c.ID, src.Signers); err != nil {
			return Commit{}, err
		}
	}
	if out, err = g.run(ctx, nil, "show", "-s", "--format=%s", c.ID); err != nil {
		return Commit{}, err
	}
	c.Subject = strings.ToValidUTF8(string(out[:min(len(out), maxSubjectBytes)]), "")
	c.Subject = strings.TrimSpace(c.Subject)
	if err := g.checkOut(ctx, c.ID, src.Path, tree); err != nil {
		return Commit{}, err
	}
	c.Digest, err = digestOf(os.DirFS(tree))
	return c, err
}

func isCommit(id string) bool { return regexp.MustCompile(`^[0-9a-f]{40}$`).MatchString(id) }

// git is one repository, used for one fetch.
type git struct {
	Fetcher
	repo, protocol string
}

// fetch brings the one commit, and no more than MaxBytes of whatever comes.
func (g git) fetch(ctx context.Context, src Source) error {
	ctx, stop := g.boundSize(ctx)
	defer stop()
	ref := src.Ref
	if ref == "" {
		ref = "HEAD"
	}
	_, err := g.run(ctx, nil, "fetch", "--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules", "--no-auto-maintenance", "--", src.URL, ref)
	switch {
	case err == nil && sizeOf(g.repo) > g.MaxBytes: // it came faster than it was looked at
		return g.tooLarge()
	case err == nil:
		return nil
	case fault.Is(err, fault.Internal): // git exits with 128, whatever went wrong
		return fault.Wrap(fault.Unreachable, err, "fetch %s of %s", ref, src.URL).
			WithHint("try it by hand as the same user: git ls-remote %s %s; git is not let ask for a password or for a host's key", src.URL, ref)
	}
	return err
}

// boundSize ends the context when the repository has grown too large.
func (g git) boundSize(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(sizeEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if sizeOf(g.repo) > g.MaxBytes {
				cancel(g.tooLarge())
			}
		}
	}()
	return ctx, func() { cancel(nil); <-done }
}

func (g git) tooLarge() error {
	return fault.New(fault.TooLarge, "the repository sends more than %d MiB", g.MaxBytes>>20).WithHint("give the catalogue a repository of its own")
}

// sizeOf counts what is there; what goes meanwhile is not counted.
func sizeOf(dir string) (bytes int64) {
	_ = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // git removes its temporary files while this walks
		}
		if info, err := entry.Info(); err == nil && !entry.IsDir() {
			bytes += info.Size()
		}
		return nil
	})
	return bytes
}

// signer returns the allowed signer who signed the commit. Only signatures of
// SSH keys count: the programs for the other kinds are taken away.
func (g git) signer(ctx context.Context, id, allowed string) (string, error) {
	set := []string{
		"-c", "gpg.ssh.allowedSignersFile=" + allowed, "-c", "gpg.minTrustLevel=fully",
		"-c", "gpg.program=/bin/false", "-c", "gpg.openpgp.program=/bin/false", "-c", "gpg.x509.program=/bin/false",
	}
	if _, err := os.Stat(allowed); err != nil {
		return "", fault.Wrap(fault.NotFound, err, "read catalogue.git.signers")
	}
	if _, err := g.run(ctx, set, "verify-commit", id); err != nil {
		if !fault.Is(err, fault.Internal) {
			return "", err
		}
		return "", fault.Wrap(fault.Denied, err, "commit %s is not signed by an allowed signer", id).
			WithHint("catalogue.git.signers names who may sign: %s; git commit -S with gpg.format ssh signs", allowed)
	}
	out, err := g.run(ctx, set, "show", "-s", "--format=%G?%x00%GS", id)
	if err != nil {
		return "", err
	}
	word, name, _ := strings.Cut(strings.TrimSpace(string(out)), "\x00")
	if word != "G" || name == "" {
		return "", fault.New(fault.Denied, "commit %s has a signature that git calls %q", id, word)
	}
	return name, nil
}

// checkOut writes the files of the catalogue. They are read out of the commit
// as they are, without git's checkout: no filter, no attribute, no link and no
// hook has a say in what is written.
func (g git) checkOut(ctx context.Context, id, below, tree string) error {
	dirs := []string{path.Join(below, CausesDir), path.Join(below, RunbooksDir)}
	out, err := g.run(ctx, nil, append([]string{"ls-tree", "-r", "-z", "--long", "--full-tree", id, "--"}, dirs...)...)
	if err != nil {
		return err
	}
	files, err := filesIn(out, below)
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fault.New(fault.NotFound, "commit %s has no YAML file in %s or %s", id, dirs[0], dirs[1]).
			WithHint("catalogue.git.path names the folder that holds causes/ and runbooks/")
	}
	for len(files) > 0 {
		n, size := 0, int64(0)
		for n < len(files) && (n == 0 || size+files[n].size <= batchBytes) {
			size += files[n].size
			n++
		}
		if err := g.write(ctx, files[:n], tree); err != nil {
			return err
		}
		files = files[n:]
	}
	return syncFolder(tree)
}

// syncFolder makes all that was written to the folder's file system durable.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("write the catalogue: %w", err)
	}
	defer d.Close()
	if err := unix.Syncfs(int(d.Fd())); err != nil {
		return fmt.Errorf("write the catalogue: %w", err)
	}
	return nil
}

// blob is a file of a commit.
type blob struct {
	object string
	size   int64
	name   string // below the catalogue's folder
}

// filesIn reads the output of "ls-tree -z --long": for each file
// "<mode> <type> <object> <size>\t<path>\0".
func filesIn(listing []byte, below string) ([]blob, error) {
	var files []blob
	var total int64
	for line := range strings.SplitSeq(strings.TrimSuffix(string(listing), "\x00"), "\x00") {
		if line == "" {
			continue
		}
		head, full, _ := strings.Cut(line, "\t")
		fields := strings.Fields(head)
		name, isBelow := full, true
		if below != "" {
			name, isBelow = strings.CutPrefix(full, below+"/")
		}
		if len(fields) != 4 || !isBelow || !filepath.IsLocal(name) || !isPlain(name) {
			return nil, fault.New(fault.Invalid, "the commit holds a file with a name that cannot be taken: %q", full)
		}
		switch isTest := strings.Contains("/"+name, "/testdata/"); {
		case isTest:
			continue
		case fields[0] != "100644" && fields[0] != "100755":
			return nil, fault.New(fault.Invalid, "%s is a link or a submodule; a catalogue holds plain files only", full)
		case !isWanted(name):
			continue
		}
		size, err := strconv.ParseInt(fields[3], 10, 64)
		if err != nil {
			return nil, fault.New(fault.Internal, "git says that %s has %q bytes", full, fields[3])
		}
		total += size
		files = append(files, blob{fields[2], size, name})
		if len(files) > MaxTreeFiles || total > MaxTreeBytes {
			return nil, fault.New(fault.TooLarge, "the catalogue has more than %d files or %d MiB", MaxTreeFiles, MaxTreeBytes>>20)
		}
	}
	return files, nil
}

// isWanted reports whether the controller would read the file: YAML, and the
// signatures beside it. Hidden files and folders are not read.
func isWanted(name string) bool {
	for part := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(part, ".") {
			return false
		}
	}
	ext := path.Ext(strings.TrimSuffix(name, ".sig"))
	return ext == ".yaml" || ext == ".yml"
}

// write asks git for the files and writes them.
func (g git) write(ctx context.Context, files []blob, tree string) error {
	var ask bytes.Buffer
	for _, file := range files {
		ask.WriteString(file.object + "\n")
	}
	out, err := g.runWith(ctx, ask.Bytes(), nil, "cat-file", "--batch")
	if err != nil {
		return err
	}
	for _, file := range files {
		head := fmt.Sprintf("%s blob %d\n", file.object, file.size)
		rest, ok := bytes.CutPrefix(out, []byte(head))
		if !ok || int64(len(rest)) < file.size+1 {
			return fault.New(fault.Internal, "git did not give %s whole", file.name)
		}
		where := filepath.Join(tree, filepath.FromSlash(file.name))
		if err := os.MkdirAll(filepath.Dir(where), 0o700); err != nil {
			return fmt.Errorf("write the catalogue: %w", err)
		}
		if err := os.WriteFile(where, rest[:file.size], 0o600); err != nil {
			return fmt.Errorf("write the catalogue: %w", err)
		}
		out = rest[file.size+1:]
	}
	return nil
}

func (g git) run(ctx context.Context, set []string, args ...string) ([]byte, error) {
	return g.runWith(ctx, nil, set, args...)
}

// runWith runs git in the repository. What the user has configured for git
// counts as far as credentials go; what could start programs, fetch more or ask
// somebody is switched off.
func (g git) runWith(ctx context.Context, stdin []byte, set []string, args ...string) ([]byte, error) {
	argv := []string{
		"git", "--git-dir=" + g.repo, "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "submodule.recurse=false",
		"-c", "fetch.recurseSubmodules=false", "-c", "fetch.fsckObjects=true", "-c", "gc.auto=0", "-c", "maintenance.auto=false",
		"-c", "credential.interactive=false", "-c", "log.showSignature=false", "-c", "core.quotePath=true",
	}
	env := map[string]string{
		"GIT_ALLOW_PROTOCOL": g.protocol, "GIT_PROTOCOL_FROM_USER": "0", "GIT_CONFIG_NOSYSTEM": "1", "GIT_LITERAL_PATHSPECS": "1",
		"GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "/bin/false", "SSH_ASKPASS": "/bin/false", "SSH_ASKPASS_REQUIRE": "never",
		"GIT_NO_REPLACE_OBJECTS": "1", "GIT_NO_LAZY_FETCH": "1", "GIT_PAGER": "cat",
		"GIT_SSH_COMMAND": "ssh -o BatchMode=yes -o StrictHostKeyChecking=yes -o ForwardAgent=no -o ForwardX11=no",
	}
	maps.Copy(env, g.Env)
	res, err := g.Runner.Run(ctx, remote.Command{
		Argv: append(append(argv, set...), args...), Env: env, Stdin: stdin, Effect: remote.Write, Timeout: g.Timeout, MaxOutputBytes: remote.MaxOutputBytes,
	})
	if err == nil {
		err = res.Err()
	}
	switch {
	case fault.Is(err, fault.NotFound):
		return nil, fault.Wrap(fault.NotFound, err, "start git").WithHint("install git and coreutils where the catalogue is pulled")
	case err != nil:
		return nil, fmt.Errorf("git %s: %w", args[0], err)
	case res.Truncated:
		return nil, fault.New(fault.TooLarge, "git %s wrote more than %d MiB", args[0], remote.MaxOutputBytes>>20)
	}
	return res.Stdout, nil
}
