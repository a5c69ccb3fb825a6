package controller

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/secondline-ops/secondline/controller/api"
	"github.com/secondline-ops/secondline/internal/fault"
)

// loading is how reading the owner's files went.
type loading struct {
	one sync.Mutex // held while files are read: what was read last is in force

	mu        sync.Mutex // guards below
	at        time.Time  // when the settings in force were read
	problem   string     // why the last reload changed nothing; "" when it did
	problemAt time.Time
}

func (l *loading) loaded(at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.at, l.problem, l.problemAt = at, "", time.Time{}
}

func (l *loading) refused(err error, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.problem, l.problemAt = err.Error(), at
}

// isStale reports whether the files had mistakes when they were read last, so
// that older ones are in force.
func (l *loading) isStale() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.problem != ""
}

// Reload reads the owner's files again. With any mistake nothing changes.
func (a *App) Reload(ctx context.Context) error {
	a.loading.one.Lock()
	defer a.loading.one.Unlock()
	next, err := a.o.Load()
	if err != nil {
		a.loading.refused(err, a.o.Now())
		return err
	}
	next.Prometheus.Inherit(a.settings.Load().Prometheus)
	a.settings.Store(&next)
	a.rules.ring()
	a.loading.loaded(a.o.Now())
	a.due.ring()
	a.warnUnheard(ctx)
	a.arrivals.ring() // the inventory may name another agent for a host
	a.o.Logger.InfoContext(ctx, "settings were read again", slog.Int("entities", next.Inventory.Len()))
	return nil
}

// ReloadFor is Reload, asked for by a person.
func (s service) ReloadFor(ctx context.Context, actor string) error {
	err := s.Reload(ctx)
	if err != nil {
		// An admin may see what stands in the files, and is who can put it right.
		s.o.Logger.ErrorContext(ctx, "settings were not changed: a file has mistakes", slog.String("by", actor), slog.Any("reason", err))
		return fault.New(fault.Invalid, "the settings were not changed: %s", err)
	}
	s.o.Logger.InfoContext(ctx, "a person had the settings read again", slog.String("by", actor))
	return nil
}

// Catalogue returns what is in force.
func (s service) Catalogue() api.CatalogueInfo {
	now := s.settings.Load()
	info := api.CatalogueInfo{Causes: len(now.Catalogue.Causes.All()), Runbooks: len(now.Catalogue.Runbooks.All())}
	if p := now.Pinned; p != nil {
		info.Git = &api.PinInfo{
			Commit: p.Commit, Subject: p.Subject, URL: p.URL, Ref: p.Ref, Path: p.Path, Digest: p.Digest, Signer: p.Signer, At: p.At, By: p.By,
			Act: string(p.Act),
		}
	}
	s.loading.mu.Lock()
	defer s.loading.mu.Unlock()
	info.LoadedAt, info.Problem, info.ProblemAt = s.loading.at.UTC(), s.loading.problem, s.loading.problemAt.UTC()
	return info
}
