package bundle

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/secondline-ops/secondline/diagnostics"
)

func TestEveryClaimOfABundleHolds(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	first, b := written(t, assemble(t, newWorld(t, "x")), key)
	r := Verify(b, asked(t, key.Public()))
	if want := "3 of 3 claims hold, all files intact, signature valid"; r.String() != want || !r.Intact() {
		t.Errorf("%s; want %s; %q %+v", r, want, r.Problems, r.Claims)
	}
	if r := Verify(b, asked(t, newKey(t).Public())); r.Signature != SignatureNoKey || r.Signer == "" {
		t.Errorf("signature by a key that was not given: %s", r.Signature)
	}
	second, _ := written(t, assemble(t, newWorld(t, "x")), key)
	if !bytes.Equal(first, second) {
		t.Error("the same bundle gives other bytes")
	}
	_, unsigned := written(t, assemble(t, newWorld(t, "x")), nil)
	if r := Verify(unsigned, asked(t)); r.Signature != SignatureNone || !r.Intact() {
		t.Errorf("unsigned: %s", r)
	}
}

func TestEveryChangedFileIsFound(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	_, clean := written(t, assemble(t, newWorld(t, "x")), key)
	for _, name := range clean.Files() {
		_, b := written(t, clean, nil)
		b.files[name] = slices.Clone(b.files[name])
		b.files[name][len(b.files[name])/2] ^= 1
		if r := Verify(b, asked(t, key.Public())); r.Intact() || len(r.Problems) == 0 {
			t.Errorf("a flipped bit in %s was not found: %s", name, r)
		}
		delete(b.files, name)
		if r := Verify(b, asked(t, key.Public())); r.Intact() {
			t.Errorf("missing %s was not found", name)
		}
	}
	_, b := written(t, clean, nil)
	b.files["raw/more.txt"] = []byte("x")
	if r := Verify(b, asked(t, key.Public())); r.Intact() {
		t.Error("a file that is not in the manifest was not found")
	}
	_, b = written(t, clean, nil)
	b.sealed = bytes.Replace(b.sealed, []byte("1.2.3"), []byte("1.2.4"), 1)
	if r := Verify(b, asked(t, key.Public())); r.Signature != SignatureBad || r.Intact() {
		t.Errorf("a changed manifest: %s", r)
	}
}

// Whoever can forge digests still cannot make the raw bytes say something else.
func TestForgedFactsDoNotHold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "x")
	w.raws[w.facts[0].Raws[0].SHA256] = []byte("12\n") // stored under another digest: the report still says 97
	b := assemble(t, w)
	if r := Verify(b, asked(t)); r.Held() == len(r.Claims) || r.Intact() {
		t.Errorf("claims hold on other bytes: %s", r)
	}
}

// forged returns the bundle with one file changed and a manifest that fits it,
// unsigned: what somebody makes who can compute digests. data nil takes it out.
func forged(t *testing.T, b *Bundle, name string, data []byte) *Bundle {
	t.Helper()
	f := &Bundle{manifest: b.manifest, files: maps.Clone(b.files)}
	f.files[name] = data
	if data == nil {
		delete(f.files, name)
	}
	old := map[string]Item{}
	for _, item := range b.manifest.Items {
		old[item.Path] = item
	}
	f.manifest.Items = nil
	for _, path := range f.Files() {
		item, ok := old[path]
		if !ok {
			item = Item{Path: path, Redactions: map[string]int{}, Facts: []string{}}
		}
		item.Bytes, item.SHA256 = len(f.files[path]), hexDigest(f.files[path])
		f.manifest.Items = append(f.manifest.Items, item)
	}
	return resealed(t, f)
}

func resealed(t *testing.T, b *Bundle) *Bundle {
	t.Helper()
	sealed, err := indented(b.manifest)
	if err != nil {
		t.Fatal(err)
	}
	b.sealed, b.signature = sealed, nil
	return b
}

// contradicts reports whether the files do not fit each other, before any claim
// is made again.
func contradicts(b *Bundle) bool {
	v := verifier{b: b, check: Check{Version: "1.2.3"}}
	v.items()
	if s, ok := v.sources(); ok {
		v.rebuild(s)
	}
	return len(v.result.Problems) > 0
}

// readBack is the bundle as its reader gets it.
func readBack(t *testing.T, b *Bundle) *Bundle {
	t.Helper()
	_, back := written(t, b, nil)
	return back
}

