package linux

import (
	"bytes"
	"context"
	"strconv"
	"strings"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
)

// cpuScript prints twice, one second apart, the counters of the processors. The
// lines of grep begin with "/", so that nothing in a file can pass for a mark.
const cpuScript = `s() { echo sample; grep -asH '' /proc/stat /proc/net/softnet_stat /sys/devices/system/cpu/cpu*/thermal_throttle/core_throttle_count ` +
	`/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor; }; s; sleep 1; s; echo end`

func hostCPU() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:  "host.cpu",
			Title: "What the processors did within a second",
			Doc:   "/proc/stat, /proc/net/softnet_stat and thermal_throttle of sysfs twice, one second apart, see proc_stat(5). A container shows the readings of its host.",
			Outputs: []expr.Field{
				integer("cpus", "processors online"),
				integer("runnable", "tasks that ran or waited for a processor"),
				double("busy_percent", "of all processors: neither idle nor waiting for a disk"),
				double("iowait_percent", "idle, while a disk was waited for"),
				double("steal_percent", "taken by the hypervisor for others"),
				double("interrupt_percent", "in interrupts, hard and soft"),
				integer("interrupt_cpu", "the processor with the most interrupts"),
				double("interrupt_cpu_percent", "its share of that second in interrupts"),
				optional(integer("packets_dropped", "packets that the kernel dropped because a queue of a processor was full")),
				optional(integer("packets_squeezed", "times that the kernel ended its work on packets because its time was over")),
				optional(integer("throttled", "times that a processor was slowed down because of its heat; missing on virtual machines")),
				optional(str("governor", "of the frequency: performance, powersave, schedutil; missing on virtual machines")),
			},
			CostSeconds: 1.1,
		},
		read: func(ctx context.Context, rec *diagnostics.Recorder, _ diagnostics.Args) error {
			cmd := command("sh", "-c", cpuScript)
			cmd.MaxOutputBytes = maxProcNetBytes
			rec.Run(ctx, rawSamples, cmd)
			return nil
		},
		parse: parseCPU,
	}
}

// cpuSample is one reading of the counters.
type cpuSample struct {
	cpus               map[string][]uint64 // by "cpu" for all, "cpu0", …
	runnable           int64
	softnet            [][]uint64 // a line for each processor: processed, dropped, squeezed
	throttled          uint64
	hasHeat, hasQueues bool
	governor           string
}

// The columns of a "cpu" line, proc_stat(5).
const (
	cpuIdle    = 3
	cpuIOWait  = 4
	cpuIRQ     = 5
	cpuSoftIRQ = 6
	cpuSteal   = 7
	cpuColumns = 8 // guest time behind them is part of user time
)

func parseCPU(in readings) (diagnostics.Value, error) {
	data, err := in.output(rawSamples)
	if err != nil {
		return nil, err
	}
	parts, err := sampleParts(data, 2)
	if err != nil {
		return nil, err
	}
	before, ok1 := parseCPUSample(parts[0])
	after, ok2 := parseCPUSample(parts[1])
	if !ok1 || !ok2 {
		return nil, cannotTell(diagnostics.Failed, "%s: /proc/stat is not understood", rawSamples)
	}
	value := diagnostics.Value{"cpus": int64(len(after.cpus) - 1), "runnable": after.runnable, "interrupt_cpu": int64(0), "interrupt_cpu_percent": 0.0}
	all := shares(before.cpus["cpu"], after.cpus["cpu"])
	if all == nil {
		return nil, cannotTell(diagnostics.Failed, "%s: the counters of the processors went backwards", rawSamples)
	}
	value["busy_percent"] = max(100-all[cpuIdle]-all[cpuIOWait]-all[cpuSteal], 0)
	value["iowait_percent"], value["steal_percent"], value["interrupt_percent"] = all[cpuIOWait], all[cpuSteal], all[cpuIRQ]+all[cpuSoftIRQ]
	for name, counters := range after.cpus {
		number, err := strconv.ParseInt(strings.TrimPrefix(name, "cpu"), 10, 32)
		one := shares(before.cpus[name], counters)
		if err != nil || one == nil {
			continue // the line of all, or a processor that came or went
		}
		busy := one[cpuIRQ] + one[cpuSoftIRQ]
		if most, _ := value["interrupt_cpu_percent"].(float64); busy > most {
			value["interrupt_cpu"], value["interrupt_cpu_percent"] = number, busy
		}
	}
	addQueues(value, before, after)
	return value, nil
}

