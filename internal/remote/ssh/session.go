package ssh

import (
	"bytes"
	"io"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/secondline-ops/secondline/internal/remote"
)

// maxPreamble bounds what start-up files may print before the marker.
const maxPreamble = 256 << 10

// session is one running command. Its goroutines end with the channel, at the
// latest with the connection.
type session struct {
	ch     *channel
	stdout *marked
	stderr *bounded
	done   chan struct{} // closed when the command has ended and its output is read

	mu    sync.Mutex // guards below
	ended ending
}

// ending is what the server told of a command.
type ending struct {
	refused bool
	exited  bool
	said    string // by the script: the process id, "missing", "denied" or "unbounded"
	status  int
	signal  string
}

func startSession(t *Transport, ch *channel, line, marker string, w work) *session {
	s := &session{
		ch: ch, done: make(chan struct{}),
		stdout: &marked{marker: []byte(marker + " "), found: make(chan struct{}), bounded: bounded{max: w.limit, also: w.watch.Stdout}}, stderr: &bounded{max: w.errLimit(), also: w.watch.Stderr},
	}
	t.wg.Go(func() {
		defer ch.release()
		s.talk(t, line, w.stdin)
	})
	return s
}

// talk starts the command and carries its streams until all are at their end.
// It returns when the server has closed the channel, too.
func (s *session) talk(t *Transport, line string, stdin []byte) {
	exited := make(chan struct{})
	var requests, streams sync.WaitGroup
	requests.Go(func() { s.listen(exited) })
	defer requests.Wait()
	defer s.ch.Close()
	accepted, err := s.ch.SendRequest("exec", true, ssh.Marshal(struct{ Command string }{line}))
	if err != nil || !accepted {
		s.mu.Lock()
		s.ended.refused = err == nil
		s.mu.Unlock()
		close(s.done)
		return
	}
	t.wg.Go(func() { // ends with the channel, when nobody reads
		_, _ = s.ch.Write(stdin)
		_ = s.ch.CloseWrite()
	})
	streams.Go(func() { _, _ = io.Copy(s.stdout, s.ch) })
	streams.Go(func() { _, _ = io.Copy(s.stderr, s.ch.Stderr()) })
	read := make(chan struct{})
	t.wg.Go(func() {
		streams.Wait()
		close(read)
	})
	closed := make(chan struct{})
	t.wg.Go(func() {
		requests.Wait()
		close(closed)
	})
	select { // without an exit status, the end is the close
	case <-exited:
	case <-closed:
	}
	s.drain(read)
	close(s.done)
}

// drain waits for the output that is still under way: until its end, or until
// nothing came for a while. sshd tells the end of the program before the rest
// of its output, and a slow network carries that for long.
func (s *session) drain(read <-chan struct{}) {
	idle := 0
	for seen := s.seen(); ; {
		timer := time.NewTimer(drainDelay)
		select {
		case <-read:
			timer.Stop()
			return
		case <-timer.C:
		}
		if now := s.seen(); now != seen {
			seen, idle = now, 0
			continue
		}
		idle++
		if s.stdout.said() != "" || idle >= maxIdle {
			return
		}
	}
}

// seen counts the bytes that came.
func (s *session) seen() int { return s.stdout.count() + s.stderr.count() }

// listen notes how the command ended (RFC 4254, 6.10).
func (s *session) listen(exited chan struct{}) {
	for r := range s.ch.requests {
		var status struct{ Status uint32 }
		var signal struct {
			Name      string
			Core      bool
			Text, Tag string
		}
		end := ending{exited: true}
		switch {
		case r.Type == "exit-status" && ssh.Unmarshal(r.Payload, &status) == nil:
			end.status = int(status.Status)
		case r.Type == "exit-signal" && ssh.Unmarshal(r.Payload, &signal) == nil:
			end.status, end.signal = -1, signal.Name
		default:
			if r.WantReply {
				_ = r.Reply(false, nil)
			}
			continue
		}
		s.mu.Lock()
		first := !s.ended.exited
		if first {
			s.ended = end
		}
		s.mu.Unlock()
		if first {
			close(exited)
		}
	}
}

func (s *session) end() ending {
	s.mu.Lock()
	defer s.mu.Unlock()
	end := s.ended
	end.said = s.stdout.said()
	return end
}

// pid returns the process id that the script said, or "".
func (s *session) pid() string {
	if said := s.stdout.said(); isNumber(said) {
		return said
	}
	return ""
}

func (s *session) result() remote.Result {
	end := s.end()
	out, cutOut := s.stdout.snapshot()
	errOut, cutErr := s.stderr.snapshot()
	return remote.Result{Stdout: out, Stderr: errOut, Truncated: cutOut || cutErr, ExitCode: end.status, Signal: end.signal}
}

// bounded keeps the first max bytes and takes the rest without keeping it, so
// that the command does not stand still on a full pipe.
type bounded struct {
	max  int
	also func([]byte) // sees what keep does, kept or not

	mu   sync.Mutex // guards below
	buf  []byte
	cut  bool
	came int // bytes, kept or not
}

func (b *bounded) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.came
}

func (b *bounded) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.came += len(p)
	b.keep(p)
	return len(p), nil
}

func (b *bounded) keep(p []byte) {
	if b.also != nil {
		b.also(p)
	}
	room := b.max - len(b.buf)
	if len(p) > room {
		b.cut = true
		p = p[:max(0, room)]
	}
	b.buf = append(b.buf, p...)
}

func (b *bounded) snapshot() (data []byte, cut bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Clone(b.buf), b.cut
}

// marked drops what comes before the line "<marker> <word>", and remembers the word.
type marked struct {
	bounded
	marker []byte // never changes
	// Guarded by bounded.mu:
	head []byte
	word string

	found chan struct{} // closed with the word
}

func (m *marked) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.came += len(p)
	if m.word != "" {
		m.keep(p)
		return len(p), nil
	}
	fits := min(len(p), maxPreamble-len(m.head))
	m.head = append(m.head, p[:fits]...)
	if at := bytes.Index(m.head, m.marker); at >= 0 {
		rest := m.head[at+len(m.marker):]
		if before, after, ok := bytes.Cut(rest, []byte{'\n'}); ok {
			m.word, m.head = string(before), nil
			close(m.found)
			m.keep(after)
			m.keep(p[fits:])
		}
	}
	return len(p), nil
}

func (m *marked) said() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.word
}
