package journal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/secondline-ops/secondline/internal/fault"
)

// FS is the disk under a journal, so that tests can fill it, tear it and stop it.
type FS interface {
	// Lock makes the folder if it is missing, and holds it for this process until the closer is closed.
	Lock(dir string) (io.Closer, error)
	// List names the files of the folder.
	List(dir string) ([]string, error)
	// ReadFile returns the whole file.
	ReadFile(path string) ([]byte, error)
	// Append opens the file for writing at its end, and makes it with mode 0600 if it is missing.
	Append(path string) (File, error)
	// Remove deletes the file.
	Remove(path string) error
	// SyncDir puts the folder's names on disk.
	SyncDir(dir string) error
}

// File is an open file of a journal.
type File interface {
	io.WriteCloser
	Sync() error
	Truncate(size int64) error
}

// Disk is the real disk.
type Disk struct{}

var _ FS = Disk{}

// Lock implements FS by flock(2) on a file of its own, which the kernel lets go
// when the process ends.
func (Disk) Lock(dir string) (io.Closer, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := flock(f); err != nil {
		return nil, errors.Join(fault.Wrap(fault.Conflict, err, "another process uses %s", dir), f.Close())
	}
	return f, nil
}

// flock tries for a short while: between fork(2) and execve(2) a child of the
// last holder still has the descriptor, and with it the lock.
func flock(f *os.File) error {
	const tries, pause = 50, 20 * time.Millisecond
	var err error
	for range tries {
		if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); !errors.Is(err, syscall.EWOULDBLOCK) {
			return err
		}
		<-time.After(pause)
	}
	return err
}

// List implements FS.
func (Disk) List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, nil
}

// ReadFile implements FS.
func (Disk) ReadFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > MaxJobBytes {
		return nil, fault.New(fault.TooLarge, "%s has %d bytes", path, info.Size())
	}
	return os.ReadFile(path)
}

// Append implements FS.
func (Disk) Append(path string) (File, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
}

// Remove implements FS.
func (Disk) Remove(path string) error { return os.Remove(path) }

// SyncDir implements FS.
func (Disk) SyncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return errors.Join(fmt.Errorf("sync %s: %w", dir, err), f.Close())
	}
	return f.Close()
}
