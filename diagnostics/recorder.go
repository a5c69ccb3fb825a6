package diagnostics

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
)

// maxErrorText bounds the text of an error kept with a reading, in bytes.
const maxErrorText = 500

// Recorder reads through a Runner and keeps each reading as a sealed Raw with
// its status, so that a probe's Read has nothing to do but name what it wants.
// It is safe for concurrent use.
type Recorder struct {
	runner remote.Runner
	now    func() time.Time

	mu   sync.Mutex // guards below
	raws []Raw
}

// Record returns a Recorder that reads through r and takes the times of the
// readings from now.
func Record(r remote.Runner, now func() time.Time) *Recorder {
	return &Recorder{runner: r, now: now}
}

// Run starts the command, as a read whatever its Effect says, and keeps what it
// printed: its standard output, or its standard error when that is empty. A
// non-zero exit status is a reading like any other: ExitCode has it, and Error
// the first line of standard error.
func (rec *Recorder) Run(ctx context.Context, name string, cmd remote.Command) Raw {
	cmd.Effect = remote.Read
	raw := Raw{Name: name, Command: quoteArgv(cmd.Argv), At: rec.now()}
	res, err := rec.runner.Run(ctx, cmd)
	if err != nil {
		return rec.keep(raw, nil, false, err)
	}
	data := res.Stdout
	if len(data) == 0 {
		data = res.Stderr
	}
	raw.ExitCode = res.ExitCode
	switch {
	case res.Signal != "": // it did not finish, so what it printed proves nothing
		return rec.keep(raw, data, res.Truncated, res.Err())
	case res.ExitCode != 0:
		raw.Error = firstLine(res.Stderr)
	}
	return rec.keep(raw, data, res.Truncated, nil)
}

// File reads at most maxBytes of the file.
func (rec *Recorder) File(ctx context.Context, name, path string, maxBytes int) Raw {
	raw := Raw{Name: name, Command: "read " + quoteArg(path), At: rec.now()}
	data, truncated, err := rec.runner.ReadFile(ctx, path, maxBytes)
	return rec.keep(raw, data, truncated, err)
}

// Stat describes the path; the data is the JSON of a remote.FileInfo.
func (rec *Recorder) Stat(ctx context.Context, name, path string) Raw {
	raw := Raw{Name: name, Command: "stat " + quoteArg(path), At: rec.now()}
	info, err := rec.runner.Stat(ctx, path)
	return rec.keepJSON(raw, info, false, err)
}

// Statfs describes the file system that holds the path; the data is the JSON
// of a remote.FSInfo.
func (rec *Recorder) Statfs(ctx context.Context, name, path string) Raw {
	raw := Raw{Name: name, Command: "statfs " + quoteArg(path), At: rec.now()}
	info, err := rec.runner.Statfs(ctx, path)
	return rec.keepJSON(raw, info, false, err)
}

// Dir lists at most max entries of the directory; the data is the JSON of a
// list of remote.FileInfo.
func (rec *Recorder) Dir(ctx context.Context, name, path string, max int) Raw {
	raw := Raw{Name: name, Command: "list " + quoteArg(path), At: rec.now()}
	entries, truncated, err := rec.runner.ReadDir(ctx, path, max)
	if entries == nil {
		entries = []remote.FileInfo{}
	}
	return rec.keepJSON(raw, entries, truncated, err)
}

// Raws returns what was read so far, in the order in which the readings ended.
func (rec *Recorder) Raws() []Raw {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	return slices.Clone(rec.raws)
}

// FindRaw returns the first reading of the name.
func FindRaw(raws []Raw, name string) (Raw, bool) {
	for _, r := range raws {
		if r.Name == name {
			return r, true
		}
	}
	return Raw{}, false
}

func (rec *Recorder) keepJSON(raw Raw, value any, truncated bool, err error) Raw {
	if err != nil {
		return rec.keep(raw, nil, truncated, err)
	}
	data, err := json.Marshal(value)
	return rec.keep(raw, data, truncated, err)
}

func (rec *Recorder) keep(raw Raw, data []byte, truncated bool, err error) Raw {
	raw.Took = rec.now().Sub(raw.At)
	raw.Data, raw.Truncated = data, truncated
	switch {
	case err != nil:
		raw.Status, raw.Error = statusOf(err), clip(err.Error())
	case truncated:
		raw.Status = Truncated
	default:
		raw.Status = OK
	}
	raw.Seal()
	rec.mu.Lock()
	defer rec.mu.Unlock()
	rec.raws = append(rec.raws, raw)
	return raw
}

// statusOf says what a failed reading is: only a server that answered "it is
// not there" has proved absence.
func statusOf(err error) Status {
	if e, ok := errors.AsType[*remote.Error](err); ok {
		switch e.Class {
		case remote.NotExist:
			return Absent
		case remote.NotPermitted:
			return Denied
		case remote.TimedOut:
			return TimedOut
		case remote.Unreachable, remote.Refused, remote.AuthFailed, remote.HostKey, remote.Lost,
			remote.ExitStatus, remote.Signalled, remote.InvalidCall, remote.BrokenServer:
			return Failed
		}
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return TimedOut
	case fault.Is(err, fault.Denied):
		return Denied
	}
	return Failed
}

func firstLine(text []byte) string {
	line, _, _ := bytes.Cut(bytes.TrimSpace(text), []byte("\n"))
	return clip(string(line))
}

func clip(s string) string {
	if len(s) > maxErrorText {
		s = s[:maxErrorText] + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// quoteArgv writes a command for people; nothing ever runs it.
func quoteArgv(argv []string) string {
	out := make([]string, len(argv))
	for i, a := range argv {
		out[i] = quoteArg(a)
	}
	return strings.Join(out, " ")
}

func quoteArg(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("%+,-./:=@_", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
