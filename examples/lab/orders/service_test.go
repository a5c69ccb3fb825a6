package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

func TestServesOrdersAndSaysWhatBreaksBeneath(t *testing.T) {
	t.Parallel()
	postgres, redis := newPostgres(t), startRedis(t)
	shop := startShop(t, postgres.url, redis.listener.Addr().String())

	// Before there is a database it runs, and says so.
	shop.want(http.MethodGet, "/healthz", "", http.StatusServiceUnavailable, "no such file or directory")
	shop.want(http.MethodGet, "/orders", "", http.StatusInternalServerError, "not available")
	postgres.start(t)
	shop.await("/metrics", "\norders_database_up 1\n") // the table is there
	shop.want(http.MethodGet, "/healthz", "", http.StatusOK, "ok")

	shop.want(http.MethodPost, "/orders", `{"item":"tea","quantity":2}`, http.StatusCreated, `"id":1,"item":"tea"`)
	if receipt, err := os.ReadFile(filepath.Join(shop.spool, "order-1.json")); err != nil || !strings.Contains(string(receipt), "tea") {
		t.Errorf("the receipt holds %q, %v", receipt, err)
	}
	for _, bad := range []string{"", "{}", `{"item":"tea","quantity":0}`, `{"item":"` + strings.Repeat("x", maxOrderBytes) + `"}`} {
		shop.want(http.MethodPost, "/orders", bad, http.StatusBadRequest, "error")
	}
	shop.want(http.MethodGet, "/orders", "", http.StatusOK, "tea")
	shop.want(http.MethodPost, "/orders", `{"item":"milk","quantity":1}`, http.StatusCreated, "milk")
	if body := shop.want(http.MethodGet, "/orders", "", http.StatusOK, "tea"); strings.Contains(body, "milk") {
		t.Errorf("the list did not come from the cache: %s", body)
	}

	// A cache that refuses, and one that is gone, cost nothing but time.
	redis.set(func(s *redisState) { s.full, s.values = true, map[string]string{} })
	shop.want(http.MethodGet, "/orders", "", http.StatusOK, "milk")
	redis.stop()
	shop.want(http.MethodGet, "/orders", "", http.StatusOK, "milk")
	shop.await("/metrics", "\norders_cache_up 0\n")
	shop.want(http.MethodGet, "/healthz", "", http.StatusOK, "ok")

	// No receipt, no order.
	if err := os.Rename(shop.spool, shop.spool+".gone"); err != nil {
		t.Fatal(err)
	}
	if body := shop.want(http.MethodPost, "/orders", `{"item":"salt","quantity":1}`, http.StatusInternalServerError, "not available"); strings.Contains(body, shop.spool) {
		t.Errorf("the customer is told of our files: %s", body)
	}
	if body := shop.want(http.MethodGet, "/orders", "", http.StatusOK, "milk"); strings.Contains(body, "salt") {
		t.Errorf("an order without receipt was stored: %s", body)
	}

	postgres.stop(t)
	shop.want(http.MethodGet, "/orders", "", http.StatusInternalServerError, "not available")
	shop.want(http.MethodGet, "/healthz", "", http.StatusServiceUnavailable, "database")
	shop.await("/metrics", "\norders_database_up 0\n")
	shop.want(http.MethodGet, "/metrics", "", http.StatusOK, `orders_requests_total{code="4xx"} 4`)
	shop.want(http.MethodGet, "/metrics", "", http.StatusOK, `orders_requests_total{code="5xx"} 3`)
	shop.want(http.MethodGet, "/metrics", "", http.StatusOK, "\norders_request_duration_seconds_count 14\n")

	// And lives on when it comes back.
	postgres.start(t)
	shop.await("/metrics", "\norders_database_up 1\n")
	shop.want(http.MethodGet, "/orders", "", http.StatusOK, "milk")
}

