package bundle

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/secondline-ops/secondline/agent/job"
	"github.com/secondline-ops/secondline/controller/incident"
	"github.com/secondline-ops/secondline/diagnostics"
	"github.com/secondline-ops/secondline/internal/fault"
)

// sources reads back what the bundle was built of. Without its records there is
// nothing to compare.
func (v *verifier) sources() (s sources, ok bool) {
	m := v.b.manifest
	s = sources{documents: map[string][]byte{}, raws: map[string]content{}, bodies: map[string]content{}}
	s.input = Input{Version: m.Version, MadeAt: m.MadeAt, LeftOut: m.LeftOut, Redactions: m.Redactions}
	for _, name := range documentNames() {
		data, err := v.b.File(name)
		if err == nil {
			err = readDocument(&s.input, name, data)
		}
		if err != nil {
			v.problem("%q cannot be read: %v", name, err)
			return s, false
		}
		s.documents[name] = data
	}
	items := map[string]Item{}
	for _, item := range m.Items {
		items[item.Path] = item
	}
	for _, fact := range s.input.Facts {
		for _, raw := range fact.Raws {
			if data, here := v.b.files[rawPath(raw.SHA256)]; here {
				s.raws[raw.SHA256] = content{data: data, redactions: items[rawPath(raw.SHA256)].Redactions}
			}
		}
	}
	for _, sig := range s.input.Signals {
		if data, here := v.b.files[bodyPath(sig.BodyID)]; here {
			item := items[bodyPath(sig.BodyID)]
			s.bodies[sig.BodyID] = content{data: data, redactions: item.Redactions, status: item.Status, at: item.At, cut: item.Truncated}
		}
	}
	s.preserved = preservedIn(v.b, items)
	s.input.Causes, s.input.Runbooks = documentsBelow(v.b, "causes"), documentsBelow(v.b, "runbooks")
	return s, true
}

func readDocument(in *Input, name string, data []byte) (err error) {
	switch name {
	case incidentFile:
		return json.Unmarshal(data, &in.Incident)
	case inventoryFile:
		var slice inventorySlice
		err = json.Unmarshal(data, &slice)
		if len(slice.Entities) > maxRecords {
			return fault.New(fault.TooLarge, "it has more than %d entities", maxRecords)
		}
		in.Entities = slice.Entities
	case eventsFile:
		in.Events, err = readLines[incident.Event](data)
	case factsFile:
		in.Facts, err = readLines[diagnostics.Fact](data)
	case signalsFile:
		in.Signals, err = readLines[incident.Signal](data)
	}
	return err
}

func preservedIn(b *Bundle, items map[string]Item) map[string]map[string]content {
	found := map[string]map[string]content{}
	for name, data := range b.files {
		rest, ok := strings.CutPrefix(name, "preserved/")
		if !ok {
			continue
		}
		base, ok := strings.CutSuffix(rest, "-"+safeName(items[name].Name))
		if !ok {
			continue // rebuild finds that nothing calls for it
		}
		if found[base] == nil {
			found[base] = map[string]content{}
		}
		found[base][items[name].Name] = content{data: data, cut: items[name].Truncated}
	}
	return found
}

func documentsBelow(b *Bundle, folder string) []job.Document {
	docs := []job.Document{}
	for _, name := range b.Files() {
		if path.Dir(name) == folder {
			docs = append(docs, job.Document{Name: path.Base(name), Digest: "sha256:" + hexDigest(b.files[name]), Body: b.files[name]})
		}
	}
	return docs
}

// rebuild builds the bundle again of its own sources and compares. Of a bundle
// that another version wrote, what people read may be worded or laid out
// differently; what it says must still be the same.
func (v *verifier) rebuild(s sources) {
	again, err := build(s)
	if err != nil {
		v.problem("the report cannot be made again of the records in the bundle: %v", err)
		return
	}
	names := slices.Concat(v.b.Files(), again.Files())
	slices.Sort(names)
	same := v.b.manifest.Version == v.check.Version
	for _, name := range slices.Compact(names) {
		have, isHere := v.b.files[name]
		want, isWanted := again.files[name]
		switch {
		case isHere && isWanted && bytes.Equal(have, want):
		case !isHere:
			v.problem("%q is missing, and the records in the bundle call for it", name)
		case !isWanted && same:
			v.problem("nothing in the bundle calls for %q", name)
		case name == reportFile:
			v.report(have, want, same)
		case same || strings.HasSuffix(name, ".json"):
			v.problem("%q says something else than the records in the bundle", name)
		default:
			v.result.Uncompared = append(v.result.Uncompared, name)
		}
	}
	v.manifest(again, same)
}

