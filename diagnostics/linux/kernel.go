package linux

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
)

// kernelScript prints the end of the kernel's ring buffer with the level of
// each line, and after it how that went and the uptime, by which a line's stamp
// becomes an age. The end is what counts when the buffer is larger than the bound.
const kernelScript = `{ dmesg -r 2>&1; s=$?; read -r up rest </proc/uptime; echo "end $s $up"; } | tail -c 262144`

const (
	kernelReach    = time.Hour // a ring buffer that was overwritten sooner is not enough
	maxKernelKind  = 200       // pairs of kind and object that are told
	maxOOMKills    = 20
	maxKernelBytes = 2 << 20 // of the journal; a line takes 400 bytes there
	rawKernel      = "dmesg"
	rawKernelLog   = "kernel_journal"
)

func kernelLog() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:  "kernel.log",
			Title: "What the kernel complained about since the boot",
			Doc: "dmesg -r, at most its last 256 KiB; journalctl -k -n 2000 where that is refused or reaches back less than an hour. " +
				"Lines that others wrote to /dev/kmsg do not count. The kinds are: " + strings.Join(kernelKinds(), ", ") + ". " +
				"The stamps of the kernel drift from the clock by up to some seconds a day. Denied to ordinary users where kernel.dmesg_restrict is 1.",
			Outputs: []expr.Field{
				str("source", "dmesg or journal"),
				integer("covered_seconds", "how far back it reaches; of what is older nothing is known"),
				boolean("since_boot", "it reaches back to the boot: no line of this boot is missing"),
				list("events", "one for each kind and object, newest first",
					str("kind", "oom_kill, io_error, segfault, ..."),
					str("object", "what it happened to: the device, program, interface, server, profile or cgroup; \"\" when none is named"),
					integer("pid", "of the process that is named; 0 when none is"),
					integer("count", "lines"),
					integer("last_hour", "lines of the last hour"),
					timestamp("at", "of the newest line"),
					integer("age_seconds", "of the newest line, when it was read"),
					integer("first_age_seconds", "of the oldest line"),
					str("message", "the newest line")),
				list("oom_kills", "processes killed for want of memory, the last 20, newest first",
					timestamp("at", "when"),
					integer("age_seconds", "how long ago"),
					boolean("in_cgroup", "a limit of a cgroup was hit (CONSTRAINT_MEMCG), not the memory of the host"),
					str("cgroup", "whose limit was hit; \"\" when it was the host, or is not said"),
					str("unit", "of the process that was killed; \"\" when it is not said"),
					integer("pid", "killed"),
					str("process", "its name"),
					size("rss", "bytes it held: anonymous, of files and shared"),
					str("largest", "the process with the most memory in the list that the kernel printed, whichever was killed; \"\" without that list"),
					integer("largest_pid", "its pid"),
					double("largest_percent", "its part of the memory of all processes in that list")),
			},
			CostSeconds: 0.03,
		},
		read:  readKernelLog,
		parse: parseKernelLog,
	}
}

func readKernelLog(ctx context.Context, rec *diagnostics.Recorder, _ diagnostics.Args) error {
	raw := rec.Run(ctx, rawKernel, command("sh", "-c", kernelScript))
	ring, err := ringBuffer(readings{raws: []diagnostics.Raw{raw}})
	if err != nil || ring.covered < kernelReach && !ring.sinceBoot {
		cmd := command("sh", "-c", journalScript, "sh", "-k", "--no-pager", "-o", "json", "-n", "2000", "--output-fields=MESSAGE,PRIORITY")
		cmd.MaxOutputBytes = maxKernelBytes
		rec.Run(ctx, rawKernelLog, cmd)
	}
	return nil
}

// kernelLine is one line that the kernel itself logged.
type kernelLine struct {
	age  time.Duration
	text string
}

// kernelLines are lines, oldest first, with how far back they reach.
type kernelLines struct {
	source    string
	at        time.Time // when they were read
	covered   time.Duration
	sinceBoot bool // nothing is missing before them
	lines     []kernelLine
}

// ringBuffer reads what kernelScript printed: "<6>[  125.033] text" and so on.
func ringBuffer(in readings) (kernelLines, error) {
	data, err := in.output(rawKernel)
	if err != nil {
		return kernelLines{}, err
	}
	raw, _ := in.raw(rawKernel)
	text := strings.TrimSuffix(string(data), "\n")
	cut := strings.LastIndexByte(text, '\n')
	end := strings.Fields(text[cut+1:])
	if len(end) != 3 || end[0] != "end" {
		return kernelLines{}, cannotTell(diagnostics.Failed, "%s: the output was cut", rawKernel)
	}
	uptime, err := strconv.ParseFloat(end[2], 64)
	if err != nil || !(uptime >= 0 && uptime < math.MaxInt32) {
		return kernelLines{}, cannotTell(diagnostics.Failed, "%s: no uptime", rawKernel)
	}
	text = text[:max(cut, 0)]
	if end[1] != "0" {
		status := diagnostics.Failed
		if strings.Contains(text, "Operation not permitted") || strings.Contains(text, "Permission denied") {
			status = diagnostics.Denied
		}
		return kernelLines{}, cannotTell(status, "%s: %s", rawKernel, clip(text, maxLineBytes))
	}
	ring := kernelLines{source: "dmesg", at: raw.At}
	for line := range strings.SplitSeq(text, "\n") {
		stamp, message, ok := ringLine(line)
		if !ok {
			continue // the first was cut, or it is not the kernel's own, or the rest of one with a line end in it
		}
		age := time.Duration(max(uptime-stamp, 0) * float64(time.Second))
		if len(ring.lines) == 0 {
			ring.covered, ring.sinceBoot = age, stamp == 0 // the clock of the stamps begins after the first lines
		}
		ring.lines = append(ring.lines, kernelLine{age, message})
	}
	if len(ring.lines) == 0 {
		return kernelLines{}, cannotTell(diagnostics.Failed, "%s: no line of the kernel", rawKernel)
	}
	if ring.sinceBoot {
		ring.covered = time.Duration(uptime * float64(time.Second))
	}
	return ring, nil
}

