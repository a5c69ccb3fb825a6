package linux

import (
	"bytes"
	"context"
	"math"
	"strconv"
	"strings"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
)

// maxProcBytes bounds the small files of /proc and /sys.
const maxProcBytes = 64 << 10

func hostLoad() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:  "host.load",
			Title: "Load, memory and pressure of the host",
			Doc:   "/proc/loadavg, meminfo, uptime, pressure (PSI, since Linux 4.20) and sys/kernel/random/boot_id; no process is started. A container shows the readings of its host.",
			Outputs: []expr.Field{
				double("load1", "load average over 1 minute"),
				double("load5", "over 5 minutes"),
				double("load15", "over 15 minutes"),
				integer("cpus", "processors online"),
				size("mem_total", "bytes"),
				size("mem_available", "bytes that can be had without swapping"),
				size("swap_total", "bytes"),
				size("swap_free", "bytes"),
				optional(double("psi_cpu", "percent of the last 10 s in which some task waited for a processor; missing without PSI")),
				optional(double("psi_io", "the same for input and output")),
				optional(double("psi_memory", "the same for memory")),
				integer("uptime_seconds", "since the boot"),
				str("boot_id", "another one after each boot"),
			},
			CostSeconds: 0.02,
		},
		read: func(ctx context.Context, rec *diagnostics.Recorder, _ diagnostics.Args) error {
			for _, f := range hostFiles() {
				rec.File(ctx, f.name, f.path, maxProcBytes)
			}
			return nil
		},
		parse: parseLoad,
	}
}

// Names of readings that are of one line each.
const (
	rawLoadavg = "loadavg"
	rawCPUs    = "cpus_online"
	rawMeminfo = "meminfo"
	rawUptime  = "uptime"
	rawBootID  = "boot_id"
)

func hostFiles() []struct{ name, path string } {
	return []struct{ name, path string }{
		{rawLoadavg, "/proc/loadavg"},
		{rawCPUs, "/sys/devices/system/cpu/online"},
		{rawMeminfo, "/proc/meminfo"},
		{rawUptime, "/proc/uptime"},
		{rawBootID, "/proc/sys/kernel/random/boot_id"},
		{"psi_cpu", "/proc/pressure/cpu"},
		{"psi_io", "/proc/pressure/io"},
		{"psi_memory", "/proc/pressure/memory"},
	}
}

func parseLoad(in readings) (diagnostics.Value, error) {
	text := map[string]string{}
	for _, name := range []string{rawLoadavg, rawCPUs, rawMeminfo, rawUptime, rawBootID} {
		raw, err := in.whole(name)
		if err != nil {
			return nil, notAbsent(err)
		}
		text[name] = strings.TrimSpace(string(raw.Data))
	}
	value := diagnostics.Value{"boot_id": text[rawBootID]}
	averages := strings.Fields(text[rawLoadavg])
	cpus, ok := countCPUs(text[rawCPUs])
	uptime, err := firstNumber(text[rawUptime])
	if len(averages) < 3 || !ok || err != nil || value["boot_id"] == "" {
		return nil, cannotTell(diagnostics.Failed, "a file of /proc is not understood")
	}
	for i, name := range []string{"load1", "load5", "load15"} {
		load, err := strconv.ParseFloat(averages[i], 64)
		if err != nil || math.IsNaN(load) || math.IsInf(load, 0) || load < 0 {
			return nil, cannotTell(diagnostics.Failed, "%s is not understood", rawLoadavg)
		}
		value[name] = load
	}
	value["cpus"], value["uptime_seconds"] = cpus, int64(uptime)
	if err := addMemory(value, text[rawMeminfo]); err != nil {
		return nil, err
	}
	for _, name := range []string{"psi_cpu", "psi_io", "psi_memory"} {
		if raw, err := in.whole(name); err == nil {
			if avg10, ok := pressure(raw.Data); ok {
				value[name] = avg10
			}
		}
	}
	return value, nil
}

// countCPUs counts "0-3,6,8-9".
func countCPUs(list string) (int64, bool) {
	var count int64
	for part := range strings.SplitSeq(list, ",") {
		low, high, isRange := strings.Cut(part, "-")
		if !isRange {
			high = low
		}
		from, err1 := strconv.ParseInt(low, 10, 32)
		to, err2 := strconv.ParseInt(high, 10, 32)
		if err1 != nil || err2 != nil || from < 0 || to < from {
			return 0, false
		}
		count += to - from + 1
	}
	return count, true
}

// addMemory adds the sizes of /proc/meminfo, which are in KiB.
func addMemory(value diagnostics.Value, meminfo string) error {
	fields := map[string]string{
		"MemTotal": "mem_total", "MemAvailable": "mem_available", "SwapTotal": "swap_total", "SwapFree": "swap_free",
	}
	for line := range strings.SplitSeq(meminfo, "\n") {
		key, rest, _ := strings.Cut(line, ":")
		name, wanted := fields[key]
		if !wanted {
			continue
		}
		size, unit := strings.CutSuffix(strings.TrimSpace(rest), " kB")
		n, err := strconv.ParseUint(size, 10, 64)
		if !unit || err != nil {
			return cannotTell(diagnostics.Failed, "%s: %s is not understood", rawMeminfo, key)
		}
		value[name] = toInt(times(n, 1024))
	}
	for key, name := range fields {
		if _, has := value[name]; !has {
			return cannotTell(diagnostics.Failed, "%s: no %s", rawMeminfo, key)
		}
	}
	return nil
}

// pressure is avg10 of "some avg10=0.22 avg60=0.17 avg300=1.11 total=58761459",
// see Documentation/accounting/psi.rst.
func pressure(data []byte) (float64, bool) {
	for line := range bytes.Lines(data) {
		rest, ok := strings.CutPrefix(string(line), "some avg10=")
		if !ok {
			continue
		}
		number, _, _ := strings.Cut(rest, " ")
		avg10, err := strconv.ParseFloat(number, 64)
		return avg10, err == nil && avg10 >= 0 && avg10 <= 100
	}
	return 0, false
}