// The forgery that once passed: the report in its three forms tells another
// story, everything else is left as it was.
func TestAForgedReportDoesNotVerify(t *testing.T) {
	t.Parallel()
	b := assemble(t, newWorld(t, "x"))
	var lie Report
	if err := json.Unmarshal(b.files[reportFile], &lie); err != nil {
		t.Fatal(err)
	}
	lie.Answer = []Statement{cite("bob did it."), cite("Fixed, and measured gone.")}
	lie.Actions, lie.Timeline = []Action{}, []Moment{{Seq: 1, Actor: "person:bob", Kind: "note", Text: "broke it"}}
	told, err := indented(lie)
	if err != nil {
		t.Fatal(err)
	}
	page, err := lie.HTML()
	if err != nil {
		t.Fatal(err)
	}
	forms := map[string][]byte{reportFile: told, "report.md": lie.Markdown(), "report.html": page}
	all := b
	for name, data := range forms {
		one := Verify(forged(t, b, name, data), asked(t))
		if one.Intact() || len(one.Problems) != 1 || !strings.Contains(one.Problems[0], strconv.Quote(name)) {
			t.Errorf("%s: %s: %q", name, one, one.Problems)
		}
		all = forged(t, all, name, data)
	}
	r := Verify(readBack(t, all), asked(t))
	if r.Intact() || r.VerifiedUnsigned() || len(r.Problems) != 3 {
		t.Errorf("%s: %q", r, r.Problems)
	}
	if want := `in ["actions" "answer" "timeline"]`; !strings.Contains(strings.Join(r.Problems, "\n"), want) {
		t.Errorf("it does not say %s: %q", want, r.Problems)
	}
}

// TestEveryFieldIsVouchedFor changes each kind of field of each document, with
// a manifest that fits. No signature helps to notice it.
func TestEveryFieldIsVouchedFor(t *testing.T) {
	t.Parallel()
	b := assemble(t, newWorld(t, "x"))
	if contradicts(forged(t, b, reportFile, b.files[reportFile])) {
		t.Fatal("nothing was changed")
	}
	for _, name := range b.Files() {
		switch {
		case strings.HasSuffix(name, ".json"):
			for field, data := range mutations(t, b.files[name]) {
				if !contradicts(forged(t, b, name, data)) {
					t.Errorf("%s %s: was not noticed", name, field)
				}
			}
		case strings.HasSuffix(name, ".jsonl"):
			all := bytes.SplitAfter(b.files[name], []byte("\n"))
			for i, line := range all[:len(all)-1] {
				for field, data := range mutations(t, line) {
					changed := slices.Clone(all)
					changed[i] = append(bytes.ReplaceAll(data, []byte("\n"), nil), '\n')
					if !contradicts(forged(t, b, name, bytes.Join(changed, nil))) {
						t.Errorf("%s line %d %s: was not noticed", name, i+1, field)
					}
				}
			}
		}
	}
	for field, data := range mutations(t, b.sealed) {
		f := &Bundle{sealed: data, files: b.files}
		if json.Unmarshal(data, &f.manifest) != nil {
			continue // Read refuses it
		}
		if !contradicts(f) {
			t.Errorf("manifest %s: was not noticed", field)
		}
	}
}

// mutations changes one field of a JSON document each time: every leaf once of
// its kind (list elements are of one kind), every list a bit longer, every
// object without one field and with one more.
func mutations(t *testing.T, data []byte) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	var tree any
	decode := func() {
		d := json.NewDecoder(bytes.NewReader(data))
		d.UseNumber()
		if err := d.Decode(&tree); err != nil {
			t.Fatal(err)
		}
	}
	decode()
	write := func(field string) {
		text, err := indented(tree)
		if err != nil {
			t.Fatal(err)
		}
		out[field] = text
	}
	var walk func(field string, node any, put func(any))
	walk = func(field string, node any, put func(any)) {
		if _, seen := out[field]; seen {
			return
		}
		put(changed(node))
		write(field)
		put(node)
		switch v := node.(type) {
		case map[string]any:
			for _, key := range slices.Sorted(maps.Keys(v)) {
				child := v[key]
				delete(v, key)
				write(field + "." + key + " taken out")
				v[key] = child
				walk(field+"."+key, child, func(n any) { v[key] = n })
			}
		case []any:
			for i := range v {
				walk(field+"[]", v[i], func(n any) { v[i] = n })
			}
		}
	}
	walk("", tree, func(n any) { tree = n })
	return out
}

func changed(node any) any {
	switch v := node.(type) {
	case string:
		return v + "x"
	case json.Number:
		return json.Number("1" + strings.TrimPrefix(v.String(), "-"))
	case bool:
		return !v
	case []any:
		if len(v) > 0 {
			return append(slices.Clone(v), v[0])
		}
		return []any{"x"}
	case map[string]any:
		more := maps.Clone(v)
		more["x"] = "x"
		return more
	}
	return "x"
}

