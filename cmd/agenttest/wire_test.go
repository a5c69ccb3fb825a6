package agenttest

import (
	"context"
	"errors"
	"net"
	"sync"
)

// wire is the network between agent and controller. A cut ends what is open; in
// the dark, what is sent vanishes, and connections of that time never recover.
type wire struct {
	mu       sync.Mutex // guards below
	listener *pipeListener
	dark     bool
	conns    []*darkConn
	dials    int
}

func (w *wire) dial(ctx context.Context, _ string) (net.Conn, error) {
	w.mu.Lock()
	l, dark := w.listener, w.dark
	w.dials++
	w.mu.Unlock()
	if dark {
		<-ctx.Done() // a SYN without an answer
		return nil, ctx.Err()
	}
	if l == nil {
		return nil, errors.New("connection refused")
	}
	here, there := net.Pipe()
	select {
	case l.conns <- there:
	case <-l.done:
		return nil, errors.New("connection refused")
	}
	c := &darkConn{Conn: here, closed: make(chan struct{})}
	w.mu.Lock()
	w.conns = append(w.conns, c)
	w.mu.Unlock()
	return c, nil
}

func (w *wire) goDark() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dark = true
	for _, c := range w.conns {
		c.mu.Lock()
		c.dark = true
		c.mu.Unlock()
	}
}

func (w *wire) heal() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dark = false
}

func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		_ = c.Conn.Close()
	}
	w.conns = nil
}

// newest returns the connection that was dialled last.
func (w *wire) newest() *darkConn {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.conns[len(w.conns)-1]
}

type darkConn struct {
	net.Conn
	closed chan struct{}
	once   sync.Once

	mu   sync.Mutex // guards below
	dark bool
}

func (c *darkConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

func (c *darkConn) isDark() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dark
}

func (c *darkConn) Write(p []byte) (int, error) {
	if c.isDark() {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

func (c *darkConn) Read(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p)
		if err != nil || !c.isDark() {
			return n, err
		}
	}
}

type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }
