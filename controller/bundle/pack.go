package bundle

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/remote"
	"github.com/secondline-ops/secondline/runbooks"
)

// packer makes the files of a bundle. Everything goes through add, so that
// nothing gets past the manifest.
type packer struct {
	files   map[string][]byte
	items   map[string]*Item
	total   int
	leftOut []string
}

// build makes the bundle of its sources. It is pure, and it redacts nothing: the
// same sources give the same bytes, which is how Verify finds a forged one.
func build(s sources) (*Bundle, error) {
	p := &packer{files: map[string][]byte{}, items: map[string]*Item{}, leftOut: slices.Clone(s.input.LeftOut)}
	in := s.input
	in.Excerpts = p.addRaws(in.Facts, s.raws)
	p.addBodies(in.Signals, s.bodies)
	p.addPreserved(in.Incident.Runs, s.preserved)
	for _, doc := range in.Causes {
		p.add(Item{Path: "causes/" + safeName(doc.Name), Name: doc.Digest}, doc.Body)
	}
	for _, doc := range in.Runbooks {
		p.add(Item{Path: "runbooks/" + safeName(doc.Name), Name: doc.Digest}, doc.Body)
	}
	for _, name := range documentNames() {
		if err := p.require(name, s.documents[name]); err != nil {
			return nil, err
		}
	}
	in.MadeOf = p.list() // what follows is derived from what is there by now
	p.addRuns(in.Incident.Runs)
	in.LeftOut = p.leftOut
	if err := p.addReport(in); err != nil {
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
		p.skip(item.Path + ": there is another file of that name")
		return false
	case len(data) > maxFileBytes || p.total+len(data) > maxTotalBytes || len(p.files) >= maxFiles:
		p.skip(fmt.Sprintf("%s: %d bytes would make the bundle too large", item.Path, len(data)))
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

// skip names what was left out, once: a bundle that is built again of its own
// sources leaves the same out, and has its name already.
func (p *packer) skip(what string) {
	if !slices.Contains(p.leftOut, what) {
		p.leftOut = append(p.leftOut, what)
	}
}

// require adds a file without which there is no bundle.
func (p *packer) require(name string, data []byte) error {
	if !p.add(Item{Path: name}, data) {
		return fault.New(fault.TooLarge, "%s with %d bytes does not fit into the bundle", name, len(data))
	}
	return nil
}

// list returns what is there, in the order of the paths.
func (p *packer) list() []Item {
	list := []Item{}
	for _, name := range slices.Sorted(maps.Keys(p.items)) {
		list = append(list, *p.items[name])
	}
	return list
}

// addRaws adds the raw outputs that the facts cite, and returns their
// beginnings for the report, by digest.
func (p *packer) addRaws(facts []diagnostics.Fact, raws map[string]content) map[string]string {
	excerpts := map[string]string{}
	for _, fact := range facts {
		for _, raw := range fact.Raws {
			c, ok := raws[raw.SHA256]
			if !ok {
				continue
			}
			name := rawPath(raw.SHA256)
			if _, have := p.items[name]; !have && !p.add(Item{
				Path: name, Redactions: c.redactions, Name: raw.Name, Command: raw.Command, Host: fact.Target,
				Status: string(raw.Status), At: raw.At.UTC(), Truncated: raw.Truncated,
			}, c.data) {
				continue
			}
			excerpts[raw.SHA256] = excerpt(c.data)
			if item := p.items[name]; !slices.Contains(item.Facts, fact.ID) {
				item.Facts = append(item.Facts, fact.ID)
			}
		}
	}
	return excerpts
}

func rawPath(digest string) string { return "raw/" + safeName(digest) + ".txt" }

func bodyPath(id string) string { return "bodies/" + safeName(id) + ".txt" }

func (p *packer) addBodies(signals []incident.Signal, bodies map[string]content) {
	added := map[string]bool{}
	for _, s := range signals {
		c, ok := bodies[s.BodyID]
		if !ok || added[s.BodyID] {
			continue
		}
		added[s.BodyID] = true
		p.add(Item{Path: bodyPath(s.BodyID), Redactions: c.redactions, Name: s.BodyID, Host: s.Source, Status: c.status, At: c.at.UTC(), Truncated: c.cut}, c.data)
	}
}

// stepBase is how the files of a run's step begin: "run-7-02-vacuum".
func stepBase(runID string, n int, stepID string) string {
	return fmt.Sprintf("%s-%02d-%s", safeName(runID), n+1, safeName(stepID))
}

func (p *packer) addPreserved(runs []incident.Run, preserved map[string]map[string]content) {
	for i := range runs {
		if runs[i].Result == nil {
			continue
		}
		for n, step := range runs[i].Result.Steps {
			base := stepBase(runs[i].ID, n, step.ID)
			for _, name := range slices.Sorted(maps.Keys(preserved[base])) {
				c := preserved[base][name]
				p.add(Item{Path: preservedPath(base, name), Name: name, Host: runs[i].Target, At: step.StartedAt.UTC(), Truncated: c.cut}, c.data)
			}
		}
	}
}

func preservedPath(base, name string) string { return "preserved/" + base + "-" + safeName(name) }

// addRuns adds plans and transcripts as people read them; their fields stand in
// incident.json.
func (p *packer) addRuns(runs []incident.Run) {
	for i := range runs {
		run := &runs[i]
		if run.Plan != nil {
			p.add(Item{Path: "plans/" + safeName(run.ID) + ".txt", Name: run.Runbook, Host: run.Target, At: run.Plan.MadeAt.UTC()}, planText(run.Plan))
		}
		if run.Result == nil {
			continue
		}
		for n, step := range run.Result.Steps {
			if len(step.Transcript) > 0 {
				p.add(Item{
					Path: "transcripts/" + stepBase(run.ID, n, step.ID) + ".txt", Name: step.ID, Host: run.Target,
					Status: string(step.Status), At: step.StartedAt.UTC(),
				}, transcript(step.Transcript))
			}
		}
	}
}

func planText(p *runbooks.Plan) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s (%s) on %s\ndigest %s\nrunbook %s\neffect %s, at most %s\n", p.Title, p.Runbook, p.Target, p.Digest, p.RunbookDigest, p.Effect, p.WorstCase)
	for _, r := range p.Preconditions {
		fmt.Fprintf(&b, "requires %s: %s\n", r.Answer(), r.Sentence())
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

// addReport adds the report in its forms, and the subject it speaks of.
func (p *packer) addReport(in Input) error {
	report := Compose(in)
	for _, doc := range []struct {
		path string
		make func() ([]byte, error)
	}{
		{subjectFile, func() ([]byte, error) { return indented(in.Subject()) }},
		{reportFile, func() ([]byte, error) { return indented(report) }},
		{"report.md", func() ([]byte, error) { return report.Markdown(), nil }},
		{"report.html", report.HTML},
	} {
		data, err := doc.make()
		if err != nil {
			return fmt.Errorf("write %s: %w", doc.path, err)
		}
		if err := p.require(doc.path, data); err != nil {
			return err
		}
	}
	return nil
}

func (p *packer) seal(in Input) (*Bundle, error) {
	m := Manifest{
		Schema: Schema, Tool: "secondline", Version: in.Version, MadeAt: in.MadeAt, Incident: refOf(&in.Incident),
		Items: p.list(), Redactions: in.Redactions, LeftOut: append([]string{}, p.leftOut...),
	}
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
