package faults

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// TestTheListIsWhole: every fault loads, and the kinds that make the benchmark
// honest are there.
func TestTheListIsWhole(t *testing.T) {
	t.Parallel()
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	decoys := map[string]int{}
	var healthy, unknown, together, chains, groups []string
	for _, f := range all {
		if f.Decoys != "" {
			decoys[f.Decoys]++
		}
		switch {
		case f.Healthy():
			healthy = append(healthy, f.ID)
		case f.Truth.Unknown:
			unknown = append(unknown, f.ID)
		case len(f.Together) > 0:
			together = append(together, f.ID)
		case len(f.Truth.Chain) > 1:
			chains = append(chains, f.ID)
		}
		if !slices.Contains(groups, f.Group) {
			groups = append(groups, f.Group)
		}
		for name, script := range map[string]string{"inject.sh": f.Inject, "injected.sh": f.Injected} {
			if strings.Contains(script, f.ID) {
				t.Errorf("%s of %s tells the truth to whoever reads what it leaves", name, f.ID)
			}
		}
	}
	if len(all) < 40 || len(healthy) < 3 || len(unknown) < 3 || len(together) < 2 || len(chains) < 3 {
		t.Errorf("%d faults; healthy %v, unknown %v, together %v, chains %v", len(all), healthy, unknown, together, chains)
	}
	for _, group := range []string{"A", "B", "C", "D", "E", "F", "G", "H"} {
		if !slices.Contains(groups, group) {
			t.Errorf("nothing of group %s", group)
		}
	}
	sets := 0
	for _, n := range decoys {
		if n > 1 {
			sets++
		}
	}
	if sets < 2 {
		t.Errorf("decoys: %v", decoys)
	}
}

func TestMistakesAreNamed(t *testing.T) {
	t.Parallel()
	good := "title: x\ngroup: A\nhost: app1\nhosts: [app2]\nalerts: [Y]\ntruth: {cause: z}\n"
	folder := func(text string) fstest.MapFS {
		script := &fstest.MapFile{Data: []byte("true\n")}
		return fstest.MapFS{"f/fault.yaml": {Data: []byte(text)}, "f/inject.sh": script, "f/injected.sh": script, "f/heal.sh": script}
	}
	for _, c := range []struct{ name, text, want string }{
		{"good", good, ""},
		{"typo", good + "hots: [x]\n", "field hots not found"},
		{"no title", strings.Replace(good, "title: x", "title: ''", 1), "no title"},
		{"no group", strings.Replace(good, "group: A", "group: Q", 1), "group"},
		{"a piece of a group's name", strings.Replace(good, "group: A", "group: heal", 1), "group"},
		{"two groups", strings.Replace(good, "group: A", "group: A B", 1), "group"},
		{"no way to see it", strings.Replace(good, "alerts: [Y]\n", "", 1), "alerts or a complaint"},
		{"cause and unknown", strings.Replace(good, "{cause: z}", "{cause: z, unknown: true}", 1), "either a cause or unknown"},
		{"chain that begins elsewhere", strings.Replace(good, "{cause: z}", "{cause: z, chain: [db1, app1]}", 1), "chain begins"},
		{"healthy with a cause", strings.Replace(good, "group: A", "group: healthy", 1), "nothing is broken"},
		{"made of others and itself", "title: x\ngroup: A\ntogether: [f]\n", "part of itself"},
		{"made of what is not there", "title: x\ngroup: A\ntogether: [g]\n", "no fault"},
		{"cures", good + "cures: [{runbook: mend-it, host: db1, inputs: {unit: a.service}}]\n", ""},
		{"typo in a cure", good + "cures: [{runbok: mend-it}]\n", "field runbok not found"},
		{"cure without a runbook", good + "cures: [{host: db1}]\n", "a runbook and a host"},
		{"cure of what is made of others", "title: x\ngroup: A\ntogether: [f]\ncures: [{runbook: mend-it}]\n", "made of others"},
		{"cure of what is healthy", strings.Replace(good, "group: A", "group: healthy", 1) + "cures: [{runbook: mend-it}]\n", "nothing is broken"},
		{"disk too big", good + "disks: [{mount: /x, mib: 5000}]\n", "8 to 512 MiB"},
	} {
		files := folder(c.text)
		if strings.Contains(c.text, "together") {
			files = fstest.MapFS{"f/fault.yaml": files["f/fault.yaml"]}
		}
		_, err := Load(files)
		if (c.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// TestCuresAreShipped: a runbook that is gone or was renamed cures nothing.
func TestCuresAreShipped(t *testing.T) {
	t.Parallel()
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		for _, c := range f.Cures {
			if _, err := os.Stat(filepath.Join("..", "..", "..", "runbooks", "library", c.Runbook+".yaml")); err != nil {
				t.Errorf("%s: %v", f.ID, err)
			}
		}
	}
}

func TestCasesAreFoundByNameAndHost(t *testing.T) {
	t.Parallel()
	all := []*Fault{
		{ID: "a", Host: "app1", Hosts: []string{"app2"}}, {ID: "b", Host: "db1", Truth: Truth{Entity: "dns1"}}, {ID: "both", Together: []string{"a@app2", "b"}},
	}
	cases, err := Cases(all, "both")
	if err != nil || len(cases) != 2 || cases[0].Host != "app2" || cases[1].Entity() != "dns1" {
		t.Errorf("got %+v, %v", cases, err)
	}
	for _, ref := range []string{"c", "a@db1", "both@app1", "", "a@"} {
		if got, err := Cases(all, ref); err == nil {
			t.Errorf("%q: got %+v", ref, got)
		}
	}
}
