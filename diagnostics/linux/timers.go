package linux

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/remote"
)

const (
	rawJobs   = "jobs"
	rawCronD  = "cron_d"
	maxTimers = 100
	cronDPath = "/etc/cron.d"
	// maxCronFiles bounds the files of /etc/cron.d.
	maxCronFiles = 500
)

func unitTimers() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:  "unit.timers",
			Title: "Timers, the jobs that they start, and cron",
			Doc: "systemctl show of all loaded timers, of their services and of cron, and the names, owners and modes in /etc/cron.d, see systemd.timer(5) and " +
				"cron(8): Debian's cron leaves out files whose name has a dot, or that others may write. No job is read.",
			Outputs: []expr.Field{
				list("timers", "at most 100",
					str("timer", "name"),
					str("unit", "what it starts"),
					str("active_state", "active, inactive, failed"),
					str("file_state", "enabled, disabled, static, ..."),
					str("result", "success, resources, ..."),
					boolean("next_known", "systemd knows when it runs next"),
					boolean("was_started", "it was started since the boot, and its conditions held (ConditionResult=)"),
					optional(timestamp("last_at", "when it ran last; missing when it never did")),
					str("job_state", "active state of what it starts; \"\" when it is not known"),
					str("job_result", "how that ended: success, exit-code, ..."),
					integer("job_status", "its exit status")),
				str("cron", "cron.service or crond.service; \"\" when neither is installed"),
				str("cron_state", "active, inactive, failed; \"\" without cron"),
				str("cron_file_state", "enabled, disabled, masked; \"\" without cron"),
				list("ignored", "files of /etc/cron.d that cron leaves out",
					str("path", "the file"), str("why", "what is wrong with it")),
			},
			CostSeconds: 0.1,
		},
		read:  readTimers,
		parse: parseTimers,
	}
}

func readTimers(ctx context.Context, rec *diagnostics.Recorder, _ diagnostics.Args) error {
	raw := rec.Run(ctx, rawShow, command("systemctl", "show", "--no-pager", "-p", "Id,ActiveState,Result,UnitFileState,LastTriggerUSec,"+
		"NextElapseUSecRealtime,NextElapseUSecMonotonic,Unit,ConditionResult", "--", "*.timer"))
	if raw.Status == diagnostics.OK && raw.ExitCode == 0 {
		argv := []string{"systemctl", "show", "--no-pager", "-p", "Id,LoadState,ActiveState,UnitFileState,Result,ExecMainStatus", "--"}
		rec.Run(ctx, rawJobs, command(append(argv, jobNames(properties(raw.Data))...)...))
	}
	rec.Dir(ctx, rawCronD, cronDPath, maxCronFiles)
	return nil
}

// jobNames are the units to ask about: cron, and what the timers start.
func jobNames(timers []map[string]string) []string {
	names := []string{"cron.service", "crond.service"}
	for _, p := range timers[:min(len(timers), maxTimers)] {
		name := p["Unit"]
		if full, err := unitName(name); err == nil && full == name && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func parseTimers(in readings) (diagnostics.Value, error) {
	data, err := in.output(rawShow)
	if err != nil {
		return nil, err
	}
	blocks := properties(data)
	names := jobNames(blocks)
	data, err = in.output(rawJobs)
	if err != nil {
		return nil, err
	}
	jobs := properties(data)
	if len(jobs) != len(names) {
		return nil, cannotTell(diagnostics.Failed, "jobs: %d units in place of %d", len(jobs), len(names))
	}
	byName := map[string]map[string]string{}
	for i, name := range names {
		byName[name] = jobs[i]
	}
	value := diagnostics.Value{"cron": "", "cron_state": "", "cron_file_state": ""}
	for _, name := range names[:2] {
		if p := byName[name]; p["LoadState"] != "not-found" && p["LoadState"] != "" {
			value["cron"], value["cron_state"], value["cron_file_state"] = name, p["ActiveState"], p["UnitFileState"]
			break
		}
	}
	timers := []any{}
	for _, p := range blocks[:min(len(blocks), maxTimers)] {
		if !strings.HasSuffix(p["Id"], ".timer") || p["ActiveState"] == "" {
			return nil, cannotTell(diagnostics.Failed, "show: a timer is not understood")
		}
		status, err := number(byName[p["Unit"]], "ExecMainStatus", false)
		if err != nil {
			return nil, err
		}
		timer := map[string]any{
			"timer": p["Id"], "unit": p["Unit"], "active_state": p["ActiveState"], "file_state": p["UnitFileState"], "result": p["Result"],
			"was_started": p["ConditionResult"] == "yes",
			"next_known":  isTime(p["NextElapseUSecRealtime"]) || isTime(p["NextElapseUSecMonotonic"]),
			"job_state":   byName[p["Unit"]]["ActiveState"], "job_result": byName[p["Unit"]]["Result"], "job_status": status,
		}
		if at, ok := systemdTime(p["LastTriggerUSec"]); ok {
			timer["last_at"] = at
		}
		timers = append(timers, timer)
	}
	value["timers"] = timers
	value["ignored"], err = in.ignoredByCron(value["cron"] == "cron.service")
	if err != nil {
		return nil, err
	}
	if len(blocks) > maxTimers {
		return value, cannotTell(diagnostics.Truncated, "more than %d timers", maxTimers)
	}
	return value, nil
}

func isTime(text string) bool {
	return !slices.Contains([]string{"", "0", "n/a", "infinity", "[not set]"}, text)
}

// ignoredByCron returns the files of /etc/cron.d that cron does not read. That a
// name must not have a dot is so for Debian's only; what editors and packages
// leave behind is meant to be left out.
func (in readings) ignoredByCron(debian bool) ([]any, error) {
	var entries []remote.FileInfo
	err := in.decode(rawCronD, &entries)
	if isStatus(err, diagnostics.Absent) {
		return []any{}, nil
	}
	if err != nil {
		return nil, err
	}
	found := map[string]string{}
	for _, e := range entries {
		odd := strings.Trim(e.Name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") != ""
		switch leftover := strings.HasPrefix(e.Name, ".") || strings.HasSuffix(e.Name, "~") || strings.Contains(e.Name, ".dpkg-") || strings.Contains(e.Name, ".rpm"); {
		case !e.Mode.IsRegular() || leftover:
		case odd && debian:
			found[e.Name] = "its name has a dot or another sign that is not allowed"
		case e.Mode&0o022 != 0:
			found[e.Name] = fmt.Sprintf("others than its owner may write it (%s)", octalMode(e.Mode))
		case e.UID != 0:
			found[e.Name] = "its owner is not root"
		}
	}
	list := []any{}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		list = append(list, map[string]any{"path": cronDPath + "/" + clip(name, maxCommand), "why": found[name]})
	}
	return list, nil
}
