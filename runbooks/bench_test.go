package runbooks

import (
	"fmt"
	"strings"
	"testing"
)

// BenchmarkThousandRunbooks reads and checks a thousand different runbooks with
// four steps, as a catalogue is loaded.
func BenchmarkThousandRunbooks(b *testing.B) {
	files := make([][]byte, 1000)
	for i := range files {
		files[i] = []byte(strings.Replace(whole, "name: free", fmt.Sprintf("name: free-%d", i), 1))
	}
	for b.Loop() {
		for _, data := range files {
			if _, err := Parse("x.yaml", data, testOptions()); err != nil {
				b.Fatal(err)
			}
		}
	}
}
