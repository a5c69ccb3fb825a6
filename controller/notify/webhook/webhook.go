// Package webhook posts messages as JSON to a URL, signed with HMAC-SHA256.
//
// The body:
//
//	{"schema":"secondline.notification/v1","id":"…","kind":"escalated","subject":"…","text":"…","link":"…",
//	 "incident":{"id","number","title","status","severity","priority","entity","opened_at"}}
//
// The headers: Idempotency-Key is the id, the same on each try; with a secret,
// X-Secondline-Signature is "t=UNIX,v1=HEX", where HEX is the HMAC-SHA256 of
// "UNIX.BODY" under the secret. A receiver should refuse a t older than some
// minutes. Attachments are not sent.
package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/secondline-ops/secondline/controller/notify"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/redact"
)

const (
	schema         = "secondline.notification/v1"
	defaultTimeout = 15 * time.Second
	maxRedirects   = 3
	maxAnswerBytes = 4 << 10 // read only so that the connection can be used again
)

// Options are what a Sender is made of.
type Options struct {
	Name    string
	URL     string        // http or https; it may hold a token, so it is never shown
	Secret  redact.Secret // of the signature; "" means unsigned
	Timeout time.Duration // 0 means 15 seconds
}

// Validate names every bad field at once.
func (o Options) Validate() error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, fault.New(fault.Invalid, "webhook %q: "+format, append([]any{o.Name}, args...)...).WithField(field))
	}
	if o.Name == "" {
		bad("name", "a name is needed")
	}
	u, err := url.Parse(o.URL)
	switch {
	case err != nil || u.Host == "":
		bad("url", "the URL is not of the form https://host/path") // not err: it quotes the URL
	case u.Scheme != "http" && u.Scheme != "https":
		bad("url", "the URL's scheme must be http or https")
	}
	if o.Timeout < 0 {
		bad("timeout", "the timeout must not be negative")
	}
	return errors.Join(errs...)
}

// Sender posts to one URL. It is safe for concurrent use.
type Sender struct {
	o      Options
	client *http.Client
}

var _ notify.Sender = (*Sender)(nil)

// New returns a Sender, or says all that is wrong with the options.
func New(o Options) (*Sender, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: o.Timeout,
		MaxResponseHeaderBytes: 64 << 10,
	}
	return &Sender{o: o, client: &http.Client{Transport: transport, Timeout: o.Timeout, CheckRedirect: stayOnHost}}, nil
}

// stayOnHost follows only what posts the same body to the same host: a message
// about an incident is for whom the owner named, and for nobody else.
func stayOnHost(req *http.Request, via []*http.Request) error {
	first := via[0]
	if req.Method != http.MethodPost || req.URL.Scheme != first.URL.Scheme || req.URL.Host != first.URL.Host || len(via) > maxRedirects {
		return http.ErrUseLastResponse
	}
	return nil
}

// Name implements notify.Sender.
func (s *Sender) Name() string { return s.o.Name }

type body struct {
	Schema   string          `json:"schema"`
	ID       string          `json:"id"`
	Kind     notify.Kind     `json:"kind"`
	Subject  string          `json:"subject"`
	Text     string          `json:"text"`
	Link     string          `json:"link"`
	Incident notify.Incident `json:"incident"`
}

// Send implements notify.Sender.
func (s *Sender) Send(ctx context.Context, m notify.Message) error {
	m.Incident.OpenedAt = m.Incident.OpenedAt.UTC()
	data, err := json.Marshal(body{schema, m.ID, m.Kind, m.Subject, m.Text, m.Link, m.Incident})
	if err != nil {
		return fmt.Errorf("encode message: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.o.URL, bytes.NewReader(data))
	if err != nil {
		return fault.New(fault.Invalid, "webhook %q: the URL cannot be used", s.o.Name)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "secondline")
	req.Header.Set("Idempotency-Key", m.ID)
	if s.o.Secret != "" {
		req.Header.Set("X-Secondline-Signature", sign(s.o.Secret, time.Now(), data))
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return unreached(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswerBytes))
	return judge(resp.StatusCode)
}

func sign(secret redact.Secret, at time.Time, data []byte) string {
	t := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(secret.Reveal()))
	mac.Write([]byte(t + "."))
	mac.Write(data)
	return "t=" + t + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}

// unreached classifies what happened before there was an answer. The URL, which
// may hold a token, is taken out of the error.
func unreached(err error) error {
	timeout := false
	if e, ok := errors.AsType[*url.Error](err); ok {
		timeout, err = e.Timeout(), e.Err
	}
	if timeout || errors.Is(err, context.DeadlineExceeded) {
		return fault.Wrap(fault.Timeout, err, "post message")
	}
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Op == "dial" {
		return fault.Wrap(fault.Unreachable, err, "post message")
	}
	return fault.Wrap(fault.Transient, err, "post message")
}

// judge says whether another try could help.
func judge(status int) error {
	kind := fault.Invalid
	switch {
	case status >= 200 && status < 300:
		return nil
	case status >= 300 && status < 400:
		return fault.New(fault.Invalid, "the webhook answers %d, a redirect that is not followed", status).
			WithHint("configure the URL that it leads to")
	case status == http.StatusRequestTimeout:
		kind = fault.Timeout
	case status == http.StatusTooManyRequests:
		kind = fault.Overloaded
	case status >= 500:
		kind = fault.Transient
	}
	return fault.New(kind, "the webhook answers %d", status)
}
