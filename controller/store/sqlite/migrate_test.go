package sqlite_test

import (
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/controller/store/sqlite"
	"github.com/secondline-ops/secondline/runbooks"
)

// A store of schema version 1 has no table of runs. Opened by this program, it
// knows those of its incidents.
func TestRunsOfAnOlderStoreAreEntered(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "store.db")
	s := open(t, path, sqlite.Options{})
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	if err := s.Update(t.Context(), func(tx store.Tx) error {
		for _, id := range []string{"a", "b"} {
			in := &incident.Incident{ID: id, Status: incident.Resolved, OpenedAt: now, UpdatedAt: now, Runs: []incident.Run{
				{ID: "run-" + id, Runbook: "rotate", Target: "web1", Status: runbooks.RunVerified, StartedAt: now, EndedAt: now.Add(time.Minute)},
			}}
			if err := tx.SaveIncident(t.Context(), in); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{"DROP TABLE runs", "DELETE FROM goose_db_version WHERE version_id = 2"} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, sqlite.Options{})
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	list, more, err := s.ListRuns(t.Context(), store.RunFilter{Runbook: "rotate"})
	if err != nil || more || len(list) != 2 || list[0].ID != "run-b" || !list[0].EndedAt.Equal(now.Add(time.Minute)) {
		t.Errorf("%+v %t %v", list, more, err)
	}
}
