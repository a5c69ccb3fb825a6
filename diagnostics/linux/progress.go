package linux

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
)

// progressScript prints twice, one second apart, what a process has read,
// written and used.
const progressScript = `p() { echo sample; grep -asH '' "/proc/$1/io" "/proc/$1/stat" /proc/uptime; }; p "$1"; sleep 1; p "$1"; echo end`

const argPID = "pid"

func processProgress() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:   "process.progress",
			Title:  "Whether a process moves data, or only uses a processor",
			Doc:    "/proc/PID/io and stat twice, one second apart, see proc_pid_io(5): bytes of read(2), write(2) and their like, to files, pipes and sockets. Absent when the process is gone, denied to other ordinary users.",
			Inputs: []expr.Field{required(str(argPID, "the process"))},
			Outputs: []expr.Field{
				size("read", "bytes that it read within the second, from wherever"),
				size("written", "bytes that it wrote"),
				integer("calls", "calls of read and write"),
				double("cpu_seconds", "processor seconds that it used meanwhile"),
				integer("age_seconds", "since it was started"),
			},
			CostSeconds: 1.1,
		},
		read: func(ctx context.Context, rec *diagnostics.Recorder, args diagnostics.Args) error {
			if err := checkPID(args[argPID]); err != nil {
				return err
			}
			if rec.Stat(ctx, rawProcess, "/proc/"+args[argPID]).Status == diagnostics.Absent {
				return nil
			}
			rec.Run(ctx, rawSamples, command("sh", "-c", progressScript, "sh", args[argPID]))
			return nil
		},
		parse: parseProgress,
	}
}

const rawProcess = "process"

// checkPID refuses what is no number of a process.
func checkPID(text string) error {
	pid, err := strconv.ParseInt(text, 10, 32)
	if err != nil || pid < 1 || strconv.FormatInt(pid, 10) != text {
		return fault.New(fault.Invalid, "%q is no number of a process", text).WithField(argPID)
	}
	return nil
}

// worked is what a process had done at one moment.
type worked struct {
	counts map[string]uint64 // of /proc/PID/io
	stat   processStat
	uptime float64
}

func parseProgress(in readings) (diagnostics.Value, error) {
	if err := checkPID(in.args[argPID]); err != nil {
		return nil, err
	}
	if _, err := in.info(rawProcess); err != nil {
		return nil, err
	}
	data, err := in.output(rawSamples)
	if err != nil {
		return nil, err
	}
	parts, err := sampleParts(data, 2)
	if err != nil {
		return nil, err
	}
	before, ok1 := in.worked(parts[0])
	after, ok2 := in.worked(parts[1])
	switch {
	case !ok1 || !ok2:
		return nil, cannotTell(diagnostics.Failed, "the process ended, or may not be looked at")
	case before.stat.startedAt != after.stat.startedAt:
		return nil, cannotTell(diagnostics.Failed, "another process has its number now")
	}
	more := func(key string) uint64 { return counted(before.counts[key], after.counts[key]) }
	ticks := counted(before.stat.user, after.stat.user) + counted(before.stat.system, after.stat.system)
	return diagnostics.Value{
		"read": toInt(more("rchar")), "written": toInt(more("wchar")), "calls": toInt(more("syscr") + more("syscw")),
		"cpu_seconds": float64(ticks) / userHZ, "age_seconds": max(int64(after.uptime)-toInt(after.stat.startedAt)/userHZ, 0),
	}, nil
}

func (in readings) worked(part []byte) (worked, bool) {
	w := worked{counts: map[string]uint64{}}
	pid, _ := strconv.ParseInt(in.args[argPID], 10, 32)
	hasUptime := false
	var stat []string // a name may hold a line feed
	for _, l := range grepLines(part, '\n') {
		switch l.file {
		case fmt.Sprintf("/proc/%d/io", pid):
			key, value, _ := strings.Cut(l.text, ": ")
			if n := numbers([]string{value}, 10); n != nil {
				w.counts[key] = n[0]
			}
		case fmt.Sprintf("/proc/%d/stat", pid):
			stat = append(stat, l.text)
		case "/proc/uptime":
			up, err := firstNumber(l.text)
			w.uptime, hasUptime = up, err == nil
		}
	}
	var hasStat bool
	w.stat, hasStat = parseStat(pid, strings.Join(stat, "\n"))
	_, hasRead := w.counts["rchar"]
	_, hasWrite := w.counts["syscw"]
	return w, hasStat && hasUptime && hasRead && hasWrite
}
