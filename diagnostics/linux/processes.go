package linux

import (
	"context"
	"fmt"
	"maps"
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
	maxStatBytes    = 1024
	rawCmdlines     = "cmdlines"
	rawPIDFile      = "pid_file"
	rawPIDState     = "pid_file_process"
)

func processMatch() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:  "process.match",
			Title: "Whether a program runs, and whether its pid file is stale",
			Doc: "/proc/PID/cmdline of every process, the pid file, and /proc/PID/stat of the process that it names. A zombie does not run. " +
				"A script matches by its own path also where its interpreter runs it. Cannot tell where a process lives that could be the one, " +
				"that of the pid file above all. Denied when the processes of others are hidden (hidepid of proc(5)).",
			Inputs: []expr.Field{
				str(argPIDFile, "path of the pid file; or \"\""),
				str(argMatch, "JSON array: the arguments with which the process begins, the program first; or \"\""),
			},
			Outputs: []expr.Field{
				boolean("running", "a process with these first arguments runs; without match: the process of the pid file is alive"),
				list("pids", "its pids, lowest first"),
				boolean("pid_file_exists", "the pid file is there"),
				integer("pid_file_pid", "the pid in it; 0 when there is none"),
				boolean("pid_file_alive", "the process of the pid file is alive, whatever its arguments"),
				boolean("stale_pid_file", "the pid file is there, and no process has its pid; cannot tell when one has it that has other arguments"),
			},
			CostSeconds: 0.1,
		},
		read:  readMatch,
		parse: parseMatched,
	}
}

func readMatch(ctx context.Context, rec *diagnostics.Recorder, args diagnostics.Args) error {
	pidFile := args[argPIDFile]
	var filed int64
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
		filed = firstPID(rec.File(ctx, rawPIDFile, pidFile, maxPIDFileBytes).Data)
	}
	cmd := command("sh", "-c", cmdlinesScript)
	cmd.MaxOutputBytes = maxCmdlineBytes
	rec.Run(ctx, rawCmdlines, cmd)
	if filed > 0 { // last: a process that began meanwhile is then alive and unlike, not gone
		rec.File(ctx, rawPIDState, fmt.Sprintf("/proc/%d/stat", filed), maxStatBytes)
	}
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
	file, err := in.pidFile()
	if err != nil {
		return nil, err
	}
	running, pids := isRunning(argvs, match, file)
	return diagnostics.Value{
		"running": running, "pids": pids,
		"pid_file_exists": file.exists, "pid_file_pid": file.pid, "pid_file_alive": file.alive,
		"stale_pid_file": isStale(argvs, match, file),
	}, nil
}

// isRunning returns true, false or an expr.Unknown, and the pids of the
// processes that surely are the one asked for. Where one lives that could be it
// nothing may be concluded: who starts a second one breaks both.
func isRunning(argvs map[int64][]string, match []string, file pidFile) (running any, pids []any) {
	pids = []any{}
	if match == nil {
		if file.alive == true {
			pids = append(pids, strconv.FormatInt(file.pid, 10))
		}
		return file.alive, pids
	}
	var perhaps []int64
	for _, pid := range slices.Sorted(maps.Keys(argvs)) {
		switch compare(argvs[pid], match) {
		case itself:
			pids = append(pids, strconv.FormatInt(pid, 10))
		case maybe:
			perhaps = append(perhaps, pid)
		case another:
		}
	}
	switch {
	case len(pids) > 0:
		return true, pids
	case file.alive == true:
		return expr.Unknown{Why: unlike("the pid file names process", file.pid, argvs, match)}, pids
	case len(perhaps) > 0:
		return expr.Unknown{Why: unlike("it could be process", perhaps[0], argvs, match)}, pids
	}
	return file.alive, pids // false, or nobody can say
}

// isStale returns true, false or an expr.Unknown: a pid file is surely stale
// only when no process at all has its pid.
func isStale(argvs map[int64][]string, match []string, file pidFile) any {
	switch alive, told := file.alive.(bool); {
	case !told:
		return file.alive
	case !file.exists || !alive:
		return file.exists
	case match != nil && compare(argvs[file.pid], match) != itself:
		return expr.Unknown{Why: unlike("the pid file names process", file.pid, argvs, match)}
	}
	return false
}

// unlike says what was seen and what was expected.
func unlike(which string, pid int64, argvs map[int64][]string, match []string) string {
	seen := "which is alive and shows no arguments"
	if argv := argvs[pid]; len(argv) > 0 {
		seen = "which runs as " + showArgv(argv)
	}
	return fmt.Sprintf("%s %d, %s; its match is %s", which, pid, seen, showArgv(match))
}

// showArgv quotes arguments for people, and cuts what nobody would read.
func showArgv(argv []string) string {
	const most = 300
	text := []rune(fmt.Sprintf("%q", argv))
	if len(text) > most {
		return string(text[:most]) + "…"
	}
	return string(text)
}

// pidFile is what the pid file says, and what is known of the process that it
// names: alive is true, false or an expr.Unknown.
type pidFile struct {
	exists bool
	pid    int64 // 0 when there is none
	alive  any
}

// pidFile reads the pid file, and whether any process has its pid. A file
// without a pid, as a full disk leaves it, says nothing about any process.
func (in readings) pidFile() (pidFile, error) {
	if in.args[argPIDFile] == "" {
		return pidFile{alive: false}, nil
	}
	raw, err := in.whole(rawPIDFile)
	switch {
	case isStatus(err, diagnostics.Absent):
		return pidFile{alive: false}, nil
	case err != nil && !isStatus(err, diagnostics.Truncated): // the pid is in front
		return pidFile{}, err
	}
	pid := firstPID(raw.Data)
	if pid == 0 {
		return pidFile{exists: true, alive: expr.Unknown{Why: "there is no process id in the pid file"}}, nil
	}
	alive, err := in.alive()
	return pidFile{exists: true, pid: pid, alive: alive}, err
}

// firstPID returns the pid in the first line of a pid file (PostgreSQL writes
// more lines), or 0.
func firstPID(data []byte) int64 {
	first, _, _ := strings.Cut(strings.TrimSpace(string(data)), "\n")
	pid, err := strconv.ParseInt(strings.TrimSpace(first), 10, 32)
	if err != nil || pid < 0 {
		return 0
	}
	return pid
}

// alive reports what /proc/PID/stat of the pid file's process says, see proc(5):
// "PID (NAME) STATE …", where NAME may hold anything. A zombie (Z) and what is
// about to vanish (X) run no more.
func (in readings) alive() (bool, error) {
	raw, err := in.whole(rawPIDState)
	switch {
	case isStatus(err, diagnostics.Absent):
		return false, nil
	case err != nil:
		return false, err
	}
	text := string(raw.Data)
	name := strings.LastIndexByte(text, ')')
	state := strings.TrimSpace(text[name+1:])
	if name < 0 || state == "" {
		return false, cannotTell(diagnostics.Failed, "%s: it shows no state", rawPIDState)
	}
	return !strings.ContainsRune("ZXx", rune(state[0])), nil
}