// TestAnyChangedByteIsFound: of any file, with a manifest that fits it. The
// files that nothing is computed of (bodies, runbooks, what was preserved) too.
func TestAnyChangedByteIsFound(t *testing.T) {
	t.Parallel()
	b := assemble(t, newWorld(t, "x"))
	rapid.Check(t, func(rt *rapid.T) {
		name := rapid.SampledFrom(b.Files()).Draw(rt, "file")
		data := slices.Clone(b.files[name])
		at := rapid.IntRange(0, len(data)-1).Draw(rt, "at")
		with := rapid.ByteRange(1, 255).Draw(rt, "with")
		switch rapid.SampledFrom([]string{"flip", "cut", "insert", "append", "take out"}).Draw(rt, "how") {
		case "flip":
			data[at] ^= with
		case "cut":
			data = data[:at]
		case "insert":
			data = slices.Insert(data, at, with)
		case "append":
			data = append(data, with)
		case "take out":
			data = nil
		}
		if !contradicts(forged(t, b, name, data)) {
			rt.Fatalf("%s was changed, and not noticed", name)
		}
	})
}

// What a controller writes verifies, whatever the text is that came from outside.
func TestWhateverIsWrittenVerifies(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })).Draw(rt, "text")
		w := newWorld(t, text)
		w.facts[1].Value = diagnostics.Value{"percent": rapid.Float64Range(-1e300, 1e300).Draw(rt, "float"), "bytes": rapid.Int64().Draw(rt, "int")}
		w.in.Escalation.Reason = text
		_, b := written(t, assemble(t, w), key)
		if r := Verify(b, asked(t, key.Public())); !r.Verified() || len(r.Uncompared) > 0 {
			rt.Fatalf("%s: %q", r, r.Problems)
		}
	})
}

func TestABundleWithoutADiagnosisVerifiesAndProvesNothing(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	for name, without := range map[string]func(*world){
		"no diagnosis":   func(w *world) { w.in.Diagnosis = nil },
		"no hypothesis":  func(w *world) { w.in.Diagnosis.Hypotheses, w.in.Diagnosis.Unknown = nil, true },
		"nothing at all": func(w *world) { w.in.Diagnosis, w.facts, w.signals, w.in.Runs, w.in.Measured = nil, nil, nil, nil, nil },
	} {
		w := newWorld(t, "x")
		without(w)
		_, b := written(t, assemble(t, w), key)
		r := Verify(b, asked(t, key.Public()))
		if want := "it makes no claim, so nothing in it is proven, all files intact, signature valid"; !r.Verified() || r.String() != want {
			t.Errorf("%s: %s: %q", name, r, r.Problems)
		}
	}
}

// A bundle that is made up from beginning to end contradicts itself nowhere.
// Only a signature tells it from a true one.
func TestOnlyASignatureVouches(t *testing.T) {
	t.Parallel()
	key, other := newKey(t), newKey(t)
	_, unsigned := written(t, assemble(t, newWorld(t, "made up")), nil)
	if r := Verify(unsigned, asked(t, key.Public())); r.Verified() || !r.VerifiedUnsigned() {
		t.Errorf("unsigned: %+v", r)
	}
	_, strange := written(t, assemble(t, newWorld(t, "made up")), other)
	if r := Verify(strange, asked(t, key.Public())); r.Verified() || r.Signer != other.Public().Fingerprint() {
		t.Errorf("signed by somebody else: %+v", r)
	}
	if r := Verify(strange, asked(t)); r.Verified() {
		t.Errorf("no key was given: %+v", r)
	}
	if r := Verify(strange, asked(t, key.Public(), other.Public())); !r.Verified() {
		t.Errorf("its key was given, too: %+v", r)
	}
}

