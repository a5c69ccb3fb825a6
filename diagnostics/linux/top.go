package linux

import (
	"bytes"
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

// topScript prints the page size, and twice, one second apart, the uptime and
// /proc/PID/stat of every process. The lines of grep begin with "/proc/", so
// that no name of a process can pass for one of the others.
const topScript = `getconf PAGESIZE; s() { cat /proc/uptime; grep -aH '' /proc/[0-9]*/stat 2>/dev/null; }; s; sleep 1; s; echo end`

const (
	topByCPU     = 10 // places for those that used most of the processors
	topProcesses = 20
	maxTopBytes  = 16 << 20
	userHZ       = 100 // USER_HZ of every architecture Linux is still made for, asm-generic/param.h
	maxCommand   = 500
	rawSamples   = "samples"
)

func processTop() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:  "process.top",
			Title: "Processes that use most of the processors and the memory",
			Doc:   "/proc/PID/stat of every process twice, one second apart, see proc(5). Denied when the processes of others are hidden (hidepid).",
			Outputs: []expr.Field{
				list("processes", "at most 20: 10 by processor time in the sample, the rest by memory; most processor time first",
					integer("pid", "process"),
					integer("ppid", "its parent"),
					str("state", "R, S, D, Z, T, I, ..."),
					str("comm", "name, at most 15 bytes"),
					str("command", "arguments, parted by spaces, cut at 500 bytes; \"\" for kernel threads"),
					double("user_seconds", "processor seconds in user mode per second of the sample; 1.0 is one processor"),
					double("system_seconds", "the same in the kernel"),
					size("rss", "bytes resident, shared ones included"),
					integer("threads", "how many")),
				integer("d_state", "processes in uninterruptible sleep"),
				integer("zombies", "processes that ended and were not waited for"),
			},
			CostSeconds: 1.2,
		},
		read:  readTop,
		parse: parseTop,
	}
}

func readTop(ctx context.Context, rec *diagnostics.Recorder, _ diagnostics.Args) error {
	cmd := command("sh", "-c", topScript)
	cmd.MaxOutputBytes = maxTopBytes
	raw := rec.Run(ctx, rawSamples, cmd)
	sample, err := parseSamples(raw.Data)
	if err != nil {
		return nil //nolint:nilerr // Parse says so
	}
	argv := []string{"grep", "-azH", "", "--"}
	for _, p := range sample.top() {
		argv = append(argv, fmt.Sprintf("/proc/%d/cmdline", p.pid))
	}
	rec.Run(ctx, rawCmdlines, command(argv...))
	return nil
}

// processStat is what a line of /proc/PID/stat says.
type processStat struct {
	pid, ppid    int64
	comm, state  string
	user, system uint64 // ticks since it began
	threads      int64
	startedAt    uint64 // ticks since boot; tells a process from the next of its pid
	pages        uint64
}

// sampled is a process with what it used between the samples.
type sampled struct {
	processStat
	userSeconds, systemSeconds float64
	rss                        uint64
}

type samples struct {
	processes map[int64]sampled
}

// parseStat reads "PID (COMM) S PPID …". The name may hold any byte, also
// parentheses; it ends at the last one.
func parseStat(pid int64, text string) (processStat, bool) {
	open, shut := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')')
	if open < 0 || shut < open {
		return processStat{}, false
	}
	rest := strings.Fields(text[shut+1:]) // field 3 of proc(5) is rest[0]
	if len(rest) < 22 || strings.TrimSpace(text[:open]) != strconv.FormatInt(pid, 10) {
		return processStat{}, false
	}
	s := processStat{pid: pid, comm: text[open+1 : shut], state: rest[0]}
	ok := true
	signed := func(field int) int64 {
		n, err := strconv.ParseInt(rest[field-3], 10, 64)
		ok = ok && err == nil
		return n
	}
	s.ppid, s.threads = signed(4), signed(20)
	s.user, s.system = uint64(max(signed(14), 0)), uint64(max(signed(15), 0))
	s.startedAt, s.pages = uint64(max(signed(22), 0)), uint64(max(signed(24), 0))
	return s, ok
}

