package remotetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/secondline-ops/secondline/internal/remote"
)

// A recording is a folder: commands.json, as recording below, and the contents
// of files below files/, by their path. It is meant to be read and edited by
// people. Paths and names in commands.json are UTF-8. Record it through a remote.Server, so that it holds no secrets.
type recording struct {
	Target   string         `json:"target"`
	Commands []recordedRun  `json:"commands"`
	Files    []recordedFile `json:"files"` // only those that failed, were cut, or have names that files/ cannot have
	Stats    []recordedStat `json:"stats"`
	Statfs   []recordedFS   `json:"statfs"`
	Dirs     []recordedDir  `json:"dirs"`
}

type recordedRun struct {
	Argv      []text       `json:"argv"`
	As        string       `json:"as,omitempty"`
	Stdout    text         `json:"stdout"`
	Stderr    text         `json:"stderr"`
	ExitCode  int          `json:"exit_code"`
	Signal    string       `json:"signal,omitempty"`
	Truncated bool         `json:"truncated,omitempty"`
	Error     *recordedErr `json:"error,omitempty"`
}

type recordedFile struct {
	Path      string       `json:"path"`
	File      string       `json:"file,omitempty"` // in the recording
	Truncated bool         `json:"truncated,omitempty"`
	Error     *recordedErr `json:"error,omitempty"`
}

type recordedStat struct {
	Path  string          `json:"path"`
	Info  remote.FileInfo `json:"info"`
	Error *recordedErr    `json:"error,omitempty"`
}

type recordedFS struct {
	Path  string        `json:"path"`
	Info  remote.FSInfo `json:"info"`
	Error *recordedErr  `json:"error,omitempty"`
}

type recordedDir struct {
	Path      string            `json:"path"`
	Entries   []remote.FileInfo `json:"entries"`
	Truncated bool              `json:"truncated,omitempty"`
	Error     *recordedErr      `json:"error,omitempty"`
}

type recordedErr struct {
	Class remote.Class `json:"class"`
	Text  string       `json:"text"`
}

func recordError(err error) *recordedErr {
	if err == nil {
		return nil
	}
	return &recordedErr{Class: ClassOf(err), Text: err.Error()}
}

func (r *recordedErr) replay(target, doing string) error {
	if r == nil {
		return nil
	}
	return &remote.Error{Class: r.Class, Target: target, Doing: doing, Err: errors.New(r.Text)}
}

// text is output: a string where it is UTF-8, else {"base64": "..."}.
type text []byte

// MarshalJSON implements json.Marshaler.
func (t text) MarshalJSON() ([]byte, error) {
	if utf8.Valid(t) {
		return json.Marshal(string(t))
	}
	return json.Marshal(map[string][]byte{"base64": t})
}

// UnmarshalJSON implements json.Unmarshaler.
func (t *text) UnmarshalJSON(data []byte) error {
	var plain string
	if err := json.Unmarshal(data, &plain); err == nil {
		*t = text(plain)
		return nil
	}
	var coded struct {
		Base64 []byte `json:"base64"`
	}
	err := json.Unmarshal(data, &coded)
	*t = coded.Base64
	return err
}

// Replay is a transport that answers from a recording. What was not recorded
// could not be reached: it is an error of class Unreachable, never "not there".
type Replay struct {
	fsys fs.FS
	rec  recording

	mu   sync.Mutex // guards below
	next map[string]int
}

var _ remote.Transport = (*Replay)(nil)

// Recorded returns the transport that replays the recording in fsys. A command
// recorded several times is answered in that order, the last answer for ever.
func Recorded(fsys fs.FS) (*Replay, error) {
	data, err := fs.ReadFile(fsys, "commands.json")
	if err != nil {
		return nil, fmt.Errorf("read recording: %w", err)
	}
	r := &Replay{fsys: fsys, next: map[string]int{}}
	if err := json.Unmarshal(data, &r.rec); err != nil {
		return nil, fmt.Errorf("parse recording: %w", err)
	}
	return r, nil
}

