package linux

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
	"github.com/secondline-ops/secondline/internal/remote"
)

const (
	rawBoots    = "boots"
	rawPrevious = "previous_boot"
	rawPstore   = "pstore"
)

func bootHistory() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:  "boot.history",
			Title: "When the host booted, and how it went down before",
			Doc: "/proc/uptime, the records of wtmp (last -x), the last 30 lines of the journal of the boot before, and what the kernel left in /sys/fs/pstore. " +
				"A host without wtmp and without a persistent journal cannot tell how it went down.",
			Outputs: []expr.Field{
				timestamp("booted_at", "when the kernel started"),
				integer("age_seconds", "how long ago"),
				boolean("known", "wtmp or the journal tell how it went down before; else the next three are false"),
				boolean("in_order", "a shutdown was recorded before this boot, or the journal of the boot before ends with one"),
				boolean("cut", "nothing recorded a shutdown before this boot: power, panic, or whoever runs the machine"),
				boolean("panicked", "the kernel left a crash record in pstore"),
				str("last_message", "the last line of the journal of the boot before; \"\" when there is none"),
				optional(timestamp("last_message_at", "when that was logged")),
			},
			CostSeconds: 0.2,
		},
		read:  readBoots,
		parse: parseBoots,
	}
}

func readBoots(ctx context.Context, rec *diagnostics.Recorder, _ diagnostics.Args) error {
	rec.File(ctx, rawUptime, fileUptime, maxProcBytes)
	rec.Run(ctx, rawBoots, command("last", "-x", "--time-format", "iso", "-n", "20", "reboot", "shutdown"))
	rec.Run(ctx, rawPrevious, command("sh", "-c", journalScript, "sh", "-b", "-1", "--no-pager", "-o", "json", "-n", "30",
		"--output-fields=MESSAGE,PRIORITY,_PID"))
	rec.Dir(ctx, rawPstore, "/sys/fs/pstore", 50)
	return nil
}

func parseBoots(in readings) (diagnostics.Value, error) {
	raw, err := in.whole(rawUptime)
	if err != nil {
		return nil, notAbsent(err)
	}
	uptime, err := firstNumber(string(raw.Data))
	if err != nil || !(uptime >= 0 && uptime < 1e9) {
		return nil, cannotTell(diagnostics.Failed, "%s is not understood", rawUptime)
	}
	age := time.Duration(uptime * float64(time.Second))
	value := diagnostics.Value{
		"booted_at": raw.At.Add(-age), "age_seconds": seconds(age), "panicked": in.hasCrashRecord(), "last_message": "",
	}
	order, told := in.recordedShutdown(raw.At.Add(-age))
	if last, inOrder, ok := in.previousBoot(); ok {
		value["last_message"], value["last_message_at"] = clip(last.message, maxLineBytes), last.at
		order, told = order || inOrder, true
	}
	value["known"], value["in_order"], value["cut"] = told, told && order, told && !order
	return value, nil
}

// recordedShutdown reads the records of wtmp, newest first: "reboot   system
// boot  6.1.0-18-amd64 2026-11-22T00:01:02+00:00 still running". It tells
// nothing unless the newest boot is the one of now, and something is older.
func (in readings) recordedShutdown(booted time.Time) (inOrder, told bool) {
	data, err := in.output(rawBoots)
	if err != nil {
		return false, false
	}
	var records [][]string
	for line := range strings.SplitSeq(string(data), "\n") {
		words := strings.Fields(line)
		if len(words) >= 5 && (words[0] == "reboot" || words[0] == "shutdown") {
			records = append(records, words)
		}
	}
	if len(records) < 2 || records[0][0] != "reboot" {
		return false, false
	}
	at, err := time.Parse(time.RFC3339, records[0][4])
	// The clock may have been set after the boot was recorded: an hour for time zones in hardware clocks is not enough, a day is.
	if err != nil || at.Sub(booted).Abs() > 24*time.Hour {
		return false, false
	}
	return records[1][0] == "shutdown", true
}

// previousBoot reads the end of the journal of the boot before.
func (in readings) previousBoot() (last entry, inOrder, ok bool) {
	raw, err := in.ran(rawPrevious)
	if err != nil || raw.ExitCode != 0 {
		return entry{}, false, false
	}
	entries, err := parseEntries(raw.Data)
	if err != nil || len(entries) == 0 {
		return entry{}, false, false
	}
	for _, e := range entries {
		for _, words := range shutdownWords() {
			inOrder = inOrder || strings.HasPrefix(e.message, words)
		}
	}
	return entries[len(entries)-1], inOrder, true
}

// shutdownWords are how the last lines of an orderly shutdown begin, with the
// targets as systemd 232 to 257 name them.
func shutdownWords() []string {
	return []string{
		"Journal stopped", "Shutting down.", "Reached target shutdown.target", "Reached target reboot.target", "Reached target poweroff.target",
		"Reached target System Reboot", "Reached target Power-Off", "Reached target Reboot", "Reached target System Power Off",
		"Reached target System Shutdown",
	}
}

// hasCrashRecord reports whether the kernel left what it said when it died
// ("dmesg-efi-…", "dmesg-erst-…", "dmesg-ramoops-0"), see pstore(8).
func (in readings) hasCrashRecord() bool {
	raw, err := in.whole(rawPstore)
	var entries []remote.FileInfo
	if err != nil || json.Unmarshal(raw.Data, &entries) != nil {
		return false
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name, "dmesg-") {
			return true
		}
	}
	return false
}
