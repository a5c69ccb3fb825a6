package sqlite

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"github.com/secondline-ops/secondline/internal/fault"
)

// lockFile says that this process has the store open. The kernel drops the lock
// when the process ends, however it ends; the file itself stays.
type lockFile struct{ f *os.File }

func takeLock(path string) (*lockFile, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock of the store: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer func() { _ = f.Close() }() // nothing was written
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock the store: %w", err)
		}
		pid, _ := io.ReadAll(io.LimitReader(f, 20)) // for people; "" when it is being written
		return nil, fault.New(fault.Conflict, "the store %s is already in use by pid %s",
			strings.TrimSuffix(path, ".lock"), strings.TrimSpace(string(pid))).
			WithHint("stop that process first, or give this one a data folder and addresses of its own: --data-dir, --listen, --agent-listen")
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = f.WriteAt([]byte(fmt.Sprintf("%d\n", os.Getpid())), 0)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("write the lock of the store: %w", err), f.Close())
	}
	return &lockFile{f: f}, nil
}

func (l *lockFile) release() error { return l.f.Close() }
