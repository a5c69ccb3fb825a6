package plugintest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/secondline-ops/secondline/plugins"
)

// Host is a scripted target: what was not scripted fails the test.
type Host struct {
	t *testing.T

	mu       sync.Mutex // guards below
	commands map[string]answer
	files    map[string]answer
}

type answer struct {
	result plugins.Result
	err    error
}

var _ plugins.Host = (*Host)(nil)

// NewHost returns a Host on which nothing is there yet.
func NewHost(t *testing.T) *Host {
	t.Helper()
	return &Host{t: t, commands: map[string]answer{}, files: map[string]answer{}}
}

// Command scripts the answer to one argv.
func (h *Host) Command(result plugins.Result, err error, argv ...string) *Host {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.commands[key(argv)] = answer{result, err}
	return h
}

// File scripts the content of a file, or the error of reading it.
func (h *Host) File(path, content string, err error) *Host {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.files[path] = answer{plugins.Result{Stdout: []byte(content)}, err}
	return h
}

// Target implements plugins.Host.
func (h *Host) Target() string { return "scripted" }

// Run implements plugins.Host.
func (h *Host) Run(_ context.Context, cmd plugins.Command) (plugins.Result, error) {
	a := h.find(h.commands, key(cmd.Argv), "command")
	return a.result, a.err
}

// ReadFile implements plugins.Host.
func (h *Host) ReadFile(_ context.Context, path string, maxBytes int) (data []byte, truncated bool, err error) {
	a := h.find(h.files, path, "file")
	data = a.result.Stdout
	return data[:min(len(data), maxBytes)], len(data) > maxBytes, a.err
}

// Stat implements plugins.Host: the size of a scripted file.
func (h *Host) Stat(_ context.Context, path string) (plugins.FileInfo, error) {
	a := h.find(h.files, path, "file")
	return plugins.FileInfo{Name: path[strings.LastIndex(path, "/")+1:], Size: int64(len(a.result.Stdout)), Mode: 0o644, Links: 1}, a.err
}

// Statfs implements plugins.Host; no case can script it yet, so it fails.
func (h *Host) Statfs(_ context.Context, path string) (plugins.FSInfo, error) {
	return plugins.FSInfo{}, h.find(nil, path, "file system").err
}

// ReadDir implements plugins.Host; no case can script it yet, so it fails.
func (h *Host) ReadDir(_ context.Context, path string, _ int) (entries []plugins.FileInfo, truncated bool, err error) {
	return nil, false, h.find(nil, path, "folder").err
}

func (h *Host) find(in map[string]answer, what, kind string) answer {
	h.mu.Lock()
	defer h.mu.Unlock()
	a, ok := in[what]
	if !ok {
		h.t.Errorf("%s %q was not scripted", kind, what)
		a.err = &plugins.HostError{Class: "failed", Message: fmt.Sprintf("%s %q was not scripted", kind, what)}
	}
	return a
}

func key(argv []string) string { return strings.Join(argv, "\x00") }
