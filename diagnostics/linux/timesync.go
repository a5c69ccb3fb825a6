package linux

import (
	"context"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
)

const (
	rawTimedatectl = "timedatectl"
	rawTracking    = "tracking"
	maxReference   = 200
)

// timeServices are the programs that keep the clock, by the units of Debian and
// the Red Hat family.
func timeServices() []string {
	return []string{
		"chrony.service", "chronyd.service", "ntp.service", "ntpsec.service", "ntpd.service", "openntpd.service", "systemd-timesyncd.service",
	}
}

func timeSync() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:  "time.sync",
			Title: "Whether somebody keeps the clock of the host",
			Doc: "systemctl show of chrony, ntp, ntpsec, openntpd and systemd-timesyncd; timedatectl show, which asks the kernel (adjtimex(2), STA_UNSYNC); " +
				"chronyc tracking where chrony runs. A service that its own conditions keep from starting, as in a container, counts as not there.",
			Outputs: []expr.Field{
				boolean("kept", "a service that keeps the clock is meant to run here: it is enabled, or runs"),
				boolean("running", "one runs"),
				str("unit", "the one that runs, else the one that is meant to; \"\" without one"),
				str("state", "its state: active, inactive, failed, ...; \"\" without one"),
				boolean("synchronised", "the kernel says so"),
				optional(double("offset_seconds", "how far the clock is from what chrony believes, whichever way; missing without chrony")),
				optional(boolean("has_source", "chrony follows a server; missing without chrony")),
				str("source", "which one; \"\" when it is not known"),
			},
			CostSeconds: 0.15,
		},
		read: func(ctx context.Context, rec *diagnostics.Recorder, _ diagnostics.Args) error {
			argv := append([]string{
				"systemctl", "show", "--no-pager", "-p",
				"Id,LoadState,ActiveState,UnitFileState,ConditionResult,ConditionTimestamp", "--",
			}, timeServices()...)
			show := rec.Run(ctx, rawShow, command(argv...))
			unit, err := timeUnit(readings{raws: []diagnostics.Raw{show}})
			if err != nil || unit == nil {
				return nil //nolint:nilerr // Parse says so
			}
			rec.Run(ctx, rawTimedatectl, command("timedatectl", "show", "-p", "NTPSynchronized"))
			if isChrony(unit) {
				rec.Run(ctx, rawTracking, command("chronyc", "-n", "-c", "tracking"))
			}
			return nil
		},
		parse: parseTimeSync,
	}
}

// timeUnit is the properties of the service that keeps the clock, or is meant
// to; nil without one.
func timeUnit(in readings) (map[string]string, error) {
	data, err := in.output(rawShow)
	if err != nil {
		return nil, err
	}
	blocks := properties(data)
	if len(blocks) == 0 {
		return nil, cannotTell(diagnostics.Failed, "show: no unit")
	}
	var meant map[string]string
	for _, p := range blocks {
		switch {
		case p["ActiveState"] == "":
			return nil, cannotTell(diagnostics.Failed, "show: no ActiveState")
		case p["LoadState"] != "loaded":
		case p["ActiveState"] == "active":
			return p, nil
		case p["ConditionTimestamp"] != "" && p["ConditionTimestamp"] != "n/a" && p["ConditionResult"] == "no":
		case strings.HasPrefix(p["UnitFileState"], "enabled") && meant == nil:
			meant = p
		}
	}
	return meant, nil
}

func isChrony(unit map[string]string) bool {
	return slices.Contains([]string{"chrony.service", "chronyd.service"}, unit["Id"]) && unit["ActiveState"] == "active"
}

func parseTimeSync(in readings) (diagnostics.Value, error) {
	unit, err := timeUnit(in)
	if err != nil {
		return nil, err
	}
	value := diagnostics.Value{"kept": unit != nil, "running": unit["ActiveState"] == "active", "unit": clip(unit["Id"], maxUnitBytes), "state": clip(unit["ActiveState"], maxCommand), "synchronised": true, "source": ""}
	if unit == nil {
		value["synchronised"] = expr.Unknown{Why: "no service keeps the clock here, which a container leaves to its host"}
		return value, nil
	}
	data, err := in.output(rawTimedatectl)
	if err != nil {
		return nil, err
	}
	blocks := properties(data)
	if len(blocks) != 1 || blocks[0]["NTPSynchronized"] == "" {
		return nil, cannotTell(diagnostics.Failed, "timedatectl: no NTPSynchronized")
	}
	value["synchronised"] = blocks[0]["NTPSynchronized"] == "yes"
	if !isChrony(unit) {
		return value, nil
	}
	line, err := in.output(rawTracking)
	if err != nil {
		return nil, err
	}
	// Reference id, name, stratum, time, then the offset in seconds, and last the leap status (chronyc(1), tracking).
	columns := strings.Split(strings.TrimSpace(string(line)), ",")
	if len(columns) < 14 {
		return nil, cannotTell(diagnostics.Failed, "chronyc: its output is not understood")
	}
	offset, err := strconv.ParseFloat(columns[4], 64)
	if err != nil || math.IsNaN(offset) || math.IsInf(offset, 0) {
		return nil, cannotTell(diagnostics.Failed, "chronyc: its output is not understood")
	}
	value["offset_seconds"], value["has_source"] = math.Abs(offset), columns[13] != "Not synchronised"
	value["source"] = clip(columns[1], maxReference)
	return value, nil
}
