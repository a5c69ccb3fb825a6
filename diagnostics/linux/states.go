package linux

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
)

// statsScript prints /proc/PID/stat of every process; lingerScript looks a
// second later at the files that it is given.
const (
	statsScript  = `exec grep -asH '' /proc/[0-9]*/stat`
	lingerScript = `sleep 1; grep -asH '' -- "$@"; echo end`
)

const (
	maxLingering = 500 // processes that are looked at again
	maxNamed     = 20  // that the fact names, of each sort
	rawAllStats  = "stats"
	rawLinger    = "linger"
)

func processStates() probe {
	person := func(more ...expr.Field) []expr.Field {
		return append([]expr.Field{
			integer("pid", "process"), str("comm", "name, at most 15 bytes"), str("unit", "its systemd unit, \"\" when it is in none"),
		}, more...)
	}
	return probe{
		spec: diagnostics.Spec{
			Name:  "process.states",
			Title: "Processes that are blocked, stopped or not collected, and stay so",
			Doc: "/proc/PID/stat of every process, and a second later again of those that are in a state D, T, t or Z (proc_pid_stat(5)), with /proc/PID/wchan and cgroup. " +
				"Threads of the kernel, and parents that wait for vfork(2), are left out. Only the first thread of a process is looked at.",
			Outputs: []expr.Field{
				list("blocked", "at most 20 that stayed in uninterruptible sleep and used no processor", person(
					str("waits_in", "the kernel function in which it waits; \"\" when the agent may not know"))...),
				integer("blocked_count", "all of them"),
				list("stopped", "at most 20 that are stopped by a signal or a debugger", person(
					boolean("traced", "a debugger holds it"))...),
				integer("zombies", "processes that ended and were not waited for within that second"),
				list("parents", "at most 20 whose children they are, most first", person(
					integer("zombies", "how many children of it"))...),
			},
			CostSeconds: 0.05,
		},
		read:  readStates,
		parse: parseStates,
	}
}

// lingering are the processes of the first look that deserve a second one.
func lingering(all map[int64]processStat) []processStat {
	var found []processStat
	for _, pid := range slices.Sorted(maps.Keys(all)) {
		p := all[pid]
		ofKernel := p.pid == 2 || p.ppid == 2 // kthreadd and its children
		if strings.Contains("DTtZ", p.state) && p.state != "" && !ofKernel && len(found) < maxLingering {
			found = append(found, p)
		}
	}
	return found
}

func readStates(ctx context.Context, rec *diagnostics.Recorder, _ diagnostics.Args) error {
	cmd := command("sh", "-c", statsScript)
	cmd.MaxOutputBytes = maxTopBytes
	raw := rec.Run(ctx, rawAllStats, cmd)
	all, err := parseStats(grepLines(raw.Data, '\n'))
	again := lingering(all)
	if err != nil || len(again) == 0 {
		return nil //nolint:nilerr // Parse says so
	}
	argv := []string{"sh", "-c", lingerScript, "sh"}
	parents := map[int64]bool{}
	for _, p := range again {
		argv = append(argv, fmt.Sprintf("/proc/%d/stat", p.pid))
		if p.state != "Z" {
			argv = append(argv, fmt.Sprintf("/proc/%d/wchan", p.pid), fmt.Sprintf("/proc/%d/cgroup", p.pid))
		} else if !parents[p.ppid] {
			parents[p.ppid] = true
			argv = append(argv, fmt.Sprintf("/proc/%d/cgroup", p.ppid))
		}
	}
	rec.Run(ctx, rawLinger, command(argv...))
	return nil
}

func parseStates(in readings) (diagnostics.Value, error) {
	raw, err := in.ran(rawAllStats) // status 2 says that a process ended meanwhile
	if err != nil {
		return nil, err
	}
	if len(raw.Data) > 0 && raw.Data[len(raw.Data)-1] != '\n' {
		return nil, cannotTell(diagnostics.Truncated, "%s: the last line has no end", rawAllStats)
	}
	first, err := parseStats(grepLines(raw.Data, '\n'))
	if err != nil {
		return nil, err
	}
	value := diagnostics.Value{"blocked": []any{}, "blocked_count": int64(0), "stopped": []any{}, "zombies": int64(0), "parents": []any{}}
	again := lingering(first)
	if len(again) == 0 {
		return value, nil
	}
	data, err := in.output(rawLinger)
	if err != nil {
		return nil, err
	}
	body, whole := strings.CutSuffix(string(data), "end\n")
	if !whole {
		return nil, cannotTell(diagnostics.Failed, "%s: the output has not the form of this host's usual tools", rawLinger)
	}
	addStates(value, first, again, grepLines([]byte(body), '\n'))
	return value, nil
}

// addStates names those that are a second later what they were before.
func addStates(value diagnostics.Value, all map[int64]processStat, again []processStat, lines []grepLine) {
	stats, waits, groups := byPID(lines, "stat"), byPID(lines, "wchan"), byPID(lines, "cgroup")
	named := func(pid int64) map[string]any {
		return map[string]any{"pid": pid, "comm": clip(all[pid].comm, maxCommand), "unit": cgroupUnit(groups[pid])}
	}
	var blocked, stopped []any
	children := map[int64]int64{}
	for _, p := range again {
		now, ok := parseStat(p.pid, strings.Join(stats[p.pid], "\n"))
		if !ok || now.startedAt != p.startedAt || now.state != p.state {
			continue
		}
		switch waitsIn := strings.Join(waits[p.pid], ""); {
		case p.state == "Z":
			children[p.ppid]++
		case p.state != "D":
			stopped = append(stopped, with(named(p.pid), "traced", p.state == "t"))
		case now.user == p.user && now.system == p.system && !waitsForChild(waitsIn):
			if waitsIn == "0" { // what the kernel shows to those who may not know
				waitsIn = ""
			}
			blocked = append(blocked, with(named(p.pid), "waits_in", clip(waitsIn, maxCommand)))
		}
	}
	value["blocked_count"] = int64(len(blocked))
	value["blocked"] = firstOf(blocked, maxNamed)
	value["stopped"] = firstOf(stopped, maxNamed)
	parents := slices.SortedFunc(maps.Keys(children), func(a, b int64) int {
		return cmp.Or(cmp.Compare(children[b], children[a]), cmp.Compare(a, b))
	})
	var total int64
	var list []any
	for _, pid := range parents {
		total += children[pid]
		list = append(list, with(named(pid), "zombies", children[pid]))
	}
	value["zombies"], value["parents"] = total, firstOf(list, maxNamed)
}

// waitsForChild reports whether a process only waits until its child of
// vfork(2) has started its program: kernel/fork.c, wait_for_vfork_done.
func waitsForChild(waitsIn string) bool {
	return slices.Contains([]string{"kernel_clone", "_do_fork", "do_fork", "wait_for_vfork_done"}, waitsIn)
}

func with(object map[string]any, name string, v any) map[string]any {
	object[name] = v
	return object
}

// firstOf is a list that is never null.
func firstOf(list []any, most int) []any {
	return append([]any{}, list[:min(len(list), most)]...)
}
