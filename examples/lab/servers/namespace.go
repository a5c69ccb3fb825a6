package servers

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// inNamespace calls do on a thread that is in the network namespace. A socket
// belongs for good to the namespace in which it was made, so the caller may go
// on using what do has opened.
func inNamespace(file string, do func() error) error {
	done := make(chan error, 1)
	go func() {
		// The thread is not unlocked: it ends with this goroutine, and no other
		// one ever runs in the namespace by mistake.
		runtime.LockOSThread()
		done <- func() error {
			ns, err := os.Open(file)
			if err != nil {
				return fmt.Errorf("open network namespace: %w", err)
			}
			defer ns.Close()
			if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("enter network namespace: %w", err)
			}
			return do()
		}()
	}()
	return <-done
}