// ringLine reads "<LEVEL>[STAMP] text". A level of 8 and more is of a facility
// other than the kernel's (syslog(3)): somebody wrote to /dev/kmsg.
func ringLine(line string) (stamp float64, message string, ok bool) {
	level, rest, ok1 := strings.Cut(strings.TrimPrefix(line, "<"), ">[")
	seconds, message, ok2 := strings.Cut(rest, "] ")
	n, err1 := strconv.ParseUint(level, 10, 16)
	stamp, err2 := strconv.ParseFloat(strings.TrimSpace(seconds), 64)
	ok = ok1 && ok2 && strings.HasPrefix(line, "<") && err1 == nil && err2 == nil && n < 8 && stamp >= 0 && stamp < math.MaxInt32
	return stamp, message, ok
}

// journalLines reads what the journal kept of the kernel since the boot.
func journalLines(in readings) (kernelLines, error) {
	raw, err := in.ran(rawKernelLog)
	if err != nil {
		return kernelLines{}, err
	}
	entries, err := parseEntries(raw.Data)
	switch {
	case err != nil:
		return kernelLines{}, err
	case raw.ExitCode != 0:
		return kernelLines{}, cannotTell(diagnostics.Failed, "%s: exit status %d: %s", rawKernelLog, raw.ExitCode, raw.Error)
	case len(entries) == 0:
		return kernelLines{}, cannotTell(diagnostics.Failed, "%s: the journal has no line of the kernel", rawKernelLog)
	}
	log := kernelLines{
		source: "journal", at: raw.At, covered: max(raw.At.Sub(entries[0].at), 0), sinceBoot: strings.HasPrefix(entries[0].message, "Linux version "),
	}
	for _, e := range entries {
		log.lines = append(log.lines, kernelLine{max(raw.At.Sub(e.at), 0), e.message})
	}
	return log, nil
}

func parseKernelLog(in readings) (diagnostics.Value, error) {
	log, err := ringBuffer(in)
	if _, asked := in.raw(rawKernelLog); asked {
		if kept, errKept := journalLines(in); errKept == nil && (err != nil || kept.covered > log.covered) {
			log, err = kept, nil
		}
	}
	if err != nil {
		return nil, err
	}
	return diagnostics.Value{
		"source": log.source, "covered_seconds": seconds(log.covered), "since_boot": log.sinceBoot, "events": log.events(), "oom_kills": log.oomKills(),
	}, nil
}

// seconds is d in whole seconds.
func seconds(d time.Duration) int64 { return int64(d / time.Second) }

// kernelEvent counts the lines of one kind about one object.
type kernelEvent struct {
	kind, object    string
	pid             int64
	count, lastHour int64
	newest, oldest  kernelLine
}

// events groups the lines by kind and object.
func (l kernelLines) events() []any {
	found, known := map[[2]string]*kernelEvent{}, newClassifier()
	for _, line := range l.lines {
		c, ok := known.classify(line.text)
		if !ok {
			continue
		}
		e := found[[2]string{c.kind, c.object}]
		if e == nil {
			e = &kernelEvent{kind: c.kind, object: c.object, oldest: line}
			found[[2]string{c.kind, c.object}] = e
		}
		e.count++
		if line.age < time.Hour {
			e.lastHour++
		}
		e.newest, e.pid = line, c.pid
	}
	all := make([]*kernelEvent, 0, len(found))
	for _, e := range found {
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b *kernelEvent) int {
		return cmp.Or(cmp.Compare(a.newest.age, b.newest.age), strings.Compare(a.kind, b.kind), strings.Compare(a.object, b.object))
	})
	events := []any{}
	for _, e := range all[:min(len(all), maxKernelKind)] {
		events = append(events, map[string]any{
			"kind": e.kind, "object": clip(e.object, maxCommand), "pid": e.pid, "count": e.count, "last_hour": e.lastHour,
			"at": l.at.Add(-e.newest.age), "age_seconds": seconds(e.newest.age), "first_age_seconds": seconds(e.oldest.age),
			"message": clip(e.newest.text, maxLineBytes),
		})
	}
	return events
}
