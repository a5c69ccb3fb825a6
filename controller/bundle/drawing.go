package bundle

import (
	"fmt"
	"strings"
	"time"
)

// Measures of the drawn timeline, in the units of its view box.
const (
	drawnWidth   = 960
	drawnLeft    = 96 // where time begins; the names of the lanes stand before
	drawnRight   = 40
	drawnTop     = 26
	laneHeight   = 34
	mergeWithin  = 12 // marks nearer to each other are one
	mostTicks    = 7
	mostTellings = 8 // lines in the title of a mark
)

// drawing is the timeline as it is drawn.
type drawing struct {
	Width, Height, Left, Right, AxisY float64
	Lanes                             []lane
	Ticks                             []tick
	Onset                             float64 // 0 when it is not known
	OnsetAt                           string
}

type lane struct {
	Name, Class string
	Y, TextY    float64
	Marks       []drawnMark
}

// drawnMark is one moment of a lane, or several that lie close together.
type drawnMark struct {
	X, Y  float64
	Count int
	Href  string // id of the first one's row
	Title string
}

type tick struct {
	X    float64
	Text string
}

// draw lays the timeline out; ok is false when there is nothing to draw. The
// time before the first event is drawn only as far as the onset goes: older
// changes stand at the left edge.
func draw(r Report) (d drawing, ok bool) {
	var from, to time.Time
	include := func(t time.Time) {
		if !t.IsZero() && (from.IsZero() || t.Before(from)) {
			from = t
		}
		if t.After(to) {
			to = t
		}
	}
	for _, m := range r.Timeline {
		include(m.At)
	}
	if len(r.Timeline) == 0 {
		return d, false
	}
	include(r.Incident.OnsetAt)
	span := max(to.Sub(from), time.Second)
	from = from.Add(-span / 20)
	span += span / 20
	width := float64(drawnWidth - drawnLeft - drawnRight)
	x := func(t time.Time) float64 {
		return round(drawnLeft + width*min(1, max(0, float64(t.Sub(from))/float64(span))))
	}
	d = drawing{Width: drawnWidth, Left: drawnLeft, Right: drawnWidth - drawnRight}
	for i, l := range lanesOf(r) {
		l.Y = float64(drawnTop + i*laneHeight + laneHeight/2)
		l.TextY = l.Y + 4
		d.Lanes = append(d.Lanes, l.place(x))
	}
	d.AxisY = float64(drawnTop + len(d.Lanes)*laneHeight)
	d.Height = d.AxisY + 22
	if !r.Incident.OnsetAt.IsZero() {
		d.Onset, d.OnsetAt = x(r.Incident.OnsetAt), clock(r.Incident.OnsetAt)
	}
	d.Ticks = ticks(from, span, x)
	return d, true
}

func round(f float64) float64 { return float64(int(f*10+0.5)) / 10 }

// draft is a lane before its moments have places.
type draft struct {
	lane
	moments []Moment
}

func lanesOf(r Report) []draft {
	lanes := []draft{
		{lane: lane{Name: "changes", Class: "changes"}, moments: r.Changes},
		{lane: lane{Name: "alerts", Class: "alerts"}},
		{lane: lane{Name: "automation", Class: "machine"}},
		{lane: lane{Name: "people", Class: "people"}},
	}
	for _, m := range r.Timeline {
		n := 2
		switch {
		case strings.HasPrefix(m.Actor, "person:"):
			n = 3
		case m.Kind == "signal" || m.Kind == "opened" || strings.HasPrefix(m.Actor, "source:"):
			n = 1
		}
		lanes[n].moments = append(lanes[n].moments, m)
	}
	return lanes
}

// place puts the moments where their time is; close ones become one mark.
func (d draft) place(x func(time.Time) float64) lane {
	l := d.lane
	for _, m := range d.moments {
		at, text := x(m.At), m.At.UTC().Format("15:04:05 ")+m.Text
		if n := len(l.Marks); n > 0 && at-l.Marks[n-1].X < mergeWithin {
			last := &l.Marks[n-1]
			last.Count++
			switch {
			case last.Count <= mostTellings:
				last.Title += "\n" + text
			case last.Count == mostTellings+1:
				last.Title += "\n…"
			}
			continue
		}
		l.Marks = append(l.Marks, drawnMark{X: at, Y: l.Y, Count: 1, Href: rowID(m), Title: text})
	}
	return l
}

// rowID is the id of a moment's row in the table below the drawing.
func rowID(m Moment) string {
	if m.Seq == 0 {
		return anchor("change " + m.At.Format(time.RFC3339Nano) + m.Text)
	}
	return anchor(fmt.Sprintf("event %d", m.Seq))
}

// ticks are at round times.
func ticks(from time.Time, span time.Duration, x func(time.Time) float64) []tick {
	step := 24 * time.Hour
	for _, s := range []time.Duration{
		time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute,
		10 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour,
	} {
		if span/s < mostTicks {
			step = s
			break
		}
	}
	for span/step >= mostTicks {
		step *= 2
	}
	form := "15:04:05"
	switch {
	case step >= 24*time.Hour:
		form = "2 Jan"
	case step >= time.Minute:
		form = "15:04"
	}
	out := []tick{}
	for t := from.Truncate(step).Add(step); !t.After(from.Add(span)); t = t.Add(step) {
		out = append(out, tick{X: x(t), Text: t.UTC().Format(form)})
	}
	return out
}
