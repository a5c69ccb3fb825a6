package correlate

import (
	"testing"
	"time"

	"github.com/secondline-ops/secondline/controller/incident"
)

var t0 = time.Date(2026, 3, 1, 3, 0, 0, 0, time.UTC)

func open(id, entity, identity string, hints map[string]string) *incident.Incident {
	in := incident.Open(id, incident.Signal{
		ID: "s-" + id, Source: "alertmanager", Identity: identity, Entity: entity, State: incident.Firing, StartsAt: t0, Title: "x",
	}, hints, t0)
	in.Status = incident.Diagnosing
	return in
}

func TestAssign(t *testing.T) {
	t.Parallel()
	mount := map[string]string{"mount": "/var", "alertname": "DiskFull"}
	resolved := func(ago time.Duration) *incident.Incident {
		in := open("old", "web1", "f1", mount)
		in.Status, in.ResolvedAt = incident.Resolved, t0.Add(-ago)
		return in
	}
	saysOK := open("ok", "web1", "f1", nil)
	saysOK.Symptoms[0].State = incident.SourceSaysOK
	cases := map[string]struct {
		sig   incident.Signal
		hints map[string]string
		among []*incident.Incident
		want  incident.CorrelateDeed
		in    string
		as    incident.State // what it counts as; "" is what it says
	}{
		"nothing is open":                      {sig: incident.Signal{Entity: "web1", Identity: "f1"}, want: incident.DeedOpened},
		"told again":                           {sig: incident.Signal{Entity: "web1", Identity: "f1", StartsAt: t0}, among: []*incident.Incident{open("a", "web1", "f1", nil)}, want: incident.DeedDuplicate, in: "a"},
		"a new occurrence":                     {sig: incident.Signal{Entity: "web1", Identity: "f1", StartsAt: t0.Add(time.Minute)}, among: []*incident.Incident{open("a", "web1", "f1", nil)}, want: incident.DeedJoined, in: "a"},
		"same object":                          {sig: incident.Signal{Entity: "web1", Identity: "f2"}, hints: mount, among: []*incident.Incident{open("a", "web1", "f1", mount)}, want: incident.DeedJoined, in: "a"},
		"same object of another host":          {sig: incident.Signal{Entity: "web2", Identity: "f2"}, hints: mount, among: []*incident.Incident{open("a", "web1", "f1", mount)}, want: incident.DeedOpened},
		"same host, another object":            {sig: incident.Signal{Entity: "web1", Identity: "f2"}, hints: map[string]string{"mount": "/srv"}, among: []*incident.Incident{open("a", "web1", "f1", mount)}, want: incident.DeedOpened},
		"same host, no object":                 {sig: incident.Signal{Entity: "web1", Identity: "f2"}, among: []*incident.Incident{open("a", "web1", "f1", mount)}, want: incident.DeedOpened},
		"the alert's name alone joins nothing": {sig: incident.Signal{Entity: "web1", Identity: "f2"}, hints: map[string]string{"alertname": "DiskFull"}, among: []*incident.Incident{open("a", "web1", "f1", mount)}, want: incident.DeedOpened},
		"unknown entities do not join":         {sig: incident.Signal{Identity: "f2"}, hints: mount, among: []*incident.Incident{open("a", "", "f1", mount)}, want: incident.DeedOpened},
		"another source's identity is another": {sig: incident.Signal{Source: "generic/check", Entity: "web1", Identity: "f1"}, among: []*incident.Incident{open("a", "web1", "f1", nil)}, want: incident.DeedOpened},
		"identity beats object": {
			sig: incident.Signal{Entity: "web1", Identity: "f2", StartsAt: t0}, hints: mount,
			among: []*incident.Incident{open("a", "web1", "f1", mount), open("b", "web1", "f2", nil)}, want: incident.DeedDuplicate, in: "b",
		},
		"resolved of an open one":                    {sig: incident.Signal{Entity: "web1", Identity: "f1", State: incident.SourceSaysOK}, among: []*incident.Incident{open("a", "web1", "f1", nil)}, want: incident.DeedResolved, in: "a"},
		"resolved of nothing":                        {sig: incident.Signal{Entity: "web1", Identity: "f9", State: incident.SourceSaysOK}, hints: mount, among: []*incident.Incident{open("a", "web1", "f1", mount)}, want: incident.DeedStored},
		"a state that nobody knows, of nothing":      {sig: incident.Signal{Identity: "f9", State: incident.StateUnknown}, want: incident.DeedOpened, as: incident.Firing},
		"a state that nobody knows, same object":     {sig: incident.Signal{Entity: "web1", Identity: "f2", State: incident.StateUnknown}, hints: mount, among: []*incident.Incident{open("a", "web1", "f1", mount)}, want: incident.DeedJoined, in: "a", as: incident.Firing},
		"a state that nobody knows, it fires":        {sig: incident.Signal{Entity: "web1", Identity: "f1", StartsAt: t0, State: incident.StateUnknown}, among: []*incident.Incident{open("a", "web1", "f1", nil)}, want: incident.DeedDuplicate, in: "a", as: incident.Firing},
		"a state that nobody knows, said to be over": {sig: incident.Signal{Entity: "web1", Identity: "f1", StartsAt: t0, State: incident.StateUnknown}, among: []*incident.Incident{saysOK}, want: incident.DeedJoined, in: "ok", as: incident.StateUnknown},
		"a state that nobody knows, resolved":        {sig: incident.Signal{Entity: "web1", Identity: "f1", StartsAt: t0, State: incident.StateUnknown}, among: []*incident.Incident{resolved(time.Minute)}, want: incident.DeedDuplicate, in: "old", as: incident.Firing},
		"acknowledged of nothing":                    {sig: incident.Signal{Identity: "f9", State: incident.Acknowledged}, want: incident.DeedStored},
		"a relapse":                                  {sig: incident.Signal{Entity: "web1", Identity: "f1", StartsAt: t0.Add(time.Minute)}, among: []*incident.Incident{resolved(time.Minute)}, want: incident.DeedJoined, in: "old"},
		"too late for a relapse":                     {sig: incident.Signal{Entity: "web1", Identity: "f1", StartsAt: t0.Add(time.Minute)}, among: []*incident.Incident{resolved(31 * time.Minute)}, want: incident.DeedOpened},
		"nothing joins what was resolved":            {sig: incident.Signal{Entity: "web1", Identity: "f2"}, hints: mount, among: []*incident.Incident{resolved(time.Minute)}, want: incident.DeedOpened},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.sig.Source == "" {
				c.sig.Source = "alertmanager"
			}
			if c.sig.State == "" {
				c.sig.State = incident.Firing
			}
			if c.as == "" {
				c.as = c.sig.State
			}
			got := Assign(c.sig, c.hints, c.among, t0)
			id := ""
			if got.Incident != nil {
				id = got.Incident.ID
			}
			if got.Deed != c.want || id != c.in || got.State != c.as || got.Reason == "" {
				t.Errorf("got %s %q as %s (%s), want %s %q as %s", got.Deed, id, got.State, got.Reason, c.want, c.in, c.as)
			}
			if again := Assign(c.sig, c.hints, c.among, t0); again != got {
				t.Error("not the same twice")
			}
		})
	}
}
