package diagnostics

import (
	"strings"
	"testing"
)

func TestSaysWhatTheHostShowsInsteadOfTheAlert(t *testing.T) {
	t.Parallel()
	cool := map[string]float64{"kitchen": 20, "cellar": 12}
	for name, c := range map[string]struct {
		heat      map[string]float64
		hints     map[string]string
		want, not string
	}{
		"the named object is fine": {
			heat: cool, hints: map[string]string{"alertname": "HeatHigh", "room": "kitchen"},
			want: "symptom not confirmed: kitchen has 20 degrees; nothing wrong was found",
		},
		"it names no object, and none shows it": {
			heat: cool, hints: map[string]string{"alertname": "HeatHigh"}, want: "symptom not confirmed: nothing on this host shows it",
		},
		"it names what is not there": {
			heat: cool, hints: map[string]string{"alertname": "HeatHigh", "room": "attic"}, want: "could not be told: room.state(room=attic)",
		},
		"another room is hot, the named one is not": {
			heat: map[string]float64{"kitchen": 20, "cellar": 45}, hints: map[string]string{"alertname": "HeatHigh", "room": "kitchen"},
			want: "symptom not confirmed: kitchen has 20 degrees", not: "cellar",
		},
		"no alert is no doubt":             {heat: cool, not: "symptom", want: "nothing wrong was found"},
		"an unknown alert is none":         {heat: cool, hints: map[string]string{"alertname": "Flood", "room": "kitchen"}, not: "symptom", want: "nothing wrong was found"},
		"what it says is really so":        {heat: map[string]float64{"kitchen": 80}, hints: map[string]string{"alertname": "HeatHigh", "room": "kitchen"}, not: "symptom", want: "fire (owner=ann, room=kitchen) is confirmed"},
		"what was read is named":           {heat: cool, want: "read: room.list"},
		"an unlikely cause is no headline": {heat: map[string]float64{"kitchen": 45}, hints: map[string]string{"alertname": "HeatHigh"}, want: "symptom not confirmed: kitchen has 45 degrees; nothing wrong was found", not: "fire"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, _, _ := diagnose(t, newWorld().rooms(c.heat, true, 5), host(c.hints), fireYAML)
			if !strings.Contains(d.Why, c.want) || c.not != "" && strings.Contains(d.Why, c.not) {
				t.Errorf("it says: %s\nwant %q, not %q", d.Why, c.want, c.not)
			}
		})
	}
}

// The object that an alert names is asked for its symptom only: the rest of
// what a cause needs may be dear to read, and says nothing about a healthy one.
func TestReadsOfTheNamedObjectOnlyItsSymptom(t *testing.T) {
	t.Parallel()
	w := newWorld().rooms(map[string]float64{"kitchen": 20}, true, 5)
	_, facts, _ := diagnose(t, w, host(map[string]string{"alertname": "HeatHigh", "room": "kitchen"}), fireYAML)
	read := map[string]bool{}
	for _, f := range facts {
		read[f.Probe] = true
	}
	if !read["room.state"] || read["room.history"] {
		t.Errorf("read: %v", read)
	}
}

func TestNothingFoundSaysWhatItCouldNotRead(t *testing.T) {
	t.Parallel()
	w := newWorld()
	delete(w.probes["room.list"].values, factKey("room.list", nil))
	d, _, _ := diagnose(t, w, host(map[string]string{"alertname": "HeatHigh"}), fireYAML, ashYAML)
	for _, want := range []string{"whether the symptom is there could not be told: room.list", "not readable: room.list, so 2 causes could not be ruled out"} {
		if !strings.Contains(d.Why, want) {
			t.Errorf("it does not say %q: %s", want, d.Why)
		}
	}
	if strings.Contains(d.Why, "not confirmed") {
		t.Errorf("it says more than was read: %s", d.Why)
	}
}

func TestASentenceNamesFewProbes(t *testing.T) {
	t.Parallel()
	names := []string{"a", "b", "c", "d", "e", "f", "g", "h", "h", "i", "j"}
	if got, want := someNames(names), "a, b, c, d, e, f, g, h and 2 more"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
