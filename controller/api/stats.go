package api

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/runbooks"
)

// Bounds of statistics. The store gives at most 20,000 runs at once
// (store.RunFilter); of those that are older nothing is said but that there are.
const (
	DefaultStatsWindow = 90 * 24 * time.Hour
	maxStatsTargets    = 100
	maxStatsRuns       = 10
)

// RunbookStatsList is how runbooks fared in a window. Dry runs count apart.
type RunbookStatsList struct {
	Since    time.Time      `json:"since"`
	Until    time.Time      `json:"until"`
	Runbooks []RunbookStats `json:"runbooks"` // that ran; or the one asked for
	// Truncated says that the window holds more runs than are counted: the
	// newest 20,000 are.
	Truncated bool `json:"truncated"`
}

// RunbookStats is how one runbook fared.
type RunbookStats struct {
	Runbook  string    `json:"runbook"`
	Title    string    `json:"title"` // "" when the catalogue has no such runbook any more
	Runs     int       `json:"runs"`
	DryRuns  int       `json:"dry_runs"`
	Outcomes RunCounts `json:"outcomes"` // of the runs; their sum is Runs
	// MedianSeconds and LongestSeconds are of the verified runs, from the start to
	// the end, verification included; 0 when there is none.
	MedianSeconds  float64 `json:"median_seconds"`
	LongestSeconds float64 `json:"longest_seconds"`
	// Targets and Last are given for one runbook only.
	Targets []TargetStats `json:"targets"` // most runs first, at most 100
	Last    []RunRef      `json:"last"`    // newest first, at most 10
	Level   RunbookLevel  `json:"level"`
}

// RunCounts counts runs by how they ended.
type RunCounts struct {
	Verified  int `json:"verified"`
	Refuted   int `json:"refuted"`
	Undone    int `json:"undone"`
	Unknown   int `json:"unknown"`
	Refused   int `json:"refused"`
	Rejected  int `json:"rejected"`
	Cancelled int `json:"cancelled"`
	Failed    int `json:"failed"`
	InWork    int `json:"in_work"` // planned, waiting for a yes, or running
}

func (c *RunCounts) count(s runbooks.RunStatus) {
	switch s {
	case runbooks.RunVerified:
		c.Verified++
	case runbooks.RunRefuted:
		c.Refuted++
	case runbooks.RunUndone:
		c.Undone++
	case runbooks.RunUnknown:
		c.Unknown++
	case runbooks.RunRefused:
		c.Refused++
	case runbooks.RunRejected:
		c.Rejected++
	case runbooks.RunCancelled:
		c.Cancelled++
	case runbooks.RunFailed:
		c.Failed++
	case runbooks.RunPlanned, runbooks.RunWaiting, runbooks.RunRunning:
		c.InWork++
	}
}

// TargetStats is how a runbook fared on one target.
type TargetStats struct {
	Target   string    `json:"target"`
	Runs     int       `json:"runs"`
	Verified int       `json:"verified"`
	LastAt   time.Time `json:"last_at"`
}

// RunRef is a run with where to look further.
type RunRef struct {
	ID          string    `json:"id"`
	Number      int64     `json:"number"` // of its incident
	Target      string    `json:"target"`
	Status      string    `json:"status"`
	RequestedBy string    `json:"requested_by"`
	At          time.Time `json:"at"`
	URL         string    `json:"url"` // of the run, below the controller's address
	PageURL     string    `json:"page_url"`
}

// RunbookLevel is how far a runbook may go by itself now.
type RunbookLevel struct {
	InForce string   `json:"in_force"` // "" when the catalogue has no such runbook
	Ceiling string   `json:"ceiling"`  // of its file
	Because []string `json:"because"`  // the arithmetic, the deciding sentence first
}

// StatsQuery narrows statistics; what is empty means any.
type StatsQuery struct {
	Runbook string
	Since   time.Time // zero means DefaultStatsWindow before now
}

// RunbookStats returns how runbooks fared.
func (c *Client) RunbookStats(ctx context.Context, q StatsQuery) (RunbookStatsList, error) {
	since := ""
	if !q.Since.IsZero() {
		since = q.Since.UTC().Format(time.RFC3339)
	}
	return get[RunbookStatsList](ctx, c, "/v1/runbooks/stats", query{"runbook": q.Runbook, "since": since})
}

