package linux

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
)

// throttlingScript prints twice, one second apart (10 periods of the usual
// 100 ms), what the groups of units were denied. cgroups of version 2, then of 1.
const throttlingScript = `t() { echo sample; grep -asHE '^nr_(periods|throttled) ' ` +
	`/sys/fs/cgroup/system.slice/*/cpu.stat /sys/fs/cgroup/system.slice/*/*/cpu.stat /sys/fs/cgroup/*.slice/cpu.stat ` +
	`/sys/fs/cgroup/cpu/system.slice/*/cpu.stat /sys/fs/cgroup/cpu/system.slice/*/*/cpu.stat /sys/fs/cgroup/cpu/*.slice/cpu.stat; }; t; sleep 1; t; echo end`

const (
	maxThrottled = 10
	rawSlice     = "slice"
	rawSliceV1   = "slice_v1"
)

func unitThrottling() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:  "unit.throttling",
			Title: "Units that their processor quota holds back",
			Doc:   "cpu.stat of the cgroups of units twice, one second apart, see sched-bwc of the kernel's documentation. Units without CPUQuota= are never held back.",
			Outputs: []expr.Field{
				list("units", "at most 10 that were held back within the second, most first",
					str("unit", "name"),
					integer("periods", "periods of the quota in which it wanted to run"),
					integer("throttled", "those in which it had used its quota up"),
					double("percent", "the share of them")),
				integer("groups", "cgroups that were looked at; 0 where units have none"),
			},
			CostSeconds: 1.1,
		},
		read: func(ctx context.Context, rec *diagnostics.Recorder, _ diagnostics.Args) error {
			rec.Stat(ctx, rawSlice, "/sys/fs/cgroup/system.slice")
			rec.Stat(ctx, rawSliceV1, "/sys/fs/cgroup/systemd/system.slice")
			rec.Run(ctx, rawSamples, command("sh", "-c", throttlingScript))
			return nil
		},
		parse: parseThrottling,
	}
}

// quota is what cpu.stat of one cgroup counts.
type quota struct{ periods, throttled uint64 }

func parseThrottling(in readings) (diagnostics.Value, error) {
	data, err := in.output(rawSamples)
	if err != nil {
		return nil, err
	}
	parts, err := sampleParts(data, 2)
	if err != nil {
		return nil, err
	}
	before, after := parseQuotas(parts[0]), parseQuotas(parts[1])
	if len(after) == 0 { // no unit has a quota, where there are cgroups of units at all
		_, err1 := in.info(rawSlice)
		if _, err2 := in.info(rawSliceV1); err1 != nil && err2 != nil {
			return nil, cannotTell(diagnostics.Failed, "the cgroups of units are not to be seen")
		}
	}
	type held struct {
		unit               string
		periods, throttled uint64
	}
	var found []held
	for group, now := range after {
		old, ok := before[group]
		h := held{groupUnit(group), counted(old.periods, now.periods), counted(old.throttled, now.throttled)}
		if ok && h.throttled > 0 && h.throttled <= h.periods {
			found = append(found, h)
		}
	}
	slices.SortFunc(found, func(a, b held) int {
		return cmp.Or(cmp.Compare(percent(b.throttled, b.periods), percent(a.throttled, a.periods)), cmp.Compare(a.unit, b.unit))
	})
	units := []any{}
	for _, h := range found[:min(len(found), maxThrottled)] {
		units = append(units, map[string]any{
			"unit": h.unit, "periods": toInt(h.periods), "throttled": toInt(h.throttled), "percent": percent(h.throttled, h.periods),
		})
	}
	return diagnostics.Value{"units": units, "groups": int64(len(after))}, nil
}

func parseQuotas(data []byte) map[string]quota {
	found := map[string]quota{}
	for _, l := range groupLines(data, "cpu.stat") {
		fields := strings.Fields(l.text)
		if len(fields) != 2 {
			continue
		}
		n := numbers(fields[1:], 10)
		q := found[l.file]
		switch {
		case n == nil:
			continue
		case fields[0] == "nr_periods":
			q.periods = n[0]
		case fields[0] == "nr_throttled":
			q.throttled = n[0]
		}
		found[l.file] = q
	}
	return found
}

// groupLines reads lines of grep -H over files of the name in cgroups. The name
// of a unit may have a colon; what follows the name of the file has no slash.
func groupLines(data []byte, name string) []grepLine {
	var lines []grepLine
	for line := range strings.SplitSeq(string(data), "\n") {
		at := strings.LastIndex(line, "/"+name+":")
		if at >= 0 {
			lines = append(lines, grepLine{file: line[:at], text: line[at+len(name)+2:]})
		}
	}
	return lines
}

// groupUnit is the unit of the directory of a cgroup, a slice too; "" for the
// root of all.
func groupUnit(dir string) string {
	name := dir[strings.LastIndexByte(dir, '/')+1:]
	if unit, err := unitName(name); err == nil && unit == name {
		return unit
	}
	return ""
}