func (r *Replay) notRecorded(doing string) error {
	return &remote.Error{Class: remote.Unreachable, Target: r.rec.Target, Doing: doing, Err: errors.New("it is not in the recording")}
}

// Target implements remote.Runner.
func (r *Replay) Target() string { return r.rec.Target }

// Close implements remote.Transport.
func (r *Replay) Close() error { return nil }

// Run implements remote.Runner.
func (r *Replay) Run(_ context.Context, cmd remote.Command) (remote.Result, error) {
	doing := "run " + strings.Join(cmd.Argv, " ")
	var found []recordedRun
	for _, c := range r.rec.Commands {
		if c.As == cmd.As && slices.EqualFunc(c.Argv, cmd.Argv, func(a text, b string) bool { return string(a) == b }) {
			found = append(found, c)
		}
	}
	if len(found) == 0 {
		return remote.Result{}, r.notRecorded(doing)
	}
	key := cmd.As + "\x00" + strings.Join(cmd.Argv, "\x00")
	r.mu.Lock()
	c := found[min(r.next[key], len(found)-1)]
	r.next[key]++
	r.mu.Unlock()
	limit := cmd.WithDefaults().MaxOutputBytes
	out, cutOut := cut(c.Stdout, limit)
	errOut, cutErr := cut(c.Stderr, limit)
	return remote.Result{
		Stdout: out, Stderr: errOut, Truncated: c.Truncated || cutOut || cutErr, ExitCode: c.ExitCode, Signal: c.Signal,
	}, c.Error.replay(r.rec.Target, doing)
}

func cut(data []byte, limit int) ([]byte, bool) {
	return slices.Clone(data[:min(len(data), limit)]), len(data) > limit
}

// ReadFile implements remote.Runner.
func (r *Replay) ReadFile(_ context.Context, path string, maxBytes int) (data []byte, truncated bool, err error) {
	if maxBytes <= 0 {
		maxBytes = remote.DefaultMaxOutputBytes
	}
	file := recordedFile{File: fileName(path)}
	if i := slices.IndexFunc(r.rec.Files, func(f recordedFile) bool { return f.Path == path }); i >= 0 {
		file = r.rec.Files[i]
		if file.File == "" {
			file.File = fileName(path)
		}
	}
	if file.Error != nil {
		return nil, false, file.Error.replay(r.rec.Target, "read "+path)
	}
	data, err = fs.ReadFile(r.fsys, file.File)
	if err != nil {
		return nil, false, r.notRecorded("read " + path)
	}
	data, more := cut(data, maxBytes)
	return data, more || file.Truncated, nil
}

// Stat implements remote.Runner.
func (r *Replay) Stat(_ context.Context, path string) (remote.FileInfo, error) {
	for _, s := range slices.Backward(r.rec.Stats) {
		if s.Path == path {
			return s.Info, s.Error.replay(r.rec.Target, "stat "+path)
		}
	}
	return remote.FileInfo{}, r.notRecorded("stat " + path)
}

// Statfs implements remote.Runner.
func (r *Replay) Statfs(_ context.Context, path string) (remote.FSInfo, error) {
	for _, s := range slices.Backward(r.rec.Statfs) {
		if s.Path == path {
			return s.Info, s.Error.replay(r.rec.Target, "statfs "+path)
		}
	}
	return remote.FSInfo{}, r.notRecorded("statfs " + path)
}

// ReadDir implements remote.Runner.
func (r *Replay) ReadDir(_ context.Context, path string, maxEntries int) (entries []remote.FileInfo, truncated bool, err error) {
	for _, d := range slices.Backward(r.rec.Dirs) {
		if d.Path == path {
			limit := remote.DirLimit(maxEntries)
			return slices.Clone(d.Entries[:min(len(d.Entries), limit)]), d.Truncated || len(d.Entries) > limit, d.Error.replay(r.rec.Target, "list "+path)
		}
	}
	return nil, false, r.notRecorded("list " + path)
}

