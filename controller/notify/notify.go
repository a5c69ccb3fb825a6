// Package notify tells people. It is the contract between who has something to
// say and the channels that carry it (notify/webhook, notify/smtp); it decides
// neither what is said nor to whom.
//
// Links in messages only show. Nothing happens because somebody, or a mail
// scanner, opened one.
package notify

import (
	"context"
	"time"
)

// Kind is what a message is about.
type Kind string

// The kinds of messages.
const (
	ApprovalWanted Kind = "approval_wanted"
	Resolved       Kind = "resolved"
	Escalated      Kind = "escalated"
	Storm          Kind = "storm" // many at once; the incident is one of them
)

// Incident is what every message says about its incident.
type Incident struct {
	ID       string    `json:"id"`
	Number   int64     `json:"number"`
	Title    string    `json:"title"`
	Status   string    `json:"status"`
	Severity string    `json:"severity"`
	Priority string    `json:"priority"`
	Entity   string    `json:"entity"`
	OpenedAt time.Time `json:"opened_at"`
}

// Message is one thing to tell. Its text holds hostile data: channels must not
// let it become markup, headers or commands.
type Message struct {
	ID         string // the same message tried again has the same id
	Kind       Kind
	Incident   Incident
	Subject    string // one line
	Text       string // plain text
	Link       string // to the incident's page; "" when there is none
	Attachment string // path of a file, the bundle; "" when there is none
}

// Sender is a channel to people.
//
// Duties: Send returns when the other side has taken the message, within its
// own bound; a fault that fault.Retryable names may be tried again with the
// same Message, and the other side can tell by the id that it is the same. No
// error text holds a credential. Safe for concurrent use.
type Sender interface {
	Name() string
	Send(ctx context.Context, m Message) error
}
