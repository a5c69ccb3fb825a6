package bundle

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/controller/store"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/entity"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/runbooks"
)

// packer makes the files of a bundle. Everything goes through add, so that
// nothing gets past the manifest.
type packer struct {
	scrubber *scrubber
	files    map[string][]byte
	items    map[string]*Item
	total    int
	leftOut  []string
}

// pack redacts the parts and makes files and manifest of them.
func pack(in Input, raws map[string][]byte, bodies map[string]store.Body, leftOut []string) (*Bundle, error) {
	p := &packer{scrubber: newScrubber(), files: map[string][]byte{}, items: map[string]*Item{}, leftOut: leftOut}
	causes, books := in.Causes, in.Runbooks // reviewed files, whose digests are cited
	clean, err := scrub(p.scrubber, in)
	if err != nil {
		return nil, err
	}
	in = clean
	in.Causes, in.Runbooks = causes, books
	in.Excerpts = p.addRaws(in.Facts, raws)
	p.addBodies(in.Signals, bodies)
	p.addRuns(in.Incident.Runs)
	for _, doc := range causes {
		p.add(Item{Path: "causes/" + safeName(doc.Name), Name: doc.Digest}, doc.Body)
	}
	for _, doc := range books {
		p.add(Item{Path: "runbooks/" + safeName(doc.Name), Name: doc.Digest}, doc.Body)
	}
	in.LeftOut, in.Redactions = p.leftOut, maps.Clone(p.scrubber.total)
	if err := p.addDocuments(in); err != nil {
		return nil, err
	}
	return p.seal(in)
}

// add takes a file in. What would make the bundle too large, or stands on a
// path that is taken, is named instead.
func (p *packer) add(item Item, data []byte) bool {
	_, taken := p.files[item.Path]
	switch {
	case taken:
		p.leftOut = append(p.leftOut, item.Path+": there is another file of that name")
		return false
	case len(data) > maxFileBytes || p.total+len(data) > maxTotalBytes || len(p.files) >= maxFiles:
		p.leftOut = append(p.leftOut, fmt.Sprintf("%s: %d bytes would make the bundle too large", item.Path, len(data)))
		return false
	}
	item.Bytes, item.SHA256 = len(data), hexDigest(data)
	if item.Redactions == nil {
		item.Redactions = map[string]int{}
	}
	if item.Facts == nil {
		item.Facts = []string{}
	}
	p.total += len(data)
	p.files[item.Path], p.items[item.Path] = data, &item
	return true
}

// addRaws adds the raw outputs and makes the facts name their digests as they
// are here: redaction may have changed them. It returns the beginnings for the
// report, by digest.
func (p *packer) addRaws(facts []diagnostics.Fact, raws map[string][]byte) map[string]string {
	excerpts := map[string]string{}
	renamed := map[string]string{}
	for i := range facts {
		for j := range facts[i].Raws {
			raw := &facts[i].Raws[j]
			data, ok := raws[raw.SHA256]
			if !ok {
				continue
			}
			digest, known := renamed[raw.SHA256]
			if !known {
				clean, counts := p.scrubber.text(data)
				digest = hexDigest(clean)
				renamed[raw.SHA256] = digest
				if _, have := p.files[rawPath(digest)]; !have && !p.add(Item{
					Path: rawPath(digest), Redactions: counts, Name: raw.Name, Command: raw.Command, Host: facts[i].Target,
					Status: string(raw.Status), At: raw.At.UTC(), Truncated: raw.Truncated,
				}, clean) {
					continue
				}
				excerpts[digest] = excerpt(clean)
			}
			item, have := p.items[rawPath(digest)]
			if !have {
				continue
			}
			raw.SHA256, raw.Bytes = digest, item.Bytes
			if !slices.Contains(item.Facts, facts[i].ID) {
				item.Facts = append(item.Facts, facts[i].ID)
			}
		}
	}
	return excerpts
}

func rawPath(digest string) string { return "raw/" + safeName(digest) + ".txt" }

func (p *packer) addBodies(signals []incident.Signal, bodies map[string]store.Body) {
	for _, s := range signals {
		body, ok := bodies[s.BodyID]
		if !ok {
			continue
		}
		delete(bodies, s.BodyID)
		clean, counts := p.scrubber.text(body.Data)
		p.add(Item{
			Path: "bodies/" + safeName(s.BodyID) + ".txt", Redactions: counts, Name: s.BodyID, Host: s.Source,
			Status: string(body.Status), At: body.ReceivedAt.UTC(),
		}, clean)
	}
}

