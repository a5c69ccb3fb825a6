package ssh

import (
	"context"

	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/internal/remote/coreutils"
)

// ReadFile implements remote.Runner. Only regular files are read.
func (t *Transport) ReadFile(ctx context.Context, name string, maxBytes int) (data []byte, truncated bool, err error) {
	return t.files().ReadFile(ctx, name, maxBytes)
}

// Stat implements remote.Runner.
func (t *Transport) Stat(ctx context.Context, name string) (remote.FileInfo, error) {
	return t.files().Stat(ctx, name)
}

// Statfs implements remote.Runner.
func (t *Transport) Statfs(ctx context.Context, name string) (remote.FSInfo, error) {
	return t.files().Statfs(ctx, name)
}

// ReadDir implements remote.Runner. The entries are sorted by name.
func (t *Transport) ReadDir(ctx context.Context, name string, maxEntries int) (entries []remote.FileInfo, truncated bool, err error) {
	return t.files().ReadDir(ctx, name, maxEntries)
}

func (t *Transport) files() coreutils.Files {
	return coreutils.Files{Target: t.host.Name, Run: func(ctx context.Context, doing, name, script string, limit int) (remote.Result, error) {
		script = `say "$$"; p=` + remote.Quote([]string{name}) + "; " + script
		return t.execute(ctx, work{doing: doing, isRead: true, timeout: remote.DefaultTimeout, limit: limit, script: script})
	}}
}
