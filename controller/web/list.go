package web

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"

	"github.com/secondline-ops/secondline/controller/api"
	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/internal/fault"
)

// How much a list shows.
const (
	maxOpen   = 200
	maxRecent = 30
)

type listView struct {
	Query  string
	Open   []api.Summary
	More   bool // there are more open ones than shown
	Recent []api.Summary
}

func (p *Pages) incidents(v *visit) error {
	view, err := p.list(v.Context(), v.URL.Query().Get("q"))
	if err != nil {
		return err
	}
	return p.show(v, "incidents", frame{Title: strconv.Itoa(len(view.Open)) + " open", Live: "/live", Data: view})
}

func (p *Pages) list(ctx context.Context, q string) (listView, error) {
	open, next, err := p.o.Service.ListIncidents(ctx, store.IncidentFilter{Status: api.OpenStatuses(), Query: q, OmitDryRuns: true, Limit: maxOpen})
	if err != nil {
		return listView{}, err
	}
	recent, _, err := p.o.Service.ListIncidents(ctx, store.IncidentFilter{
		Status: []incident.Status{incident.Resolved, incident.Closed, incident.Merged}, Query: q, OmitDryRuns: true, Limit: maxRecent,
	})
	if err != nil {
		return listView{}, err
	}
	view := listView{Query: q, More: next != "", Open: summaries(open), Recent: summaries(recent)}
	slices.SortStableFunc(view.Open, func(a, b api.Summary) int {
		return cmp.Or(cmp.Compare(attention(a), attention(b)), cmp.Compare(a.Priority, b.Priority), b.OpenedAt.Compare(a.OpenedAt))
	})
	return view, nil
}

// attention sorts what waits for a person to the top.
func attention(s api.Summary) int {
	switch incident.Status(s.Status) {
	case incident.AwaitingApproval, incident.Escalated:
		return 0
	case incident.Suppressed:
		return 2
	case incident.New, incident.Diagnosing, incident.Remediating, incident.Verifying, incident.Resolved, incident.Closed, incident.Merged:
	}
	return 1
}

func summaries(in []*incident.Incident) []api.Summary {
	out := make([]api.Summary, 0, len(in))
	for _, i := range in {
		out = append(out, api.Summarise(i))
	}
	return out
}

// follow tells a page that something it shows has changed. It sends no data:
// the page asks for itself again, so that there is one way to show a thing.
func (p *Pages) follow(v *visit) error {
	id, look := "", p.listState
	if ref := v.URL.Query().Get("incident"); ref != "" {
		in, err := p.o.Service.FindIncident(v.Context(), ref)
		if err != nil {
			return err
		}
		id, look = in.ID, func(ctx context.Context) (string, error) {
			in, err := p.o.Service.FindIncident(ctx, id)
			if err != nil {
				return "", err
			}
			return strconv.FormatInt(in.Seq, 10) + "." + strconv.FormatInt(in.Version, 10), nil
		}
	}
	select {
	case p.live <- struct{}{}:
		defer func() { <-p.live }()
	default:
		return fault.New(fault.Overloaded, "%d pages are open already", maxLive)
	}
	out := api.NewStream(v.w)
	last := v.Header.Get("Last-Event-ID")
	watch := api.Watch{Incident: id, Changes: p.o.Service.Subscribe, Send: func(ctx context.Context) error {
		state, err := look(ctx)
		if err != nil || state == last {
			return err
		}
		last = state
		return out.Send(state, "changed", []byte("{}"))
	}}
	if id != "" { // a list does not show what is being done
		watch.Activity, watch.SendProgress = p.o.Service.WatchActivity, p.progressTeller(out, id)
	}
	out.Run(v.Context(), watch)
	return nil
}

// progressTeller tells a page when something else is being done than it was
// told last. Without an id: where the page stands is known from what is stored.
func (p *Pages) progressTeller(out *api.Stream, id string) func(context.Context) error {
	var told []byte
	return func(ctx context.Context) error {
		in, err := p.o.Service.FindIncident(ctx, id)
		if err != nil {
			return err
		}
		now, err := json.Marshal(api.ProgressOf(in, p.o.Service))
		if err != nil {
			return fmt.Errorf("encode progress: %w", err)
		}
		if bytes.Equal(now, told) {
			return nil
		}
		told = now
		return out.Send("", "progress", []byte("{}"))
	}
}

// listState is a word that changes when the list does.
func (p *Pages) listState(ctx context.Context) (string, error) {
	view, err := p.list(ctx, "")
	if err != nil {
		return "", err
	}
	h := fnv.New64a()
	for _, s := range slices.Concat(view.Open, view.Recent) {
		_, _ = fmt.Fprintf(h, "%s %s %d\n", s.ID, s.Status, s.UpdatedAt.UnixNano())
	}
	return strconv.FormatUint(h.Sum64(), 36), nil
}
