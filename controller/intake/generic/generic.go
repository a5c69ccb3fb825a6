// Package generic reads our own plain JSON, for health checks, for
// `secondline signal send`, and for anyone with curl:
//
//	{
//	  "title":       "disk almost full",      required; also: name, summary, message
//	  "state":       "firing",                or resolved, acknowledged; missing means firing
//	  "severity":    "critical",              or high, warning, info
//	  "host":        "db1",                   also: instance, node, resource
//	  "fingerprint": "disk/db1",              what makes two signals the same; also: key
//	  "description": "/var is 97 % full",
//	  "starts_at":   "2026-03-01T12:00:00Z",
//	  "ends_at":     "2026-03-01T12:30:00Z",
//	  "labels":      {"mountpoint": "/var"},
//	  "annotations": {"runbook_url": "https://…"},
//	  "links":       ["https://…"]
//	}
//
// or a list of these, or {"signals": [ … ]}. Posted to generic/NAME the source
// is that name's own: the same fingerprint from two names is two things.
package generic

import (
	"time"

	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/intake/normal"
	"github.com/secondline-ops/secondline/internal/fault"
)

// Parser implements intake.Parser.
type Parser struct{}

// Name implements intake.Parser.
func (Parser) Name() string { return "generic" }

// Aliases implements intake.Parser.
func (Parser) Aliases() []string { return []string{"json"} }

// Parse implements intake.Parser. One entry without a title refuses the whole
// body, so that nobody believes that it was understood.
func (Parser) Parse(body []byte, _ string, receivedAt time.Time) ([]incident.Signal, error) {
	doc, err := normal.Decode(body)
	if err != nil {
		return nil, err
	}
	entries, ok := doc.List()
	if !ok {
		entries, ok = doc.Get("signals").List()
	}
	if !ok {
		entries = []normal.Value{doc}
	}
	signals := make([]incident.Signal, 0, len(entries))
	for i, e := range entries {
		s := read(e, receivedAt)
		if s.Title == "" {
			return nil, fault.New(fault.Invalid, "signal %d of %d has no title", i+1, len(entries)).WithField("title").
				WithHint(`the least is {"title": "what is wrong", "host": "where"}`)
		}
		signals = append(signals, s)
	}
	return signals, nil
}

func read(entry normal.Value, receivedAt time.Time) incident.Signal {
	labels, _ := normal.Labels(entry.Get("labels"))
	annotations, _ := normal.Labels(entry.Get("annotations"))
	if d := entry.First("description"); d != "" {
		annotations["description"] = normal.Cut(d, maxDescriptionBytes)
	}
	s := incident.Signal{
		Kind: incident.Alert, Labels: labels, Annotations: annotations, ReceivedAt: receivedAt,
		Title:       normal.Title(entry.First("title", "name", "summary", "message")),
		StateRaw:    normal.Cut(entry.First("state", "status"), maxWordBytes),
		SeverityRaw: normal.Cut(entry.First("severity", "priority"), maxWordBytes),
		StartsAt:    entry.Get("starts_at").Time(), EndsAt: entry.Get("ends_at").Time(),
	}
	if s.SeverityRaw == "" {
		s.SeverityRaw = normal.Cut(labels["severity"], maxWordBytes)
	}
	s.Severity, s.State = normal.Severity(s.SeverityRaw), incident.Firing
	if s.StateRaw != "" {
		s.State = normal.State(s.StateRaw)
	}
	var given []incident.Resource
	for _, key := range []string{"host", "instance", "node", "resource"} {
		given = append(given, incident.Resource{Value: normal.Cut(entry.First(key), maxDescriptionBytes), From: key})
	}
	s.Resources = normal.Resources(labels, given...)
	s.Identity, s.IdentityFrom = normal.Identity(entry.First("fingerprint", "key")), "fingerprint"
	if s.Identity == "" {
		s.Identity, s.IdentityFrom = normal.IdentityOf(entry.Get("labels"), s.Title, entry.First("host", "instance", "node", "resource")), "labels"
	}
	s.Links = normal.Links(append(texts(entry.Get("links")), entry.First("link", "url"), annotations["runbook_url"])...)
	return s
}

// Bounds of single fields.
const (
	maxWordBytes        = 100
	maxDescriptionBytes = 4096
)

func texts(v normal.Value) []string {
	list, _ := v.List()
	out := make([]string, 0, min(len(list), 16))
	for _, e := range list[:min(len(list), 16)] {
		out = append(out, e.Text())
	}
	return out
}
