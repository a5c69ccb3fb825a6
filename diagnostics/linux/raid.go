package linux

import (
	"context"
	"regexp"
	"strconv"
	"strings"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
)

const rawMDStat = "mdstat"

func raidStatus() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:  "raid.status",
			Title: "Software RAID arrays",
			Doc:   "/proc/mdstat, see md(4); no arrays where the kernel has no md. Hardware controllers are not seen.",
			Outputs: []expr.Field{list("arrays", "as the kernel lists them",
				str("array", "md0"),
				str("level", "raid1, raid5, ...; \"\" when it does not run"),
				boolean("active", "it runs"),
				integer("wanted", "members it should have; 0 for levels without spare data (raid0, linear)"),
				integer("working", "members that are in sync"),
				boolean("degraded", "a member is missing or not in sync yet"),
				str("failed", "members marked (F), parted by spaces"),
				str("members", "all members, parted by spaces"),
				str("activity", "recovery, resync, check, reshape; \"\" when nothing is under way"),
				double("activity_percent", "how far it is"))},
			CostSeconds: 0.01,
		},
		read: func(ctx context.Context, rec *diagnostics.Recorder, _ diagnostics.Args) error {
			rec.File(ctx, rawMDStat, "/proc/mdstat", maxProcBytes)
			return nil
		},
		parse: parseRAID,
	}
}

// parseRAID reads, for each array:
//
//	md0 : active raid1 sdb1[1](F) sda1[0]
//	      1046528 blocks super 1.2 [2/1] [U_]
//	      [==>..................]  recovery = 12.6% (37043392/292945152) finish=127.5min speed=33440K/sec
func parseRAID(in readings) (diagnostics.Value, error) {
	arrays := []any{}
	raw, err := in.whole(rawMDStat)
	if isStatus(err, diagnostics.Absent) {
		return diagnostics.Value{"arrays": arrays}, nil
	}
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(string(raw.Data), "Personalities :") {
		return nil, cannotTell(diagnostics.Failed, "%s is not understood", rawMDStat)
	}
	head := regexp.MustCompile(`^(md\S*) : (active|inactive)( \([a-z-]+\))*( \w*raid\w*| linear| multipath)?( .*)?$`)
	slots := regexp.MustCompile(`\[(\d{1,5})/(\d{1,5})\] \[[U_]+\]`)
	activity := regexp.MustCompile(`(recovery|resync|check|reshape) *= *(\d+(?:\.\d+)?)%`)
	var now map[string]any
	for line := range strings.SplitSeq(string(raw.Data), "\n") {
		if m := head.FindStringSubmatch(line); m != nil {
			failed, members := raidMembers(m[5])
			now = map[string]any{
				"array": m[1], "level": strings.TrimSpace(m[4]), "active": m[2] == "active", "wanted": int64(0), "working": int64(0),
				"degraded": false, "failed": failed, "members": members, "activity": "", "activity_percent": 0.0,
			}
			arrays = append(arrays, now)
			continue
		}
		if now == nil {
			continue
		}
		if m := slots.FindStringSubmatch(line); m != nil {
			wanted, _ := strconv.ParseInt(m[1], 10, 32) // five digits at most
			working, _ := strconv.ParseInt(m[2], 10, 32)
			now["wanted"], now["working"], now["degraded"] = wanted, working, working < wanted
		}
		if m := activity.FindStringSubmatch(line); m != nil {
			done, err := strconv.ParseFloat(m[2], 64)
			if err == nil && done <= 100 {
				now["activity"], now["activity_percent"] = m[1], done
			}
		}
	}
	return diagnostics.Value{"arrays": arrays}, nil
}

// raidMembers reads "sdb1[1](F) sda1[0] sdc1[2](S)".
func raidMembers(text string) (failed, members string) {
	var bad, all []string
	for word := range strings.FieldsSeq(text) {
		name, flags, _ := strings.Cut(word, "[")
		all = append(all, name)
		if strings.Contains(flags, "(F)") {
			bad = append(bad, name)
		}
	}
	return clip(strings.Join(bad, " "), maxCommand), clip(strings.Join(all, " "), maxCommand)
}
