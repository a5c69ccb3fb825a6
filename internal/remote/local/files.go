package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/secondline-ops/secondline/internal/remote"
)

// ReadFile implements remote.Runner. Only regular files are read: a fifo or a
// device could hang or never end.
func (t *Transport) ReadFile(ctx context.Context, path string, maxBytes int) ([]byte, bool, error) {
	if maxBytes <= 0 {
		maxBytes = remote.DefaultMaxOutputBytes
	}
	maxBytes = min(maxBytes, remote.MaxOutputBytes+remote.RedactionSlack)
	type result struct {
		data []byte
		more bool
	}
	r, err := abandonable(ctx, t, path, func() (result, error) {
		// Looked at before: opening alone can do something (/dev/watchdog).
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
			return result{}, orNotRegular(err)
		}
		f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
		if err != nil {
			return result{}, err
		}
		defer f.Close()
		if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
			return result{}, orNotRegular(err)
		}
		// Files below /proc say size 0 and hold more: read until the end.
		data, err := io.ReadAll(io.LimitReader(f, int64(maxBytes)+1))
		if len(data) > maxBytes {
			return result{data[:maxBytes], true}, err
		}
		return result{data, false}, err
	})
	return r.data, r.more, err
}

func orNotRegular(err error) error {
	if err != nil {
		return err
	}
	return &remote.Error{Class: remote.InvalidCall, Err: errors.New("not a regular file")}
}

// Stat implements remote.Runner.
func (t *Transport) Stat(ctx context.Context, path string) (remote.FileInfo, error) {
	return abandonable(ctx, t, path, func() (remote.FileInfo, error) { return lstat(path) })
}

func lstat(path string) (remote.FileInfo, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return remote.FileInfo{}, err
	}
	out := describe(info)
	if info.Mode()&fs.ModeSymlink != 0 {
		if out.LinkTarget, err = os.Readlink(path); err != nil {
			return remote.FileInfo{}, err
		}
	}
	return out, nil
}

func describe(info fs.FileInfo) remote.FileInfo {
	out := remote.FileInfo{Name: info.Name(), Size: info.Size(), Mode: info.Mode(), ModifiedAt: info.ModTime()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		out.Blocks, out.UID, out.GID, out.Dev, out.Inode, out.Links = st.Blocks, st.Uid, st.Gid, uint64(st.Dev), st.Ino, uint64(st.Nlink) //nolint:unconvert // differs by architecture
	}
	return out
}

// Statfs implements remote.Runner.
func (t *Transport) Statfs(ctx context.Context, path string) (remote.FSInfo, error) {
	return abandonable(ctx, t, path, func() (remote.FSInfo, error) {
		var st syscall.Statfs_t
		if err := syscall.Statfs(path, &st); err != nil {
			return remote.FSInfo{}, &fs.PathError{Op: "statfs", Path: path, Err: err}
		}
		size := uint64(st.Frsize)
		return remote.FSInfo{
			Total: st.Blocks * size, Free: st.Bfree * size, Available: st.Bavail * size, Inodes: st.Files, InodesFree: st.Ffree,
		}, nil
	})
}

// ReadDir implements remote.Runner.
func (t *Transport) ReadDir(ctx context.Context, path string, limit int) ([]remote.FileInfo, bool, error) {
	limit = remote.DirLimit(limit)
	type result struct {
		list []remote.FileInfo
		more bool
	}
	r, err := abandonable(ctx, t, path, func() (result, error) {
		f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
		if err != nil {
			return result{}, err
		}
		defer f.Close()
		entries, err := f.ReadDir(limit + 1)
		if err != nil && !errors.Is(err, io.EOF) {
			return result{}, err
		}
		var out result
		for i, e := range entries {
			if i == limit {
				out.more = true
				break
			}
			info, err := lstat(filepath.Join(path, e.Name()))
			if errors.Is(err, fs.ErrNotExist) { // gone between listing and looking
				continue
			}
			if err != nil {
				return result{}, err
			}
			out.list = append(out.list, info)
		}
		slices.SortFunc(out.list, func(a, b remote.FileInfo) int { return strings.Compare(a.Name, b.Name) })
		return out, nil
	})
	return r.list, r.more, err
}

// abandonable runs a read that may hang. It returns when ctx ends, or after
// remote.DefaultTimeout, and leaves the read behind.
func abandonable[T any](ctx context.Context, t *Transport, path string, read func() (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	var zero T
	if err := remote.ValidatePath("read", path); err != nil {
		return zero, err
	}
	if t.abandoned.Load() >= maxAbandoned {
		return zero, &remote.Error{Class: remote.Refused, Err: errors.New("too many reads hang on this machine already"), Hint: "look for processes in D state: a disk or a network file system does not answer"}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, remote.DefaultTimeout, fmt.Errorf("no answer within %s: %w", remote.DefaultTimeout, context.DeadlineExceeded))
	defer cancel()
	done := make(chan answer, 1)
	go func() {
		v, err := read()
		done <- answer{v, err}
	}()
	select {
	case a := <-done:
		return a.value, classify(a.err)
	case <-ctx.Done():
	}
	t.abandoned.Add(1)
	go func() {
		<-done
		t.abandoned.Add(-1)
	}()
	return zero, &remote.Error{Class: remote.TimedOut, Err: context.Cause(ctx)}
}

func classify(err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*remote.Error](err); ok {
		return e
	}
	class := remote.BrokenServer
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		class = remote.NotExist
	case errors.Is(err, fs.ErrPermission):
		class = remote.NotPermitted
	case errors.Is(err, syscall.EIO), errors.Is(err, syscall.ESTALE):
		class = remote.BrokenServer
	}
	return &remote.Error{Class: class, Err: err}
}
