package linux

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
)

// ioScript prints what devices and processes have read and written, twice, one
// second apart. No line of these files holds text from outside.
const ioScript = `s() { grep -aHs '' /proc/diskstats /proc/uptime; grep -aHsE '^(read|write)_bytes' /proc/[0-9]*/io; }; s; sleep 1; s; echo end`

const (
	rawIO        = "io"
	rawIONames   = "names"
	maxDevices   = 10
	maxIOTop     = 10
	sectorBytes  = 512 // of /proc/diskstats, whatever the device has: Documentation/admin-guide/iostats.rst
	fileDiskstat = "/proc/diskstats"
)

func diskIO() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:  "disk.io",
			Title: "What reads and writes the disks now",
			Doc: "/proc/diskstats and /proc/PID/io twice, one second apart. What the kernel writes for a process later (writeback) counts for the process that made it dirty. " +
				"The processes of others are seen by root only.",
			Outputs: []expr.Field{
				list("devices", "those that had something to do, at most 10, busiest first; partitions and mappings too",
					str("name", "sda, sda1, dm-0"),
					double("busy_percent", "of the time in which it had something to do"),
					double("wait_ms", "from the request to the answer, on average; 0 without requests"),
					double("read", "bytes a second"), double("written", "bytes a second"),
					integer("queued", "requests under way")),
				list("processes", "the 10 that read and write most, most first",
					integer("pid", "process"), str("comm", "name, at most 15 bytes"), str("unit", "its systemd unit, \"\" when it is in none"),
					double("read", "bytes a second from devices"), double("written", "bytes a second to devices"),
					double("part_percent", "of what all processes read and wrote")),
				boolean("all_processes", "the readings of others' processes could be read"),
			},
			CostSeconds: 1.1,
		},
		read:  readIO,
		parse: parseIO,
	}
}

func readIO(ctx context.Context, rec *diagnostics.Recorder, _ diagnostics.Args) error {
	cmd := command("sh", "-c", ioScript)
	cmd.MaxOutputBytes = maxTopBytes
	raw := rec.Run(ctx, rawIO, cmd)
	s, err := parseIOSample(raw.Data)
	if err != nil {
		return nil //nolint:nilerr // Parse says so
	}
	argv := []string{"grep", "-asH", "", "--"}
	for _, p := range s.topProcesses() {
		argv = append(argv, fmt.Sprintf("/proc/%d/comm", p.pid), fmt.Sprintf("/proc/%d/cgroup", p.pid))
	}
	if len(argv) > 4 {
		rec.Run(ctx, rawIONames, command(argv...))
	}
	return nil
}

// ioRate is what a device or process did for each second of the sample.
type ioRate struct {
	pid                         int64
	name                        string
	read, written, busy, waited float64
	queued                      int64
}

func (r ioRate) bytes() float64 { return r.read + r.written }

type ioSample struct {
	devices, processes []ioRate // busiest first
	total              float64  // of all processes
}

func (s ioSample) topProcesses() []ioRate { return s.processes[:min(maxIOTop, len(s.processes))] }

func parseIOSample(data []byte) (ioSample, error) {
	malformed := cannotTell(diagnostics.Failed, "%s: the output has not the form of this host's usual tools", rawIO)
	text, ended := strings.CutSuffix(string(data), "end\n")
	second := strings.LastIndex(text, "\n"+fileUptime+":")
	if !ended || second < 0 {
		return ioSample{}, malformed
	}
	// Each sample begins with the devices.
	start := strings.LastIndex(text[:second], "\n"+fileUptime+":")
	if start < 0 {
		return ioSample{}, malformed
	}
	middle := strings.Index(text[start+1:], "\n"+fileDiskstat+":")
	if middle < 0 {
		return ioSample{}, malformed
	}
	at := start + 1 + middle + 1
	before, now := byFile(grepLines([]byte(text[:at]), '\n')), byFile(grepLines([]byte(text[at:]), '\n'))
	if len(before[fileUptime]) != 1 || len(now[fileUptime]) != 1 {
		return ioSample{}, malformed
	}
	from, err1 := firstNumber(before[fileUptime][0])
	to, err2 := firstNumber(now[fileUptime][0])
	if err1 != nil || err2 != nil || !(to-from > 0 && to-from < math.MaxInt32) {
		return ioSample{}, malformed
	}
	s := ioSample{devices: deviceRates(before[fileDiskstat], now[fileDiskstat], to-from)}
	if len(now[fileDiskstat]) == 0 {
		return ioSample{}, malformed
	}
	s.processes = processRates(before, now, to-from)
	for _, p := range s.processes {
		s.total += p.bytes()
	}
	return s, nil
}

