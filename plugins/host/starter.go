package host

import (
	"runtime"
	"sync"
)

// starter runs functions on one thread that lives as long as the starter does.
// The parent of a process, for PR_SET_PDEATHSIG, is the thread that made it and
// not the program (golang/go#27505): a plugin started from any other goroutine
// would be killed whenever the runtime ends that goroutine's thread.
type starter struct {
	work chan func()
	once sync.Once
	done chan struct{}
}

func newStarter() *starter {
	s := &starter{work: make(chan func()), done: make(chan struct{})}
	go s.loop()
	return s
}

func (s *starter) loop() {
	runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
	defer close(s.done)
	for f := range s.work {
		f()
	}
}

// do runs f on the thread and waits for it.
func (s *starter) do(f func() error) error {
	result := make(chan error, 1)
	s.work <- func() { result <- f() }
	return <-result
}

// stop ends the thread, and with it what was started from it and still runs.
// No do may be called after it.
func (s *starter) stop() {
	s.once.Do(func() { close(s.work) })
	<-s.done
}
