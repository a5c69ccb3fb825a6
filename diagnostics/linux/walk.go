package linux

import (
	"bytes"
	"context"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/remote"
)

// A walk ends after 20 seconds by timeout(1), so that what it has found so far
// is kept; the Runner's own limit behind it is for a find that cannot be ended.
const walkTimeout = 30 * time.Second

// boundedFind is find(1) with the arguments of the script, niced and bounded.
// After the output of find comes "end CODE COMPLAINTS": its exit status, and how
// many of its complaints were about something else than a file that vanished
// meanwhile. --foreground keeps it in the process group that the Runner ends.
// The locale is C: the pattern is strerror(ENOENT).
const boundedFind = `{ { timeout --foreground -k 2 20 nice -n 10 find "$@"; echo "exit $?" >&2; } 2>&1 >&3 |` +
	` awk '/^exit [0-9]+$/ { code = $2; next } !/No such file or directory$/ { n++ } END { print "end", code, n + 0 }' >&3; } 3>&1`

// sumFind adds up what sumFormat prints of each file. A file with several names
// counts once.
const sumFind = boundedFind + ` | awk '$1 == "end" { code = $2; complaints = $3; next }` +
	` $1 != "d" && $2 > 1 { if ($3 in seen) next; seen[$3] = 1 }` +
	` { bytes += $4 * 512 }` +
	` $1 != "d" { files++; if ($5 + 0 > newest + 0) newest = $5 }` +
	` END { printf "%.0f %.0f %s\nend %s %s\n", bytes, files, newest == "" ? "-" : newest, code, complaints }'`

// sumFormat: type, names, inode, blocks of 512 bytes, time of the last change of content.
const sumFormat = `%y %n %i %b %T@\n`

// countFind counts the entries of each directory, and prints the fullest.
// Newlines in names travel as \001, because awk reads lines.
const countFind = boundedFind + ` | tr '\n\0' '\001\n' | awk '/^end [0-9]+ [0-9]+\001?$/ { end = $0; next }` +
	` { n[$0]++ }` +
	` END { for (i = 0; i < 20; i++) { top = ""; for (d in n) if (top == "" || n[d] > n[top]) top = d;` +
	` if (top == "") break; print n[top] "\t" top; delete n[top] } print end }'`

// findCommand runs one of the scripts above with the arguments of find.
func findCommand(script string, args ...string) remote.Command {
	cmd := command(append([]string{"sh", "-c", script, "sh"}, args...)...)
	cmd.Timeout = walkTimeout
	cmd.MaxOutputBytes = maxWalkBytes
	return cmd
}

const maxWalkBytes = 8 << 20

// walked is what a script of this file printed.
type walked struct {
	data     []byte // without the end line
	complete bool   // everything there was could be looked at
}

// walk returns the output of a find script. It fails when find did not run at
// all; when it was ended or refused somewhere, or its output was cut, it is
// merely not complete.
func (in readings) walk(name string) (walked, error) {
	raw, ok := in.raw(name)
	if ok && raw.Truncated {
		return walked{data: raw.Data}, nil
	}
	raw, err := in.ran(name)
	if err != nil {
		return walked{}, err
	}
	data := bytes.TrimRight(raw.Data, "\n\x01")
	at := bytes.LastIndex(data, []byte("end "))
	if at < 0 || at > 0 && data[at-1] != '\n' && data[at-1] != 0 {
		return walked{}, cannotTell(diagnostics.Failed, "%s: %s", name, unexpected(raw))
	}
	parts := strings.Fields(string(data[at:]))
	if len(parts) != 3 {
		return walked{}, cannotTell(diagnostics.Failed, "%s: %s", name, unexpected(raw))
	}
	code, complaints := parts[1], parts[2]
	switch code {
	case "0", "1", "124", "137": // 137: what did not end by TERM was killed
		return walked{data: data[:at], complete: complaints == "0" && (code == "0" || code == "1")}, nil
	}
	return walked{}, cannotTell(diagnostics.Failed, "%s: find ended with status %s", name, code)
}

// unexpected says, for a script whose output has not the form it always has,
// what may be the matter.
func unexpected(raw diagnostics.Raw) string {
	if raw.Error != "" {
		return raw.Error
	}
	return "the output has not the form of this host's usual tools"
}

func diskInodeDirs() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:   "disk.inode_dirs",
			Title:  "Directories with the most entries",
			Doc:    "find(1) over the file system that holds the path, from that path on. Truncated when not all could be looked at: the counts are then at least as high.",
			Inputs: mountInput("a mount point, or a directory to begin at"),
			Outputs: []expr.Field{list("dirs", "the 20 with the most entries, most first",
				str("path", "the directory"),
				integer("entries", "files, directories and others directly in it"))},
			CostSeconds: 5,
		},
		read: func(ctx context.Context, rec *diagnostics.Recorder, args diagnostics.Args) error {
			return readWalk(ctx, rec, argMount, args, func(target string) {
				rec.Run(ctx, "entries", findCommand(countFind, target, "-xdev", "-ignore_readdir_race", "-mindepth", "1", "-printf", `%h\0`))
			})
		},
		parse: parseInodeDirs,
	}
}

