package main

import (
	"context"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestTrafficReadsAndPlaces(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var read, placed atomic.Int64
	shop := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		switch {
		case err != nil || r.URL.Path != "/orders":
			t.Errorf("%s %s: %v", r.Method, r.URL.Path, err)
		case r.Method == http.MethodGet:
			read.Add(1)
		case r.Method == http.MethodPost && len(body) > 0:
			if placed.Add(1) == 2 {
				cancel()
			}
		}
		w.WriteHeader(http.StatusCreated)
	}))
	defer shop.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: shop.Certificate().Raw})
	if err := os.WriteFile(ca, certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run(ctx, []string{"traffic", "--url", shop.URL, "--ca", ca, "--rate", "500"}, nil, t.Output()); err != nil {
		t.Fatal(err)
	}
	if placed.Load() < 2 || read.Load() == 0 {
		t.Errorf("%d were read and %d placed", read.Load(), placed.Load())
	}
}

// slowShop answers after a while, and counts how many wait at once.
type slowShop struct {
	takes          time.Duration
	waiting, worst atomic.Int64
}

func (s *slowShop) RoundTrip(r *http.Request) (*http.Response, error) {
	now := s.waiting.Add(1)
	s.worst.Store(max(s.worst.Load(), now))
	defer s.waiting.Add(-1)
	select {
	case <-r.Context().Done():
		return nil, r.Context().Err()
	case <-time.After(s.takes):
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
	}
}

func TestTrafficNeverHasMoreUnderWayThanItsBound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), summaryEvery-time.Millisecond) // before the tally is taken
		defer cancel()
		shop := &slowShop{takes: 2 * time.Second}
		x := &traffic{orders: "http://shop/orders", client: &http.Client{Transport: shop}, every: 10 * time.Millisecond, log: slog.New(slog.DiscardHandler)}
		seen := make(chan tally, 1)
		go func() { // just before the end, what the summary would say
			time.Sleep(summaryEvery - 2*time.Millisecond)
			x.mu.Lock()
			defer x.mu.Unlock()
			seen <- x.tally
		}()
		x.run(ctx)
		got := <-seen
		if shop.worst.Load() != concurrent {
			t.Errorf("%d were under way at once, want %d", shop.worst.Load(), concurrent)
		}
		if got.skipped == 0 || got.succeeded != 4*concurrent || got.quantile(95) != 2*time.Second {
			t.Errorf("got %d skipped, %d succeeded, p95 %s", got.skipped, got.succeeded, got.quantile(95))
		}
		if left := x.take(); left.skipped != 0 || len(left.took) != 0 {
			t.Errorf("after the last summary the tally holds %+v", left)
		}
	})
}

func TestTallyTellsTheShopFromTheWay(t *testing.T) {
	t.Parallel()
	var y tally
	y.add(http.StatusOK, time.Millisecond, nil)
	y.add(http.StatusCreated, 2*time.Millisecond, nil)
	y.add(http.StatusNotFound, 3*time.Millisecond, nil)
	y.add(http.StatusBadGateway, 4*time.Millisecond, nil)
	y.add(0, 5*time.Millisecond, errors.New("connection refused"))
	if y.succeeded != 2 || y.refused != 1 || y.failed != 1 || y.lost != 1 || y.lastError != "connection refused" {
		t.Errorf("got %+v", y)
	}
	if y.quantile(50) != 3*time.Millisecond || y.quantile(95) != 5*time.Millisecond || (tally{}).quantile(50) != 0 {
		t.Errorf("p50 %s, p95 %s, of nothing %s", y.quantile(50), y.quantile(95), tally{}.quantile(50))
	}
}
