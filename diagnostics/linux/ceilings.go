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

// ceilingsScript prints what the kernel, the cgroups (version 2, then 1) and
// the users have of files and tasks, and what they may have.
const ceilingsScript = `grep -asH '' /proc/sys/fs/file-nr /proc/loadavg /proc/sys/kernel/threads-max /proc/sys/kernel/pid_max; ` +
	`for d in /sys/fs/cgroup /sys/fs/cgroup/pids; do grep -asH '' $d/pids.[cme]* $d/*.slice/pids.[cme]* $d/system.slice/*/pids.[cme]* ` +
	`$d/system.slice/*/*/pids.[cme]* $d/user.slice/*/pids.[cme]*; done; ` +
	`grep -asHE '^(Uid|Threads):' /proc/[0-9]*/status; echo end`

const (
	maxGroups   = 10
	askedUsers  = 3
	rawCeilings = "ceilings"
)

func hostCeilings() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:  "host.ceilings",
			Title: "How near the host, its units and its users are to what they may have of files and tasks",
			Doc: "fs.file-nr, kernel.threads-max and pid_max (proc(5)), pids.current, pids.max and pids.events of the cgroups, and the threads of each user against " +
				"\"Max processes\" of /proc/PID/limits. A container counts the tasks of its host.",
			Outputs: []expr.Field{
				integer("file_handles", "open files of the whole host"),
				integer("file_max", "how many there may be"),
				integer("tasks", "processes and threads"),
				integer("threads_max", "how many there may be"),
				integer("pid_max", "and how many numbers for them"),
				list("groups", "at most 10 cgroups with the most tasks, those nearest to their limit first",
					str("unit", "the unit; \"\" is all that the agent's host or container runs"),
					integer("tasks", "processes and threads in it"),
					integer("limit", "how many it may have (TasksMax=); 0 when there is none"),
					double("used_percent", "tasks of limit, 0 without limit"),
					integer("refused", "how often a fork was refused since the unit began")),
				list("users", "at most 3 with the most threads; not root, whom this limit does not bind",
					integer("uid", "the user"),
					integer("threads", "processes and threads of all its programs"),
					integer("limit", "\"Max processes\" (soft) of the one with the most threads"),
					double("used_percent", "threads of limit")),
			},
			CostSeconds: 0.1,
		},
		read:  readCeilings,
		parse: parseCeilings,
	}
}

func readCeilings(ctx context.Context, rec *diagnostics.Recorder, _ diagnostics.Args) error {
	cmd := command("sh", "-c", ceilingsScript)
	cmd.MaxOutputBytes = maxProcNetBytes
	raw := rec.Run(ctx, rawCeilings, cmd)
	if text, whole := strings.CutSuffix(string(raw.Data), "end\n"); whole {
		users, _ := usersOf(grepLines([]byte(text), '\n'))
		for _, u := range users {
			rec.File(ctx, limitsOf(u.pid), fmt.Sprintf("/proc/%d/limits", u.pid), maxPIDFileBytes)
		}
	}
	return nil
}

func limitsOf(pid int64) string { return fmt.Sprintf("limits_%d", pid) }

// userTasks are the threads of a user, and the process with the most of them.
type userTasks struct{ uid, threads, pid, most int64 }

// usersOf adds up /proc/PID/status. Who may not see process 1 may not see others.
func usersOf(lines []grepLine) ([]userTasks, error) {
	status, err := allProcesses(byPID(lines, "status"))
	if err != nil {
		return nil, err
	}
	users := map[int64]userTasks{}
	for pid, texts := range status {
		var uid, threads int64 = -1, 0
		for _, text := range texts {
			fields := strings.Fields(text)
			if len(fields) < 2 {
				continue
			}
			n, err := strconv.ParseInt(fields[1], 10, 32)
			switch {
			case err != nil || n < 0:
			case fields[0] == "Uid:":
				uid = n
			case fields[0] == "Threads:":
				threads = n
			}
		}
		u := users[uid]
		u.uid, u.threads = uid, u.threads+threads
		if threads > u.most || threads == u.most && pid < u.pid {
			u.pid, u.most = pid, threads
		}
		users[uid] = u
	}
	delete(users, -1)
	delete(users, 0)
	sorted := slices.SortedFunc(maps.Values(users), func(a, b userTasks) int {
		return cmp.Or(cmp.Compare(b.threads, a.threads), cmp.Compare(a.uid, b.uid))
	})
	return sorted[:min(len(sorted), askedUsers)], nil
}

