package logs

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// Line is one line of a log, without its time stamp, host and process.
type Line struct {
	Unit string // who logged it; "kernel" for the kernel
	Text string
}

// Window is a stretch of time and all lines of it.
type Window struct {
	Lines  []Line
	Length time.Duration // that the lines cover, not that was asked for
}

// Kind says how a template differs between the windows.
type Kind string

// The kinds of findings.
const (
	New   Kind = "new"   // not in the baseline
	Burst Kind = "burst" // more often than in the baseline
	Gone  Kind = "gone"  // only in the baseline, where it was regular
)

// Options say how lines are grouped and what is worth a finding. A field that
// is 0 takes its value from DefaultOptions.
type Options struct {
	Grouping Grouping // of the lines of each unit

	// Alpha is added to each count, so that what was never seen has a rate.
	Alpha float64
	// Share is the least part that the incident's lines have of those seen in it
	// and those expected.
	Share float64
	// Support is how many lines make a pattern: of a new template that is
	// Plain, of a burst, and both seen and expected of one that is gone. A new
	// template that complains needs no more than one line.
	Support int
	// Deviations is the least z of a burst: (seen − expected) / √expected.
	Deviations float64

	MaxFindings int // the best of them
}

// DefaultOptions has the cut-off of Nezha (FSE 2023, read in its code): a share
// of 0.67 and more than five lines. Half a line of smoothing is the Jeffreys
// prior of a rate, and three deviations are beyond the chance of a Poisson count.
func DefaultOptions() Options {
	return Options{Grouping: DefaultGrouping(), Alpha: 0.5, Share: 0.67, Support: 6, Deviations: 3, MaxFindings: 20}
}

func (o Options) withDefaults() Options {
	d := DefaultOptions()
	o.Grouping = o.Grouping.withDefaults()
	for _, f := range []struct{ field, value *float64 }{{&o.Alpha, &d.Alpha}, {&o.Share, &d.Share}, {&o.Deviations, &d.Deviations}} {
		if !(*f.field > 0) { // also for NaN
			*f.field = *f.value
		}
	}
	for _, f := range []struct{ field, value *int }{{&o.Support, &d.Support}, {&o.MaxFindings, &d.MaxFindings}} {
		if *f.field <= 0 {
			*f.field = *f.value
		}
	}
	return o
}

// Finding is a template that differs between the windows.
type Finding struct {
	Kind     Kind
	Unit     string
	Template string
	Example  string // the first line of it
	Severity Severity

	Before, After int     // lines
	Expected      float64 // lines in the incident, by the rate of the baseline
	Deviations    float64 // (After − Expected) / √Expected; 0 when none was expected
	Score         float64 // higher is more telling; see Compare

	// Unsure: lines of the baseline that this rests on were not there or lost to
	// a limit, or for a template that is gone all lines of the incident.
	Unsure bool
}

// String explains the score in a sentence.
func (f Finding) String() string {
	text := fmt.Sprintf("%s: %d seen, %.3g expected from %d in the baseline; score %.2f", f.Kind, f.After, f.Expected, f.Before, f.Score)
	if w := f.weight(); w != Plain {
		text += fmt.Sprintf(" = %.2f × %d (%s)", f.Score/float64(w), w, f.Severity)
	}
	return text
}

// weight is that of the severity; that a complaint stopped is no fault.
func (f Finding) weight() Severity {
	if f.Kind == Gone {
		return Plain
	}
	return f.Severity
}

// Report is what Compare found, best first.
type Report struct {
	Findings      []Finding
	LeftOff       int // findings beyond the limit
	Templates     int // kept at the end, of all units
	Before, After int // lines of the windows
	Lost          Lost
}

