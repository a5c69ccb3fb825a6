package main

import (
	"testing"

	"github.com/secondline-ops/secondline/examples/lab/faults"
)

func TestFaultsWithoutACureAreRefusedBeforeAnythingBoots(t *testing.T) {
	t.Parallel()
	mend := []faults.Cure{{Runbook: "mend-it"}, {Runbook: "mend-it-otherwise"}}
	all := []*faults.Fault{
		{ID: "a", Host: "app1", Hosts: []string{"app2"}, Cures: mend},
		{ID: "b", Host: "app1"},
		{ID: "both", Together: []string{"a@app2", "b"}},
	}
	for _, c := range []struct {
		refs []string
		want []string // hosts; nil: refused
	}{
		{nil, []string{"app1"}}, // all that can be cured
		{[]string{"a@app2"}, []string{"app2"}},
		{[]string{"a", "b"}, nil},
		{[]string{"both"}, nil},
		{[]string{"c"}, nil},
	} {
		got, err := curable(all, c.refs)
		if (err != nil) != (c.want == nil) {
			t.Errorf("%v: %v, want %v", c.refs, err, c.want)
			continue
		}
		for i, host := range c.want {
			if len(got) != len(c.want) || got[i].Host != host || got[i].Fault.ID != "a" {
				t.Errorf("%v: %+v, want %v", c.refs, got, c.want)
			}
		}
	}
}
