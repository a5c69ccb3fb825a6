package linux

import (
	"context"
	"path"
	"strconv"
	"strings"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
)

// Where cgroups(7) are mounted: version 2, and the hierarchy of version 1 that accounts for memory.
const (
	cgroupRoot   = "/sys/fs/cgroup"
	cgroupV1Root = "/sys/fs/cgroup/memory"
)

const rawCgroup = "cgroup"

func unitMemory() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:   "unit.memory",
			Title:  "Memory of a unit and its limit",
			Doc:    "ControlGroup of systemctl show, and memory.max, current and events of cgroup version 2, or memory.limit_in_bytes, usage_in_bytes and oom_control of version 1.",
			Inputs: unitInput(),
			Outputs: []expr.Field{
				boolean("exists", "the unit has a cgroup now; one that does not run has none, and the rest is 0"),
				boolean("limited", "a limit is set (MemoryMax=)"),
				size("limit", "bytes; 0 without a limit"),
				size("used", "bytes, with the cache of files that it read"),
				double("used_percent", "of the limit; 0 without one"),
				integer("oom_kills", "processes that the kernel killed in it since it was made"),
			},
			CostSeconds: 0.05,
		},
		read: func(ctx context.Context, rec *diagnostics.Recorder, args diagnostics.Args) error {
			unit, err := unitName(args[argUnit])
			if err != nil {
				return err
			}
			raw := rec.Run(ctx, rawShow, command("systemctl", "show", "--no-pager", "-p", "Id,LoadState,ControlGroup", "--", unit))
			if group := controlGroup(raw.Data); raw.Status == diagnostics.OK && group != "" {
				argv := []string{"grep", "-aHs", "", "--"}
				for _, name := range []string{"memory.max", "memory.current", "memory.events"} {
					argv = append(argv, cgroupRoot+group+"/"+name)
				}
				for _, name := range []string{"memory.limit_in_bytes", "memory.usage_in_bytes", "memory.oom_control"} {
					argv = append(argv, cgroupV1Root+group+"/"+name)
				}
				rec.Run(ctx, rawCgroup, command(argv...))
			}
			return nil
		},
		parse: parseUnitMemory,
	}
}

// controlGroup is the path of systemctl show, "" when there is none.
func controlGroup(data []byte) string {
	blocks := properties(data)
	if len(blocks) != 1 {
		return ""
	}
	if group := blocks[0]["ControlGroup"]; checkPath("", group) == nil && group != "/" && !strings.Contains(group, ":") {
		return group
	}
	return ""
}

func parseUnitMemory(in readings) (diagnostics.Value, error) {
	data, err := in.output(rawShow)
	if err != nil {
		return nil, err
	}
	blocks := properties(data)
	if len(blocks) != 1 || blocks[0]["LoadState"] == "" {
		return nil, cannotTell(diagnostics.Failed, "show: no unit is described")
	}
	value := diagnostics.Value{"exists": false, "limited": false, "limit": int64(0), "used": int64(0), "used_percent": 0.0, "oom_kills": int64(0)}
	if controlGroup(data) == "" {
		if blocks[0]["ControlGroup"] != "" {
			return nil, cannotTell(diagnostics.Failed, "show: the cgroup is not understood")
		}
		return value, nil
	}
	raw, err := in.ran(rawCgroup)
	if err != nil {
		return nil, err
	}
	found := map[string][]string{}
	for file, lines := range byFile(grepLines(raw.Data, '\n')) {
		found[path.Base(file)] = lines
	}
	used, hasUsed := firstCount(found["memory.current"], found["memory.usage_in_bytes"])
	if !hasUsed {
		return nil, cannotTell(diagnostics.Failed, "%s: nothing accounts for the memory of the unit", rawCgroup)
	}
	limit, limited := firstCount(found["memory.max"], found["memory.limit_in_bytes"])
	limited = limited && limit < 1<<62 // "max" is no number; version 1 says the largest number of pages
	if limited {
		value["limit"], value["used_percent"] = toInt(limit), percent(used, limit)
	}
	kills := counters(append(found["memory.events"], found["memory.oom_control"]...))
	value["exists"], value["limited"], value["used"], value["oom_kills"] = true, limited, toInt(used), toInt(kills["oom_kill"])
	return value, nil
}

// firstCount is the number in the first file that was there.
func firstCount(files ...[]string) (uint64, bool) {
	for _, lines := range files {
		if len(lines) > 0 {
			n, err := strconv.ParseUint(lines[0], 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}
