package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/secondline-ops/secondline/examples/lab/company"
	"github.com/secondline-ops/secondline/examples/lab/faults"
)

func TestCasesAreChosenBeforeAnyIsRun(t *testing.T) {
	t.Parallel()
	all := []*faults.Fault{
		{ID: "a", Group: "A", Host: "app1", Hosts: []string{"app2"}},
		{ID: "quiet", Group: "healthy", Host: "app1"},
		{ID: "both", Group: "A", Together: []string{"a@app2", "quiet"}},
	}
	for _, c := range []struct {
		refs, groups, want []string
	}{
		{nil, nil, []string{"a", "quiet", "both"}},
		{nil, []string{"A", "healthy"}, []string{"a", "quiet"}},
		{nil, []string{"together"}, []string{"both"}},
		{[]string{"a@app2", "both"}, nil, []string{"a@app2", "both"}},
		{nil, []string{"A", "Z"}, nil},
		{[]string{"a", "b"}, nil, nil},
		{[]string{"a", "quiet@db1"}, nil, nil},
		{[]string{"a"}, []string{"A"}, nil},
	} {
		got, err := chosen(all, c.refs, c.groups)
		if (err != nil) != (c.want == nil) || err == nil && !slices.Equal(got, c.want) {
			t.Errorf("%v of %v: %v, %v, want %v", c.refs, c.groups, got, err, c.want)
		}
	}
}

// TestVersionIsThatOfTheProgram: a program that is given is of no commit that is
// known here.
func TestVersionIsThatOfTheProgram(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "secondline")
	version := func(text string, o benchOptions) string {
		if err := os.WriteFile(program, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		tool, err := o.measured(t.Context(), company.Options{Program: program})
		if err != nil {
			t.Fatal(err)
		}
		return tool.Version()
	}
	one, two := version("1", benchOptions{}), version("2", benchOptions{})
	if one != "sha256-6b86b273ff34" || one == two {
		t.Errorf("%s and %s", one, two)
	}
	if got := version("1", benchOptions{release: "1.2"}); got != "1.2" {
		t.Errorf("its release is %s", got)
	}
	if _, err := (benchOptions{tool: "sh"}).measured(t.Context(), company.Options{}); err == nil {
		t.Error("a tool without a release was taken")
	}
}