// report compares report.json, and names the fields that differ.
func (v *verifier) report(have, want []byte, same bool) {
	var told, composed Report
	if err := errors.Join(json.Unmarshal(have, &told), json.Unmarshal(want, &composed)); err != nil {
		v.problem("%q cannot be read: %v", reportFile, err)
		return
	}
	if !same && equalJSON(told.withoutWording(), composed.withoutWording()) {
		v.result.Uncompared = append(v.result.Uncompared, reportFile)
		return
	}
	v.problem("%q says something else than the records in the bundle%s", reportFile, differing(have, want))
}

// withoutWording leaves out what is not copied from the records but worded by
// the version that wrote the report.
func (r Report) withoutWording() Report {
	r.Answer, r.NotLookedAt, r.Impact, r.NotDone, r.Next = nil, nil, nil, nil, nil
	r.Chain, r.Changes, r.Gap, r.Never, r.Prevent, r.Whys = nil, nil, nil, nil, nil, nil
	r.Actions = slices.Clone(r.Actions)
	for i := range r.Actions {
		r.Actions[i].Decisions, r.Actions[i].Before, r.Actions[i].After = nil, Statement{}, Statement{}
	}
	r.Evidence = slices.Clone(r.Evidence)
	for i := range r.Evidence {
		r.Evidence[i].Raws = slices.Clone(r.Evidence[i].Raws)
		for j := range r.Evidence[i].Raws {
			r.Evidence[i].Raws[j].Excerpt = ""
		}
	}
	return r
}

// differing names the fields of two JSON objects that are not the same, as the
// end of a sentence; "" when that cannot be told.
func differing(have, want []byte) string {
	var a, b map[string]json.RawMessage
	if json.Unmarshal(have, &a) != nil || json.Unmarshal(want, &b) != nil {
		return ""
	}
	names := []string{}
	for name := range b {
		if !bytes.Equal(a[name], b[name]) {
			names = append(names, name)
		}
	}
	for name := range a {
		if _, known := b[name]; !known {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	const most = 8
	if len(names) == 0 {
		return ""
	}
	return fmt.Sprintf(", in %q", names[:min(len(names), most)])
}

// manifest compares what the manifest says of files and incident. Sizes and
// digests it does not compare: items has, with the files, and rebuild the files.
func (v *verifier) manifest(again *Bundle, same bool) {
	have, want := v.b.manifest, again.manifest
	wanted := map[string]Item{}
	for _, item := range want.Items {
		wanted[item.Path] = item
	}
	for _, item := range have.Items {
		other, ok := wanted[item.Path]
		other.Bytes, other.SHA256 = item.Bytes, item.SHA256
		if ok && !equalJSON(item, other) {
			v.problem("%s says something else of %q than the records in the bundle", manifestFile, item.Path)
		}
	}
	have.Items, want.Items = nil, nil
	if !equalJSON(have, want) {
		v.problem("%s says something else of the incident than the records in the bundle", manifestFile)
	}
	if same && len(v.result.Problems) == 0 && !bytes.Equal(v.b.sealed, again.sealed) {
		v.problem("%s is not written as a bundle's is", manifestFile)
	}
}

func equalJSON(a, b any) bool {
	x, xErr := json.Marshal(a)
	y, yErr := json.Marshal(b)
	return xErr == nil && yErr == nil && bytes.Equal(x, y)
}

func readLines[T any](data []byte) ([]T, error) {
	list := []T{}
	for d := json.NewDecoder(bytes.NewReader(data)); ; {
		var v T
		err := d.Decode(&v)
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return nil, err
		}
		if len(list) >= maxRecords {
			return nil, fault.New(fault.TooLarge, "it has more than %d records", maxRecords)
		}
		list = append(list, v)
	}
}
