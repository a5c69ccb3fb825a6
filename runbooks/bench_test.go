package runbooks

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
)

// BenchmarkThousandRunbooks reads and checks a catalogue of a thousand different
// runbooks with three steps. Each has an input of its own name, so that no two
// declare the same.
func BenchmarkThousandRunbooks(b *testing.B) {
	files := fstest.MapFS{}
	for i := range 1000 {
		name := fmt.Sprintf("free-%d", i)
		files[name+".yaml"] = &fstest.MapFile{Data: []byte(strings.NewReplacer(
			"name: free-space", "name: "+name, "inputs.limit", fmt.Sprintf("inputs.limit_%d", i), " limit: {", fmt.Sprintf(" limit_%d: {", i),
		).Replace(whole))}
	}
	for b.Loop() {
		c, err := LoadCatalogue(files, testOptions())
		if err != nil {
			b.Fatal(err)
		}
		if len(c.All()) != len(files) {
			b.Fatalf("%d runbooks", len(c.All()))
		}
	}
}