// Compare says what differs between an incident and the baseline before it. The
// lines of each unit are grouped by themselves. The score of a template that
// was seen c times in the incident of length T, and b times in the baseline of
// length B, is
//
//	weight of the severity · ( log((c+α)/T) − log((b+α)/B) )
//
// of the other sign and without weight for one that is gone, and never below 0.
// Length is time and not the number of lines, as it is for documents: a
// template that floods the log would else make all others look rare, and a unit
// that fell silent look as always. A length that is not positive makes the
// windows equally long. Findings with the same score are in the order of kind,
// unit and template.
func Compare(before, after Window, o Options) Report {
	o = o.withDefaults()
	report := Report{Before: len(before.Lines), After: len(after.Lines)}
	lines := byUnit(before.Lines, after.Lines)
	scale := 1.0
	if before.Length > 0 && after.Length > 0 {
		scale = float64(after.Length) / float64(before.Length)
	}
	found := 0
	for _, unit := range slices.Sorted(maps.Keys(lines)) {
		drain := NewDrain(o.Grouping)
		findings := o.compareUnit(drain, unit, lines[unit], scale)
		found += len(findings)
		for i, f := range findings {
			findings[i].Unsure = report.Before == 0 || f.Kind != Gone && drain.lost.Templates > 0 || f.Kind == Gone && report.After == 0
		}
		report.Findings = best(append(report.Findings, findings...), o.MaxFindings)
		report.Templates += len(drain.templates)
		report.Lost.Templates += drain.lost.Templates
		report.Lost.Lines += drain.lost.Lines
	}
	report.LeftOff = found - len(report.Findings)
	return report
}

// maxUnitBytes is the length of the longest unit name (systemd.unit(5)) and one.
const maxUnitBytes = 256

// unitLines are the lines of one unit, in the two windows.
type unitLines struct{ before, after []string }

func byUnit(before, after []Line) map[string]unitLines {
	units := map[string]unitLines{}
	for _, l := range before {
		of := units[l.Unit]
		of.before = append(of.before, l.Text)
		units[l.Unit] = of
	}
	for _, l := range after {
		of := units[l.Unit]
		of.after = append(of.after, l.Text)
		units[l.Unit] = of
	}
	return units
}

// compareUnit learns the baseline, then the incident, and judges each template
// by what it counted in between.
func (o Options) compareUnit(drain *Drain, unit string, lines unitLines, scale float64) []Finding {
	for _, l := range lines.before {
		drain.Learn(l)
	}
	before := map[*Template]int{}
	for _, t := range drain.templates {
		before[t] = t.Count
	}
	for _, l := range lines.after {
		drain.Learn(l)
	}
	var findings []Finding
	for _, t := range drain.templates {
		f := Finding{
			Unit: printable(cut(unit, maxUnitBytes)), Template: t.String(), Example: t.Example,
			Severity: severityIn(unit, t.String()),
			Before:   before[t], After: t.Count - before[t],
		}
		if o.judge(&f, scale) {
			findings = append(findings, f)
		}
	}
	return findings
}

// judge gives a finding its kind and numbers, and says whether it is one.
func (o Options) judge(f *Finding, scale float64) (kept bool) {
	f.Expected = float64(f.Before) * scale
	if f.Expected > 0 {
		f.Deviations = (float64(f.After) - f.Expected) / math.Sqrt(f.Expected)
	}
	switch {
	case f.Before == 0:
		f.Kind = New
		kept = f.After >= o.Support || f.Severity > Plain
	case f.After == 0:
		f.Kind = Gone
		kept = f.Before >= o.Support && f.Expected >= float64(o.Support)
	default:
		f.Kind = Burst
		share := float64(f.After) / (float64(f.After) + f.Expected)
		kept = f.After >= o.Support && share >= o.Share && f.Deviations >= o.Deviations
	}
	logRatio := math.Log(float64(f.After)+o.Alpha) - math.Log(scale*(float64(f.Before)+o.Alpha))
	if f.Kind == Gone {
		logRatio = -logRatio
	}
	f.Score = float64(f.weight()) * max(0, logRatio)
	return kept
}

// best returns the first findings in their order.
func best(findings []Finding, limit int) []Finding {
	slices.SortFunc(findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), strings.Compare(string(a.Kind), string(b.Kind)),
			strings.Compare(a.Unit, b.Unit), strings.Compare(a.Template, b.Template))
	})
	return findings[:min(limit, len(findings))]
}