// Another version words and lays out otherwise. That is said; what the report
// says is compared nevertheless, and without a signature it does not pass.
func TestWhatAnotherVersionWorded(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	b := assemble(t, newWorld(t, "x"))
	check := asked(t, key.Public())
	check.Version = "2.0.0"
	if r := Verify(b, check); !r.VerifiedUnsigned() || r.WrittenBy != "1.2.3" {
		t.Errorf("worded the same by another version: %s: %q", r, r.Uncompared)
	}
	rewrite := func(change func(*Report)) *Bundle {
		var r Report
		if err := json.Unmarshal(b.files[reportFile], &r); err != nil {
			t.Fatal(err)
		}
		change(&r)
		data, err := indented(r)
		if err != nil {
			t.Fatal(err)
		}
		return forged(t, b, reportFile, data)
	}
	for name, other := range map[string]*Bundle{
		reportFile:                        rewrite(func(r *Report) { r.Answer[0].Text = "worded otherwise" }),
		"report.md":                       forged(t, b, "report.md", []byte("laid out otherwise")),
		"plans/run-1.txt":                 forged(t, b, "plans/run-1.txt", []byte("laid out otherwise")),
		"transcripts/run-1-01-vacuum.txt": forged(t, b, "transcripts/run-1-01-vacuum.txt", []byte("laid out otherwise")),
	} {
		r := Verify(other, check)
		if !r.Intact() || r.VerifiedUnsigned() || !slices.Equal(r.Uncompared, []string{name}) ||
			!strings.Contains(r.String(), "written by version 1.2.3: rendered text not compared") {
			t.Errorf("%s: %s: %q %q", name, r, r.Problems, r.Uncompared)
		}
		_, signed := written(t, other, key)
		if r := Verify(signed, check); !r.Verified() || len(r.Uncompared) != 1 {
			t.Errorf("%s, signed: %s: %q", name, r, r.Problems)
		}
	}
	for name, change := range map[string]func(*Report){
		"cause":          func(r *Report) { r.Cause.Title = "bob" },
		"band":           func(r *Report) { r.Cause.Band = diagnostics.Possible },
		"no cause":       func(r *Report) { r.Cause = nil },
		"timeline":       func(r *Report) { r.Timeline[0].Actor = "person:bob" },
		"action":         func(r *Report) { r.Actions[0].Status = "failed" },
		"no action":      func(r *Report) { r.Actions = nil },
		"fixed":          func(r *Report) { r.Incident.Fixed = "measured" },
		"evidence":       func(r *Report) { r.Evidence[0].Raws[0].Command = "df /other" },
		"nothing hidden": func(r *Report) { r.LeftOut = []string{"the truth"} },
		"version":        func(r *Report) { r.Version = "3" },
	} {
		if r := Verify(rewrite(change), check); r.Intact() {
			t.Errorf("%s: was not noticed: %s", name, r)
		}
	}
	for _, name := range []string{incidentFile, factsFile, "causes/disk-full.yaml", "runbooks/make-room.yaml", "bodies/b1.txt", subjectFile} {
		if r := Verify(forged(t, b, name, append(slices.Clone(b.files[name]), '\n')), check); r.Intact() {
			t.Errorf("%s: was not noticed", name)
		}
	}
}

// What was left out because the bundle grew too large is left out again.
func TestWhatIsLeftOutVerifies(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "x")
	w.in.Runs = append(w.in.Runs, w.in.Runs[0]) // its files stand on paths that are taken
	b := assemble(t, w)
	if len(b.Manifest().LeftOut) == 0 {
		t.Fatal("nothing was left out")
	}
	if r := Verify(readBack(t, b), asked(t)); !r.VerifiedUnsigned() {
		t.Errorf("%s: %q", r, r.Problems)
	}
}

func TestOnlySoManyProblemsAreNamed(t *testing.T) {
	t.Parallel()
	b := assemble(t, newWorld(t, "x"))
	for i := range 3 * maxProblems {
		b.files[fmt.Sprintf("more/%d", i)] = []byte("x")
	}
	if r := Verify(b, asked(t)); r.Intact() || len(r.Problems) != maxProblems+1 {
		t.Errorf("%d problems", len(r.Problems))
	}
}

func TestTooManyRecordsAreNotCompared(t *testing.T) {
	t.Parallel()
	b := assemble(t, newWorld(t, "x"))
	for name, data := range map[string][]byte{
		eventsFile:    bytes.Repeat([]byte("{}\n"), maxRecords+1),
		factsFile:     bytes.Repeat([]byte("{}\n"), maxRecords+1),
		signalsFile:   bytes.Repeat([]byte("{}\n"), maxRecords+1),
		inventoryFile: fmt.Appendf(nil, `{"entities":[{}%s]}`, strings.Repeat(",{}", maxRecords)),
	} {
		r := Verify(forged(t, b, name, data), asked(t))
		if r.Intact() || !strings.Contains(strings.Join(r.Problems, "\n"), "more than 20000") {
			t.Errorf("%s: %s: %q", name, r, r.Problems)
		}
	}
}

// What verify would not compare is not written: the oldest facts are left out, and named.
func TestNoMoreFactsAreWrittenThanAreCompared(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "x")
	w.facts = append(make([]diagnostics.Fact, maxRecords), w.facts...)
	g := gatherer{ctx: t.Context(), src: w}
	got, err := g.facts("inc-1")
	if err != nil || len(got) != maxRecords || got[maxRecords-1].ID != w.facts[len(w.facts)-1].ID {
		t.Errorf("%d facts, %v", len(got), err)
	}
	if want := []string{"facts before the last 20000"}; !slices.Equal(g.leftOut, want) {
		t.Errorf("left out: %q", g.leftOut)
	}
}