// readWalk checks the path argument, reads where it leads to, and walks there.
func readWalk(ctx context.Context, rec *diagnostics.Recorder, input string, args diagnostics.Args, walk func(target string)) error {
	if err := checkPath(input, args[input]); err != nil {
		return err
	}
	if target := resolve(ctx, rec, args[input]); target != "" {
		walk(target)
	}
	return nil
}

func parseInodeDirs(in readings) (diagnostics.Value, error) {
	if _, err := in.resolved(); err != nil {
		return nil, err
	}
	found, err := in.walk("entries")
	if err != nil {
		return nil, err
	}
	dirs := []any{}
	for line := range bytes.Lines(found.data) {
		count, path, ok := strings.Cut(strings.TrimSuffix(string(line), "\n"), "\t")
		n, err := strconv.ParseInt(count, 10, 64)
		if !ok || err != nil || !strings.HasPrefix(path, "/") {
			return nil, cannotTell(diagnostics.Failed, "entries: a line is not understood")
		}
		dirs = append(dirs, map[string]any{"path": strings.ReplaceAll(path, "\x01", "\n"), "entries": n})
	}
	value := diagnostics.Value{"dirs": dirs}
	if !found.complete {
		return value, cannotTell(diagnostics.Truncated, "not every directory could be read in time")
	}
	return value, nil
}

func dirUsage() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:   "dir.usage",
			Title:  "Space that a directory takes",
			Doc:    "find(1) from the path on, a link followed, other file systems left out; counts as du -x does.",
			Inputs: pathInput("a directory, or a file"),
			Outputs: []expr.Field{
				boolean("exists", "the path is there"),
				size("bytes", "allocated, directories included, each file once however many names it has; not the apparent size"),
				integer("files", "everything but directories"),
				optional(timestamp("newest_at", "when the content of one of the files was last changed; missing when there is none")),
				boolean("complete", "all of it could be read in time; else the numbers are at least what they say"),
			},
			CostSeconds: 2,
		},
		read: func(ctx context.Context, rec *diagnostics.Recorder, args diagnostics.Args) error {
			if err := checkNoSecret(argPath, args[argPath]); err != nil {
				return err
			}
			return readWalk(ctx, rec, argPath, args, func(target string) { readSum(ctx, rec, target) })
		},
		parse: parseDirUsage,
	}
}

const rawSum = "sum"

func readSum(ctx context.Context, rec *diagnostics.Recorder, target string) {
	rec.Run(ctx, rawSum, findCommand(sumFind, target, "-xdev", "-ignore_readdir_race", "-printf", sumFormat))
}

// sum is the total of a tree.
type sum struct {
	bytes, files int64
	newest       time.Time // zero when there is no file
	complete     bool
}

func (in readings) sum() (sum, error) {
	malformed := cannotTell(diagnostics.Failed, "%s: the totals are not understood", rawSum)
	if _, err := in.ran(rawSum); err != nil {
		return sum{}, err
	}
	found, err := in.walk(rawSum)
	if err != nil {
		return sum{}, err
	}
	parts := strings.Fields(string(found.data))
	if len(parts) != 3 {
		return sum{}, malformed
	}
	total, err1 := strconv.ParseInt(parts[0], 10, 64)
	files, err2 := strconv.ParseInt(parts[1], 10, 64)
	if err1 != nil || err2 != nil || total < 0 || files < 0 {
		return sum{}, malformed
	}
	s := sum{bytes: total, files: files, complete: found.complete}
	if parts[2] == "-" {
		return s, nil
	}
	at, ok := epoch(parts[2])
	if !ok {
		return sum{}, malformed
	}
	s.newest = at
	return s, nil
}

// epoch reads seconds since 1970 with an optional fraction, as find prints %T@.
func epoch(s string) (time.Time, bool) {
	whole, fraction, _ := strings.Cut(s, ".")
	sec, err := strconv.ParseInt(whole, 10, 64)
	// Years beyond 9999 cannot be written as RFC 3339.
	if err != nil || sec < math.MinInt32 || sec > 253402300799 {
		return time.Time{}, false
	}
	fraction = (fraction + "000000000")[:9]
	nsec, err := strconv.ParseUint(fraction, 10, 32)
	if err != nil {
		return time.Time{}, false
	}
	return time.Unix(sec, int64(nsec)).UTC(), true
}

func parseDirUsage(in readings) (diagnostics.Value, error) {
	if _, err := in.resolved(); err != nil {
		if isStatus(err, diagnostics.Absent) {
			return diagnostics.Value{"exists": false, "bytes": int64(0), "files": int64(0), "complete": true}, nil
		}
		return nil, err
	}
	s, err := in.sum()
	if err != nil {
		return nil, err
	}
	value := diagnostics.Value{"exists": true, "bytes": s.bytes, "files": s.files, "complete": s.complete}
	if !s.newest.IsZero() {
		value["newest_at"] = s.newest
	}
	return value, nil
}
