// Package prometheus asks Prometheus servers, and others that speak the same
// HTTP API (Thanos, Mimir, VictoriaMetrics): for alerting rules, for what an
// alert's expression says now, and for the tables of the metric root-cause tool.
// It asks only the servers that the owner configured, never an address that came
// with an alert, and changes nothing there.
//
// The one thing to know: an empty answer is not yet "gone". Gone (gone.go) also
// proves that the question finds the alert at the time when it fired, and that
// what the expression reads is still there.
package prometheus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/redact"
)

// Bounds of what one server may cost. An answer is held whole: at 32 MiB it is a
// million points of 30 bytes, which is what maxPoints lets through.
const (
	defaultTimeout = 10 * time.Second
	maxAnswerBytes = 32 << 20
	maxHeaderBytes = 64 << 10
	maxTokenBytes  = 16 << 10
	maxSeries      = 10_000
	maxPoints      = 1_000_000
	maxTextBytes   = 300 // of what a server says about its errors
	maxRedirects   = 3
	atOnce         = 4 // requests to one server
)

// Options are what a Client is made of.
type Options struct {
	URL       string            // http or https, with the path before /api/v1 where there is one
	TokenFile string            // holds a bearer token; read at each request, so that it can be replaced. "" means none
	Timeout   time.Duration     // of one request; 0 means 10 seconds
	Transport http.RoundTripper // nil means one of its own
}

// Validate names every bad field at once. It reads the token's file.
func (o Options) Validate() error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, fault.New(fault.Invalid, "prometheus: "+format, args...).WithField(field))
	}
	u, err := url.Parse(o.URL)
	switch {
	case err != nil || u.Host == "":
		bad("url", "the URL is not of the form http://host:9090") // not err: it quotes the URL
	case u.Scheme != "http" && u.Scheme != "https":
		bad("url", "the URL's scheme must be http or https")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		bad("url", "the URL must not hold a user, a query or a fragment; a token goes into token_file")
	}
	if o.Timeout < 0 {
		bad("timeout", "the timeout must not be negative")
	}
	if _, err := o.token(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (o Options) token() (redact.Secret, error) {
	if o.TokenFile == "" {
		return "", nil
	}
	wrong := func(err error, format string, args ...any) error {
		return fault.Wrap(fault.Unauthenticated, err, "prometheus: "+format, args...).WithField("token_file")
	}
	f, err := os.Open(o.TokenFile)
	if err != nil {
		return "", wrong(err, "read the token")
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxTokenBytes+1))
	text := strings.TrimSpace(string(data))
	switch {
	case err != nil:
		return "", wrong(err, "read the token")
	case text == "" || len(data) > maxTokenBytes || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "", fault.New(fault.Unauthenticated, "prometheus: %s does not hold a token", o.TokenFile).WithField("token_file")
	}
	return redact.Secret(text), nil
}

// Client asks one server. It is safe for concurrent use.
type Client struct {
	o     Options
	base  *url.URL
	http  *http.Client
	slots chan struct{}
}

// New returns a Client, or says all that is wrong with the options. It asks
// nothing yet.
func New(o Options) (*Client, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	transport := o.Transport
	if transport == nil {
		transport = &http.Transport{
			Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: atOnce, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: o.Timeout,
			MaxResponseHeaderBytes: maxHeaderBytes,
		}
	}
	base, err := url.Parse(strings.TrimSuffix(o.URL, "/"))
	if err != nil {
		return nil, fmt.Errorf("parse the URL of Prometheus: %w", err)
	}
	return &Client{o: o, base: base, http: &http.Client{Transport: transport, CheckRedirect: stayOnHost}, slots: make(chan struct{}, atOnce)}, nil
}

// stayOnHost follows only what asks the same of the same host: the token and the
// trust are for whom the owner named.
func stayOnHost(req *http.Request, via []*http.Request) error {
	first := via[0]
	if req.Method != first.Method || req.URL.Scheme != first.URL.Scheme || req.URL.Host != first.URL.Host || len(via) > maxRedirects {
		return http.ErrUseLastResponse
	}
	return nil
}

// Name is the server's URL, as people know it. It holds no secret.
func (c *Client) Name() string { return c.base.String() }

// Point is one value of a series.
type Point struct {
	At    time.Time
	Value float64
}

// Series are points under one set of labels, in the order of time.
type Series struct {
	Labels map[string]string
	Points []Point
}

// Answer is what a server says to a question. With Warnings it may lack
// something, so that what is not in it may yet be there.
type Answer struct {
	Series   []Series
	Warnings []string
}

// Query asks for the value of the expression at a time of the server's clock;
// zero is now. Each series of the answer has one point. Errors are of the kinds
// of fault; none of them quotes the token.
func (c *Client) Query(ctx context.Context, expression string, at time.Time) (Answer, error) {
	params := url.Values{"query": {expression}}
	if !at.IsZero() {
		params.Set("time", stamp(at))
	}
	return c.ask(ctx, "/api/v1/query", params)
}

// QueryRange asks for the values of the expression from one time of the server's
// clock to another, at every step.
func (c *Client) QueryRange(ctx context.Context, expression string, from, to time.Time, step time.Duration) (Answer, error) {
	if step <= 0 || to.Before(from) {
		return Answer{}, fault.New(fault.Invalid, "a range from %s to %s in steps of %s is none", from, to, step)
	}
	return c.ask(ctx, "/api/v1/query_range", url.Values{
		"query": {expression}, "start": {stamp(from)}, "end": {stamp(to)}, "step": {strconv.FormatFloat(step.Seconds(), 'f', 3, 64)},
	})
}

