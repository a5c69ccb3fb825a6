package linux

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
)

const (
	deletedMark    = " (deleted)" // what d_path() adds to the name of an unlinked file, see proc(5)
	maxDeletedOpen = 200          // descriptors that are looked at
	oAppend        = 0o2000       // O_APPEND in fdinfo, asm-generic/fcntl.h
)

// fdStatFormat makes stat(1) print device, inode, size in blocks of 512 bytes,
// number of names, and the path asked for, which is ours.
const fdStatFormat = `%d %i %b %h %n\0`

const (
	rawDeleted = "deleted"
	rawStats   = "stats"
	rawDetails = "details"
)

func diskDeletedOpen() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:  "disk.deleted_open",
			Title: "Deleted files that processes keep open",
			Doc: "/proc/PID/fd, stat(2) through it, and /proc/PID/fdinfo; as lsof +L1. Only files on the device of the path. " +
				"Files that are only mapped into memory, and not open, are not seen.",
			Inputs: mountInput("a mount point, or any path on the file system"),
			Outputs: []expr.Field{
				list("files", "by pid and descriptor",
					integer("pid", "who has it open"),
					str("comm", "name of the process, /proc/PID/comm"),
					str("unit", "systemd unit of the process, \"\" when it is in none"),
					integer("fd", "descriptor"),
					str("path", "name that it had"),
					size("size", "bytes allocated"),
					boolean("append", "opened with O_APPEND: only then may it be truncated in place")),
				size("bytes", "allocated by all of them, each file once"),
				boolean("complete", "the descriptors of every process could be read; else there may be more"),
			},
			CostSeconds: 0.5,
		},
		read:  readDeletedOpen,
		parse: parseDeletedOpen,
	}
}

func readDeletedOpen(ctx context.Context, rec *diagnostics.Recorder, args diagnostics.Args) error {
	if err := checkPath(argMount, args[argMount]); err != nil {
		return err
	}
	if raw := rec.Stat(ctx, rawPath, args[argMount]); raw.Status != diagnostics.OK {
		return nil
	}
	raw := rec.Run(ctx, rawDeleted, findCommand(writersFind,
		"-ignore_readdir_race", "-type", "l", "-lname", "*"+deletedMark, "-printf", `%p %l\0`))
	open, _ := parseDeleted(raw.Data)
	statArgs := []string{"stat", "-L", "--printf", fdStatFormat, "--", args[argMount]}
	details := []string{"grep", "-aH", ""}
	for _, o := range open {
		statArgs = append(statArgs, o.link())
		details = append(details, o.proc("comm"), o.proc("cgroup"), o.proc("fdinfo/"+strconv.FormatInt(o.fd, 10)))
	}
	rec.Run(ctx, rawStats, command(statArgs...))
	if len(open) > 0 {
		rec.Run(ctx, rawDetails, command(details...))
	}
	return nil
}

// openFile is a descriptor of a process, and the name of what it leads to.
type openFile struct {
	pid, fd int64
	path    string
}

func (o openFile) proc(name string) string {
	return "/proc/" + strconv.FormatInt(o.pid, 10) + "/" + name
}

func (o openFile) link() string { return o.proc("fd/" + strconv.FormatInt(o.fd, 10)) }

// parseDeleted reads records "/proc/PID/fd/N NAME (deleted)", each ended by
// NUL; more says that there are more than are looked at.
func parseDeleted(data []byte) (open []openFile, more bool) {
	for record := range bytes.SplitSeq(data, []byte{0}) {
		link, name, ok := strings.Cut(string(record), " ")
		path, deleted := strings.CutSuffix(name, deletedMark)
		parts := strings.Split(link, "/")
		if !ok || !deleted || len(parts) != 5 || parts[0] != "" || parts[1] != "proc" || parts[3] != "fd" {
			continue
		}
		pid, err1 := strconv.ParseInt(parts[2], 10, 32)
		fd, err2 := strconv.ParseInt(parts[4], 10, 32)
		if err1 != nil || err2 != nil || pid <= 0 || fd < 0 {
			continue
		}
		if len(open) == maxDeletedOpen {
			return open, true
		}
		open = append(open, openFile{pid: pid, fd: fd, path: path})
	}
	return open, false
}

