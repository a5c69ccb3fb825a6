package rehearsal

import (
	"context"
	"errors"

	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/internal/remote/coreutils"
)

// ReadFile implements remote.Runner.
func (r *Rehearsal) ReadFile(ctx context.Context, name string, maxBytes int) (data []byte, truncated bool, err error) {
	if isKernels(name) {
		return r.server.ReadFile(ctx, name, maxBytes)
	}
	data, truncated, err = r.files().ReadFile(ctx, name, maxBytes)
	return data, truncated, r.orAbsent("read", name, err)
}

// Stat implements remote.Runner.
func (r *Rehearsal) Stat(ctx context.Context, name string) (remote.FileInfo, error) {
	if isKernels(name) {
		return r.server.Stat(ctx, name)
	}
	info, err := r.files().Stat(ctx, name)
	return info, r.orAbsent("stat", name, err)
}

// ReadDir implements remote.Runner.
func (r *Rehearsal) ReadDir(ctx context.Context, name string, maxEntries int) (entries []remote.FileInfo, truncated bool, err error) {
	if isKernels(name) {
		return r.server.ReadDir(ctx, name, maxEntries)
	}
	if err := r.orAbsent("list", name, nil); err != nil {
		return nil, false, err
	}
	return r.files().ReadDir(ctx, name, maxEntries)
}

// Statfs implements remote.Runner: a rehearsal has another room than the server.
func (r *Rehearsal) Statfs(_ context.Context, name string) (remote.FSInfo, error) {
	return remote.FSInfo{}, notRehearsed("statfs "+name, "how full a file system is cannot be told in a rehearsal")
}

// isKernels reports whether the path is one that the kernel answers, of which a
// rehearsal changes nothing.
func isKernels(name string) bool { return within(name, "/proc") || within(name, "/sys") }

// orAbsent keeps what a rehearsal does not have from passing for what the server
// does not have. In /run there may be what a rehearsed command has made.
func (r *Rehearsal) orAbsent(doing, name string, err error) error {
	e, ok := errors.AsType[*remote.Error](err)
	missing := ok && e.Class == remote.NotExist
	for _, point := range []string{"/run", "/var/run", "/dev"} {
		if within(name, point) && (missing || err == nil && (doing == "list" || name == point)) {
			return notRehearsed(doing+" "+name, "a rehearsal has a %s of its own", point)
		}
	}
	for _, point := range r.absent {
		if within(name, point) {
			return notRehearsed(doing+" "+name, "a rehearsal does not have the file system at %s", point)
		}
	}
	return err
}

// files asks by commands, as the login user and in the tree for writing.
func (r *Rehearsal) files() coreutils.Files {
	return coreutils.Files{Target: r.Target(), Run: func(ctx context.Context, _, name, script string, limit int) (remote.Result, error) {
		return r.Run(ctx, remote.Command{
			Argv: []string{"sh", "-c", "export LC_ALL=C; p=$1; " + script, "look", name}, Effect: remote.Read, MaxOutputBytes: limit,
		})
	}}
}

// ForProbes returns a view of a rehearsal, or of what stands in front of it, that
// answers nothing but questions about files: what the kernel, a process or a
// service would say after the rehearsed steps, nobody knows.
func ForProbes(r remote.Runner) remote.Runner { return forProbes{r} }

type forProbes struct{ remote.Runner }

// Run implements remote.Runner.
func (p forProbes) Run(ctx context.Context, cmd remote.Command) (remote.Result, error) {
	if len(cmd.Argv) > 0 && (cmd.Argv[0] == "sh" || readsKernel(cmd.Argv)) {
		return remote.Result{}, notRehearsed("run "+cmd.Argv[0], "it asks about more than files")
	}
	return p.Runner.Run(ctx, cmd)
}

// ReadFile implements remote.Runner.
func (p forProbes) ReadFile(ctx context.Context, name string, maxBytes int) (data []byte, truncated bool, err error) {
	if isKernels(name) {
		return nil, false, notRehearsed("read "+name, "the kernel would say something else by then")
	}
	return p.Runner.ReadFile(ctx, name, maxBytes)
}

// Stat implements remote.Runner.
func (p forProbes) Stat(ctx context.Context, name string) (remote.FileInfo, error) {
	if isKernels(name) {
		return remote.FileInfo{}, notRehearsed("stat "+name, "the kernel would say something else by then")
	}
	return p.Runner.Stat(ctx, name)
}

// ReadDir implements remote.Runner.
func (p forProbes) ReadDir(ctx context.Context, name string, maxEntries int) (entries []remote.FileInfo, truncated bool, err error) {
	if isKernels(name) {
		return nil, false, notRehearsed("list "+name, "the kernel would say something else by then")
	}
	return p.Runner.ReadDir(ctx, name, maxEntries)
}
