package linux

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/fault"
)

// cmdlinesScript prints the arguments of every process, each as
// "/proc/PID/cmdline:ARGUMENT" ended by NUL. Kernel threads and zombies have none.
const cmdlinesScript = `exec grep -azH '' /proc/[0-9]*/cmdline 2>/dev/null`

const (
	maxCmdlineBytes = 8 << 20
	maxPIDFileBytes = 4096
	rawCmdlines     = "cmdlines"
	rawPIDFile      = "pid_file"
)

func processMatch() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:  "process.match",
			Title: "Whether a program runs, and whether its pid file is stale",
			Doc:   "/proc/PID/cmdline of every process, and the pid file. A zombie does not run. Denied when the processes of others are hidden (hidepid of proc(5)).",
			Inputs: []expr.Field{
				str(argPIDFile, "path of the pid file; or \"\""),
				str(argMatch, "JSON array: the arguments with which the process begins, the program first; or \"\""),
			},
			Outputs: []expr.Field{
				boolean("running", "a process with these first arguments runs; without match: the process of the pid file"),
				list("pids", "its pids, lowest first"),
				boolean("pid_file_exists", "the pid file is there"),
				integer("pid_file_pid", "the pid in it; 0 when there is none"),
				boolean("stale_pid_file", "the pid file is there, and its pid is no running process with these arguments"),
			},
			CostSeconds: 0.1,
		},
		read:  readMatch,
		parse: parseMatched,
	}
}

func readMatch(ctx context.Context, rec *diagnostics.Recorder, args diagnostics.Args) error {
	pidFile := args[argPIDFile]
	match, err := parseMatch(args[argMatch])
	switch {
	case err != nil:
		return err
	case match == nil && pidFile == "":
		return fault.New(fault.Invalid, "neither a pid file nor arguments to match").WithField(argMatch)
	case pidFile != "":
		if err := checkPath(argPIDFile, pidFile); err != nil {
			return err
		}
		if err := checkNoSecret(argPIDFile, pidFile); err != nil {
			return err
		}
		rec.File(ctx, rawPIDFile, pidFile, maxPIDFileBytes)
	}
	cmd := command("sh", "-c", cmdlinesScript)
	cmd.MaxOutputBytes = maxCmdlineBytes
	rec.Run(ctx, rawCmdlines, cmd)
	return nil
}

// cmdlines returns the arguments of every process, or why they do not show all.
func (in readings) cmdlines() (map[int64][]string, error) {
	raw, err := in.ran(rawCmdlines) // status 2 says that a process ended meanwhile
	if err != nil {
		return nil, err
	}
	return allProcesses(byPID(grepLines(raw.Data, 0), "cmdline"))
}

// allProcesses refuses a list of processes without the first one. It always
// runs and has arguments, so that the others may be hidden, too.
func allProcesses[T any](list map[int64]T) (map[int64]T, error) {
	_, hasInit := list[1]
	switch {
	case len(list) == 0:
		return nil, cannotTell(diagnostics.Failed, "no process could be read")
	case !hasInit:
		return nil, cannotTell(diagnostics.Denied, "process 1 is hidden, others may be, too")
	}
	return list, nil
}

func parseMatched(in readings) (diagnostics.Value, error) {
	match, err := parseMatch(in.args[argMatch])
	if err != nil {
		return nil, err
	}
	argvs, err := in.cmdlines()
	if err != nil {
		return nil, err
	}
	exists, filed, err := in.pidFile()
	if err != nil {
		return nil, err
	}
	begins := func(pid int64) bool {
		argv, runs := argvs[pid]
		return runs && len(argv) >= len(match) && slices.Equal(argv[:len(match)], match)
	}
	var pids []int64
	for pid := range argvs {
		if begins(pid) && (match != nil || pid == filed) {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	names := []any{}
	for _, pid := range pids {
		names = append(names, strconv.FormatInt(pid, 10))
	}
	return diagnostics.Value{
		"running": len(pids) > 0, "pids": names,
		"pid_file_exists": exists, "pid_file_pid": filed, "stale_pid_file": exists && !begins(filed),
	}, nil
}

// pidFile returns whether the pid file is there, and the pid in it.
func (in readings) pidFile() (exists bool, pid int64, err error) {
	if in.args[argPIDFile] == "" {
		return false, 0, nil
	}
	raw, err := in.whole(rawPIDFile)
	switch {
	case isStatus(err, diagnostics.Absent):
		return false, 0, nil
	case err != nil && !isStatus(err, diagnostics.Truncated): // the pid is in front
		return false, 0, err
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(raw.Data)), "\n") // PostgreSQL writes more lines
	pid, err = strconv.ParseInt(strings.TrimSpace(first), 10, 32)
	if err != nil || pid < 0 {
		return true, 0, nil //nolint:nilerr // no number is no pid
	}
	return true, pid, nil
}
