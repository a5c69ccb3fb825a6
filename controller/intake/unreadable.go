package intake

import (
	"maps"
	"slices"

	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/intake/normal"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/internal/redact"
)

// maxExcerptBytes is how much of an unreadable body people are shown: enough to
// recognise its sender.
const maxExcerptBytes = 500

// unreadableIdentity is the same for all unreadable bodies of a source, so that
// they are one incident.
const unreadableIdentity = "secondline/unreadable"

// Unreadable returns the signal that stands for a body which nobody
// understands; its id is that of the body. It names no resource, so nothing is
// diagnosed for it, and no time, so the next one is the same occurrence.
func Unreadable(body store.Body, problem string, secrets *redact.Redactor) incident.Signal {
	excerpt := normal.Line(string(secrets.Redact(body.Data)), maxExcerptBytes)
	return incident.Signal{
		ID: body.ID, BodyID: body.ID, Source: body.Source, Kind: incident.Alert, State: incident.Firing,
		Severity: incident.Warning, Title: normal.Title("a delivery of " + body.Source + " could not be read"),
		Labels:      map[string]string{},
		Annotations: map[string]string{"problem": problem, "body": body.ID, "excerpt": excerpt},
		Resources:   []incident.Resource{}, Links: []string{}, ReceivedAt: body.ReceivedAt,
		Identity: unreadableIdentity, IdentityFrom: "source",
		Action: incident.DeedStored, Reason: reasonStored,
	}
}

// Redact takes the secrets out of signals, before anybody stores or shows them.
// Identities stay: they are keys, and two must not become one.
func Redact(signals []incident.Signal, secrets *redact.Redactor) {
	text := func(s string) string { return string(secrets.Redact([]byte(s))) }
	for i := range signals {
		s := &signals[i]
		s.Title, s.StateRaw, s.SeverityRaw = text(s.Title), text(s.StateRaw), text(s.SeverityRaw)
		s.Labels, s.Annotations = redactAll(s.Labels, secrets), redactAll(s.Annotations, secrets)
		for j := range s.Resources {
			s.Resources[j].Value = text(s.Resources[j].Value)
		}
		for j := range s.Links {
			s.Links[j] = text(s.Links[j])
		}
	}
}

// redactAll redacts values by their own look, and by their name: under
// "db_password" stands a secret, whatever it looks like.
func redactAll(pairs map[string]string, secrets *redact.Redactor) map[string]string {
	out := make(map[string]string, len(pairs))
	for _, name := range slices.Sorted(maps.Keys(pairs)) { // names that become one: always the same stays
		value := pairs[name]
		if mark, secret := markOf(name, secrets); secret && value != "" {
			value = mark
		} else {
			value = string(secrets.Redact([]byte(value)))
		}
		out[string(secrets.Redact([]byte(name)))] = value
	}
	return out
}

// markOf returns what takes the place of a value under the name, when the name
// announces a secret: it asks about one that has no look of its own.
func markOf(name string, secrets *redact.Redactor) (mark string, secret bool) {
	const value = "0123456789"
	before, after := name+`="`, `"`
	got := string(secrets.Redact([]byte(before + value + after)))
	if len(got) <= len(before)+len(after) || got == before+value+after || got[:len(before)] != before {
		return "", false
	}
	return got[len(before) : len(got)-len(after)], true
}
