package runbooks

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
)

// BenchmarkThousandRunbooks reads and checks a catalogue of a thousand different
// runbooks with three steps.
func BenchmarkThousandRunbooks(b *testing.B) {
	files := fstest.MapFS{}
	for i := range 1000 {
		name := fmt.Sprintf("free-%d", i)
		files[name+".yaml"] = &fstest.MapFile{Data: []byte(strings.Replace(whole, "name: free-space", "name: "+name, 1))}
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
