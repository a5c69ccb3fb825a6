package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	concurrent   = 32 // requests under way; what is due beyond them is skipped and counted
	placeEvery   = 5  // every fifth request places an order
	summaryEvery = 10 * time.Second
	maxRate      = 1000
)

// traffic is customers: requests at an even rate, whatever the answers are.
type traffic struct {
	orders string // URL of the orders
	client *http.Client
	every  time.Duration
	log    *slog.Logger

	mu    sync.Mutex // guards below
	tally tally      // since the last summary
}

// tally is how requests ended.
type tally struct {
	succeeded, refused, failed, lost, skipped int // 2xx and 3xx; 4xx; 5xx; no answer; not sent
	took                                      []time.Duration
	lastError                                 string
}

func trafficCommand(ctx context.Context, args []string, stderr io.Writer) error {
	flags := flag.NewFlagSet("orders traffic", flag.ContinueOnError)
	flags.SetOutput(stderr)
	base := flags.String("url", "https://orders.lab.internal", "the shop; /orders of it is asked")
	ca := flags.String("ca", "", "file of the certificates to trust instead of the system's")
	rate := flags.Float64("rate", 10, "requests per second")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return usageError{err}
	}
	u, err := url.Parse(*base)
	switch {
	case flags.NArg() > 0:
		return usageError{fmt.Errorf("traffic takes no arguments, got %q", flags.Args())}
	case err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https"):
		return usageError{fmt.Errorf("--url: %q is no http or https address", *base)}
	case !(*rate > 0 && *rate <= maxRate): // not a number is neither
		return usageError{fmt.Errorf("--rate: want more than 0 and at most %d, got %v", maxRate, *rate)}
	}
	client, err := trusting(*ca)
	if err != nil {
		return usageError{fmt.Errorf("--ca: %w", err)}
	}
	defer client.CloseIdleConnections()
	t := &traffic{
		orders: u.JoinPath("orders").String(), client: client, every: time.Duration(float64(time.Second) / *rate),
		log: slog.New(slog.NewTextHandler(stderr, nil)),
	}
	t.run(ctx)
	return nil
}

// trusting is a client that keeps few connections, as a browser does, and does
// not wait longer than a person would.
func trusting(caFile string) (*http.Client, error) {
	transport := &http.Transport{MaxIdleConnsPerHost: concurrent, IdleConnTimeout: 5 * time.Second, TLSHandshakeTimeout: 3 * time.Second}
	if caFile != "" {
		text, err := os.ReadFile(caFile)
		if err != nil {
			return nil, err
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s holds no certificate", caFile)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return &http.Client{Transport: transport, Timeout: 5 * time.Second}, nil
}

// run sends until ctx ends, and returns when every request has ended.
func (t *traffic) run(ctx context.Context) {
	due, summary := time.NewTicker(t.every), time.NewTicker(summaryEvery)
	defer due.Stop()
	defer summary.Stop()
	slots := make(chan struct{}, concurrent)
	var underWay sync.WaitGroup
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			underWay.Wait()
			t.log.InfoContext(ctx, "traffic ended", t.take().attributes()...)
			return
		case <-summary.C:
			t.log.InfoContext(ctx, "traffic", t.take().attributes()...)
			continue
		case <-due.C:
		}
		select {
		case slots <- struct{}{}:
			underWay.Go(func() {
				defer func() { <-slots }()
				t.send(ctx, n%placeEvery == 0, n)
			})
		default:
			t.note(func(y *tally) { y.skipped++ })
		}
	}
}

func (t *traffic) send(ctx context.Context, place bool, n int) {
	method, body := http.MethodGet, ""
	if place {
		method, body = http.MethodPost, fmt.Sprintf(`{"item":"book %d","quantity":%d}`, n%1000, n%9+1)
	}
	start := time.Now()
	status, err := t.exchange(ctx, method, body)
	if ctx.Err() != nil {
		return // cut short by us: says nothing of the shop
	}
	took := time.Since(start)
	t.note(func(y *tally) { y.add(status, took, err) })
}

func (t *traffic) exchange(ctx context.Context, method, body string) (int, error) {
	r, err := http.NewRequestWithContext(ctx, method, t.orders, strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	answer, err := t.client.Do(r)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, io.LimitReader(answer.Body, maxReplyBytes))
	return answer.StatusCode, err
}

func (t *traffic) note(change func(*tally)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	change(&t.tally)
}

// take returns the tally and begins a new one.
func (t *traffic) take() tally {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := t.tally
	t.tally = tally{}
	return out
}

func (y *tally) add(status int, took time.Duration, err error) {
	y.took = append(y.took, took)
	switch {
	case err != nil:
		y.lost++
		y.lastError = err.Error()
	case status >= 500:
		y.failed++
		y.lastError = http.StatusText(status)
	case status >= 400:
		y.refused++
		y.lastError = http.StatusText(status)
	default:
		y.succeeded++
	}
}

func (y tally) attributes() []any {
	return []any{
		"sent", len(y.took), "succeeded", y.succeeded, "refused", y.refused, "failed", y.failed, "lost", y.lost, "skipped", y.skipped,
		"p50", y.quantile(50), "p95", y.quantile(95), "last_error", y.lastError,
	}
}

// quantile is the time within which that many percent of the answers came.
func (y tally) quantile(percent int) time.Duration {
	if len(y.took) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(y.took))
	return sorted[(len(sorted)*percent+99)/100-1].Round(time.Microsecond)
}
