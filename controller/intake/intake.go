// Package intake takes signals in: it stores the raw body first, durably, and
// only then says how it was read. It decides nothing; what a signal belongs to
// is decided later, from the stored body, by the same reading (Read). Sources
// are in packages of their own, listed in intake/sources.
//
// The one thing to know: a body that nobody understands is accepted too. It is
// kept, and a signal of its own stands for it (Unreadable), because refusing it
// would lose a page.
package intake

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/internal/fault"
)

// MaxBodyBytes bounds one delivery.
const MaxBodyBytes = 4 << 20

// reasonStored is what a signal says of itself until it is decided.
const reasonStored = "stored; what it belongs to is decided next"

// Parser reads the deliveries of one kind of source. It must be pure: the same
// body gives the same signals in the same order, for ids and for replay. It
// leaves ID, BodyID, Source, Action and Reason to intake.
type Parser interface {
	// Name is the source as it stands in the address: POST /v1/signals/{name}.
	Name() string
	// Aliases are other names for it.
	Aliases() []string
	Parse(body []byte, contentType string, receivedAt time.Time) ([]incident.Signal, error)
}

// Bodies is where deliveries are kept.
type Bodies interface {
	AppendBody(ctx context.Context, b store.Body) error
}

// Options are what an Inbox is made of.
type Options struct {
	Bodies  Bodies
	Sources []Parser
	Now     func() time.Time
	Rand    io.Reader // for ids; must be safe for concurrent use, as crypto/rand.Reader is
	// OnStored is called after each stored body, must not block; nil means nothing.
	OnStored func(Receipt)
}

// Inbox accepts deliveries. It is safe for concurrent use.
type Inbox struct{ o Options }

// NewInbox returns an Inbox.
func NewInbox(o Options) *Inbox {
	if o.OnStored == nil {
		o.OnStored = func(Receipt) {}
	}
	return &Inbox{o: o}
}

// Receipt is what a sender is told: the body is durable, and this is how it
// was read.
type Receipt struct {
	BodyID   string
	Signals  []incident.Signal
	Unmapped bool   // authenticated and kept, but not understood
	Problem  string // why not
}

// Accept stores the body and returns when it is on the disk. It refuses with
// TooLarge, with NotFound for an unknown source, and with what the store says,
// Overloaded above all: then nothing was accepted.
func (b *Inbox) Accept(ctx context.Context, source, contentType string, body []byte) (Receipt, error) {
	if len(body) > MaxBodyBytes {
		return Receipt{}, tooLarge()
	}
	parser, source, err := Find(b.o.Sources, source)
	if err != nil {
		return Receipt{}, err
	}
	now := b.o.Now().UTC()
	id, err := b.newID(now)
	if err != nil {
		return Receipt{}, err
	}
	sum := sha256.Sum256(body)
	stored := store.Body{
		ID: id, Source: source, ContentType: contentType, Data: body, SHA256: hex.EncodeToString(sum[:]),
		ReceivedAt: now, Status: store.BodyPending,
	}
	receipt := Receipt{BodyID: id}
	receipt.Signals, err = read(parser, stored)
	if err != nil {
		receipt.Unmapped, receipt.Problem, receipt.Signals = true, err.Error(), []incident.Signal{}
	}
	if err := b.o.Bodies.AppendBody(ctx, stored); err != nil {
		return Receipt{}, err
	}
	b.o.OnStored(receipt)
	return receipt, nil
}

func tooLarge() error {
	return fault.New(fault.TooLarge, "the body is larger than %d bytes", MaxBodyBytes).
		WithHint("send fewer alerts at once; for Alertmanager set max_alerts on the webhook")
}

// newID is 48 bits of milliseconds and 80 random bits, in hex: it sorts by time,
// like UUID version 7 (RFC 9562).
func (b *Inbox) newID(now time.Time) (string, error) {
	var raw [16]byte
	binary.BigEndian.PutUint64(raw[:8], uint64(now.UnixMilli())<<16)
	if _, err := io.ReadFull(b.o.Rand, raw[6:]); err != nil {
		return "", fmt.Errorf("make a body id: %w", err)
	}
	return hex.EncodeToString(raw[:]), nil
}

// Read returns the signals of a stored body, always the same: the id of a
// signal is that of its body and its place. It refuses with Invalid what the
// source's parser does not understand.
func Read(sources []Parser, body store.Body) ([]incident.Signal, error) {
	parser, source, err := Find(sources, body.Source)
	if err != nil {
		return nil, err
	}
	body.Source = source
	return read(parser, body)
}

// read keeps a parser's panic from taking the controller down: the body is
// kept, so a mended parser can read it later.
func read(p Parser, body store.Body) (signals []incident.Signal, err error) {
	defer func() {
		if r := recover(); r != nil {
			signals, err = nil, fault.New(fault.Internal, "the parser of %s broke: %v", p.Name(), r)
		}
	}()
	signals, err = p.Parse(body.Data, body.ContentType, body.ReceivedAt)
	if err != nil {
		return nil, err
	}
	for i := range signals {
		s := &signals[i]
		s.ID, s.BodyID, s.Source = signalID(body.ID, i), body.ID, body.Source
		s.Action, s.Reason = incident.DeedStored, reasonStored
	}
	return signals, nil
}

// signalID pads the place, so that the signals of a body sort in its order.
func signalID(bodyID string, place int) string {
	const digits = "0123456789"
	var raw [6]byte // more than values fit into a body
	for i := len(raw) - 1; i >= 0; i-- {
		raw[i] = digits[place%10]
		place /= 10
	}
	return bodyID + "-" + string(raw[:])
}

// Find returns the parser for a source as it stands in an address, and the
// source's proper name. A name may follow after a slash ("generic/backup"); it
// keeps apart what comes from different senders.
func Find(sources []Parser, name string) (p Parser, source string, err error) {
	kind, sender, named := strings.Cut(name, "/")
	for _, p := range sources {
		for _, n := range append(p.Aliases(), p.Name()) {
			if n != kind {
				continue
			}
			if !named {
				return p, p.Name(), nil
			}
			if !validSender(sender) {
				return nil, "", fault.New(fault.Invalid, "%q is no name for a sender", sender).WithField("source").
					WithHint("use up to 64 of: a-z A-Z 0-9 . _ -")
			}
			return p, p.Name() + "/" + sender, nil
		}
	}
	return nil, "", unknownSource(sources, kind)
}

func validSender(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == "" && strings.Trim(s, ".") != ""
}

func unknownSource(sources []Parser, name string) error {
	var all []string
	near, best := "", 3 // further away is no help
	for _, p := range sources {
		all = append(all, p.Name())
		for _, n := range append(p.Aliases(), p.Name()) {
			if d := distance(name, n); d < best {
				near, best = n, d
			}
		}
	}
	err := fault.New(fault.NotFound, "there is no source %q", name).WithField("source")
	if near != "" {
		return err.WithHint("did you mean %q?", near)
	}
	return err.WithHint("there are: %s", strings.Join(all, ", "))
}

// distance is how many letters differ (Levenshtein); names longer than any
// source are far.
func distance(a, b string) int {
	const far = 64
	if len(a) > far {
		return far
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := before
			if a[i] != b[j] {
				cost++
			}
			before = row[j+1]
			row[j+1] = min(cost, before+1, row[j]+1)
		}
	}
	return row[len(b)]
}