func TestDrainsTheRequestThatIsUnderWay(t *testing.T) {
	t.Parallel()
	postgres, redis := newPostgres(t), startRedis(t)
	postgres.start(t)
	shop := startShop(t, postgres.url, redis.listener.Addr().String())
	shop.await("/metrics", "\norders_database_up 1\n")

	conn, err := pgx.Connect(t.Context(), postgres.url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	lock, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock.Exec(t.Context(), "LOCK TABLE orders"); err != nil {
		t.Fatal(err)
	}
	answered := make(chan error, 1)
	go func() {
		status, body, err := shop.ask(http.MethodPost, "/orders", `{"item":"late","quantity":1}`)
		if status != http.StatusCreated && err == nil {
			err = fmt.Errorf("status %d: %s", status, body)
		}
		answered <- err
	}()
	poll(t, "the order to wait for the lock", func() bool {
		var waiting int
		return lock.QueryRow(t.Context(), "SELECT count(*) FROM pg_locks WHERE NOT granted").Scan(&waiting) == nil && waiting == 1
	})
	shop.stop()
	poll(t, "the port to close", func() bool {
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", shop.address)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	if err := lock.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-answered; err != nil {
		t.Errorf("the request under way: %v", err)
	}
	if err := <-shop.ended; err != nil {
		t.Errorf("serve: %v", err)
	}
	shop.ended <- nil // for the clean-up
}

func TestTimeoutSaysThatThePoolIsUsedUp(t *testing.T) {
	t.Parallel()
	postgres := newPostgres(t)
	postgres.start(t)
	c, err := pgxpool.ParseConfig(postgres.url)
	if err != nil {
		t.Fatal(err)
	}
	c.MaxConns = 1
	pool, err := pgxpool.NewWithConfig(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	held, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer held.Release()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := (database{pool}).last(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "1 of 1 connections") {
		t.Errorf("got %v", err)
	}
}

func TestSlowCacheIsGivenUp(t *testing.T) {
	t.Parallel()
	redis := startRedis(t)
	redis.set(func(s *redisState) { s.mute = true })
	c := newCache(redis.listener.Addr().String())
	start := time.Now()
	if err := c.ping(t.Context()); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) > 10*cacheTimeout {
		t.Errorf("got %v after %s, want a time-out after %s", err, time.Since(start), cacheTimeout)
	}
	redis.set(func(s *redisState) { s.mute = false })
	for range 2 { // the late reply to the first PING is not taken for another's
		if _, err := c.get(t.Context(), "x"); !errors.Is(err, errNotCached) {
			t.Errorf("got %v, want not cached", err)
		}
	}
	if n := len(c.idle); n != 1 {
		t.Errorf("%d links are idle, want the one that is used again", n)
	}
}

// shop is a service under test.
type shop struct {
	t              *testing.T
	address, spool string
	stop           context.CancelFunc
	ended          chan error
}

func startShop(t *testing.T, databaseURL, cacheAddress string) *shop {
	t.Helper()
	s := &shop{t: t, spool: filepath.Join(t.TempDir(), "spool"), ended: make(chan error, 1)}
	if err := os.Mkdir(s.spool, 0o755); err != nil {
		t.Fatal(err)
	}
	c, err := parseConfig(environment("ORDERS_DATABASE="+databaseURL, "ORDERS_CACHE="+cacheAddress, "ORDERS_SPOOL="+s.spool))
	if err != nil {
		t.Fatal(err)
	}
	listener := listen(t)
	s.address = listener.Addr().String()
	var ctx context.Context
	ctx, s.stop = context.WithCancel(context.WithoutCancel(t.Context()))
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	go func() { s.ended <- serve(ctx, c, listener, log) }()
	t.Cleanup(func() {
		s.stop()
		if err := <-s.ended; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return s
}

func (s *shop) ask(method, path, body string) (int, string, error) {
	r, err := http.NewRequestWithContext(context.WithoutCancel(s.t.Context()), method, "http://"+s.address+path, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	r.Close = true // draining waits for idle connections otherwise
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(text), err
}

func (s *shop) want(method, path, body string, status int, says string) string {
	s.t.Helper()
	got, text, err := s.ask(method, path, body)
	if err != nil || got != status || !strings.Contains(text, says) {
		s.t.Errorf("%s %s: %d %s, %v, want %d and %q", method, path, got, text, err, status, says)
	}
	if path != "/metrics" && !json.Valid([]byte(text)) {
		s.t.Errorf("%s %s: %q is no JSON", method, path, text)
	}
	return text
}

func (s *shop) await(path, says string) {
	s.t.Helper()
	poll(s.t, path+" to say "+says, func() bool {
		_, text, err := s.ask(http.MethodGet, path, "")
		return err == nil && strings.Contains(text, says)
	})
}

// poll asks until it is so; what it waits for happens in other programs or at
// the next round of the service's watch.
func poll(t *testing.T, what string, so func() bool) {
	t.Helper()
	limit := time.After(2 * time.Minute)
	for !so() {
		select {
		case <-limit:
			t.Fatalf("waited in vain for %s", what)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// redisServer is as much of Redis as orders may ask for; what else it is asked
// fails the test.
type redisServer struct {
	t        *testing.T
	listener net.Listener

	mu    sync.Mutex // guards below
	state redisState
	conns []net.Conn
}

type redisState struct {
	values     map[string]string
	full, mute bool // refuses to store; answers only when it is no longer mute
}

func startRedis(t *testing.T) *redisServer {
	t.Helper()
	r := &redisServer{t: t, listener: listen(t), state: redisState{values: map[string]string{}}}
	var served sync.WaitGroup
	served.Go(func() {
		for {
			conn, err := r.listener.Accept()
			if err != nil {
				return
			}
			r.mu.Lock()
			r.conns = append(r.conns, conn)
			r.mu.Unlock()
			served.Go(func() { r.serve(conn) })
		}
	})
	t.Cleanup(func() {
		r.stop()
		served.Wait()
	})
	return r
}

func (r *redisServer) set(change func(*redisState)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.state)
}

func (r *redisServer) stop() {
	_ = r.listener.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		_ = c.Close()
	}
}

func (r *redisServer) serve(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	held := "" // what comes late
	for {
		command, err := readCommand(in)
		if err != nil {
			return // hung up, in the middle or not
		}
		answer, mute := r.answer(command)
		held += answer
		if mute {
			continue
		}
		if _, err := io.WriteString(conn, held); err != nil {
			return
		}
		held = ""
	}
}

func (r *redisServer) answer(command []string) (text string, mute bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state.answer(r.t, command), r.state.mute
}

func (s *redisState) answer(t *testing.T, command []string) string {
	switch {
	case len(command) == 1 && command[0] == "PING":
		return "+PONG\r\n"
	case len(command) == 2 && command[0] == "GET":
		value, ok := s.values[command[1]]
		if !ok {
			return "$-1\r\n"
		}
		return fmt.Sprintf("$%d\r\n%s\r\n", len(value), value)
	case len(command) == 4 && command[0] == "SETEX" && command[2] == "2":
		if s.full {
			return "-OOM command not allowed when used memory > 'maxmemory'.\r\n"
		}
		s.values[command[1]] = command[3]
		return "+OK\r\n"
	default:
		t.Errorf("redis was asked %q", command)
		return "-ERR unknown command\r\n"
	}
}

func readCommand(in *bufio.Reader) ([]string, error) {
	number := func(kind byte) (int, error) {
		line, err := in.ReadString('\n')
		if err != nil || line[0] != kind || !strings.HasSuffix(line, "\r\n") {
			return 0, fmt.Errorf("%q, %w", line, err)
		}
		return strconv.Atoi(line[1 : len(line)-2])
	}
	words, err := number('*')
	if err != nil {
		return nil, err
	}
	var command []string
	for range words {
		size, err := number('$')
		if err != nil {
			return nil, err
		}
		word := make([]byte, size+2)
		if _, err := io.ReadFull(in, word); err != nil {
			return nil, err
		}
		command = append(command, string(word[:size]))
	}
	return command, nil
}
