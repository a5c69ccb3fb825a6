package controller

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/yamlx"
)

// Retention is how long things are kept. Zero keeps them for ever, so that
// what nobody has configured deletes nothing.
type Retention struct {
	Bodies    time.Duration // raw bodies since they came in; signals that concern no incident; runs of checks since they ended
	Incidents time.Duration // incidents since they ended, with all that is theirs
	Bundles   time.Duration // files of bundles since they were written, unless their incident is open
}

// DefaultRetention is that of DESIGN section 10.
func DefaultRetention() Retention {
	const day = 24 * time.Hour
	return Retention{Bodies: 30 * day, Incidents: 400 * day, Bundles: 400 * day}
}

// minRetention keeps a slip of the keyboard from deleting what people work on.
const minRetention = time.Hour

// Problems says what is wrong with the values that somebody has given, by their
// names: bodies, incidents, bundles. It is empty when nothing is.
func (r Retention) Problems() map[string]string {
	problems := map[string]string{}
	for name, keep := range map[string]time.Duration{"bodies": r.Bodies, "incidents": r.Incidents, "bundles": r.Bundles} {
		given, least := yamlx.FormatDuration(keep), yamlx.FormatDuration(minRetention)
		switch {
		case keep >= minRetention:
		case name == "incidents" && keep > 0 && keep < incident.ReopenWithin:
			problems[name] = fmt.Sprintf("%s is shorter than the %s after which a resolved incident can no longer come back; at least %s is needed",
				given, yamlx.FormatDuration(incident.ReopenWithin), least)
		default:
			problems[name] = fmt.Sprintf("%s is too short to keep anything; at least %s is needed", given, least)
		}
	}
	return problems
}

// Bounds of one round of retention: what is left then goes an hour later.
const (
	retireEvery       = time.Hour
	retireAtOnce      = 1000
	retireIncidents   = 20 // at once: each may have ten thousand signals, and intake waits meanwhile
	retireRounds      = 100
	keepExpiredTokens = 7 * 24 * time.Hour // so that "it has expired" can be told from "never heard of it" for a while
)

// retire deletes what is older than its retention.
func (a *App) retire(ctx context.Context) error {
	keep, db := a.settings.Load().Retention, a.o.Store
	errs := []error{a.retireBundles(ctx, keep.Bundles)} // first: it asks the incidents
	for _, d := range []struct {
		what   string
		keep   time.Duration
		atOnce int
		delete func(ctx context.Context, before time.Time, limit int) (int, error)
	}{
		{"bodies", keep.Bodies, retireAtOnce, db.DeleteBodies},
		{"signals of no incident", keep.Bodies, retireAtOnce, db.DeleteSignals},
		{"runs of checks", keep.Bodies, retireAtOnce, db.DeleteJobs},
		{"incidents", keep.Incidents, retireIncidents, db.DeleteIncidents},
		{"tokens", keepExpiredTokens, retireAtOnce, db.DeleteTokens},
	} {
		if d.keep <= 0 {
			continue
		}
		n, err := deleteAll(ctx, a.o.Now().Add(-d.keep), d.atOnce, d.delete)
		if err != nil {
			errs = append(errs, fmt.Errorf("delete old %s: %w", d.what, err))
		}
		if n > 0 {
			a.o.Logger.InfoContext(ctx, "old rows were deleted", slog.String("what", d.what), slog.Int("rows", n))
		}
	}
	return errors.Join(errs...)
}

// deleteAll deletes batch by batch, so that others get their turn between them.
func deleteAll(ctx context.Context, before time.Time, atOnce int, del func(context.Context, time.Time, int) (int, error)) (deleted int, err error) {
	for range retireRounds {
		n, err := del(ctx, before, atOnce)
		deleted += n
		if err != nil || n < atOnce {
			return deleted, err
		}
	}
	return deleted, nil
}

// retireBundles deletes the files that were written before the retention, and
// what a crash left of unfinished ones. Other files in the folder stay.
func (a *App) retireBundles(ctx context.Context, keep time.Duration) error {
	if keep <= 0 {
		return nil
	}
	files, err := os.ReadDir(a.bundleDir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list bundles: %w", err)
	}
	before := a.o.Now().Add(-keep)
	var errs []error
	for _, f := range files {
		old, err := a.mayGo(ctx, f, before)
		if err == nil && old {
			err = os.Remove(filepath.Join(a.bundleDir(), f.Name()))
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("delete bundle %s: %w", f.Name(), err))
		}
	}
	return errors.Join(errs...)
}

// mayGo reports whether the file is a bundle from before the time that nobody
// works with.
func (a *App) mayGo(ctx context.Context, f fs.DirEntry, before time.Time) (bool, error) {
	if strings.HasPrefix(f.Name(), unfinishedBundle) {
		info, err := f.Info()
		return err == nil && info.ModTime().Before(before), err
	}
	number, written, ok := parseBundleName(f.Name())
	if !ok || !written.Before(before) {
		return false, nil
	}
	in, err := a.o.Store.FindIncident(ctx, strconv.FormatInt(number, 10))
	if fault.Is(err, fault.NotFound) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return !in.Status.Open() && in.Status != incident.Resolved, nil // a resolved one may come back; it is closed soon
}

// The names of files in the bundle folder.
const (
	unfinishedBundle = ".new-"
	bundleTime       = "20060102T150405Z"
)

func bundleName(number int64, written time.Time) string {
	return fmt.Sprintf("incident-%d-%s.tar.gz", number, written.UTC().Format(bundleTime))
}

// parseBundleName takes the name of a bundle apart; ok is false for others.
func parseBundleName(name string) (number int64, written time.Time, ok bool) {
	parts := regexp.MustCompile(`^incident-([0-9]{1,18})-([0-9]{8}T[0-9]{6}Z)\.tar\.gz$`).FindStringSubmatch(name)
	if parts == nil {
		return 0, time.Time{}, false
	}
	written, err := time.Parse(bundleTime, parts[2])
	if err != nil {
		return 0, time.Time{}, false
	}
	number, err = strconv.ParseInt(parts[1], 10, 64)
	return number, written, err == nil
}

// bundleGone says why the file of a bundle is not there.
func (a *App) bundleGone(in *incident.Incident) error {
	keep := a.settings.Load().Retention.Bundles
	_, written, ok := parseBundleName(in.Escalation.Bundle)
	if ok && keep > 0 && written.Before(a.o.Now().Add(-keep)) {
		return fault.New(fault.NotFound, "the bundle of incident %d, written on %s, is gone: retention removes bundles after %s",
			in.Number, written.Format(time.DateOnly), yamlx.FormatDuration(keep)).
			WithHint("what was found is still on the incident's page; retention.bundles of the controller says how long bundles are kept")
	}
	return fault.New(fault.NotFound, "the file %s of incident %d is missing", filepath.Base(in.Escalation.Bundle), in.Number).
		WithHint("it belongs into bundles/ in the controller's data folder: restore it from a backup")
}
