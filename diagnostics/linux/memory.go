package linux

import (
	"context"
	"math"
	"strconv"
	"strings"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
)

// memoryScript prints what the kernel says of its memory, and its counters
// again one second later: counted since the boot, they say nothing of now.
const memoryScript = `getconf PAGESIZE; grep -aHs '' /proc/meminfo /proc/pressure/memory /sys/kernel/mm/transparent_hugepage/enabled ` +
	`/proc/buddyinfo /proc/vmstat /proc/uptime; sleep 1; grep -aHs '' /proc/vmstat /proc/uptime; echo end`

const (
	rawMemory      = "memory"
	fileVMStat     = "/proc/vmstat"
	fileUptime     = "/proc/uptime"
	fileMeminfo    = "/proc/meminfo"
	fileBuddyinfo  = "/proc/buddyinfo"
	filePSIMemory  = "/proc/pressure/memory"
	fileTHP        = "/sys/kernel/mm/transparent_hugepage/enabled"
	highOrder      = 4       // 64 KiB with pages of 4 KiB: what network and file system drivers ask for
	maxVMStatValue = 1 << 62 // keeps differences and products apart from overflow
)

func memoryDetail() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:  "memory.detail",
			Title: "Where the memory is, and how hard the host works to find some",
			Doc: "/proc/meminfo, buddyinfo, pressure/memory, the setting of transparent huge pages, and /proc/vmstat twice, one second apart. " +
				"A container shows the readings of its host.",
			Outputs:     memoryFields(),
			CostSeconds: 1.1,
		},
		read: func(ctx context.Context, rec *diagnostics.Recorder, _ diagnostics.Args) error {
			rec.Run(ctx, rawMemory, command("sh", "-c", memoryScript))
			return nil
		},
		parse: parseMemoryDetail,
	}
}

func memoryFields() []expr.Field {
	return []expr.Field{
		size("total", "bytes of the host"),
		size("available", "bytes that can be had without swapping"),
		size("anonymous", "bytes of processes that no file backs"),
		size("shmem", "bytes in tmpfs and shared memory; counted as cache, and not reclaimable without swap"),
		size("slab_unreclaimable", "bytes of the kernel's own objects that it cannot give back"),
		size("slab_reclaimable", "bytes of the kernel's own objects that it can give back (dentries, inodes)"),
		size("page_tables", "bytes"),
		size("dirty", "bytes that wait to be written or are being written to a device"),
		size("dirty_limit", "bytes of those above which writers are made to wait"),
		size("huge_total", "bytes set aside as huge pages (HugePages_Total)"),
		size("huge_free", "bytes of those that nobody uses"),
		size("swap_total", "bytes"),
		size("swap_free", "bytes"),
		double("swapped_in", "bytes a second, now"),
		double("swapped_out", "bytes a second, now"),
		double("major_faults", "page faults that read a device, a second, now"),
		double("compact_stalls", "a second, now: a process waited while the kernel moved pages together"),
		double("direct_reclaims", "a second, now: a process had to free memory itself before it got some"),
		integer("oom_kills", "since the boot, of any limit; 0 on kernels before 4.13, which do not count"),
		integer("high_order_free", "free blocks of 16 pages and more in a row, outside of the DMA zones"),
		str("transparent_huge_pages", "always, madvise or never; \"\" when the kernel has none"),
		optional(double("pressure_some", "percent of the last 10 s in which some task waited for memory; missing without PSI")),
		optional(double("pressure_full", "percent of the last 10 s in which every task did")),
	}
}

// byFile groups the lines of grep -H by file, in order.
func byFile(lines []grepLine) map[string][]string {
	found := map[string][]string{}
	for _, l := range lines {
		found[l.file] = append(found[l.file], l.text)
	}
	return found
}

// counters reads "name value" lines.
func counters(lines []string) map[string]uint64 {
	found := make(map[string]uint64, len(lines))
	for _, line := range lines {
		name, text, _ := strings.Cut(line, " ")
		if n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 64); err == nil && n < maxVMStatValue {
			found[name] = n
		}
	}
	return found
}

// memorySample is the output of memoryScript, taken apart.
type memorySample struct {
	pageSize    uint64
	files       map[string][]string
	before, now map[string]uint64
	seconds     float64
}

