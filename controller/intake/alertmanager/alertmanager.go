// Package alertmanager reads what Prometheus Alertmanager posts to a webhook:
// version 4 and 3, and the bare list of alerts that Prometheus itself posts.
// It is lenient, because the body can be a user's template: any field may be
// missing or of another type.
//
// The one thing to know: only the status of each alert counts. The one at the
// top says "resolved" for a group whose firing alerts were cut off by
// max_alerts.
package alertmanager

import (
	"strconv"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/intake/normal"
	"github.com/secondline-ops/secondline/internal/fault"
)

// Annotations that this package adds to a signal.
const (
	// TruncatedAnnotation counts what max_alerts cut off.
	TruncatedAnnotation = normal.TruncatedAnnotation
	// DroppedAnnotation says how many labels and annotations were too many to keep.
	DroppedAnnotation = "secondline_dropped_labels"
)

// Parser implements intake.Parser.
type Parser struct{}

// Name implements intake.Parser.
func (Parser) Name() string { return "alertmanager" }

// Aliases implements intake.Parser.
func (Parser) Aliases() []string { return []string{"prometheus", "am"} }

// Parse implements intake.Parser.
func (Parser) Parse(body []byte, _ string, receivedAt time.Time) ([]incident.Signal, error) {
	doc, err := normal.Decode(body)
	if err != nil {
		return nil, err
	}
	alerts, ok := doc.List()
	if !ok {
		alerts, ok = doc.Get("alerts").List()
	}
	if !ok {
		return nil, fault.New(fault.Invalid, "the body has no list of alerts").WithField("alerts")
	}
	r := reader{receivedAt: receivedAt, externalURL: doc.Get("externalURL").Text()}
	if n, err := strconv.ParseUint(doc.Get("truncatedAlerts").Text(), 10, 32); err == nil && n > 0 {
		r.truncated = strconv.FormatUint(n, 10)
	}
	signals := make([]incident.Signal, 0, len(alerts))
	for _, a := range alerts {
		signals = append(signals, r.signal(a))
	}
	return signals, nil
}

// reader has what all alerts of a body share.
type reader struct {
	receivedAt  time.Time
	externalURL string
	truncated   string
}

func (r reader) signal(alert normal.Value) incident.Signal {
	labels, droppedLabels := normal.Labels(alert.Get("labels"))
	annotations, dropped := normal.Labels(alert.Get("annotations"))
	if n := dropped + droppedLabels; n > 0 {
		annotations[DroppedAnnotation] = strconv.Itoa(n)
	}
	if r.truncated != "" {
		annotations[TruncatedAnnotation] = r.truncated
	}
	s := incident.Signal{
		Kind: incident.Alert, Labels: labels, Annotations: annotations, ReceivedAt: r.receivedAt,
		SeverityRaw: labels["severity"], Severity: normal.Severity(labels["severity"]),
		Title:     title(labels, annotations),
		Resources: normal.Resources(labels),
		StartsAt:  alert.Get("startsAt").Time(), EndsAt: alert.Get("endsAt").Time(),
		Links: normal.Links(alert.Get("generatorURL").Text(), annotations["runbook_url"], annotations["dashboard_url"], r.externalURL),
	}
	s.StateRaw = normal.Cut(alert.Get("status").Text(), maxWordBytes)
	s.State = r.state(s)
	s.Identity, s.IdentityFrom = normal.Identity(strings.TrimSpace(alert.Get("fingerprint").Text())), "fingerprint"
	if s.Identity == "" {
		s.Identity, s.IdentityFrom = normal.IdentityOf(alert.Get("labels")), "labels"
	}
	return s
}

// maxWordBytes bounds what should be one word.
const maxWordBytes = 100

// state is that of the alert's own status; without one, that of its end: none,
// or one to come, is firing (Alertmanager API v2, postableAlert).
func (r reader) state(s incident.Signal) incident.State {
	if s.StateRaw != "" {
		return normal.State(s.StateRaw)
	}
	if s.EndsAt.IsZero() || s.EndsAt.After(r.receivedAt) {
		return incident.Firing
	}
	return incident.SourceSaysOK
}

// title is the alert's name: the name is what runbooks, causes and people know
// it by, and it stays the same while the summary carries readings.
func title(labels, annotations map[string]string) string {
	for _, t := range []string{labels["alertname"], annotations["summary"], annotations["title"], annotations["message"], annotations["description"]} {
		if t = normal.Title(t); t != "" {
			return t
		}
	}
	return "alert without a name"
}
