package bundle

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/diagnostics"
)

// reported is the report of a world as its bundle holds it.
func reported(t *testing.T, w *world) Report {
	t.Helper()
	s, err := redacted(material{input: Input{
		Version: "1.2.3", MadeAt: at(5), Incident: *w.in, Events: w.events, Signals: w.signals, Facts: w.facts, Causes: w.CauseDocuments(), Entities: w.Entities(nil),
	}, raws: map[string]content{}, bodies: map[string]content{}}, newScrubber(nil, nil))
	if err != nil {
		t.Fatal(err)
	}
	return Compose(s.input)
}

func kindsOf(links []Link) string {
	kinds := []string{}
	for _, l := range links {
		kinds = append(kinds, string(l.Kind))
	}
	return strings.Join(kinds, " ")
}

func TestTheChainLeadsFromTheSymptomToTheCause(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "x")
	w.in.Entity = "orders" // the alert came for a service two edges away
	r := reported(t, w)
	if got, want := kindsOf(r.Chain), "symptom dependency dependency evidence evidence cause"; got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
	if got, want := r.Chain[1].Text+"; "+r.Chain[2].Text, "orders hangs on postgres@db1; postgres@db1 hangs on db1"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for _, l := range r.Chain {
		if len(l.Cites) == 0 {
			t.Errorf("%q cites nothing", l.Text)
		}
	}
	if len(r.Whys) != 5 || r.Whys[1].Answer.Text != "orders hangs on postgres@db1; postgres@db1 hangs on db1" || r.Whys[3].Answer.Text == "" || r.Whys[4].Answer.Text != "" {
		t.Errorf("four answers and a box: %+v", r.Whys)
	}
}

// Where the evidence ends, the chain does: nothing is made up.
func TestWithoutACauseTheChainEndsOpen(t *testing.T) {
	t.Parallel()
	for name, without := range map[string]func(*world){
		"unknown":      func(w *world) { w.in.Diagnosis.Unknown = true },
		"no diagnosis": func(w *world) { w.in.Diagnosis = nil },
	} {
		w := newWorld(t, "x")
		without(w)
		r := reported(t, w)
		if got := kindsOf(r.Chain); got != "symptom open" {
			t.Errorf("%s: %s", name, got)
		}
		if r.Whys[1].Answer.Text != "" || len(r.Whys) != 5 || len(r.Never) != 0 {
			t.Errorf("%s: %+v", name, r.Whys)
		}
	}
	w := newWorld(t, "x")
	w.in.Entity = "elsewhere" // the inventory does not lead there
	if got := kindsOf(reported(t, w).Chain); strings.Contains(got, "dependency") {
		t.Errorf("a way that is not there: %s", got)
	}
}

// Every sentence that claims something cites what it rests on, and only what there is.
func TestEveryCitationLeadsSomewhere(t *testing.T) {
	t.Parallel()
	page := string(assemble(t, newWorld(t, "x")).files["report.html"])
	ids := regexp.MustCompile(` id="([^"]+)"`).FindAllStringSubmatch(page, -1)
	for _, m := range regexp.MustCompile(`href="#([^"]+)"`).FindAllStringSubmatch(page, -1) {
		if !slices.ContainsFunc(ids, func(id []string) bool { return id[1] == m[1] }) {
			t.Errorf("nothing has the id %s", m[1])
		}
	}
	if n := strings.Count(page, "<script") + strings.Count(page, "<style>"); n != 1 {
		t.Errorf("%d scripts and styles, want one style", n)
	}
}

func TestChangesAreReadFromTheFacts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "x")
	w.facts = append(w.facts, diagnostics.Fact{
		ID: "1:package.changes#1", Probe: "package.changes", Target: "db1", Status: diagnostics.OK, Raws: []diagnostics.Raw{}, At: at(1),
		Value: diagnostics.Value{"changes": []any{
			map[string]any{"at": at(0).Add(-time.Hour).Format(time.RFC3339), "deed": "upgrade", "name": "nginx <b>"}, map[string]any{"at": "never"}, "no object",
		}},
	})
	r := reported(t, w)
	if len(r.Changes) != 1 || r.Changes[0].Text != "upgrade nginx <b>" || !slices.Equal(r.Changes[0].Cites, []string{"1:package.changes#1"}) {
		t.Errorf("%+v", r.Changes)
	}
	d, ok := draw(r)
	if !ok || len(d.Lanes[0].Marks) != 1 || d.Lanes[0].Marks[0].X != drawnLeft {
		t.Errorf("an old change stands at the left edge: %+v", d.Lanes[0])
	}
	page, err := r.HTML()
	if err != nil || bytes.Contains(page, []byte("<b>")) {
		t.Errorf("markup of a package's name got through, %v", err)
	}
}

func TestWhatWasNoticedLateIsSaid(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "x")
	w.in.OnsetAt = at(0).Add(-10 * time.Minute)
	r := reported(t, w)
	if len(r.Gap) != 1 || r.Gap[0].Text != "It began 10m0s before the first alert came." {
		t.Errorf("%+v", r.Gap)
	}
	w.in.OnsetAt = at(0)
	if r := reported(t, w); len(r.Gap) != 0 {
		t.Errorf("noticed at once: %+v", r.Gap)
	}
}

func TestAdviceOfTheCauseIsCited(t *testing.T) {
	t.Parallel()
	in := Input{Causes: newWorld(t, "x").CauseDocuments()}
	in.Causes[0].Body = append(slices.Clone(in.Causes[0].Body), "never: [delete the journal]\nprevent: [watch it, 7]\n"...)
	never, prevent := advice(in, "disk-full")
	if len(never) != 1 || never[0].Text != "delete the journal" || never[0].Cites[0] != "causes/disk-full.yaml" || len(prevent) != 2 {
		t.Errorf("%+v %+v", never, prevent)
	}
	in.Causes[0].Body = []byte("{")
	if never, _ := advice(in, "disk-full"); len(never) != 0 {
		t.Errorf("of a file that cannot be read: %+v", never)
	}
}

// Whatever the times are, everything is drawn within the picture, and close
// moments become one mark.
func TestTheTimelineStaysInItsPicture(t *testing.T) {
	t.Parallel()
	for _, spread := range []time.Duration{0, time.Nanosecond, time.Second, time.Hour, 1000 * time.Hour, 100 * 365 * 24 * time.Hour} {
		r := Report{}
		for i := range 50 {
			r.Timeline = append(r.Timeline, Moment{Seq: int64(i + 1), At: at(0).Add(spread * time.Duration(i) / 50), Actor: "secondline", Kind: "step", Text: fmt.Sprint(i)})
		}
		r.Timeline = append(r.Timeline, Moment{Seq: 51, At: at(0).Add(spread), Actor: "person:ann", Kind: string(incident.EventNote)})
		d, ok := draw(r)
		if !ok || len(d.Ticks) > mostTicks+1 || d.Onset != 0 {
			t.Fatalf("%s: %d ticks, onset at %v", spread, len(d.Ticks), d.Onset)
		}
		n := 0
		for _, l := range d.Lanes {
			last := -100.0
			for _, m := range l.Marks {
				n += m.Count
				if m.X < d.Left || m.X > d.Right || m.X-last < mergeWithin || strings.Count(m.Title, "\n") > mostTellings {
					t.Errorf("%s: %+v after %v", spread, m, last)
				}
				last = m.X
			}
		}
		if n != 51 {
			t.Errorf("%s: %d of 51 moments are drawn", spread, n)
		}
	}
	if _, ok := draw(Report{}); ok {
		t.Error("nothing was drawn")
	}
}
