package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/runbooks"
)

// Bounds of preserved evidence. It travels in the report.
const (
	maxEvidenceBytes = 256 << 10 // of each kind
	maxRunEvidence   = 32 << 20  // of a run; the journal of a job holds twice that
	tailedFiles      = 5
	tailBytes        = 48 << 10 // of each file: five fit into maxEvidenceBytes
	journalLines     = 1000
	logDepth         = 4 // directories below one that is searched for logs
)

// preserver saves evidence by commands that only read.
type preserver struct {
	runner   remote.Runner
	as       string
	subjects Subjects
}

// save returns the evidence of the kinds. An error means that some of it could
// not be saved, so that the step must not destroy it.
func (p preserver) save(ctx context.Context, kinds []string) (map[string][]byte, error) {
	saved := map[string][]byte{}
	for _, kind := range kinds {
		ctx, cancel := context.WithTimeout(ctx, runbooks.PreserveTimeout)
		text, err := p.one(ctx, kind)
		cancel()
		if err != nil {
			return saved, fmt.Errorf("save %s: %w", kind, err)
		}
		saved[kind] = text[max(0, len(text)-maxEvidenceBytes):]
	}
	return saved, nil
}

func (p preserver) one(ctx context.Context, kind string) ([]byte, error) {
	switch kind {
	case "journal":
		argv := []string{"journalctl", "--no-pager", "--quiet", "--output=short-iso-precise", "--lines=" + strconv.Itoa(journalLines)}
		for _, unit := range p.subjects.Units {
			argv = append(argv, "--unit="+unit)
		}
		return p.read(ctx, argv...)
	case "processes":
		return p.read(ctx, "ps", "axww", "-o", "pid,ppid,user,lstart,stat,rss,pcpu,args")
	case "open-files":
		return p.openFiles(ctx)
	case "log-tail":
		return p.logTails(ctx)
	}
	return nil, fault.New(fault.Invalid, "no evidence is called %q", kind)
}

// read returns what a command printed. A longer output than the Runner passes
// on is evidence all the same.
func (p preserver) read(ctx context.Context, argv ...string) ([]byte, error) {
	res, err := p.runner.Run(ctx, remote.Command{Argv: argv, As: p.as, Effect: remote.Read, Timeout: runbooks.PreserveTimeout})
	if err == nil {
		err = res.Err()
	}
	return res.Stdout, err
}

// openFiles lists what processes hold open, as links in /proc/PID/fd (proc(5)).
// find exits with 1 when a process ends under it, which is no failure as long
// as it found something.
func (p preserver) openFiles(ctx context.Context) ([]byte, error) {
	text, err := p.read(ctx, "find", "/proc", "-maxdepth", "3", "-ignore_readdir_race", "-regex", "/proc/[0-9]+/fd/[0-9]+",
		"-lname", "/*", "-printf", "%p %l\n")
	if e, ok := errors.AsType[*remote.Error](err); ok && e.Class == remote.ExitStatus && len(text) > 0 {
		err = nil
	}
	return text, err
}

// logTails keeps the ends of the step's files, and of the newest logs in its
// directories.
func (p preserver) logTails(ctx context.Context) ([]byte, error) {
	files := []string{}
	for _, path := range p.subjects.Files {
		info, err := p.runner.Stat(ctx, path)
		switch {
		case err != nil:
			return nil, err
		case info.Mode.IsRegular():
			files = append(files, path)
		case info.Mode.IsDir():
			found, err := p.newestLogs(ctx, path)
			if err != nil {
				return nil, err
			}
			files = append(files, found...)
		}
	}
	var all bytes.Buffer
	for _, file := range files[:min(len(files), tailedFiles)] {
		tail, err := p.read(ctx, "tail", "-c", strconv.Itoa(tailBytes), "--", file)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&all, "==> %q <==\n%s\n", file, tail)
	}
	if len(files) == 0 {
		fmt.Fprintf(&all, "no log files under %q\n", p.subjects.Files)
	}
	return all.Bytes(), nil
}

func (p preserver) newestLogs(ctx context.Context, dir string) ([]string, error) {
	out, err := p.read(ctx, "find", dir, "-xdev", "-maxdepth", strconv.Itoa(logDepth), "-ignore_readdir_race", "-type", "f",
		"(", "-name", "*.log", "-o", "-name", "*log", "-o", "-path", "*/log/*", ")", "-printf", `%T@ %p\0`)
	if err != nil {
		return nil, err
	}
	type found struct {
		at   float64
		path string
	}
	var all []found
	for record := range strings.SplitSeq(string(out), "\x00") {
		at, path, ok := strings.Cut(record, " ")
		seconds, err := strconv.ParseFloat(at, 64)
		if ok && err == nil {
			all = append(all, found{seconds, path})
		}
	}
	slices.SortFunc(all, func(a, b found) int { return strings.Compare(a.path, b.path) })
	slices.SortStableFunc(all, func(a, b found) int {
		switch {
		case a.at > b.at:
			return -1
		case a.at < b.at:
			return 1
		}
		return 0
	})
	paths := []string{}
	for _, f := range all[:min(len(all), tailedFiles)] {
		paths = append(paths, f.path)
	}
	return paths, nil
}