// addQueues adds what not every host has.
func addQueues(value diagnostics.Value, before, after cpuSample) {
	if after.hasQueues && len(before.softnet) == len(after.softnet) {
		var dropped, squeezed uint64
		for i, line := range after.softnet {
			dropped += counted(before.softnet[i][1], line[1])
			squeezed += counted(before.softnet[i][2], line[2])
		}
		value["packets_dropped"], value["packets_squeezed"] = toInt(dropped), toInt(squeezed)
	}
	if before.hasHeat && after.hasHeat {
		value["throttled"] = toInt(counted(before.throttled, after.throttled))
	}
	if after.governor != "" {
		value["governor"] = after.governor
	}
}

// counted is by how much a counter grew; one that went backwards was set anew.
func counted(before, after uint64) uint64 {
	if after < before {
		return 0
	}
	return after - before
}

// shares returns the percent of each column; nil when no time passed or a line
// is missing. A column may go backwards by a tick (proc_stat(5), iowait).
func shares(before, after []uint64) []float64 {
	if len(before) < cpuColumns || len(after) < cpuColumns {
		return nil
	}
	var total uint64
	for i := range cpuColumns {
		total += min(counted(before[i], after[i]), 1<<50)
	}
	if total == 0 {
		return nil
	}
	out := make([]float64, cpuColumns)
	for i := range cpuColumns {
		out[i] = percent(min(counted(before[i], after[i]), 1<<50), total)
	}
	return out
}

// sampleParts parts the output of a script that prints "sample" before each of
// its readings and "end" when it is done. Without the end it was cut.
func sampleParts(data []byte, want int) ([][]byte, error) {
	body, whole := bytes.CutSuffix(data, []byte("end\n"))
	var parts [][]byte
	for line := range bytes.Lines(body) {
		switch {
		case string(line) == "sample\n":
			parts = append(parts, nil)
		case len(parts) == 0:
			whole = false
		default:
			parts[len(parts)-1] = append(parts[len(parts)-1], line...)
		}
	}
	if !whole || len(parts) != want {
		return nil, cannotTell(diagnostics.Failed, "%s: the output has not the form of this host's usual tools", rawSamples)
	}
	return parts, nil
}

func parseCPUSample(data []byte) (cpuSample, bool) {
	s := cpuSample{cpus: map[string][]uint64{}}
	for _, l := range grepLines(data, '\n') {
		fields := strings.Fields(l.text)
		switch {
		case len(fields) == 0:
		case l.file == "/proc/stat" && strings.HasPrefix(fields[0], "cpu"):
			s.cpus[fields[0]] = numbers(fields[1:], 10)
		case l.file == "/proc/stat" && fields[0] == "procs_running" && len(fields) == 2:
			s.runnable, _ = strconv.ParseInt(fields[1], 10, 32)
		case l.file == "/proc/net/softnet_stat":
			if line := numbers(fields, 16); len(line) >= 3 {
				s.softnet, s.hasQueues = append(s.softnet, line), true
			}
		case strings.HasSuffix(l.file, "/core_throttle_count"):
			if n := numbers(fields, 10); len(n) == 1 {
				s.throttled, s.hasHeat = s.throttled+n[0], true
			}
		case strings.HasSuffix(l.file, "/scaling_governor"):
			s.governor = clip(fields[0], maxCommand)
		}
	}
	return s, len(s.cpus["cpu"]) >= cpuColumns && len(s.cpus) > 1 && s.runnable > 0
}

// numbers reads fields of digits; none when one is something else.
func numbers(fields []string, base int) []uint64 {
	out := make([]uint64, len(fields))
	for i, f := range fields {
		n, err := strconv.ParseUint(f, base, 64)
		if err != nil {
			return nil
		}
		out[i] = n
	}
	return out
}
