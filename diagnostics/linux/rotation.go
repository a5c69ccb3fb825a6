package linux

import (
	"context"
	"strings"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
)

const (
	rawState   = "state"
	rawStateRH = "state_redhat"
	rawCron    = "cron"
)

func logrotateState() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:  "logrotate.state",
			Title: "Whether logs are rotated",
			Doc: "systemctl show of logrotate.timer and logrotate.service, /etc/cron.daily/logrotate, and when logrotate(8) last wrote its state file " +
				"(/var/lib/logrotate/status, or logrotate.status on the Red Hat family), which it does at the end of every run.",
			Outputs: []expr.Field{
				boolean("installed", "there is a timer, a service or a cron entry of it"),
				boolean("scheduled", "its timer is active, or cron.daily has it"),
				str("timer_state", "active, inactive, failed; \"\" without a timer"),
				str("service_result", "success, exit-code, ...; \"\" without a service"),
				integer("service_status", "exit status of the last run"),
				boolean("service_failed", "the service is in the state failed"),
				optional(timestamp("last_run_at", "when it wrote its state; missing when it never did")),
				optional(integer("last_run_age_seconds", "how long ago")),
			},
			CostSeconds: 0.05,
		},
		read: func(ctx context.Context, rec *diagnostics.Recorder, _ diagnostics.Args) error {
			rec.Run(ctx, rawShow, command("systemctl", "show", "--no-pager", "-p", "Id,LoadState,ActiveState,Result,ExecMainStatus",
				"--", "logrotate.timer", "logrotate.service"))
			if raw := rec.Stat(ctx, rawState, "/var/lib/logrotate/status"); raw.Status == diagnostics.Absent {
				rec.Stat(ctx, rawStateRH, "/var/lib/logrotate/logrotate.status")
			}
			rec.Stat(ctx, rawCron, "/etc/cron.daily/logrotate")
			return nil
		},
		parse: parseLogrotate,
	}
}

func parseLogrotate(in readings) (diagnostics.Value, error) {
	data, err := in.output(rawShow)
	if err != nil {
		return nil, err
	}
	units := map[string]map[string]string{}
	for _, p := range properties(data) {
		units[p["Id"]] = p
	}
	timer, service := units["logrotate.timer"], units["logrotate.service"]
	if timer["LoadState"] == "" || service["LoadState"] == "" {
		return nil, cannotTell(diagnostics.Failed, "show: logrotate is not described")
	}
	hasTimer, hasService := timer["LoadState"] != "not-found", service["LoadState"] != "not-found"
	_, err = in.info(rawCron)
	if err != nil && !isStatus(err, diagnostics.Absent) {
		return nil, err
	}
	hasCron := err == nil
	value := diagnostics.Value{
		"installed": hasTimer || hasService || hasCron, "scheduled": timer["ActiveState"] == "active" || hasCron && !hasTimer,
		"timer_state": "", "service_result": "", "service_status": int64(0), "service_failed": service["ActiveState"] == "failed",
	}
	if hasTimer {
		value["timer_state"] = timer["ActiveState"]
	}
	if hasService {
		status, err := number(service, "ExecMainStatus", true)
		if err != nil {
			return nil, err
		}
		value["service_result"], value["service_status"] = service["Result"], status
	}
	name := rawState
	if raw, _ := in.raw(rawState); raw.Status == diagnostics.Absent {
		name = rawStateRH
	}
	info, err := in.info(name)
	switch raw, _ := in.raw(name); {
	case err == nil:
		value["last_run_at"], value["last_run_age_seconds"] = info.ModifiedAt.UTC(), max(seconds(raw.At.Sub(info.ModifiedAt)), 0)
	case !isStatus(err, diagnostics.Absent):
		return nil, err
	}
	return value, nil
}

const fstabScript = `exec findmnt --verify 2>&1`

const rawVerify = "verify"

func fstabCheck() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:  "fstab.check",
			Title: "What would go wrong with /etc/fstab at the next boot",
			Doc:   "findmnt --verify of util-linux 2.29 and later. It looks at the devices and the mount points; nothing is mounted.",
			Outputs: []expr.Field{
				list("errors", "what it calls an error",
					str("mount", "the mount point as fstab has it; \"\" for a line that is not understood"),
					str("message", "what findmnt says")),
				integer("warnings", "what it calls a warning"),
			},
			CostSeconds: 0.05,
		},
		read: func(ctx context.Context, rec *diagnostics.Recorder, _ diagnostics.Args) error {
			rec.Run(ctx, rawVerify, command("sh", "-c", fstabScript))
			return nil
		},
		parse: parseFstabCheck,
	}
}

// parseFstabCheck reads "TARGET" lines with "   [E] text" and "   [W] text"
// below, and a line that counts them at the end.
func parseFstabCheck(in readings) (diagnostics.Value, error) {
	raw, err := in.ran(rawVerify)
	if err != nil {
		return nil, err
	}
	text := strings.TrimSpace(string(raw.Data))
	ended := raw.ExitCode == 0 && strings.Contains(text, "Success, no errors or warnings detected") || strings.Contains(text, "parse error") ||
		strings.Contains(text, " errors, ") || strings.Contains(text, " error, ")
	if !ended || raw.ExitCode > 1 {
		return nil, cannotTell(diagnostics.Failed, "%s: %s", rawVerify, clip(text, maxLineBytes))
	}
	errors, mount, warnings := []any{}, "", int64(0)
	for line := range strings.SplitSeq(text, "\n") {
		level, message, marked := strings.Cut(strings.TrimSpace(line), "] ")
		switch {
		case marked && level == "[E":
			errors = append(errors, map[string]any{"mount": clip(mount, maxCommand), "message": clip(message, maxLineBytes)})
		case marked && level == "[W":
			warnings++
		case strings.HasPrefix(line, "findmnt: ") && strings.Contains(line, "parse error at line"):
			errors = append(errors, map[string]any{"mount": "", "message": clip(strings.TrimPrefix(line, "findmnt: "), maxLineBytes)})
		case line != "" && !strings.HasPrefix(line, " "):
			mount = line
		}
	}
	return diagnostics.Value{"errors": errors, "warnings": warnings}, nil
}
