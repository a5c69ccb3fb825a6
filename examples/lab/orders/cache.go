package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

const (
	cacheTimeout   = 300 * time.Millisecond // longer than a list from the database takes
	idleCacheLinks = 8
	maxReplyBytes  = 1 << 20
	maxReplyLine   = 4 << 10
)

var errNotCached = errors.New("not cached")

// replyError is a refusal in Redis's own words: "OOM command not allowed …".
type replyError string

func (e replyError) Error() string { return string(e) }

// cache speaks the Redis protocol (https://redis.io/docs/reference/protocol-spec,
// version 2), as much of it as GET, SETEX and PING need. Safe for concurrent use.
type cache struct {
	address string
	idle    chan *cacheLink
}

type cacheLink struct {
	net.Conn
	reader *bufio.Reader
}

func newCache(address string) *cache {
	return &cache{address: address, idle: make(chan *cacheLink, idleCacheLinks)}
}

// get returns the value, or errNotCached.
func (c *cache) get(ctx context.Context, key string) ([]byte, error) { return c.do(ctx, "GET", key) }

// set keeps the value for whole seconds.
func (c *cache) set(ctx context.Context, key string, keep time.Duration, value []byte) error {
	_, err := c.do(ctx, "SETEX", key, strconv.Itoa(int(keep.Seconds())), string(value))
	return err
}

func (c *cache) ping(ctx context.Context) error {
	_, err := c.do(ctx, "PING")
	return err
}

// do sends a command and reads its reply. A link is used again only after a
// reply that was understood to its end.
func (c *cache) do(ctx context.Context, command ...string) ([]byte, error) {
	link, err := c.link(ctx)
	if err != nil {
		return nil, err
	}
	reply, err := link.do(command)
	_, refused := errors.AsType[replyError](err)
	if err != nil && !refused && !errors.Is(err, errNotCached) {
		return nil, errors.Join(fmt.Errorf("cache: %s: %w", command[0], err), link.Close())
	}
	select {
	case c.idle <- link:
	default:
		_ = link.Close() // enough are idle; the reply is here
	}
	if err != nil {
		return nil, fmt.Errorf("cache: %s: %w", command[0], err)
	}
	return reply, nil
}

func (c *cache) link(ctx context.Context) (*cacheLink, error) {
	select {
	case link := <-c.idle:
		return link, nil
	default:
	}
	dialer := net.Dialer{Timeout: cacheTimeout}
	conn, err := dialer.DialContext(ctx, "tcp", c.address)
	if err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	return &cacheLink{Conn: conn, reader: bufio.NewReaderSize(conn, maxReplyLine)}, nil
}

func (l *cacheLink) do(command []string) ([]byte, error) {
	if err := l.SetDeadline(time.Now().Add(cacheTimeout)); err != nil {
		return nil, err
	}
	if _, err := l.Write(encodeCommand(command)); err != nil {
		return nil, err
	}
	return readReply(l.reader)
}

func encodeCommand(command []string) []byte {
	out := fmt.Appendf(nil, "*%d\r\n", len(command))
	for _, word := range command {
		out = fmt.Appendf(out, "$%d\r\n%s\r\n", len(word), word)
	}
	return out
}

// readReply reads a simple string, a number or a bulk string. A null is
// errNotCached, an error reply a replyError; arrays are not asked for.
func readReply(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n') // bounded by the size of the reader
	if err != nil {
		return nil, fmt.Errorf("read the reply: %w", err)
	}
	if len(line) < 3 || line[len(line)-2] != '\r' {
		return nil, fmt.Errorf("reply %q is no Redis protocol", line)
	}
	kind, text := line[0], string(line[1:len(line)-2])
	switch kind {
	case '+', ':':
		return []byte(text), nil
	case '-':
		return nil, replyError(text)
	case '$':
	default:
		return nil, fmt.Errorf("reply %q was not expected", line)
	}
	size, err := strconv.Atoi(text)
	if size == -1 && err == nil {
		return nil, errNotCached
	}
	if err != nil || size < 0 || size > maxReplyBytes {
		return nil, fmt.Errorf("reply of %q bytes, want 0 to %d", text, maxReplyBytes)
	}
	value := make([]byte, size+2)
	if _, err := io.ReadFull(r, value); err != nil {
		return nil, fmt.Errorf("read the reply: %w", err)
	}
	if string(value[size:]) != "\r\n" {
		return nil, errors.New("reply is longer than it says")
	}
	return value[:size], nil
}