// Now is what the server's clock says.
func (c *Client) Now(ctx context.Context) (time.Time, error) {
	a, err := c.Query(ctx, "time()", time.Time{})
	if err != nil {
		return time.Time{}, err
	}
	if len(a.Series) != 1 || len(a.Series[0].Points) != 1 {
		return time.Time{}, c.wrap(fault.Transient, nil, "it does not say its time")
	}
	return a.Series[0].Points[0].At, nil
}

func (c *Client) ask(ctx context.Context, path string, params url.Values) (Answer, error) {
	params.Set("timeout", strconv.FormatFloat(c.o.Timeout.Seconds(), 'f', 3, 64)) // it is not to work on what nobody waits for
	e, err := c.call(ctx, http.MethodPost, path, params)
	if err != nil {
		return Answer{}, err
	}
	series, err := readSeries(e.Data)
	if err != nil {
		return Answer{}, c.wrap(fault.KindOf(err), err, "the answer")
	}
	return Answer{Series: series, Warnings: e.warnings()}, nil
}

// stamp is a time as the API takes it, in seconds; Prometheus keeps milliseconds.
func stamp(t time.Time) string { return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64) }

// call sends one request and returns the envelope of an answer that succeeded.
func (c *Client) call(ctx context.Context, method, path string, params url.Values) (envelope, error) {
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return envelope{}, c.wrap(fault.KindOf(ctx.Err()), ctx.Err(), "it has enough to answer")
	}
	token, err := c.o.token()
	if err != nil {
		return envelope{}, err
	}
	req, err := c.request(ctx, method, path, params)
	if err != nil {
		return envelope{}, c.wrap(fault.Internal, err, "make a request")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token.Reveal())
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return envelope{}, c.unreached(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswerBytes+1))
	switch {
	case err != nil:
		return envelope{}, c.unreached(err)
	case len(body) > maxAnswerBytes:
		return envelope{}, c.wrap(fault.TooLarge, nil, "the answer is larger than %d MiB", maxAnswerBytes>>20)
	}
	var e envelope
	err = json.Unmarshal(body, &e)
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return envelope{}, c.judge(resp.StatusCode, e, token)
	}
	switch {
	case err != nil || e.Status != "success" && e.Status != "error":
		return envelope{}, c.wrap(fault.Transient, nil, "the answer is not the whole JSON of its API")
	case e.Status == "error":
		return envelope{}, c.judge(http.StatusInternalServerError, e, token)
	}
	return e, nil
}

func (c *Client) request(ctx context.Context, method, path string, params url.Values) (*http.Request, error) {
	target, body := c.base.JoinPath(path), ""
	if method == http.MethodGet {
		target.RawQuery = params.Encode()
	} else {
		body = params.Encode() // an expression may be longer than a URL
	}
	req, err := http.NewRequestWithContext(ctx, method, target.String(), strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	if method != http.MethodGet {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "secondline")
	return req, nil
}

func (c *Client) wrap(kind fault.Kind, err error, format string, args ...any) error {
	return fault.Wrap(kind, err, "ask Prometheus at %s: %s", c.Name(), fmt.Sprintf(format, args...))
}

// unreached classifies what happened before there was a whole answer.
func (c *Client) unreached(err error) error {
	timeout := errors.Is(err, context.DeadlineExceeded)
	if e, ok := errors.AsType[*url.Error](err); ok {
		timeout, err = timeout || e.Timeout(), e.Err
	}
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Op == "dial" && !timeout {
		return c.wrap(fault.Unreachable, err, "no connection")
	}
	if timeout {
		return c.wrap(fault.Timeout, err, "no answer within %s", c.o.Timeout)
	}
	return c.wrap(fault.Transient, err, "no whole answer")
}

// judge says what an answer without success means. The statuses are those of
// the API's documentation: 400 for a wrong parameter, 422 for an expression that
// cannot be evaluated, 503 for a query that took too long or was cancelled.
func (c *Client) judge(status int, e envelope, token redact.Secret) error {
	kind := fault.Invalid
	switch {
	case status >= 300 && status < 400:
		return c.wrap(kind, nil, "it answers %d, a redirect that is not followed; configure the URL that it leads to", status)
	case status == http.StatusUnauthorized:
		kind = fault.Unauthenticated
	case status == http.StatusForbidden:
		kind = fault.Denied
	case status == http.StatusNotFound:
		kind = fault.NotFound
	case status == http.StatusTooManyRequests:
		kind = fault.Overloaded
	case status == http.StatusRequestTimeout, e.ErrorType == "timeout":
		kind = fault.Timeout
	case status >= 500:
		kind = fault.Transient
	}
	said := ""
	if e.Error != "" {
		said = ": " + brief(string(redact.New(token.Reveal()).Redact([]byte(e.ErrorType+": "+e.Error))))
	}
	return c.wrap(kind, nil, "it answers %d%s", status, said)
}

// brief makes what a server wrote one short line.
func brief(text string) string {
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 }), " ")
	return short(strings.ToValidUTF8(text, "?"), maxTextBytes)
}

// envelope is what every answer of the API is packed in.
type envelope struct {
	Status    string          `json:"status"`
	Data      json.RawMessage `json:"data"`
	ErrorType string          `json:"errorType"`
	Error     string          `json:"error"`
	Warnings  []string        `json:"warnings"`
	IsPartial bool            `json:"isPartial"` // VictoriaMetrics: a node did not answer
}

func (e envelope) warnings() []string {
	warnings := slices.Clone(e.Warnings)
	if e.IsPartial {
		warnings = append(warnings, "the answer is partial")
	}
	for i := range warnings {
		warnings[i] = brief(warnings[i])
	}
	return warnings
}
