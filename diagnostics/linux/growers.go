package linux

import (
	"bytes"
	"cmp"
	"context"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
)

const (
	maxGrowers    = 50            // files named in the fact
	recentGrowers = 25            // of which so many may be taken by the recently changed
	recently      = 2 * time.Hour // before the reading
)

// writersFind finds what is open for writing. The mode of a link in
// /proc/PID/fd is the mode of opening (proc(5)), so that fdinfo need not be read.
const writersFind = `set -- /proc/[0-9]*/fd "$@"; ` + boundedFind

const (
	rawCandidates = "candidates"
	rawWriters    = "writers"
)

func diskGrowers() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:   "disk.growers",
			Title:  "Large and growing files",
			Doc:    "find(1) over the file system that holds the path, from that path on; open files by /proc/PID/fd. What lies under a mount point is not seen.",
			Inputs: mountInput("a mount point, or a directory to begin at"),
			Outputs: []expr.Field{
				list("files", "at most 50 files of 1 MiB or more and log files, largest first; those changed in the last 2 hours have half of the places",
					str("path", "links resolved"),
					size("size", "bytes allocated: a sparse file counts what it takes"),
					timestamp("modified_at", "last change of content"),
					boolean("open_for_write", "a process has it open for writing; false also when that could not be seen"),
					boolean("log", "it looks like a log: below /var/log, *.log, *.log.N, *.err, a journal")),
				size("log_bytes", "allocated by all files that look like a log"),
				size("files_bytes", "allocated by everything that can be reached by its name, as du -x; less than what is used: see disk.deleted_open"),
				boolean("complete", "all of it could be read in time; else the numbers are at least what they say"),
			},
			CostSeconds: 5,
		},
		read:  readGrowers,
		parse: parseGrowers,
	}
}

func readGrowers(ctx context.Context, rec *diagnostics.Recorder, args diagnostics.Args) error {
	return readWalk(ctx, rec, argMount, args, func(target string) {
		readSum(ctx, rec, target)
		rec.Run(ctx, rawCandidates, findCommand(boundedFind, target, "-xdev", "-ignore_readdir_race", "-type", "f",
			"(", "-size", "+1023k", "-o", "-path", "/var/log/*", "-o", "-name", "*.log", "-o", "-name", "*.log[.-]*",
			"-o", "-name", "*.err", "-o", "-name", "*.journal", ")", "-printf", `%b %i %T@ %p\0`))
		rec.Run(ctx, rawWriters, findCommand(writersFind,
			"-ignore_readdir_race", "-type", "l", "-perm", "/222", "-lname", "/*", "-printf", `%l\0`))
	})
}

// file is one candidate.
type file struct {
	path     string
	inode    string
	bytes    int64
	modified time.Time
}

func parseGrowers(in readings) (diagnostics.Value, error) {
	if _, err := in.resolved(); err != nil {
		return nil, err
	}
	total, err := in.sum()
	if err != nil {
		return nil, err
	}
	found, err := in.walk(rawCandidates)
	if err != nil {
		return nil, err
	}
	files, err := parseFiles(found.data)
	if err != nil {
		return nil, err
	}
	writers := map[string]bool{}
	if w, err := in.walk(rawWriters); err == nil { // best effort: agents are rarely root
		for name := range bytes.SplitSeq(w.data, []byte{0}) {
			writers[string(name)] = true
		}
	}
	raw, _ := in.raw(rawCandidates)
	named := []any{}
	for _, f := range mostInteresting(files, raw.At) {
		named = append(named, map[string]any{
			"path": f.path, "size": f.bytes, "modified_at": f.modified,
			"open_for_write": writers[f.path], "log": isLog(f.path),
		})
	}
	return diagnostics.Value{
		"files": named, "log_bytes": logBytes(files), "files_bytes": total.bytes,
		"complete": total.complete && found.complete,
	}, nil
}

// parseFiles reads records "BLOCKS INODE TIME PATH", each ended by NUL.
func parseFiles(data []byte) ([]file, error) {
	var files []file
	for {
		record, rest, whole := bytes.Cut(data, []byte{0})
		if !whole { // nothing, or a record that was cut
			return files, nil
		}
		data = rest
		parts := strings.SplitN(string(record), " ", 4)
		if len(parts) < 4 {
			return nil, cannotTell(diagnostics.Failed, "%s: a record is not understood", rawCandidates)
		}
		blocks, err := strconv.ParseUint(parts[0], 10, 64)
		modified, ok := epoch(parts[2])
		if err != nil || !strings.HasPrefix(parts[3], "/") {
			return nil, cannotTell(diagnostics.Failed, "%s: a record is not understood", rawCandidates)
		}
		if !ok { // a time that nobody can mean; the file takes its space all the same
			modified = time.Unix(0, 0).UTC()
		}
		files = append(files, file{path: parts[3], inode: parts[1], bytes: toInt(times(blocks, 512)), modified: modified})
	}
}

// mostInteresting returns the largest files, the recently changed ones first in
// line, so that large old data does not hide a log that began to grow today.
func mostInteresting(files []file, at time.Time) []file {
	bySize := func(a, b file) int { return cmp.Or(cmp.Compare(b.bytes, a.bytes), cmp.Compare(a.path, b.path)) }
	slices.SortFunc(files, bySize)
	var recent, rest []file
	for _, f := range files {
		if len(recent) < recentGrowers && f.modified.After(at.Add(-recently)) {
			recent = append(recent, f)
			continue
		}
		rest = append(rest, f)
	}
	chosen := append(recent, rest[:min(len(rest), maxGrowers-len(recent))]...)
	slices.SortFunc(chosen, bySize)
	return chosen
}

func logBytes(files []file) int64 {
	var sum uint64
	seen := map[string]bool{}
	for _, f := range files {
		if isLog(f.path) && !seen[f.inode] {
			seen[f.inode] = true
			sum += uint64(max(f.bytes, 0))
		}
	}
	return toInt(sum)
}

// isLog reports whether the path looks like a log: by its place, or by its name
// as logrotate(8) leaves it (x.log.1, x.log.2.gz, x.log-20260801).
func isLog(p string) bool {
	name := path.Base(p)
	if within(p, "/var/log") && p != "/var/log" || strings.HasSuffix(name, ".err") ||
		strings.HasSuffix(name, ".journal") || strings.HasSuffix(name, ".log") {
		return true
	}
	_, rotated, ok := strings.Cut(name, ".log")
	return ok && len(rotated) > 1 && (rotated[0] == '.' || rotated[0] == '-') && rotated[1] >= '0' && rotated[1] <= '9'
}
