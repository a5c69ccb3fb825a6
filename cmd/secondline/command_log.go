package main

import (
	"context"
	"log/slog"

	"github.com/secondline-ops/secondline/internal/remote"
)

// commandLog writes everything that an agent asks of a server to its log, at
// debug level. The arguments are redacted before they come here.
type commandLog struct{ logger *slog.Logger }

// Record implements remote.Audit.
func (l commandLog) Record(ctx context.Context, r remote.Record) {
	l.logger.DebugContext(ctx, "asked a server", slog.String("target", r.Target), slog.Any("argv", r.Argv), slog.String("effect", string(r.Effect)),
		slog.Duration("took", r.Took), slog.Int("exit_code", r.ExitCode), slog.String("class", string(r.Class)), slog.Int("bytes", r.OutBytes))
}
