package linux

import (
	"bytes"
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/expr"
)

// journalScript runs journalctl with both streams in one, because it says on
// standard error that it shows only a part, and exits 0.
const journalScript = `exec journalctl "$@" 2>&1`

const rawJournal = "journal"

func unitJournal() probe {
	return probe{
		spec: diagnostics.Spec{
			Name:   "unit.journal",
			Title:  "What a unit logged since the boot",
			Doc:    "journalctl -b -n 100 -o json of the unit: its own lines, and those of systemd about it.",
			Inputs: unitInput(),
			Outputs: []expr.Field{
				list("lines", "the last 100, oldest first; a line longer than 2000 bytes is cut",
					timestamp("at", "when the journal took it"),
					str("message", "what was logged")),
				boolean("start_limit_hit", "systemd gave up (\"Start request repeated too quickly.\"), and did not start it since"),
				integer("restart_counter", "the last \"restart counter is at N\"; 0 when there is none"),
				boolean("address_in_use", "a line says \"Address already in use\" (EADDRINUSE)"),
				str("last_error", "the last line of the unit itself that reads like an error; \"\" when there is none"),
			},
			CostSeconds: 0.3,
		},
		read: func(ctx context.Context, rec *diagnostics.Recorder, args diagnostics.Args) error {
			unit, err := unitName(args[argUnit])
			if err != nil {
				return err
			}
			rec.Run(ctx, rawJournal, command("sh", "-c", journalScript, "sh", "-b", "--no-pager", "-o", "json", "-n", "100",
				"--output-fields=MESSAGE,PRIORITY,_PID", "--unit="+unit))
			return nil
		},
		parse: parseUnitJournal,
	}
}

// entry is one line of the journal.
type entry struct {
	at       time.Time
	message  string
	priority int  // of syslog(3); 6 when it is not said
	systemd  bool // said by systemd about the unit
}

func parseUnitJournal(in readings) (diagnostics.Value, error) {
	raw, err := in.ran(rawJournal)
	if err != nil {
		return nil, err
	}
	entries, err := parseEntries(raw.Data)
	if err != nil {
		return nil, err
	}
	if raw.ExitCode != 0 {
		return nil, cannotTell(diagnostics.Failed, "journal: exit status %d: %s", raw.ExitCode, raw.Error)
	}
	lines := []any{}
	value := diagnostics.Value{"start_limit_hit": false, "restart_counter": int64(0), "address_in_use": false, "last_error": ""}
	for _, e := range entries {
		lines = append(lines, map[string]any{"at": e.at, "message": clip(e.message, maxLineBytes)})
		weigh(e, value)
	}
	value["lines"] = lines
	return value, nil
}

// weigh draws from one line what it says about the unit. Later lines win: a
// start after the start limit means that somebody reset it.
func weigh(e entry, value diagnostics.Value) {
	if strings.Contains(strings.ToLower(e.message), "address already in use") {
		value["address_in_use"] = true
	}
	if !e.systemd {
		if e.priority <= 3 || readsLikeError(e.message) {
			value["last_error"] = clip(e.message, maxLineBytes)
		}
		return
	}
	_, counter, counted := strings.Cut(e.message, "Scheduled restart job, restart counter is at ")
	switch {
	case strings.Contains(e.message, "Start request repeated too quickly."):
		value["start_limit_hit"] = true
	case strings.HasPrefix(e.message, "Starting "), strings.HasPrefix(e.message, "Started "):
		value["start_limit_hit"] = false
	case counted:
		if n, err := strconv.ParseUint(strings.TrimSuffix(counter, "."), 10, 32); err == nil {
			value["restart_counter"] = toInt(n)
		}
	}
}

// readsLikeError looks for the words with which programs give up. Most log
// their errors with the priority of all else.
func readsLikeError(message string) bool {
	message = strings.ToLower(message)
	for _, word := range []string{
		"error", "fail", "fatal", "cannot", "can't", "could not", "unable to", "panic", "emerg", "denied", "no such", "invalid",
	} {
		if strings.Contains(message, word) {
			return true
		}
	}
	return false
}

// parseEntries reads the lines of journalctl -o json. A line that is not JSON
// is a remark of journalctl, and most remarks mean that it does not show all.
func parseEntries(data []byte) ([]entry, error) {
	var entries []entry
	for line := range bytes.Lines(data) {
		text := strings.TrimSpace(string(line))
		switch {
		case text == "" || strings.HasPrefix(text, "-- "): // "-- No entries --"
		case text[0] == '{':
			e, ok := parseEntry(line)
			if !ok {
				return nil, cannotTell(diagnostics.Failed, "journal: a line is not understood")
			}
			entries = append(entries, e)
		case strings.HasPrefix(text, "Hint: You are currently not seeing messages"), strings.Contains(text, "insufficient permissions"):
			return nil, cannotTell(diagnostics.Denied, "journal: %s", clip(text, maxLineBytes))
		default:
			return nil, cannotTell(diagnostics.Failed, "journal: %s", clip(text, maxLineBytes))
		}
	}
	return entries, nil
}

// parseEntry reads one entry; its MESSAGE is a string, an array of bytes when it
// is not UTF-8, or null when it is too large to show (Journal JSON Format).
func parseEntry(line []byte) (entry, bool) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(line, &fields) != nil {
		return entry{}, false
	}
	micros, err := strconv.ParseInt(journalText(fields["__REALTIME_TIMESTAMP"]), 10, 64)
	if err != nil || micros < 0 || micros > 253402300799_000000 {
		return entry{}, false
	}
	e := entry{
		at:       time.UnixMicro(micros).UTC(),
		message:  journalText(fields["MESSAGE"]),
		priority: 6,
		systemd:  journalText(fields["_PID"]) == "1",
	}
	if n, err := strconv.Atoi(journalText(fields["PRIORITY"])); err == nil && n >= 0 {
		e.priority = n
	}
	return e, true
}

func journalText(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	var numbers []uint8Number
	if json.Unmarshal(raw, &numbers) != nil {
		return ""
	}
	out := make([]byte, len(numbers))
	for i, n := range numbers {
		out[i] = byte(n)
	}
	return string(out)
}

// uint8Number is a byte in an array of numbers; []byte would be read as base64.
type uint8Number uint8
