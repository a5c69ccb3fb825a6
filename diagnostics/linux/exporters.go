package linux

import (
	"context"
	"strings"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
)

// exporterPatterns are what agents of monitoring systems call their units.
func exporterPatterns() []string {
	return []string{
		"*exporter*.service", "telegraf.service", "collectd.service", "zabbix-agent*.service", "netdata.service", "nrpe.service",
		"nagios-nrpe-server.service", "datadog-agent.service", "check-mk-agent*.service", "otelcol*.service", "grafana-agent.service", "alloy.service",
	}
}

func unitExporters() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:  "unit.exporters",
			Title: "Agents of the monitoring on the host",
			Doc:   "systemctl show of the units with their usual names, as far as systemd has them loaded: those that run, failed, or start at the boot.",
			Outputs: []expr.Field{list("units", "in the order of systemctl",
				str("unit", "name"),
				str("load_state", "loaded, masked, ..."),
				str("active_state", "active, inactive, failed, ..."),
				str("file_state", "enabled, disabled, masked, static, ..."),
				boolean("meant_to_run", "it is enabled and not masked"),
				integer("main_pid", "0 when it does not run"))},
			CostSeconds: 0.05,
		},
		read: func(ctx context.Context, rec *diagnostics.Recorder, _ diagnostics.Args) error {
			rec.Run(ctx, rawShow, command(append([]string{
				"systemctl", "show", "--no-pager", "-p",
				"Id,LoadState,ActiveState,UnitFileState,MainPID,Type", "--",
			}, exporterPatterns()...)...))
			return nil
		},
		parse: parseExporters,
	}
}

func parseExporters(in readings) (diagnostics.Value, error) {
	data, err := in.output(rawShow)
	if err != nil {
		return nil, err
	}
	units, seen, blocks := []any{}, map[string]bool{}, properties(data)
	if len(blocks) == 0 { // names without a pattern are always answered
		return nil, cannotTell(diagnostics.Failed, "show: no unit")
	}
	for _, p := range blocks {
		if p["Id"] == "" || p["ActiveState"] == "" {
			return nil, cannotTell(diagnostics.Failed, "show: a unit has no name or no state")
		}
		if p["LoadState"] == "not-found" || seen[p["Id"]] || p["Type"] == "oneshot" {
			continue // a collector that a timer starts is not meant to run on
		}
		seen[p["Id"]] = true
		pid, err := number(p, "MainPID", false)
		if err != nil {
			return nil, err
		}
		units = append(units, map[string]any{
			"unit": clip(p["Id"], maxUnitBytes), "load_state": clip(p["LoadState"], maxCommand), "active_state": clip(p["ActiveState"], maxCommand),
			"file_state": clip(p["UnitFileState"], maxCommand), "main_pid": pid,
			"meant_to_run": p["LoadState"] == "loaded" && strings.HasPrefix(p["UnitFileState"], "enabled"),
		})
	}
	return diagnostics.Value{"units": units}, nil
}
