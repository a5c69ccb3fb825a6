// Package smtp sends messages by mail. A server that offers no encryption is
// refused unless the owner says otherwise, and a password never goes over an
// unencrypted line. Each recipient gets a mail of their own, so that one
// refused address does not keep the others from being told.
package smtp

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/mail"
	"strings"
	"sync"
	"time"

	"github.com/secondline-ops/secondline/controller/notify"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/redact"
)

// TLSPolicy says what happens when a server offers no encryption.
type TLSPolicy string

// The policies. "" is Required.
const (
	Required      TLSPolicy = "required"      // such a server is not used
	Opportunistic TLSPolicy = "opportunistic" // such a server is used without
	None          TLSPolicy = "none"          // encryption is not even tried
)

const (
	portSubmission  = 587
	portImplicitTLS = 465 // RFC 8314, section 3.3
	defaultTimeout  = time.Minute
	maxRecipients   = 50
)

// Options are what a Sender is made of.
type Options struct {
	Name     string
	Host     string
	Port     int // 0 means 587; 465 is TLS from the first byte
	From     string
	To       []string
	User     string // "" means no authentication
	Password redact.Secret
	TLS      TLSPolicy
	RootCAs  *x509.CertPool // nil means those of the system
	Timeout  time.Duration  // of one mail; 0 means a minute
}

// Validate names every bad field at once.
func (o Options) Validate() error {
	var errs []error
	check := func(ok bool, field, format string, args ...any) {
		if !ok {
			errs = append(errs, fault.New(fault.Invalid, "mail %q: "+format, append([]any{o.Name}, args...)...).WithField(field))
		}
	}
	check(o.Name != "", "name", "a name is needed")
	check(o.Host != "" && !strings.ContainsAny(o.Host, " \t\r\n/"), "host", "%q is not a host", o.Host)
	check(o.Port >= 0 && o.Port <= 65535, "port", "%d is not a port", o.Port)
	check(isAddress(o.From), "from", "%q is not a mail address", o.From)
	check(len(o.To) > 0, "to", "at least one recipient is needed")
	check(len(o.To) <= maxRecipients, "to", "%d recipients are more than %d: use a mailing list", len(o.To), maxRecipients)
	for _, to := range o.To {
		check(isAddress(to), "to", "%q is not a mail address", to)
	}
	check(o.TLS == "" || o.TLS == Required || o.TLS == Opportunistic || o.TLS == None, "tls",
		"%q is not required, opportunistic or none", string(o.TLS))
	check((o.User == "") == (o.Password == ""), "user", "user and password belong together")
	check(o.User == "" || o.TLS == "" || o.TLS == Required, "tls", "a password needs tls: required")
	check(o.Timeout >= 0, "timeout", "the timeout must not be negative")
	return errors.Join(errs...)
}

func isAddress(s string) bool {
	_, err := mail.ParseAddress(s)
	return err == nil && !strings.ContainsAny(s, "\r\n")
}

// Sender mails to the recipients of its options. It is safe for concurrent use.
type Sender struct {
	o Options

	mu sync.Mutex // guards below
	// taken remembers who has got a message that others have not, so that
	// another try does not mail them again; the oldest is forgotten first.
	taken map[string]map[string]bool
	order []string
}

// maxRemembered bounds how many half delivered messages are remembered.
const maxRemembered = 256

var _ notify.Sender = (*Sender)(nil)

// New returns a Sender, or says all that is wrong with the options.
func New(o Options) (*Sender, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Port == 0 {
		o.Port = portSubmission
	}
	if o.TLS == "" {
		o.TLS = Required
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	return &Sender{o: o, taken: map[string]map[string]bool{}}, nil
}

// Name implements notify.Sender.
func (s *Sender) Name() string { return s.o.Name }

// Send implements notify.Sender. When some recipients were refused for good,
// the others have been mailed, and the error of kind Invalid names those.
func (s *Sender) Send(ctx context.Context, m notify.Message) error {
	var again, refused []error
	for _, to := range s.o.To {
		if s.has(m.ID, to) {
			continue
		}
		err := s.sendTo(ctx, to, m)
		switch {
		case err == nil:
			s.remember(m.ID, to)
		case fault.Retryable(fault.KindOf(err)):
			again = append(again, fmt.Errorf("mail %s: %w", to, err))
			if fault.Is(err, fault.Unreachable) || ctx.Err() != nil {
				return errors.Join(append(again, refused...)...) // it is the server, not the recipient
			}
		default:
			refused = append(refused, fmt.Errorf("mail %s: %w", to, err))
		}
	}
	if len(again) == 0 {
		s.forget(m.ID)
	}
	return errors.Join(append(again, refused...)...) // KindOf takes the first: what may be tried again decides
}

func (s *Sender) has(id, to string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken[id][to]
}

func (s *Sender) remember(id, to string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken[id] == nil {
		if len(s.order) >= maxRemembered {
			delete(s.taken, s.order[0])
			s.order = s.order[1:]
		}
		s.taken[id] = map[string]bool{}
		s.order = append(s.order, id)
	}
	s.taken[id][to] = true
}

func (s *Sender) forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.taken, id)
	for i, known := range s.order {
		if known == id {
			s.order = append(s.order[:i:i], s.order[i+1:]...)
			return
		}
	}
}