func (p *packer) addRuns(runs []incident.Run) {
	for i := range runs {
		run := &runs[i]
		if run.Plan != nil {
			p.add(Item{Path: "plans/" + safeName(run.ID) + ".txt", Name: run.Runbook, Host: run.Target, At: run.Plan.MadeAt.UTC()}, planText(run.Plan))
		}
		if run.Result == nil {
			continue
		}
		for n := range run.Result.Steps {
			step := &run.Result.Steps[n]
			base := fmt.Sprintf("%s-%02d-%s", safeName(run.ID), n+1, safeName(step.ID))
			if len(step.Transcript) > 0 {
				p.add(Item{
					Path: "transcripts/" + base + ".txt", Name: step.ID, Host: run.Target, Status: string(step.Status), At: step.StartedAt.UTC(),
				}, transcript(step.Transcript))
			}
			for _, name := range slices.Sorted(maps.Keys(step.Preserved)) {
				p.add(Item{Path: "preserved/" + base + "-" + safeName(name), Name: name, Host: run.Target, At: step.StartedAt.UTC()}, step.Preserved[name])
			}
			step.Preserved = nil // stands in its own file
		}
	}
}

func planText(p *runbooks.Plan) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s (%s) on %s\ndigest %s\nrunbook %s\neffect %s, at most %s\n", p.Title, p.Runbook, p.Target, p.Digest, p.RunbookDigest, p.Effect, p.WorstCase)
	for _, r := range p.Preconditions {
		fmt.Fprintf(&b, "requires %s: %s %s\n", r.That, r.Truth, r.Why)
	}
	if p.Refused != "" {
		fmt.Fprintf(&b, "refused: %s\n", p.Refused)
	}
	for _, s := range p.Steps {
		fmt.Fprintf(&b, "\nstep %s (%s, %s)\n", s.ID, s.Action, s.Effect)
		if len(s.Argv) > 0 {
			fmt.Fprintf(&b, "$ %s\n", remote.Quote(s.Argv))
		}
		if s.Skipped != "" {
			fmt.Fprintf(&b, "skipped: %s\n", s.Skipped)
		}
		fmt.Fprintf(&b, "verify: %s\nundo: %s\n%s\n", s.Verify, s.Undo, s.Diff)
	}
	return b.Bytes()
}

func transcript(list []runbooks.Exchange) []byte {
	var b bytes.Buffer
	for _, e := range list {
		fmt.Fprintf(&b, "%s $ %s\nas %q exit %d took %s %s\n", e.At.UTC().Format(stamp), e.Command, e.As, e.ExitCode, e.Took, e.Error)
		fmt.Fprintf(&b, "--- stdout\n%s\n--- stderr\n%s\n\n", e.Stdout, e.Stderr)
	}
	return b.Bytes()
}

// addDocuments adds what other programs read, and the report in its forms.
func (p *packer) addDocuments(in Input) error {
	report := Compose(in)
	for _, doc := range []struct {
		path string
		make func() ([]byte, error)
	}{
		{"incident.json", func() ([]byte, error) { return indented(in.Incident) }},
		{"subject.json", func() ([]byte, error) { return indented(in.Subject()) }},
		{"inventory.json", func() ([]byte, error) { return indented(map[string][]entity.Entity{"entities": in.Entities}) }},
		{"events.jsonl", func() ([]byte, error) { return lines(in.Events) }},
		{"facts.jsonl", func() ([]byte, error) { return lines(in.Facts) }},
		{"signals.jsonl", func() ([]byte, error) { return lines(in.Signals) }},
		{"report.json", func() ([]byte, error) { return indented(report) }},
		{"report.md", func() ([]byte, error) { return report.Markdown(), nil }},
		{"report.html", report.HTML},
	} {
		data, err := doc.make()
		if err != nil {
			return fmt.Errorf("write %s: %w", doc.path, err)
		}
		if !p.add(Item{Path: doc.path}, data) {
			return fault.New(fault.TooLarge, "%s with %d bytes does not fit into the bundle", doc.path, len(data))
		}
	}
	return nil
}

func (p *packer) seal(in Input) (*Bundle, error) {
	m := Manifest{
		Schema: Schema, Tool: "secondline", Version: in.Version, MadeAt: in.MadeAt, Incident: refOf(&in.Incident),
		Items: []Item{}, Redactions: p.scrubber.total, LeftOut: append([]string{}, p.leftOut...),
	}
	for _, item := range p.items {
		m.Items = append(m.Items, *item)
	}
	slices.SortFunc(m.Items, func(a, b Item) int { return cmp.Compare(a.Path, b.Path) })
	sealed, err := indented(m)
	if err != nil {
		return nil, fmt.Errorf("write manifest: %w", err)
	}
	return &Bundle{manifest: m, sealed: sealed, files: p.files}, nil
}

func refOf(in *incident.Incident) IncidentRef {
	return IncidentRef{ID: in.ID, Number: in.Number, Title: in.Title, Status: string(in.Status), Entity: in.Entity}
}

func indented(v any) ([]byte, error) {
	data, err := json.MarshalIndent(v, "", "  ")
	return append(data, '\n'), err
}

func lines[T any](list []T) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	for _, v := range list {
		if err := e.Encode(v); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

// safeName makes one path element of any text.
func safeName(s string) string {
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-@", r) {
			return r
		}
		return '_'
	}, path.Base("/"+s))
	if clean = strings.TrimLeft(clean, "."); clean == "" {
		return "unnamed"
	}
	return clean[:min(len(clean), 100)]
}
