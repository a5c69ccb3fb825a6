package ssh

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/secondline-ops/secondline/internal/remote"
)

const (
	// maxSessions per connection: sshd refuses the 11th (MaxSessions 10), and
	// two are kept for ending what runs too long.
	maxSessions    = 8
	spareSessions  = 2
	maxConnections = 2
	maxMisses      = 3
	// openTimeout bounds the opening of a session, in which nothing runs yet. A
	// connection on which it takes longer is taken for dead.
	openTimeout = 10 * time.Second
	// A server may still count a session that it has closed; it is asked again
	// after 50, 100, 200 and 400 ms before its refusal stands.
	openRetryFirst = 50 * time.Millisecond
	openRetryLast  = 400 * time.Millisecond
)

// Transport reaches one server over at most two connections. A connection that
// broke is replaced for the next command; no command is ever sent twice. It is
// safe for concurrent use.
type Transport struct {
	dialer *Dialer
	host   Host
	slots  chan struct{}   // one for each session that may be open
	alive  context.Context //nolint:containedctx // the transport's own life
	die    context.CancelFunc

	mu     sync.Mutex // guards below
	conns  []*connection
	closed bool

	wg sync.WaitGroup
}

var _ remote.Transport = (*Transport)(nil)

// connection is dialled, or being dialled until ready is closed.
type connection struct {
	ready    chan struct{}
	gone     chan struct{} // closed when it has ended
	client   *ssh.Client   // valid when ready and err is nil
	err      error         // valid when ready
	sessions int           // guarded by Transport.mu
	spare    chan struct{}
}

func (d *Dialer) newTransport(h Host) *Transport {
	t := &Transport{dialer: d, host: h, slots: make(chan struct{}, maxSessions*maxConnections)}
	t.alive, t.die = context.WithCancel(context.Background())
	return t
}

// Target implements remote.Runner.
func (t *Transport) Target() string { return t.host.Name }

// Close implements remote.Transport. It waits for what is still going on.
func (t *Transport) Close() error {
	t.mu.Lock()
	t.closed = true
	conns := t.conns
	t.conns = nil
	t.mu.Unlock()
	t.die()
	for _, c := range conns {
		<-c.ready
		if c.err == nil {
			_ = c.client.Close() // the peer may have closed it first
		}
	}
	t.wg.Wait()
	return nil
}

// acquire takes a session's place on a connection, and dials one if need be.
func (t *Transport) acquire(ctx context.Context) (*connection, error) {
	select {
	case t.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, t.notStarted("wait for a free session", ctx.Err())
	case <-t.alive.Done():
		return nil, t.notStarted("open a session", errClosed)
	}
	c, err := t.pick(true)
	if err == nil {
		if err = t.await(ctx, c); err == nil {
			return c, nil
		}
		t.forget(c)
	}
	<-t.slots
	return nil, err
}

// forget gives back the place, but not the slot.
func (t *Transport) forget(c *connection) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c.sessions--
}

func (t *Transport) release(c *connection) {
	t.forget(c)
	<-t.slots
}

// live returns a connection for other things than sessions.
func (t *Transport) live(ctx context.Context) (*connection, error) {
	c, err := t.pick(false)
	if err != nil {
		return nil, err
	}
	return c, t.await(ctx, c)
}

func (t *Transport) pick(forSession bool) (*connection, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, t.notStarted("open a session", errClosed)
	}
	for _, c := range t.conns {
		if !forSession || c.sessions < maxSessions {
			if forSession {
				c.sessions++
			}
			return c, nil
		}
	}
	c := &connection{ready: make(chan struct{}), gone: make(chan struct{}), spare: make(chan struct{}, spareSessions)}
	if forSession {
		c.sessions = 1
	}
	t.conns = append(t.conns, c)
	t.wg.Go(func() { t.dial(c) })
	return c, nil
}

func (t *Transport) await(ctx context.Context, c *connection) error {
	select {
	case <-c.ready:
		return c.err
	case <-ctx.Done():
		return t.notStarted("dial", ctx.Err())
	}
}

// dial belongs to the transport, not to who asked first: others wait for it, too.
func (t *Transport) dial(c *connection) {
	c.client, c.err = t.dialer.connect(t.alive, t.host)
	if c.err != nil {
		t.remove(c)
		close(c.ready)
		return
	}
	close(c.ready)
	t.wg.Go(func() {
		_ = c.client.Wait()
		t.remove(c)
		close(c.gone)
	})
	t.keepAlive(c)
}

