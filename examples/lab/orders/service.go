package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	requestTimeout = 3 * time.Second
	healthTimeout  = time.Second
	watchEvery     = time.Second
	cleanEvery     = 10 * time.Second
	drainTimeout   = 10 * time.Second
	cachedFor      = 2 * time.Second
	listKey        = "orders:last"
	maxOrderBytes  = 4 << 10
)

// service answers requests. Safe for concurrent use.
type service struct {
	database database
	cache    *cache
	spool    spool
	log      *slog.Logger
	metrics  *metrics
}

// serve answers at the listener, which it closes, until ctx ends; then the
// requests under way have drainTimeout to end. That a dependency is away is no
// reason to return.
func serve(ctx context.Context, c config, listener net.Listener, log *slog.Logger) error {
	pool, err := pgxpool.NewWithConfig(ctx, c.database) // outlives ctx, as the last requests need
	if err != nil {
		return errors.Join(fmt.Errorf("database: %w", err), listener.Close())
	}
	defer pool.Close()
	s := &service{database: database{pool}, cache: newCache(c.cache), spool: spool{c.spool}, log: log, metrics: newMetrics()}
	server := &http.Server{Handler: s.handler(), ReadHeaderTimeout: requestTimeout, ReadTimeout: 2 * requestTimeout, IdleTimeout: time.Minute}

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var background sync.WaitGroup
	background.Go(func() { s.watch(ctx) })
	background.Go(func() { s.cleanForever(ctx) })
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	log.InfoContext(ctx, "orders started", "address", listener.Addr().String())

	select {
	case err = <-served:
		stop()
	case <-ctx.Done():
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
		defer cancel()
		err = errors.Join(server.Shutdown(drain), ignoreClosed(<-served))
		log.InfoContext(drain, "orders drained")
	}
	background.Wait()
	return err
}

func ignoreClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

func (s *service) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /orders", s.counted(s.list))
	mux.Handle("POST /orders", s.counted(s.place))
	mux.HandleFunc("GET /healthz", s.health)
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{}))
	return mux
}

// counted bounds, counts and measures the answers to customers. h returns the
// status that it answered with.
func (s *service) counted(h func(http.ResponseWriter, *http.Request) int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
		defer cancel()
		status := h(w, r.WithContext(ctx))
		took := time.Since(start)
		s.metrics.answered(status, took)
		s.log.DebugContext(ctx, "request", "method", r.Method, "path", r.URL.Path, "query", r.URL.RawQuery, "from", r.RemoteAddr,
			"forwarded_for", r.Header.Get("X-Forwarded-For"), "agent", r.UserAgent(), "status", status, "took", took)
	})
}

func (s *service) list(w http.ResponseWriter, r *http.Request) int {
	ctx := r.Context()
	body, err := s.cache.get(ctx, listKey)
	if err == nil {
		return reply(w, http.StatusOK, body)
	}
	cached := errors.Is(err, errNotCached) // worth an attempt to store
	if !cached {
		s.log.WarnContext(ctx, "cache is of no use, asking the database", "error", err)
	}
	orders, err := s.database.last(ctx)
	if err == nil {
		body, err = json.Marshal(orders)
	}
	if err != nil {
		return s.refuse(w, r, err)
	}
	if cached {
		if err := s.cache.set(ctx, listKey, cachedFor, body); err != nil {
			s.log.WarnContext(ctx, "cache took nothing", "error", err)
		}
	}
	return reply(w, http.StatusOK, body)
}

func (s *service) place(w http.ResponseWriter, r *http.Request) int {
	var o order
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxOrderBytes)).Decode(&o)
	if err == nil {
		err = o.validate()
	}
	if err != nil {
		return reply(w, http.StatusBadRequest, errorBody(err))
	}
	var receipt []byte
	err = s.database.place(r.Context(), o, func(stored order) error {
		o = stored
		if receipt, err = json.Marshal(o); err != nil {
			return err
		}
		return s.spool.write(o.ID, receipt)
	})
	if err != nil {
		if receipt != nil { // the database may have refused to commit after it was spooled
			err = errors.Join(err, s.spool.remove(o.ID))
		}
		return s.refuse(w, r, err)
	}
	s.log.InfoContext(r.Context(), "order placed", "order", o.ID, "item", o.Item, "quantity", o.Quantity)
	return reply(w, http.StatusCreated, receipt)
}

// refuse answers that it is not the customer's mistake, and logs whose it is.
func (s *service) refuse(w http.ResponseWriter, r *http.Request, err error) int {
	s.log.ErrorContext(r.Context(), "request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	return reply(w, http.StatusInternalServerError, errorBody(errors.New("orders are not available now")))
}

// health says whether this instance can serve: with its database, without its
// cache.
func (s *service) health(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), healthTimeout)
	defer cancel()
	if err := s.database.ping(ctx); err != nil {
		reply(w, http.StatusServiceUnavailable, errorBody(err))
		return
	}
	reply(w, http.StatusOK, []byte(`{"status":"ok"}`))
}

func errorBody(err error) []byte {
	body, _ := json.Marshal(map[string]string{"error": err.Error()}) // two strings always marshal
	return body
}

func reply(w http.ResponseWriter, status int, body []byte) int {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // a customer who left hears nothing
	return status
}

// watch keeps the gauges true, creates the table as soon as it can, and logs
// when a dependency goes or comes back.
func (s *service) watch(ctx context.Context) {
	var created bool
	var databaseWas, cacheWas string
	for {
		probe, cancel := context.WithTimeout(ctx, healthTimeout)
		err := s.database.ping(probe)
		if err == nil && !created {
			err = s.database.createTable(probe)
			created = err == nil
		}
		cacheErr := s.cache.ping(probe)
		cancel()
		if ctx.Err() != nil {
			return
		}
		s.metrics.up(err == nil, cacheErr == nil)
		databaseWas = s.logChange(ctx, "database", databaseWas, err)
		cacheWas = s.logChange(ctx, "cache", cacheWas, cacheErr)
		if !pause(ctx, watchEvery) {
			return
		}
	}
}

// logChange logs when the state of a dependency is not what it was, and returns
// the state.
func (s *service) logChange(ctx context.Context, dependency, was string, err error) string {
	is := "up"
	if err != nil {
		is = "down"
	}
	if is == was {
		return is
	}
	if err != nil {
		s.log.ErrorContext(ctx, "dependency is down", "dependency", dependency, "error", err)
	} else {
		s.log.InfoContext(ctx, "dependency is up", "dependency", dependency)
	}
	return is
}

func (s *service) cleanForever(ctx context.Context) {
	for {
		removed, err := s.spool.clean(time.Now())
		if err != nil {
			s.log.ErrorContext(ctx, "spool was not cleaned", "error", err)
		}
		s.log.DebugContext(ctx, "spool cleaned", "removed", removed)
		if !pause(ctx, cleanEvery) {
			return
		}
	}
}

// pause waits, and reports whether the context still lives.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