// parseSamples reads the output of topScript.
func parseSamples(data []byte) (samples, error) {
	malformed := cannotTell(diagnostics.Failed, "%s: the output has not the form of this host's usual tools", rawSamples)
	var plain []string
	var lines [2][]grepLine
	for line := range bytes.Lines(data) {
		text := strings.TrimSuffix(string(line), "\n")
		switch {
		case !strings.HasPrefix(text, "/proc/"):
			plain = append(plain, text)
		case len(plain) < 2 || len(plain) > 3:
			return samples{}, malformed
		default:
			lines[len(plain)-2] = append(lines[len(plain)-2], grepLines(line, '\n')...)
		}
	}
	if len(plain) != 4 || plain[3] != "end" {
		return samples{}, malformed
	}
	pageSize, err := strconv.ParseUint(plain[0], 10, 32)
	before, err1 := firstNumber(plain[1])
	after, err2 := firstNumber(plain[2])
	if err != nil || err1 != nil || err2 != nil || after <= before {
		return samples{}, malformed
	}
	old, err := parseStats(lines[0])
	if err != nil {
		return samples{}, err
	}
	now, err := parseStats(lines[1])
	if err != nil {
		return samples{}, err
	}
	s := samples{processes: map[int64]sampled{}}
	for pid, p := range now {
		q := sampled{processStat: p, rss: times(p.pages, pageSize)}
		if o, ok := old[pid]; ok && o.startedAt == p.startedAt && p.user >= o.user && p.system >= o.system {
			q.userSeconds = float64(p.user-o.user) / userHZ / (after - before)
			q.systemSeconds = float64(p.system-o.system) / userHZ / (after - before)
		}
		s.processes[pid] = q
	}
	return s, nil
}

// firstNumber is the uptime in the line of /proc/uptime.
func firstNumber(line string) (float64, error) {
	first, _, _ := strings.Cut(line, " ")
	n, err := strconv.ParseFloat(first, 64)
	if err == nil && (n < 0 || n > 1e12 || n != n) {
		err = strconv.ErrRange
	}
	return n, err
}

func parseStats(lines []grepLine) (map[int64]processStat, error) {
	stats := map[int64]processStat{}
	for pid, texts := range byPID(lines, "stat") {
		s, ok := parseStat(pid, strings.Join(texts, "\n"))
		if !ok {
			return nil, cannotTell(diagnostics.Failed, "%s: the line of process %d is not understood", rawSamples, pid)
		}
		stats[pid] = s
	}
	return allProcesses(stats)
}

// top returns the processes that the fact names.
func (s samples) top() []sampled {
	all := slices.Collect(maps.Values(s.processes))
	byCPU := func(a, b sampled) int {
		return cmp.Or(cmp.Compare(b.userSeconds+b.systemSeconds, a.userSeconds+a.systemSeconds), cmp.Compare(b.rss, a.rss), cmp.Compare(a.pid, b.pid))
	}
	slices.SortFunc(all, byCPU)
	rest := all[min(topByCPU, len(all)):]
	slices.SortFunc(rest, func(a, b sampled) int { return cmp.Or(cmp.Compare(b.rss, a.rss), cmp.Compare(a.pid, b.pid)) })
	top := all[:min(topProcesses, len(all))]
	slices.SortFunc(top, byCPU)
	return top
}

func parseTop(in readings) (diagnostics.Value, error) {
	data, err := in.output(rawSamples)
	if err != nil {
		return nil, err
	}
	sample, err := parseSamples(data)
	if err != nil {
		return nil, err
	}
	raw, err := in.ran(rawCmdlines)
	if err != nil {
		return nil, err
	}
	if len(raw.Data) == 0 && raw.ExitCode != 1 { // grep(1): 1 says that none of them has arguments
		return nil, cannotTell(diagnostics.Failed, "%s: %s", rawCmdlines, unexpected(raw))
	}
	commands := byPID(grepLines(raw.Data, 0), "cmdline")
	processes := []any{}
	for _, p := range sample.top() {
		processes = append(processes, map[string]any{
			"pid": p.pid, "ppid": p.ppid, "state": p.state, "comm": clip(p.comm, maxCommand),
			"command":      clip(strings.Join(commands[p.pid], " "), maxCommand),
			"user_seconds": p.userSeconds, "system_seconds": p.systemSeconds, "rss": toInt(p.rss), "threads": p.threads,
		})
	}
	var blocked, zombies int64
	for _, p := range sample.processes {
		switch p.state {
		case "D":
			blocked++
		case "Z":
			zombies++
		}
	}
	return diagnostics.Value{"processes": processes, "d_state": blocked, "zombies": zombies}, nil
}