func (s *Server) runbookStats(c *call) (any, error) {
	if err := c.known("runbook", "since"); err != nil {
		return nil, err
	}
	now := s.o.Now()
	since := now.Add(-DefaultStatsWindow)
	if text := c.URL.Query().Get("since"); text != "" {
		var err error
		if since, err = time.Parse(time.RFC3339, text); err != nil {
			return nil, fault.New(fault.Invalid, "%q is not a time such as 2026-01-31T00:00:00Z", text).WithField("since")
		}
	}
	name := c.URL.Query().Get("runbook")
	rows, more, err := s.o.Service.ListRuns(c.Context(), store.RunFilter{Runbook: name, Since: since})
	if err != nil {
		return nil, err
	}
	titles := map[string]string{}
	for _, rb := range s.o.Service.Runbooks() {
		titles[rb.Name] = rb.Title
	}
	out := RunbookStatsList{Since: since.UTC(), Until: now.UTC(), Runbooks: countRuns(rows, name), Truncated: more}
	if _, known := titles[name]; name != "" && !known && len(rows) == 0 {
		return nil, fault.New(fault.NotFound, "there is no runbook %q, and no run of one since %s", name, since.UTC().Format(time.RFC3339)).
			WithHint("secondline runbook list")
	}
	for i := range out.Runbooks {
		stats := &out.Runbooks[i]
		stats.Title = titles[stats.Runbook]
		stats.Level = s.o.Service.LevelOf(stats.Runbook)
		stats.Level.Because = list(stats.Level.Because)
	}
	return out, nil
}

// countRuns counts the rows, which are newest first, by runbook. The one asked
// for is there without a run, too, and has its targets and last runs.
func countRuns(rows []store.RunRow, name string) []RunbookStats {
	all := map[string]*RunbookStats{}
	took := map[string][]time.Duration{}
	targets := map[string]*TargetStats{}
	of := func(runbook string) *RunbookStats {
		if all[runbook] == nil {
			all[runbook] = &RunbookStats{Runbook: runbook, Targets: []TargetStats{}, Last: []RunRef{}}
		}
		return all[runbook]
	}
	if name != "" {
		of(name)
	}
	for _, r := range rows {
		stats := of(r.Runbook)
		if r.DryRun {
			stats.DryRuns++
			continue
		}
		stats.Runs++
		stats.Outcomes.count(r.Status)
		if r.Status == runbooks.RunVerified && !r.StartedAt.IsZero() {
			took[r.Runbook] = append(took[r.Runbook], max(0, r.EndedAt.Sub(r.StartedAt)))
		}
		if name == "" {
			continue
		}
		if len(stats.Last) < maxStatsRuns {
			stats.Last = append(stats.Last, refOf(r))
		}
		t := targets[r.Target]
		if t == nil {
			t = &TargetStats{Target: r.Target, LastAt: r.At.UTC()}
			targets[r.Target] = t
		}
		t.Runs++
		if r.Status == runbooks.RunVerified {
			t.Verified++
		}
	}
	out := []RunbookStats{}
	for _, runbook := range slices.Sorted(maps.Keys(all)) {
		stats := all[runbook]
		stats.MedianSeconds, stats.LongestSeconds = middleAndEnd(took[runbook])
		out = append(out, *stats)
	}
	if name != "" {
		out[0].Targets = append(out[0].Targets, mostRuns(targets)...)
	}
	return out
}

func refOf(r store.RunRow) RunRef {
	return RunRef{
		ID: r.ID, Number: r.Number, Target: r.Target, Status: string(r.Status), RequestedBy: r.RequestedBy, At: r.At.UTC(),
		URL: at("/v1/runs", r.ID), PageURL: at("/incidents", fmt.Sprint(r.Number)),
	}
}

// middleAndEnd returns the median, of an even number the mean of the two in the
// middle, and the longest, in seconds.
func middleAndEnd(took []time.Duration) (median, longest float64) {
	if len(took) == 0 {
		return 0, 0
	}
	slices.Sort(took)
	n := len(took)
	return ((took[(n-1)/2] + took[n/2]) / 2).Seconds(), took[n-1].Seconds()
}

func mostRuns(targets map[string]*TargetStats) []TargetStats {
	all := []TargetStats{}
	for _, t := range targets {
		all = append(all, *t)
	}
	slices.SortFunc(all, func(a, b TargetStats) int {
		return cmp.Or(cmp.Compare(b.Runs, a.Runs), cmp.Compare(a.Target, b.Target))
	})
	return all[:min(len(all), maxStatsTargets)]
}
