package bundle

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/yamlx"
)

// chain leads from what was noticed to the cause: each link is so because of the
// next. It ends where the evidence ends.
func chain(in Input, r Report) []Link {
	inc := &in.Incident
	ids := eventIDs(in.Events, incident.EventOpened)
	links := []Link{{Kind: LinkSymptom, Statement: cite(inc.Title+" on "+orElse(inc.Entity, "something that is not in the inventory"), ids...)}}
	if r.Cause == nil {
		return append(links, Link{Kind: LinkOpen, Statement: cite("Here the evidence ends: no hypothesis is at least likely.")})
	}
	links = append(links, dependencies(in, inc.Entity, r.Cause.Entity)...)
	for _, s := range merged(r.Cause.For) {
		links = append(links, Link{Kind: LinkEvidence, Statement: s})
	}
	text := fmt.Sprintf("%s%s on %s (%s)", r.Cause.Title, objectText(r.Cause.Object), r.Cause.Entity, r.Cause.Band)
	return append(links, Link{Kind: LinkCause, Statement: cite(text, citesOf(r.Cause.For)...)})
}

// dependencies is how the inventory leads from one entity to another that it hangs on,
// the shortest way; nothing when it does not.
func dependencies(in Input, from, to string) []Link {
	if from == "" || from == to {
		return nil
	}
	byID := map[string]entity.Entity{}
	for _, e := range in.Entities {
		byID[e.ID] = e
	}
	cameFrom := map[string]string{from: ""}
	for queue := []string{from}; len(queue) > 0 && cameFrom[to] == ""; queue = queue[1:] {
		e := byID[queue[0]]
		for _, on := range slices.Concat(e.DependsOn, e.RunsOn) {
			if _, seen := cameFrom[on]; !seen {
				cameFrom[on] = e.ID
				queue = append(queue, on)
			}
		}
	}
	if cameFrom[to] == "" {
		return nil
	}
	links := []Link{}
	for at := to; at != from; at = cameFrom[at] {
		links = append(links, Link{Kind: LinkDependency, Statement: cite(cameFrom[at]+" hangs on "+at, "inventory")})
	}
	slices.Reverse(links)
	return links
}

// whys is the skeleton of a five-whys: what the evidence answers, links of one
// kind together, and then boxes for people.
func whys(links []Link) []Why {
	const five = 5
	out := []Why{}
	question := "Why was there an alert?"
	for i, l := range links {
		switch {
		case l.Kind == LinkOpen:
			continue
		case i > 0 && links[i-1].Kind == l.Kind:
			last := &out[len(out)-1].Answer
			*last = cite(last.Text+"; "+l.Text, citesOf([]Statement{*last, l.Statement})...)
			continue
		}
		out = append(out, Why{Question: question, Answer: l.Statement})
		question = "Why is that so?"
		if l.Kind == LinkCause {
			question = "Why could that happen?"
		}
	}
	for len(out) < five {
		out = append(out, Why{Question: question, Answer: cite("")})
		question = "Why is that so?"
	}
	return out
}

// gap says what was not noticed: how long it went on before the first alert, and
// what a diagnosis found that no alert named.
func gap(in Input) []Statement {
	out := []Statement{}
	first := time.Time{}
	for _, s := range in.Signals {
		if first.IsZero() || s.ReceivedAt.Before(first) {
			first = s.ReceivedAt
		}
	}
	opened := eventIDs(in.Events, incident.EventOpened)
	if late := first.Sub(in.Incident.OnsetAt); !first.IsZero() && !in.Incident.OnsetAt.IsZero() && late >= time.Minute {
		out = append(out, cite(fmt.Sprintf("It began %s before the first alert came.", late.Round(time.Second)), opened...))
	}
	if d := in.Incident.Diagnosis; d != nil && !d.Unknown && len(d.Hypotheses) > 0 && !d.Hypotheses[0].Explains {
		out = append(out, cite("No alert names this cause: it was found by looking.", citesOf(statements(d.Hypotheses[0].For))...))
	}
	return out
}

// changesRead is what the readings say was changed before and around the onset: by
// probes of changes, whose lists have a time in each element.
func changesRead(in Input) []Moment {
	out := []Moment{}
	for _, f := range in.Facts {
		if !strings.Contains(f.Probe, "change") || !f.Status.Tells() {
			continue
		}
		for _, value := range f.Value {
			list, ok := value.([]any)
			if !ok {
				continue
			}
			for _, element := range list {
				if m, ok := changeAt(element, f); ok && !slices.ContainsFunc(out, func(o Moment) bool { return o.At.Equal(m.At) && o.Text == m.Text }) {
					out = append(out, m)
				}
			}
		}
	}
	slices.SortFunc(out, func(a, b Moment) int {
		if c := b.At.Compare(a.At); c != 0 {
			return c
		}
		return strings.Compare(a.Text, b.Text)
	})
	const most = 20 // the newest: what is long past did not do it
	out = out[:min(len(out), most)]
	slices.Reverse(out)
	return out
}

func changeAt(element any, f diagnostics.Fact) (Moment, bool) {
	fields, ok := element.(map[string]any)
	if !ok {
		return Moment{}, false
	}
	stamp, _ := fields["at"].(string)
	at, err := time.Parse(time.RFC3339, stamp)
	if err != nil {
		return Moment{}, false
	}
	words := []string{}
	for _, name := range []string{"deed", "what", "name", "names", "package", "packages", "unit", "path", "old", "new", "by"} {
		if v, has := fields[name]; has {
			words = append(words, strings.Trim(fmt.Sprint(v), "[]"))
		}
	}
	return Moment{At: at.UTC(), Actor: f.Target, Kind: "change", Text: strings.Join(words, " "), Cites: []string{f.ID}}, true
}

// advice is what the file of a cause says besides its evidence.
func advice(in Input, cause string) (never, prevent []Statement) {
	for _, doc := range in.Causes {
		root, err := yamlx.Parse(doc.Name, doc.Body)
		if err != nil || root.Kind() != yamlx.Mapping {
			continue
		}
		if id, ok := root.Get("id"); !ok || textOf(id) != cause {
			continue
		}
		return textsBelow(root, "never", doc.Name), textsBelow(root, "prevent", doc.Name)
	}
	return []Statement{}, []Statement{}
}

func textsBelow(root *yamlx.Node, key, file string) []Statement {
	out := []Statement{}
	if list, ok := root.Get(key); ok && list.Kind() == yamlx.List {
		for _, item := range list.Items() {
			if text := textOf(item); text != "" {
				out = append(out, cite(text, "causes/"+safeName(file)))
			}
		}
	}
	return out
}

func textOf(n *yamlx.Node) string {
	text, _ := n.Scalar()
	return text
}

func orElse(text, other string) string {
	if text == "" {
		return other
	}
	return text
}
