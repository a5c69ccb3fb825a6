package linux

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
)

// maxFailedUnits bounds the units that unit.failed looks at.
const maxFailedUnits = 100

const (
	rawShow = "show"
	rawList = "list"
)

func unitStatus() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:   "unit.status",
			Title:  "State of a systemd unit",
			Doc:    "systemctl show, see org.freedesktop.systemd1(5).",
			Inputs: unitInput(),
			Outputs: []expr.Field{
				boolean("exists", "systemd finds a unit of the name; true for one that is masked or broken"),
				str("load_state", "loaded, not-found, bad-setting, error, masked"),
				str("active_state", "active, reloading, inactive, failed, activating, deactivating"),
				str("sub_state", "running, dead, auto-restart, ..."),
				str("result", "success, exit-code, signal, core-dump, timeout, oom-kill, ...; stays exit-code at the start limit"),
				str("exec_main_code", "how the main process ended: exited, killed, dumped; \"\" when it did not"),
				integer("exec_main_status", "its exit status, or the signal; 203 and so on: systemd.exec(5), process exit codes"),
				integer("restarts", "automatic ones since the unit was last started by hand"),
				str("fragment_path", "the unit file"),
				integer("main_pid", "0 when there is none"),
				boolean("need_daemon_reload", "the unit file is newer than what systemd has read"),
				optional(timestamp("active_since", "when it became active; missing when it is not")),
				str("exec_start", "the first command of ExecStart"),
			},
			CostSeconds: 0.05,
		},
		read: func(ctx context.Context, rec *diagnostics.Recorder, args diagnostics.Args) error {
			unit, err := unitName(args[argUnit])
			if err != nil {
				return err
			}
			rec.Run(ctx, rawShow, command("systemctl", "show", "--no-pager", "-p", "Id,LoadState,ActiveState,SubState,"+
				"Result,ExecMainCode,ExecMainStatus,NRestarts,FragmentPath,MainPID,NeedDaemonReload,ActiveEnterTimestamp,ExecStart",
				"--", unit))
			return nil
		},
		parse: parseUnitStatus,
	}
}

// properties reads the blocks of "Key=value" lines of systemctl show, which are
// parted by empty lines. A property may come more than once; the first counts.
func properties(data []byte) []map[string]string {
	var blocks []map[string]string
	for block := range strings.SplitSeq(string(data), "\n\n") {
		props := map[string]string{}
		for line := range strings.SplitSeq(block, "\n") {
			key, value, ok := strings.Cut(line, "=")
			if _, twice := props[key]; ok && !twice {
				props[key] = value
			}
		}
		if len(props) > 0 {
			blocks = append(blocks, props)
		}
	}
	return blocks
}

func parseUnitStatus(in readings) (diagnostics.Value, error) {
	unit, err := unitName(in.args[argUnit])
	if err != nil {
		return nil, err
	}
	data, err := in.output(rawShow)
	if err != nil {
		return nil, err
	}
	blocks := properties(data)
	if len(blocks) != 1 {
		return nil, cannotTell(diagnostics.Failed, "show: %d units in place of one", len(blocks))
	}
	p := blocks[0]
	for _, key := range []string{"LoadState", "ActiveState", "SubState"} {
		if p[key] == "" {
			return nil, cannotTell(diagnostics.Failed, "show: no %s", key)
		}
	}
	value := diagnostics.Value{
		"exists": p["LoadState"] != "not-found", "load_state": p["LoadState"],
		"active_state": p["ActiveState"], "sub_state": p["SubState"], "result": p["Result"],
		"exec_main_code": endedBy(p["ExecMainCode"]), "fragment_path": p["FragmentPath"],
		"need_daemon_reload": p["NeedDaemonReload"] == "yes", "exec_start": execStart(p["ExecStart"]),
	}
	numbers := []struct{ field, key string }{
		{"exec_main_status", "ExecMainStatus"}, {"restarts", "NRestarts"}, {"main_pid", "MainPID"},
	}
	for _, n := range numbers {
		count, err := number(p, n.key, strings.HasSuffix(unit, ".service"))
		if err != nil {
			return nil, err
		}
		value[n.field] = count
	}
	if at, ok := systemdTime(p["ActiveEnterTimestamp"]); ok && p["ActiveState"] == "active" {
		value["active_since"] = at
	}
	return value, nil
}