// remove lets nobody use the connection any more.
func (t *Transport) remove(c *connection) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.conns = slices.DeleteFunc(t.conns, func(other *connection) bool { return other == c })
}

// drop closes a connection that is of no use any more.
func (t *Transport) drop(c *connection) {
	t.remove(c)
	_ = c.client.Close()
}

// keepAlive asks for signs of life until the connection ends: x/crypto has no
// keepalive, and TCP's takes hours.
func (t *Transport) keepAlive(c *connection) {
	ticker := time.NewTicker(t.dialer.o.KeepAlive)
	defer ticker.Stop()
	answered := make(chan struct{}, 1)
	waiting, misses := false, 0
	for {
		select {
		case <-c.gone:
			return
		case <-answered:
			waiting, misses = false, 0
		case <-ticker.C:
			if !waiting {
				waiting = true
				t.wg.Go(func() {
					// The answer is a refusal, mostly; that it came is what counts.
					_, _, _ = c.client.SendRequest("keepalive@openssh.com", true, nil)
					answered <- struct{}{}
				})
				continue
			}
			if misses++; misses >= maxMisses {
				t.dialer.o.Logger.Warn("ssh connection was silent and was closed", "target", t.host.Name)
				t.drop(c)
				return
			}
		}
	}
}

// channel is an open session in which nothing was started yet.
type channel struct {
	ssh.Channel
	requests <-chan *ssh.Request
	conn     *connection
	release  func()
}

// open opens a session, a spare one of the connection beside where one is
// given. A connection that turns out to be broken is replaced once: nothing was
// sent on it yet.
func (t *Transport) open(ctx context.Context, beside *connection) (*channel, error) {
	if beside != nil {
		select {
		case beside.spare <- struct{}{}:
		case <-ctx.Done():
			return nil, t.notStarted("open a session", ctx.Err())
		}
		ch, err := t.openOn(ctx, beside)
		if err != nil {
			<-beside.spare
			return nil, t.notStarted("open a session", err)
		}
		ch.release = func() { <-beside.spare }
		return ch, nil
	}
	isReplaced, patience := false, openRetryFirst
	for {
		c, err := t.acquire(ctx)
		if err != nil {
			return nil, err
		}
		ch, err := t.openOn(ctx, c)
		if err == nil {
			ch.release = func() { t.release(c) }
			return ch, nil
		}
		t.release(c)
		refused, isRefused := errors.AsType[*ssh.OpenChannelError](err)
		switch {
		case ctx.Err() != nil:
			return nil, t.notStarted("open a session", ctx.Err())
		case isRefused && patience <= openRetryLast:
			timer := time.NewTimer(patience)
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
			}
			patience *= 2
		case isRefused:
			return nil, &remote.Error{
				Class: remote.Refused, Target: t.host.Name, Doing: "open a session", Err: refused,
				Hint: "the server allows fewer sessions on a connection than usual (MaxSessions), or has no room",
			}
		case isReplaced:
			t.drop(c)
			return nil, &remote.Error{Class: remote.Unreachable, Target: t.host.Name, Doing: "open a session", Err: err}
		default:
			t.drop(c)
			isReplaced = true
		}
	}
}

func (t *Transport) openOn(ctx context.Context, c *connection) (*channel, error) {
	type answer struct {
		ch       ssh.Channel
		requests <-chan *ssh.Request
		err      error
	}
	got := make(chan answer, 1)
	// Nobody waits for this goroutine: x/crypto never answers when the connection
	// ends just as the channel is entered in its list (mux.go, openChannel and
	// the end of loop).
	go func() {
		ch, requests, err := c.client.OpenChannel("session", nil)
		got <- answer{ch, requests, err}
	}()
	timer := time.NewTimer(openTimeout)
	defer timer.Stop()
	var err error
	select {
	case a := <-got:
		if a.err != nil {
			return nil, a.err
		}
		return &channel{Channel: a.ch, requests: a.requests, conn: c}, nil
	case <-c.gone:
		return nil, errBroken
	case <-timer.C:
		err = fmt.Errorf("no answer within %s", openTimeout)
	case <-ctx.Done():
		err = ctx.Err()
	}
	t.wg.Go(func() { // it may still open
		select {
		case <-c.gone:
		case a := <-got:
			if a.err != nil {
				return
			}
			_ = a.ch.Close()
			for range a.requests {
			}
		}
	})
	return nil, err
}

// notStarted is the error for work that never reached the server.
func (t *Transport) notStarted(doing string, err error) error {
	return &remote.Error{Class: remote.Unreachable, Target: t.host.Name, Doing: doing, Err: err}
}