// fdStat is a record of fdStatFormat.
type fdStat struct {
	dev, inode, names string
	bytes             int64
}

func parseFDStats(data []byte) map[string]fdStat {
	stats := map[string]fdStat{}
	for record := range bytes.SplitSeq(data, []byte{0}) {
		parts := strings.SplitN(string(record), " ", 5)
		if len(parts) < 5 {
			continue
		}
		if blocks, err := strconv.ParseUint(parts[2], 10, 64); err == nil {
			stats[parts[4]] = fdStat{dev: parts[0], inode: parts[1], names: parts[3], bytes: toInt(times(blocks, 512))}
		}
	}
	return stats
}

func parseDeletedOpen(in readings) (diagnostics.Value, error) {
	if _, err := in.info(rawPath); err != nil {
		return nil, err
	}
	found, err := in.walk(rawDeleted)
	if err != nil {
		return nil, err
	}
	raw, err := in.ran(rawStats)
	if err != nil {
		return nil, err
	}
	stats := parseFDStats(raw.Data)
	place, ok := stats[in.args[argMount]]
	if !ok {
		return nil, cannotTell(diagnostics.Failed, "%s: %s", rawStats, unexpected(raw))
	}
	open, more := parseDeleted(found.data)
	open = slices.DeleteFunc(open, func(o openFile) bool {
		s, ok := stats[o.link()]
		return !ok || s.dev != place.dev || s.names != "0" // closed meanwhile, elsewhere, or a file of such a name
	})
	value := diagnostics.Value{"files": []any{}, "bytes": int64(0), "complete": found.complete && !more}
	if len(open) == 0 {
		return value, nil
	}
	raw, err = in.ran(rawDetails)
	if err != nil {
		return nil, err
	}
	lines := grepLines(raw.Data, '\n')
	if len(lines) == 0 && raw.ExitCode != 2 { // 2: all of the processes ended meanwhile
		return nil, cannotTell(diagnostics.Failed, "%s: %s", rawDetails, unexpected(raw))
	}
	describe(value, open, stats, lines)
	return value, nil
}

// describe adds the files to the value, but for those of processes that ended
// meanwhile.
func describe(value diagnostics.Value, open []openFile, stats map[string]fdStat, lines []grepLine) {
	comms, cgroups := byPID(lines, "comm"), byPID(lines, "cgroup")
	slices.SortFunc(open, func(a, b openFile) int {
		return cmp.Or(cmp.Compare(a.pid, b.pid), cmp.Compare(a.fd, b.fd))
	})
	var total uint64
	seen := map[string]bool{}
	files := []any{}
	for _, o := range open {
		s, comm := stats[o.link()], comms[o.pid]
		if comm == nil {
			continue
		}
		if !seen[s.inode] {
			seen[s.inode] = true
			total += uint64(max(s.bytes, 0))
		}
		files = append(files, map[string]any{
			"pid": o.pid, "comm": strings.Join(comm, "\n"), "unit": cgroupUnit(cgroups[o.pid]),
			"fd": o.fd, "path": o.path, "size": s.bytes, "append": opensToAppend(lines, o),
		})
	}
	value["files"], value["bytes"] = files, toInt(total)
}

// opensToAppend reads "flags:\t0102001", octal, of /proc/PID/fdinfo/N. What
// could not be read is not open to append: nobody may truncate it then.
func opensToAppend(lines []grepLine, o openFile) bool {
	file := o.proc("fdinfo/" + strconv.FormatInt(o.fd, 10))
	for _, l := range lines {
		if flags, ok := strings.CutPrefix(l.text, "flags:"); ok && l.file == file {
			n, err := strconv.ParseUint(strings.TrimSpace(flags), 8, 32)
			return err == nil && n&oAppend != 0
		}
	}
	return false
}