// diskCounters are the fields of Documentation/admin-guide/iostats.rst.
func diskCounters(lines []string) map[string][]uint64 {
	found := map[string][]uint64{}
	for _, line := range lines {
		words := strings.Fields(line)
		if len(words) < 14 {
			continue
		}
		numbers := make([]uint64, 0, 11)
		for _, word := range words[3:14] {
			n, err := strconv.ParseUint(word, 10, 62)
			if err != nil {
				break
			}
			numbers = append(numbers, n)
		}
		if len(numbers) == 11 {
			found[words[2]] = numbers
		}
	}
	return found
}

func deviceRates(before, now []string, seconds float64) []ioRate {
	old := diskCounters(before)
	var rates []ioRate
	for name, n := range diskCounters(now) {
		o, had := old[name]
		if !had || strings.HasPrefix(name, "ram") {
			continue
		}
		grown := func(i int) float64 { return float64(n[i] - min(o[i], n[i])) }
		r := ioRate{
			name: name, read: grown(2) * sectorBytes / seconds, written: grown(6) * sectorBytes / seconds,
			busy: min(grown(9)/seconds/10, 100), queued: toInt(n[8]), // milliseconds of a second, in percent
		}
		if requests := grown(0) + grown(4); requests > 0 {
			r.waited = (grown(3) + grown(7)) / requests
		}
		if r.busy > 0 || r.bytes() > 0 || r.queued > 0 {
			rates = append(rates, r)
		}
	}
	slices.SortFunc(rates, func(a, b ioRate) int {
		return cmp.Or(cmp.Compare(b.busy, a.busy), cmp.Compare(b.bytes(), a.bytes()), strings.Compare(a.name, b.name))
	})
	return rates[:min(maxDevices, len(rates))]
}

func processRates(before, now map[string][]string, seconds float64) []ioRate {
	var rates []ioRate
	for _, file := range slices.Sorted(maps.Keys(now)) {
		pid, ok := procPID(file, "io")
		if !ok {
			continue
		}
		o, n := counters(before[file]), counters(now[file])
		if len(before[file]) == 0 { // it began meanwhile
			continue
		}
		grown := func(key string) float64 { return float64(n[key] - min(o[key], n[key])) }
		if r := (ioRate{pid: pid, read: grown("read_bytes:") / seconds, written: grown("write_bytes:") / seconds}); r.bytes() > 0 {
			rates = append(rates, r)
		}
	}
	slices.SortStableFunc(rates, func(a, b ioRate) int { return cmp.Compare(b.bytes(), a.bytes()) })
	return rates
}

func parseIO(in readings) (diagnostics.Value, error) {
	data, err := in.output(rawIO)
	if err != nil {
		return nil, err
	}
	s, err := parseIOSample(data)
	if err != nil {
		return nil, err
	}
	var names map[string][]string
	if raw, err := in.ran(rawIONames); err == nil { // grep(1): 1 and 2 say that a process has ended
		names = byFile(grepLines(raw.Data, '\n'))
	}
	devices, processes := []any{}, []any{}
	for _, d := range s.devices {
		devices = append(devices, map[string]any{
			"name": d.name, "busy_percent": d.busy, "wait_ms": d.waited, "read": d.read, "written": d.written, "queued": d.queued,
		})
	}
	for _, p := range s.topProcesses() {
		comm := strings.Join(names[fmt.Sprintf("/proc/%d/comm", p.pid)], " ")
		processes = append(processes, map[string]any{
			"pid": p.pid, "comm": clip(comm, maxCommand), "unit": cgroupUnit(names[fmt.Sprintf("/proc/%d/cgroup", p.pid)]),
			"read": p.read, "written": p.written, "part_percent": 100 * p.bytes() / s.total,
		})
	}
	// /proc/1/io is of another user, unless the agent is root.
	_, all := byFile(grepLines(data, '\n'))["/proc/1/io"]
	return diagnostics.Value{"devices": devices, "processes": processes, "all_processes": all}, nil
}