// fileName is where a recording keeps a file: its path, with everything that a
// file system or an embedded folder may refuse written as =XX.
func fileName(path string) string {
	var b strings.Builder
	for i, part := range strings.Split(strings.Trim(path, "/"), "/") {
		if i > 0 {
			b.WriteByte('/')
		}
		for j := range len(part) {
			c := part[j]
			plain := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("_-+@,", c) >= 0 || (c == '.' && j > 0)
			if plain {
				b.WriteByte(c)
			} else {
				fmt.Fprintf(&b, "=%02X", c)
			}
		}
	}
	return "files/" + b.String()
}

// Recorder passes everything on to a transport and writes down what came back.
type Recorder struct {
	remote.Runner
	dir string

	mu    sync.Mutex // guards below
	rec   recording
	files map[string][]byte
}

// Record returns the transport that records what is asked of r to dir, when
// Finish is called. Give it a remote.Server: what a bare transport reads is not
// redacted.
func Record(r remote.Runner, dir string) *Recorder {
	return &Recorder{Runner: r, dir: dir, rec: recording{Target: r.Target()}, files: map[string][]byte{}}
}

// Run implements remote.Runner.
func (r *Recorder) Run(ctx context.Context, cmd remote.Command) (remote.Result, error) {
	res, err := r.Runner.Run(ctx, cmd)
	var argv []text
	for _, arg := range cmd.Argv {
		argv = append(argv, text(arg))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rec.Commands = append(r.rec.Commands, recordedRun{
		Argv: argv, As: cmd.As, Stdout: res.Stdout, Stderr: res.Stderr, ExitCode: res.ExitCode, Signal: res.Signal, Truncated: res.Truncated, Error: recordError(err),
	})
	return res, err
}

// ReadFile implements remote.Runner.
func (r *Recorder) ReadFile(ctx context.Context, path string, maxBytes int) (data []byte, truncated bool, err error) {
	data, truncated, err = r.Runner.ReadFile(ctx, path, maxBytes)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		r.files[fileName(path)] = slices.Clone(data)
	}
	if err != nil || truncated {
		r.rec.Files = append(r.rec.Files, recordedFile{Path: path, Truncated: truncated, Error: recordError(err)})
	}
	return data, truncated, err
}

// Stat implements remote.Runner.
func (r *Recorder) Stat(ctx context.Context, path string) (remote.FileInfo, error) {
	info, err := r.Runner.Stat(ctx, path)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rec.Stats = append(r.rec.Stats, recordedStat{path, info, recordError(err)})
	return info, err
}

// Statfs implements remote.Runner.
func (r *Recorder) Statfs(ctx context.Context, path string) (remote.FSInfo, error) {
	info, err := r.Runner.Statfs(ctx, path)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rec.Statfs = append(r.rec.Statfs, recordedFS{path, info, recordError(err)})
	return info, err
}

// ReadDir implements remote.Runner.
func (r *Recorder) ReadDir(ctx context.Context, path string, maxEntries int) (entries []remote.FileInfo, truncated bool, err error) {
	entries, truncated, err = r.Runner.ReadDir(ctx, path, maxEntries)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rec.Dirs = append(r.rec.Dirs, recordedDir{path, entries, truncated, recordError(err)})
	return entries, truncated, err
}

// Finish writes the recording to its folder.
func (r *Recorder) Finish() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	data, err := json.MarshalIndent(r.rec, "", "  ")
	if err != nil {
		return fmt.Errorf("write recording: %w", err)
	}
	files := maps.Clone(r.files)
	files["commands.json"] = append(data, '\n')
	for name, content := range files {
		path := filepath.Join(r.dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			return fmt.Errorf("write recording: %w", err)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return fmt.Errorf("write recording: %w", err)
		}
	}
	return nil
}