// number reads a counter. Services have them all (NRestarts since systemd 235);
// other units do not, which counts as 0.
func number(p map[string]string, key string, service bool) (int64, error) {
	text, has := p[key]
	if !has && !service {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, cannotTell(diagnostics.Failed, "show: no number for %s", key)
	}
	return n, nil
}

// endedBy is the si_code of waitid(2) in words.
func endedBy(code string) string {
	switch code {
	case "1":
		return "exited"
	case "2":
		return "killed"
	case "3":
		return "dumped"
	}
	return ""
}

// execStart is the command in "{ path=… ; argv[]=… ; ignore_errors=no ; … }".
func execStart(text string) string {
	_, rest, _ := strings.Cut(text, "argv[]=")
	argv, _, ended := strings.Cut(rest, " ; ignore_errors=")
	if !ended {
		return ""
	}
	return argv
}

// systemdTime reads "Sun 2026-11-22 00:26:29 UTC", as systemctl prints it with TZ=UTC.
func systemdTime(text string) (time.Time, bool) {
	at, err := time.Parse("Mon 2006-01-02 15:04:05 UTC", text)
	return at, err == nil
}

func unitFailed() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:  "unit.failed",
			Title: "Units that failed or wait to be restarted",
			Doc:   "systemctl list-units --state=failed,auto-restart and systemctl show of those.",
			Outputs: []expr.Field{list("units", "at most 100",
				str("unit", "name"),
				str("active_state", "failed, or activating while it waits to be restarted"),
				str("sub_state", "failed, auto-restart"),
				str("result", "exit-code, signal, timeout, ..."),
				integer("restarts", "automatic ones since the unit was last started by hand"))},
			CostSeconds: 0.1,
		},
		read: func(ctx context.Context, rec *diagnostics.Recorder, _ diagnostics.Args) error {
			raw := rec.Run(ctx, rawList, command("systemctl", "list-units", "--all", "--plain", "--no-legend", "--no-pager",
				"--full", "--state=failed,auto-restart"))
			if units, _, err := listedUnits(raw.Data); err == nil && len(units) > 0 && raw.ExitCode == 0 {
				rec.Run(ctx, rawShow, command(append([]string{
					"systemctl", "show", "--no-pager", "-p", "Id,ActiveState,SubState,Result,NRestarts", "--",
				}, units...)...))
			}
			return nil
		},
		parse: parseUnitFailed,
	}
}

// listedUnits returns the first column of systemctl list-units; more says that
// there are more than the limit.
func listedUnits(data []byte) (units []string, more bool, err error) {
	for line := range strings.SplitSeq(strings.TrimSpace(string(data)), "\n") {
		columns := strings.Fields(line)
		if len(columns) == 0 {
			continue
		}
		name, err := unitName(columns[0])
		if err != nil || name != columns[0] || len(columns) < 4 {
			return nil, false, cannotTell(diagnostics.Failed, "list: a line is not understood")
		}
		if len(units) == maxFailedUnits {
			return units, true, nil
		}
		units = append(units, name)
	}
	return units, false, nil
}

func parseUnitFailed(in readings) (diagnostics.Value, error) {
	data, err := in.output(rawList)
	if err != nil {
		return nil, err
	}
	names, more, err := listedUnits(data)
	if err != nil {
		return nil, err
	}
	units := []any{}
	if len(names) > 0 {
		data, err := in.output(rawShow)
		if err != nil {
			return nil, err
		}
		blocks := properties(data)
		if len(blocks) != len(names) {
			return nil, cannotTell(diagnostics.Failed, "show: %d units in place of %d", len(blocks), len(names))
		}
		for _, p := range blocks {
			restarts, err := number(p, "NRestarts", strings.HasSuffix(p["Id"], ".service"))
			if err != nil {
				return nil, err
			}
			if p["ActiveState"] != "failed" && !strings.HasPrefix(p["SubState"], "auto-restart") {
				continue // it came up between the two commands
			}
			units = append(units, map[string]any{
				"unit": p["Id"], "active_state": p["ActiveState"], "sub_state": p["SubState"],
				"result": p["Result"], "restarts": restarts,
			})
		}
	}
	value := diagnostics.Value{"units": units}
	if more {
		return value, cannotTell(diagnostics.Truncated, "more than %d units failed", maxFailedUnits)
	}
	return value, nil
}
