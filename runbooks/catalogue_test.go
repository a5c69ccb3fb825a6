package runbooks

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/secondline-ops/secondline/internal/fault"
	"github.com/secondline-ops/secondline/internal/yamlx"
)

// minimal is the least runbook, under a name and for a cause.
func minimal(name, cause string) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte(`apiVersion: secondline/v1
kind: Runbook
metadata: {name: ` + name + `, title: A title}
spec:
  cures: [` + cause + `]
  steps:
    - {id: look, effect: read, run: [uptime]}
`)}
}

func TestCatalogueFindsByNameAndCause(t *testing.T) {
	t.Parallel()
	c, err := LoadCatalogue(fstest.MapFS{
		"z.yaml": minimal("zeta", "disk-full"), "deep/a.yml": minimal("alpha", "disk-full"), "b.yaml": minimal("beta", "other"),
		"README.md": {Data: []byte("no runbook")}, ".git/c.yaml": {Data: []byte("no: runbook")},
		"deep/testdata/case.yaml": {Data: []byte("no: runbook")},
	}, testOptions())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, rb := range c.All() {
		names = append(names, rb.Name)
	}
	if got := strings.Join(names, " "); got != "alpha beta zeta" {
		t.Errorf("All is %q", got)
	}
	cures := c.ForCause("disk-full")
	if len(cures) != 2 || cures[0].Name != "alpha" || cures[1].Name != "zeta" {
		t.Errorf("ForCause is %v", cures)
	}
	if len(c.ForCause("nothing")) != 0 {
		t.Error("a cause without a cure has one")
	}
	if rb, ok := c.Find("beta"); !ok || rb.File != "b.yaml" {
		t.Errorf("Find gives %v, %v", rb, ok)
	}
	if _, ok := c.Find("gamma"); ok {
		t.Error("found what is not there")
	}
}

func TestCatalogueRefusesDuplicateNames(t *testing.T) {
	t.Parallel()
	_, err := LoadCatalogue(fstest.MapFS{"a.yaml": minimal("same", "x"), "b.yaml": minimal("same", "x")}, testOptions())
	if !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "a.yaml") || !strings.Contains(err.Error(), "b.yaml") {
		t.Errorf("got %v", err)
	}
}

func TestCatalogueReportsAllFiles(t *testing.T) {
	t.Parallel()
	_, err := LoadCatalogue(fstest.MapFS{
		"a.yaml": {Data: []byte("kind: Runbok\n")}, "b.yaml": minimal("fine", "x"), "c.yaml": {Data: []byte("x: [")},
		"d.yaml": {Data: make([]byte, MaxFileBytes+10)},
	}, testOptions())
	files := map[string]bool{}
	for _, e := range yamlx.Errors(err) {
		files[e.File] = true
	}
	if !files["a.yaml"] || files["b.yaml"] || !files["c.yaml"] || !files["d.yaml"] {
		t.Errorf("mistakes in %v: %v", files, err)
	}
}

type crashingDecoder struct{ runDecoder }

func (crashingDecoder) Decode(*yamlx.Node, *StepContext) (Decoded, error) {
	panic("a bug of the action")
}

func TestACrashingActionRefusesItsFile(t *testing.T) {
	t.Parallel()
	o := testOptions()
	o.Decoders[0] = crashingDecoder{}
	_, err := LoadCatalogue(fstest.MapFS{"a.yaml": minimal("a", "x")}, o)
	if !fault.Is(err, fault.Internal) || !strings.Contains(err.Error(), "a.yaml") || !strings.Contains(err.Error(), "a bug of the action") {
		t.Errorf("got %v", err)
	}
}

// TestCatalogueReportsInTheOrderOfTheFiles: which processor came first must not
// show.
func TestCatalogueReportsInTheOrderOfTheFiles(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{}
	for i := range 40 {
		name := fmt.Sprintf("%02d", i)
		files[name+".yaml"] = minimal("same", "x")
		if i%2 == 1 {
			files[name+".yaml"] = &fstest.MapFile{Data: []byte("x: [")}
		}
	}
	_, err := LoadCatalogue(files, testOptions())
	lines := strings.Split(fmt.Sprint(err), "\n")
	if len(lines) != 39 || !slices.IsSorted(lines) || !strings.HasPrefix(lines[1], "02.yaml: runbook same is already in 00.yaml") {
		t.Errorf("%d lines: %v", len(lines), err)
	}
}
