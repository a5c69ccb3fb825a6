package main

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/controller/api"
)

// screen is what a terminal shows of text, which may only use what a live view
// does: line breaks, and going up to erase what is below.
func screen(t *testing.T, text string) []string {
	t.Helper()
	up := regexp.MustCompile(`^\r\x1b\[(\d+)A\x1b\[J`)
	var lines []string
	for text != "" {
		if m := up.FindStringSubmatch(text); m != nil {
			n, _ := strconv.Atoi(m[1])
			if n > len(lines) {
				t.Fatalf("%d of %d lines are erased", n, len(lines))
			}
			lines, text = lines[:len(lines)-n], text[len(m[0]):]
			continue
		}
		line, rest, ok := strings.Cut(text, "\n")
		if !ok || strings.ContainsAny(line, "\x1b\r") {
			t.Fatalf("it writes %q", line)
		}
		lines, text = append(lines, line), rest
	}
	return lines
}

func atStep(output ...string) api.Progress {
	at := time.Date(2026, 3, 1, 3, 4, 5, 0, time.UTC)
	return api.Progress{Jobs: []api.JobProgress{{
		Kind: "run", Agent: "site-a", Target: "db1", Runbook: "truncate-runaway-log", Since: at,
		Step:   &api.StepProgress{ID: "cut", Number: 2, Of: 3, Action: "run", Status: "running", TimeoutSeconds: 300, Command: "logrotate -f x", Output: output, OutputCut: true, Since: at},
		Probes: []api.ProbeWait{{Probe: "disk.usage", Target: "db1", Since: at}},
	}}}
}

func TestLiveViewIsPaintedOverAndGoesAway(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	l := &liveView{w: &b, size: func() (int, int) { return 100, 24 }}
	l.show(atStep("one"))
	l.show(atStep("one", "two"))
	l.above(func() { fmt.Fprintln(&b, "an event") })
	want := []string{
		"an event",
		"running step cut (2 of 3, run) of truncate-runaway-log on db1 by agent site-a, since 03:04:05, time-",
		"  $ logrotate -f x", "  | …", "  | one", "  | two", "  waits for disk.usage on db1 since 03:04:05",
	}
	want[1] = want[1][:99]
	if got := screen(t, b.String()); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("it shows:\n%s", strings.Join(got, "\n"))
	}
	painted := b.Len()
	l.show(atStep("one", "two"))
	if b.Len() != painted {
		t.Error("what is there already is painted again")
	}
	l.show(api.Progress{Jobs: []api.JobProgress{{Kind: "diagnose", Agent: "site-a", Target: "db1", Since: time.Date(2026, 3, 1, 3, 4, 5, 0, time.UTC)}}})
	if got := screen(t, b.String()); len(got) != 2 || got[1] != "looking for the cause on db1 by agent site-a, since 03:04:05" {
		t.Errorf("a diagnosis: %q", got)
	}
	l.show(api.Progress{})
	if got := screen(t, b.String()); len(got) != 1 || got[0] != "an event" {
		t.Errorf("when nothing is done: %q", got)
	}
	l.show(atStep())
	l.end()
	l.above(func() {})
	if got := screen(t, b.String()); len(got) != 1 {
		t.Errorf("at the end: %q", got)
	}
}

func TestIncidentPageSaysWhatIsDoneNow(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	page := incidentPage{Incident: api.Incident{Jobs: atStep("one\x1b[2J").Jobs}}
	page.show(&b)
	for _, want := range []string{"right now", "running step cut (2 of 3, run) of truncate-runaway-log on db1", "time-out 5m0s", "  | one", "waits for disk.usage"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in:\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "\x1b") {
		t.Error("an escape came through")
	}
	b.Reset()
	page.Jobs = nil
	if page.show(&b); strings.Contains(b.String(), "right now") {
		t.Error("nothing is done, and it says so at length")
	}
}

func TestLiveViewFitsTheTerminalAndIsPaintedOnNoOther(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	l := &liveView{w: &b, size: func() (int, int) { return 20, 6 }}
	var output []string
	for range 50 {
		output = append(output, strings.Repeat("漢", 30)+"\x1b[2J\r\n\t")
	}
	l.show(atStep(output...))
	got := screen(t, b.String())
	if len(got) != 4 {
		t.Errorf("%d lines on a terminal of 6", len(got))
	}
	if last := []rune(got[3]); len(last) != 11 { // 4 columns and 7 wide ones: 18 of 19
		t.Errorf("%d runes: %q", len(last), got[3])
	}
	b.Reset()
	none := &liveView{w: &b}
	none.show(atStep("x"))
	none.above(func() {})
	none.end()
	if b.Len() != 0 {
		t.Errorf("not a terminal, and painted %q", b.String())
	}
}
