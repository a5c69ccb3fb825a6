package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/secondline-ops/secondline/controller/api"
)

// liveView is the block at the bottom of a terminal that says what agents do
// now. It is painted over in place; whoever writes a line clears it first.
type liveView struct {
	w     io.Writer
	size  func() (width, height int) // of the terminal; nil when w is none: then nothing is painted
	now   []string                   // what is to be seen
	lines int                        // that are painted
}

func newLiveView(env *environment) *liveView {
	l := &liveView{w: env.stderr}
	if f, ok := env.stderr.(*os.File); ok && terminal(f) {
		l.size = func() (int, int) {
			width, height, err := term.GetSize(int(f.Fd()))
			if err != nil {
				return 80, 24
			}
			return width, height
		}
	}
	return l
}

// show paints what is done now in the place of what was.
func (l *liveView) show(p api.Progress) {
	now := progressLines(p.Jobs)
	if l.lines > 0 && slices.Equal(now, l.now) {
		return
	}
	l.clear()
	l.now = now
	l.paint()
}

// above lets write put lines above the block.
func (l *liveView) above(write func()) {
	l.clear()
	write()
	l.paint()
}

// paint writes the lines, none of them so long that it would wrap: what wraps
// could not be taken away again.
func (l *liveView) paint() {
	if l.size == nil {
		return
	}
	width, height := l.size()
	for _, line := range l.now[:max(0, min(len(l.now), height-2))] {
		fmt.Fprintln(l.w, fit(oneLine(strings.ReplaceAll(line, "\t", " ")), width-1))
		l.lines++
	}
}

// clear takes the block away.
func (l *liveView) clear() {
	if l.lines > 0 {
		fmt.Fprintf(l.w, "\r\x1b[%dA\x1b[J", l.lines)
		l.lines = 0
	}
}

// end takes the block away for good.
func (l *liveView) end() {
	l.clear()
	l.now = nil
}

// fit cuts the text to so many columns. Runes from U+1100 on count as two, as
// the wide ones do (Unicode UAX 11): too short is well, too long is not.
func fit(text string, columns int) string {
	for i, r := range text {
		columns--
		if r >= 0x1100 {
			columns--
		}
		if columns < 0 {
			return text[:i]
		}
	}
	return text
}

// progressLines says what agents do.
func progressLines(jobs []api.JobProgress) []string {
	var out []string
	for _, j := range jobs {
		if s := j.Step; s != nil {
			out = append(out, stepLine(j, *s))
			if s.Command != "" {
				out = append(out, "  $ "+s.Command)
			}
			if s.OutputCut {
				out = append(out, "  | …")
			}
			for _, line := range s.Output {
				out = append(out, "  | "+line)
			}
		} else {
			out = append(out, strings.TrimSpace(j.Doing()+" "+j.Runbook)+fmt.Sprintf(" on %s by %s, since %s", j.Target, doer(j), timeOfDay(j.Since)))
		}
		for _, p := range j.Probes {
			out = append(out, fmt.Sprintf("  waits for %s on %s since %s", p.Probe, p.Target, timeOfDay(p.Since)))
		}
	}
	return out
}

// doer is who does it: an agent, or the controller itself.
func doer(j api.JobProgress) string {
	if j.Agent == "" {
		return "asking Prometheus"
	}
	return "agent " + j.Agent
}

func stepLine(j api.JobProgress, s api.StepProgress) string {
	line := fmt.Sprintf("%s step %s", strings.ReplaceAll(s.Status, "_", " "), s.ID)
	if s.Number > 0 {
		line += fmt.Sprintf(" (%d of %d, %s)", s.Number, s.Of, s.Action)
	}
	line += fmt.Sprintf(" of %s on %s by agent %s, since %s", j.Runbook, j.Target, j.Agent, timeOfDay(s.Since))
	if s.TimeoutSeconds > 0 {
		line += fmt.Sprintf(", time-out %s", time.Duration(s.TimeoutSeconds*float64(time.Second)).Round(time.Second))
	}
	return line
}

func timeOfDay(t time.Time) string { return t.UTC().Format("15:04:05") }
