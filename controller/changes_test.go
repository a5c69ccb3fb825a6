package controller

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/runbooks"
	"github.com/secondline-ops/secondline/runbooks/actions"
)

// catalogueOf loads the files; names that begin with "c" are causes.
func catalogueOf(t *testing.T, files map[string]string) *Catalogue {
	t.Helper()
	causes, books := fstest.MapFS{}, fstest.MapFS{}
	for name, text := range files {
		into := books
		if strings.HasPrefix(name, "c") {
			into = causes
		}
		into[name] = &fstest.MapFile{Data: []byte(text)}
	}
	c, err := LoadCatalogue(CatalogueSource{Causes: []fs.FS{causes}, Runbooks: []fs.FS{books}, Probes: probeSet(t), Decoders: actions.Decoders()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const plainBook = `apiVersion: secondline/v1
kind: Runbook
metadata: {name: rotate, title: Rotate}
spec:
  inputs: {limit: {type: percent, default: 85}}
  probes: {used: {probe: disk.usage, with: {mount: /var}}}
  require: [{that: used.used_percent > inputs.limit, because: it is not full}]
  steps:
    - {id: look, effect: read, run: [df]}
    - id: way
      choose:
        - if: used.used_percent > 90.0
          steps: [{id: cut, run: [logrotate, /etc/logrotate.conf], verify: {that: used.used_percent < inputs.limit}, undo: none}]
        - steps: [{id: nothing, note: there is room}]
  autonomy: approve
`

func TestChangesNameWhatMatters(t *testing.T) {
	t.Parallel()
	cause := `id: full
title: Full
entity: host
prior: 0.1
needs: {fs: {probe: disk.usage, with: {mount: /var}}}
symptoms: {holds: fs.used_percent >= percent(90), say: full, hold: 5m}
evidence:
  - {id: full, that: fs.used_percent >= percent(90), seen_if_cause: 0.9, seen_otherwise: 0.1, group: a, role: proof, say: full}
  - {id: there, that: fs.size > 0, seen_if_cause: 0.99, seen_otherwise: 0.5, group: b, role: required, say: there}
cures: [rotate]
`
	edit := strings.NewReplacer
	for name, c := range map[string]struct {
		file, before string
		edit         *strings.Replacer
		want         []string
	}{
		"autonomy":            {"r", plainBook, edit("autonomy: approve", "autonomy: auto"), []string{"autonomy: auto, before approve"}},
		"an input":            {"r", plainBook, edit("default: 85", "default: 20"), []string{`input limit: {"default":20,"type":"percent"}, before {"default":85,"type":"percent"}`}},
		"a step in a branch":  {"r", plainBook, edit("/etc/logrotate.conf", "/etc/other"), []string{`step cut: {"run":["logrotate","/etc/other"],"undo":"none","verify":{"that":"used.used_percent < inputs.limit"}}, before {"run":["logrotate","/etc/logrotate.conf"],"undo":"none","verify":{"that":"used.used_percent < inputs.limit"}}`}},
		"the branch":          {"r", plainBook, edit("> 90.0", "> 10.0"), []string{`step way: {"choose":[{"if":"used.used_percent > 10.0"},{}]}, before {"choose":[{"if":"used.used_percent > 90.0"},{}]}`}},
		"words only":          {"r", plainBook, edit("title: Rotate", "title: Turn", "kind:", "# a comment\nkind:"), []string{}},
		"a step more":         {"r", plainBook, edit("    - id: way", "    - {id: more, effect: read, run: [uptime]}\n    - id: way"), []string{`step more is new: {"effect":"read","run":["uptime"]}`}},
		"a step less":         {"r", plainBook, edit("    - {id: look, effect: read, run: [df]}\n", ""), []string{`step look is gone: {"effect":"read","run":["df"]}`}},
		"the order":           {"r", strings.Replace(plainBook, "    - id: way", "    - {id: two, effect: read, run: [id]}\n    - id: way", 1), edit("id: look, effect: read, run: [df]", "id: two, effect: read, run: [id]", "id: two, effect: read, run: [id]", "id: look, effect: read, run: [df]"), []string{"the order of steps: step two, step look, step way, step cut, step nothing, before step look, step two, step way, step cut, step nothing"}},
		"a precondition gone": {"r", plainBook, edit("  require: [{that: used.used_percent > inputs.limit, because: it is not full}]\n", ""), []string{`require is gone: [{"because":"it is not full","that":"used.used_percent > inputs.limit"}]`}},
		"the effect": {"r", plainBook, edit("undo: none}", "undo: none, effect: irreversible}"), []string{
			"effect: irreversible, before write", `step cut: {"effect":"irreversible","run":["logrotate","/etc/logrotate.conf"],"undo":"none","verify":{"that":"used.used_percent < inputs.limit"}}, before {"run":["logrotate","/etc/logrotate.conf"],"undo":"none","verify":{"that":"used.used_percent < inputs.limit"}}`,
		}},
		"evidence of a cause": {"c", cause, edit("0.9,", "0.8,", "title: Full", "title: Fuller"), []string{
			`evidence full: {"group":"a","id":"full","role":"proof","say":"full","seen_if_cause":0.8,"seen_otherwise":0.1,"that":"fs.used_percent >= percent(90)"}, before {"group":"a","id":"full","role":"proof","say":"full","seen_if_cause":0.9,"seen_otherwise":0.1,"that":"fs.used_percent >= percent(90)"}`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := c.file + ".yaml"
			changes := Changes(catalogueOf(t, map[string]string{file: c.before}), catalogueOf(t, map[string]string{file: c.edit.Replace(c.before)}))
			if len(changes) != 1 || changes[0].What != Changed || !strings.Contains(changes[0].Diff, "\n-") && !strings.Contains(changes[0].Diff, "\n+") {
				t.Fatalf("%+v", changes)
			}
			if d := cmp.Diff(c.want, changes[0].Matters); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestChangesMergeBothCatalogues(t *testing.T) {
	t.Parallel()
	book := func(name string) string {
		return strings.Replace(plainBook, "name: rotate", "name: "+name, 1)
	}
	before := catalogueOf(t, map[string]string{"r1.yaml": book("a"), "r2.yaml": book("b"), "r3.yaml": book("d")})
	after := catalogueOf(t, map[string]string{"r1.yaml": book("b"), "r2.yaml": book("c"), "r3.yaml": book("d"), "r4.yaml": book("e")})
	var got []string
	for _, c := range Changes(before, after) {
		got = append(got, c.What+" "+c.Name)
	}
	if d := cmp.Diff([]string{"removed a", "added c", "added e"}, got); d != "" {
		t.Error(d)
	}
	if list := Changes(before, before); len(list) != 0 {
		t.Errorf("no change: %+v", list)
	}
	added := Changes(catalogueOf(t, nil), before)[0]
	if !strings.Contains(strings.Join(added.Matters, "\n"), "effect: write\ninput limit: ") || !strings.HasPrefix(added.Diff, "diff /dev/null r1.yaml") {
		t.Errorf("%+v", added)
	}
}

func TestOnlyWhatIsVouchedForIsLoaded(t *testing.T) {
	t.Parallel()
	dir := fstest.MapFS{"a.yaml": {Data: []byte(plainBook)}}
	src := CatalogueSource{Signed: []fs.FS{dir}, Probes: probeSet(t), Decoders: actions.Decoders()}
	if c, err := LoadCatalogue(src); err != nil || len(c.Runbooks.All()) != 1 {
		t.Fatalf("nobody is asked: %v", err)
	}
	asked := 0
	src.Vouch = func(in fs.FS, rb *runbooks.Runbook) error {
		asked++
		if _, err := fs.Stat(in, rb.File); err != nil {
			t.Errorf("%s is not in its folder: %v", rb.File, err)
		}
		return fault.New(fault.Denied, "%s is not signed", rb.File)
	}
	if _, err := LoadCatalogue(src); !fault.Is(err, fault.Denied) || asked != 1 {
		t.Errorf("asked %d times: %v", asked, err)
	}
	src.Runbooks, src.Signed = src.Signed, nil
	if _, err := LoadCatalogue(src); err != nil {
		t.Errorf("a folder that is trusted: %v", err)
	}
}