func parseCeilings(in readings) (diagnostics.Value, error) {
	data, err := in.output(rawCeilings)
	if err != nil {
		return nil, err
	}
	text, whole := strings.CutSuffix(string(data), "end\n")
	if !whole {
		return nil, cannotTell(diagnostics.Failed, "%s: the output has not the form of this host's usual tools", rawCeilings)
	}
	value := diagnostics.Value{"groups": groupTasks(text)}
	lines := grepLines([]byte(text), '\n')
	fields := map[string][]string{}
	for _, l := range lines {
		fields[l.file] = strings.Fields(l.text)
	}
	handles, load := numbers(fields["/proc/sys/fs/file-nr"], 10), fields["/proc/loadavg"]
	threads, pids := numbers(fields["/proc/sys/kernel/threads-max"], 10), numbers(fields["/proc/sys/kernel/pid_max"], 10)
	if len(handles) != 3 || len(load) < 4 || len(threads) != 1 || len(pids) != 1 {
		return nil, cannotTell(diagnostics.Failed, "%s: a file of /proc is not understood", rawCeilings)
	}
	_, tasks, _ := strings.Cut(load[3], "/") // "running/all"
	count, err := strconv.ParseInt(tasks, 10, 64)
	if err != nil || count < 1 {
		return nil, cannotTell(diagnostics.Failed, "%s: /proc/loadavg is not understood", rawCeilings)
	}
	value["file_handles"], value["file_max"], value["tasks"] = toInt(handles[0]), toInt(handles[2]), count
	value["threads_max"], value["pid_max"] = toInt(threads[0]), toInt(pids[0])
	value["users"] = in.users(lines)
	return value, nil
}

// users returns the list, or an expr.Unknown: the rest is good without it.
func (in readings) users(lines []grepLine) any {
	users, err := usersOf(lines)
	if err != nil {
		return expr.Unknown{Why: err.Error()}
	}
	list := []any{}
	for _, u := range users {
		limit, err := in.maxProcesses(u.pid)
		if err != nil {
			return expr.Unknown{Why: err.Error()}
		}
		list = append(list, map[string]any{
			"uid": u.uid, "threads": u.threads, "limit": limit, "used_percent": percent(uint64(u.threads), uint64(limit)),
		})
	}
	return list
}

// maxProcesses reads "Max processes             96000                96000                processes".
func (in readings) maxProcesses(pid int64) (int64, error) {
	raw, err := in.whole(limitsOf(pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.SplitSeq(string(raw.Data), "\n") {
		fields := strings.Fields(strings.TrimPrefix(line, "Max processes"))
		if strings.HasPrefix(line, "Max processes") && len(fields) >= 2 {
			if limit := limitNumber(fields[0]); limit > 0 {
				return limit, nil
			}
		}
	}
	return 0, cannotTell(diagnostics.Failed, "%s: no limit of processes", limitsOf(pid))
}

// taskGroup is a cgroup with its tasks.
type taskGroup struct{ tasks, limit, refused int64 }

// groupTasks returns the cgroups, those nearest to their limit first.
func groupTasks(text string) []any {
	found := map[string]taskGroup{}
	read := func(name, prefix string, set func(g *taskGroup, n int64)) {
		for _, l := range groupLines([]byte(text), name) {
			number, ok := strings.CutPrefix(l.text, prefix)
			n, err := strconv.ParseInt(number, 10, 64)
			if ok && err == nil && n >= 0 {
				g := found[l.file]
				set(&g, n)
				found[l.file] = g
			}
		}
	}
	read("pids.current", "", func(g *taskGroup, n int64) { g.tasks = n })
	read("pids.max", "", func(g *taskGroup, n int64) { g.limit = n }) // "max" is none
	read("pids.events", "max ", func(g *taskGroup, n int64) { g.refused = n })
	share := func(g taskGroup) float64 { return percent(uint64(g.tasks), uint64(g.limit)) }
	names := slices.SortedFunc(maps.Keys(found), func(a, b string) int {
		return cmp.Or(cmp.Compare(share(found[b]), share(found[a])), cmp.Compare(found[b].tasks, found[a].tasks), cmp.Compare(a, b))
	})
	list := []any{}
	for _, name := range names {
		if g := found[name]; g.tasks > 0 && len(list) < maxGroups {
			list = append(list, map[string]any{
				"unit": groupUnit(name), "tasks": g.tasks, "limit": g.limit, "used_percent": share(g), "refused": g.refused,
			})
		}
	}
	return list
}
