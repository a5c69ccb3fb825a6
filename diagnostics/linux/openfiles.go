package linux

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
)

// openFilesScript prints for each process how many files it has open, then what
// it may have. The mark says that those of process 1 may be seen.
const openFilesScript = `ls /proc/1/fd >/dev/null 2>&1 && echo all; find /proc/[0-9]*/fd -mindepth 1 -maxdepth 1 -printf '%h\n' 2>/dev/null | uniq -c; ` +
	`grep -asH '^Max open files' /proc/[0-9]*/limits; echo end`

// holderScript prints s for each socket of the process that it is given and o for
// each other file, none where links may not be read, and says who it and others are.
const holderScript = `find "/proc/$1/fd" -mindepth 1 -maxdepth 1 \( -lname 'socket:*' -printf s -o -lname '*' -printf o \) 2>/dev/null; echo; shift; grep -asH '' -- "$@"; echo end`

const (
	topHolders = 5
	rawCounts  = "counts"
	rawHolders = "holders"
)

func processFiles() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:  "process.files",
			Title: "Processes that have nearly as many files open as they may",
			Doc:   "The entries of /proc/PID/fd against \"Max open files\" of /proc/PID/limits (getrlimit(2) RLIMIT_NOFILE). Denied for those who may not look at others' files.",
			Outputs: []expr.Field{
				list("processes", "the 5 nearest to their limit, nearest first",
					integer("pid", "process"),
					str("comm", "name, at most 15 bytes"),
					str("unit", "its systemd unit, \"\" when it is in none"),
					integer("open", "files, sockets, pipes that it has open"),
					integer("limit", "how many it may (soft)"),
					integer("hard_limit", "up to where the limit may be raised without a restart"),
					double("used_percent", "open of limit"),
					optional(integer("sockets", "those of them that are sockets; known of the first only, where links may be read"))),
			},
			CostSeconds: 0.1,
		},
		read:  readOpenFiles,
		parse: parseOpenFiles,
	}
}

// holder is a process with its open files.
type holder struct{ pid, open, soft, hard int64 }

func (h holder) share() float64 { return percent(uint64(max(h.open, 0)), uint64(max(h.soft, 0))) }

func readOpenFiles(ctx context.Context, rec *diagnostics.Recorder, _ diagnostics.Args) error {
	cmd := command("sh", "-c", openFilesScript)
	cmd.MaxOutputBytes = maxProcNetBytes
	found, err := parseHolders(rec.Run(ctx, rawCounts, cmd).Data)
	if err != nil || len(found) == 0 {
		return nil //nolint:nilerr // Parse says so
	}
	argv := []string{"sh", "-c", holderScript, "sh", strconv.FormatInt(found[0].pid, 10)}
	for _, h := range found {
		argv = append(argv, fmt.Sprintf("/proc/%d/stat", h.pid), fmt.Sprintf("/proc/%d/cgroup", h.pid))
	}
	rec.Run(ctx, rawHolders, command(argv...))
	return nil
}

// parseHolders returns those nearest to their limit.
func parseHolders(data []byte) ([]holder, error) {
	text, whole := strings.CutSuffix(string(data), "end\n")
	if !whole {
		return nil, cannotTell(diagnostics.Failed, "%s: the output has not the form of this host's usual tools", rawCounts)
	}
	text, all := strings.CutPrefix(text, "all\n")
	if !all {
		return nil, cannotTell(diagnostics.Denied, "the files of process 1 are hidden, others' may be, too")
	}
	found := map[int64]holder{}
	for line := range strings.SplitSeq(text, "\n") {
		if h, ok := parseHolder(line, found); ok {
			found[h.pid] = h
		}
	}
	if found[1].open == 0 || found[1].soft == 0 {
		return nil, cannotTell(diagnostics.Failed, "%s: process 1 is missing", rawCounts)
	}
	byShare := func(a, b holder) int { return cmp.Or(cmp.Compare(b.share(), a.share()), cmp.Compare(a.pid, b.pid)) }
	sorted := slices.SortedFunc(maps.Values(found), byShare)
	return sorted[:min(len(sorted), topHolders)], nil
}

// parseHolder reads "    12 /proc/34/fd" or
// "/proc/34/limits:Max open files            1024                 524288               files".
func parseHolder(line string, known map[int64]holder) (holder, bool) {
	fields := strings.Fields(line)
	if file, _, ok := strings.Cut(line, ":"); ok && len(fields) >= 5 {
		pid, isLimits := procPID(file, "limits")
		h := known[pid]
		h.pid = pid
		h.soft, h.hard = limitNumber(fields[3]), limitNumber(fields[4])
		return h, isLimits && h.soft > 0
	}
	if len(fields) != 2 {
		return holder{}, false
	}
	count, err := strconv.ParseInt(fields[0], 10, 64)
	pid, isFD := procPID(fields[1], "fd")
	h := known[pid]
	h.pid, h.open = pid, count
	return h, isFD && err == nil && count > 0
}

// limitNumber reads a value of /proc/PID/limits; 0 when it is none.
func limitNumber(text string) int64 {
	if text == "unlimited" {
		return 1 << 62
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

func parseOpenFiles(in readings) (diagnostics.Value, error) {
	counts, err := in.output(rawCounts)
	if err != nil {
		return nil, err
	}
	found, err := parseHolders(counts)
	if err != nil {
		return nil, err
	}
	data, err := in.output(rawHolders)
	if err != nil {
		return nil, err
	}
	text, whole := strings.CutSuffix(string(data), "end\n")
	files, rest, parted := strings.Cut(text, "\n")
	if !whole || !parted || strings.Trim(files, "so") != "" {
		return nil, cannotTell(diagnostics.Failed, "%s: the output has not the form of this host's usual tools", rawHolders)
	}
	lines := grepLines([]byte(rest), '\n')
	stats, groups := byPID(lines, "stat"), byPID(lines, "cgroup")
	processes := []any{}
	for i, h := range found {
		stat, alive := parseStat(h.pid, strings.Join(stats[h.pid], "\n"))
		if !alive {
			continue // it ended meanwhile
		}
		one := map[string]any{
			"pid": h.pid, "comm": clip(stat.comm, maxCommand), "unit": cgroupUnit(groups[h.pid]),
			"open": h.open, "limit": h.soft, "hard_limit": h.hard, "used_percent": h.share(),
		}
		if i == 0 && files != "" {
			one["sockets"] = int64(strings.Count(files, "s"))
		}
		processes = append(processes, one)
	}
	return diagnostics.Value{"processes": processes}, nil
}