func parseMemorySample(data []byte) (memorySample, error) {
	malformed := cannotTell(diagnostics.Failed, "%s: the output has not the form of this host's usual tools", rawMemory)
	text, ended := strings.CutSuffix(string(data), "end\n")
	first, rest, _ := strings.Cut(text, "\n")
	pageSize, err := strconv.ParseUint(first, 10, 31)
	half := strings.Index(rest, "\n"+fileUptime+":")
	if !ended || err != nil || half < 0 {
		return memorySample{}, malformed
	}
	end := strings.IndexByte(rest[half+1:], '\n') // of the line with the first uptime
	if end < 0 {
		return memorySample{}, malformed
	}
	files, later := byFile(grepLines([]byte(rest[:half+end+2]), '\n')), byFile(grepLines([]byte(rest[half+end+2:]), '\n'))
	if len(later[fileUptime]) != 1 || len(files[fileUptime]) != 1 {
		return memorySample{}, malformed
	}
	from, err1 := firstNumber(files[fileUptime][0])
	to, err2 := firstNumber(later[fileUptime][0])
	s := memorySample{pageSize: pageSize, files: files, before: counters(files[fileVMStat]), now: counters(later[fileVMStat]), seconds: to - from}
	_, has := s.now["pgmajfault"]
	if err1 != nil || err2 != nil || !(s.seconds > 0 && s.seconds < math.MaxInt32) || !has {
		return memorySample{}, malformed
	}
	return s, nil
}

// rate is how much the counters whose names begin so rose, for each second.
func (s memorySample) rate(prefix string) float64 {
	var rise uint64
	for name, n := range s.now {
		if o, had := s.before[name]; had && n > o && strings.HasPrefix(name, prefix) {
			rise += min(n-o, maxVMStatValue/8)
		}
	}
	return float64(rise) / s.seconds
}

func parseMemoryDetail(in readings) (diagnostics.Value, error) {
	data, err := in.output(rawMemory)
	if err != nil {
		return nil, err
	}
	s, err := parseMemorySample(data)
	if err != nil {
		return nil, err
	}
	kib, err := meminfo(s.files[fileMeminfo])
	if err != nil {
		return nil, err
	}
	huge := kib["Hugepagesize"]
	pages := float64(s.pageSize)
	value := diagnostics.Value{
		"dirty":       toInt(kib["Dirty"] + kib["Writeback"]),
		"dirty_limit": toInt(times(s.now["nr_dirty_threshold"], s.pageSize)),
		"huge_total":  toInt(times(kib["HugePages_Total"], huge)), "huge_free": toInt(times(kib["HugePages_Free"], huge)),
		"swapped_in": s.rate("pswpin") * pages, "swapped_out": s.rate("pswpout") * pages,
		"major_faults": s.rate("pgmajfault"), "compact_stalls": s.rate("compact_stall"), "direct_reclaims": s.rate("allocstall"),
		"oom_kills": toInt(s.now["oom_kill"]), "high_order_free": highOrderFree(s.files[fileBuddyinfo]),
		"transparent_huge_pages": chosen(s.files[fileTHP]),
	}
	for field, key := range map[string]string{
		"total": "MemTotal", "available": "MemAvailable", "anonymous": "AnonPages", "shmem": "Shmem", "slab_unreclaimable": "SUnreclaim",
		"slab_reclaimable": "SReclaimable", "page_tables": "PageTables", "swap_total": "SwapTotal", "swap_free": "SwapFree",
	} {
		n, has := kib[key]
		if !has {
			return nil, cannotTell(diagnostics.Failed, "%s: no %s", fileMeminfo, key)
		}
		value[field] = toInt(n)
	}
	for _, line := range s.files[filePSIMemory] {
		kind, _, _ := strings.Cut(line, " ")
		if avg10, ok := pressure([]byte("some" + strings.TrimPrefix(line, kind))); ok && (kind == "some" || kind == "full") {
			value["pressure_"+kind] = avg10
		}
	}
	return value, nil
}

// meminfo reads the sizes, as bytes, and the counts of huge pages, as they are.
func meminfo(lines []string) (map[string]uint64, error) {
	found := make(map[string]uint64, len(lines))
	for _, line := range lines {
		key, rest, _ := strings.Cut(line, ":")
		text, inKiB := strings.CutSuffix(strings.TrimSpace(rest), " kB")
		n, err := strconv.ParseUint(text, 10, 50)
		if err != nil {
			return nil, cannotTell(diagnostics.Failed, "%s: %s is not understood", fileMeminfo, clip(key, maxCommand))
		}
		if inKiB {
			n *= 1024
		}
		found[key] = n
	}
	return found, nil
}

// highOrderFree reads "Node 0, zone   Normal   10   8 …": the free blocks of 1, 2, 4, … pages.
func highOrderFree(lines []string) int64 {
	var blocks uint64
	for _, line := range lines {
		words := strings.Fields(line)
		if len(words) < 4+highOrder || strings.HasPrefix(words[3], "DMA") {
			continue
		}
		for _, text := range words[4+highOrder:] {
			if n, err := strconv.ParseUint(text, 10, 48); err == nil {
				blocks += n
			}
		}
	}
	return toInt(blocks)
}

// chosen is the word in brackets of "always [madvise] never".
func chosen(lines []string) string {
	for _, line := range lines {
		_, rest, open := strings.Cut(line, "[")
		if word, _, shut := strings.Cut(rest, "]"); open && shut && strings.Contains(" always madvise never ", " "+word+" ") {
			return word
		}
	}
	return ""
}
