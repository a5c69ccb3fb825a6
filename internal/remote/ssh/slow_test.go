package ssh

import (
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// The end of a program is told before the rest of its output, which a slow
// network may carry for minutes.
func TestSlowOutputAfterTheEndIsRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &session{stdout: &marked{marker: []byte("m "), found: make(chan struct{}), bounded: bounded{max: 1000}}, stderr: &bounded{max: 10}}
		read := make(chan struct{})
		go func() {
			time.Sleep(4 * drainDelay) // before the first word
			for _, chunk := range []string{"m 42\n", "a", "b", "c", "d"} {
				_, _ = io.WriteString(s.stdout, chunk)
				time.Sleep(drainDelay * 9 / 10)
			}
			close(read)
		}()
		s.drain(read)
		if out, _ := s.stdout.snapshot(); string(out) != "abcd" {
			t.Errorf("got %q", out)
		}
		<-read
	})
}

// What nobody will end is not waited for.
func TestSilentOutputIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	for _, said := range []string{"", "m 42\n"} {
		synctest.Test(t, func(t *testing.T) {
			s := &session{stdout: &marked{marker: []byte("m "), found: make(chan struct{}), bounded: bounded{max: 1000}}, stderr: &bounded{max: 10}}
			_, _ = io.WriteString(s.stdout, said)
			began := time.Now()
			s.drain(make(chan struct{}))
			if took := time.Since(began); took > maxIdle*drainDelay {
				t.Errorf("said %q: it took %s", said, took)
			}
		})
	}
}
